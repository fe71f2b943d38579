"""Bad calls of creation, shape, index, reduction and product operations fail as in PyTorch and name the operation."""

import re
import warnings

import numpy as np
import pytest

import tinygen
from tinygen import kernels
from tinygen.nn import functional

try:
    import torch
except ImportError:
    torch = None

X, I = (lambda T: T.ones(2, 3)), (lambda T, *values: T.tensor(values))
WRONG = [  # operation, call
    ("reshape", lambda T, F: T.ones(2, 3).reshape(4, 2)),
    ("reshape", lambda T, F: T.ones(2, 3).reshape(-1, -1)),
    ("reshape", lambda T, F: T.ones(2, 3).reshape(2.5)),
    ("reshape", lambda T, F: T.reshape(T.ones(2, 3))),
    ("permute", lambda T, F: T.tensor(1.0).permute()),
    ("zeros", lambda T, F: T.zeros()),
    ("rand", lambda T, F: T.rand()),
    ("amax", lambda T, F: T.ones(0, 3).amax()),
    ("amin", lambda T, F: T.ones(0, 3).amin(0)),
    ("min", lambda T, F: T.ones(0, 3).min(0)),
    ("argmin", lambda T, F: T.ones(0, 3).argmin()),
    ("flatten", lambda T, F: T.ones(2, 3).flatten(0, 2)),
    ("flatten", lambda T, F: T.ones(2, 3).flatten(1, 0)),
    ("flatten", lambda T, F: T.tensor(1.0).flatten(1)),
    ("unflatten", lambda T, F: T.ones(2, 3).unflatten(1, (2, 2))),
    ("unflatten", lambda T, F: T.ones(2, 3).unflatten(2, (1, 3))),
    ("squeeze", lambda T, F: T.ones(2, 3).squeeze(2)),
    ("unsqueeze", lambda T, F: T.ones(2, 3).unsqueeze(4)),
    ("permute", lambda T, F: T.ones(2, 3).permute(0, 0)),
    ("permute", lambda T, F: T.ones(2, 3).permute(0, 2)),
    ("permute", lambda T, F: T.ones(2, 3).permute(0)),
    ("transpose", lambda T, F: T.ones(2, 3).transpose(0, 2)),
    ("t", lambda T, F: T.ones(2, 3, 1).t()),
    ("expand", lambda T, F: T.ones(2, 3).expand(4, 3)),
    ("expand", lambda T, F: T.ones(2, 3).expand(3)),
    ("repeat", lambda T, F: T.ones(2, 3).repeat(2)),
    ("flip", lambda T, F: T.ones(2, 3).flip(2)),
    ("flip", lambda T, F: T.ones(2, 3).flip(0, 0)),
    ("roll", lambda T, F: T.roll(T.ones(2, 3), (1, 2))),
    ("roll", lambda T, F: T.roll(T.ones(2, 3), (1, 2), 0)),
    ("roll", lambda T, F: T.roll(T.ones(2, 3), 1, 2)),
    ("movedim", lambda T, F: T.movedim(T.ones(2, 3), (0, 1), (1,))),
    ("movedim", lambda T, F: T.movedim(T.ones(2, 3), (0, 0), (1, 0))),
    ("movedim", lambda T, F: T.movedim(T.ones(2, 3), 2, 0)),
    ("meshgrid", lambda T, F: T.meshgrid(T.ones(2), T.ones(2, 3), indexing="ij")),
    ("meshgrid", lambda T, F: T.meshgrid(T.ones(2), T.ones(2), indexing="yx")),
    ("meshgrid", lambda T, F: T.meshgrid(T.ones(2), I(T, 1), indexing="ij")),
    ("cat", lambda T, F: T.cat([])),
    ("cat", lambda T, F: T.cat([T.ones(2, 3), T.ones(2)])),
    ("cat", lambda T, F: T.cat([T.ones(2, 3), T.ones(3, 2)])),
    ("cat", lambda T, F: T.cat([T.ones(2, 3)], 2)),
    ("cat", lambda T, F: T.cat(T.ones(2, 3))),
    ("cat", lambda T, F: T.cat([T.ones(2), 1.0])),
    ("stack", lambda T, F: T.stack([])),
    ("stack", lambda T, F: T.stack([T.ones(2), T.ones(3)])),
    ("stack", lambda T, F: T.stack([T.ones(2)], 2)),
    ("narrow", lambda T, F: T.ones(2, 3).narrow(0, 1, 5)),
    ("narrow", lambda T, F: T.ones(2, 3).narrow(0, 1, -1)),
    ("narrow", lambda T, F: T.ones(2, 3).narrow(2, 0, 1)),
    ("split", lambda T, F: T.ones(2, 3).split(-1)),
    ("split", lambda T, F: T.ones(2, 3).split([1, 2])),
    ("split", lambda T, F: T.ones(2, 3).split([3, -1])),
    ("split", lambda T, F: T.ones(2, 3).split(1, 2)),
    ("split", lambda T, F: T.ones(2, 3).split()),
    ("select", lambda T, F: T.ones(2, 3).select(1, 3)),
    ("select", lambda T, F: T.ones(2, 3).select(2, 0)),
    ("select", lambda T, F: T.tensor(1.0).select(0, 0)),
    ("chunk", lambda T, F: T.ones(2, 3).chunk(0)),
    ("unbind", lambda T, F: T.ones(2, 3).unbind(2)),
    ("diagonal", lambda T, F: T.ones(2, 3).diagonal(0, 1, 1)),
    ("diagonal", lambda T, F: T.ones(2).diagonal()),
    ("diag", lambda T, F: T.ones(2, 3, 1).diag()),
    ("trace", lambda T, F: T.ones(2).trace()),
    ("gather", lambda T, F: T.ones(2, 3).gather(2, T.tensor([[0]]))),
    ("gather", lambda T, F: T.ones(2, 3).gather(0, T.tensor([[2]]))),
    ("gather", lambda T, F: T.ones(2, 3).gather(0, T.tensor([[-1]]))),
    ("gather", lambda T, F: T.ones(2, 3).gather(0, T.tensor([[0.0]]))),
    ("gather", lambda T, F: T.ones(2, 3).gather(0, T.tensor([0]))),
    ("gather", lambda T, F: T.ones(2, 3).gather(1, T.tensor([[0], [0], [0]]))),
    ("scatter_add", lambda T, F: T.ones(2, 3).scatter_add(0, T.tensor([[0, 0]]), T.ones(1, 1))),
    ("scatter_add", lambda T, F: T.ones(2, 3).scatter_add(0, T.tensor([[2]]), T.ones(1, 1))),
    ("scatter_add", lambda T, F: T.ones(2, 3).scatter_add(0, T.tensor([[0]]), T.tensor([[1]]))),
    ("scatter", lambda T, F: T.ones(2, 3).scatter(2, T.tensor([[0]]), 1.0)),
    ("scatter", lambda T, F: T.ones(2, 3).scatter(0, T.tensor([[0]]))),
    ("scatter", lambda T, F: T.ones(2, 3).scatter(0, T.tensor([[9]]), 1.0)),
    ("index_select", lambda T, F: T.ones(2, 3).index_select(2, T.tensor([0]))),
    ("index_select", lambda T, F: T.ones(2, 3).index_select(0, T.tensor([0.0]))),
    ("index_select", lambda T, F: T.ones(2, 3).index_select(0, T.tensor([[0]]))),
    ("index_select", lambda T, F: T.ones(2, 3).index_select(0, T.tensor([2]))),
    ("index_select", lambda T, F: T.tensor(1.0).index_select(0, T.tensor([0, 0]))),
    ("masked_select", lambda T, F: T.ones(2, 3).masked_select(T.tensor([1, 0, 1]))),
    ("masked_select", lambda T, F: T.ones(2, 3).masked_select(T.tensor([True, False]))),
    ("index_add", lambda T, F: T.ones(2, 3).index_add(0, T.tensor([0]), T.ones(1, 2))),
    ("index_add", lambda T, F: T.ones(2, 3).index_add(2, T.tensor([0]), T.ones(1, 3))),
    ("index_fill", lambda T, F: T.ones(2, 3).index_fill(0, T.tensor([5]), 1.0)),
    ("index_put", lambda T, F: T.ones(2, 3).index_put((T.tensor([5]),), T.ones(3))),
    ("index_put", lambda T, F: T.ones(2, 3).index_put((T.tensor([0]),), T.ones(2))),
    ("index_put", lambda T, F: T.ones(2, 3).index_put((T.tensor([0]),), T.tensor([1]))),
    ("index_put", lambda T, F: T.ones(2, 3).index_put((T.tensor([0]),) * 3, T.ones(1))),
    ("repeat_interleave", lambda T, F: T.ones(2, 3).repeat_interleave(-1)),
    ("repeat_interleave", lambda T, F: T.ones(2, 3).repeat_interleave(T.tensor([1, 2, 3]), 0)),
    ("repeat_interleave", lambda T, F: T.ones(2, 3).repeat_interleave(T.tensor([1.0, 2.0]), 0)),
    ("repeat_interleave", lambda T, F: T.ones(2, 3).repeat_interleave(T.tensor([1, 1]), 0, output_size=3)),
    ("sort", lambda T, F: T.ones(2, 3).sort(2)),
    ("argsort", lambda T, F: T.ones(2, 3).argsort(-3)),
    ("topk", lambda T, F: T.ones(2, 3).topk(4)),
    ("topk", lambda T, F: T.ones(2, 3).topk(-1)),
    ("topk", lambda T, F: T.ones(2, 3).topk(1, 2)),
    ("unique", lambda T, F: T.unique(T.ones(2, 3), dim=2)),
    ("bincount", lambda T, F: T.tensor([-1]).bincount()),
    ("bincount", lambda T, F: T.tensor([[1]]).bincount()),
    ("bincount", lambda T, F: T.tensor([1]).bincount(T.ones(2))),
    ("bincount", lambda T, F: T.tensor([1.0]).bincount()),
    ("multinomial", lambda T, F: T.multinomial(T.ones(3), 4)),
    ("multinomial", lambda T, F: T.multinomial(T.ones(3), 0)),
    ("multinomial", lambda T, F: T.multinomial(T.zeros(3), 1)),
    ("multinomial", lambda T, F: T.multinomial(T.tensor([1.0, -1.0]), 1)),
    ("multinomial", lambda T, F: T.multinomial(T.tensor([1.0, float("nan")]), 1)),
    ("multinomial", lambda T, F: T.multinomial(T.tensor([1, 2]), 1)),
    ("multinomial", lambda T, F: T.multinomial(T.ones(2, 2, 2), 1)),
    ("normal", lambda T, F: T.normal(T.ones(2), -1.0)),
    ("normal", lambda T, F: T.normal(0.0, 1.0)),
    ("bernoulli", lambda T, F: T.bernoulli(T.tensor([1.5]))),
    ("zeros", lambda T, F: T.zeros(-1)),
    ("zeros", lambda T, F: T.zeros(2.5)),
    ("randint", lambda T, F: T.randint(3, 3, (2,))),
    ("randperm", lambda T, F: T.randperm(-1)),
    ("arange", lambda T, F: T.arange(0, 3, -1)),
    ("pad", lambda T, F: F.pad(T.ones(2, 3), (1,))),
    ("pad", lambda T, F: F.pad(T.ones(2, 3), (3, 0), "reflect")),
    ("pad", lambda T, F: F.pad(T.ones(2, 3), (4, 0), "circular")),
    ("pad", lambda T, F: F.pad(T.ones(2, 3), (1, 1, 1, 1), "replicate")),
    ("pad", lambda T, F: F.pad(T.ones(3), (1, 1), "reflect")),
    ("pad", lambda T, F: F.pad(T.ones(2, 3), (1, 1), "mirror")),
    ("pad", lambda T, F: F.pad(T.ones(2, 3), (-2, -2))),
    ("sum", lambda T, F: T.ones(2, 3).sum(2)),
    ("sum", lambda T, F: T.ones(2, 3).sum((0, 0))),
    ("mean", lambda T, F: T.tensor([1, 2]).mean()),
    ("var", lambda T, F: T.tensor([1, 2]).var()),
    ("var", lambda T, F: T.ones(2, 3).var(0, True, correction=1)),
    ("logsumexp", lambda T, F: T.logsumexp(T.ones(2, 3))),
    ("max", lambda T, F: T.ones(0, 3).max()),
    ("argmax", lambda T, F: T.ones(0, 3).argmax(0)),
    ("cumsum", lambda T, F: T.ones(2, 3).cumsum(2)),
    ("cumprod", lambda T, F: T.ones(2, 3).cumprod(-3)),
    ("prod", lambda T, F: T.ones(2, 3).prod(2)),
    ("matmul", lambda T, F: T.ones(2, 3) @ T.ones(2, 3)),
    ("matmul", lambda T, F: T.ones(2, 3) @ T.tensor(1.0)),
    ("matmul", lambda T, F: T.ones(2, 3) @ T.tensor([1, 2, 3])),
    ("mm", lambda T, F: T.mm(T.ones(2, 3), T.ones(3))),
    ("bmm", lambda T, F: T.bmm(T.ones(2, 3), T.ones(3, 2))),
    ("dot", lambda T, F: T.dot(T.ones(2), T.ones(3))),
    ("mv", lambda T, F: T.mv(T.ones(2, 3), T.ones(2))),
    ("addmm", lambda T, F: T.addmm(T.ones(3), T.ones(2, 3), T.ones(3, 2))),
    ("baddbmm", lambda T, F: T.baddbmm(T.ones(2, 2, 2), T.ones(2, 2, 3), T.ones(2, 2, 2))),
    ("einsum", lambda T, F: T.einsum("ij,jk", T.ones(2, 3))),
    ("einsum", lambda T, F: T.einsum("ij,jk", T.ones(2, 3), T.ones(2, 3))),
    ("einsum", lambda T, F: T.einsum("ii", T.ones(2, 3))),
    ("einsum", lambda T, F: T.einsum("ij->ijj", T.ones(2, 3))),
    ("einsum", lambda T, F: T.einsum("ij->k", T.ones(2, 3))),
    ("einsum", lambda T, F: T.einsum("i1", T.ones(2, 3))),
    ("einsum", lambda T, F: T.einsum("i", T.ones(2, 3))),
    ("einsum", lambda T, F: T.einsum("i...j...", T.ones(2, 3))),
    ("tensordot", lambda T, F: T.tensordot(T.ones(2, 3), T.ones(2, 3), dims=1)),
    ("tensordot", lambda T, F: T.tensordot(T.ones(2, 3), T.ones(2, 3), dims=([0], [0, 1]))),
]  # fmt: skip


