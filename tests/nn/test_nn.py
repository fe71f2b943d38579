"""Modules, layers and initialization compared with PyTorch's: names, order, state, messages, numbers."""

import copy
import inspect
import math

import numpy as np
import pytest

import tinygen as tg
from tinygen import nn

torch = pytest.importorskip("torch")
tnn = torch.nn
rng = np.random.default_rng(0)


def close(ours, theirs, tolerance=1e-10):
    ours, theirs = ours.detach().numpy(), theirs.detach().numpy()
    assert ours.shape == theirs.shape and ours.dtype == theirs.dtype
    np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)


def same_state(ours, theirs, tolerance=1e-10):
    a, b = ours.state_dict(), theirs.state_dict()
    assert list(a) == list(b)
    for name in a:
        close(a[name], b[name], tolerance)


def randomize(theirs):
    """Random weights, because normalizations start with ones and zeros."""
    with torch.no_grad():
        for p in theirs.parameters():
            p.copy_(torch.tensor(rng.uniform(-1, 1, size=p.shape)))
        for name, b in theirs.named_buffers():
            if name.endswith("running_var"):
                b.copy_(torch.tensor(rng.uniform(0.5, 2, size=b.shape)))


# Module: names, order, state


def network(T, N):
    """A network with a shared parameter, a shared module, buffers of both kinds, and None as values."""

    class Net(N.Module):
        def __init__(self):
            super().__init__()
            self.scale = N.Parameter(T.ones(2))
            self.body = N.Sequential(N.Linear(3, 4), N.ReLU(), N.BatchNorm1d(4), N.Linear(4, 3, bias=False))
            self.heads = N.ModuleList([N.Linear(3, 2), N.Linear(3, 2)])
            self.heads[1].weight = self.heads[0].weight
            self.again = self.body[0]
            self.register_buffer("count", T.zeros(2))
            self.register_buffer("scratch", T.zeros(5), persistent=False)
            self.register_parameter("nothing", None)

        def forward(self, x):
            return self.heads[1](self.body(x)) * self.scale

    return Net()


def Net():
    return network(tg, nn)


def names(pairs):
    return [name for name, _ in pairs]


def test_names_order_and_sharing_are_pytorchs():
    ours, theirs = Net(), network(torch, tnn)
    for method in ("named_parameters", "named_buffers", "named_modules", "named_children"):
        assert names(getattr(ours, method)()) == names(getattr(theirs, method)()), method
    for prefix in ("named_parameters", "named_buffers", "named_modules"):
        assert names(getattr(ours, prefix)(prefix="p")) == names(getattr(theirs, prefix)(prefix="p"))
    assert names(ours.named_parameters(recurse=False)) == ["scale"]
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert list(ours.state_dict(prefix="net.")) == list(theirs.state_dict(prefix="net."))
    assert len(list(ours.parameters())) == len(list(theirs.parameters())) == 9
    assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in theirs.parameters())
    assert [type(m).__name__ for m in ours.modules()] == [type(m).__name__ for m in theirs.modules()]


def test_a_replaced_parameter_keeps_its_place():
    ours, theirs = nn.Linear(2, 3), tnn.Linear(2, 3)
    ours.weight, theirs.weight = nn.Parameter(tg.ones(3, 2)), tnn.Parameter(torch.ones(3, 2))
    assert names(ours.named_parameters()) == names(theirs.named_parameters()) == ["weight", "bias"]
    ours.bias = theirs.bias = None
    assert list(ours.state_dict()) == list(theirs.state_dict()) == ["weight"]
    ours.bias, theirs.bias = nn.Parameter(tg.ones(3)), tnn.Parameter(torch.ones(3))
    assert list(ours.state_dict()) == list(theirs.state_dict()) == ["weight", "bias"]


def test_an_attribute_lives_in_one_place():
    net = nn.Module()
    net.x = 1
    net.x = nn.Parameter(tg.ones(1))
    assert names(net.named_parameters()) == ["x"] and "x" not in vars(net)
    net.x = nn.ReLU()
    assert names(net.named_parameters()) == [] and names(net.named_children()) == ["x"]
    del net.x
    assert not hasattr(net, "x") and not list(net.children())
    net.register_buffer("b", tg.zeros(1), persistent=False)
    del net.b
    net.register_buffer("b", tg.zeros(1))
    assert list(net.state_dict()) == ["b"]
    net.b = tg.ones(3)
    assert list(net.state_dict()) == ["b"] and net.b.shape == (3,)
    with pytest.raises(AttributeError):
        del net.missing


