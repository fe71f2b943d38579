"""Numbers that say how good a generative model is."""

from tinygen.metrics.likelihood import importance_sampled_nll, mean_and_error
from tinygen.ops.likelihood import bernoulli_log_likelihood
