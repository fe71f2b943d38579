"""kernels/hostcuda: wrong arguments, compiling and caching, and its guide, kernels/hostcuda/README.md."""

import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from support.hostcuda_sources import NEEDED, SOURCES, floats, ints

from tinygen.kernels import hostcuda
from tinygen.kernels.hostcuda import build

pytestmark = NEEDED
F = np.float32

# -- arguments: a mistake is reported before anything runs


@pytest.mark.parametrize(
    "arguments, error, words",
    [
        (lambda x, y: (x, y), TypeError, "2 arguments, expected 3: x, out, n"),
        (lambda x, y: (x.astype(np.float64), y, 4), TypeError, r"argument 0 \(x\) is an array of float64"),
        (lambda x, y: (x, y, np.float32(4)), TypeError, r"argument 2 \(n\) is float32: expected int32"),
        (lambda x, y: (x, y, 4.0), TypeError, r"argument 2 \(n\) is a Python float: expected int32"),
        (lambda x, y: (x, y, 2**31), OverflowError, "does not fit int32"),
        (lambda x, y: (x, y, np.int64(2**40)), OverflowError, "does not fit int32"),
        (lambda x, y: (x, y, np.float64(4)), TypeError, r"argument 2 \(n\) is float64: expected int32"),
        (
            lambda x, y: (x, 3, 4),
            TypeError,
            r"argument 1 \(out\) is a Python int: expected an array for float32 \*",
        ),
        (lambda x, y: (x, y[::2], 4), ValueError, r"argument 1 \(out\) is not contiguous"),
        (lambda x, y: (x, np.broadcast_to(y, (8,)), 4), ValueError, "read-only"),
    ],
)
def test_wrong_arguments(arguments, error, words):
    module = hostcuda.compile(SOURCES / "semantics.cu")
    x, y = floats(8), np.full(8, 9, F)
    with pytest.raises(error, match=words):
        module.launch("doubled", (1,), (8,), arguments(x, y))
    assert (y == 9).all()


def test_const_parameters_take_read_only_arrays(semantics):
    x, out = floats(8), np.zeros(8, F)
    x.flags.writeable = False
    semantics.launch("doubled", (1,), (8,), (x, out, 8))
    np.testing.assert_array_equal(out, x * 2)


@pytest.mark.parametrize(
    "name, grid, block, shared, words",
    [
        ("tripl", (1,), (1,), 0, "no kernel 'tripl': it has indices, "),
        ("doubled", (1,), (65,), 0, r"__launch_bounds__\(64\)"),
        ("doubled", (0,), (8,), 0, "grid is"),
        ("doubled", (1, 1, 1, 1), (8,), 0, "grid is"),
        ("doubled", (1, 70000), (8,), 0, "65535"),
        ("block_sum", (1,), (1025,), 0, "1024 threads"),
        ("doubled", (1,), (8,), 10**6, "shared memory"),
    ],
)
def test_wrong_launches(name, grid, block, shared, words):
    module = hostcuda.compile(SOURCES / "semantics.cu")
    with pytest.raises(ValueError, match=words):
        array = ints(8) if name == "block_sum" else floats(8)
        module.launch(name, grid, block, (array, np.zeros_like(array), 8), shared=shared)
    with pytest.raises(ValueError, match="order is 'sideways'"):
        module.launch("doubled", (1,), (8,), (floats(8), np.zeros(8, F), 8), order="sideways")
    with pytest.raises(TypeError, match=r"grid is 1, block is \(8,\): expected tuples"):
        module.launch("doubled", 1, (8,), (floats(8), np.zeros(8, F), 8))


# -- compiling


def test_signatures_are_read_from_any_way_to_write_them():
    text = """
    # 1 "k.cu"
    extern "C" __global__ void a(const float *__restrict__ x, int (*y)[4], unsigned long long n);
    extern "C" __global__ void __launch_bounds__(32 * 2, 1) b(void);
    __launch_bounds__(128) __global__ void c(Pair<int, 4> p, float z[]) { if (a(b, c)) return; }
    template <int N> __global__ void d(float *x) {}
    """
    text = text.replace("int (*y)[4]", "int *y")
    found = {k.name: (k.parameters, k.launch_bound) for k in build.signatures(textwrap.dedent(text))}
    assert found == {"a": (("x", "y", "n"), "0"), "b": ((), "32 * 2"), "c": (("p", "z"), "128")}


def test_shared_declarations_keep_their_lines():
    text = "int a;\n__shared__ float s[2],\n t[3][4];\n"
    text += "extern __shared__ __attribute__((aligned(16))) float4 d[];\nint b;"
    rewritten = build.rewrite(text)
    assert rewritten.count("\n") == text.count("\n") and rewritten.endswith("\nint b;")
    assert "auto &s = " in rewritten and "auto &t = " in rewritten and "float4 *const d = " in rewritten


