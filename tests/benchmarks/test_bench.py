"""`tinygen bench`: variants, rejected results, the JSON, the command, the cases."""

import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
from example_results import ONE, ROOF

from tinygen import cli, kernels
from tinygen.benchmarks import bench, machine, report
from tinygen.benchmarks.kernel_cases import gradient, kernel_cases, normal, operation
from tinygen.benchmarks.sides import OURS, Case, Side, reference_kernels, seen_kernels, torch_sides
from tinygen.benchmarks.step_cases import STEPS, sampling_case, step_case, step_cases
from tinygen.benchmarks.timing import WrongResult, require_equal
from tinygen.benchmarks.user_steps.cases import user_step_case, user_step_cases
from tinygen.kernels.runtime import dispatch


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
    flags = {"quick": True, "ladder": True, "under_load": False, "one_thread": False}
    assert written["settings"] == {"repeat": 15} | flags


@pytest.mark.parametrize(
    "line, words",
    [
        ("bench softmaxx", "bench: unknown name 'softmaxx'; did you mean 'softmax'"),
        ("bench --threads 0", "--threads: found 0, expected 1 or more"),
        ("bench --repeat 0", "--repeat: found 0, expected 1 or more"),
        ("bench --json /no/such/folder/x.json", "--json: /no/such/folder/x.json cannot be written"),
        ("bench vae --scaling", "--scaling: takes no names; found vae"),
        ("bench --save --json x.json", "--save chooses the file itself; leave out --json"),
        (
            "bench --under-load --scaling",
            "--under-load, --one-thread and --save are for steps on the CPU",
        ),
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
    kinds = [groups(kind) for kind in bench.KINDS]
    assert set.union(*kinds) == groups() and sum(map(len, kinds)) == len(groups())


# The cases


def test_every_case_says_its_work():
    for case in kernel_cases():
        assert case.flops or case.bytes, case.name
    conv = next(case for case in kernel_cases() if case.name == "conv2d")
    assert conv.flops == 2 * 64 * 64 * 28 * 28 * 64 * 9 and conv.shape == "64×64×28×28, 64→64, 3×3"


@pytest.mark.parametrize("make", [step_case, user_step_case])
@pytest.mark.parametrize("name", [case.group for case in step_cases()])
def test_a_step_learns_the_same_in_both_libraries(name, make):
    torch = pytest.importorskip("torch")
    case = make(name, 4)
    results = {
        side.name: bench.checked_result(case, case.make(side)) for side in (OURS, Side("torch", torch))
    }
    require_equal(name, "tinygen", results["tinygen"], results["torch"], "torch", case.tolerance)
    again = case.make(OURS)
    first, later = (np.sum(bench.checked_result(case, again)[0]) for _ in range(2))
    assert first != later, "nothing was updated"


def test_the_user_written_networks_are_the_users_own():
    """As large as the steps' networks, which they stand beside, and without anything of models/."""
    from tinygen.benchmarks.user_steps import networks
    from tinygen.models.networks import dit, mlp, unet

    source = Path(networks.__file__).read_text(encoding="utf-8")
    assert not re.search(r"^(?:from|import) .*models", source, re.M) and "group_norm_silu" not in source
    size = lambda net: sum(p.numel() for p in net.parameters())
    assert size(networks.Generator()) == size(mlp.Generator())
    assert size(networks.UNet()) == size(unet.UNet())
    extra = networks.DiT().position.numel() - 96  # learned positions, but no label for "no class"
    assert size(networks.DiT()) == size(dit.DiT()) + extra
    assert [case.shape for case in user_step_cases()] == [case.shape for case in step_cases()]


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
