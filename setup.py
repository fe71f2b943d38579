"""Packaging: three packages live in top-level folders of the checkout and are installed inside `tinygen`.

`kernels/` is `tinygen.kernels`, `models/` is `tinygen.models`, `benchmarks/` is `tinygen.benchmarks`: a top-level
`kernels` would collide with a package of that name on the index. The links `tinygen/kernels -> ../kernels` (and
likewise for the other two) are for editors and type checkers; they are not packaged.

`pip install -e .` puts `.editable/` on the path, which holds `tinygen -> ../tinygen` and nothing else: a .pth file,
which mypy, pyright and jedi follow.  They do not run setuptools' other way, a finder, and with it find no module.
"""

import sys

from setuptools import find_packages, setup

TOP_LEVEL = ("kernels", "models", "benchmarks")

packages = [
    name
    for name in find_packages(include=["tinygen", "tinygen.*"])
    if name.split(".")[1:2] not in [[t] for t in TOP_LEVEL]
]
for folder in TOP_LEVEL:
    packages += [f"tinygen.{name}" for name in find_packages(include=[folder, f"{folder}.*"])]

setup(
    packages=packages,
    include_package_data=False,  # only what the next lines name
    package_dir={"": ".editable"}
    if "editable_wheel" in sys.argv
    else {f"tinygen.{folder}": folder for folder in TOP_LEVEL},
    package_data={
        "tinygen": ["py.typed", "*.pyi"],
        "tinygen.engine": ["*.pyi"],
        "tinygen.nn": ["*.pyi"],
        "tinygen.kernels": ["*.md", "*/*.cu", "*/*.json", "runtime/include/*.cuh"],
        "tinygen.kernels.hostcuda": ["*.h", "*.cpp", "*.md", "toolkit/*.h"],
        "tinygen.metrics": ["weights/*.safetensors", "weights/*.json"],
        "tinygen.benchmarks": ["results/*.json"],
    },
)
