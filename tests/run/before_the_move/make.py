"""How the run folders beside this file were made, with the version before the house was rebuilt (commit 6ba2ddb).

    PYTHON_OF_THAT_VERSION make.py FOLDER

`tinygen train MODEL --steps 120` is stopped by SIGTERM after step 110.  The checkpoints of the four take 80 MB, so that
version then reads each, keeps one in so many elements of every large tensor and of what is kept the upper 16 bits, sets
the others to 0, and writes it again: names, shapes, dtypes, metadata and checksum are of the real thing.  expected.json
is what that version's `tinygen eval` says of the result, and the last line of metrics.jsonl after its
`tinygen train --resume`.
"""

import json
import lzma
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np

STOPPING = """
import importlib, os, runpy, signal, sys, typing
train = importlib.import_module("tinygen.models." + sys.argv[2].replace("-", "_")).train
Run = typing.get_args(typing.get_type_hints(train)["run"])[0]
log = Run.log
def log_and_stop(run, **values):
    log(run, **values)
    if run.done == 110:
        os.kill(os.getpid(), signal.SIGTERM)
Run.log, sys.argv[0] = log_and_stop, "tinygen"
runpy.run_module("tinygen", run_name="__main__")
"""
KEPT = {"vae": 61, "gan": 397, "wgan-gp": 397, "ddpm": 7}  # one in so many elements
FLAGS = {"ddpm": ["--width", "8"]}
EVAL = {"vae": ["--k", "5"], "ddpm": ["--sampling-steps", "5"]}  # and --samples 900


def thinned(arrays: dict, kept: int) -> dict:
    """Arrays of which xz makes little: bfloat16's bits, and of the large ones mostly zeros"""
    result = {}
    for name, array in arrays.items():
        array = array.copy()
        if array.dtype == np.float32:
            flat = array.reshape(-1)
            flat.view(np.uint32)[:] &= 0xFFFF0000
            if array.size > 2048:
                flat[np.arange(array.size) % kept != 0] = 0
        result[name] = array
    return result


def make(model: str, folder: Path) -> None:
    from tinygen import checkpoint  # of that version

    def tinygen(*words) -> str:
        return subprocess.run(
            [sys.executable, "-m", "tinygen", *words], check=True, capture_output=True
        ).stdout

    run = folder / model
    subprocess.run(
        [
            sys.executable,
            "-c",
            STOPPING,
            "train",
            model,
            "--steps",
            "120",
            "--out",
            run,
            *FLAGS.get(model, []),
        ]
    )
    path = run / "checkpoint.safetensors"
    arrays, meta = checkpoint.read(path)
    checkpoint.write(path, thinned(arrays, KEPT[model]), meta)
    packed = lzma.compress(path.read_bytes(), preset=9 | lzma.PRESET_EXTREME)
    copy = folder / f"{model}-resumed"
    shutil.copytree(run, copy)
    expected = {"eval": json.loads(tinygen("eval", run, "--samples", "900", *EVAL.get(model, [])))}
    tinygen("train", model, "--resume", "--out", copy)
    expected["resumed"] = json.loads((copy / "metrics.jsonl").read_text().splitlines()[-1])
    shutil.rmtree(copy)
    for other in (*run.glob("eval*.json"), *run.glob("*.png"), path, run / ".lock"):
        other.unlink()
    run.joinpath("checkpoint.safetensors.xz").write_bytes(packed)
    run.joinpath("expected.json").write_text(json.dumps(expected, indent=1) + "\n")


if __name__ == "__main__":
    for name in KEPT:
        make(name, Path(sys.argv[1]).resolve())
