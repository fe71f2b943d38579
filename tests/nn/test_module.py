"""Module compared with PyTorch's: names, order, attributes, state, dtypes."""

import copy
import math

import numpy as np
import pytest
from compared import Net, close, network

import tinygen as tg
from tinygen import nn

torch = pytest.importorskip("torch")
tnn = torch.nn


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
