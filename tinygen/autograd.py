"""torch.autograd's names: `backward`, `grad` and the switches of recording.

`tinygen.face` adds `gradcheck`, `gradgradcheck`, `inference_mode`, `set_grad_enabled` and `Variable`.
"""
# ruff: noqa: F401  (what is imported here is what this module offers)

from tinygen.engine.backward import backward
from tinygen.engine.grad_mode import enable_grad, is_grad_enabled, no_grad
from tinygen.engine.gradients import grad
