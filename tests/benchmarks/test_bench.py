"""`tinygen bench`: order and medians of timings, rejected results, the JSON, and the tables written from it."""

import json
import os
import re
import sys

import numpy as np
import pytest

import tinygen
from tinygen import cli, kernels
from tinygen.benchmarks import bench, machine, memory, pages, report
from tinygen.benchmarks.kernel_cases import gradient, kernel_cases, normal, operation
from tinygen.benchmarks.sides import OURS, Case, Side, reference_kernels, seen_kernels, torch_sides
from tinygen.benchmarks.step_cases import STEPS, sampling_case, step_case, step_cases
from tinygen.benchmarks.studies import first_step, scaling
from tinygen.benchmarks.timing import Timing, WrongResult, interleaved, require_equal
from tinygen.kernels.runtime import dispatch

ROOF = {"gflops": 100.0, "gbps": 10.0, "sgemm": "8³", "copy_megabytes": 1}
ONE = bench.Settings(threads=1, repeat=1, torch=False, memory=False)


class Clock:
    """A clock that advances only during calls, and records them."""

    def __init__(self):
        self.now, self.calls = 0.0, []

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.calls.append("-")

    def side(self, name, *seconds):
        """A call that takes these seconds, one after the other, and the last of them from then on."""
        left = list(seconds)

        def call():
            self.calls.append(name)
            self.now += left.pop(0) if len(left) > 1 else left[0]

        return call


def fake(clock):
    return {"clock": clock, "sleep": clock.sleep}


def test_sides_take_turns_and_every_turn_starts_with_a_call_that_is_not_timed():
    clock = Clock()
    sides = {name: clock.side(name, 9.0, 9.0, 1.0) for name in "ABC"}
    timings = interleaved(sides, 4, turn=0.5, budget=1e9, **fake(clock))
    assert "".join(clock.calls) == "AABBCC" + "-AA-BB-CC" * 4
    assert timings["A"] == Timing((1.0,) * 4)


def test_short_calls_are_repeated_within_a_turn():
    clock = Clock()
    timings = interleaved(
        {"A": clock.side("A", 1.0), "B": clock.side("B", 4.0)}, 2, turn=4.0, clock=clock, sleep=clock.sleep
    )
    assert "".join(clock.calls) == "AABB" + ("-AAAAA" + "-BB") * 2
    assert timings["A"].median == 1.0 and timings["B"].median == 4.0


def test_slow_cases_get_fewer_turns_but_three():
    clock = Clock()
    assert len(interleaved({"A": clock.side("A", 10.0)}, 15, budget=100.0, **fake(clock))["A"].samples) == 5
    assert len(interleaved({"A": clock.side("A", 1000.0)}, 15, budget=100.0, **fake(clock))["A"].samples) == 3


def test_median_fastest_and_spread():
    timing = Timing((5.0, 1.0, 2.0, 100.0, 3.0))
    assert (timing.median, timing.fastest, timing.spread) == (3.0, 1.0, 1.0)
    assert timing.as_json() == {"ms": 3000.0, "min_ms": 1000.0, "spread": 1.0, "turns": 5}
    assert Timing((2.0,)).spread == 0.0


@pytest.mark.parametrize(
    "found, words",
    [
        ([np.ones(3, np.float32) * 1.01], "differs from torch by 1.0e-02 of the largest value"),
        ([np.array([1, 1, np.nan], np.float32)], "differs from torch by nan"),
        ([np.ones(3)], r"gives float64 \(3,\), torch gives float32"),
        ([np.ones((3, 1), np.float32)], r"gives float32 \(3, 1\), torch gives float32 \(3,\)"),
        ([np.ones(3, np.float32)] * 2, "has 2 results, torch has 1"),
    ],
)
def test_a_wrong_result_is_refused(found, words):
    with pytest.raises(WrongResult, match=f"conv2d: tinygen .*{words}"):
        require_equal("conv2d", "tinygen", found, [np.ones(3, np.float32)], "torch", 1e-3)


