"""Devices: names, moving, mixing, memory shared with other libraries, randomness, training, and messages without a GPU.

Without a GPU these tests run on the stand-in for cupy (tests/support/standins), with a GPU on cupy.
"""

import copy
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from cases import CASES
from support.gpu import gpu, real, stand_in
from test_cuda_engine import NOT_FOR_A_GPU, on_cpu, on_gpu

import tinygen as tg
from tinygen import nn, optim
from tinygen.engine import devices
from tinygen.engine.devices import DeviceError
from tinygen.kernels.runtime import cuda_device, dispatch
from tinygen.kernels.scatter.segments import add_rows_segments
from tinygen.nn import functional as F
from tinygen.random import Generator

TESTS = Path(__file__).resolve().parent


@pytest.fixture
def cupy():
    with gpu() as module:
        yield module


def values(x):
    return x.detach().cpu().numpy()


# names and places


def test_names_of_devices():
    assert tg.device("cuda", 0) == "cuda:0" == tg.device(0) and tg.device("cuda").index is None
    assert (tg.device("cuda:0").type, tg.device("cuda:0").index, tg.device("cpu").type) == ("cuda", 0, "cpu")
    assert repr(tg.device("cuda:0")) == "device(type='cuda', index=0)"
    for wrong in ("tpu", "cuda:x", "cpu:", ""):
        with pytest.raises(RuntimeError, match="expected 'cpu', 'cuda'"):
            tg.device(wrong)


def test_to_and_back(cupy):
    x = tg.randn(3, 4)
    for y in (x.cuda(), x.to("cuda"), x.to("cuda:0"), x.to(0), x.to(tg.device("cuda")), x.to(device="cuda")):
        assert (
            y.is_cuda and y.device == "cuda:0" and y.get_device() == 0 and isinstance(y._data, cupy.ndarray)
        )
        assert np.array_equal(values(y), values(x)) and y.cpu().device == "cpu"
    assert x.get_device() == -1 and x.to("cpu") is x and x.cpu() is x
    y = x.cuda()
    assert y.to("cuda") is y and y.cuda() is y and y.to("cuda", copy=True) is not y
    assert y.to("cpu", tg.float64).dtype == np.float64 and x.to(y.double()).dtype == np.float64
    assert x.to(y).is_cuda and x.type_as(y).is_cuda
    with pytest.raises(DeviceError, match="CUDA_VISIBLE_DEVICES=1"):
        x.to("cuda:1")
    assert "device='cuda:0'" in repr(y) and "device" not in repr(x)
    assert y.tolist() == x.tolist() and y[0, 0].item() == x[0, 0].item() and float(y[0, 1]) == float(x[0, 1])


def test_a_result_without_dimensions_is_on_the_cpu():
    """NumPy's results without dimensions are scalars, not arrays."""
    x = tg.Tensor._wrap(np.float64(2))
    assert x.device == "cpu" and not x.is_cuda and x.cpu() is x and x.get_device() == -1
    assert F.cosine_similarity(tg.ones(3), tg.ones(3), dim=0).device == "cpu"


def test_gradients_pass_through_a_move(cupy):
    x = tg.randn(3, requires_grad=True)
    (x.cuda() * 2).cpu().sum().backward()
    assert x.grad.device == "cpu" and x.grad.tolist() == [2, 2, 2]
    y = tg.randn(3, device="cuda", requires_grad=True)
    (g,) = tg.autograd.grad((y.cpu() ** 3).sum(), y, create_graph=True)
    (second,) = tg.autograd.grad(g.sum(), y)
    assert g.is_cuda and second.is_cuda and np.allclose(values(second), 6 * values(y))


def test_an_array_of_numpy_is_not_made_without_being_asked_for(cupy):
    x = tg.ones(2, device="cuda")
    for call in (x.numpy, lambda: np.asarray(x), lambda: np.add(np.ones(2), x._data)):
        with pytest.raises(TypeError):
            call()
    with pytest.raises(TypeError, match=r"found a Tensor on cuda:0, expected one on the CPU; use x\.cpu\(\)"):
        x.numpy()
    assert x.numpy(force=True).tolist() == [1, 1]


