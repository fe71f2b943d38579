"""Compiled code: kept in the user's cache folder, announced on a terminal, never used damaged, and done without."""

import os
import pty
import resource
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tinygen.kernels.hostcuda import build
from tinygen.kernels.runtime import cuda_source, disk_cache, njit

DRAW = "import tinygen; tinygen.erf(tinygen.rand(1000))"
FIRST_STEP = """
import tinygen as tg
from tinygen.models import vae
net = vae.VAE()
optimizer = tg.optim.Adam(net.parameters(), 1e-3)
sum(vae.loss(net, tg.rand(128, 784).round(), tg.randn(128, 20))).backward()
optimizer.step()
"""


def on_a_terminal(code: str, **variables) -> str:
    """What a fresh process writes to a terminal that is its standard error."""
    ours, theirs = pty.openpty()
    subprocess.run(
        [sys.executable, "-c", code], stderr=theirs, env={**os.environ, **variables}, check=True, timeout=120
    )
    os.close(theirs)
    try:
        return os.read(ours, 10_000).decode()
    except OSError:  # Linux: nothing was written before the other end was closed
        return ""
    finally:
        os.close(ours)


def test_the_first_compilation_is_said_once_and_kept_in_the_users_cache(tmp_path):
    variables = {"XDG_CACHE_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", "import numba; " + DRAW + "; assert not numba.config.CACHE_DIR"],
        env={**os.environ, "XDG_CACHE_HOME": str(tmp_path / "other")},
        capture_output=True,
        check=True,
    )
    assert not done.stderr  # no terminal
    assert on_a_terminal(DRAW, **variables) == "compiling philox.loops … (cached for the next time)\r\n"
    for function in "philox_*/loops.uniforms", "elementwise_*/loops.erf":
        assert list(tmp_path.glob(f"tinygen/numba/{function}-*.nbc")), function
    assert on_a_terminal(DRAW, **variables) == ""


ERF = """
import tinygen as tg
from numba.core import event
with event.install_recorder("numba:compile") as compiled:
    sums = [tg.erf(tg.full((1000,), 0.5, dtype=d)).sum().item() for d in (tg.float32, tg.float64)]
assert [round(s, 3) for s in sums] == [520.5, 520.5], sums
print(bool(compiled.buffer))
"""
WITHOUT_HOME = """
import os, pwd
def nobody(uid): raise KeyError(f"getpwuid(): uid not found: {uid}")
pwd.getpwuid = nobody
os.environ.pop("HOME", None), os.environ.pop("XDG_CACHE_HOME", None)
"""


