"""Which flags may change when a run is resumed (`resumable_changes` of a model)."""

from __future__ import annotations


def more_steps(config) -> set[str]:
    """The number of steps, for models in which nothing else depends on it: no schedule, no warm-up."""
    return {"steps"}