def test_wrong_kinds_of_attributes_are_refused():
    net = Net()
    with pytest.raises(TypeError, match="scale: found a Tensor, expected a Parameter or None"):
        net.scale = tg.ones(2)
    with pytest.raises(TypeError, match="count: found a int, expected a Tensor or None"):
        net.count = 3
    with pytest.raises(TypeError, match="body: found a str, expected a Module or None"):
        net.body = "x"
    with pytest.raises(TypeError, match="expected a Parameter"):
        net.register_parameter("t", tg.ones(1))
    with pytest.raises(TypeError, match="expected a Tensor"):
        net.register_buffer("t", np.ones(1))
    with pytest.raises(TypeError, match="expected a Module"):
        net.add_module("t", tg.tanh)
    for name in ("a.b", "", "training", "forward", "scale"):
        with pytest.raises(KeyError):
            net.register_buffer(name, tg.ones(1))
    with pytest.raises(AttributeError, match="'Net' object has no attribute 'wight'"):
        net.wight  # noqa: B018
    assert list(net.state_dict()) == list(Net().state_dict())


@pytest.mark.parametrize("make", [lambda: nn.Parameter(tg.ones(1)), lambda: nn.ReLU()])
def test_assigning_before_super_init_says_so(make):
    class Early(nn.Module):
        def __init__(self):
            self.size = 3  # plain values may be assigned first
            self.part = make()
            super().__init__()

    with pytest.raises(AttributeError, match=r"Early: call super\(\).__init__\(\) before assigning part"):
        Early()

    class Never(nn.Module):
        def __init__(self):
            self.register_buffer("b", tg.ones(1))

    with pytest.raises(AttributeError, match=r"super\(\).__init__"):
        Never()


def test_train_eval_apply_and_children_that_override_train():
    net = Net()
    assert net.training and all(m.training for m in net.modules())
    assert net.eval() is net and not any(m.training for m in net.modules())
    net.train()
    assert all(m.training for m in net.modules())

    class Frozen(nn.BatchNorm1d):
        def train(self, mode=True):
            return super().train(False)

    outer = nn.Sequential(nn.Linear(2, 2), Frozen(2)).train()
    assert outer[0].training and not outer[1].training

    ours, theirs = [], []
    net.apply(lambda m: ours.append(type(m).__name__))
    network(torch, tnn).apply(lambda m: theirs.append(type(m).__name__))
    assert ours == theirs and ours[-1] == "Net"


def test_requires_grad_and_zero_grad():
    net = Net()
    net.body[0].requires_grad_(False)
    net(tg.randn(6, 3)).sum().backward()
    assert net.body[0].weight.grad is None and net.scale.grad is not None
    held = net.scale.grad
    net.scale.grad.fill_(math.inf)  # zero_grad does not multiply by zero
    net.zero_grad(set_to_none=False)
    assert net.scale.grad.tolist() == [0, 0] and held.tolist() == [0, 0]
    assert net.body[0].weight.grad is None
    net.zero_grad()
    assert all(p.grad is None for p in net.parameters())


def test_to_another_dtype():
    net = Net()
    weight = net.scale
    net(tg.randn(6, 3)).sum().backward()
    assert net.to(tg.float64) is net and net.scale is weight
    state = net.state_dict()
    assert {t.dtype for n, t in state.items() if "tracked" not in n} == {np.dtype("float64")}
    assert state["body.2.num_batches_tracked"].dtype == np.int64 and net.scratch.dtype == np.float64
    assert net.scale.grad.dtype == np.float64 and net.scale.requires_grad and net.scale.is_leaf
    assert net(tg.randn(6, 3, dtype=tg.float64)).dtype == np.float64
    assert net.float().scale.dtype == np.float32 and net.to("cpu").scale.dtype == np.float32
    assert net.to(tg.zeros(1, dtype=tg.float64)).scale.dtype == np.float64
    with pytest.raises(TypeError, match="floating"):
        net.to(tg.int64)
    with pytest.raises(RuntimeError, match="expected 'cpu', 'cuda'"):
        net.to("tpu")


def test_to_the_same_dtype_does_not_hide_a_later_write():
    net = nn.Linear(2, 2)
    x = tg.ones(1, 2, requires_grad=True)
    y = net(x).sum()
    net.float()
    with tg.no_grad():
        net.weight.mul_(2)
    with pytest.raises(RuntimeError, match="changed in place"):
        y.backward()


def test_a_parameter_shares_memory_and_a_write_through_the_tensor_is_noticed():
    t = tg.ones(3)
    p = nn.Parameter(t)
    assert p.requires_grad and p.is_leaf and not t.requires_grad
    p.data[1] = 5
    assert t.tolist() == [1, 5, 1]
    y = (p * p).sum()
    with pytest.raises(RuntimeError):
        t[0] = 7.0
        y.backward()
    assert not nn.Parameter(t, requires_grad=False).requires_grad
    with pytest.raises(RuntimeError, match="floating"):
        nn.Parameter(tg.tensor([1, 2]))