@pytest.mark.skipif(torch is None, reason="parity needs torch")
@pytest.mark.parametrize("i", range(len(WRONG)), ids=[f"{name}-{i}" for i, (name, _) in enumerate(WRONG)])
def test_a_wrong_call_raises_pytorchs_type_and_names_the_operation(i):
    name, call = WRONG[i]
    with warnings.catch_warnings(), pytest.raises(Exception) as expected:
        warnings.simplefilter("ignore")
        call(torch, torch.nn.functional)
    with pytest.raises(expected.type) as found:
        call(tinygen, functional)
    assert re.match(rf"{name}\b", str(found.value)), found.value
    assert re.search(
        r"found|expected|do(es)? not|cannot|outside|columns|names|differ|is both|more than", str(found.value)
    )


@pytest.mark.parametrize(
    "call, instead",
    [
        (lambda T: T.ones(2).scatter(0, T.tensor([0]), T.ones(1), reduce="add"), "use scatter_add"),
        (lambda T: T.ones(2, 2).norm("nuc"), "'nuc' needs singular values; supported"),
        (lambda T: T.normal(T.ones(2, requires_grad=True), 1.0), r"use mean \+ std \* randn"),
        (lambda T: T.ones(2).view(T.float64), r"use x\.to\(dtype\)"),
    ],
)
def test_what_is_not_supported_names_what_is(call, instead):
    with pytest.raises(NotImplementedError, match=instead):
        call(tinygen)


