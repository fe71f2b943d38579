"""Sums of products over named dimensions, computed with permute, reshape, sum and batched matrix products."""

from __future__ import annotations

import math
import string

from tinygen.engine.dtypes import DtypeError, ShapeError
from tinygen.engine.errors import refusal
from tinygen.engine.tensor import Tensor
from tinygen.ops.declaration import example, operation, real
from tinygen.ops.elementwise.arithmetic import mul
from tinygen.ops.products.matmul import matmul
from tinygen.ops.reduce import sum
from tinygen.ops.shape.diagonal import diagonal
from tinygen.ops.shape.reshape import permute, reshape, squeeze

LETTERS = string.ascii_uppercase + string.ascii_lowercase  # the order of PyTorch's implicit output


@operation(example("tinygen.einsum('ij,jk->ik', a, b)", a=real(2, 3), b=real(3, 2)), homes="tinygen")
def einsum(equation, *operands):
    """The product of the operands, summed over every index that the output does not name

    einsum("bik,bkj->bij", x, w): letters name dimensions, "..." stands for all others, which broadcast; a letter
    twice in one operand takes its diagonal.  Without "->", the output has the letters that occur once, in alphabetical
    order.  Also einsum(x, [0, 1], w, [1, 2], [0, 2]).  Operands are contracted from left to right.
    """
    if not isinstance(equation, str):
        equation, operands = _from_lists((equation, *operands))
    if len(operands) == 1 and isinstance(operands[0], (list, tuple)):
        operands = operands[0]
    terms, output = _parse(equation, [x.shape if isinstance(x, Tensor) else None for x in operands])
    if len({x.dtype for x in operands}) > 1:
        raise refusal(
            "einsum", DtypeError, f"found {', '.join(str(x.dtype) for x in operands)}, expected one dtype"
        )
    operands, terms = list(operands), [list(term) for term in terms]
    for i, (x, term) in enumerate(zip(operands, terms)):
        operands[i], terms[i] = _distinct(equation, x, term)
    sizes = _sizes(equation, operands, terms)
    for i, (x, term) in enumerate(zip(operands, terms)):  # from here on equal names have equal sizes
        broadcast = [d for d, name in enumerate(term) if x.shape[d] == 1 != sizes[name]]
        operands[i], terms[i] = squeeze(x, broadcast), [n for d, n in enumerate(term) if d not in broadcast]
    x, term = operands[0], terms[0]
    for i in range(1, len(operands)):
        later = {*output}.union(*terms[i + 1 :])
        x, term = _product(x, term, operands[i], terms[i], later)
    x, term = _summed(x, term, {*output})
    return permute(x, [term.index(name) for name in output])


def _from_lists(arguments):
    """einsum(x, [0, 1], w, [1, 2], [0, 2]) as an equation and its operands."""
    pairs = len(arguments) // 2
    terms = [arguments[2 * i + 1] for i in range(pairs)] + list(arguments[2 * pairs :])
    if not pairs or not all(isinstance(term, (list, tuple)) for term in terms):
        raise refusal(
            "einsum",
            TypeError,
            f"found a {type(arguments[0]).__name__} first, expected an equation and operands, or operands "
            "each followed by a list of numbers",
        )
    if any(n is not Ellipsis and not 0 <= n < len(LETTERS) for term in terms for n in term):
        raise refusal(
            "einsum", ShapeError, f"found subscripts {terms}, expected numbers from 0 to {len(LETTERS) - 1}"
        )
    names = ["".join("..." if n is Ellipsis else LETTERS[n] for n in term) for term in terms]
    arrow = "->" + names[pairs] if len(names) > pairs else ""
    return ",".join(names[:pairs]) + arrow, arguments[0 : 2 * pairs : 2]


def _parse(equation: str, shapes: list):
    """The names of every operand's dimensions and of the output's; those that "..." stands for are -1, -2, …"""
    left, arrow, right = equation.replace(" ", "").partition("->")
    written = left.split(",")
    if len(written) != len(shapes):
        raise refusal(
            "einsum", ShapeError, f"found {len(shapes)} operands for {len(written)} in {equation!r}"
        )
    terms = [_term(equation, text, shape) for text, shape in zip(written, shapes)]
    unnamed = sorted({n for term in terms for n in term if isinstance(n, int)})
    counts = "".join(written)
    if arrow:
        output = _term(equation, right, None, unnamed)
    else:
        output = unnamed + [n for n in LETTERS if counts.count(n) == 1]
    for name in output:
        if output.count(name) > 1 or not any(name in term for term in terms):
            raise refusal(
                "einsum", ShapeError, f"the output of {equation!r} names {name} twice, or no operand does"
            )
    return terms, output


