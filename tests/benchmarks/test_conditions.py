"""Steps under load and on one thread, and results that are kept by the CPU's maker."""

import json
import os
import time

import pytest
from example_results import ONE, ROOF, example

from tinygen.benchmarks import bench, machine
from tinygen.benchmarks.conditions import saved, thread_counts, under_load
from tinygen.benchmarks.step_cases import step_case
from tinygen.benchmarks.tables import makers


def processor_seconds(pid: int) -> float:
    fields = open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="needs Linux's /proc")
def test_busy_programs_are_busy_on_their_cores_and_end(monkeypatch):
    started, popen = [], under_load.subprocess.Popen
    start = lambda *args, **kwargs: started.append(popen(*args, **kwargs)) or started[-1]
    monkeypatch.setattr(under_load.subprocess, "Popen", start)
    cores = machine.usable_cores()[:2]
    with pytest.raises(KeyError), under_load.busy_cores(cores):
        assert [os.sched_getaffinity(program.pid) for program in started] == [{core} for core in cores]
        before, deadline = [processor_seconds(program.pid) for program in started], time.monotonic() + 20
        while any(processor_seconds(p.pid) - s < 0.05 for p, s in zip(started, before)):
            assert time.monotonic() < deadline, "a program that should be busy is not"
            time.sleep(0.02)
        raise KeyError
    assert all(program.returncode is not None for program in started)


def test_under_load_compares_means_of_tinygen_and_pytorch(monkeypatch):
    monkeypatch.setattr(machine, "usable_cores", lambda: [0])
    calls = {name: lambda s=s: time.sleep(s) for name, s in (("tinygen", 0.002), ("torch", 0.004))}
    found = under_load.measure(calls | {"torch.compile": lambda: 1 / 0}, 2, turn=0.004)
    assert found["programs"] == 1 and found["turns"] == 2 and set(found["mean_ms"]) == {"tinygen", "torch"}
    assert found["ratio"] == round(found["mean_ms"]["tinygen"] / found["mean_ms"]["torch"], 3)
    assert found["mean_ms"]["tinygen"] >= 2
    assert "ratio" not in under_load.measure({"tinygen": lambda: None}, 1, turn=0.001)


def test_each_number_of_threads_is_a_process_with_that_number(monkeypatch):
    environments, popen = [], thread_counts.subprocess.Popen
    start = lambda *args, env, **kwargs: environments.append(env) or popen(*args, env=env, **kwargs)
    monkeypatch.setattr(thread_counts.subprocess, "Popen", start)
    found = thread_counts.measure(("step", "vae", 2), 2, 1)
    assert [env["OMP_NUM_THREADS"] for env in environments] == ["1", "2"]
    assert set(found["sides"]) == {"1", "2"} and all(side["ms"] > 0 for side in found["sides"].values())
    assert found["ratio"] == round(found["sides"]["2"]["ms"] / found["sides"]["1"]["ms"], 3)


def test_a_worker_that_ends_is_an_error():
    worker = thread_counts.Worker(("step", "no such network", 1), 1)
    with pytest.raises(RuntimeError, match="no such network"):
        worker()
    worker.close()


def test_makers():
    names = {"AMD EPYC": "AMD", "Intel(R) Xeon(R) Processor": "Intel", "Apple M2": "Apple", "": "unknown"}
    assert {name: machine.maker(name) for name in names} == names
    assert machine.maker("aarch64") == "aarch64" and machine.maker("Z80 at 4 MHz") == "Z80"


# Results in benchmarks/results


def test_a_stopped_benchmark_goes_on(tmp_path, monkeypatch):
    """What the file has is not measured again, unless code, machine or settings are others."""
    monkeypatch.setattr(machine, "roofline", lambda *_, **__: ROOF)
    path, measured = tmp_path / "cpu.json", []
    run_case = bench.run_case
    monkeypatch.setattr(
        bench, "run_case", lambda case, *rest: measured.append(case.name) or run_case(case, *rest)
    )
    cases = [step_case("vae", 2), step_case("gan", 2)]
    go_on = lambda cases, settings=ONE: bench.run(
        cases,
        settings,
        lambda result: bench.write_json(result, path),
        lambda result: saved.earlier(path, result),
    )
    go_on(cases[:1])
    result = go_on(cases)
    assert measured == ["vae step", "gan step"]
    assert [case["name"] for case in result["cases"]] == ["vae step", "gan step"]
    assert json.loads(path.read_text(encoding="utf-8")) == result
    go_on(cases[:1], bench.Settings(1, 2, torch=False, memory=False))
    monkeypatch.setattr(saved, "fingerprint", lambda: "other code")
    go_on(cases[:1])
    assert measured == ["vae step", "gan step", "vae step", "vae step"]


def test_the_file_has_the_makers_name(monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "_cpuinfo", lambda: {"model name": "AMD EPYC"})
    assert saved.path(2).name == "cpu-amd-2-threads.json" and saved.path(2).parent.name == "results"
    monkeypatch.setattr(saved.pages, "README", tmp_path / "none")
    with pytest.raises(ValueError, match="--save writes into a checkout"):
        saved.path(2)


def test_makers_stand_side_by_side():
    ours, other = example(), example()
    ours["machine"] = ours["machine"] | {"cpu": "AMD EPYC"}
    for result in ours, other:
        result["cases"][1]["group"] = "vae"
    step = other["cases"][1] | {"under_load": {"mean_ms": {"tinygen": 9.0, "torch": 12.0}, "ratio": 0.75}}
    users = step | {"group": "user-vae", "ratios": {"torch": 1.5, "torch.compile": 2.0}}
    other["cases"] = [step, users]
    lines = makers.table([ours, other]).splitlines()
    assert lines[0] == "| step | AMD: ms | ÷ PyTorch | Z80: ms | ÷ PyTorch | ÷ compile | under load |"
    assert lines[2] == "| vae, 64×64 | 2.00 | 0.25 | 2.00, 2.00 | 0.25, 1.50 | 2.00 | 0.75, 0.75 |"
    assert lines[-1].startswith("AMD EPYC, 2 threads") and "Z80, 2 threads" in lines[-1]
    assert makers.table([]) == "Not measured yet on an idle machine."