@pytest.fixture
def doubling():
    """A kernel with a faster, an unusable and a for-readers variant, and a case that calls it."""
    kernel = kernels.Kernel("doubling")
    kernel.reference(lambda x: x + x)
    kernel.variant("shift", usable=lambda x: x.size > 1)(lambda x: x * 2)
    kernel.variant("huge", usable=lambda x: x.size > 1000)(lambda x: x * 3)
    kernel.variant("naive", usable=kernels.runtime.dispatch.for_readers)(
        lambda x: np.array([2 * value for value in x], x.dtype)
    )

    def make(side):
        x = np.arange(5, dtype=np.float32)
        return lambda: kernel(x)

    yield kernel, Case("doubling", "doubling", "5", make, flops=5, bytes=40)
    del dispatch._registry["doubling"]


def test_seen_kernels(doubling):
    kernel, case = doubling
    before = kernel.ladder
    with seen_kernels() as seen:
        case.make(OURS)()
    assert (
        seen == {"doubling": {"reference": True, "shift": True, "huge": False, "naive": None}}
        and kernel.ladder is before
    )


def test_a_variant_for_readers_runs_only_where_it_is_asked_for(doubling):
    kernel, _ = doubling
    with dispatch.trace() as calls:
        kernel(np.arange(5.0))
        with kernels.use(doubling="naive"):
            kernel(np.arange(5.0))
    assert calls == [("doubling", "shift"), ("doubling", "naive")]


def test_the_ladder_has_every_variant_that_takes_the_arguments(doubling, capsys):
    _, case = doubling
    row = bench.run_case(case, [], bench.Settings(1, 1, torch=False, ladder=True), ROOF)
    assert list(row["sides"]) == ["tinygen", "doubling=reference", "doubling=shift", "doubling=naive"]
    assert row["kernels"] == {"doubling": "shift"}
    assert "doubling: huge does not take these arguments" in capsys.readouterr().err
    lines = report.aligned(report.ladder_rows({"cases": [row]})).splitlines()
    assert [line.split()[2] for line in lines[2:]] == [
        "tinygen",
        "doubling=reference",
        "doubling=shift",
        "doubling=naive",
    ]


def test_a_wrong_kernel_is_refused(doubling):
    kernel, case = doubling
    kernel.variant("wrong")(lambda x: x * 2 + 1)
    with pytest.raises(WrongResult, match="doubling: tinygen is wrong: it differs from the reference"):
        bench.run_case(case, [], ONE, ROOF)


def test_a_wrong_rung_is_refused_even_where_a_right_one_runs(doubling):
    kernel, case = doubling
    kernel.variant("wrong")(lambda x: x * 2 + 1)
    kernel.variant("right")(lambda x: x * 2)
    with pytest.raises(WrongResult, match="doubling=wrong is wrong"):
        bench.run_case(case, [], bench.Settings(1, 1, torch=False, ladder=True), ROOF)


def test_reference_kernels_are_forced_and_given_back():
    x = np.zeros(3, np.float32)
    kernel = dispatch.Kernel("twice")
    try:
        kernel.reference(lambda x: "reference")
        kernel.variant("fast")(lambda x: "fast")
        with reference_kernels():
            assert kernel(x) == "reference"
        assert kernel(x) == "fast"
    finally:
        del dispatch._registry["twice"]


def tiny_cases(device="cpu"):
    f = lambda api, x: api.nn.functional.softmax(x, -1)
    return [
        operation("softmax", "4×5", f, lambda: normal(4, 5), bytes=160),
        gradient("softmax_grad", "4×5", f, lambda: normal(4, 5), of=(0,), bytes=240, flops=60),
        step_case("vae", 2),
    ]


@pytest.fixture(scope="module")
def measured():
    """A complete benchmark with tiny shapes."""
    return bench.run(tiny_cases(), ONE)


