"""Arrays in, arrays out: the arithmetic below the autograd.  Never sees a Tensor, never imports tinygen's engine.

Shape letters: N batch, C/K channels in/out, H W image, R S filter, P Q output, T tokens, D head size, B*H heads.
`g` incoming gradient, `gx` gradient of x, `y` output, `xp` the array module (numpy or cupy).
"""

from tinygen.kernels.dispatch import Kernel, array_module, device_of, registry, use
from tinygen.kernels.elementwise import *  # noqa: F403
from tinygen.kernels.matmul import matmul
from tinygen.kernels.scatter import put

__all__ = [name for name in dir() if not name.startswith("_")]
