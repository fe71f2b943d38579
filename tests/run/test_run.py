import dataclasses
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import tinygen.models
from tinygen.kernels.runtime import blas
from tinygen.run import checkpoint, pictures
from tinygen.run.checkpoint import CheckpointError
from tinygen.run.flags import FlagError, make_config
from tinygen.run.folder import newest
from tinygen.run.training import NonFiniteLoss, Run, RunError, Stopped

FAKES = str(Path(__file__).parent / "fake_models")
PROGRAM = f"import sys, tinygen.models as m; m.__path__[:] = [{FAKES!r}]; from tinygen.cli import main; "
TINYGEN = [sys.executable, "-c", PROGRAM + "sys.exit(main())"]


@pytest.fixture
def fake(monkeypatch, tmp_path):
    """The module of a model that needs no engine, in an empty folder."""
    monkeypatch.setattr(tinygen.models, "__path__", [FAKES])
    monkeypatch.chdir(tmp_path)
    from tinygen.models import fake

    return fake


@pytest.fixture
def whole(fake):
    """A run that was never stopped."""
    return fake.train(fake.Config(), Run.create("fake", fake.Config(), "whole"))


def contents(folder):
    """What must be bit-identical between two runs: everything except the seconds."""
    arrays, meta = checkpoint.read(Path(folder, "checkpoint.safetensors"))
    meta["config"].pop("checkpoint_every")
    lines = [json.loads(line) for line in Path(folder, "metrics.jsonl").read_text().splitlines()]
    for record in meta, *lines:
        record.pop("seconds")
    return {name: a.tobytes() for name, a in arrays.items()}, meta, lines


def resume(fake, folder, **changes):
    config = fake.Config(**changes)
    free = fake.resumable_changes(config)
    return fake.train(config, Run.create("fake", config, folder, resume=True, free=free))


def test_the_run_folder(fake, whole):
    assert sorted(os.listdir("whole")) == [
        *[".lock", "checkpoint.safetensors", "config.json", "loss.png", "metrics.jsonl", "samples"]
    ]
    assert sorted(os.listdir("whole/samples")) == [f"samples-0000{n}.png" for n in (20, 40, 60)]
    saved = json.loads(Path("whole/config.json").read_text())
    assert saved["model"] == "fake" and saved["seed"] == 0 and saved["data_sha256"] == "0" * 64
    assert saved["config"]["widths"] == [3, 2] and saved["versions"]["numpy"] == np.__version__
    records = whole.metrics()
    assert [r["step"] for r in records] == list(range(4, 61, 4))
    assert records[-1]["loss"] < 0.1 * records[0]["loss"] and records[-1]["seconds"] >= records[0]["seconds"]
    opened = Run.open("whole", fake.Config)
    assert opened.config == fake.Config() and opened.model == "fake"


def test_other_matrix_kernels_and_threads_are_named_at_a_resume(fake, capfd, monkeypatch):
    run = Run.create("fake", fake.Config(), "run")
    assert run.facts["versions"]["blas_core"] == blas.core()
    run._lock.close()
    assert run.facts["versions"]["blas_threads"] == blas.threads()
    monkeypatch.setattr(blas, "core", lambda: "Elsewhere")
    monkeypatch.setattr(blas, "threads", lambda: 64)
    Run.create("fake", fake.Config(), "run", resume=True)
    expected = "other versions, {'blas_core': 'Elsewhere', 'blas_threads': 64}: not bit-identical to "
    assert expected in capfd.readouterr().err


def test_a_line_is_the_mean_since_the_last_one(fake):
    run = Run.create("fake", fake.Config())
    for step in run.steps(10, log_every=4):
        run.log(loss=float(step))
        if step % 2:
            run.log(other=np.float32(step))
    assert [(r["step"], r["loss"], r["other"]) for r in run.metrics()] == [
        (4, 1.5, 2),
        (8, 5.5, 6),
        (10, 8.5, 9),
    ]
    with open(run.path("metrics.jsonl"), "a") as f:
        f.write('{"step": 12, "loss": 1}')  # cut before its end
    assert run.metrics()[-1]["step"] == 10


