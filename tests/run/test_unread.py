"""Numbers on a GPU are read for a line of metrics.jsonl, and say then what they would have said at once."""

import json
import math
from dataclasses import dataclass

import numpy as np
import pytest
from support.gpu import stand_in

import tinygen
from tinygen.run import unread
from tinygen.run.training import NonFiniteLoss, Run


@dataclass(frozen=True)
class Config:
    steps: int = 25
    checkpoint_every: int = 7


VALUES = np.random.default_rng(0).standard_normal((40, 3)).astype(np.float32)


@pytest.fixture
def cupy():
    with stand_in() as module:
        yield module


def trained(folder, device, steps=25, resume=False, values=VALUES, log_every=10):
    """A run that logs the same numbers on either device.  -> run, the lines of its metrics without their seconds"""
    run = Run.create("numbers", Config(steps=steps), folder, resume=resume, device=device, free={"steps"})
    for step in run.steps(steps, log_every=log_every):
        of_step = tinygen.tensor(values[step], device=device)
        run.log(loss=of_step[0], other=of_step[1:].double().sum(), host=step / 3)
        if step % 4 == 0:
            run.log(rare=of_step[2])
    return run, [{k: v for k, v in line.items() if k != "seconds"} for line in run.metrics()]


def test_the_metrics_are_those_of_a_cpu(cupy, tmp_path):
    on_cpu, expected = trained(tmp_path / "cpu", "cpu")
    on_gpu, found = trained(tmp_path / "gpu", "cuda")
    assert json.dumps(found) == json.dumps(expected) and [line["step"] for line in found] == [10, 20, 25]
    assert on_gpu.last == on_cpu.last == ("rare", VALUES[24, 2])


def test_a_resumed_run_has_the_same_metrics(cupy, tmp_path):
    _, expected = trained(tmp_path / "whole", "cuda", 30)
    trained(tmp_path / "parts", "cuda", 17)
    _, found = trained(tmp_path / "parts", "cuda", 30, resume=True)
    assert json.dumps(found) == json.dumps(expected)


@pytest.mark.parametrize("log_every, read", [(13, "line"), (10, "checkpoint")])
def test_a_loss_that_is_not_finite_is_found_when_it_is_read(cupy, tmp_path, log_every, read):
    values = VALUES.copy()
    values[12, 0], values[13, 1] = math.inf, math.nan
    with pytest.raises(NonFiniteLoss, match=r"loss is inf at step 13; all parameters are finite; .* step 7$"):
        trained(tmp_path / "run", "cuda", values=values, log_every=log_every)
    lines = Run.open(tmp_path / "run", Config).metrics()
    assert [line["step"] for line in lines] == ([] if read == "line" else [10])


def test_nothing_is_read_before_it_is_due(cupy, tmp_path):
    run = Run.create("numbers", Config(checkpoint_every=100), tmp_path / "run", device="cuda")
    for step in run.steps(25, log_every=10):
        if step in (0, 10):
            cupy.counters.clear()
        run.log(loss=tinygen.tensor(VALUES[step, 0], device="cuda"))
        if step in (9, 19):
            assert cupy.counters.total("synchronization") == 0
            assert run.last[1] == (VALUES[9, 0] if step == 19 else pytest.approx(math.nan, nan_ok=True))


def test_functions_are_called_in_order_with_numpys_arrays(cupy, tmp_path, monkeypatch):
    monkeypatch.setattr(unread, "ROOM", 16)
    run = Run.create("numbers", Config(checkpoint_every=100), tmp_path / "run", device="cuda")
    seen = []
    for step in run.steps(12, log_every=10):
        x = tinygen.arange(7, device="cuda") + step
        kept = tinygen.tensor([[1.0, step]], device="cuda")
        run.when_read(lambda x, kept, said: seen.append((run.done, x, kept, said)), x, kept, "word")
        kept.zero_()  # what was recorded stays
        assert len(seen) == (10 if step >= 10 else 0)
    assert [done for done, *_ in seen] == list(range(1, 13))
    for step, (_, x, kept, said) in enumerate(seen):
        assert x.tolist() == list(range(step, step + 7)) and x.dtype == np.int64 and said == "word"
        assert kept.tolist() == [[1.0, step]] and kept.dtype == np.float32


def test_on_a_cpu_they_are_called_at_once(tmp_path):
    run, seen = Run.create("numbers", Config(), tmp_path / "run"), []
    for step in run.steps(2):
        run.when_read(seen.append, tinygen.tensor(step))
        assert seen == list(range(step + 1)) and type(seen[step]) is np.ndarray