def test_deepcopy_is_independent():
    net = Net()
    net(tg.randn(6, 3)).sum().backward()
    twin = copy.deepcopy(net)
    assert twin.heads[0].weight is twin.heads[1].weight and twin.again is twin.body[0]
    assert names(twin.named_parameters()) == names(net.named_parameters())
    close(twin.scale.grad, net.scale.grad, 0)
    before = {n: t.numpy().copy() for n, t in net.state_dict().items()}
    with tg.no_grad():
        for p in twin.parameters():
            p.add_(1)
    twin.scale.grad.fill_(9)
    twin.body[2].running_mean.fill_(3)
    twin.body[2](tg.randn(5, 4))
    for n, t in net.state_dict().items():
        np.testing.assert_array_equal(t.numpy(), before[n])
    assert not (net.scale.grad.numpy() == 9).any()


@pytest.mark.parametrize("kind", ["Sequential", "ModuleList"])
def test_containers(kind):
    def made(N):
        layers = [N.Linear(2, 3), N.Tanh(), N.Linear(3, 2), N.ReLU()]
        return N.Sequential(*layers) if kind == "Sequential" else N.ModuleList(layers)

    ours, theirs = made(nn), made(tnn)
    assert len(ours) == 4 and ours[0] is next(iter(ours)) and ours[-1] is list(ours)[3]
    for at in (slice(1, 3), slice(None, None, 2), slice(-2, None)):
        assert type(ours[at]).__name__ == kind
        assert list(ours[at].state_dict()) == list(theirs[at].state_dict())
        assert list(ours[at]) == [list(ours)[i] for i in range(4)[at]]
    assert ours.append(nn.Linear(2, 1)) is ours
    theirs.append(tnn.Linear(2, 1))
    assert list(ours.state_dict()) == list(theirs.state_dict()) and len(ours) == 5
    with pytest.raises(IndexError):
        ours[5]


def test_sequential_with_names_and_module_list_extend():
    from collections import OrderedDict

    net = nn.Sequential(OrderedDict(first=nn.Linear(2, 3), last=nn.Linear(3, 1)))
    assert list(net.state_dict()) == ["first.weight", "first.bias", "last.weight", "last.bias"]
    assert net.first is net[0] and net(tg.ones(1, 2)).shape == (1, 1)
    blocks = nn.ModuleList().extend([nn.ReLU(), nn.Tanh()])
    assert len(blocks) == 2 and names(blocks.named_children()) == ["0", "1"]
    with pytest.raises(NotImplementedError, match="ModuleList"):
        blocks(1)


# state


def test_state_shares_memory_and_loading_does_not():
    net = Net()
    state = net.state_dict()
    with tg.no_grad():
        net.scale.fill_(4)
    assert state["scale"].tolist() == [4, 4] and not state["scale"].requires_grad
    given = {name: tg.tensor(t.numpy() * 0 + 2) for name, t in state.items()}
    arrays = {name: np.full(t.shape, 3, t.dtype) for name, t in state.items()}
    weight = net.body[0].weight
    assert net.load_state_dict(given) == ([], []) and net.body[0].weight is weight
    given["body.0.weight"].fill_(-1)
    assert weight.detach().numpy().min() == 2
    net.load_state_dict(arrays)
    arrays["body.0.weight"][:] = -1
    assert weight.detach().numpy().min() == 3 and net.body[2].num_batches_tracked.item() == 3


def test_load_state_dict_names_everything_that_is_wrong_and_writes_nothing():
    net = Net()
    before = {n: t.numpy().copy() for n, t in net.state_dict().items()}
    state = {n: np.full(t.shape, 7, t.dtype) for n, t in before.items()}
    del state["scale"], state["again.bias"]
    state["body.9.weight"] = np.ones(1, np.float32)
    state["body.0.weight"] = np.ones((5, 3), np.float32)
    state["count"] = np.ones(1, np.float32)  # a shape that would broadcast
    state["body.2.num_batches_tracked"] = np.array(1.5)
    with pytest.raises(RuntimeError) as e:
        net.load_state_dict(state)
    for text in (
        "load_state_dict of Net: ",
        "missing scale",
        "missing again.bias",
        "unexpected body.9.weight",
        "size of body.0.weight: found (5, 3), expected (4, 3)",
        "size of count: found (1,), expected (2,)",
        "dtype of body.2.num_batches_tracked: found float64, expected int64",
    ):
        assert text in str(e.value)
    assert "\n" not in str(e.value) and "heads" not in str(e.value)
    with pytest.raises(RuntimeError, match=r"^load_state_dict of Net: size of count"):
        net.load_state_dict(state, strict=False)
    for n, t in net.state_dict().items():
        np.testing.assert_array_equal(t.numpy(), before[n])
    result = net.load_state_dict({"scale": np.float32([8, 9]), "extra": np.ones(1)}, strict=False)
    assert result.unexpected_keys == ["extra"] and "count" in result.missing_keys
    assert "scale" not in result.missing_keys and net.scale.tolist() == [8, 9]


