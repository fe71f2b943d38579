"""Fixtures for CUDA C++ on the CPU (kernels/hostcuda)."""

import shutil
import textwrap

import pytest
from support.hostcuda_sources import SOURCES

from tinygen.kernels import hostcuda


@pytest.fixture(params=["fast", "checked"])
def semantics(request):
    """The kernels of semantics.cu: in a checked build they give the same results, and nothing is reported."""
    return hostcuda.compile(SOURCES / "semantics.cu", checked=request.param == "checked")


@pytest.fixture
def compiled(tmp_path, tmp_path_factory, monkeypatch):
    """compiled(text, ...) -> the module of a source given as text, with a cache other than the user's"""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "hostcuda-cache"))

    def compile(text, **options):
        path = tmp_path / "kernel.cu"
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return hostcuda.compile(path, **options)

    return compile


@pytest.fixture
def host():
    """Skip if the sources cannot be compiled for this CPU."""
    if shutil.which("g++") is None:
        pytest.skip("no g++")
    return pytest.importorskip("tinygen.kernels.hostcuda")
