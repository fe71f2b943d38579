"""Log-likelihoods for evaluation: arrays out, no gradient."""

from __future__ import annotations

import numpy as np

from tinygen import kernels
from tinygen.engine import devices
from tinygen.engine.dtypes import ShapeError
from tinygen.engine.errors import refusal
from tinygen.engine.tensor import Tensor


def bernoulli_log_likelihood(x: np.ndarray, logits: Tensor) -> np.ndarray:
    """log p(x) of each image under each of its samples.  x (N, D) of 0 and 1, logits (N, S, D) -> (N, S) float64"""
    if logits.ndim != 3 or x.shape != (logits.shape[0], logits.shape[2]):
        found = f"x {x.shape}, logits {logits.shape}"
        raise refusal("bernoulli_log_likelihood", ShapeError, f"found {found}, expected (N, D) and (N, S, D)")
    return devices.on_host(kernels.bernoulli_log_likelihood(devices.move(x, logits.device), logits._data))
