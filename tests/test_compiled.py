"""Compiled loops: kept in the user's cache folder, announced on a terminal, there for the next process."""

import os
import pty
import resource
import subprocess
import sys
import textwrap

from tinygen.kernels import compiled

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
    """What a fresh process writes to the terminal that is its stderr."""
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
    assert on_a_terminal(DRAW, **variables) == "compiling philox_loops … (cached for the next time)\r\n"
    for function in "philox_loops.uniforms", "elementwise._c_erf":
        assert list(tmp_path.glob(f"tinygen/numba/*/{function}-*.nbi")), function
    assert on_a_terminal(DRAW, **variables) == ""


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path):
    (tmp_path / "tinygen").write_text("in the way")
    subprocess.run(
        [sys.executable, "-c", DRAW], env={**os.environ, "XDG_CACHE_HOME": str(tmp_path)}, check=True
    )


def test_a_numba_cache_the_user_chose_stands(monkeypatch):
    from numba.core import config

    monkeypatch.setattr(config, "CACHE_DIR", "chosen")
    with compiled.user_cache():
        assert config.CACHE_DIR == "chosen"


def test_a_fresh_process_compiles_nothing_for_its_first_vae_step():
    """With a warm cache; how long that takes is measured by benchmarks/first_step.py."""
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
    """No file may grow past 600 bytes: the compiled loops cannot be kept."""
    done = subprocess.run(
        [sys.executable, "-c", DRAW],
        env={**os.environ, "XDG_CACHE_HOME": str(tmp_path)},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (600, 600)),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0 and not list(tmp_path.rglob("*.nbc")), done.stderr
