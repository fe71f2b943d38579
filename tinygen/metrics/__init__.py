"""Measures of how good a generative model is.

    evaluator                            a classifier whose features and classes images are measured by
    frechet, kid, neighbours, classes    measures of features and classes
    images, limits                       all of them at once, with their floors and ceilings
    attributes                           slant and stroke width of a digit
    likelihood, modes                    nats and bits; modes of a mixture

This room is above nn, run and data, and below models.
"""

from tinygen.metrics.evaluator import features_and_logits, load_evaluator
from tinygen.metrics.images import image_measures, quick_measures
from tinygen.metrics.likelihood import bits_per_dim, importance_sampled_nll, mean_and_error
from tinygen.metrics.metric_error import MetricError
from tinygen.metrics.modes import mode_measures
from tinygen.ops.losses.likelihood import bernoulli_log_likelihood