@pytest.mark.parametrize("replacement", [False, True])
def test_multinomial_draws_in_proportion(replacement):
    """Within five standard errors, row by row, for unnormalized weights; a weight of zero is never drawn."""
    tinygen.manual_seed(0)
    weights = tinygen.tensor([[1.0, 0.0, 3.0, 4.0], [5.0, 5.0, 0.0, 0.0]])
    n = 4000
    rows = weights.repeat_interleave(n, 0)
    drawn = tinygen.multinomial(rows, 1, replacement).numpy().reshape(2, n)
    for weight, picked in zip(weights.numpy(), drawn):
        p = weight / weight.sum()
        share = np.bincount(picked, minlength=4) / n
        assert (np.abs(share - p) <= 5 * np.sqrt(p * (1 - p) / n)).all()


def test_multinomial_without_replacement_draws_none_twice():
    tinygen.manual_seed(0)
    weights = tinygen.rand(50, 6)
    assert (tinygen.multinomial(weights, 6).sort(1).values == tinygen.arange(6)).all()
    with pytest.raises(
        RuntimeError, match="multinomial: found 1 weights above 0 in a row, expected at least 2"
    ):
        tinygen.multinomial(
            tinygen.tensor([1.0, 0.0]), 2
        )  # PyTorch's CPU also draws the second, which has weight zero
    first = tinygen.multinomial(weights[0], 4)
    assert first.shape == (4,) and first.dtype == tinygen.int64 and len(set(first.tolist())) == 4
    assert not (tinygen.multinomial(weights, 1) == tinygen.multinomial(weights, 1)).all()


