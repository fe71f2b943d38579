import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tinygen.models
from tinygen import cli, doctor
from tinygen.run import pictures

FAKES = str(Path(__file__).parent / "fake_models")
PROGRAM = f"import sys, tinygen.models as m; m.__path__[:] = [{FAKES!r}]; from tinygen.cli import main; "
TINYGEN = [sys.executable, "-c", PROGRAM + "sys.exit(main())"]


@pytest.fixture(autouse=True)
def fake(monkeypatch, tmp_path):
    monkeypatch.setattr(tinygen.models, "__path__", [FAKES])
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def tinygen_(capfd):
    """Run a command in this process.  -> exit code, stdout, stderr"""

    def run(line):
        capfd.readouterr()
        code = cli.main(line.split())
        out, err = capfd.readouterr()
        return code, out, err

    return run


@pytest.fixture
def trained(tinygen_):
    assert tinygen_("train fake --out run --steps 20")[0] == 0
    return "run"


def test_train_writes_a_numbered_run_and_prints_it(tinygen_):
    code, out, err = tinygen_(
        "train fake --steps 3 --lr 0.1 --kind fancy --widths 4,5 --verbose --data-dir /x --data mnist"
    )
    assert (code, out) == (0, "runs/fake-mnist-001\n")
    assert err.splitlines()[0] == "runs/fake-mnist-001: steps 0 to 3" and len(err.splitlines()) == 2
    config = json.loads(Path("runs/fake-mnist-001/config.json").read_text())["config"]
    given = {"data": "mnist", "data_dir": "/x", "steps": 3, "lr": 0.1, "kind": "fancy"}
    rest = {"seed": 0, "batch": 10, "checkpoint_every": 7, "grow": False}
    assert config == given | rest | {"widths": [4, 5], "verbose": True}


