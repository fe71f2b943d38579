"""Measures of the classes that the evaluator assigns to images."""

from __future__ import annotations

import numpy as np


def inception_score(logits: np.ndarray) -> float:
    """exp(E_x KL(p(y|x) || p(y))): 1 to the number of classes  (Salimans et al. 2016, arXiv 1606.03498, section 4).

    logits (N, C) of any classifier: high if every image clearly belongs to one class and the classes are balanced.
    """
    log_p = _log_probabilities(logits)
    p = np.exp(log_p)
    log_marginal = np.log(p.mean(axis=0).clip(1e-300))
    return float(np.exp((p * (log_p - log_marginal)).sum(axis=1).mean()))


def top_probability(logits: np.ndarray) -> float:
    """The mean probability of the most likely class, 1/C to 1: low for images between classes.

    A high value alone means nothing: MNIST's evaluator gives noise 0.9986, all in one class, and the test set 0.9964
    (metrics/weights/mnist.json).  logits (N, C)
    """
    return float(np.exp(_log_probabilities(logits)).max(axis=1).mean())


def _log_probabilities(logits: np.ndarray) -> np.ndarray:
    """log softmax in float64.  (N, C) -> the same"""
    logits = np.asarray(logits, np.float64)
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def class_histogram_kl(classes: np.ndarray, data_classes: np.ndarray, count: int = 10) -> float:
    """KL(generated || data) of the class histograms in nats; at most log 1 / (the share of the rarest class).

    classes (N,), data_classes (M,) of integers below `count`
    """
    generated = np.bincount(classes, minlength=count) / len(classes)
    data = np.bincount(data_classes, minlength=count) / len(data_classes)
    seen = generated > 0
    with np.errstate(divide="ignore"):  # a class that the data lacks: infinite
        return float((generated[seen] * np.log(generated[seen] / data[seen])).sum())
