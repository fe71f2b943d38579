"""conv2d.cu beyond the cases of `cuda_cases.py`: sums in many parts, which variant is chosen, a training step."""

import importlib
import math

import numpy as np
import pytest
import support.cuda_cases as cuda_cases
from test_kernels_cuda import compare, run

from tinygen import kernels, nn, ops, tensor
from tinygen.kernels.runtime import compile_report, cuda_source, dispatch
from tinygen.kernels.runtime.sources import nvrtc

NAMES = "conv2d", "conv2d_input_grad", "conv2d_weight_grad"
AT = dict(stride=(1, 1), padding=((1, 1), (1, 1)), dilation=(1, 1), groups=1)


@pytest.mark.parametrize("variant", kernels.conv2d_weight_grad.variants_on("host"))
def test_the_weight_gradient_in_many_parts(host, monkeypatch, variant):
    conv2d_cuda = importlib.import_module("tinygen.kernels.conv2d.cuda")
    monkeypatch.setattr(conv2d_cuda, "LONG", 1)
    counts = []
    launch = conv2d_cuda.source.launch
    monkeypatch.setattr(
        conv2d_cuda.source,
        "launch",
        lambda kernel, *rest: (counts.append(rest[-1]) if "sum" in kernel else 0, launch(kernel, *rest)),
    )
    for args, attrs in cuda_cases.conv2d_weight_grad(cuda_cases.Arrays()):
        with kernels.use(conv2d_weight_grad=variant, on="host"):
            compare("conv2d_weight_grad", run("conv2d_weight_grad", args, attrs), args, attrs)
    assert max(counts) >= 3  # naive: an image each; implicit_gemm: 16 positions each
    assert variant == "naive" or max(counts) > 50


def chosen(name: str, *args, **attrs) -> str:
    """The variant that would run for such cupy arrays."""
    dispatch.load_gpu_variants()
    ladder = getattr(kernels, name).ladder["cuda"]
    return next(v for v, _, usable in reversed(ladder) if usable is None or usable(*args, **attrs))


def nothing(*shape, dtype=np.float32):
    """An array of this shape that takes no memory."""
    return np.broadcast_to(np.zeros((), dtype), shape)


def test_few_rows_and_large_arrays_use_another_variant():
    x, few, many, wide = nothing(2, 8, 5, 5), nothing(7, 8, 3, 3), nothing(8, 8, 3, 3), nothing(8, 7, 3, 3)
    assert chosen("conv2d", x, few, **AT) == "naive" and chosen("conv2d", x, many, **AT) == "implicit_gemm"
    assert chosen("conv2d", x, nothing(56, 1, 3, 3), **AT | {"groups": 8}) == "naive"
    gy = nothing(2, 8, 5, 5)
    assert chosen("conv2d_input_grad", gy, wide, shape=(2, 7, 5, 5), **AT) == "naive"
    assert chosen("conv2d_input_grad", gy, many, shape=x.shape, **AT) == "implicit_gemm"
    assert chosen("conv2d_weight_grad", x, gy, shape=many.shape, **AT) == "implicit_gemm"
    assert chosen("conv2d_weight_grad", x, gy[:, :7], shape=few.shape, **AT) == "naive"
    for images, rung in (
        (2**20 - 1, "implicit_gemm"),
        (2**24, "reference"),
    ):  # of 8 x 5 x 5, padded to 8 x 9 x 9
        x, gy = nothing(images, 8, 5, 5), nothing(images, 8, 5, 5)
        assert chosen("conv2d", x, many, **AT) == rung
        assert chosen("conv2d_input_grad", gy, many, shape=x.shape, **AT) == rung
        assert chosen("conv2d_weight_grad", x, gy, shape=many.shape, **AT) == rung
    x, w = nothing(1, 70_000, 1, 1), nothing(560_000, 1, 1, 1)
    assert chosen("conv2d", x, w, **AT | {"groups": 70_000}) == "reference"  # more groups than a grid is deep
    x, w = nothing(2, 8, 5, 5, dtype=np.float64), nothing(8, 8, 3, 3, dtype=np.float64)
    assert chosen("conv2d", x, w, **AT) == "reference"
    assert chosen("conv2d_weight_grad", x, x, shape=w.shape, **AT) == "reference"