def test_folders_are_numbered_and_never_overwritten(fake):
    names = [Run.create("fake", fake.Config()).folder for _ in range(2)]
    Path("runs/fake-glyphs-1000").mkdir()
    names.append(Run.create("fake", fake.Config()).folder)
    assert list(map(str, names)) == [f"runs/fake-glyphs-{n}" for n in ("001", "002", "1001")]
    with pytest.raises(RunError, match="already holds a run; add --resume"):
        Run.create("fake", fake.Config(), names[0])
    Path("mine").mkdir()
    Path("mine/thesis.tex").write_text("")
    for again in False, True:
        with pytest.raises(RunError, match="mine: found files but no config"):
            Run.create("fake", fake.Config(), "mine", resume=again)
    assert os.listdir("mine") == ["thesis.tex"]
    with pytest.raises(RunError, match="cannot make the run folder: Not a directory"):
        Run.create("fake", fake.Config(), "mine/thesis.tex/run")


def test_resume_continues_to_the_bit(fake, whole):
    first = Run.create("fake", fake.Config(), "part")
    with pytest.raises(ZeroDivisionError):
        train_until(fake, first, 33)
    lines = Path("part/metrics.jsonl")
    assert [r["step"] for r in first.metrics()][-1] == 32  # four steps after the checkpoint of step 28
    lines.write_text(lines.read_text() + '{"step": 36, "los')
    Path("part/.checkpoint.safetensors.999999999.tinygen-tmp").write_text("torn")
    resumed = resume(fake, "part")
    assert resumed.step == 60 and contents("part") == contents("whole")
    assert not list(Path("part").glob(".*tmp"))


def train_until(fake, run, stop):
    log = run.log

    def failing(**values):
        if run.step == stop:
            raise ZeroDivisionError
        log(**values)

    run.log = failing
    fake.train(run.config, run)


def test_resume_before_the_first_checkpoint_starts_at_0(fake, whole):
    with pytest.raises(ZeroDivisionError):
        train_until(fake, Run.create("fake", fake.Config(), "part"), 5)
    assert resume(fake, "part").step == 60
    assert contents("part") == contents("whole")
    assert resume(fake, "new").step == 60  # killed before the folder was made
    assert contents("new") == contents("whole")


def test_a_finished_run_has_nothing_left_to_do(fake, whole, capfd):
    before = contents("whole")
    resume(fake, "whole")
    assert "holds step 60 of 60, nothing left to do" in capfd.readouterr().err
    assert contents("whole") == before


def test_changed_flags_are_refused(fake, whole):
    for change, words in [
        ({"batch": 11}, "whole: --batch was 10, now 11; a resumed run keeps its flags"),
        ({"steps": 70}, "whole: --steps was 60, now 70"),
        ({"widths": (3,)}, r"whole: --widths was \[3, 2\], now \[3\]"),
    ]:
        with pytest.raises(RunError, match=words):
            resume(fake, "whole", **change)
    resume(fake, "whole", data_dir="/elsewhere", checkpoint_every=50)
    with pytest.raises(RunError, match="whole: found a run of fake, expected one of vae"):
        Run.create("vae", fake.Config(), "whole", resume=True)
    with pytest.raises(RunError, match="data_sha256 was 000"):
        Run.create("fake", fake.Config(data_dir="/x"), "whole", resume=True).record(data_sha256="1")


def test_more_steps_where_nothing_depends_on_them(fake):
    long = fake.Config(grow=True, steps=41)
    fake.train(long, Run.create("fake", long, "whole"))
    short = fake.Config(grow=True, steps=30)
    fake.train(short, Run.create("fake", short, "part"))
    assert [r["step"] for r in Run.open("part", fake.Config).metrics()][-2:] == [28, 30]
    resume(fake, "part", grow=True, steps=41)
    assert contents("part") == contents("whole")
    with pytest.raises(RunError, match="--steps was 41, now 40"):
        resume(fake, "part", grow=True, steps=40)