FACTORIES = {
    "zeros": lambda T, **at: T.zeros(2, 3, **at),
    "ones": lambda T, **at: T.ones(2, 3, dtype=T.int64, **at),
    "empty": lambda T, **at: T.empty(2, **at).zero_(),
    "full": lambda T, **at: T.full((2, 3), 2.5, **at),
    "eye": lambda T, **at: T.eye(3, 4, **at),
    "arange": lambda T, **at: T.arange(1, 8, 2, **at),
    "linspace": lambda T, **at: T.linspace(0, 1, 7, **at),
    "tensor": lambda T, **at: T.tensor([[1.0, 2.0]], **at),
    "as_tensor": lambda T, **at: T.as_tensor(np.arange(3.0), **at),
    "rand": lambda T, **at: T.rand(300, **at),
    "rand64": lambda T, **at: T.rand(300, dtype=T.float64, **at),
    "randn": lambda T, **at: T.randn(301, **at),
    "randn64": lambda T, **at: T.randn(301, dtype=T.float64, **at),
    "randint": lambda T, **at: T.randint(-3, 9, (50,), **at),
    "randperm": lambda T, **at: T.randperm(300, **at),
    "normal": lambda T, **at: T.normal(1.0, 2.0, (40,), **at),
    "new_zeros": lambda T, **at: T.ones(1, **at).new_zeros(2, 3),
    "new_ones": lambda T, **at: T.ones(1, **at).new_ones(2),
    "new_full": lambda T, **at: T.ones(1, **at).new_full((2,), 3),
    "new_tensor": lambda T, **at: T.ones(1, **at).new_tensor([1, 2]),
    "zeros_like": lambda T, **at: T.zeros_like(T.ones(2, **at)),
    "randn_like": lambda T, **at: T.randn_like(T.ones(300, **at)),
    "full_like": lambda T, **at: T.full_like(T.ones(2, **at), 4),
    "randint_like": lambda T, **at: T.randint_like(T.ones(20, **at), 7),
    "one_hot": lambda T, **at: F.one_hot(T.arange(3, **at), 4),
    "bernoulli": lambda T, **at: T.bernoulli(T.full((400,), 0.3, **at)),
    "multinomial": lambda T, **at: T.multinomial(T.arange(1.0, 9, **at), 5),
    "uniform_": lambda T, **at: T.zeros(300, **at).uniform_(-1, 1),
    "Parameter": lambda T, **at: nn.Linear(5, 3, **at).weight,
}


@pytest.mark.parametrize("name", sorted(FACTORIES))
def test_what_is_made_on_the_gpu_is_what_the_cpu_makes(cupy, name):
    tg.manual_seed(3)
    expected = FACTORIES[name](tg)
    tg.manual_seed(3)
    found = FACTORIES[name](tg, device="cuda")
    assert found.is_cuda and found.dtype == expected.dtype and found.shape == expected.shape
    a, b = values(found), values(expected)
    if "randn" in name or name == "normal":
        assert (np.abs(a - b) <= 4 * np.spacing(np.abs(b))).all()
    else:
        assert np.array_equal(a, b)


def test_streams_on_the_gpu(cupy):
    """Words, uniforms, Bernoulli draws, integers and permutations have the same bits; normals within 4 ulp."""
    for n in (0, 1, 2, 3, 257, 1000):
        for draw in (
            lambda s, n=n: s.uniform((n,)),
            lambda s, n=n: s.uniform((n,), np.float64),
            lambda s, n=n: s.bernoulli(np.linspace(0, 1, n)),
            lambda s, n=n: s.integers(-5, 2**31, (n,)),
            lambda s, n=n: s.integers(0, 2**32, (n,)),
            lambda s, n=n: s.permutation(n),
        ):
            here, there = (Generator(2**63 + 5).at("test", 9, device) for device in ("cpu", "cuda"))
            for _ in range(2):
                found = draw(there)
                assert isinstance(found, cupy.ndarray) and np.array_equal(found.get(), draw(here))
        for dtype in (np.float32, np.float64):
            here, there = (
                Generator(1).at("normal", 0, device).normal((n,), dtype) for device in ("cpu", "cuda")
            )
            assert (np.abs(there.get() - here) <= 4 * np.spacing(np.abs(here))).all()