def test_json_says_what_was_measured_on_what(measured, tmp_path):
    path = tmp_path / "bench.json"
    bench.write_json(measured, str(path))
    assert json.loads(path.read_text(encoding="utf-8")) == measured
    assert measured["schema"] == 1 and measured["not_available"] == {"torch": "--no-torch"}
    assert {"cpu", "cores", "threads", "flags", "BLAS", "BLAS core", "system"} == set(measured["machine"])
    assert {"python", "numpy", "numba", "torch", "tinygen"} == set(measured["versions"])
    assert measured["versions"]["numpy"] == np.__version__
    assert measured["roofline"]["gflops"] > 0 and measured["roofline"]["gbps"] > 0
    assert [case["name"] for case in measured["cases"]] == ["softmax", "softmax_grad", "vae step"]
    for case in measured["cases"]:
        assert set(case["sides"]) == {"tinygen"} and case["ratios"] == {}
        assert set(case["sides"]["tinygen"]) == {"ms", "min_ms", "spread", "turns"}
        assert set(case["errors"]) == {"reference"} and case["errors"]["reference"] <= 1e-3
        assert 0 < case["sides"]["tinygen"]["min_ms"] <= case["sides"]["tinygen"]["ms"]
    assert set(measured["cases"][0]["kernels"]) == {"softmax", "sum"}


def test_rates_and_the_roof():
    case = Case("c", "c", "", None, flops=2e9, bytes=4e8)
    assert bench.least_ms(2e9, 4e8, ROOF) == 40.0  # 20 ms of arithmetic, 40 ms of memory
    assert bench.rates(case, 80.0, ROOF) == {"gflops": 25.0, "gbps": 5.0, "roofline": 50.0}
    assert bench.rates(Case("c", "c", "", None), 80.0, ROOF) == {}


def test_ratios_are_of_medians_and_of_minima():
    times = {"tinygen": {"ms": 3.0, "min_ms": 1.0}, "torch": {"ms": 2.0, "min_ms": 2.0}, "softmax=fast": {}}
    assert bench._ratios(times) == {"ratios": {"torch": 1.5}, "ratios_of_minima": {"torch": 0.5}}


def example(**case):
    """A result of bench.run with one operation and one step."""
    times = {
        name: {"ms": ms, "min_ms": ms / 2, "spread": 0.1, "turns": 5}
        for name, ms in (("tinygen", 2.0), ("torch", 8.0))
    }
    times["torch channels-last"] = {"ms": 7.5, "min_ms": 7.0, "spread": 0.1, "turns": 5}
    row = {"name": "conv2d", "group": "conv2d", "shape": "64×64", "step": False, "flops": 1e9, "bytes": 1e7}
    row |= {"kernels": {}, "sides": times} | bench._ratios(times)
    row["rates"] = {name: {"gflops": 500.0, "gbps": 5.0, "roofline": 50.0} for name in times}
    one = {"mib": 10.4, "peak_mib": 110.0}
    step = row | {"name": "vae step", "step": True, "memory": {"tinygen": one, "torch": one | {"mib": 20.0}}}
    return {
        "machine": {"cpu": "Z80", "threads": 2, "cores": 2, "BLAS": "openblas 1", "BLAS core": "Zen"},
        "versions": {"python": "3.11", "torch": None},
        "load": {"before": [0.5, 1, 1], "after": [0.75, 1, 1]},
        "roofline": ROOF,
        "settings": {"ladder": False},
        "not_available": {"torch.compile": "no compiler"},
        "cases": [row, step | case],
    }


def test_the_readme_table():
    section = report.section([example()])
    assert (
        "| vae step, 64×64 | 2.00 | 8.00 | 0.25 (0.25) | channels-last 7.50 | 10 / 20 | 110 / 110 |"
        in section
    )
    assert (
        "| conv2d | 64×64 | 2.00 | 8.00 | 0.25 (0.25) | channels-last 7.50 | 500 GFLOP/s | 50 % |" in section
    )
    assert (
        "Z80, 2 of 2 cores, openblas 1 with Zen kernels; python 3.11; load 0.5 before, 0.75 after" in section
    )
    assert "no torch.compile: no compiler" in section


def test_a_table_is_written_between_its_markers():
    begin, end = pages.markers("bench", "a/file.py")
    assert (
        pages.replaced(f"a\n{begin}\nold\n{end}\nb", "bench", "a/file.py", "new")
        == f"a\n{begin}\nnew\n{end}\nb"
    )
    with pytest.raises(SystemExit, match=re.escape("a page without <!-- bench: written by a/file.py")):
        pages.replaced("no markers", "bench", "a/file.py", "new")


