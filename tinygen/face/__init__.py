"""PyTorch's face: checked arguments, error messages, old names, printing.

The engine, operations, layers and models run without it.  `tinygen/__init__.py` calls `install` at its end.

calls            the wrappers, which check types and explain errors
argument_types   what each argument may be
errors           the messages, made of `describe`'s words
keywords         PyTorch's keywords that are accepted and ignored, or refused
absent           names of PyTorch that do not exist here
legacy           FloatTensor and the like, Variable
primitive_calls  calls of a Primitive: binding, and errors
tensor_methods   methods of Tensor that only callers use; size, a Tensor's shape
gradient_hooks   Tensor.register_hook
recording        inference_mode, set_grad_enabled
printing         how a Tensor is printed
gradcheck        derivatives against finite differences
stubs            writes the .pyi files: a tool for developers, which nothing here imports
"""

from __future__ import annotations

from tinygen import autograd, nn, ops, optim
from tinygen.engine.tensor import Tensor
from tinygen.face import (
    gradcheck,
    gradient_hooks,
    legacy,
    primitive_calls,
    printing,
    recording,
    size,
    tensor_methods,
)
from tinygen.face.absent import explain_absent_names
from tinygen.face.calls import (
    public,
    public_constructors,
    public_functions,
    public_layers,
    public_methods,
)
from tinygen.nn import functional
from tinygen.optim import lr_scheduler

OTHER_FUNCTIONS = "tensor as_tensor load save".split()  # exported functions that are not operations


def install(namespace: dict) -> None:
    """Wrap the functions, methods and constructors that tinygen exports, and add the names that only callers need.

    namespace   `globals()` of tinygen/__init__.py
    """
    _add_names(namespace)
    for name in (*ops.FUNCTIONS, *OTHER_FUNCTIONS):
        namespace[name] = public(namespace[name], "tinygen")
    public_methods(Tensor)
    public_functions(autograd, "grad backward gradcheck gradgradcheck")
    for name, value in list(vars(functional).items()):
        if not name.startswith("_"):
            setattr(functional, name, public(value, functional.__name__))
    for module in (nn.init, nn.utils, nn.utils.parametrizations, nn.utils.parametrize):
        public_functions(module)
    public_layers(vars(nn))
    public_constructors(vars(nn))
    public_constructors(vars(optim))
    modules = (nn, functional, nn.init, nn.utils, optim, lr_scheduler)
    explain_absent_names({"tinygen": namespace} | {module.__name__: vars(module) for module in modules})


def _add_names(namespace: dict) -> None:
    """Add the names that only callers use, and PyTorch's printing."""
    primitive_calls.install()
    tensor_methods.install()
    gradient_hooks.install()
    Tensor.__repr__ = printing.tensor_repr
    namespace["Size"] = size.Size
    for name in ("is_tensor", "from_dlpack"):
        namespace[name] = getattr(tensor_methods, name)
    for name in ("inference_mode", "set_grad_enabled"):
        namespace[name] = getattr(recording, name)
        setattr(autograd, name, namespace[name])
    namespace.update({cls.__name__: cls for cls in legacy.TENSOR_TYPES})
    namespace["set_printoptions"] = printing.set_printoptions
    namespace["get_printoptions"] = printing.get_printoptions
    autograd.Variable = legacy.Variable
    for name in ("GradcheckError", "gradcheck", "gradgradcheck"):
        setattr(autograd, name, getattr(gradcheck, name))
