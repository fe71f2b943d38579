"""Open a run's folder, provided that a given command made it and that it is finished."""

from __future__ import annotations

import importlib
import shlex
from pathlib import Path


def finished_run(folder: Path, train: str):
    """The run in a folder, which must have been made by `tinygen train TRAIN` with some seed, and be finished.

    train  for example "gan --data mnist".  Raises SystemExit otherwise
    """
    from tinygen.run.flags import Parser, add_flags, flags_of, make_config, to_json
    from tinygen.run.training import Run

    model, *flags = shlex.split(train)
    module = importlib.import_module(f"tinygen.models.{model.replace('-', '_')}")
    parser = Parser(prog=model)
    add_flags(parser, flags_of(module.Config))
    expected = to_json(make_config(module.Config, parser.parse(flags)))
    run = Run.open(folder, module.Config)
    run.refuse_newer_flags()
    found = to_json(run.config)
    free = {"seed", "data_dir", "checkpoint_every"}
    if expected.get("measure_every") is None:
        free.add("measure_every")  # has no effect on training
    for key in expected.keys() - free:
        if found[key] != expected[key]:
            raise SystemExit(f"{folder}: {key} is {found[key]}, that of `train {train}` is {expected[key]}")
    last = run.metrics()[-1]["step"] if run.metrics() else 0
    if last != expected["steps"]:
        raise SystemExit(f"{folder}: stands at step {last}, `train {train}` ends at {expected['steps']}")
    return run