@pytest.fixture
def empty_pages(tmp_path, monkeypatch):
    """Two pages with empty tables, in place of the repository's"""
    for name, key in ("SPEED", "bench"), ("README", "steps"):
        path = tmp_path / f"{name}.md"
        path.write_text("\n".join(pages.markers(key, report.WRITER)) + "\n", encoding="utf-8")
        monkeypatch.setattr(pages, name, path)
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    return tmp_path


def test_the_pages_are_what_the_results_say():
    if not pages.README.exists():
        pytest.skip("not a checkout")
    assert report.main(["check"]) == 0
    for result in report.results():
        assert (report.RESULTS / report.plot_name(result)).exists()


def test_check_notices_a_page_that_says_something_else(empty_pages):
    (empty_pages / "cpu-1.json").write_text(json.dumps(example()), encoding="utf-8")
    assert report.main(["check"]) == 1
    assert report.main(["write"]) == 0 and report.main(["check"]) == 0
    assert (empty_pages / "roofline-2-threads.png").stat().st_size > 1000
    for page in pages.SPEED, pages.README:
        text = page.read_text(encoding="utf-8")
        page.write_text(text.replace("| ", "| 9", 1), encoding="utf-8")
        assert report.main(["check"]) == 1
        page.write_text(text, encoding="utf-8")


def test_a_result_without_rates_has_no_picture_and_stands_after_the_one_it_adds_to(empty_pages, monkeypatch):
    more = example()
    rates = {name: {} for name in more["cases"][0]["sides"]}
    unrated = {"name": "ddim sampling", "flops": 0.0, "bytes": 0.0, "rates": rates}
    more["cases"] = [more["cases"][0] | unrated]
    assert "ddim sampling" in report.section([more]) and "roofline-" not in report.section([more])
    for name, result in {"cpu-1.json": example(), "cpu-1-sampling.json": more}.items():
        (empty_pages / name).write_text(json.dumps(result), encoding="utf-8")
    drawn = []
    monkeypatch.setattr(
        report, "draw_roofline", lambda result, path: drawn.append(result["cases"][0]["name"])
    )
    report.main(["write"])
    assert drawn == ["conv2d"]
    text = pages.SPEED.read_text(encoding="utf-8")
    assert text.index("| conv2d |") < text.index("| ddim sampling |")


def test_a_table_for_the_terminal_leaves_out_empty_columns():
    assert (
        report.aligned([["a", "b", "n"], ["x", "", "10"], ["yy", "", "2"]])
        == "a    n\n------\nx   10\nyy   2"
    )


# The command


def test_command(capfd, tmp_path, monkeypatch):
    """In this process, whose environment is already that of a process with one thread."""
    for name, value in machine.environment(1).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(bench, "all_cases", tiny_cases)
    monkeypatch.setattr(machine, "roofline", lambda *_, **__: ROOF)
    path = tmp_path / "out.json"
    assert cli.main(["bench", "softmax", "--quick", "--no-torch", "--threads", "1", "--json", str(path)]) == 0
    out, err = capfd.readouterr()
    assert "[1/2] softmax, 4×5" in err and "torch: not available: --no-torch" in err
    assert out.splitlines()[0].split()[:3] == ["operation", "shape", "by"]
    written = json.loads(path.read_text(encoding="utf-8"))
    assert [case["name"] for case in written["cases"]] == ["softmax", "softmax_grad"]
    assert written["settings"] == {"repeat": 15, "quick": True, "ladder": True}


@pytest.mark.parametrize(
    "line, words",
    [
        ("bench softmaxx", "bench: unknown name 'softmaxx'; did you mean 'softmax'"),
        ("bench --threads 0", "--threads: found 0, expected 1 or more"),
        ("bench --repeat 0", "--repeat: found 0, expected 1 or more"),
        ("bench --json /no/such/folder/x.json", "--json: /no/such/folder/x.json cannot be written"),
        ("bench vae --scaling", "--scaling: takes no names; found vae"),
        ("bench --scaling --json x.png", "--json: found x.png, the name of the plot that --scaling draws"),
    ],
)
def test_bad_words_are_one_line(line, words, capfd):
    assert cli.main(line.split()) == 2
    err = capfd.readouterr().err
    assert words in err and len(err.splitlines()) == 1


