"""`whole(name)`: import a slow package on first use; Ctrl-C takes effect only when the import is complete."""

from tinygen.kernels.runtime.lazy_import import whole

__all__ = ["whole"]