@pytest.mark.parametrize("variant", ["naive", "implicit_gemm"])
def test_errors_for_arguments_that_do_not_match(host, variant):
    x, w = np.ones((2, 4, 5, 5), np.float32), np.ones((4, 2, 3, 3), np.float32)
    grouped = AT | {"groups": 2}
    with kernels.use(on="host", **dict.fromkeys(NAMES, variant)):
        with pytest.raises(
            ValueError, match=r"conv2d: x \(2, 4, 5, 5\) and w \(4, 2, 3, 3\) do not fit with 1 g"
        ):
            kernels.conv2d(x, w, **AT)
        with pytest.raises(ValueError, match=r"input_grad: expected gy \(2, 4, 5, 5\), found \(2, 4, 5, 4\)"):
            kernels.conv2d_input_grad(x[..., :4], w, shape=x.shape, **grouped)
        with pytest.raises(
            ValueError, match=r"weight_grad: expected gy \(2, 4, 5, 5\), found \(2, 3, 5, 5\)"
        ):
            kernels.conv2d_weight_grad(x, x[:, :3], shape=w.shape, **grouped)
        with pytest.raises(TypeError, match="conv2d: the CUDA kernels compute in float32, w is float64"):
            kernels.conv2d(x, w.astype(np.float64), **grouped)
        with pytest.raises(ValueError, match=r"conv2d: more than 2\^31 elements; x \(16777216, 4, 5, 5\)"):
            kernels.conv2d(nothing(2**24, 4, 5, 5), w, **grouped)


class Network(nn.Module):
    """Downsample with a stride of 2, a depthwise layer, upsample with a transposed convolution."""

    def __init__(self, weights) -> None:
        super().__init__()
        for name, value in weights.items():
            setattr(self, name, nn.Parameter(value.copy()))

    def forward(self, x):
        h = ops.relu(ops.conv2d(x, self.stem, padding="same"))
        h = ops.relu(ops.conv2d(h, self.down, stride=2, padding=1))
        h = ops.relu(ops.conv2d(h, self.depthwise, padding=2, dilation=2, groups=10))
        return ops.conv_transpose2d(h, self.up, stride=2, padding=1, output_padding=(1, 0))


@pytest.mark.parametrize("variant", ["naive", "implicit_gemm"])
def test_a_training_step_has_the_same_gradients_as_on_the_cpu(host, variant):
    a = cuda_cases.Arrays()
    shapes = dict(stem=(8, 3, 2, 3), down=(10, 8, 3, 3), depthwise=(10, 1, 3, 3), up=(10, 3, 3, 3))
    weights = {name: a(*shape) / math.sqrt(math.prod(shape[1:])) for name, shape in shapes.items()}
    x, found = a(3, 3, 10, 9), []
    for forced in ({}, dict(on="host", **dict.fromkeys(NAMES, variant))):
        with kernels.use(**forced), dispatch.trace() as calls:
            network = Network(weights)
            image = tensor(x, requires_grad=True)
            loss = ops.sum((network(image) - x) ** 2)
            loss.backward()
        if forced:
            assert {v for name, v in calls if name in NAMES} == {variant}
            assert {name for name, v in calls if v == variant} == set(NAMES)
        found.append(
            [loss.detach().numpy(), image.grad.numpy(), *(p.grad.numpy() for p in network.parameters())]
        )
    for one, two in zip(*found, strict=True):
        assert np.abs(one).max() > 0.5
        np.testing.assert_allclose(two, one, rtol=0, atol=2e-6 * np.abs(one).max())


def test_implicit_gemm_compiles_to_what_its_header_says():
    if compile_report.disassembler() is None:
        pytest.skip("nvdisasm is not installed: pip install nvidia-cuda-nvdisasm")
    try:
        compiler = nvrtc.load()
    except nvrtc.NvrtcMissing as error:
        pytest.skip(f"NVRTC is not installed: {error}")
    for row in compile_report.measure(cuda_source.CudaSource("conv2d/conv2d.cu"), 90, compiler):
        if "implicit" in row.kernel:
            assert (
                row.shared == 2 * 2 * 16 * 68 * 4 + 2 * 16 * 16
            )  # two tiles and the terms' places, all double-buffered
            assert row.instructions["FFMA"] == 4 * 32  # four of the 16 terms of a step are unrolled
            assert row.instructions["BAR"] == 3 and row.instructions["STG.128"] == 8


@pytest.mark.parametrize("variant", ["naive", "implicit_gemm"])
def test_padding_of_the_last_tile_meets_no_infinity(host, variant):
    """0 times infinity would be NaN: terms past the end of a sum are 0 in both factors."""
    x, w = np.ones((2, 3, 5, 5), np.float32), np.ones((8, 3, 3, 3), np.float32)
    gy, at = np.ones((2, 8, 3, 3), np.float32), AT | {"padding": ((0, 0), (0, 0))}
    w[0, 0, 0, 0] = gy[0, 0, 0, 0] = np.inf
    with kernels.use(on="host", **dict.fromkeys(NAMES, variant)):
        y = kernels.conv2d(x, w, **at)
        gx = kernels.conv2d_input_grad(np.ones_like(gy), w, shape=x.shape, **at)
        gw = kernels.conv2d_weight_grad(x, gy, shape=w.shape, **at)
    assert np.isposinf(y[:, 0]).all() and (y[:, 1:] == 27).all()
    assert np.isposinf(gx[:, 0, :3, :3]).all() and np.isfinite(gx[:, 1:]).all()
    assert np.isposinf(gw[0]).all() and (gw[1:] == 18).all()
