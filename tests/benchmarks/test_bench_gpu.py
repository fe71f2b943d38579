"""`tinygen bench --device cuda` from end to end on the stand-in for cupy, and the notes that no GPU was measured."""

import functools
import json

import numpy as np
import pytest
from example_results import ROOF, example
from support.gpu import real, stand_in

from tinygen import cli, kernels
from tinygen.benchmarks import bench, report
from tinygen.benchmarks.gpu import card
from tinygen.benchmarks.kernel_cases import _adam, _both, _matmul, gradient, kernel_cases, large_cases, normal
from tinygen.benchmarks.sides import CUBLAS, OURS_ON, Case, cupy_sides, seen_kernels
from tinygen.benchmarks.step_cases import step_case


@pytest.fixture
def cupy():
    with stand_in() as module:
        yield module


def tiny_cases(device):
    assert device == "cuda"
    f = lambda api, q: api.nn.functional.scaled_dot_product_attention(q, q, q)
    return [
        _matmul(5, 4, 3),
        *_both("softmax", (4, 5), lambda api, x: api.nn.functional.softmax(x, -1)),
        gradient("attention_grad", "2×3×4", f, lambda: normal(2, 3, 4), of=(0,), bytes=96, flops=60),
        _adam(2, 3, 4),
        step_case("vae", 2),
    ]


@pytest.fixture
def command(monkeypatch, tmp_path):
    """Run the command on tiny cases in this process.  -> exit code, what --json wrote"""
    monkeypatch.setattr(bench, "all_cases", tiny_cases)
    monkeypatch.setattr(card, "roofline", functools.partial(card.roofline, sizes=(8,), megabytes=1))

    def run(*words):
        for name, value in card.environment(1).items():
            monkeypatch.setenv(name, value)
        path = tmp_path / "out.json"
        given = "bench --device cuda --quick --no-torch --threads 1 --json".split()
        return cli.main([*given, str(path), *words]), json.loads(path.read_text(encoding="utf-8"))

    return run


def test_the_whole_command(cupy, command, capfd):
    code, result = command()
    out, err = capfd.readouterr()
    assert code == 0 and result["failed"] == [], err
    assert [case["name"] for case in result["cases"]] == [case.name for case in tiny_cases("cuda")]
    place = result["machine"]
    assert place["stand_in"] is True and place["device"] == "Stand-in on the CPU"
    assert place["tf32"] == {"cuBLAS through cupy": False}
    assert {"driver", "CUDA driver", "CUDA runtime", "compute capability", "L2 MiB"} <= set(place)
    assert {"cupy", "nvrtc", "tinygen", "torch"} <= set(result["versions"])
    assert set(result["roofline"]["sgemm_gflops"]) == {"cupy 8³"} and result["roofline"]["gbps"] > 0
    matmul = result["cases"][0]
    assert (
        next(iter(matmul["sides"])) == "tinygen" and CUBLAS in matmul["sides"] and CUBLAS in matmul["ratios"]
    )
    assert set(matmul["errors"]) == {"reference", CUBLAS}
    assert set(result["cases"][-1]["memory"]) == {"tinygen"} and result["cases"][-1]["step"]
    assert "NOT A GPU: the tests' stand-in on the CPU" in out and "TF32 off (tinygen, cuBLAS" in out


def test_rungs_run_where_launches_do():
    """On hostcuda, the only way of the stand-in; numba's variants need a GPU, and are listed with that reason."""
    settings = bench.Settings(1, 1, torch=False, ladder=True, device="cuda")
    with stand_in(launches=True):
        row = bench.run_case(_matmul(5, 4, 3), [], settings, ROOF)
    assert {f"matmul={rung}" for rung in ("reference", "naive", "tiled", "register_tiled")} <= set(
        row["sides"]
    )
    assert row["kernels"] == {"matmul": "register_tiled"}
    assert row["rungs_failed"] and all("numba" in name for name in row["rungs_failed"])


def test_a_case_that_fails_does_not_end_the_others(cupy, command, monkeypatch, capfd):
    def wrong(a, b):
        raise RuntimeError("an illegal memory access")

    monkeypatch.setattr(kernels.softmax, "ladder", {"cpu": [], "cuda": [("wrong", wrong, None)]})
    code, result = command()
    assert code == 1 and [case["name"] for case in result["cases"]] == [
        case.name for case in tiny_cases("cuda") if case.name not in ("softmax", "softmax_grad")
    ]
    assert {failure["name"] for failure in result["failed"]} == {"softmax", "softmax_grad"}
    out = capfd.readouterr().out
    assert "NOT MEASURED: softmax, 4×5: RuntimeError: " in out and "an illegal memory access" in out, out
    assert "not measured because they failed: softmax, softmax_grad" in report.conditions(result)


@pytest.mark.skipif(real(), reason="there is a GPU")
def test_without_a_gpu_one_sentence_and_2(capfd):
    for line in ("bench --device cuda", "bench --device cuda matmul --json x.json"):
        assert cli.main(line.split()) == 2
        out, err = capfd.readouterr()
        assert out == "" and len(err.splitlines()) == 1 and err.startswith("tinygen: error: --device: ")
    assert cli.main("bench --device tpu".split()) == 2
    assert cli.main("bench --device cpu --threads 0".split()) == 2


def test_growth_is_measured_on_the_cpu(cupy, capfd):
    assert cli.main("bench --scaling --device cuda".split()) == 2
    assert "--scaling: measures on the CPU; found --device cuda" in capfd.readouterr().err