def test_other_threads_are_another_process(monkeypatch):
    started = []
    monkeypatch.setattr("subprocess.call", lambda command, env: started.append((command, env)) or 7)
    assert cli.main(["bench", "softmax", "--threads", "2"]) == 7
    ((command, env),) = started
    assert command[1:] == ["-m", "tinygen", "bench", "softmax", "--threads", "2"]
    assert all(env[name] == "2" and os.environ[name] == "1" for name in machine.THREAD_VARIABLES)


def test_names_choose_cases():
    cases = bench.all_cases()
    groups = lambda *names: {case.group for case in bench.chosen(list(names), cases)}
    assert groups() == {case.group for case in cases} and groups("steps") == set(STEPS) & {
        c.group for c in step_cases()
    }
    assert {case.name for case in bench.chosen(["conv2d"], cases)} == {
        "conv2d",
        "conv2d_input_grad",
        "conv2d_weight_grad",
    }
    assert {case.name for case in bench.chosen(["conv2d_input_grad"], cases)} == {"conv2d_input_grad"}
    kinds = [groups(kind) for kind in ("kernels", "steps", "sampling")]
    assert set.union(*kinds) == groups() and sum(map(len, kinds)) == len(groups())


# The cases


def test_every_case_says_its_work():
    for case in kernel_cases():
        assert case.flops or case.bytes, case.name
    conv = next(case for case in kernel_cases() if case.name == "conv2d")
    assert conv.flops == 2 * 64 * 64 * 28 * 28 * 64 * 9 and conv.shape == "64×64×28×28, 64→64, 3×3"


@pytest.mark.parametrize("name", [case.group for case in step_cases()])
def test_a_step_learns_the_same_in_both_libraries(name):
    torch = pytest.importorskip("torch")
    case = step_case(name, 4)
    results = {
        side.name: bench.checked_result(case, case.make(side)) for side in (OURS, Side("torch", torch))
    }
    require_equal(name, "tinygen", results["tinygen"], results["torch"], "torch", case.tolerance)
    again = case.make(OURS)
    first, later = (np.sum(bench.checked_result(case, again)[0]) for _ in range(2))
    assert first != later, "nothing was updated"


def test_both_libraries_draw_the_same_images():
    torch = pytest.importorskip("torch")
    case = sampling_case(2)
    ours, theirs = (bench.checked_result(case, case.make(side)) for side in (OURS, Side("torch", torch)))
    require_equal(case.name, "tinygen", ours, theirs, "torch", case.tolerance)
    assert ours[0].shape == (2, 1, 28, 28) and 0.01 < np.std(ours[0]) < 10


def test_channels_last_is_a_layout_of_images():
    torch = pytest.importorskip("torch")
    case = Case("c", "c", "", None, others=("channels-last", "fused"))
    sides = {side.name: side for side in torch_sides(case, torch, True)}
    assert list(sides) == ["torch", "torch channels-last", "torch fused", "torch.compile"]
    side = sides["torch channels-last"]
    assert side.tensor(normal(2, 3, 4, 5)).is_contiguous(memory_format=torch.channels_last)
    assert side.tensor(normal(2, 3)).is_contiguous()
    parameters = [torch.nn.Parameter(torch.ones(2))]
    assert sides["torch fused"].adam(parameters, 0.1).defaults["fused"]


# Memory and growth


@pytest.mark.skipif(not memory.available(), reason="no /proc/self/clear_refs here")
def test_memory_is_measured_in_another_process():
    cases = [("conv2d", 8, 8, 28, 3, n) for n in (1, 512)]
    for case in cases:
        memory.find(case).make(OURS)()  # fills the compilation cache: compilers need much memory
    small, large = (memory.measure(case, torch=False, threads=1, calls=2) for case in cases)
    assert set(small) == {"mib", "peak_mib", "imports_mib", "malloc"}
    assert small["peak_mib"] == pytest.approx(small["mib"] + small["imports_mib"], abs=0.2)
    x = 512 * 8 * 28 * 28 * 4 / 2**20
    assert large["mib"] - small["mib"] > 3 * x  # at least x, g and gx


