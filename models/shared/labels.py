"""The classes of conditional models."""

from __future__ import annotations

import numpy as np

from tinygen.run.flags import FlagError

CLASSES = 10


def wanted(n: int, label: int | None) -> np.ndarray:
    """n labels to draw: all of them `label`, or the classes in turn if it is None.  -> (n,) int64"""
    if label is not None and not 0 <= label < CLASSES:
        raise FlagError(f"--label: found {label}, expected 0 to {CLASSES - 1}")
    return np.arange(n) % CLASSES if label is None else np.full(n, label)


def classes_asked(config, n: int, label: int | None) -> np.ndarray | None:
    """The labels of n images: all of them `label`, or the classes in turn; None for an unconditional run.  -> (n,)"""
    if config.conditional:
        return wanted(n, label)
    if label is not None:
        raise FlagError("--label: this run was trained without labels; train one with --conditional")
    return None