@pytest.mark.parametrize(
    "line, words",
    [
        ("train fake --stepz 3", "unknown flag '--stepz'; did you mean '--steps'? known: "),
        ("train fake --see 3", "unknown flag '--see'"),
        ("train fake --steps three", "argument --steps: found 'three', expected a whole number"),
        ("train fake --steps", "argument --steps: expected one argument"),
        ("train fake --steps -1", "argument --steps: found -1, expected 0 or more"),
        ("train fake --batch 0", "argument --batch: found 0, expected 1 or more"),
        ("train fake --lr nan", "argument --lr: found nan, expected a number"),
        ("train fake --kind odd", "argument --kind: unknown value 'odd'; known: plain, fancy"),
        ("train fake --widths 1,x", "argument --widths: found '1,x', expected values like 3,2"),
        ("train fake extra", "unexpected argument 'extra'"),
        (
            "train fake --data minst",
            "argument --data: unknown data 'minst'; did you mean 'mnist'? known: glyphs, mnist",
        ),
        ("train fake --data moons", "fake: moons are not images"),
        ("train fake --data moons --out new", "fake: moons are not images"),
        (
            "train fake --device cuda:1",
            "--device: unknown device 'cuda:1'; did you mean 'cuda'? known: cpu, cuda",
        ),
        ("train fake --device gpu", "--device: unknown device 'gpu'; did you mean 'cpu'? known: cpu, cuda"),
        ("train fake --out file/run", "file/run: cannot make the run folder: Not a directory"),
        ("train fake --out file", "file: cannot make the run folder: File exists"),
        ("train fake --out /proc/run", "/proc/run: cannot make the run folder"),
        ("train fake --resume", "runs: no run of fake to resume"),
        ("train fake --out run", "run: already holds a run; add --resume, or choose another --out"),
        (
            "train fake --out run --resume --batch 3",
            "run: --batch was 10, now 3; a resumed run keeps its flags",
        ),
        ("train fke", "unknown model 'fke'; did you mean 'fake'? known: fake"),
        ("train", "train: name the MODEL first; usage: tinygen train MODEL [flags]; models: fake"),
        ("train --seed 3 fake", "train: name the MODEL first"),
        ("trian fake", "unknown command 'trian'; did you mean 'train'? known: train, sample"),
        ("--bogus", "unknown flag '--bogus'"),
        ("sample none", "none: no such run folder"),
        ("sample .", ".: found no config.json, expected a run"),
        ("sample run --label 3", "--label: fake has no labels"),
        ("sample run --strip", "--strip: fake has no steps to show"),
        ("sample run -n 0", "-n: found 0, expected 1 or more"),
        ("sample run -n x", "argument -n: invalid int value: 'x'"),
        ("sample run -o x.jpg", "-o: found x.jpg, expected a name that ends in .png"),
        ("sample run -o none/x.png", "-o: none/x.png cannot be written"),
        ("eval run --kk 3", "unknown flag '--kk'"),
        ("eval run --k 0", "argument --k: found 0, expected 1 or more"),
        ("eval run --data minst", "argument --data: unknown data 'minst'"),
        ("list --all", "unknown flag '--all'"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(tinygen_, trained, line, words):
    Path("file").write_text("")
    code, out, err = tinygen_(line)
    assert code == 2 and out == ""
    assert err.startswith("tinygen: error: " + words) and err.count("\n") == 1
    assert sorted(set(os.listdir()) - {"runs"}) == ["file", "run"] and not list(Path().glob("runs/*"))


def test_capture_on_the_cpu_says_so_once_and_trains(tinygen_):
    """It is no field of the config: a run may be resumed with it or without."""
    code, _, err = tinygen_("train fake --out run --steps 10 --capture")
    assert code == 0 and err.count("--capture does nothing on the CPU") == 1
    assert "capture" not in json.loads(Path("run/config.json").read_text())["config"]
    assert tinygen_("train fake --out run --resume")[0] == 0


def test_resume_keeps_the_flags_that_are_not_given(tinygen_):
    assert tinygen_("train fake --out run --steps 10 --batch 3 --seed 5")[0] == 0
    assert tinygen_("train fake --out run --resume")[0] == 0
    assert tinygen_("train fake --out run --resume --seed 5 --checkpoint-every 3")[0] == 0
    config = json.loads(Path("run/config.json").read_text())["config"]
    assert (config["steps"], config["batch"], config["seed"], config["checkpoint_every"]) == (10, 3, 5, 3)


def test_sample_prints_where_the_picture_is(tinygen_, trained):
    assert tinygen_("sample run -n 5 --seed 3")[:2] == (0, "run/samples/sample-n5-seed3-000020.png\n")
    assert tinygen_("sample run -o a.png -n 4")[:2] == (0, "a.png\n")
    from PIL import Image

    assert Image.open("a.png").size == (2 * 300 + 3 * pictures.GAP,) * 2


def test_a_picture_takes_the_place_of_another_only_when_it_is_named(tinygen_, trained):
    def sampled(flags=""):
        return Path(tinygen_(f"sample run {flags}")[1].strip())

    names = [sampled(flags) for flags in ("", "-n 16", "--seed 1", "-n 16 --seed 1")]
    assert len(set(names)) == 4 and sampled() == names[0]  # the same picture has the same name
    names[0].write_bytes(b"what somebody put here")
    again, third = sampled(), sampled()
    assert again == third == Path("run/samples/sample-n64-seed0-000020-2.png")
    assert names[0].read_bytes() == b"what somebody put here"
    Path("a.png").write_bytes(b"mine")
    sampled("-o a.png")
    assert Path("a.png").read_bytes() == again.read_bytes()


def test_every_answer_of_eval_is_kept(tinygen_, trained):
    answers = {flags: json.loads(tinygen_(f"eval run {flags}")[1]) for flags in ("--k 4", "--k 5", "")}
    assert json.loads(Path("run/eval.json").read_text()) == answers[""]
    found = {name: json.loads(Path("run", name).read_text()) for name in os.listdir("run") if "eval-" in name}
    assert found == {
        "eval-k4-000020.json": answers["--k 4"],
        "eval-k5-000020.json": answers["--k 5"],
        "eval-000020.json": answers[""],
    }


def test_what_a_model_does_not_say_is_left_out(tinygen_, trained, monkeypatch):
    fake = cli._module("fake")
    monkeypatch.setattr(fake, "evaluate", lambda run: run.load(net=fake.Net(5)) or {"modes": 3})
    assert json.loads(tinygen_("eval run")[1]) == {"model": "fake", "data": "glyphs", "step": 20, "modes": 3}


def test_eval_prints_one_object_and_keeps_it(tinygen_, trained):
    code, out, err = tinygen_("eval run --k 4")
    assert err == "run: nll_se: not a finite number, null in JSON\n"
    result = json.loads(out)
    assert code == 0 and out.count("\n") == 1 and result == json.loads(Path("run/eval.json").read_text())
    assert list(result) == ["model", "data", "split", "images", "step", "nll", "nll_se", "k"]
    assert (
        result["step"] == 20 and result["split"] == "test" and result["nll_se"] is None and result["k"] == 4
    )


def test_a_damaged_checkpoint_or_config(tinygen_, trained):
    path = Path("run/checkpoint.safetensors")
    path.write_bytes(path.read_bytes()[:-1])
    for line in "sample run", "eval run", "train fake --out run --resume":
        code, _, err = tinygen_(line)
        assert code == 2 and "run/checkpoint.safetensors: cut short" in err and err.count("\n") == 1
    path.unlink()
    code, _, err = tinygen_("sample run")
    assert (code, err) == (2, "tinygen: error: run: no checkpoint yet\n")
    Path("run/config.json").write_text(json.dumps({"model": "fkae", "config": {}}))
    code, _, err = tinygen_("eval run")
    assert code == 2 and "run/config.json: unknown model 'fkae'; did you mean 'fake'" in err


def test_a_non_finite_loss_is_one_line_and_exit_1(tinygen_, monkeypatch):
    monkeypatch.setenv("FAKE_NAN", "10")
    code, _, err = tinygen_("train fake --out run")
    assert code == 1 and err.splitlines()[1:] == [
        "tinygen: error: loss is nan at step 12; the first non-finite parameter is net.weight; "
        "run/checkpoint.safetensors holds step 7"
    ]


def test_debug_shows_the_traceback(monkeypatch):
    monkeypatch.setenv("TINYGEN_DEBUG", "1")
    with pytest.raises(ValueError, match="no such run"):
        cli.main(["sample", "none"])


def test_an_unexpected_error_names_its_type(tinygen_, monkeypatch):
    monkeypatch.setattr(cli, "_list", lambda argv: {}["key"])
    code, _, err = tinygen_("list")
    assert (code, err) == (1, "tinygen: error: KeyError: 'key' (TINYGEN_DEBUG=1 shows where)\n")


def test_help_comes_from_the_fields_comments(tinygen_):
    code, out, _ = tinygen_("train fake --help")
    words = " ".join(out.split())
    assert code == 0 and "A straight line fitted by gradient descent" in words
    assert "--data STR what to learn from (default glyphs)" in words
    assert "--lr FLOAT 100% of it (default 0.05)" in words
    assert "--kind plain|fancy (default plain)" in words and "--verbose, --no-verbose" in words
    assert "--widths TUPLE (default 3,2)" in words and "--data-dir STR (no default)" in words
    assert tinygen_("eval --help")[0] == 0 and tinygen_("train --help")[1].endswith("lists its flags.\n")


def test_list_and_version(tinygen_):
    code, out, _ = tinygen_("list")
    assert code == 0 and re.search("fake  +A straight line fitted", out) and "\n  glyphs " in out
    kernels = out[out.index("\nkernels: ") :].splitlines()[2:]
    assert len({line.index(" cpu: ") for line in kernels}) == 1  # one column, however long the names
    (matmul,) = (line for line in kernels if line.split()[0] == "matmul")
    assert matmul.endswith(
        "; cuda: reference; cuda, host: naive, tiled, register_tiled, vectorized; "
        "cuda, simulator: numba_naive, numba_tiled"
    )
    assert tinygen_("--version") == (0, f"tinygen {tinygen.__version__}\n", "")
    assert tinygen_("")[0] == 2


def test_doctor_never_fails(tinygen_, monkeypatch):
    code, out, _ = tinygen_("doctor")
    assert code == 0 and f"numpy          {np.__version__}, BLAS " in out
    for name in (
        "python",
        "threads",
        "cpu",
        "tiles",
        "products",
        "numba",
        "cupy",
        "torch",
        "cuda",
        "nvrtc",
        "launches",
        "g++",
        "cache",
        "glyphs",
        "mnist",
    ):
        assert f"\n{name} " in "\n" + out and "cannot tell" not in out
    monkeypatch.setattr(doctor, "_blas", lambda: 1 / 0)
    assert "cannot tell (ZeroDivisionError: division by zero)" in tinygen_("doctor")[1]
    monkeypatch.setattr(doctor.importlib.util, "find_spec", lambda name: None)
    assert (
        "numba          missing; would enable compiled CPU kernels: pip install numba"
        in tinygen_("doctor")[1]
    )


def test_doctor_says_why_a_product_is_computed_as_it_is(monkeypatch):
    monkeypatch.setattr(doctor.blas, "maker", lambda: "OpenBLAS")
    monkeypatch.setattr(doctor.blas, "cpu_family", lambda: "GenuineIntel avx512")
    assert doctor._products().endswith(
        "(by what was faster for the most similar shape measured on GenuineIntel avx512)"
    )
    monkeypatch.setattr(doctor.blas, "cpu_family", lambda: "Zilog wide")
    assert doctor._reason() == "our own was not measured on Zilog wide"
    monkeypatch.setattr(doctor.blas, "maker", lambda: "MKL")
    assert doctor._reason() == "NumPy's BLAS is MKL; our own was measured beside OpenBLAS only"


def test_a_full_disk_is_one_line_and_keeps_the_checkpoint(trained):
    good = Path("run/checkpoint.safetensors").read_bytes()
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (800, 800)); "
    program = [sys.executable, "-c", limit + PROGRAM + "sys.exit(main())"]
    done = subprocess.run([*program, "train", "fake", "--out", "full"], capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.splitlines()[1:] == [
        "tinygen: error: full/checkpoint.safetensors: cannot write the checkpoint: File too large"
    ]
    assert not Path("full/checkpoint.safetensors").exists()
    done = subprocess.run([*program, "sample", "run", "-n", "999"], capture_output=True, text=True)
    assert done.returncode == 2 and "cannot write: File too large" in done.stderr
    assert done.stderr.count("\n") == 1 and Path("run/checkpoint.safetensors").read_bytes() == good


def test_a_closed_pipe_is_quiet():
    process = subprocess.Popen([*TINYGEN, "list"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait() == 141


def test_a_progress_bar_on_a_terminal():
    import pty

    main, terminal = pty.openpty()
    env = os.environ | {"FAKE_SLOW": "0.02", "COLUMNS": "120"}
    done = subprocess.run(
        [*TINYGEN, "train", "fake", "--steps", "30"], stderr=terminal, stdout=subprocess.DEVNULL, env=env
    )
    os.close(terminal)
    shown = os.read(main, 100_000).decode()
    assert done.returncode == 0
    assert "images/s" in shown and "loss " in shown and "/30" in shown
