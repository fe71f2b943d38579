"""Run folders that were edited, damaged or made to do harm: exit 2 and one sentence, or it works; no traceback,
no waiting for a pipe, and a refused command changes nothing."""

import itertools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import tinygen.models
from tinygen import cli
from tinygen.run import checkpoint, pictures
from tinygen.run.training import Run

FAKES = str(Path(__file__).parent / "fake_models")
PROGRAM = f"import sys, tinygen.models as m; m.__path__[:] = [{FAKES!r}]; from tinygen.cli import main; "
VALUES = [
    None,
    True,
    -5,
    10**400,
    1e308,
    float("nan"),
    "a\x1b[31m\nb\u202e",
    ["a", {}],
    {},
    {"$array": "nothing"},
]


@pytest.fixture
def fake(monkeypatch, tmp_path):
    monkeypatch.setattr(tinygen.models, "__path__", [FAKES])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        pictures, "curves", lambda records, unit="": repr(records).encode()
    )  # matplotlib is slow
    from tinygen.models import fake

    return fake


@pytest.fixture
def run(fake, capfd):
    """A run of 20 steps whose last checkpoint is of step 14, stopped after step 18."""
    process = [sys.executable, "-c", PROGRAM + "sys.exit(main())", "train", "fake", "--out", "run"]
    log = Run.log

    def stopped(run, **values):
        if run.done == 18:
            raise KeyboardInterrupt
        log(run, **values)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "log", stopped)
        assert cli.main([*process[3:], "--steps", "20"]) == 130
    capfd.readouterr()
    return Path("run")


def contents(folder):
    """Every file's bytes and every link of a folder."""
    return {
        path.relative_to(folder): os.readlink(path) if path.is_symlink() else path.read_bytes()
        for path in Path(folder).rglob("*")
        if path.is_symlink() or path.is_file()
    }


def tried(capfd, folder, *line):
    """Run a command; it works, or exits with 2 and one sentence and leaves the folder as it was.  -> code, stderr"""
    before = contents(folder)
    capfd.readouterr()
    code = cli.main(list(line))
    out, err = capfd.readouterr()
    assert code in (0, 2) or (code == 1 and "finite" in err), (line, code, err)
    assert not set("\x1b\u202e\r\0") & set(out + err) and "Traceback" not in err, err
    if code == 2:
        assert err.splitlines()[-1].startswith("tinygen: error: ") and "TINYGEN_DEBUG" not in err, err
        assert contents(folder) == before, line
    return code, err


def commands(folder):
    folder = str(folder)
    yield "train", "fake", "--resume", "--out", folder
    yield "sample", folder
    yield "eval", folder


