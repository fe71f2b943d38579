"""benchmarks/gpu/session.py: steps with time limits, saved results, merging; and loss_curves.py on the CPU."""

import copy
import json
import sys
import time

import pytest
from test_bench_gpu import of_a_gpu

from tinygen.benchmarks import bench
from tinygen.benchmarks.gpu import loss_curves
from tinygen.benchmarks.gpu import session as gpu_session
from tinygen.benchmarks.gpu.session import FAMILIES, STEPS, Session, merged


def python(code):
    return sys.executable, "-c", code


def kept(folder):
    return json.loads((folder / "session.json").read_text(encoding="utf-8"))


def test_every_group_of_cases_is_in_one_family():
    named = [group for family, groups in FAMILIES.items() if family != "steps" for group in groups]
    groups = {case.group for case in bench.all_cases("cuda") if not case.step}
    assert set(named) == groups and len(named) == len(groups)


def test_what_a_step_did_is_kept_at_once(tmp_path):
    session = Session(tmp_path, 100)
    session.run("one", python("print('done'); raise SystemExit(3)"), 60)
    assert kept(tmp_path)["passed"] == {"one": False} and kept(tmp_path)["steps"]["one"]["exit"] == 3
    session.run("two", python("print('fine')"), 60)
    assert kept(tmp_path)["passed"] == {"one": False, "two": True}
    assert kept(tmp_path)["steps"]["two"]["last"] == ["fine"]
    assert "done" in (tmp_path / "session.log").read_text()


def test_a_step_that_hangs_is_cut_off_with_all_it_started(tmp_path):
    mark = tmp_path / "mark"
    child = f"import time; time.sleep(3); open({str(mark)!r}, 'w')"
    code = f"import subprocess, sys; print('begun', flush=True); subprocess.run([sys.executable, '-c', {child!r}])"
    result = Session(tmp_path, 100).run("hangs", python(code), 1.5)
    assert result["exit"] is None and result["cut off"] == "after 2 s"
    time.sleep(3)
    assert not mark.exists()


def test_without_time_nothing_starts(tmp_path):
    result = Session(tmp_path, 0).run("late", python("print(1)"), 60)
    assert result["exit"] is None and result["last"] == []


def test_parts_of_a_benchmark_are_merged_as_they_come(tmp_path, monkeypatch):
    def run(self, name, command, limit):
        assert "--device cuda" in " ".join(map(str, command))
        result = of_a_gpu() | {"seconds": 2.0, "failed": []}
        result["cases"] = [result["cases"][0] | {"name": name}]
        command[-1].write_text(json.dumps(result), encoding="utf-8")

    monkeypatch.setattr(Session, "run", run)
    session = Session(tmp_path, 100)
    for name in ("bench-matmul", "bench-steps"):
        STEPS[name](session)
    result = json.loads((tmp_path / "bench.json").read_text(encoding="utf-8"))
    assert [case["name"] for case in result["cases"]] == ["bench matmul", "bench steps"]
    assert result["seconds"] == 4.0 and [p.name for p in tmp_path.iterdir()] == ["bench.json"]


def test_merged_takes_the_best_roof_and_one_machine():
    one, other = (of_a_gpu() | {"seconds": 1.0, "failed": []} for _ in range(2))
    other = copy.deepcopy(other)
    other["roofline"] = other["roofline"] | {"gflops": 1000.0}
    other["cases"][0]["name"] = "another"
    result = merged([one, other])
    assert result["roofline"]["gflops"] == 1000.0 and len(result["cases"]) == 3
    case = result["cases"][0]
    least = max(case["flops"] / 1000, case["bytes"] / result["roofline"]["gbps"]) / 1e6
    assert case["rates"]["torch"]["roofline"] == round(100 * least / case["sides"]["torch"]["ms"], 1)
    other["machine"]["device"] = "NVIDIA H100"
    with pytest.raises(ValueError, match="two machines"):
        merged([one, other])


def test_the_command(tmp_path, monkeypatch, capsys):
    done = []
    monkeypatch.setattr(gpu_session.devices, "why_no_gpu", lambda: None)
    monkeypatch.setattr(gpu_session, "STEPS", {"a": lambda s: done.append(s.seconds), "b": lambda s: 1 / 0})
    assert gpu_session.main(["--out", str(tmp_path / "new"), "a", "--minutes", "2"]) == 0 and done == [120]
    with pytest.raises(SystemExit):
        gpu_session.main(["--out", str(tmp_path), "c"])
    assert "unknown step 'c'; known: a, b" in capsys.readouterr().err
    for n in range(2):
        result = of_a_gpu() | {"seconds": 1.0, "failed": []}
        (tmp_path / f"{n}.json").write_text(json.dumps(result), encoding="utf-8")
    files = [str(tmp_path / f"{n}.json") for n in range(2)]
    assert gpu_session.main(["--merge", *files, "--out", str(tmp_path / "h200.json")]) == 0
    assert len(json.loads((tmp_path / "h200.json").read_text())["cases"]) == 2


def test_without_a_gpu_nothing_is_said_to_pass(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(gpu_session.devices, "why_no_gpu", lambda: "no NVIDIA driver found")
    with pytest.raises(SystemExit) as ended:
        gpu_session.main(["--out", str(tmp_path / "new"), "fragments"])
    assert ended.value.code == 2 and "no NVIDIA driver found" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_loss_curves_are_of_every_step(tmp_path, capsys, monkeypatch):
    curves = {"cpu": [4.0, 2.0, 1.0], "cuda": [4.0, 2.5, 1.1]}
    monkeypatch.setattr(loss_curves, "losses", lambda device, config: curves[device])
    assert loss_curves.main(["--steps", "3", "--json", str(tmp_path / "c.json")]) == 0
    result = json.loads((tmp_path / "c.json").read_text())
    assert (result["largest_relative_difference"], result["at_step"]) == (0.25, 1)
    out = capsys.readouterr().out
    assert out.startswith("first step 4.000000 and 4.000000, last 1.000000 and 1.100000; largest relative")
    assert "difference 2.5e-01, step 1" in out
