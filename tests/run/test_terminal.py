"""Streams that fail, lack characters or are closed, and foreign text that would control a terminal."""

import contextlib
import io
import itertools
import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

import tinygen.benchmarks.bench  # before there are only fake models: it imports real ones
import tinygen.models
from tinygen import cli, doctor
from tinygen.run import progress, terminal

FAKES = str(Path(__file__).parent / "fake_models")
PROGRAM = f"import sys, tinygen.models as m; m.__path__[:] = [{FAKES!r}]; from tinygen.cli import main; "
TINYGEN = [sys.executable, "-c", PROGRAM + "sys.exit(main())"]
STEERING = "a\x1b]0;title\x07\x1b[31m\n\r\x08\x7f\x9b31m\u202eb\u2028\u2066"


@pytest.fixture(autouse=True)
def fake(monkeypatch, tmp_path):
    monkeypatch.setattr(tinygen.models, "__path__", [FAKES])
    monkeypatch.chdir(tmp_path)


def command(*words, program=TINYGEN, **options):
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "timeout": 60} | options
    return subprocess.run([*program, *words], **options)


def steers(text: str) -> bool:
    return any(not c.isprintable() for c in text.replace("\n", ""))


# Foreign text


def test_visible():
    assert terminal.visible("größe ²… 漢字 a b") == "größe ²… 漢字 a b"
    assert terminal.visible("\x1b[31m\n\x9b\u202e\udcfc\x00") == r"\x1b[31m\n\x9b\u202e\udcfc\x00"
    assert not steers(terminal.visible("".join(map(chr, range(0x3000)))))


def test_names_and_values_from_outside_steer_no_terminal(capfd):
    name = STEERING.replace("/", "")
    assert cli.main(["train", "fake", "--steps", "2", "--out", name]) == 0
    config = json.loads(Path(name, "config.json").read_text())
    for line in (
        ["train", "fake", "--steps", "2", "--out", name],
        ["train", "fake", "--resume", "--out", name],
        ["sample", name],
        ["sample", name, "-o", name],
        ["sample", name, "--" + name],
        ["sample", name, "-o", name + ".png"],
        ["sample", name, "--help"],
        ["eval", name],
        ["eval", name + "x"],
        ["explain", name],
        ["explain", name + ".py"],
        ["bench", name],
        ["bench", "--json", name],
        [name],
        ["train", name],
        ["train", "fake", "--data", name],
        ["train", "fake", "--kind", name],
        ["train", "fake", "--widths", name],
        ["train", "fake", "--device", name],
    ):
        assert cli.main(line) in (0, 2), line
    for change in (
        {"model": STEERING},
        {"config": config["config"] | {"data": STEERING}},
        {"versions": {STEERING: 1}},
    ):
        Path(name, "config.json").write_text(json.dumps(config | change))
        cli.main(["eval", name])
        cli.main(["train", "fake", "--resume", "--out", name])
    out, err = capfd.readouterr()
    assert r"a\x1b]0;title\x07\x1b[31m" in out and r"a\x1b]0;title\x07\x1b[31m" in err
    assert not steers(out + err)


def test_doctor_is_not_steered_by_the_environment(capfd, monkeypatch):
    for name in "TINYGEN_DATA", "XDG_CACHE_HOME", "OMP_NUM_THREADS":
        monkeypatch.setenv(name, STEERING)
    monkeypatch.setattr(doctor, "_kernels", lambda: "not timed")
    assert cli.main(["doctor"]) == 0
    assert not steers(capfd.readouterr().out)


# Encodings


@pytest.mark.parametrize("encoding", ["ascii:strict", "latin-1", None])
def test_every_command_on_every_terminal(encoding, tmp_path):
    env = os.environ | ({"PYTHONIOENCODING": encoding} if encoding else {"LC_ALL": "C", "PYTHONUTF8": "0"})
    for words in ["explain", "softmax"], ["train", "fake", "--out", "üü漢", "--steps", "2"]:
        done = command(*words, env=env)
        assert done.returncode == 0, done.stderr
        said = (done.stdout + done.stderr).decode((encoding or "utf-8").split(":")[0])
        assert "Traceback" not in said
    assert (b"sum" if encoding and "ascii" in encoding else b"") in done.stdout or Path("üü漢").is_dir()
    raw = os.fsencode(tmp_path) + b"/\xfc\xff"
    done = command("train", "fake", "--steps", "2", "--out", raw, env=env)
    assert done.returncode == 0 and os.path.isdir(raw) and rb"\udcfc\udcff" in done.stdout


def test_what_an_encoding_lacks_is_said_in_another_way():
    stream = io.TextIOWrapper(io.BytesIO(), "ascii", errors="tinygen.readable")
    stream.write("∂ᾱ/∂x² = Σ g · y …, ≤ ü漢\U0001f600")
    stream.flush()
    assert stream.buffer.getvalue() == rb"dalpha_bar/dx^2 = sum g * y ..., <= \xfc\u6f22\U0001f600"


# Streams that fail


@contextlib.contextmanager
def hung_up():
    """A terminal that is gone: EIO."""
    main, end = pty.openpty()
    os.close(main)
    yield end
    os.close(end)