def places(value, path=()):
    """The path to every value in nested JSON."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from places(item, (*path, key))


def changed(value, path, new):
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = changed(value[path[0]], path[1:], new)
    return copy


def edited(run, name, text):
    """A copy of the run with another file."""
    shutil.rmtree("copy", ignore_errors=True)
    shutil.copytree(run, "copy", symlinks=True)
    path = Path("copy", name)
    path.write_bytes(text) if isinstance(text, bytes) else path.write_text(text)
    return Path("copy")


def test_every_value_of_config_json(run, capfd):
    good = json.loads((run / "config.json").read_text())
    turn = itertools.cycle(commands("copy"))
    for path in places(good):
        for value in VALUES:
            copy = edited(run, "config.json", json.dumps(changed(good, path, value)))
            tried(capfd, copy, *next(turn))


def test_every_value_of_the_metadata(run, capfd):
    arrays, good = checkpoint.read(run / "checkpoint.safetensors")
    turn = itertools.cycle(commands("copy"))
    refused = 0
    for path in places(good):
        for value in VALUES:
            copy = edited(run, "config.json", (run / "config.json").read_bytes())
            checkpoint.write(copy / "checkpoint.safetensors", arrays, changed(good, path, value))
            refused += tried(capfd, copy, *next(turn))[0] == 2
    assert refused > 150


def test_every_value_of_a_line_of_metrics(run, capfd):
    lines = (run / "metrics.jsonl").read_text().splitlines(keepends=True)
    good = json.loads(lines[1])
    for path in places(good):
        for value in VALUES:
            text = json.dumps(changed(good, path, value)) + "\n"
            copy = edited(run, "metrics.jsonl", "".join([lines[0], text, *lines[2:]]))
            code, err = tried(capfd, copy, "train", "fake", "--resume", "--out", "copy")
            assert code == 0, (path, value, err)


@pytest.mark.parametrize("name", ["config.json", "metrics.jsonl", "checkpoint.safetensors"])
def test_files_that_are_cut_short_nested_or_no_files(run, capfd, name):
    good = (run / name).read_bytes()
    for text in (
        b"",
        good[:-1],
        good[: len(good) // 2],
        good[5:],
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b"0" * 2_000_000,
    ):
        for line in commands("copy"):
            tried(capfd, edited(run, name, text), *line)
    for special in (
        os.mkfifo,
        os.mkdir,
        lambda path: path.symlink_to("/dev/zero"),
        lambda path: path.symlink_to(path),
    ):
        for line in commands("copy"):
            copy = edited(run, name, b"")
            (copy / name).unlink()
            special(copy / name)
            there = (copy / name).exists()
            code, err = tried(capfd, copy, *line)
            if there and (name == "config.json" or line[0] == "train"):
                assert code == 2 and f"copy/{name}: " in err, err


def test_a_refused_resume_changes_nothing(run, capfd, monkeypatch, fake):
    """Regression: config.json was written before the data were found, and the run could not be resumed again."""

    def train(config, run):
        raise ValueError(f"no data in {config.data_dir}")

    with monkeypatch.context() as patch:
        patch.setattr(fake, "train", train)
        code, err = tried(capfd, run, "train", "fake", "--resume", "--out", "run", "--data-dir", "WRONG")
        assert (code, err) == (2, "tinygen: error: no data in WRONG\n")
    for flag in (
        ["--batch", "3"],
        ["--steps", "30"],
        ["--checkpoint-every", "0"],
        ["--data-dir", "a", "--lr", "1"],
    ):
        assert tried(capfd, run, "train", "fake", "--resume", "--out", "run", *flag)[0] == 2
    assert tried(capfd, run, "train", "fake", "--resume", "--out", "run", "--data-dir", "right")[0] == 0
    assert json.loads((run / "config.json").read_text())["config"]["data_dir"] == "right"


def test_steps_edited_in_config_json_are_as_refused_as_the_flag(run, capfd):
    good = json.loads((run / "config.json").read_text())
    copy = edited(run, "config.json", json.dumps(changed(good, ("config", "steps"), 40)))
    code, err = tried(capfd, copy, "train", "fake", "--resume", "--out", "copy")
    assert (code, err) == (2, "tinygen: error: copy: --steps was 20, now 40; a resumed run keeps its flags\n")
    assert tried(capfd, copy, "eval", "copy")[0] == 0  # what was trained is there
    good["config"]["grow"] = True
    copy = edited(run, "config.json", json.dumps(changed(good, ("config", "steps"), 40)))
    assert "checkpoint of another run: found grow False" in tried(capfd, copy, "eval", "copy")[1]


@pytest.mark.parametrize(
    "change, said",
    [
        (lambda lines: lines, None),
        (lambda lines: [*lines, b'{"step": 20, "lo'], None),  # what kill -9 leaves
        (lambda lines: [lines[0], b"{]\n", *lines[2:]], "1 of|are lost; damaged: line 2"),
        (
            lambda lines: [*lines[:2], lines[2][:-9]],
            "1 of|are lost; damaged: line 3; the last good one is of step 8",
        ),
        (lambda lines: [lines[0], *lines[2:]], "1 of|are lost; the last good one is of step 12"),
        (lambda lines: lines[:1], "2 of|are lost; the last good one is of step 4"),
        (lambda lines: [], "3 of|are lost; the last good one is of step 0"),
        (lambda lines: [b"\0" * 300], "3 of|are lost; damaged: line 1; the last good one is of step 0"),
    ],
)
def test_lines_that_are_lost_are_said(run, capfd, change, said):
    lines = (run / "metrics.jsonl").read_bytes().splitlines(keepends=True)
    assert [json.loads(line)["step"] for line in lines] == [4, 8, 12, 16]
    copy = edited(run, "metrics.jsonl", b"".join(change(lines[:3]) if said else change(lines)))
    code, err = tried(capfd, copy, "train", "fake", "--resume", "--out", "copy")
    words = (said or "").replace("|", " the lines up to the checkpoint's step 14 ")
    words = f"copy/metrics.jsonl: {words}\n"
    assert code == 0 and (words in err if said else "lost" not in err)
    assert b"".join((copy / "metrics.jsonl").read_bytes().splitlines(keepends=True)[:-2]) == b"".join(
        line for line in change(lines[:3]) if line in lines
    )


def test_only_our_own_temporary_files_are_removed_and_only_from_runs(run, capfd):
    dead = subprocess.run(["sh", "-c", "echo $$"], capture_output=True, text=True).stdout.strip()
    ours = f".checkpoint.safetensors.{dead}.tinygen-tmp"
    kept = [
        ".thesis.tex.swp.tmp",
        f".a.{os.getppid()}.tinygen-tmp",
        ".mine.tinygen-tmp",
        "sub/.a.1.tmp",
        f"sub/{ours}",
    ]
    kept += [f".linked.{dead}.tinygen-tmp"]
    for folder in Path("mine"), run, run / "samples":
        (folder / "sub").mkdir(parents=True)
        for name in [ours, *kept[:-1]]:
            (folder / name).write_text("precious")
        (folder / kept[-1]).symlink_to("sub")
    shutil.rmtree("mine/sub")
    assert tried(capfd, "mine", "train", "fake", "--out", "mine", "--steps", "2")[0] == 0
    assert all(Path("mine", name).exists() for name in kept[:3])
    assert tried(capfd, run, "train", "fake", "--resume", "--out", "run")[0] == 0
    for folder in run, run / "samples":
        assert not (folder / ours).exists() and all(os.path.lexists(folder / name) for name in kept)


def test_nothing_is_written_through_a_link_that_leads_out_of_the_run(run, capfd):
    Path("outside").mkdir()
    Path("victim").write_text("precious")
    for name, target in {".lock": "../victim", "metrics.jsonl": "../victim", "samples": "../outside"}.items():
        copy = edited(run, "config.json", (run / "config.json").read_bytes())
        shutil.rmtree(copy / name, ignore_errors=True)
        (copy / name).unlink(missing_ok=True)
        (copy / name).symlink_to(target)
        for line in commands("copy"):
            code, err = tried(capfd, copy, *line)
            if name == ".lock" and line[0] == "train":
                assert code == 2 and "copy/.lock: cannot make the run folder: is a link" in err
            if name == "samples" and line[0] != "eval":
                assert code == 2 and "copy/samples: is a link that leads out of the run" in err
        assert Path("victim").read_text() == "precious" and os.listdir("outside") == []
    copy = edited(run, "config.json", (run / "config.json").read_bytes())
    (copy / f".eval.json.{os.getpid()}.tinygen-tmp").symlink_to("../victim")
    (copy / "eval.json").symlink_to("../victim")
    assert cli.main(["eval", "copy"]) == 0
    assert Path("victim").read_text() == "precious" and not (copy / "eval.json").is_symlink()
    (copy / "samples").mkdir(exist_ok=True)
    (copy / "samples").rename(copy / "pictures")
    (copy / "samples").symlink_to("pictures")  # within the run
    assert tried(capfd, copy, "sample", "copy")[0] == 0


@pytest.mark.parametrize("steps", [0, 1])
def test_few_steps(fake, capfd, steps):
    assert cli.main(["train", "fake", "--steps", str(steps), "--out", "short"]) == 0
    assert cli.main(["train", "fake", "--resume", "--out", "short"]) == 0
    assert cli.main(["eval", "short"]) == (0 if steps else 2)
    assert ("no checkpoint yet" in capfd.readouterr().err) == (not steps)
