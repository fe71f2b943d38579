"""Run a CUDA C++ file on the CPU: g++ compiles the same source, and each CUDA thread is a fiber.

    module = hostcuda.compile("matmul/matmul.cu")
    module.launch("matmul_naive", grid, block, (a, b, c, m, n, k))           # numpy arrays, numpy or Python numbers

A mistake in a kernel raises a `KernelError` that names kernel, block and thread.  README.md is the guide.
"""

from tinygen.kernels.hostcuda.build import CompileError
from tinygen.kernels.hostcuda.launch import KernelError, Module, check_orders, compile
from tinygen.kernels.hostcuda.sanitize import launch_sanitized

__all__ = ["CompileError", "KernelError", "Module", "check_orders", "compile", "launch_sanitized"]
