"""Computed weights: copies and pickles after a forward, and nn.utils.parametrize compared with PyTorch's."""

import copy
import pickle

import numpy as np
import pytest
from compared import close
from test_nn_utils import LAYERS, compare_training, copied

import tinygen as tg
from tinygen import nn

torch = pytest.importorskip("torch")
tnn = torch.nn
rng = np.random.default_rng(0)
COPIES = {"deepcopy": copy.deepcopy, "pickle": lambda module: pickle.loads(pickle.dumps(module))}
WAYS = {
    "weight_norm": nn.utils.weight_norm,
    "spectral_norm": nn.utils.spectral_norm,
    "parametrizations.weight_norm": nn.utils.parametrizations.weight_norm,
    "parametrizations.spectral_norm": nn.utils.parametrizations.spectral_norm,
}


@pytest.mark.parametrize("way", COPIES)
@pytest.mark.parametrize("norm", WAYS)
@pytest.mark.parametrize("trained", [True, False], ids=["after a forward", "before one"])
def test_copies_after_a_forward(norm, way, trained):
    layer = WAYS[norm](nn.Linear(3, 4))
    net = nn.Sequential(layer, nn.ReLU(), WAYS[norm](nn.Linear(4, 4)))
    x = tg.randn(5, 3)
    if trained:
        net(x).sum().backward()
    twin = COPIES[way](net)
    net.eval(), twin.eval()
    np.testing.assert_array_equal(twin(x).detach().numpy(), net(x).detach().numpy())
    before = {name: t.numpy().copy() for name, t in net.state_dict().items()}
    net.train(), twin.train()
    for p in twin.parameters():
        p.grad = None
    twin(x).sum().backward()
    assert all(p.grad is not None for p in twin.parameters())
    tg.optim.SGD(twin.parameters(), 0.1).step()
    for name, tensor in net.state_dict().items():  # the copy shares nothing
        np.testing.assert_array_equal(tensor.numpy(), before[name])
    assert not np.array_equal(twin.state_dict()["0.bias"].numpy(), before["0.bias"])


def test_copies_of_memory_that_two_share_share_theirs():
    """A graph that saved one of them notices writes to the other, as before."""
    x = tg.ones(2, requires_grad=True)
    a, b = copy.deepcopy([x, x.detach()])
    y = (a * a).sum()
    b.zero_()
    assert a.tolist() == [0, 0] and x.tolist() == [1, 1]
    with pytest.raises(RuntimeError, match="changed in place"):
        y.backward()


def test_hooks_registered_after_pickle_do_not_replace_older_ones():
    layer = nn.utils.weight_norm(nn.Linear(2, 2))
    twin = pickle.loads(pickle.dumps(layer))
    handles = [twin.register_forward_pre_hook(lambda module, args: None) for _ in range(3)]
    assert len(twin._forward_pre_hooks) == 4
    for handle in handles:
        handle.remove()
    nn.utils.remove_weight_norm(twin)
    assert not twin._forward_pre_hooks and list(twin.state_dict()) == ["bias", "weight"]


@pytest.mark.parametrize("norm", ["weight_norm", "spectral_norm"])
@pytest.mark.parametrize("case", LAYERS)
def test_as_pytorchs(norm, case):
    make, shape, options = LAYERS[case]
    theirs, ours = make(tnn).double(), make(nn).double()
    if norm == "weight_norm":
        options = {k: v for k, v in options.items() if k in ("dim", "name")}
    theirs = getattr(tnn.utils.parametrizations, norm)(theirs, **options)
    ours = getattr(nn.utils.parametrizations, norm)(ours, **options)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert [n for n, _ in ours.named_parameters()] == [n for n, _ in theirs.named_parameters()]
    assert repr(ours) == repr(theirs)
    copied(ours, theirs)
    compare_training(ours, theirs, shape)


def test_removing_parametrizations():
    for norm in ("weight_norm", "spectral_norm"):
        ours, theirs = nn.Linear(3, 4).double(), tnn.Linear(3, 4).double()
        getattr(nn.utils.parametrizations, norm)(ours), getattr(tnn.utils.parametrizations, norm)(theirs)
        copied(ours, theirs)
        ours.eval(), theirs.eval()
        nn.utils.parametrize.remove_parametrizations(ours, "weight")
        tnn.utils.parametrize.remove_parametrizations(theirs, "weight")
        assert list(ours.state_dict()) == list(theirs.state_dict()) == ["bias", "weight"]
        assert not nn.utils.parametrize.is_parametrized(ours) and "parametrizations" not in dir(ours)
        close(ours.weight, theirs.weight)
        assert repr(ours) == repr(theirs)
        with pytest.raises(ValueError, match="remove_parametrizations: found none of 'weight' in Linear"):
            nn.utils.parametrize.remove_parametrizations(ours, "weight")


def symmetric(N):
    class Symmetric(N.Module):
        def forward(self, x):
            return x.triu() + x.triu(1).T

        def right_inverse(self, x):
            return x.triu()

    return Symmetric()


def test_parametrizations_of_ones_own():
    register, is_parametrized = (
        nn.utils.parametrize.register_parametrization,
        nn.utils.parametrize.is_parametrized,
    )
    ours, theirs = nn.Linear(3, 3).double(), tnn.Linear(3, 3).double()
    copied(ours, theirs)
    weight = ours.weight
    register(ours, "weight", symmetric(nn))
    tnn.utils.parametrize.register_parametrization(theirs, "weight", symmetric(tnn))
    assert is_parametrized(ours, "weight") and not is_parametrized(ours, "bias")
    assert ours.parametrizations.weight.original is weight  # the one that an optimizer holds
    close(ours.weight, theirs.weight)
    a = rng.normal(size=(3, 3))
    ours.weight, theirs.weight = tg.tensor(a + a.T), torch.tensor(a + a.T)
    close(ours.weight, theirs.weight)
    register(ours, "weight", nn.Tanh())
    tnn.utils.parametrize.register_parametrization(theirs, "weight", tnn.Tanh())
    x = rng.normal(size=(2, 3))
    ours(tg.tensor(x)).sum().backward(), theirs(torch.tensor(x)).sum().backward()
    close(ours.parametrizations.weight.original.grad, theirs.parametrizations.weight.original.grad)
    with pytest.raises(RuntimeError, match="Tanh has no right_inverse"):
        ours.weight = tg.tensor(a)
    with pytest.raises(ValueError, match="expected float64 \\(3, 3\\) as before"):
        register(nn.Linear(3, 3).double(), "weight", nn.Flatten(0))
    with pytest.raises(ValueError, match="found no parameter or buffer 'wight' in Linear"):
        register(nn.Linear(3, 3), "wight", nn.Tanh())
    nn.utils.parametrize.remove_parametrizations(ours, "weight", leave_parametrized=False)
    assert ours.weight is weight
