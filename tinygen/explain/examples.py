"""One call of every operation, on inputs small enough to print and away from kinks.

`explain` shows it, finds in its graph what the operation is made of, and checks its derivatives.  A function of one
Tensor, or of two the second of which is called `other`, needs no line here unless it is picky about its values:
`name(x)` and `name(x, other)` are the default.
"""

from __future__ import annotations

import inspect
import zlib
from typing import NamedTuple

import numpy as np

from tinygen import nn, random, tensor
from tinygen.nn import functional as F

# makers of inputs: a random generator in, an array of few digits out


def real(*shape):
    """Numbers between -3 and 3, at least 0.1 from every multiple of a half: there kinks and steps lie."""
    return lambda rng: np.round(rng.integers(-6, 6, shape) / 2 + rng.uniform(0.1, 0.4, shape), 2)


def positive(*shape):
    """Numbers between 0.1 and 2, as far from kinks."""
    return lambda rng: np.round(rng.integers(0, 4, shape) / 2 + rng.uniform(0.1, 0.4, shape), 2)


def probability(*shape):
    return lambda rng: np.round(rng.uniform(0.1, 0.9, shape), 2)


def distinct(*shape):
    """Numbers at least 0.1 apart, so that every maximum is the only one."""
    n = int(np.prod(shape))
    return lambda rng: np.round((rng.permutation(n) - n // 2) * 0.3 + rng.uniform(0.05, 0.2, n), 2).reshape(
        shape
    )


def whole(*shape, high=3):
    """Whole numbers from 0 to high - 1: classes, indices."""
    return lambda rng: rng.integers(0, high, shape)


def truth(*shape):
    """A mask with both kinds in it."""
    return lambda rng: np.resize(rng.permutation([True, False, True, False]), shape)


def exactly(*values):
    """These numbers."""
    return lambda rng: np.array(values)


def constant(make):
    """An input that asks for no gradient, as running statistics do."""

    def made(rng):
        return make(rng)

    made.constant = True
    return made


class Example(NamedTuple):
    """A call as it is written, and the makers of the inputs it names."""

    call: str
    inputs: dict

    def arrays(self, seed: int) -> dict:
        rng = np.random.default_rng([seed, zlib.crc32(self.call.encode())])
        return {name: np.asarray(make(rng)) for name, make in self.inputs.items()}

    def tensors(self, seed: int) -> dict:
        """The inputs as Tensors; the floating ones ask for a gradient unless they are `constant`."""
        return {
            name: tensor(
                array, requires_grad=array.dtype.kind == "f" and not hasattr(self.inputs[name], "constant")
            )
            for name, array in self.arrays(seed).items()
        }

    def run(self, values: dict):
        """The call on these values, with the same random numbers at every call."""
        import tinygen

        state = random.get_state()
        random.manual_seed(0)
        try:
            return eval(self.call, {"tinygen": tinygen, "F": F, "nn": nn, **values})
        finally:
            random.set_state(state)


def example(call: str, **inputs) -> Example:
    return Example(call, inputs)


IMAGE = real(1, 2, 3, 3)

EXAMPLES = {
    # creation
    "zeros": example("tinygen.zeros(2, 3)"),
    "ones": example("tinygen.ones(2, 3)"),
    "empty": example("tinygen.empty(2, 3)"),
    "full": example("tinygen.full((2, 3), 7.0)"),
    "eye": example("tinygen.eye(3)"),
    "arange": example("tinygen.arange(2, 7)"),
    "linspace": example("tinygen.linspace(0, 1, 5)"),
    "rand": example("tinygen.rand(2, 3)"),
    "randn": example("tinygen.randn(2, 3)"),
    "randint": example("tinygen.randint(10, (2, 3))"),
    "randint_like": example("tinygen.randint_like(x, 10)", x=real(2, 3)),
    "normal": example("tinygen.normal(5.0, 0.1, (2, 3))"),
    "randperm": example("tinygen.randperm(5)"),
    "bernoulli": example("tinygen.bernoulli(x)", x=probability(2, 3)),
    "multinomial": example("tinygen.multinomial(x, 2)", x=probability(2, 3)),
    "full_like": example("tinygen.full_like(x, 7.0)", x=real(2, 3)),
    "one_hot": example("tinygen.one_hot(x, num_classes=3)", x=whole(4)),
    # elementwise
    **{
        name: example(f"tinygen.{name}(x)", x=positive(2, 3))
        for name in "log log1p log2 log10 sqrt rsqrt reciprocal".split()
    },
    "asin": example("tinygen.asin(x)", x=probability(2, 3)),
    "acos": example("tinygen.acos(x)", x=probability(2, 3)),
    "lerp": example("tinygen.lerp(x, end, weight)", x=real(2, 3), end=real(3), weight=probability(2, 1)),
    **{
        name: example(f"tinygen.{name}(x, tensor1, tensor2)", x=real(2, 3), tensor1=real(3), tensor2=positive(2, 3))
        for name in ("addcmul", "addcdiv")
    },
    "fmod": example("tinygen.fmod(x, other)", x=real(2, 3), other=exactly(0.731, 1.117, -0.913)),
    "pow": example("tinygen.pow(x, exponent)", x=positive(2, 3), exponent=real(3)),
    "remainder": example("tinygen.remainder(x, other)", x=real(2, 3), other=exactly(0.731, 1.117, -0.913)),
    "clamp": example("tinygen.clamp(x, min=-1, max=1)", x=real(2, 3)),
    "where": example("tinygen.where(condition, a, b)", condition=truth(2, 3), a=real(2, 3), b=real(3)),
    "masked_fill": example("tinygen.masked_fill(x, mask, 5.0)", x=real(2, 3), mask=truth(2, 3)),
    **{f"clamp_{name}": example(f"tinygen.clamp_{name}(x, {name}=1)", x=real(2, 3)) for name in ("min", "max")},
    **{name: example(f"tinygen.{name}(x, other)", x=truth(2, 2), other=truth(2))
       for name in "bitwise_and bitwise_or bitwise_xor logical_and logical_or logical_xor".split()},
    **{name: example(f"tinygen.{name}(x)", x=truth(2, 2)) for name in ("bitwise_not", "logical_not")},
    "prelu": example("tinygen.prelu(x, weight)", x=real(2, 3), weight=positive(3)),
    "Tensor.to": example("tinygen.ops.cast(x, dtype=tinygen.float64)", x=real(2, 3)),
    "Tensor.copy_": example("x.clone().copy_(src)", x=real(2, 3), src=real(3)),
    "Tensor.fill_": example("x.clone().fill_(value)", x=real(2, 3), value=real()),
    **{f"Tensor.{name}_": example(f"x.clone().{name}_()", x=real(2, 3))
       for name in "zero uniform normal bernoulli".split()},
    "F.softmin": example("F.softmin(x, dim=1)", x=real(2, 3)),
    "F.glu": example("F.glu(x)", x=real(2, 4)),
    # reductions
    **{name: example(f"tinygen.{name}(x, dim=1)", x=real(2, 3))
       for name in "sum mean var std var_mean std_mean logsumexp norm cumsum cumprod prod argmax argmin any all "
       "count_nonzero".split()},
    **{name: example(f"tinygen.{name}(x, dim=1)", x=distinct(2, 3)) for name in ("amax", "amin", "max", "min")},
    **{name: example(f"tinygen.{name}(x)", x=distinct(2, 3)) for name in ("sort", "unique")},
    "argsort": example("tinygen.argsort(x)", x=distinct(2, 3)),
    "topk": example("tinygen.topk(x, 2)", x=distinct(2, 3)),
    "bincount": example("tinygen.bincount(x)", x=whole(5)),
    # shapes
    "reshape": example("tinygen.reshape(x, (3, 2))", x=real(2, 3)),
    "Tensor.view": example("x.view(3, 2)", x=real(2, 3)),
    "Tensor.view_as": example("x.view_as(other)", x=real(2, 3), other=constant(real(3, 2))),
    "Tensor.expand": example("x.expand(2, 3)", x=real(2, 1)),
    "Tensor.expand_as": example("x.expand_as(other)", x=real(2, 1), other=constant(real(2, 3))),
    "Tensor.repeat": example("x.repeat(2, 2)", x=real(1, 3)),
    "Tensor.contiguous": example("x.t().contiguous()", x=real(2, 3)),
    "unflatten": example("tinygen.unflatten(x, 1, (2, 2))", x=real(2, 4)),
    "squeeze": example("tinygen.squeeze(x, 1)", x=real(2, 1, 3)),
    "unsqueeze": example("tinygen.unsqueeze(x, 1)", x=real(2, 3)),
    "permute": example("tinygen.permute(x, (2, 0, 1))", x=real(2, 1, 3)),
    "transpose": example("tinygen.transpose(x, 0, 1)", x=real(2, 3)),
    "broadcast_to": example("tinygen.broadcast_to(x, (2, 3))", x=real(2, 1)),
    "movedim": example("tinygen.movedim(x, 0, 1)", x=real(2, 1, 3)),
    "roll": example("tinygen.roll(x, 1, 1)", x=real(2, 3)),
    "meshgrid": example("tinygen.meshgrid(a, b, indexing='ij')", a=real(2), b=real(3)),
    "repeat_interleave": example("tinygen.repeat_interleave(x, 2, dim=1)", x=real(2, 2)),
    "flip": example("tinygen.flip(x, (1,))", x=real(2, 3)),
    "cat": example("tinygen.cat([a, b], dim=1)", a=real(2, 2), b=real(2, 1)),
    "stack": example("tinygen.stack([a, b])", a=real(2), b=real(2)),
    "narrow": example("tinygen.narrow(x, 1, 0, 2)", x=real(2, 3)),
    "split": example("tinygen.split(x, 2, dim=1)", x=real(2, 3)),
    "chunk": example("tinygen.chunk(x, 2, dim=1)", x=real(2, 4)),
    "gather": example("tinygen.gather(x, 1, index)", x=real(2, 3), index=whole(2, 2)),
    "scatter": example("tinygen.scatter(x, 1, index, src)", x=real(2, 3), index=exactly([2], [0]), src=real(2, 1)),
    "scatter_add": example("tinygen.scatter_add(x, 1, index, src)", x=real(2, 3), index=whole(2, 2), src=real(2, 2)),
    "index_add": example("tinygen.index_add(x, 1, index, source)", x=real(2, 3), index=whole(2), source=real(2, 2)),
    "index_copy": example(
        "tinygen.index_copy(x, 1, index, source)", x=real(2, 3), index=exactly(2, 0), source=real(2, 2)
    ),
    "index_fill": example("tinygen.index_fill(x, 1, index, value)", x=real(2, 3), index=exactly(2, 0), value=real()),
    "index_put": example("tinygen.index_put(x, (index,), values)", x=real(3), index=exactly(2, 0), values=real(2)),
    "index_select": example("tinygen.index_select(x, 1, index)", x=real(2, 3), index=whole(2)),
    "masked_select": example("tinygen.masked_select(x, mask)", x=real(2, 3), mask=truth(2, 3)),
    "Tensor.__getitem__": example("x[index, 1:]", x=real(3, 3), index=whole(2)),
    "F.pad": example("F.pad(x, (1, 2))", x=real(2, 2)),
    "F.embedding": example("F.embedding(input, weight)", input=whole(4), weight=real(3, 2)),
    # products and convolution
    "matmul": example("tinygen.matmul(x, other)", x=real(2, 3), other=real(3, 2)),
    "mm": example("tinygen.mm(x, mat2)", x=real(2, 3), mat2=real(3, 2)),
    "select": example("x.select(1, 2)", x=real(2, 3)),
    "mv": example("tinygen.mv(x, vec)", x=real(2, 3), vec=real(3)),
    "addmm": example("tinygen.addmm(x, mat1, mat2)", x=real(2), mat1=real(2, 3), mat2=real(3, 2)),
    "baddbmm": example("tinygen.baddbmm(x, a, b)", x=real(2), a=real(2, 2, 3), b=real(2, 3, 2)),
    "einsum": example("tinygen.einsum('ij,jk->ik', a, b)", a=real(2, 3), b=real(3, 2)),
    "tensordot": example("tinygen.tensordot(a, b, 1)", a=real(2, 3), b=real(3, 2)),
    "bmm": example("tinygen.bmm(x, mat2)", x=real(2, 2, 3), mat2=real(2, 3, 1)),
    "dot": example("tinygen.dot(x, other)", x=real(3), other=real(3)),
    "outer": example("tinygen.outer(x, vec2)", x=real(2), vec2=real(3)),
    "F.linear": example("F.linear(input, weight, bias)", input=real(2, 3), weight=real(2, 3), bias=real(2)),
    "conv2d": example("tinygen.conv2d(input, weight, bias)", input=IMAGE, weight=real(1, 2, 2, 2), bias=real(1)),
    "conv_transpose2d": example(
        "tinygen.conv_transpose2d(input, weight, bias)", input=real(1, 1, 2, 2), weight=real(1, 2, 2, 2), bias=real(2)
    ),
    "conv1d": example("tinygen.conv1d(input, weight, bias)", input=real(1, 2, 4), weight=real(1, 2, 2), bias=real(1)),
    "conv_transpose1d": example(
        "tinygen.conv_transpose1d(input, weight, bias)", input=real(1, 1, 3), weight=real(1, 2, 2), bias=real(2)
    ),
    "F.scaled_dot_product_attention": example(
        "F.scaled_dot_product_attention(query, key, value)", query=real(2, 2), key=real(3, 2), value=real(3, 2)
    ),
    # images
    "max_pool1d": example("tinygen.max_pool1d(input, 2)", input=distinct(1, 2, 4)),
    "avg_pool1d": example("tinygen.avg_pool1d(input, 2)", input=real(1, 2, 4)),
    "adaptive_avg_pool1d": example("tinygen.adaptive_avg_pool1d(input, 2)", input=real(1, 2, 3)),
    "max_pool2d": example("tinygen.max_pool2d(input, 2)", input=distinct(1, 1, 4, 4)),
    "F.avg_pool2d": example("F.avg_pool2d(input, 2)", input=real(1, 1, 4, 4)),
    "F.adaptive_avg_pool2d": example("F.adaptive_avg_pool2d(input, 2)", input=real(1, 1, 3, 3)),
    "F.interpolate": example("F.interpolate(input, scale_factor=2)", input=real(1, 1, 2, 2)),
    "pixel_shuffle": example("tinygen.pixel_shuffle(input, 2)", input=real(1, 4, 1, 2)),
    "pixel_unshuffle": example("tinygen.pixel_unshuffle(input, 2)", input=real(1, 1, 2, 4)),
    # normalisation
    "softmax": example("tinygen.softmax(x, dim=1)", x=real(2, 3)),
    "log_softmax": example("tinygen.log_softmax(x, dim=1)", x=real(2, 3)),
    "layer_norm": example(
        "tinygen.layer_norm(input, (3,), weight, bias)", input=real(2, 3), weight=real(3), bias=real(3)
    ),
    "rms_norm": example("tinygen.rms_norm(input, (3,), weight)", input=real(2, 3), weight=real(3)),
    "group_norm": example(
        "tinygen.group_norm(input, 2, weight, bias)", input=real(2, 4, 2), weight=real(4), bias=real(4)
    ),
    "F.group_norm_silu": example(
        "F.group_norm_silu(input, 2, weight, bias)", input=real(2, 4, 2), weight=real(4), bias=real(4)
    ),
    "batch_norm": example(
        "tinygen.batch_norm(input, None, None, weight, bias, training=True)",
        input=real(4, 2), weight=real(2), bias=real(2),
    ),
    "instance_norm": example(
        "tinygen.instance_norm(input, None, None, weight, bias)", input=real(2, 2, 3), weight=real(2), bias=real(2)
    ),
    # losses
    **{name: example(f"{name}(input, target)", input=real(2, 3), target=distinct(2, 3))
       for name in ("F.mse_loss", "F.l1_loss", "F.smooth_l1_loss", "F.huber_loss")},
    **{name: example(f"tinygen.{name}(x1, x2)", x1=real(2, 3), x2=distinct(2, 3))
       for name in ("cosine_similarity", "pairwise_distance")},
    "F.gaussian_nll_loss": example(
        "F.gaussian_nll_loss(input, target, var)", input=real(2, 3), target=real(2, 3), var=positive(2, 3)
    ),
    "F.binary_cross_entropy": example(
        "F.binary_cross_entropy(input, target)", input=probability(2, 3), target=probability(2, 3)
    ),
    "F.binary_cross_entropy_with_logits": example(
        "F.binary_cross_entropy_with_logits(input, target)", input=real(2, 3), target=probability(2, 3)
    ),
    "F.cross_entropy": example("F.cross_entropy(input, target)", input=real(4, 3), target=whole(4)),
    "F.nll_loss": example("F.nll_loss(input, target)", input=real(4, 3), target=whole(4)),
    "F.kl_div": example("F.kl_div(input, target, reduction='batchmean')", input=real(2, 3), target=probability(2, 3)),
    # layers that stand for no single function
    "nn.MultiheadAttention": example(
        "nn.MultiheadAttention(2, 1, dtype=tinygen.float64)(query, key, value)[0]",
        query=real(2, 1, 2), key=real(3, 1, 2), value=real(3, 1, 2),
    ),
    "nn.Identity": example("nn.Identity()(x)", x=real(2, 3)),
}  # fmt: skip


def example_of(name: str, function) -> Example:
    """The example of an operation, by its name as `every_name` lists it.

    Raises LookupError where it needs a line in EXAMPLES and has none.
    """
    if name in EXAMPLES:
        return EXAMPLES[name]
    place, _, short = name.rpartition(".")
    if place == "F" and short in EXAMPLES:
        call, inputs = EXAMPLES[short]
        return Example(call.replace("tinygen.", "F.", 1), inputs)
    call = name if place == "F" else f"tinygen.{name}"
    parameters = () if isinstance(function, type) else inspect.signature(function).parameters.values()
    required = [p.name for p in parameters if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD]
    if len(required) == 1:
        return example(f"{call}(x)", x=real(2, 3))
    if len(required) == 2 and required[1] == "other":
        return example(f"{call}(x, other)", x=real(2, 3), other=real(3))
    raise LookupError(f"{name} has no example: add a line to EXAMPLES in tinygen/explain/examples.py")