def test_loading_casts_the_width_as_pytorch_does():
    net = nn.Linear(2, 1)
    net.load_state_dict({"weight": np.array([[1 / 3, 2]]), "bias": np.ones(1, np.float16)})
    assert net.weight.dtype == np.float32 and net.weight.tolist() == [[np.float32(1 / 3), 2]]


def test_loading_between_forward_and_backward_is_an_error():
    net = nn.Linear(2, 1)
    y = net(tg.ones(1, 2, requires_grad=True)).sum()
    net.load_state_dict(nn.Linear(2, 1).state_dict())
    with pytest.raises(RuntimeError, match="changed in place"):
        y.backward()


# every layer

CASES = [  # class, args, kwargs, input shapes
    ("Identity", (54,), {"any": 1}, [(2, 3)]),
    ("Flatten", (), {}, [(2, 3, 4, 5)]),
    ("Flatten", (0, 2), {}, [(2, 3, 4, 5)]),
    ("Unflatten", (1, (2, 3)), {}, [(4, 6)]),
    ("Linear", (3, 5), {}, [(4, 3)]),
    ("Linear", (3, 5, False), {}, [(2, 4, 3)]),
    ("Conv2d", (2, 3, 3), {}, [(2, 2, 6, 5)]),
    ("Conv2d", (4, 6, (3, 2), (2, 1), (1, 2), (1, 2), 2, False), {}, [(2, 4, 7, 6)]),
    ("Conv2d", (2, 3, 3), {"padding": "same"}, [(2, 2, 6, 5)]),
    ("ConvTranspose2d", (2, 3, 3), {}, [(2, 2, 4, 5)]),
    ("ConvTranspose2d", (4, 6, (3, 2), (2, 3), (1, 0), (1, 2), 2, False, (2, 1)), {}, [(2, 4, 3, 4)]),
    ("ConvTranspose2d", (3, 2, 4, 2, 1), {}, [(2, 3, 4, 4)]),
    ("Conv2d", (2, 3, 3, 1, 1), {"padding_mode": "reflect"}, [(2, 2, 6, 5)]),
    ("Conv2d", (2, 3, (2, 3), 2, (1, 2)), {"padding_mode": "circular"}, [(2, 2, 6, 5)]),
    ("Conv2d", (2, 3, (2, 3), 1, "same"), {"padding_mode": "replicate"}, [(2, 2, 6, 5)]),
    ("Conv2d", (2, 3, 3, 1, "valid"), {"padding_mode": "replicate"}, [(2, 2, 6, 5)]),
    ("Conv1d", (2, 3, 3), {}, [(2, 2, 6)]),
    ("Conv1d", (4, 6, (3,), 2, 1, 2, 2, False), {}, [(4, 7)]),
    ("Conv1d", (2, 3, 4, 1, "same"), {"padding_mode": "circular"}, [(2, 2, 7)]),
    ("ConvTranspose1d", (2, 3, 3), {}, [(2, 2, 6)]),
    ("ConvTranspose1d", (4, 6, (3,), 3, 1, 2, 2, False, 2), {}, [(4, 7)]),
    ("Embedding", (7, 3), {}, ["indices"]),
    ("Embedding", (7, 3, 2), {}, ["indices"]),
    ("Embedding", (7, 3), {"padding_idx": -1}, ["indices"]),
    *[
        (name, (3,), options, [shape])
        for name, shape in (
            ("BatchNorm1d", (5, 3)),
            ("BatchNorm1d", (4, 3, 6)),
            ("BatchNorm2d", (4, 3, 2, 5)),
            ("InstanceNorm1d", (4, 3, 6)),
            ("InstanceNorm1d", (3, 6)),
            ("InstanceNorm2d", (4, 3, 2, 5)),
            ("InstanceNorm2d", (3, 2, 5)),
        )
        for options in (
            {},
            {"eps": 0.1, "momentum": 0.3},
            {"momentum": None},
            {"affine": False},
            {"affine": True},
            {"track_running_stats": True},
            {"affine": True, "track_running_stats": True, "momentum": 0.3},
            {"track_running_stats": False},
            {"bias": False},
        )
    ],
    ("LayerNorm", (6,), {}, [(4, 6)]),
    ("LayerNorm", ((3, 6), 0.1), {}, [(4, 3, 6)]),
    ("LayerNorm", ((3, 6),), {"bias": False}, [(4, 3, 6)]),
    ("LayerNorm", (6,), {"elementwise_affine": False}, [(4, 6)]),
    ("GroupNorm", (2, 6), {}, [(4, 6, 3, 2)]),
    ("GroupNorm", (3, 6, 0.1, False), {}, [(4, 6)]),
    ("RMSNorm", (6,), {}, [(4, 3, 6)]),
    ("RMSNorm", ((3, 6), 0.1, False), {}, [(4, 3, 6)]),
    ("Hardtanh", (), {}, [(4, 3)]),
    ("Hardtanh", (-0.5, 2.0, True), {}, [(4, 3)]),
    ("MaxPool1d", (2,), {}, [(2, 3, 7)]),
    ("MaxPool1d", (3, 2, 1, 2), {"ceil_mode": True}, [(3, 7)]),
    ("AvgPool1d", (2,), {}, [(2, 3, 7)]),
    ("AvgPool1d", ((3,), 2, 1, True, False), {}, [(3, 7)]),
    ("AdaptiveAvgPool1d", (3,), {}, [(2, 3, 7)]),
    ("ZeroPad2d", (1,), {}, [(2, 3, 4, 5)]),
    ("ZeroPad2d", ((1, 2, -1, 3),), {}, [(2, 3, 4, 5)]),
    ("ConstantPad2d", ((1, 2, 0, 3), 0.5), {}, [(3, 4, 5)]),
    ("ReflectionPad2d", ((1, 2, 0, 3),), {}, [(2, 3, 4, 5)]),
    ("ReplicationPad2d", (2,), {}, [(2, 3, 4, 5)]),
    ("PReLU", (), {}, [(4, 3)]),
    ("PReLU", (3, 0.1), {}, [(4, 3, 2, 2)]),
    ("Dropout", (0.0,), {}, [(4, 3)]),
    ("Dropout", (1.0,), {"inplace": True}, [(4, 3)]),
    ("Dropout2d", (0.0, True), {}, [(4, 3, 2, 2)]),
    ("ReLU", (True,), {}, [(4, 3)]),
    ("LeakyReLU", (0.3,), {"inplace": True}, [(4, 3)]),
    ("ELU", (0.7, True), {}, [(4, 3)]),
    ("SiLU", (), {"inplace": True}, [(4, 3)]),
    ("GELU", (), {}, [(4, 3)]),
    ("GELU", ("tanh",), {}, [(4, 3)]),
    ("Sigmoid", (), {}, [(4, 3)]),
    ("Tanh", (), {}, [(4, 3)]),
    ("Softplus", (2.0, 1.0), {}, [(4, 3)]),
    ("LogSigmoid", (), {}, [(4, 3)]),
    ("Softmax", (1,), {}, [(4, 3)]),
    ("LogSoftmax", (), {"dim": 0}, [(4, 3)]),
    ("Softmax", (), {}, [(4, 3)]),
    ("Softmin", (0,), {}, [(4, 3)]),
    ("ReLU6", (True,), {}, [(4, 3)]),
    ("Mish", (True,), {}, [(4, 3)]),
    ("SELU", (), {}, [(4, 3)]),
    ("Softsign", (), {}, [(4, 3)]),
    ("GLU", (0,), {}, [(4, 3)]),
    ("CosineSimilarity", (0, 0.1), {}, [(4, 3), (4, 3)]),
    ("PairwiseDistance", (1.0, 0.1, True), {}, [(4, 3), (4, 3)]),
    ("MaxPool2d", (2,), {}, [(2, 3, 5, 6)]),
    ("MaxPool2d", ((3, 2), 2, 1, 1, False, True), {}, [(2, 3, 5, 6)]),
    ("AvgPool2d", (2,), {}, [(2, 3, 5, 6)]),
    ("AvgPool2d", (3, 2, 1, True, False), {}, [(2, 3, 6, 6)]),
    ("AvgPool2d", (3,), {"divisor_override": 4}, [(2, 3, 6, 6)]),
    ("AdaptiveAvgPool2d", (1,), {}, [(2, 3, 5, 6)]),
    ("AdaptiveAvgPool2d", ((2, None),), {}, [(2, 3, 5, 6)]),
    ("Upsample", (), {"scale_factor": 2}, [(2, 3, 4, 3)]),
    ("Upsample", ((5, 7),), {"mode": "nearest"}, [(2, 3, 4, 3)]),
    ("Upsample", (), {"scale_factor": (2, 1.5), "mode": "bilinear", "align_corners": True}, [(2, 3, 4, 3)]),
    ("Upsample", (5,), {"mode": "linear"}, [(2, 3, 4)]),
    ("UpsamplingNearest2d", (), {"scale_factor": 2}, [(2, 3, 4, 3)]),
    ("UpsamplingBilinear2d", ((5, 7),), {}, [(2, 3, 4, 3)]),
    ("PixelShuffle", (2,), {}, [(2, 8, 3, 2)]),
    ("PixelUnshuffle", (2,), {}, [(2, 2, 6, 4)]),
    *[
        (name, (), {"reduction": reduction, **options}, shapes)
        for reduction in ("mean", "sum", "none")
        for name, shapes, options in (
            ("MSELoss", [(4, 3), (4, 3)], {}),
            ("L1Loss", [(4, 3), (4, 3)], {}),
            ("SmoothL1Loss", [(4, 3), (4, 3)], {"beta": 0.5}),
            ("HuberLoss", [(4, 3), (4, 3)], {"delta": 0.5}),
            ("BCELoss", ["probabilities", "probabilities"], {}),
            ("BCELoss", ["probabilities", "probabilities"], {"weight": "weights"}),
            ("BCEWithLogitsLoss", [(4, 3), "probabilities"], {}),
            ("BCEWithLogitsLoss", [(4, 3), "probabilities"], {"weight": "weights", "pos_weight": "weights"}),
            ("NLLLoss", [(4, 3), "classes"], {}),
            ("NLLLoss", [(4, 3), "classes"], {"weight": "weights", "ignore_index": 1}),
            ("CrossEntropyLoss", [(4, 3), "classes"], {"label_smoothing": 0.2}),
            ("CrossEntropyLoss", [(4, 3), "classes"], {"weight": "weights", "ignore_index": 1}),
            ("CrossEntropyLoss", [(4, 3), "probabilities"], {}),
            ("KLDivLoss", [(4, 3), "probabilities"], {}),
            ("KLDivLoss", [(4, 3), (4, 3)], {"log_target": True}),
            ("GaussianNLLLoss", [(4, 3), (4, 3), "probabilities"], {"full": True, "eps": 0.1}),
        )
    ],
    ("KLDivLoss", (), {"reduction": "batchmean"}, [(4, 3), "probabilities"]),
]
NOT_LAYERS = {
    "Module",
    "ModuleDict",
    "ModuleList",
    "MultiheadAttention",
    "ParameterDict",
    "ParameterList",
    "Sequential",
}  # tested elsewhere
ARRAYS = {
    "indices": lambda: rng.integers(0, 7, size=(4, 5)),
    "probabilities": lambda: rng.uniform(0.1, 0.9, size=(4, 3)),
    "weights": lambda: rng.uniform(0.5, 2, size=3),
    "classes": lambda: np.array([0, 1, 2, 1]),
}


