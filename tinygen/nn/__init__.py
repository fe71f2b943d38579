"""Modules, layers, initialisation and functions under the names of torch.nn."""

from tinygen.nn import functional, init, utils
from tinygen.nn.layers import *  # noqa: F403
from tinygen.nn.module import Module, ModuleList, Parameter, Sequential
