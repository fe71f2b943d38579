"""`whole(name)`: a package that takes long to import, imported on first use; Ctrl-C waits for the end of the import."""

from tinygen.kernels.runtime.imports import whole

__all__ = ["whole"]
