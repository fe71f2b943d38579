"""Mistakes and failures with the real VAE: one line, a non-zero exit code, and nothing is lost."""

import gzip
import json
import os
import pickle
import resource
import signal
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tinygen import cli
from tinygen.run import checkpoint

PARTS = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
IMAGES, LABELS = (f"{part}-ubyte.gz" for part in PARTS[:2])
TRAIN = "train vae --data mnist --data-dir data --batch 20 --steps 5"


def idx(rank, n, promised=None):
    """An IDX file of n items whose header promises `promised`"""
    sizes = (promised or n, 28, 28)[:rank]
    items = np.random.default_rng(0).integers(0, 10, (n, 28, 28)[:rank], dtype=np.uint8)
    return bytes([0, 0, 8, rank]) + struct.pack(f">{rank}I", *sizes) + items.tobytes()


@pytest.fixture(autouse=True)
def data(monkeypatch, tmp_path):
    """An empty folder to work in, with an MNIST of 300 + 50 images of noise"""
    monkeypatch.chdir(tmp_path)
    Path("data").mkdir()
    for part in PARTS:
        content = idx(int(part[-1]), 300 if "train" in part else 50)
        Path("data", f"{part}-ubyte.gz").write_bytes(gzip.compress(content))


@pytest.fixture
def tinygen_(capfd):
    """Run a command in this process.  -> exit code, stdout, stderr"""

    def run(line):
        capfd.readouterr()
        code = cli.main(line.split())
        return code, *capfd.readouterr()

    return run


@pytest.fixture
def trained(tinygen_):
    assert tinygen_(f"{TRAIN} --out run")[0] == 0
    return Path("run/checkpoint.safetensors")


def start(line, limit=None, **options):
    """Start a command in a process of its own, in which no file may grow beyond `limit` bytes."""
    limits = limit and (lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | options
    return subprocess.Popen([sys.executable, "-m", "tinygen", *line.split()], preexec_fn=limits, **pipes)


def flipped(content):
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 4]) + content[middle + 1 :]


ZIPPED = gzip.compress(idx(3, 300))