def array_of(spec):
    return ARRAYS[spec]() if isinstance(spec, str) else rng.normal(size=spec)


def public_classes(module):
    kinds = {n: k for n, k in vars(module).items() if isinstance(k, type) and issubclass(k, nn.Module)}
    return {name for name in kinds if not name.startswith("_")}


def test_every_public_layer_has_a_case():
    assert public_classes(nn) - NOT_LAYERS == {case[0] for case in CASES}


def built(case):
    """The layer in both libraries, built from the same arguments."""
    name, args, kwargs, _ = case
    fixed = {k: ARRAYS[v]() if v in ARRAYS else v for k, v in kwargs.items() if isinstance(v, str)}
    ours = {k: tg.tensor(v) if isinstance(v, np.ndarray) else v for k, v in {**kwargs, **fixed}.items()}
    theirs = {k: torch.tensor(v) if isinstance(v, np.ndarray) else v for k, v in {**kwargs, **fixed}.items()}
    return getattr(nn, name)(*args, **ours), getattr(tnn, name)(*args, **theirs)


def run_layer(T, layer, arrays, cotangent=None):
    """The output, and the input gradients for a random incoming gradient."""
    inputs = [T.tensor(a) for a in arrays]
    for x, array in zip(inputs, arrays):
        x.requires_grad_(array.dtype.kind == "f" and layer.training)
    y = layer(*[x.clone() for x in inputs])  # PyTorch's `inplace=True` rejects leaves
    if cotangent is None:
        cotangent = rng.normal(size=tuple(y.shape))
    if y.requires_grad:
        (y * T.tensor(cotangent)).sum().backward()
    return y, [x.grad for x in inputs], cotangent


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c[0]}{c[1]}{c[2]}")
def test_layer(case):
    ours, theirs = built(case)
    assert [(n, tuple(p.shape)) for n, p in ours.named_parameters()] == [
        (n, tuple(p.shape)) for n, p in theirs.named_parameters()
    ]
    ours, theirs = ours.double(), theirs.double()
    randomize(theirs)
    ours.load_state_dict({n: t.numpy() for n, t in theirs.state_dict().items()})
    for mode in (True, True, False):  # twice, because running statistics change
        ours.train(mode), theirs.train(mode)
        arrays = [array_of(spec) for spec in case[3]]
        y, grads, cotangent = run_layer(tg, ours, arrays)
        y2, grads2, _ = run_layer(torch, theirs, arrays, cotangent)
        close(y, y2)
        for g, g2 in zip(grads, grads2):
            assert (g is None) == (g2 is None)
            if g is not None:
                close(g, g2)
        for (name, p), q in zip(ours.named_parameters(), theirs.parameters()):
            assert (p.grad is None) == (q.grad is None), name
            if p.grad is not None:
                close(p.grad, q.grad)
        same_state(ours, theirs)


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c[0]}{c[1]}{c[2]}")
def test_repr_of_a_layer(case):
    ours, theirs = built(case)
    assert repr(ours) == repr(theirs)