# mixing


# their inputs are not combined, or one does not count (beta=0)
ALONE = "meshgrid meshgrid-2 Tensor.__invert__ addmm-2 baddbmm-2 nn.MultiheadAttention-12"
BOTH_ARRAYS = sorted(
    key
    for key, case in CASES.items()
    if len(case.inputs) > 1 and key not in NOT_FOR_A_GPU.split() + ALONE.split()
)
# as in PyTorch, an index may be on the CPU and a value is copied from anywhere; masks are indices
MAY_MIX = {"copy_", "__setitem__", "__getitem__", "index_put", "type_as", "embedding", "Embedding", "index_select",
           "index_put_", "index_fill", "index_fill_", "index_add", "index_add_", "index_copy", "index_copy_",
           "masked_select", "repeat_interleave", "expand_as", "view_as"}  # fmt: skip


@pytest.mark.parametrize("key", BOTH_ARRAYS)
def test_two_devices_are_named_where_they_meet(cupy, key):
    case = CASES[key]
    arrays = case.arrays(np.float32)
    if any(not a.size for a in arrays):
        return  # nothing to combine
    for at in range(len(arrays)):
        if not arrays[at].ndim and arrays[at].dtype.kind == "f":
            continue  # one number may be on another device
        inputs = [on_cpu(a) if i == at else on_gpu(a) for i, a in enumerate(arrays)]
        try:
            case.call(tg, F, *inputs)
        except RuntimeError as error:
            assert "on cpu" in str(error) and "on cuda:0" in str(error), error
            assert isinstance(error, DeviceError), type(error)
        else:
            assert MAY_MIX & {case.name.split(".")[-1]} or not _meet(case, inputs), f"input {at}"


def _meet(case, inputs) -> bool:
    """Whether the values of an input count at all: a case that looks only at dtypes or shapes mixes nothing."""
    return len(inputs) > 1 and not {"numbers", "ndim", "result_type"} & {*case.call.__code__.co_names}


def test_a_number_on_the_cpu_goes_along(cupy):
    x, half = tg.randn(3, device="cuda", requires_grad=True), tg.tensor(0.5)
    for y in (x * half, half * x, x - half, x ** half.abs(), tg.where(x > 0, x, half), tg.maximum(x, half)):
        assert y.is_cuda
    (x * half).sum().backward()
    assert x.grad.tolist() == [0.5] * 3
    with pytest.raises(
        DeviceError, match=r"mul: found x \(3,\) on cuda:0, other \(\) on cpu, expected one device"
    ):
        x * tg.tensor(0.5, requires_grad=True)  # its gradient would have to go back
    with pytest.raises(
        DeviceError, match=r"cat: found tensors\[0\] \(3,\) on cuda:0, tensors\[1\] \(3,\) on cpu"
    ):
        tg.cat([x, tg.ones(3)])


def test_an_index_on_the_cpu_goes_along(cupy):
    x, i = tg.arange(12.0, device="cuda").reshape(3, 4), tg.tensor([2, 0, 2])
    assert (
        x[i].tolist() == x.cpu()[i].tolist()
        and x[[0, 1]].is_cuda
        and x[x.cpu() > 4].tolist() == [5, 6, 7, 8, 9, 10, 11]
    )
    x[i] = 0
    x[1] = tg.ones(4)
    x[0, 1:3] = [5.0, 6.0]
    assert x.tolist() == [[0, 5, 6, 0], [1, 1, 1, 1], [0, 0, 0, 0]]
    assert (
        x[tg.tensor(2)].is_cuda and tg.arange(3)[tg.tensor(2, device="cuda")].item() == 2
    )  # one number, as in PyTorch
    with pytest.raises(DeviceError, match="index on cuda:0 and x on cpu"):
        tg.ones(3)[i.cuda()]