def test_multinomial_at_the_ends_of_an_interval():
    """A uniform number of 0, or one that rounds up to the total, never draws a weight of zero."""
    weights, uniform = (
        np.array([[0.0, 1.0, 0.0, 3.0, 0.0]]),
        np.array([[0.0, 0.25, 0.2499, 1 - 2.0**-53, 1.0]]),
    )
    assert kernels.multinomial(weights, uniform).tolist() == [[1, 3, 1, 3, 3]]


def test_an_input_that_does_not_count_may_be_nan():
    nan, a, b = tinygen.full((2, 2), float("nan")), tinygen.ones(2, 3), tinygen.ones(3, 2)
    assert (tinygen.addmm(nan, a, b, beta=0) == 3).all()
    assert (tinygen.baddbmm(nan, a[None], b[None], beta=0, alpha=2) == 6).all()


def test_normal_has_the_mean_and_deviation_of_each_place():
    tinygen.manual_seed(0)
    mean, std = tinygen.tensor([[0.0], [5.0]]), tinygen.tensor([1.0, 0.1])
    drawn = tinygen.stack([tinygen.normal(mean, std) for _ in range(2000)])
    np.testing.assert_allclose(drawn.mean(0).numpy(), (mean + 0 * std).numpy(), atol=0.1)
    np.testing.assert_allclose(drawn.std(0).numpy(), (std + 0 * mean).numpy(), rtol=0.1)


def test_a_diagonal_is_a_view():
    x = tinygen.zeros(3, 3)
    x.diagonal().fill_(2)
    x.diagonal(1)[0] = 5
    assert x.tolist() == [[2, 5, 0], [0, 2, 0], [0, 0, 2]]
    x.diag().fill_(9)
    assert x.trace() == 6
