"""Written by `python -m tinygen.face.stubs`: change the source and run it again."""

from tinygen.nn.utils import parametrizations as parametrizations
from tinygen.nn.utils import parametrize as parametrize
from tinygen.nn.utils.clip_grad import clip_grad_norm_ as clip_grad_norm_
from tinygen.nn.utils.clip_grad import clip_grad_value_ as clip_grad_value_
from tinygen.nn.utils.clip_grad import clip_grads_with_norm_ as clip_grads_with_norm_
from tinygen.nn.utils.clip_grad import get_total_norm as get_total_norm
from tinygen.nn.utils.convert_parameters import parameters_to_vector as parameters_to_vector
from tinygen.nn.utils.convert_parameters import vector_to_parameters as vector_to_parameters
from tinygen.nn.utils.norm_hooks import remove_spectral_norm as remove_spectral_norm
from tinygen.nn.utils.norm_hooks import remove_weight_norm as remove_weight_norm
from tinygen.nn.utils.norm_hooks import spectral_norm as spectral_norm
from tinygen.nn.utils.norm_hooks import weight_norm as weight_norm