@contextlib.contextmanager
def full_pipe():
    """A pipe that is full and does not wait: EAGAIN."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(write, bytes(4096))
    yield write
    os.close(read)
    os.close(write)


@contextlib.contextmanager
def full_disk():
    """ENOSPC."""
    with open("/dev/full", "wb") as full:
        yield full


@pytest.mark.parametrize("failing", [hung_up, full_pipe, full_disk])
def test_a_stderr_that_fails_costs_no_run_and_no_exit_status(failing):
    with failing() as stderr:
        done = command("train", "fake", "--out", "run", stderr=stderr)
        assert (done.returncode, done.stdout) == (0, b"run\n")
        assert json.loads(Path("run/metrics.jsonl").read_text().splitlines()[-1])["step"] == 60
        assert command("sample", "none", stderr=stderr).returncode == 2


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_disk_under_stdout(unbuffered):
    assert command("train", "fake", "--out", "run", "--steps", "4").returncode == 0
    with full_disk() as full:
        done = command("eval", "run", stdout=full, env=os.environ | {"PYTHONUNBUFFERED": unbuffered})
    assert done.returncode == 2 and json.loads(Path("run/eval.json").read_text())
    errors = [line for line in done.stderr.splitlines() if line.startswith(b"tinygen: error:")]
    assert len(errors) == 1 and b"No space left on device" in errors[0] and b"Traceback" not in done.stderr


def test_a_file_that_a_program_put_in_place_of_stderr_is_left_alone(monkeypatch):
    full = open("/dev/full", "w")
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", full)
        terminal.say("lost")
    assert os.path.samestat(os.fstat(full.fileno()), os.stat("/dev/full"))
    with pytest.raises(OSError, match="No space left"):
        full.close()


def test_closed_streams():
    done = command("train", "fake", "--out", "run", program=["sh", "-c", '"$@" >&- 2>&-', "sh", *TINYGEN])
    assert done.returncode == 0 and Path("run/checkpoint.safetensors").exists()


GRAPH = "import tinygen\nx = tinygen.ones(2, requires_grad=True)\ny = (x * 2).sum()\n"


def test_what_is_saved_is_saved_though_nobody_reads_what_is_printed():
    assert command("train", "fake", "--out", "run", "--steps", "4").returncode == 0
    Path("g.py").write_text(GRAPH)
    for words, files in {
        ("eval", "run"): ["run/eval.json"],
        ("sample", "run"): ["run/samples"],
        ("sample", "run", "-o", "s.png"): ["s.png"],
        ("train", "fake", "--out", "new"): ["new/checkpoint.safetensors", "new/loss.png"],
        ("explain", "g.py", "-o", "g.dot"): ["g.dot"],
        ("list",): [],
    }.items():
        read, write = os.pipe()
        os.close(read)
        done = command(*words, stdout=write, env=os.environ | {"PYTHONUNBUFFERED": "1"})
        os.close(write)
        assert (done.returncode, b"Error" in done.stderr) == (141, False), (words, done)
        assert all(Path(name).exists() for name in files), words


def test_bench_writes_its_file_before_it_prints(tmp_path):
    from tinygen.benchmarks import command as bench

    source = Path(bench.__file__).read_text()
    assert source.index("keep(result)") < source.index("print(")


# Progress


@pytest.fixture
def clock(monkeypatch):
    """A clock that advances by 1 s each time it is read."""
    seconds = iter(range(10**6))
    monkeypatch.setattr(progress.time, "perf_counter", lambda: float(next(seconds)))


def test_lines_where_nothing_can_be_drawn_over(clock, capfd):
    shown = []
    for i in progress.progress(range(4000), "evaluating"):
        if err := capfd.readouterr().err:
            shown.append((i, err))
    assert [i for i, _ in shown[:6]] == [10, 20, 40, 80, 160, 320] and len(shown) == 18  # in 4,000 s
    assert {b - a for (a, _), (b, _) in itertools.pairwise(shown[6:])} == {300}
    assert shown[0][1] == "evaluating 10 of 4,000, 1:06:30 left\n"


def test_a_run_says_where_it_is(monkeypatch, capfd):
    monkeypatch.setattr(progress, "FIRST", 0.0)
    assert cli.main(["train", "fake", "--out", "run", "--steps", "3"]) == 0
    lines = capfd.readouterr().err.splitlines()
    assert lines[0] == "run: steps 0 to 3" and lines[-1].startswith("run: finished step 3")
    assert re.fullmatch(r"run: step 1 of 3, loss \d\S*, [\d,]+ images/s, 0:0\d left", lines[1])


def test_one_line_that_is_drawn_over_in_a_notebook(monkeypatch, tmp_path):
    class OutStream(io.StringIO):
        __module__ = "ipykernel.iostream"

    stream = OutStream()
    monkeypatch.setattr(sys, "stderr", stream)
    for _ in progress.progress(range(3), "denoising"):
        pass
    shown = stream.getvalue()
    assert "\n" not in shown and shown.count("\r") >= 2 and "denoising:   0%" in shown


def test_a_bar_on_a_terminal_of_ascii():
    main, end = pty.openpty()
    env = os.environ | {"FAKE_SLOW": "0.02", "PYTHONIOENCODING": "ascii", "COLUMNS": "120"}
    done = command("train", "fake", "--steps", "30", stderr=end, env=env)
    os.close(end)
    shown = os.read(main, 100_000)
    assert done.returncode == 0 and b"images/s" in shown and shown.isascii()
