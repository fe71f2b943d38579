"""`whole(name)`: a package that takes long to import, imported on first use; Ctrl-C waits for the end of the import."""

from tinygen.kernels.runtime.lazy_import import whole

__all__ = ["whole"]
