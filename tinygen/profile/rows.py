"""The rows of a profile: calls and seconds of one operation, forward and backward apart, and the bytes it keeps."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Tally:
    """Calls, and the seconds spent in them, without the measured calls inside them."""

    calls: int = 0
    seconds: float = 0.0


@dataclass(slots=True)
class Row:
    """What one operation (by_shape: with inputs of these shapes), the tape or an optimizer has used."""

    operation: str
    shapes: tuple | None = None
    kind: str = "operation"
    forward: Tally = field(default_factory=Tally)
    backward: Tally = field(default_factory=Tally)
    other: Tally = field(default_factory=Tally)
    kept: int = 0
    held: int = 0
    at_peak: int = 0

    def as_dict(self, wall: float) -> dict:
        tallies = self.forward, self.backward, self.other
        seconds = sum(t.seconds for t in tallies)
        shapes = {} if self.shapes is None else {"shapes": [list(shape) for shape in self.shapes]}
        return {
            "operation": self.operation,
            **shapes,
            "kind": self.kind,
            "calls": sum(t.calls for t in tallies),
            "ms": 1e3 * seconds,
            "forward_calls": self.forward.calls,
            "forward_ms": 1e3 * self.forward.seconds,
            "backward_calls": self.backward.calls,
            "backward_ms": 1e3 * self.backward.seconds,
            "kept_bytes": self.kept,
            "peak_bytes": self.at_peak,
            "share": seconds / wall if wall else 0.0,
        }