def test_the_newest_run_of_the_model_and_data(fake):
    for i, (model, data) in enumerate([("fake", "mnist"), ("fake", "glyphs"), ("vae", "glyphs")]):
        path = Run.create(model, fake.Config(data=data)).path("config.json")
        os.utime(path, (i, i))
    assert newest("fake").name == "fake-glyphs-001" and newest("fake", "mnist").name == "fake-mnist-001"
    assert resume(fake, None, data="mnist").folder.name == "fake-mnist-001"
    with pytest.raises(RunError, match="runs: no run of gan to resume"):
        newest("gan")


def test_one_process_trains_in_a_folder(fake):
    run = Run.create("fake", fake.Config(), "run")
    with pytest.raises(RunError, match="run: another process is training in this folder"):
        Run.create("fake", fake.Config(), "run", resume=True)
    fake.train(run.config, run)
    Run.create("fake", fake.Config(), "run", resume=True)


def test_a_non_finite_loss_keeps_the_last_good_checkpoint(fake, monkeypatch):
    monkeypatch.setenv("FAKE_NAN", "31")
    with pytest.raises(NonFiniteLoss) as e:
        fake.train(fake.Config(), Run.create("fake", fake.Config(), "run"))
    assert str(e.value) == (
        "loss is nan at step 33; the first non-finite parameter is net.weight; "
        "run/checkpoint.safetensors holds step 28"
    )
    assert checkpoint.read("run/checkpoint.safetensors")[1]["step"] == 28
    run = Run.create("fake", fake.Config())
    with pytest.raises(NonFiniteLoss, match="kl is inf at step 1; all parameters are finite; there is no"):
        for _ in run.steps(3):
            run.log(loss=1.0, kl=np.float32("inf"))


def test_a_checkpoint_never_holds_non_finite_parameters(fake, monkeypatch):
    monkeypatch.setenv("FAKE_NAN", "34")  # the last step before a checkpoint
    with pytest.raises(NonFiniteLoss, match=r"net.weight is not finite after step 35; .* holds step 28"):
        fake.train(fake.Config(), Run.create("fake", fake.Config(), "run"))
    assert np.isfinite(checkpoint.read("run/checkpoint.safetensors")[0]["net.weight"]).all()


def test_checkpoints_that_do_not_fit(fake, whole):
    run = Run.open("whole", fake.Config)
    with pytest.raises(CheckpointError, match=r"another model: net: weight: found \(5,\), expected \(6,\)"):
        run.load(net=fake.Net(6))
    with pytest.raises(CheckpointError, match="unknown part 'nett'; did you mean 'net'"):
        run.load(nett=fake.Net(5))
    again = Run.create("fake", fake.Config(), "whole", resume=True)
    again.track(net=fake.Net(5))
    with pytest.raises(CheckpointError, match="the checkpoint also holds optimizer"):
        next(again.steps(70))
    other = dataclasses.replace(fake.Config(), batch=3)
    Run.create("fake", other, "other")
    Path("other/checkpoint.safetensors").write_bytes(Path("whole/checkpoint.safetensors").read_bytes())
    with pytest.raises(CheckpointError, match="checkpoint of another run: found batch 10, expected 3"):
        Run.open("other", fake.Config).load()
    with pytest.raises(RunError, match="no checkpoint yet"):
        Run.create("fake", fake.Config()).load()


