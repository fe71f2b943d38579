"""A minimal autograd engine with hand-written kernels, and generative models on top of it.

Names, argument order, defaults and meaning are PyTorch's: a reader who knows PyTorch knows tinygen.
"""

from math import inf, nan, pi

from numpy import finfo, iinfo

from tinygen import accelerator, autograd, cuda, nn, optim, random
from tinygen.engine import dtypes
from tinygen.engine.devices import device
from tinygen.engine.dtypes import (
    DtypeError,
    ShapeError,
    float16,
    float32,
    float64,
    get_default_dtype,
    int8,
    int16,
    int32,
    int64,
    set_default_dtype,
    uint8,
)
from tinygen.engine.dtypes import bool_ as bool
from tinygen.engine.dtypes import float16 as half
from tinygen.engine.dtypes import float32 as float
from tinygen.engine.dtypes import float64 as double
from tinygen.engine.dtypes import int64 as long
from tinygen.engine.grad_mode import enable_grad, is_grad_enabled, no_grad
from tinygen.engine.tensor import Tensor
from tinygen.kernels.runtime.blas import get_num_threads, set_num_threads
from tinygen.ops import FUNCTIONS as _FUNCTIONS
from tinygen.ops.tensor.conversion import as_tensor, from_numpy, tensor
from tinygen.profile.profiler import profile
from tinygen.random import manual_seed
from tinygen.run.serialization import load, save

globals().update(_FUNCTIONS)

__version__ = "0.1.0"

# at the end, as it wraps what is exported: checked arguments, explained errors, names of older PyTorch
from tinygen.face import install as _install  # noqa: E402

_install(globals())
