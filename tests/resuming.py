"""A training that is stopped in the middle and goes on, beside one that was never stopped."""

from __future__ import annotations

import pytest

from tinygen import checkpoint
from tinygen.run import Run


def stopped_and_whole(module, name: str, config, folder, stop: int, monkeypatch) -> list[tuple[dict, dict]]:
    """The arrays and facts of both checkpoints: of a run stopped in its step `stop`, and of the whole one."""
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
    return [checkpoint.read(folder / run / "checkpoint.safetensors") for run in ("stopped", "whole")]