def test_repr_of_a_network():
    def made(N):
        inner = N.Sequential(N.Linear(2, 3), N.ReLU(True))
        return N.Sequential(N.Conv2d(1, 2, 3, padding=1), inner, N.Sequential(), N.Upsample(scale_factor=2.0))

    assert repr(made(nn)) == repr(made(tnn))

    def extra(N):
        class Net(N.Module):
            def __init__(self):
                super().__init__()
                self.body = N.Sequential(N.Linear(1, 1))
                self.gone = N.ReLU()
                self.gone = None

            def extra_repr(self):
                return "one=1\ntwo=2"

        return Net()

    assert repr(extra(nn)) == repr(extra(tnn))
    text = repr(nn.Parameter(tg.ones(2)))
    assert text.startswith("Parameter containing:\ntensor(") and "requires_grad=True" in text


PRIVATE = {"_weight", "_freeze"}


@pytest.mark.parametrize("name", sorted(public_classes(nn) - {"Module"}))
def test_constructor_arguments_are_pytorchs(name):
    def options(kind):
        parameters = inspect.signature(kind).parameters.values()
        return [
            p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD) and p.name not in PRIVATE
        ]

    ours, theirs = options(getattr(nn, name)), options(getattr(tnn, name))
    assert [p.name for p in ours] == [p.name for p in theirs]
    for p, q in zip(ours, theirs):
        if (name, p.name) != ("ModuleList", "modules"):
            assert p.default == q.default or (p.default is p.empty and q.default is q.empty), p.name


