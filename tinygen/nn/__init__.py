"""Modules, layers, initialisation and functions under the names of torch.nn."""

from tinygen.face.calls import absent as _absent
from tinygen.face.calls import public_constructors as _public_constructors
from tinygen.face.calls import public_functions as _public_functions
from tinygen.nn import functional, init, utils
from tinygen.nn.attention import MultiheadAttention
from tinygen.nn.containers import ModuleDict, ModuleList, ParameterDict, ParameterList, Sequential
from tinygen.nn.convolution import Conv1d, Conv2d, ConvTranspose1d, ConvTranspose2d
from tinygen.nn.functions import (
    ELU,
    GELU,
    GLU,
    SELU,
    AdaptiveAvgPool1d,
    AdaptiveAvgPool2d,
    AvgPool1d,
    AvgPool2d,
    BCELoss,
    BCEWithLogitsLoss,
    ConstantPad2d,
    CosineSimilarity,
    CrossEntropyLoss,
    Dropout,
    Dropout2d,
    Flatten,
    GaussianNLLLoss,
    Hardtanh,
    HuberLoss,
    Identity,
    KLDivLoss,
    L1Loss,
    LeakyReLU,
    LogSigmoid,
    LogSoftmax,
    MaxPool1d,
    MaxPool2d,
    Mish,
    MSELoss,
    NLLLoss,
    PairwiseDistance,
    PixelShuffle,
    PixelUnshuffle,
    ReflectionPad2d,
    ReLU,
    ReLU6,
    ReplicationPad2d,
    Sigmoid,
    SiLU,
    SmoothL1Loss,
    Softmax,
    Softmin,
    Softplus,
    Softsign,
    Tanh,
    Unflatten,
    Upsample,
    UpsamplingBilinear2d,
    UpsamplingNearest2d,
    ZeroPad2d,
)
from tinygen.nn.layers import Embedding, Linear, PReLU
from tinygen.nn.module import Module, Parameter
from tinygen.nn.normalization import (
    BatchNorm1d,
    BatchNorm2d,
    GroupNorm,
    InstanceNorm1d,
    InstanceNorm2d,
    LayerNorm,
    RMSNorm,
)

_public_constructors(globals())
_public_functions(init)
_public_functions(utils)
_public_functions(utils.parametrizations)
_public_functions(utils.parametrize)
__getattr__ = _absent("tinygen.nn", globals())