# what the tape guards


def test_what_is_written_after_it_was_saved_is_noticed(cupy):
    """cupy's arrays cannot be made read-only, so the version tells."""
    x = tg.ones(3, device="cuda", requires_grad=True)
    y = x * 1
    z = y * y
    y.detach().add_(1)
    with pytest.raises(RuntimeError, match="changed in place after the forward"):
        z.sum().backward()
    saved = x.exp()
    saved[0] = x[1]
    with pytest.raises(
        RuntimeError, match=r"backward of exp: its output .* changed in place after the forward"
    ):
        saved.sum().backward()
    z = x * 1
    z[1:] *= x[:2]
    z[0] = 5 * x[2]
    z.sum().backward()
    assert x.grad.tolist() == [1, 2, 6] and z.tolist() == [5, 1, 1]


def test_an_expanded_tensor_is_not_written_to(cupy):
    for make in (lambda T: T.ones(3, **T.at).expand(2, 3), lambda T: T.ones(1, **T.at).expand(4)):
        for at in ({}, {"device": "cuda"}):
            namespace = type("T", (), {"ones": staticmethod(tg.ones), "at": at})
            with pytest.raises(RuntimeError, match="read-only"):
                make(namespace).add_(1)
    assert tg.ones(3, 1, device="cuda").expand(3, 1).add_(1).tolist() == [[2], [2], [2]]


def test_memory_that_was_handed_out_is_copied_by_the_tape(cupy):
    x = tg.ones(2, device="cuda")
    theirs = cupy.asarray(x.__cuda_array_interface__ and x._shown_outside())
    w = tg.ones(2, device="cuda", requires_grad=True)
    y = (w * x).sum()
    theirs[...] = 7
    y.backward()
    assert x.tolist() == [7, 7] and w.grad.tolist() == [1, 1]


# other libraries


class Foreign:
    """An array on a GPU, from a library that shares its memory by one of the two protocols."""

    def __init__(self, array, protocol: str) -> None:
        self.array = array
        if protocol == "dlpack":
            self.__class__ = type("Dlpack", (Foreign,), {
                "__dlpack__": lambda self, **options: array.__dlpack__(**options),
                "__dlpack_device__": lambda self: array.__dlpack_device__(),
            })  # fmt: skip
        else:
            self.__class__ = type("Interface", (Foreign,), {
                "__cuda_array_interface__": property(lambda self: array.__cuda_array_interface__),
                "shape": array.shape, "dtype": array.dtype,
            })  # fmt: skip


def test_dlpack(cupy):
    x = tg.arange(6.0, device="cuda").reshape(2, 3)
    theirs = cupy.from_dlpack(x)
    theirs[0, 0] = 9
    assert x[0, 0].item() == 9 and x.__dlpack_device__() == (2, 0)
    y = tg.from_dlpack(Foreign(theirs, "dlpack"))
    assert y.is_cuda and y.tolist() == x.tolist()
    theirs[0, 1] = 8
    assert y[0, 1].item() == 8
    assert (
        tg.from_dlpack(theirs, copy=True)._data is not theirs
        and tg.from_dlpack(x, device="cpu").device == "cpu"
    )
    with pytest.raises(BufferError, match="detach"):
        cupy.from_dlpack(tg.ones(2, device="cuda", requires_grad=True))
    with pytest.raises(DeviceError, match=r"DLPack's device \(7, 0\)"):
        tg.from_dlpack(type("Metal", (), {"__dlpack_device__": lambda self: (7, 0)})())
    with pytest.raises(TypeError, match="from_dlpack: found a list"):
        tg.from_dlpack([1])


