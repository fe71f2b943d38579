"""Losses and distances as layers."""

from __future__ import annotations

from tinygen.nn import functional as F
from tinygen.nn.stateless import layer

_mean = dict(size_average=None, reduce=None, reduction="mean")
MSELoss = layer("MSELoss", F.mse_loss, **_mean)
L1Loss = layer("L1Loss", F.l1_loss, **_mean)
SmoothL1Loss = layer("SmoothL1Loss", F.smooth_l1_loss, **_mean, beta=1.0)
BCELoss = layer("BCELoss", F.binary_cross_entropy, weight=None, **_mean)
BCEWithLogitsLoss = layer(
    "BCEWithLogitsLoss", F.binary_cross_entropy_with_logits, weight=None, **_mean, pos_weight=None
)
_by_class = dict(weight=None, size_average=None, ignore_index=-100, reduce=None, reduction="mean")
NLLLoss = layer("NLLLoss", F.nll_loss, **_by_class)
CrossEntropyLoss = layer("CrossEntropyLoss", F.cross_entropy, **_by_class, label_smoothing=0.0)
KLDivLoss = layer("KLDivLoss", F.kl_div, **_mean, log_target=False)
HuberLoss = layer("HuberLoss", F.huber_loss, reduction="mean", delta=1.0)
CosineSimilarity = layer("CosineSimilarity", F.cosine_similarity, dim=1, eps=1e-8)
PairwiseDistance = layer("PairwiseDistance", F.pairwise_distance, p=2.0, eps=1e-6, keepdim=False)
GaussianNLLLoss = layer("GaussianNLLLoss", F.gaussian_nll_loss, full=False, eps=1e-6, reduction="mean")