@pytest.mark.parametrize(
    "file, content, words",
    [
        (IMAGES, b"", "0 bytes of data, expected an IDX header of 16"),
        (IMAGES, idx(3, 300), "not a whole gzip file"),
        (IMAGES, ZIPPED[: len(ZIPPED) // 2], "damaged or truncated gzip data"),
        (IMAGES, flipped(ZIPPED), ""),
        (
            IMAGES,
            gzip.compress(b"\0\0\x0d" + idx(3, 300)[3:]),
            "starts with 00 00 0d 03, expected 00 00 08 03",
        ),
        (IMAGES, gzip.compress(idx(3, 3, 2**32 - 1)), "the header promises 4,294,967,295 items"),
        (
            IMAGES,
            gzip.compress(idx(3, 3, 10**6)),
            "the header promises 784,000,000 bytes, the file cannot hold",
        ),
        (IMAGES, gzip.compress(idx(3, 299)), f"299 images, but {LABELS} has 300 labels"),
        (LABELS, gzip.compress(idx(1, 299)), f"{IMAGES}: 300 images, but {LABELS} has 299 labels"),
    ],
)
def test_damaged_data(tinygen_, file, content, words):
    Path("data", file).write_bytes(content)
    code, out, err = tinygen_(TRAIN)
    assert (code, out) == (2, "") and err.count("\n") == 1
    assert err.startswith("tinygen: error: data/") and words in err
    assert not list(Path("runs").glob("*"))


@pytest.mark.parametrize(
    "flags, words",
    [
        ("--batch 301", "batch of 301, expected 1 to the 300 examples of the split"),
        ("--data moons", "no dataset of images 'moons'; known: glyphs, mnist, fashion-mnist"),
        ("--data-dir nowhere", "mnist: the data folder nowhere does not exist or cannot be reached"),
        ("--net big", "argument --net: unknown value 'big'; known: seed, iwae"),
        ("--latent 0", "argument --latent: found 0, expected 1 or more"),
        ("--kl-warmup -1", "argument --kl-warmup: found -1, expected 0 or more"),
        ("--warmth 3", "unknown flag '--warmth'"),
        ("--out data", "data: found files but no config.json, expected a run or no files"),
        ("--out data/none.gz/run", "data/none.gz/run: cannot make the run folder: Not a directory"),
    ],
)
def test_bad_flags_leave_no_folder(tinygen_, flags, words):
    Path("data/none.gz").write_text("")
    code, out, err = tinygen_(f"{TRAIN} {flags}")
    errors = [line for line in err.splitlines() if not line.endswith(": steps 0 to 5")]
    assert (code, out, len(errors)) == (2, "", 1) and errors[0].startswith(f"tinygen: error: {words}")
    assert not list(Path("runs").glob("*")) and len(os.listdir("data")) == 5


@pytest.mark.parametrize(
    "damage, words",
    [
        (lambda good: b"", "cut short: found 0 bytes"),
        (lambda good: good[:1000], "cut short: found 1000 bytes"),
        (lambda good: good[:-1], "cut short: "),
        (flipped, "damaged: found contents with sha256 "),
        (lambda good: pickle.dumps({"net": 1}), "found a Python pickle"),
    ],
)
def test_a_damaged_checkpoint_is_refused_and_left_alone(tinygen_, trained, damage, words):
    bad = damage(trained.read_bytes())
    trained.write_bytes(bad)
    for line in "sample run", "eval run", f"{TRAIN} --out run --resume":
        code, out, err = tinygen_(line)
        assert (code, out) == (2, "") and err.startswith(f"tinygen: error: {trained}: {words}")
        assert err.count("\n") == 1 and trained.read_bytes() == bad


def test_a_checkpoint_of_another_net_is_refused(tinygen_, trained):
    assert tinygen_(f"{TRAIN} --out iwae --net iwae")[0] == 0
    trained.write_bytes(Path("iwae/checkpoint.safetensors").read_bytes())
    for line in "sample run", "eval run", f"{TRAIN} --out run --resume":
        code, _, err = tinygen_(line)
        words = f"{trained}: checkpoint of another run: found net iwae, expected seed"
        assert (code, err) == (2, f"tinygen: error: {words}\n")


def test_a_loss_that_is_not_finite(tinygen_):
    code, _, err = tinygen_(f"{TRAIN} --out run --lr 1e18 --checkpoint-every 1")
    step = checkpoint.read("run/checkpoint.safetensors")[1]["step"]
    assert code == 1 and err.count("\n") == 2 and f"is nan at step {step + 1}; " in err
    assert err.endswith(f"run/checkpoint.safetensors holds step {step}\n")


@pytest.mark.parametrize("limit, file", [(600, "metrics.jsonl"), (1_000_000, "checkpoint.safetensors")])
def test_a_full_disk_names_the_file_and_the_run_goes_on_later(tinygen_, limit, file):
    flags = "--steps 600 --pictures-every 600"
    full = start(f"{TRAIN} {flags} --out full", limit)
    _, err = full.communicate()
    # a slow machine adds lines of progress, a fresh checkout one about code that cannot be cached
    errors = [line for line in err.splitlines() if line.startswith("tinygen: error:")]
    assert full.returncode == 2 and len(errors) == 1 and errors[0] == err.splitlines()[-1]
    assert errors[0].startswith(f"tinygen: error: full/{file}: cannot write") and "File too large" in err
    assert tinygen_(f"{TRAIN} {flags} --out full --resume")[0] == 0
    assert tinygen_(f"{TRAIN} {flags} --out whole")[0] == 0
    assert_same_weights("full", "whole")


def test_a_full_disk_does_not_cost_the_numbers_of_eval(tinygen_, trained):
    assert tinygen_("eval run --k 3")[0] == 0  # in a fresh checkout this is when numba writes its cache
    full = start("eval run --k 3", limit=50)
    out, err = full.communicate()
    assert full.returncode == 2 and json.loads(out)["images"] == 50
    *_, few, failed = err.splitlines()
    assert "the images drawn are not measured: fd: found 50 images" in few
    assert failed == "tinygen: error: run/eval.json: cannot write: File too large"
    full = start("sample run -o grid.png", limit=50)
    assert full.communicate() == ("", "tinygen: error: grid.png: File too large\n")
    assert full.returncode == 2 and sorted(os.listdir()) == ["data", "run"]


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_then_resume(tinygen_, number, code):
    flags = "--steps 700 --pictures-every 700"
    process = start(f"{TRAIN} {flags} --out part")
    assert process.stderr.readline() == "part: steps 0 to 700\n"
    again = tinygen_(f"{TRAIN} {flags} --out part --resume")
    assert again == (2, "", "tinygen: error: part: another process is training in this folder\n")
    process.stderr.close()  # as in `2>&1 | tee log`, where Ctrl-C ends tee first
    process.send_signal(number)
    assert process.wait() == code
    assert checkpoint.read("part/checkpoint.safetensors")[1]["step"] < 700
    assert tinygen_(f"{TRAIN} {flags} --out part --resume")[0] == 0
    assert tinygen_(f"{TRAIN} {flags} --out whole")[0] == 0
    assert_same_weights("part", "whole")


def assert_same_weights(folder, other):
    (found, meta), (expected, _) = (
        checkpoint.read(Path(f, "checkpoint.safetensors")) for f in (folder, other)
    )
    assert meta["step"] == meta["config"]["steps"] and found.keys() == expected.keys()
    assert all(found[name].tobytes() == expected[name].tobytes() for name in expected)


def test_closed_outputs_lose_no_run(trained):
    program = f"set -o pipefail; {sys.executable} -m tinygen {TRAIN}"
    for i, closed in enumerate([">&-", "2>&-", ">&- 2>&-", "2>&1 >/dev/null | true"]):
        done = subprocess.run(["bash", "-c", f"{program} --out run{i} {closed}"], capture_output=True)
        assert done.returncode == 0 and b"error" not in done.stderr, closed
        assert_same_weights(f"run{i}", "run")