def test_every_call_is_timed_by_itself_after_the_cache_was_emptied(cupy, monkeypatch):
    done = []

    class Event(cupy.cuda.Event):
        def record(self, stream=None):
            done.append("event")
            super().record(stream)

    monkeypatch.setattr(cupy.cuda, "Event", Event)
    stopwatch = card.Events()
    assert stopwatch._wiper.nbytes == 2 * cupy.cuda.PROPERTIES["l2CacheSize"]
    fill = cupy.ndarray.fill
    monkeypatch.setattr(cupy.ndarray, "fill", lambda *a: done.append("wipe") or fill(*a))
    monkeypatch.setattr(cupy.cuda, "get_elapsed_time", lambda start, end: 250.0)
    assert stopwatch(lambda: done.append("call"), 3) == 0.75
    assert done == ["wipe", "event", "call", "event"] * 3


def test_cublas_is_a_side_of_products_alone(cupy):
    sides = {case.name: cupy_sides(case) for case in kernel_cases()}
    assert [name for name, found in sides.items() if found] == ["matmul"]
    (side,) = sides["matmul"]
    result = _matmul(3, 4, 5).make(side)()
    assert isinstance(result, cupy.ndarray) and not side.is_torch
    assert np.allclose(result.get(), normal(3, 4) @ normal(4, 5, seed=1))


def test_kernels_seen_on_a_gpu(cupy):
    case = _matmul(3, 4, 5)
    with seen_kernels("cuda") as seen:
        case.make(OURS_ON["cuda"])()
    with seen_kernels("cpu") as of_the_cpu:
        case.make(OURS_ON["cuda"])()
    assert seen["matmul"]["reference"] is True and not of_the_cpu
    never = [v for v, takes in seen["matmul"].items() if takes is None]
    assert all("numba" in v for v in never)  # the stand-in cannot launch: only variants for readers are left


def test_large_cases_say_their_work():
    cases = {(case.name, case.shape): case for case in large_cases()}
    assert len(cases) == len(large_cases()) and not set(cases) & {(c.name, c.shape) for c in kernel_cases()}
    assert all(case.bytes for case in cases.values())
    assert cases["matmul", "4096×4096 @ 4096×4096"].flops == 2 * 4096**3
    assert cases["conv2d", "128×256×32×32, 256→256, 3×3"].flops == 2 * 128 * 256 * 32 * 32 * 256 * 9
    assert cases["group_norm_silu", "128×128×32×32"].bytes == 2 * 4 * 128 * 128 * 32 * 32
    assert bench.all_cases("cuda")[len(kernel_cases())].shape == "4096×4096 @ 4096×4096"
    assert not {"4096×4096 @ 4096×4096"} & {case.shape for case in bench.all_cases()}


def test_cublas_computes_in_float32():
    assert card.environment(2)["CUPY_TF32"] == "0"


# The page written from it


def of_a_gpu(**machine):
    result = example()
    tf32 = {"cuBLAS through cupy": False, "torch.matmul": False, "torch cuDNN": False}
    result["machine"] |= {"device": "NVIDIA H200", "driver": "580.1", "CUDA runtime": "13.0", "tf32": tf32}
    result["machine"] |= {"stand_in": False, **machine}
    case = result["cases"][0]
    for name, ms in ((CUBLAS, 1.0), ("conv2d=naive", 9.0), ("conv2d=tiled", 3.0)):
        case["sides"][name] = case["sides"]["torch"] | {"ms": ms, "min_ms": ms}
        case["rates"][name] = case["rates"]["torch"]
    case |= bench._ratios(case["sides"])
    return result


def test_the_readme_of_a_gpu():
    section = report.section([example(), of_a_gpu()])
    assert report.NO_GPU not in section and report.NO_GPU in report.section([example()])
    assert "| conv2d | 64×64 | 2.00 | 8.00 | 0.25 (0.25) | channels-last 7.50 | 1.00 (2.00) |" in section
    assert "| naive 9.00, tiled 3.00 |" in section
    assert (
        "NVIDIA H200, driver 580.1, CUDA 13.0; TF32 off (tinygen, cuBLAS through cupy, torch.matmul"
        in section
    )
    assert "roofline-nvidia-h200.png" in section and "roofline-z80-2-threads.png" in section
    tf32 = {"torch.matmul": True, "torch cuDNN": False}
    assert "TF32 on in torch.matmul;" in report.conditions(of_a_gpu(tf32=tf32))


def test_what_the_stand_in_measured_is_no_result(monkeypatch, tmp_path):
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    monkeypatch.setattr(bench, "RESULTS", tmp_path)
    bench.write_json(of_a_gpu(), tmp_path / "h200-1.json")
    (tmp_path / "models.json").write_text("[]", encoding="utf-8")
    bench.write_json(example(), tmp_path / "cpu-1.json")
    assert [report.device(result) for result in report.results()] == [None, "NVIDIA H200"]
    with pytest.raises(ValueError, match="stand-in for a GPU: these are not results"):
        bench.write_json(of_a_gpu(stand_in=True), tmp_path / "h200-2.json")
    (tmp_path / "h200-2.json").write_text(json.dumps(of_a_gpu(stand_in=True)), encoding="utf-8")
    with pytest.raises(SystemExit, match="stand-in"):
        report.results()


def test_the_plot_of_a_gpu(tmp_path):
    report.draw_roofline(of_a_gpu(), tmp_path / "roof.png")
    assert (tmp_path / "roof.png").stat().st_size > 1000


def test_peak_memory_asks_the_pool(cupy, monkeypatch):
    held = iter([1 << 20, 4 << 20])
    monkeypatch.setattr(cupy.cuda.MemoryPool, "total_bytes", lambda pool: next(held))
    case = Case("c", "c", "", lambda side: lambda: None)
    assert card.peak_memory(case, OURS_ON["cuda"]) == {"mib": 3.0}
