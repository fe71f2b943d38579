"""torch.autograd's names: `backward`, `grad`, their checks, and the switches of recording."""
# ruff: noqa: F401  (what is imported here is what this module offers)

from tinygen.engine.backward import backward, grad
from tinygen.engine.grad_mode import enable_grad, inference_mode, is_grad_enabled, no_grad, set_grad_enabled
from tinygen.face.gradcheck import GradcheckError, gradcheck, gradgradcheck
from tinygen.face.legacy import Variable