def test_config_json_is_checked(fake, whole):
    path = Path("whole/config.json")
    good = json.loads(path.read_text())
    for change, words in [
        ({"btch": 3}, "unknown field 'btch'; did you mean 'batch'"),
        ({"batch": "3"}, "--batch: found '3', expected a whole number"),
        ({"batch": True}, "--batch: found True"),
        ({"batch": 0}, "--batch: found 0, expected 1 or more"),
        ({"kind": "odd"}, "unknown value 'odd'"),
        ({"lr": None}, "--lr: found None, expected a number"),
        ({"widths": [1, "a"]}, "--widths: found 'a'"),
    ]:
        path.write_text(json.dumps(good | {"config": good["config"] | change}))
        with pytest.raises(RunError, match=words):
            Run.open("whole", fake.Config)
    path.write_text("{")
    with pytest.raises(RunError, match=r"config\.json: cannot be read"):
        Run.open("whole", fake.Config)
    path.write_text("[]")
    with pytest.raises(RunError, match="expected an object with a model"):
        Run.open("whole", fake.Config)
    with pytest.raises(FlagError):
        make_config(fake.Config, {"lr": float("nan")})


def test_a_signal_in_python_stops_after_the_step(fake):
    run = Run.create("fake", fake.Config())
    with pytest.raises(Stopped) as e:
        for step in run.steps(100):
            if step == 4:
                os.kill(os.getpid(), signal.SIGTERM)
            assert step < 5
    assert e.value.code == 143 and checkpoint.read(run.path("checkpoint.safetensors"))[1]["step"] == 5
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def launch(*words, slow="0.002", **options):
    env = os.environ | {"FAKE_SLOW": slow}
    return subprocess.Popen(
        [*TINYGEN, *words], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options
    )


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_checkpoint_and_say_where(whole, number, code):
    process = launch("train", "fake", "--out", "part")
    while (line := process.stdout.readline()) != b"10\n":
        assert line, process.stderr.read()
    process.send_signal(number)
    _, err = process.communicate()
    assert process.returncode == code
    step = checkpoint.read("part/checkpoint.safetensors")[1]["step"]
    assert 11 <= step < 60
    assert f"stopped by {number.name}; part/checkpoint.safetensors holds step {step}" in err.decode()
    assert (
        subprocess.run(
            [*TINYGEN, "train", "fake", "--out", "part", "--resume"], capture_output=True
        ).returncode
        == 0
    )
    assert contents("part") == contents("whole")


def test_kill_9_at_any_moment_then_resume(whole):
    rng = random.Random(0)
    steps = []
    for _attempt in range(4):
        process = launch("train", "fake", "--out", "part", "--resume")
        for _ in range(rng.randrange(1, 25)):
            process.stdout.readline()
        time.sleep(rng.uniform(0, 0.005))
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        path = Path("part/checkpoint.safetensors")
        steps.append(checkpoint.read(path)[1]["step"] if path.exists() else 0)
    assert steps == sorted(steps) and 0 < steps[-1] < 60, steps
    done = subprocess.run([*TINYGEN, "train", "fake", "--out", "part", "--resume"], capture_output=True)
    assert done.returncode == 0, done.stderr
    assert contents("part") == contents("whole")


def test_grid_and_png():
    images = np.arange(5)[:, None, None] * np.ones((5, 2, 3)) / 4
    sheet = pictures.grid(images, columns=3, gap=1)
    assert sheet.shape == (5, 11)
    np.testing.assert_allclose(sheet[[0, 0, 0, 3, 3, 3], [0, 4, 8, 0, 4, 8]], [0, 0.25, 0.5, 0.75, 1, 0])
    assert pictures.grid(np.zeros((2, 3, 4, 4))).shape == (4, 10, 3)
    assert pictures.grid(np.zeros((2, 1, 4, 4))).shape == (4, 10)
    with pytest.raises(ValueError, match=r"found images of shape \(2, 2, 4, 4\)"):
        pictures.grid(np.zeros((2, 2, 4, 4)))

    import io

    from PIL import Image

    values = np.asarray(Image.open(io.BytesIO(pictures.png([[-1.0, 0.5, 2.0]]))))
    np.testing.assert_array_equal(values, [[0, 128, 255]])
