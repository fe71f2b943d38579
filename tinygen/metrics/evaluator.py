"""The evaluator: a frozen classifier whose features and classes images are measured by.

A distance between features depends on the network that computes them: compare numbers only if they were measured with
the same weights.  None of them is an FID, which is defined by Inception's features (Heusel et al. 2017).
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np

from tinygen import nn
from tinygen.engine.grad_mode import no_grad
from tinygen.metrics.metric_error import MetricError
from tinygen.ops.tensor.conversion import tensor
from tinygen.run import checkpoint
from tinygen.run.progress import progress

WEIGHTS = Path(__file__).parent / "weights"
FEATURES = 128
CLASSES = 10


class Evaluator(nn.Module):
    """Three convolutions and 128 features, from which a linear layer computes the classes."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *_stage(1, 16),  # (N, 16, 14, 14)
            *_stage(16, 32),  # (N, 32, 7, 7)
            *_stage(32, 64),  # (N, 64, 3, 3)
            nn.Flatten(),
            nn.Linear(64 * 3 * 3, FEATURES),
            nn.ReLU(),
        )
        self.dropout = nn.Dropout(0.25)
        self.head = nn.Linear(FEATURES, CLASSES)

    def features(self, x):
        """x (N, 1, 28, 28) in [0, 1] -> (N, 128), at least 0"""
        return self.body(x)

    def forward(self, x):
        """x (N, 1, 28, 28) in [0, 1] -> logits (N, 10)"""
        return self.head(self.dropout(self.features(x)))


def _stage(before: int, after: int) -> list:
    """A 3 x 3 convolution that halves the resolution; it pools first, so that the rest costs a quarter."""
    return [
        nn.Conv2d(before, after, 3, padding=1, bias=False),
        nn.MaxPool2d(2),
        nn.BatchNorm2d(after),
        nn.ReLU(),
    ]


def judged() -> list[str]:
    """The datasets that have an evaluator."""
    return sorted(path.stem for path in WEIGHTS.glob("*.safetensors"))


@lru_cache(maxsize=4)
def load_evaluator(data: str) -> Evaluator:
    """The trained evaluator of a dataset, in evaluation mode.  Raises MetricError if there is none."""
    path = WEIGHTS / f"{data}.safetensors"
    if not path.exists():
        raise MetricError(
            f"{data} has no evaluator, which the measures of images need; there is one for {', '.join(judged())}"
        )
    net = Evaluator()
    net.load_state_dict(checkpoint.load_state(path))
    return net.eval()


@no_grad()
def features_and_logits(
    net: Evaluator, images: np.ndarray, what: str = "features", rows: int = 250
) -> tuple[np.ndarray, np.ndarray]:
    """images (N, 28, 28), floats in [0, 1] or uint8, `rows` at a time -> features (N, 128), logits (N, 10)"""
    device = net.head.weight.device
    features = np.empty((len(images), FEATURES), np.float32)
    logits = np.empty((len(images), CLASSES), np.float32)
    for start in progress(range(0, len(images), rows), what):
        part = slice(start, start + rows)
        x = in_unit_range(images[part])[:, None]
        h = net.features(tensor(x, device=device))
        features[part], logits[part] = h.cpu().numpy(), net.head(h).cpu().numpy()
    return features, logits


def in_unit_range(images: np.ndarray) -> np.ndarray:
    """uint8 as float32 in [0, 1]; floats as they are."""
    return np.divide(images, 255, dtype=np.float32) if images.dtype == np.uint8 else np.float32(images)


class Standardised:
    """Standardise features: subtract their mean over the data and divide by their deviation, which has a floor.

    The floor is a tenth of the root mean square deviation of all features: otherwise a feature that is dead on the data
    but not on generated images would make distances of millions by itself.
    """

    def __init__(self, features: np.ndarray) -> None:
        features = np.asarray(features, np.float64)
        self.mean, deviation = features.mean(axis=0), features.std(axis=0)
        self.deviation = np.maximum(deviation, 0.1 * np.sqrt((deviation**2).mean()))

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """(N, F) -> (N, F) float64"""
        return (features - self.mean) / self.deviation
