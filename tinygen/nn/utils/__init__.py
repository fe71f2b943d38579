"""Functions of many parameters, and weights computed from other parameters, under the names of torch.nn.utils."""

from tinygen.nn.utils import parametrizations, parametrize
from tinygen.nn.utils.clip_grad import (
    clip_grad_norm_,
    clip_grad_value_,
    clip_grads_with_norm_,
    get_total_norm,
)
from tinygen.nn.utils.convert_parameters import parameters_to_vector, vector_to_parameters
from tinygen.nn.utils.norm_hooks import (
    remove_spectral_norm,
    remove_weight_norm,
    spectral_norm,
    weight_norm,
)