def erf(before: str = "", **variables):
    """(whether a fresh process compiled, the lines that it wrote to standard error)"""
    done = subprocess.run(
        [sys.executable, "-c", before + ERF],
        env={**os.environ, **{name: str(value) for name, value in variables.items()}},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout == "True\n", done.stderr.splitlines()


def beside_the_source() -> list:
    return [p for p in Path(njit.__file__).parents[1].rglob("*") if p.suffix in (".nbc", ".nbi")]


def test_a_cache_that_cannot_be_written_is_said_once(tmp_path):
    (tmp_path / "tinygen").write_text("in the way")
    for before, variables in (("", {"XDG_CACHE_HOME": tmp_path}), (WITHOUT_HOME, {})):
        compiles, said = erf(before, **variables)
        assert compiles and len(said) == 1 and "compiled code cannot be kept" in said[0], said
    assert not beside_the_source()


def test_a_damaged_file_is_compiled_again(tmp_path):
    assert erf(XDG_CACHE_HOME=tmp_path) == (True, [])
    assert erf(XDG_CACHE_HOME=tmp_path) == (False, [])
    first, second = sorted(tmp_path.rglob("*.nbc"))
    content = bytearray(first.read_bytes())
    content[len(content) // 2] ^= 1  # in the machine code, where pickle does not notice it
    first.write_bytes(content)
    second.write_bytes(second.read_bytes()[:2000])
    assert erf(XDG_CACHE_HOME=tmp_path) == (True, [])
    assert erf(XDG_CACHE_HOME=tmp_path) == (False, [])


def test_files_of_one_function(tmp_path):
    """They are found by their key, not used if damaged in any way, and removed when the source changes."""
    files = njit._Files(tmp_path / "new", "loops.f-1", "aaa")
    for key in "x", "y":
        files.save(key, f"code for {key}")
    assert [files.load(key) for key in ("x", "y")] == ["code for x", "code for y"]
    content = files.path("x").read_bytes()
    for damaged in b"", b"junk", content[:-1], content + b"0", files.path("y").read_bytes():
        files.path("x").write_bytes(damaged)
        assert files.load("x") is None
    with pytest.raises(FileNotFoundError):
        files.load("z")
    newer = njit._Files(tmp_path / "new", "loops.f-1", "bbb")
    newer.save("x", "newer code")
    assert list((tmp_path / "new").iterdir()) == [newer.path("x")]


def test_a_cache_that_is_only_read_is_used(tmp_path):
    """Nothing has to be written, so nothing is said.  (Root may write anyway.)"""
    erf(XDG_CACHE_HOME=tmp_path)
    for path in [*tmp_path.rglob("*"), tmp_path]:
        path.chmod(path.stat().st_mode & ~0o222)
    try:
        assert erf(XDG_CACHE_HOME=tmp_path) == (False, [])
    finally:
        for path in [tmp_path, *tmp_path.rglob("*")]:
            path.chmod(path.stat().st_mode | 0o200)


def test_code_that_a_loop_took_from_another_file_counts(tmp_path):
    """numba itself looks only at a function's own file."""
    loops, others = tmp_path / "a_loops.py", tmp_path / "b_loops.py"
    for text in "from b_loops import f", "from b_loops import (\n    f,\n)":
        loops.write_text(text)
        others.write_text("f = 1")
        before = njit._stamp.__wrapped__(loops)
        others.write_text("f = 2")
        assert njit._stamp.__wrapped__(loops) != before


def test_a_numba_cache_the_user_chose_stands(tmp_path):
    erf(NUMBA_CACHE_DIR=tmp_path / "chosen", XDG_CACHE_HOME=tmp_path / "cache")
    assert list(tmp_path.glob("chosen/elementwise_*/loops.erf-*.nbc")) and not (tmp_path / "cache").exists()


def test_two_processes_compile_at_once(tmp_path):
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
    both = [subprocess.Popen([sys.executable, "-c", ERF], env=environment) for _ in range(2)]
    assert [process.wait(120) for process in both] == [0, 0]
    assert erf(XDG_CACHE_HOME=tmp_path) == (False, [])


class Compiler:
    """Stands in for NVRTC and counts its compilations."""

    version, compiled = (13, 0), 0

    def compile(self, *_):
        self.compiled += 1
        return b"machine code", "its log"


def test_machine_code_of_a_card(tmp_path, monkeypatch, capsys):
    """A cubin that was cut off is compiled again; where none can be kept, this process makes a file of its own."""
    source, compiler = cuda_source.CudaSource("matmul/matmul.cu"), Compiler()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    path = source.cubin_path(90, compiler)
    assert source.cubin_path(90, compiler) == path and compiler.compiled == 1
    path.write_bytes(b"machine")
    assert source.cubin_path(90, compiler).read_bytes() == b"machine code" and compiler.compiled == 2
    path.with_suffix(".log").unlink()
    assert source.cubin_path(90, compiler).with_suffix(".log").read_text() == "its log"
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr(disk_cache, "_told", [])
    for _ in range(2):
        assert source.cubin_path(90, compiler).read_bytes() == b"machine code"
    assert capsys.readouterr().err.count("compiled code cannot be kept") == 1


@pytest.mark.skipif(shutil.which("g++") is None, reason="no g++")
def test_a_damaged_library_for_the_cpu(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "k.cu").write_text('extern "C" __global__ void k(float *x) { x[0] = 1; }\n')
    path, names = build.library(tmp_path / "k.cu", build="debug")
    content = path.read_bytes()
    for damaged in path, path.with_suffix(".json"), next(path.parent.glob("machine-*.o")):
        damaged.write_bytes(damaged.read_bytes()[:99])
    assert build.library(tmp_path / "k.cu", build="debug") == (path, names)
    assert len(path.read_bytes()) == len(content)


def test_a_file_is_kept_with_its_digest(tmp_path, monkeypatch):
    """A file that other programs read (a cubin, a library) is not changed; its digest lies beside it."""
    path = disk_cache.keep(tmp_path / "new" / "kernel.cubin", b"code")
    assert path.read_bytes() == b"code" and disk_cache.is_kept(path)
    path.write_bytes(b"cod")
    assert not disk_cache.is_kept(path)
    (tmp_path / "made").write_bytes(b"other code")
    assert (
        disk_cache.is_kept(disk_cache.keep_file(path, tmp_path / "made"))
        and path.read_bytes() == b"other code"
    )
    assert not disk_cache.is_kept(tmp_path / "absent")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space"):
        disk_cache.keep(path, b"more")
    assert sorted(p.name for p in path.parent.iterdir()) == ["kernel.cubin", "kernel.cubin.sha256"]


def test_a_fresh_process_compiles_nothing_for_its_first_vae_step():
    """With a warm cache.  benchmarks/studies/first_step.py measures how long that takes."""
    counted = f"""
from numba.core import event
with event.install_recorder("numba:compile") as compiled:
{textwrap.indent(FIRST_STEP, "    ")}
print(len(compiled.buffer))
"""
    subprocess.run([sys.executable, "-c", FIRST_STEP], check=True)
    again = subprocess.run([sys.executable, "-c", counted], check=True, capture_output=True, text=True)
    assert again.stdout == "0\n"


def test_a_full_disk_costs_the_cache_not_the_result(tmp_path):
    """No file may grow past 600 bytes, so the compiled loops cannot be kept."""
    done = subprocess.run(
        [sys.executable, "-c", DRAW],
        env={**os.environ, "XDG_CACHE_HOME": str(tmp_path)},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (600, 600)),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0 and not list(tmp_path.rglob("*.nb*")), done.stderr
    assert done.stderr.count("compiled code cannot be kept") == 1
