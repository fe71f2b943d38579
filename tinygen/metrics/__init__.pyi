"""Written by `python -m tinygen.face.stubs`: change the source and run it again."""

from tinygen.metrics.evaluator import features_and_logits as features_and_logits
from tinygen.metrics.evaluator import load_evaluator as load_evaluator
from tinygen.metrics.images import image_measures as image_measures
from tinygen.metrics.images import quick_measures as quick_measures
from tinygen.metrics.likelihood import bits_per_dim as bits_per_dim
from tinygen.metrics.likelihood import importance_sampled_nll as importance_sampled_nll
from tinygen.metrics.likelihood import mean_and_error as mean_and_error
from tinygen.metrics.metric_error import MetricError as MetricError
from tinygen.metrics.modes import mode_measures as mode_measures
from tinygen.ops.losses.likelihood import bernoulli_log_likelihood as bernoulli_log_likelihood