def test_dlpack_on_the_cpu():
    x = tg.arange(3.0)
    theirs = np.from_dlpack(x)
    x[0] = 5
    assert theirs[0] == 5 and x.__dlpack_device__() == (1, 0)
    array = np.arange(3.0)
    y = tg.from_dlpack(array)
    array[1] = 7
    assert y[1].item() == 7
    with pytest.raises(BufferError):
        np.from_dlpack(tg.ones(2, requires_grad=True))
    torch = pytest.importorskip("torch")
    shared = torch.from_dlpack(x)
    shared[2] = 9
    assert x[2].item() == 9 and tg.from_dlpack(shared).tolist() == x.tolist()


def test_cuda_array_interface(cupy):
    x = tg.arange(6.0, device="cuda")
    described = x.__cuda_array_interface__
    assert described["shape"] == (6,) and described["typestr"] == "<f4" and described["version"] == 3
    for given in (cupy.arange(3.0), Foreign(cupy.arange(3.0), "interface")):
        shared, copied = tg.as_tensor(given), tg.tensor(given)
        getattr(given, "array", given)[0] = 5
        assert (
            shared.is_cuda
            and shared.tolist() == [5, 1, 2]
            and copied.is_cuda
            and copied.tolist() == [0, 1, 2]
        )
    assert not hasattr(tg.ones(1), "__cuda_array_interface__")
    with pytest.raises(RuntimeError, match="detach"):
        _ = tg.ones(1, device="cuda", requires_grad=True).__cuda_array_interface__


# modules, optimizers, states


def network():
    tg.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 8, 3, padding=1), nn.GroupNorm(2, 8), nn.SiLU(), nn.BatchNorm2d(8), nn.MaxPool2d(2),
        nn.ConvTranspose2d(8, 4, 2, 2), nn.LeakyReLU(0.1), nn.Flatten(), nn.LayerNorm(4 * 36), nn.Dropout(0.2),
        nn.Linear(4 * 36, 5),
    )  # fmt: skip


OPTIMIZERS = {
    "SGD": lambda p: optim.SGD(p, 0.1),
    "momentum": lambda p: optim.SGD(p, 0.1, momentum=0.9, nesterov=True, weight_decay=1e-2),
    "Adam": lambda p: optim.Adam(p, 0.01, weight_decay=1e-2),
    "amsgrad": lambda p: optim.Adam(p, 0.01, amsgrad=True),
    "AdamW": lambda p: optim.AdamW(p, 0.01),
    "RMSprop": lambda p: optim.RMSprop(p, 0.01, centered=True, momentum=0.5),
    "Adagrad": lambda p: optim.Adagrad(p, 0.01),
    "Adadelta": lambda p: optim.Adadelta(p, 1.0),
}


def trained(name, device, steps=3):
    net = network().to(device)
    optimizer, average = OPTIMIZERS[name](net.parameters()), optim.EMA(net, 0.9)
    random = np.random.default_rng(0)
    for _ in range(steps):
        x = tg.tensor(random.standard_normal((6, 2, 6, 6)).astype(np.float32), device=device)
        y = tg.tensor(random.integers(0, 5, 6), device=device)
        optimizer.zero_grad()
        F.cross_entropy(net(x), y).backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        average.update()
    return net, optimizer, average


def flat(state, prefix=""):
    """Every Tensor of nested states by name."""
    found = {}
    items = state.items() if isinstance(state, dict) else enumerate(state) if isinstance(state, list) else ()
    for key, value in items:
        if isinstance(value, tg.Tensor):
            found[f"{prefix}{key}"] = value
        else:
            found |= flat(value, f"{prefix}{key}.")
    return found


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_training_steps_are_the_cpus(cupy, name):
    states = [
        flat({str(i): part.state_dict() for i, part in enumerate(trained(name, device))})
        for device in ("cpu", "cuda")
    ]
    assert states[0].keys() == states[1].keys()
    for key, expected in states[0].items():
        assert states[1][key].is_cuda, f"{key} is on the CPU"
        assert np.allclose(values(states[1][key]), values(expected), rtol=2e-4, atol=2e-5), key