def test_a_failure_in_the_other_process_is_told():
    with pytest.raises(RuntimeError, match=r"memory of \('step', 'nobody', 2\): KeyError: 'nobody'"):
        memory.measure(("step", "nobody", 2), torch=False, threads=1)


def test_slope_of_the_upper_half():
    work = [1, 2, 4, 8, 16, 32]
    assert scaling.slope(work, [100, 100, 100, 64, 256, 1024]) == pytest.approx(2.0)


def test_scaling(tmp_path):
    lines = {"attention over T": [(T, scaling.attention_case(1, 1, T, 4)) for T in (2, 4, 8, 16)]}
    result = scaling.run(ONE, lines)
    points = result["scaling"]["attention over T"]
    assert [point["work"] for point in points] == [2, 4, 8, 16] and "tinygen" in result["slopes"][
        "attention over T"
    ]["ms"]
    assert "slope of ms: tinygen" in scaling.text(result)
    scaling.draw(result, tmp_path / "scaling.png")
    assert (tmp_path / "scaling.png").stat().st_size > 1000


def test_a_growing_case_is_found_again_in_another_process():
    for points in scaling.series().values():
        for _, case in points:
            assert memory.find(json.loads(json.dumps(case.memory))).shape == case.shape


def test_the_roof_is_measured():
    roof = machine.roofline(1, size=64, megabytes=1, repeat=1)
    assert roof["gflops"] == max(roof["sgemm_gflops"].values()) > 0
    assert roof["gbps"] == max(roof["copy_gbps"].values()) > 0 and set(roof["copy_gbps"]) == {"copy", "add"}
    assert tinygen.__version__ == machine.versions()["tinygen"]


def test_first_step_times_fresh_processes(monkeypatch, capsys):
    asked = iter([[9.0] * 5, [1.0, 2.0, 3.0, 4.0, 5.0], [3.0, 2.0, 1.0, 0.0, 0.0], [2.0, 2.0, 2.0, 2.0, 2.0]])
    monkeypatch.setattr(first_step, "fresh_process", lambda: next(asked))
    first_step.main(["--processes", "3"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("medians of 3")  # the first process is not counted
    assert [line.rsplit(maxsplit=2) for line in lines[1:]] == [
        ["import", "2.000", "2.000"],
        ["data", "2.000", "4.000"],
        ["network", "2.000", "6.000"],
        ["first step", "2.000", "8.000"],
        ["second step", "2.000", "10.000"],
    ]
    with pytest.raises(SystemExit):
        first_step.main(["--processes", "0"])


def test_first_step_of_one_process():
    assert len(seconds := first_step.fresh_process()) == len(first_step.STAGES) and min(seconds) > 0


def test_two_versions_in_turns(capsys, tmp_path):
    """Here twice the same version; the figures are not checked."""
    from tinygen.benchmarks import versions

    told = tmp_path / "versions.json"
    versions.main([sys.executable, "vae", "--repeat", "2", "--json", str(told)])
    row = json.loads(told.read_text())["steps"]["vae"]
    assert row["this"] >= row["this_min"] > 0 and row["other"] >= row["other_min"] > 0 and row["ratio"] > 0
    with pytest.raises(SystemExit, match="cannot run"):
        versions.main(["/bin/true", "vae"])


def test_operations_of_two_versions_in_turns(tmp_path):
    from tinygen.benchmarks import versions

    told, names = tmp_path / "versions.json", ["tanh-1-backward", "chain", "chain-backward", "import"]
    versions.main([sys.executable, *names, "--repeat", "1", "--processes", "2", "--json", str(told)])
    steps = json.loads(told.read_text())["steps"]
    assert list(steps) == names
    assert all(row["this_min"] > 0 and len(row["ratios"]) == 2 for row in steps.values())
    assert (
        steps["chain"]["this_min"] < steps["import"]["this_min"]
    )  # milliseconds of one operation, and of the import
