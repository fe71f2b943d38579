"""The optimizers to test, with parameters and gradients for them."""

import numpy as np

SHAPES = [(5, 7), (3,), (), (33, 13)]  # the last one is large enough for the compiled Adam


OPTIMIZERS = [
    ("SGD", dict(lr=0.1)),
    ("SGD", dict(lr=0.1, momentum=0.9)),
    ("SGD", dict(lr=0.1, momentum=0.9, dampening=0.3)),
    ("SGD", dict(lr=0.1, momentum=0.8, nesterov=True, weight_decay=0.1)),
    ("SGD", dict(lr=0.1, momentum=0.9, dampening=0.5, weight_decay=0.2)),
    ("Adam", dict()),
    ("Adam", dict(lr=0.05, betas=(0.5, 0.9), eps=1e-3)),
    ("Adam", dict(lr=0.05, weight_decay=0.3)),
    ("Adam", dict(lr=0.05, betas=(0.0, 0.99))),
    ("AdamW", dict(lr=0.05)),
    ("AdamW", dict(lr=0.05, weight_decay=0.3, betas=(0.8, 0.95))),
    ("SGD", dict(lr=0.1, momentum=0.9, weight_decay=0.1, maximize=True)),
    ("Adam", dict(lr=0.05, amsgrad=True)),
    ("Adam", dict(lr=0.05, amsgrad=True, weight_decay=0.1, maximize=True, decoupled_weight_decay=True)),
    ("AdamW", dict(lr=0.05, amsgrad=True, maximize=True)),
    ("RMSprop", dict()),
    ("RMSprop", dict(lr=0.05, alpha=0.5, eps=1e-3, weight_decay=0.1)),
    ("RMSprop", dict(lr=0.05, momentum=0.9, maximize=True)),
    ("RMSprop", dict(lr=0.05, centered=True)),
    ("RMSprop", dict(lr=0.05, momentum=0.5, centered=True, weight_decay=0.2, alpha=0.9)),
    ("Adagrad", dict()),
    ("Adagrad", dict(lr=0.1, lr_decay=0.2, weight_decay=0.1, initial_accumulator_value=0.5, eps=1e-3)),
    ("Adagrad", dict(lr=0.1, maximize=True)),
    ("Adadelta", dict()),
    ("Adadelta", dict(lr=0.5, rho=0.5, eps=1e-3, weight_decay=0.1, maximize=True)),
]

NAMES = sorted({name for name, _ in OPTIMIZERS})

case_id = lambda case: f"{case[0]}{case[1]}"


def starts(dtype="float64", seed=0):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=shape).astype(dtype) for shape in SHAPES]


def gradients(step, dtype="float64"):
    return starts(dtype, 100 + step)


def parameters(T, arrays):
    return [T.tensor(a).requires_grad_() for a in arrays]


def give(T, params, arrays):
    for p, a in zip(params, arrays):
        p.grad = T.tensor(a)


def close(ours, theirs, tolerance):
    ours, theirs = ours.detach().numpy(), theirs.detach().numpy()
    assert ours.shape == theirs.shape and ours.dtype == theirs.dtype
    np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)


def same(params, others):
    for p, q in zip(params, others):
        np.testing.assert_array_equal(p.detach().numpy(), q.detach().numpy())


def two_groups(T, O):
    params = parameters(T, [np.ones(2), np.ones(3)])
    return O.SGD([{"params": params[:1], "lr": 0.5}, {"params": params[1:]}], lr=0.03)