def test_a_mistake_in_the_source_names_its_line(compiled):
    with pytest.raises(hostcuda.CompileError, match=r"kernel\.cu:3:\d+: error: .*nonsense"):
        compiled('\nextern "C" __global__ void k(float *x) {\n    x[0] = nonsense;\n}\n')
    with pytest.raises(hostcuda.CompileError, match="has no __global__ function"):
        compiled("void k() {}\n")


def test_a_library_is_kept_and_made_again_when_a_header_changes(compiled, tmp_path):
    (tmp_path / "factor.cuh").write_text("#define FACTOR 2\n", encoding="utf-8")
    text = '#include "factor.cuh"\nextern "C" __global__ void k(int *x) { x[0] *= FACTOR; }\n'
    first = compiled(text)
    made = first.path.stat().st_mtime_ns
    assert compiled(text) is first
    hostcuda.launch._modules.clear()
    assert compiled(text).path.stat().st_mtime_ns == made  # from the disk
    (tmp_path / "factor.cuh").write_text("#define FACTOR 5\n", encoding="utf-8")
    x = np.ones(1, np.int32)
    compiled(text).launch("k", (1,), (1,), (x,))
    assert x[0] == 5
    x = np.ones(1, np.int32)
    compiled(text, flags=("-UFACTOR",)).launch("k", (1,), (1,), (x,))
    assert x[0] == 5


def test_a_debug_build_gives_the_same(compiled):
    module = hostcuda.compile(SOURCES / "semantics.cu", debug=True)
    x, out = ints(3, 777) % 1000, np.zeros(3, np.int32)
    module.launch("block_sum", (3,), (100,), (x, out, 777))
    np.testing.assert_array_equal(out, x.sum(1))


def test_without_a_compiler_one_sentence_says_what_to_install():
    script = "from tinygen.kernels import hostcuda; hostcuda.compile('tests/cuda/hostcuda/semantics.cu')"
    environment = {**os.environ, "PATH": "/nowhere", "PYTHONPATH": str(SOURCES.parents[2])}
    environment.pop("CXX", None)
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    last = done.stderr.strip().splitlines()[-1]
    assert "needs the C++ compiler g++, which is not on the PATH: install it" in last


# -- the guide: its files and commands as they stand in kernels/hostcuda/README.md

GUIDE = (Path(hostcuda.__file__).parent / "README.md").read_text(encoding="utf-8")


def in_the_guide(pattern: str) -> list[str]:
    found = re.findall(pattern, GUIDE, re.MULTILINE | re.DOTALL)
    assert found, pattern
    return found


@pytest.fixture
def guide(tmp_path, tmp_path_factory):
    """run(*command) in a folder with the guide's smooth.cu and smooth.py -> what is printed"""
    for language, name in ("cuda", "smooth.cu"), ("python", "smooth.py"):
        (text,) = in_the_guide(rf"^```{language}\n(.*?)^```")
        (tmp_path / name).write_text(text, encoding="utf-8")
    cache = str(tmp_path_factory.getbasetemp() / "hostcuda-cache")
    environment = {**os.environ, "PYTHONPATH": str(SOURCES.parents[2]), "XDG_CACHE_HOME": cache}

    def run(*command: str) -> str:
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        return done.stdout + done.stderr

    return run


def test_the_guides_kernel_prints_what_the_guide_says(guide, tmp_path):
    (printed,) = in_the_guide(r"^    \$ python smooth\.py\n    (.*?)\n")
    assert guide(sys.executable, "smooth.py") == printed + "\n"
    (printf,) = in_the_guide(r"^    (if \(i == 69\) printf.*?;)\n")
    (line,) = in_the_guide(r"^after the barrier prints\n\n    (.*?)\n")
    text = (tmp_path / "smooth.cu").read_text(encoding="utf-8")
    text = text.replace("__syncthreads();", "__syncthreads();\n    " + printf)
    (tmp_path / "smooth.cu").write_text(text, encoding="utf-8")
    assert guide(sys.executable, "smooth.py") == f"{line}\n{printed}\n"


@pytest.mark.skipif(shutil.which("gdb") is None, reason="no gdb")
def test_the_guides_session_with_gdb(guide, tmp_path):
    (debug,) = in_the_guide(r"^`(hostcuda\.compile\(.*?\))` compiles")
    text = (tmp_path / "smooth.py").read_text(encoding="utf-8")
    (tmp_path / "smooth.py").write_text(
        text.replace('hostcuda.compile("smooth.cu")', debug), encoding="utf-8"
    )
    commands = [part for line in in_the_guide(r"^    \(gdb\) (.*?)\n") for part in ("-ex", line)]
    said = guide("gdb", "-nx", "-batch", *commands, "--args", sys.executable, "smooth.py")
    if "ptrace" in said or "Could not trace" in said:
        pytest.skip("gdb may not trace a process here")
    assert "Breakpoint 1, smooth (" in said, said
    for value in in_the_guide(r"^    (\$\d+ = .*?)\n"):
        assert f"\n{value}\n" in said, said
