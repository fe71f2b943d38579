"""Modules, layers, initialization and functions, under the names of torch.nn."""

from tinygen.nn import functional, init, utils
from tinygen.nn.activation import (
    ELU,
    GELU,
    GLU,
    SELU,
    Hardtanh,
    LeakyReLU,
    LogSigmoid,
    LogSoftmax,
    Mish,
    ReLU,
    ReLU6,
    Sigmoid,
    SiLU,
    Softmax,
    Softmin,
    Softplus,
    Softsign,
    Tanh,
)
from tinygen.nn.attention import MultiheadAttention
from tinygen.nn.containers import ModuleDict, ModuleList, ParameterDict, ParameterList, Sequential
from tinygen.nn.convolution import Conv1d, Conv2d, ConvTranspose1d, ConvTranspose2d
from tinygen.nn.layers import Embedding, Linear, PReLU
from tinygen.nn.loss import (
    BCELoss,
    BCEWithLogitsLoss,
    CosineSimilarity,
    CrossEntropyLoss,
    GaussianNLLLoss,
    HuberLoss,
    KLDivLoss,
    L1Loss,
    MSELoss,
    NLLLoss,
    PairwiseDistance,
    SmoothL1Loss,
)
from tinygen.nn.module import Module
from tinygen.nn.normalization import (
    BatchNorm1d,
    BatchNorm2d,
    GroupNorm,
    InstanceNorm1d,
    InstanceNorm2d,
    LayerNorm,
    RMSNorm,
)
from tinygen.nn.parameter import Parameter
from tinygen.nn.resampling import (
    AdaptiveAvgPool1d,
    AdaptiveAvgPool2d,
    AvgPool1d,
    AvgPool2d,
    ConstantPad2d,
    MaxPool1d,
    MaxPool2d,
    PixelShuffle,
    PixelUnshuffle,
    ReflectionPad2d,
    ReplicationPad2d,
    Upsample,
    UpsamplingBilinear2d,
    UpsamplingNearest2d,
    ZeroPad2d,
)
from tinygen.nn.stateless import Dropout, Dropout2d, Flatten, Identity, Unflatten