def test_a_module_moves_in_place(cupy, tmp_path):
    net, optimizer, average = trained("Adam", "cuda")
    weight = net[0].weight
    assert net.cpu() is net and net[0].weight is weight and weight.device == weight.grad.device == "cpu"
    assert net[3].running_mean.device == "cpu"
    tg.save(net.state_dict(), tmp_path / "net.safetensors")
    net.cuda()
    other = network().to("cuda")
    other.load_state_dict(tg.load(tmp_path / "net.safetensors"))
    for a, b in zip(net.state_dict().values(), other.state_dict().values()):
        assert b.is_cuda and np.array_equal(values(a), values(b))
    tg.save(other.state_dict(), tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == (tmp_path / "net.safetensors").read_bytes()
    fresh = OPTIMIZERS["Adam"](network().parameters())
    fresh.load_state_dict(optimizer.state_dict())
    assert all(not t.is_cuda for t in flat(fresh.state_dict()).values())
    net.cpu()  # the moments and the average follow
    net(tg.ones(2, 2, 6, 6)).sum().backward()
    optimizer.step()
    average.update()
    assert all(not t.is_cuda for t in flat([optimizer.state_dict(), average.state_dict()]).values())
    twin = copy.deepcopy(other)
    assert twin[0].weight.is_cuda and twin[0].weight._data is not other[0].weight._data


def test_parameters_of_one_optimizer_may_be_on_two_devices(cupy):
    a, b = tg.ones(3, requires_grad=True), tg.ones(3, device="cuda", requires_grad=True)
    optimizer = optim.Adam([a, b], 0.1)
    (a.sum() + b.sum().cpu()).backward()
    optimizer.step()
    assert a.tolist() == b.tolist() != [1, 1, 1]


@pytest.mark.parametrize(
    "n, rows, width", [(1, 1, 1), (7, 3, 1), (513, 5, 3), (64, 64, 2), (40, 1, 1), (0, 3, 2)]
)
def test_rows_are_added_in_order(cupy, n, rows, width):
    """The gradient of an embedding is the sum in its definition, with the same bits every time."""
    random = np.random.default_rng(n)
    index, x = random.integers(0, rows, n), random.standard_normal((n, width))
    expected = np.ones((rows, width))
    np.add.at(expected, index, x)
    found = [cupy.ones((rows, width)) for _ in range(2)]
    for out in found:
        add_rows_segments(out, cupy.asarray(index), cupy.asarray(x))
    assert np.allclose(found[0].get(), expected, rtol=1e-12, atol=1e-12)
    assert np.array_equal(found[0].get(), found[1].get())


def test_the_vae_trains_alike_for_100_steps(tmp_path):
    """Train on both devices from one seed; then sample and evaluate each run on the other device."""
    losses = {}
    for device in ("cpu", "cuda"):
        done = _command(tmp_path, "train", "vae", *"--steps 100 --batch 32 --pictures-every 100".split(),
                        "--out", device, "--device", device)  # fmt: skip
        losses[device] = np.array(json.loads(done.splitlines()[-1])["losses"])
    assert losses["cpu"].shape == (100,) and len(set(losses["cpu"])) == 100
    assert np.abs(losses["cuda"] / losses["cpu"] - 1).max() < 2e-5
    for run, device in (("cpu", "cuda"), ("cuda", "cpu")):
        _command(tmp_path, "sample", run, "-n", "4", "-o", f"{run}.png", "--device", device)
        printed = _command(tmp_path, "eval", run, *"--samples 20 --k 5".split(), "--device", device)
        measures = json.loads(printed.splitlines()[0])
        assert measures["images"] == 20
    assert json.loads((tmp_path / "cuda" / "config.json").read_text())["versions"]["device"] == "cuda:0"
    _command(tmp_path, "train", "vae", *"--resume --out cuda --steps 100 --batch 32 --device cpu".split())


DRIVER = """
import contextlib, json, sys
from support.gpu import gpu
from tinygen import cli
from tinygen.run.training import Run

log, losses = Run.log, []

def noted(self, **values):
    losses.append(values["loss"].item())
    log(self, **values)

Run.log = noted
with gpu() if "cuda" in sys.argv[1:] else contextlib.nullcontext():
    code = cli.main(sys.argv[1:])
print(json.dumps({"losses": losses}))
sys.exit(code)
"""


def _command(folder, *argv):
    root = Path(tg.__file__).resolve().parents[1]
    path = f"{TESTS}:{TESTS.parent}:{root}"
    done = subprocess.run([sys.executable, "-c", DRIVER, *argv], cwd=folder, capture_output=True, text=True,
                          env={**__import__("os").environ, "PYTHONPATH": path})  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


# tinygen.cuda, and the messages if something is missing


def test_what_programs_ask_of_a_gpu(cupy):
    assert tg.cuda.is_available() and tg.cuda.device_count() == 1 and tg.cuda.current_device() == 0
    assert tg.accelerator.is_available() and tg.accelerator.current_accelerator() == tg.device("cuda")
    assert isinstance(tg.cuda.get_device_name(), str) and tg.cuda.get_device_capability() >= (8, 0)
    tg.cuda.synchronize()
    tg.cuda.empty_cache()
    assert tg.cuda.memory_allocated() >= 0 and tg.cuda.memory_reserved() >= 0
    tg.cuda.manual_seed_all(3)
    a = tg.rand(3, device="cuda")
    tg.manual_seed(3)
    assert a.tolist() == tg.rand(3).tolist()
    with pytest.raises(NotImplementedError, match="memory_reserved"):
        tg.cuda.max_memory_allocated()


@pytest.fixture
def standin():
    with stand_in() as module:
        yield module


def broken(monkeypatch, cupy, **replaced):
    """The stand-in with other answers from CUDA's runtime, and nothing cached."""
    cuda_device.driver.cache_clear()
    cuda_device._architecture.cache_clear()
    devices.in_use = False
    for name, value in replaced.items():
        monkeypatch.setattr(cupy.cuda.runtime, name, value)


def _no_device():
    from cupy import cuda

    raise cuda.runtime.CUDARuntimeError("cudaErrorNoDevice: no CUDA-capable device is detected")


@pytest.mark.parametrize(
    "replaced, told",
    [
        ({"driverGetVersion": lambda: 0}, "no NVIDIA driver found that CuPy can use: install one"),
        (
            {"driverGetVersion": lambda: 12040},
            "the NVIDIA driver is for CUDA 12.4, older than this CuPy's 13.0",
        ),
        ({"getDeviceCount": lambda: 0}, "there is a driver but no GPU: check CUDA_VISIBLE_DEVICES"),
        ({"getDeviceCount": _no_device}, "there is a driver but no GPU: check CUDA_VISIBLE_DEVICES"),
    ],
    ids=["no driver", "old driver", "no card", "no card, in cupy's words"],
)
def test_what_is_missing_is_said_in_one_sentence(standin, monkeypatch, replaced, told):
    broken(monkeypatch, standin, **replaced)
    for call in (lambda: tg.zeros(2, device="cuda"), tg.ones(2).cuda, tg.cuda.synchronize):
        with pytest.raises(cuda_device.CudaError) as caught:
            call()
        assert told in str(caught.value) and "\n" not in str(caught.value)
    assert not tg.cuda.is_available() and tg.cuda.device_count() == 0 and not devices.in_use


def test_an_old_card_is_named(standin, monkeypatch):
    broken(monkeypatch, standin)
    monkeypatch.setattr(standin.cuda.Device, "compute_capability", "75")
    with pytest.raises(cuda_device.CudaError, match=r"compute capability 7\.5, tinygen's kernels need 8\.0"):
        tg.zeros(2, device="cuda")


def test_no_cupy(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    cuda_device.driver.cache_clear()
    monkeypatch.setattr(devices, "in_use", False)
    with pytest.raises(
        cuda_device.CudaError, match=r"CuPy, which is not installed: pip install 'tinygen\[cuda13\]'"
    ):
        tg.zeros(2, device="cuda")


def test_out_of_memory_names_the_operation(standin, monkeypatch):
    x = tg.ones(2, 3, device="cuda")

    def full(*_, **__):
        raise standin.cuda.memory.OutOfMemoryError("Out of memory allocating 1,024 bytes.")

    monkeypatch.setattr(standin, "exp", full)
    monkeypatch.setattr(standin, "zeros", full)
    with pytest.raises(
        cuda_device.CudaError, match=r"exp: out of GPU memory .*smaller --batch.*; x \(2, 3\)"
    ):
        x.exp()
    with pytest.raises(cuda_device.CudaError, match=r"zeros: out of GPU memory .*smaller --batch"):
        tg.zeros(10, device="cuda")


def test_out_of_memory_anywhere_in_a_training_step(standin, monkeypatch):
    """Let every third allocation fail in turn: each time one sentence of ours says what to do, not only cupy's."""
    allocated, failing = 0, None
    of = standin.ndarray._of

    def make(host, base=None):
        nonlocal allocated
        allocated += base is None
        if allocated == failing and base is None:
            raise standin.cuda.memory.OutOfMemoryError("Out of memory allocating 1,024 bytes.")
        return of(host, base)

    def step():
        nonlocal allocated
        allocated = 0
        net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.SiLU(), nn.Flatten(), nn.Linear(8, 3)).to("cuda")
        optimizer = tg.optim.Adam(net.parameters())
        x, y = tg.ones(2, 1, 4, 4).to("cuda"), tg.tensor([0, 2], device="cuda")
        tg.nn.functional.cross_entropy(net(x), y).backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()

    monkeypatch.setattr(standin.ndarray, "_of", make)
    step()
    for number in range(1, allocated + 1, 3):
        failing = number
        with pytest.raises(cuda_device.CudaError, match=r"out of GPU memory .*: take a smaller --batch"):
            step()


@pytest.mark.skipif(real(), reason="a GPU is here; this is said where there is none")
def test_the_command_says_what_is_missing(tmp_path):
    """With or without cupy installed"""
    done = subprocess.run([sys.executable, "-m", "tinygen", *"train vae --steps 1 --device cuda".split()], cwd=tmp_path,
                          env={**__import__("os").environ, "PYTHONPATH": str(Path(tg.__file__).resolve().parents[1])},
                          capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and not any(tmp_path.iterdir())
    assert "tinygen: error: --device: " in done.stderr and (
        "install" in done.stderr or "driver" in done.stderr
    )


@pytest.mark.gpu
def test_a_real_gpu_was_tested():
    """If there is a GPU, the tests above ran on it and not on the stand-in."""
    import cupy

    assert real() and "standin" not in cupy.__version__ and dispatch.device_of(cupy.ones(1)) == "cuda"


@pytest.mark.parametrize("smoothing, weight", [(0.0, False), (0.0, True), (0.2, False)])
def test_a_number_that_is_no_class_makes_the_loss_nan_without_a_look_at_it(cupy, smoothing, weight):
    for wrong in (5, -1, 10**6):
        scores, target = (T.to("cuda") for T in (tg.randn(3, 5), tg.tensor([4, wrong, -100])))
        given = {"weight": tg.ones(5, device="cuda") if weight else None, "label_smoothing": smoothing}
        for reduction in ("mean", "sum"):
            assert F.cross_entropy(scores, target, reduction=reduction, **given).isnan().item()
        losses = F.cross_entropy(scores, target, reduction="none", **given).tolist()
        assert np.isfinite(losses).tolist() == [True, False, True] and losses[2] == 0
        by_log = F.nll_loss(scores.log_softmax(1), target, reduction="none").tolist()
        assert np.isfinite(by_log).tolist() == [True, False, True] and by_log[2] == 0
    with pytest.raises(IndexError, match="found class 5"):
        F.cross_entropy(tg.randn(1, 5), tg.tensor([5]))
