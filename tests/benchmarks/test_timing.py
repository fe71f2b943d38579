"""Timing in turns: order, repetitions, medians; and the comparison of results."""

import numpy as np
import pytest

from tinygen.benchmarks.timing import Timing, WrongResult, interleaved, require_equal


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
