"""Modules, layers, initialisation and functions under the names of torch.nn."""

from tinygen.calls import absent as _absent
from tinygen.nn import functional, init, utils
from tinygen.nn.functions import (
    ELU,
    GELU,
    AdaptiveAvgPool2d,
    AvgPool2d,
    BCELoss,
    BCEWithLogitsLoss,
    CrossEntropyLoss,
    Dropout,
    Dropout2d,
    Flatten,
    GaussianNLLLoss,
    Identity,
    KLDivLoss,
    L1Loss,
    LeakyReLU,
    LogSigmoid,
    LogSoftmax,
    MaxPool2d,
    MSELoss,
    NLLLoss,
    PixelShuffle,
    PixelUnshuffle,
    ReLU,
    Sigmoid,
    SiLU,
    SmoothL1Loss,
    Softmax,
    Softplus,
    Tanh,
    Unflatten,
    Upsample,
)
from tinygen.nn.layers import (
    BatchNorm1d,
    BatchNorm2d,
    Conv2d,
    ConvTranspose2d,
    Embedding,
    GroupNorm,
    LayerNorm,
    Linear,
    PReLU,
)
from tinygen.nn.module import Module, ModuleList, Parameter, Sequential

__getattr__ = _absent("tinygen.nn", globals())
