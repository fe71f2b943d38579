"""A minimal autograd engine and the generative models on top of it."""

__version__ = "0.1.0"