def _term(equation: str, text: str, shape, unnamed=None) -> list:
    before, dots, after = text.partition("...")
    bad = [c for c in before + after if c not in LETTERS]
    if bad:
        raise refusal(
            "einsum",
            ShapeError,
            f"found {bad[0]!r} in {equation!r}, expected letters, one ... an operand, commas and ->",
        )
    if shape is not None:
        extra = len(shape) - len(before) - len(after)
        if extra < 0 or (extra and not dots):
            raise refusal(
                "einsum",
                ShapeError,
                f"{text!r} in {equation!r} was found for an operand of shape {shape}, which does not fit",
            )
        unnamed = list(range(-extra, 0))
    return [*before, *(unnamed if dots else []), *after]


def _distinct(equation: str, x, term: list):
    """Take the diagonal for a name that occurs twice in one operand."""
    for name in dict.fromkeys(term):
        while term.count(name) > 1:
            first = term.index(name)
            second = term.index(name, first + 1)
            if x.shape[first] != x.shape[second]:
                raise refusal(
                    "einsum",
                    ShapeError,
                    f"{name} in {equation!r} is both {x.shape[first]} and {x.shape[second]}",
                )
            x = diagonal(x, 0, first, second)
            term = [n for d, n in enumerate(term) if d not in (first, second)] + [name]
    return x, term


def _sizes(equation: str, operands, terms) -> dict:
    sizes: dict = {}
    for x, term in zip(operands, terms):
        for name, size in zip(term, x.shape):
            known = sizes.get(name, 1)
            if known != size and 1 not in (known, size):
                shapes = ", ".join(str(x.shape) for x in operands)
                raise refusal(
                    "einsum",
                    ShapeError,
                    f"{name} in {equation!r} is both {known} and {size}; operands {shapes}",
                )
            sizes[name] = size if known == 1 else known
    return sizes


def _summed(x, term: list, kept: set):
    """x summed over the dimensions whose names are not kept."""
    gone = [d for d, name in enumerate(term) if name not in kept]
    return (sum(x, gone), [name for name in term if name in kept]) if gone else (x, term)


def _product(a, a_term: list, b, b_term: list, later: set):
    """a b, summed over the names that only these two have: a batch of matrix products, or an elementwise product."""
    a, a_term = _summed(a, a_term, later.union(b_term))
    b, b_term = _summed(b, b_term, later.union(a_term))
    shared = [name for name in a_term if name in b_term]
    batch = [name for name in shared if name in later]
    inner = [name for name in shared if name not in later]
    rows = [name for name in a_term if name not in shared]
    columns = [name for name in b_term if name not in shared]
    sizes = dict(zip(a_term + b_term, a.shape + b.shape))

    def arranged(x, term, *groups):
        shape = [math.prod(sizes[n] for n in group) for group in groups]
        return reshape(permute(x, [term.index(n) for group in groups for n in group]), shape)

    if inner:
        out = matmul(arranged(a, a_term, batch, rows, inner), arranged(b, b_term, batch, inner, columns))
    else:
        out = mul(arranged(a, a_term, batch, rows, []), arranged(b, b_term, batch, [], columns))
    names = batch + rows + columns
    return reshape(out, [sizes[n] for n in names]), names


@operation(example("tinygen.tensordot(a, b, 1)", a=real(2, 3), b=real(3, 2)), homes="tinygen")
def tensordot(a, b, dims=2):
    """Products summed over the last `dims` dimensions of a and the first of b, or over dims = (a's, b's)"""
    if isinstance(dims, int):
        if not 0 <= dims <= min(a.ndim, b.ndim):
            raise refusal("tensordot", ShapeError, f"found dims {dims} for a {a.shape}, b {b.shape}")
        dims = range(a.ndim - dims, a.ndim), range(dims)
    over_a, over_b = ([d] if isinstance(d, int) else list(d) for d in dims)
    if len(over_a) != len(over_b):
        raise refusal(
            "tensordot",
            ShapeError,
            f"found {len(over_a)} dims of a and {len(over_b)} of b, expected the same number of both",
        )
    names_a, names_b = list(range(a.ndim)), list(range(a.ndim, a.ndim + b.ndim))
    for i, j in zip(over_a, over_b):
        if not (-a.ndim <= i < a.ndim and -b.ndim <= j < b.ndim):
            raise refusal("tensordot", IndexError, f"found dims {i}, {j}, outside a {a.shape} or b {b.shape}")
        if a.shape[i] != b.shape[j] and 1 not in (a.shape[i], b.shape[j]):
            raise refusal(
                "tensordot", ShapeError, f"dim {i} of a {a.shape} and dim {j} of b {b.shape} differ"
            )
        names_b[j] = names_a[i]
    output = [n for n in names_a if n not in names_b] + [n for n in names_b if n not in names_a]
    return einsum(a, names_a, b, names_b, output)
