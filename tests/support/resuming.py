"""Compare a training that is stopped and resumed with one that is never stopped."""

from __future__ import annotations

import pytest

from tinygen.run import checkpoint
from tinygen.run.training import Run


def require_same_bits(module, name: str, config, folder, stop: int, monkeypatch) -> dict:
    """Train in folder/whole, and in folder/stopped with a stop in step `stop`; the checkpoints must be the same.

    -> the arrays of the checkpoint
    """
    module.train(config, Run.create(name, config, folder / "whole"))
    stopped, log = Run.create(name, config, folder / "stopped"), Run.log

    def log_until(run, **given):
        if run.done == stop:
            raise KeyboardInterrupt
        log(run, **given)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Run, "log", log_until)
        module.train(config, stopped)
    stopped._lock.close()
    module.train(config, Run.create(name, config, folder / "stopped", resume=True))
    (arrays, meta), (expected, expected_meta) = (
        checkpoint.read(folder / run / "checkpoint.safetensors") for run in ("stopped", "whole")
    )
    assert arrays.keys() == expected.keys()
    for name, array in arrays.items():
        assert array.tobytes() == expected[name].tobytes(), name
    assert meta["state"] == expected_meta["state"] and meta["sums"] == expected_meta["sums"]
    return arrays