def test_options_that_are_not_supported_say_so():
    for refused, match in (
        (lambda: nn.MSELoss(True), "use reduction"),
        (lambda: nn.CrossEntropyLoss(None, None, -100, False), "use reduction"),
        (lambda: nn.MultiheadAttention(4, 2, kdim=3), "Linear"),
        (lambda: nn.MultiheadAttention(4, 2, add_bias_kv=True), "add_bias_kv"),
        (lambda: nn.Hardtanh(min_value=0), "min_val"),
        (lambda: nn.Embedding(3, 2, max_norm=1.0), "max_norm"),
    ):
        with pytest.raises(NotImplementedError, match=match):
            refused()
    for wrong, match in (
        (lambda: nn.ReLU(False, 3), "ReLU: too many"),
        (lambda: nn.ReLU(alpha=3), "ReLU: .*'alpha'"),
        (lambda: nn.MaxPool2d(), "MaxPool2d: missing .*'kernel_size'"),
    ):
        with pytest.raises(TypeError, match=match):
            wrong()
    for wrong, match in (
        (lambda: nn.Conv2d(3, 4, 3, groups=2), "in_channels 3, expected a multiple of groups 2"),
        (lambda: nn.Conv2d(3, 4, 3, groups=0), "groups 0"),
        (lambda: nn.Conv2d(3, 4, 0), "kernel_size 0"),
        (lambda: nn.Conv2d(1, 1, 3, padding_mode="mirror"), "'mirror'"),
        (lambda: nn.Conv1d(1, 1, 3, padding="all"), "'all'"),
        (lambda: nn.Conv1d(1, 1, 3, 2, padding="same"), "stride"),
        (lambda: nn.ConvTranspose2d(1, 1, 3, padding_mode="reflect"), "reflect"),
        (lambda: nn.ConvTranspose1d(1, 1, 3, 2)(tg.ones(1, 1, 3), output_size=(9,)), "from .7. to .8."),
        (lambda: nn.ZeroPad2d((1, 2)), "left, right, top, bottom"),
        (lambda: nn.GroupNorm(4, 6), "multiple of 4"),
        (lambda: nn.Dropout(1.5), "p=1.5"),
        (lambda: nn.Embedding(3, 2, 3), "padding_idx 3"),
        (lambda: nn.BatchNorm1d(3)(tg.ones(2, 3, 4, 5)), "found 4 dimensions, expected 2 or 3"),
    ):
        with pytest.raises(ValueError, match=match):
            wrong()


def test_the_weights_of_a_loss_are_state_and_move_with_it():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.criterion = nn.CrossEntropyLoss(tg.ones(3))

    net = Net()
    assert list(net.state_dict()) == ["criterion.weight"]
    assert net.double().criterion.weight.dtype == np.float64


def test_dtype_argument():
    for layer in (
        nn.Linear(2, 3, dtype=tg.float64),
        nn.Conv2d(1, 1, 3, dtype=tg.float64),
        nn.ConvTranspose2d(1, 1, 3, dtype=tg.float64),
        nn.Embedding(3, 2, dtype=tg.float64),
        nn.BatchNorm2d(3, dtype=tg.float64),
        nn.LayerNorm(3, dtype=tg.float64),
        nn.GroupNorm(1, 3, dtype=tg.float64),
        nn.PReLU(dtype=tg.float64),
    ):
        kinds = {t.dtype for n, t in layer.state_dict().items() if "tracked" not in n}
        assert kinds == {np.dtype("float64")}, layer


