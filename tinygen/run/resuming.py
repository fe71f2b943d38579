"""What a run must have in common with its checkpoint to continue from it: model, flags, and the objects to fill."""

import dataclasses
import os
import platform
from pathlib import Path

import numpy as np

from tinygen.kernels.runtime import blas
from tinygen.run import checkpoint, flags
from tinygen.run.checkpoint import CheckpointError
from tinygen.run.folder import RunError, is_count, is_number, read_config

MAY_CHANGE = {"data_dir", "checkpoint_every"}  # where and how often: the numbers do not depend on them


def versions(device) -> dict:
    """What the bits of a run depend on besides its flags."""
    from tinygen import __version__

    found = {"tinygen": __version__, "python": platform.python_version(), "numpy": np.__version__}
    return found | {"blas_core": blas.core(), "blas_threads": blas.threads(), "device": str(device)}


def refuse_changed_flags(folder, config, saved: dict, free) -> None:
    """Compare the flags of a run's config.json or checkpoint with those given now.  Raises RunError.

    Fields named in `free` may change, `steps` only upwards.
    """
    for name, now in flags.to_json(config).items():
        was = saved.get(name, now)
        grows = name != "steps" or (type(was) is type(now) is int and now >= was)
        if was != now and name not in MAY_CHANGE and not (name in free and grows):
            raise RunError(
                f"{folder}: --{name.replace('_', '-')} was {was}, now {now}; a resumed run keeps its flags"
            )


def refuse_newer_flags(folder, config) -> None:
    """Refuse a run made before one of its flags existed, unless that flag is off or at its default.

    Raises RunError.
    """
    saved = read_config(folder)["config"]
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if field.name not in saved and value and value != field.default:
            option = field.name.replace("_", "-")
            raise RunError(f"{folder}: made before --{option} existed, which is now {value}; start a new run")


def read_checkpoint(folder, model: str, config) -> tuple[object, dict]:
    """The tracked objects' state and the metadata of a run's checkpoint, checked to be of this run.

    Raises RunError, CheckpointError.
    """
    path = Path(folder, "checkpoint.safetensors")
    if not os.path.lexists(path):
        raise RunError(f"{folder}: no checkpoint yet")
    arrays, meta = checkpoint.read(path)
    _check_metadata(path, meta)
    if meta["model"] != model:
        raise CheckpointError(f"{path}: checkpoint of another model: found {meta['model']}, expected {model}")
    for name, value in flags.to_json(config).items():
        found = meta["config"].get(name, value)
        if name not in MAY_CHANGE | {"steps"} and found != value:
            raise CheckpointError(
                f"{path}: checkpoint of another run: found {name} {found}, expected {value}"
            )
    try:
        return checkpoint.unflatten(arrays, meta["state"]), meta
    except (ValueError, RecursionError) as e:
        raise CheckpointError(f"{path}: its state cannot be read: {e}") from e


def fill(path, objects: dict, state: dict) -> None:
    """Load the state of a checkpoint into objects of the same names.  Raises CheckpointError."""
    for name, object in objects.items():
        if name not in state:
            raise CheckpointError(
                f"{path}: checkpoint of another model: {flags.unknown('part', name, state)}"
            )
        try:
            if reason := checkpoint.first_of_another_kind(state[name], object.state_dict()):
                raise ValueError(reason)
            object.load_state_dict(state[name])
        except (LookupError, ValueError, RuntimeError, TypeError, AttributeError, ArithmeticError) as e:
            reason = " ".join(str(e).split())
            raise CheckpointError(f"{path}: checkpoint of another model: {name}: {reason}") from e


def _check_metadata(path, meta: dict) -> None:
    """Refuse metadata that `Run.checkpoint` does not write.  Raises CheckpointError."""
    sums = meta.get("sums")
    expected = {
        "model": isinstance(meta.get("model"), str),
        "config": isinstance(meta.get("config"), dict),
        "step": is_count(meta.get("step")),
        "seconds": is_number(meta.get("seconds")) and meta["seconds"] >= 0,
        "sums": isinstance(sums, dict) and all(map(_is_sum, sums.values())),
        "random": isinstance(meta.get("random"), dict)
        and all(type(n) is int for n in meta["random"].values()),
        "lines": meta.get("lines") is None or is_count(meta["lines"]),
        "state": isinstance(meta.get("state"), dict),
    }
    for name, good in expected.items():
        if not good:
            found = f"{name} {meta[name]!r:.60}" if name in meta else f"no {name}"
            raise CheckpointError(f"{path}: found {found} in the metadata, expected what a run writes")


def _is_sum(value) -> bool:
    """[the sum of some losses, how many there are]"""
    return isinstance(value, list) and len(value) == 2 and is_number(value[0]) and is_count(value[1], 1)
