"""Time several sides of one case in turns, A B C A B C …, and compare medians.

Other load on the machine slows down all sides of an interleaved measurement alike, so that ratios of medians are
meaningful where single times are not.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

TURN = 0.01  # minimal seconds per turn: short calls are repeated within it
PAUSE = 0.03  # seconds before a turn, in which the threads of the previous side stop spinning
BUDGET = 20.0  # seconds for all turns of a case; slow cases get fewer turns, but at least LEAST
LEAST = 3


class WrongResult(RuntimeError):
    """A side computed something different from the others, so that its speed means nothing."""


@dataclass(frozen=True)
class Timing:
    """Seconds per call, for every turn."""

    samples: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.samples)

    @property
    def mean(self) -> float:
        return statistics.fmean(self.samples)

    @property
    def fastest(self) -> float:
        return min(self.samples)

    @property
    def spread(self) -> float:
        """Interquartile range divided by the median."""
        if len(self.samples) < 2:
            return 0.0
        low, _, high = statistics.quantiles(self.samples, n=4, method="inclusive")
        return (high - low) / self.median if self.median else 0.0

    def as_json(self) -> dict:
        return {
            "ms": _rounded(1e3 * self.median),
            "min_ms": _rounded(1e3 * self.fastest),
            "spread": round(self.spread, 3),
            "turns": len(self.samples),
        }


def _rounded(x: float) -> float:
    return float(f"{x:.4g}")


# (call, times) -> the seconds that this many calls take
Stopwatch = Callable[[Callable[[], object], int], float]


def by_clock(clock: Callable[[], float]) -> Stopwatch:
    """A stopwatch for work that is finished when its call returns."""

    def seconds(call, times):
        start = clock()
        for _ in range(times):
            call()
        return clock() - start

    return seconds


def interleaved(
    sides: dict[str, Callable[[], object]],
    repeat: int = 15,
    *,
    turn: float = TURN,
    budget: float = BUDGET,
    clock: Callable[[], float] = time.perf_counter,
    sleep: Callable[[float], None] = time.sleep,
    stopwatch: Stopwatch | None = None,
) -> dict[str, Timing]:
    """Time the sides in turns.

    A turn is a pause, one untimed call, and then as many timed calls as fill `turn` seconds.  The pause and the untimed
    call are there because the previous side's threads hold the cores for a while, and it has filled the caches.

    stopwatch: replaces the CPU's clock, as for a GPU, which works asynchronously
    """
    stopwatch = stopwatch or by_clock(clock)
    calls, total = {}, 0.0
    for name, call in sides.items():
        call()  # compiles, allocates
        seconds = max(stopwatch(call, 1), 1e-9)
        calls[name] = max(1, math.ceil(turn / seconds))
        total += (1 + calls[name]) * seconds
    rounds = max(LEAST, min(repeat, int(budget / total))) if repeat > LEAST else max(1, repeat)
    samples: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, call in sides.items():
            sleep(PAUSE)
            call()
            samples[name].append(stopwatch(call, calls[name]) / calls[name])
    return {name: Timing(tuple(s)) for name, s in samples.items()}


def arrays(result) -> list[np.ndarray]:
    """The result of a call, tensors of either library or lists of them, as a list of arrays."""
    if isinstance(result, tuple | list):
        return [array for item in result for array in arrays(item)]
    if hasattr(result, "detach"):
        return [result.detach().cpu().numpy()]
    return [np.asarray(result.get() if hasattr(result, "get") else result)]  # cupy's


def require_equal(case: str, side: str, found, expected, of: str, tolerance: float) -> float:
    """Raise WrongResult if they differ by more than tolerance times the largest value.  -> that relative error"""
    found, expected = arrays(found), arrays(expected)
    if len(found) != len(expected):
        raise WrongResult(f"{case}: {side} has {len(found)} results, {of} has {len(expected)}")
    worst = 0.0
    for ours, theirs in zip(found, expected):
        if ours.shape != theirs.shape or ours.dtype != theirs.dtype:
            raise WrongResult(
                f"{case}: {side} gives {ours.dtype} {ours.shape}, {of} gives {theirs.dtype} {theirs.shape}"
            )
        if not ours.size:
            continue
        scale = max(float(np.abs(theirs).max()), 1e-30)
        error = float(np.abs(ours.astype(np.float64) - theirs).max()) / scale
        if not error <= tolerance:  # nan too
            raise WrongResult(
                f"{case}: {side} is wrong: it differs from {of} by {error:.1e} of the largest value; "
                f"allowed {tolerance:.0e}"
            )
        worst = max(worst, error)
    return worst