@pytest.mark.parametrize("name", ["Dropout", "Dropout2d"])
def test_dropout(name):
    tg.manual_seed(0)
    layer = getattr(nn, name)(0.3)
    x = tg.ones(100, 50, 2, 2)
    y = layer(x).numpy()
    assert set(np.unique(y)) == {np.float32(0), np.float32(1 / 0.7)}
    units = y.reshape(5000, 4) if name == "Dropout2d" else y.reshape(-1, 1)
    assert (units == units[:, :1]).all()
    dropped = (units[:, 0] == 0).mean()
    assert abs(dropped - 0.3) < 5 * math.sqrt(0.3 * 0.7 / len(units))
    assert layer.eval()(x) is x or (layer(x).numpy() == 1).all()


def test_batch_norm_whose_tracking_is_switched_off_later():
    ours, theirs = nn.BatchNorm1d(3).double(), tnn.BatchNorm1d(3).double()
    x = rng.normal(size=(5, 3))
    for layer in (ours, theirs):
        layer.track_running_stats = False
    close(ours(tg.tensor(x)), theirs(torch.tensor(x)))
    same_state(ours, theirs)
    close(ours.eval()(tg.tensor(x)), theirs.eval()(torch.tensor(x)))


# initialization


def weights(layer):
    return {name: p.detach().numpy() for name, p in layer.named_parameters()}


@pytest.mark.parametrize(
    "make, fan_in",
    [
        (lambda N: N.Linear(100, 300), 100),
        (lambda N: N.Conv2d(12, 60, 5), 12 * 25),
        (lambda N: N.Conv2d(12, 60, (5, 3), groups=3), 4 * 15),
        (lambda N: N.ConvTranspose2d(60, 12, 5), 12 * 25),
        (lambda N: N.ConvTranspose2d(60, 12, (5, 3), groups=3), 4 * 15),
    ],
    ids=["Linear", "Conv2d", "Conv2d-groups", "ConvTranspose2d", "ConvTranspose2d-groups"],
)
def test_default_weights_have_pytorchs_distribution(make, fan_in):
    tg.manual_seed(1), torch.manual_seed(1)
    ours, theirs = [weights(make(nn)) for _ in range(6)], [weights(make(tnn)) for _ in range(6)]
    bound = 1 / math.sqrt(fan_in)
    for name in ("weight", "bias"):
        a = np.sort(np.concatenate([w[name].ravel() for w in ours]))
        b = np.sort(np.concatenate([w[name].ravel() for w in theirs]))
        n = len(a)
        assert np.abs(a).max() <= bound * (1 + 1e-6)
        assert np.abs(a).max() > bound * (
            1 - 20 / n
        )  # the probability that no draw comes near the bound is e^-20
        assert abs(a.mean()) < 5 * bound / math.sqrt(3 * n)
        assert abs(a.var() / (bound**2 / 3) - 1) < 5 * math.sqrt(0.8 / n)
        places = np.searchsorted(b, a) / n  # Kolmogorov-Smirnov: P(distance > 2.2 sqrt(2/n)) = 1e-4
        assert np.abs(places - np.arange(n) / n).max() < 2.2 * math.sqrt(2 / n) + 1 / n


def test_other_layers_start_as_pytorchs():
    for make in (
        lambda N: N.BatchNorm2d(3),
        lambda N: N.LayerNorm((2, 3)),
        lambda N: N.GroupNorm(2, 4),
        lambda N: N.PReLU(3, 0.1),
    ):
        same_state(make(nn), make(tnn), 0)
    tg.manual_seed(0)
    table = weights(nn.Embedding(200, 200, padding_idx=3))["weight"]
    assert not table[3].any() and table[2].any()
    assert abs(table.std() - 1) < 0.02 and abs(table.mean()) < 0.02 and np.abs(table).max() > 3.5


def test_reset_parameters():
    for layer in (
        nn.Linear(2, 2),
        nn.Conv2d(1, 1, 3),
        nn.Embedding(3, 2, 1),
        nn.BatchNorm1d(2),
        nn.LayerNorm(2),
    ):
        before = {n: t.numpy().copy() for n, t in layer.state_dict().items()}
        layer.load_state_dict({n: np.full_like(a, 5) for n, a in before.items()})
        layer.reset_parameters()
        for n, t in layer.state_dict().items():
            assert not (t.numpy() == 5).any(), n
            if "Norm" in type(layer).__name__:
                np.testing.assert_array_equal(t.numpy(), before[n])


def test_the_seed_decides_the_weights():
    def made(seed):
        tg.manual_seed(seed)
        return np.concatenate(
            [w.ravel() for w in weights(nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))).values()]
        )

    np.testing.assert_array_equal(made(3), made(3))
    assert (made(3) != made(4)).all()
    tg.manual_seed(3)
    first, second = nn.Linear(3, 3), nn.Linear(3, 3)
    assert (first.weight.detach().numpy() != second.weight.detach().numpy()).all()
