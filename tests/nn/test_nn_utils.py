"""nn.utils compared with PyTorch's: clipping gradients, parameter vectors, computed weights."""

import inspect
import math

import numpy as np
import pytest
from compared import close
from support.gpu import gpu

import tinygen as tg
from tinygen import nn

torch = pytest.importorskip("torch")
tnn = torch.nn
rng = np.random.default_rng(0)


CASES = {  # public name -> the test that compares it with PyTorch
    "clip_grad_norm_": "test_clip_grad_norm",
    "clip_grad_value_": "test_clip_grad_value",
    "clip_grads_with_norm_": "test_the_two_halves_of_clip_grad_norm",
    "get_total_norm": "test_the_two_halves_of_clip_grad_norm",
    "parameters_to_vector": "test_vector_of_parameters",
    "vector_to_parameters": "test_vector_of_parameters",
    "spectral_norm": "test_spectral_norm",
    "remove_spectral_norm": "test_remove_spectral_norm",
    "weight_norm": "test_weight_norm",
    "remove_weight_norm": "test_remove_weight_norm",
}
PUBLIC = sorted(n for n, f in vars(nn.utils).items() if inspect.isfunction(f) and not n.startswith("_"))


def test_every_public_function_has_a_case():
    assert PUBLIC == sorted(CASES) and set(CASES.values()) <= set(globals())


@pytest.mark.parametrize("name", PUBLIC)
def test_arguments_are_pytorchs(name):
    def arguments(f):
        return [(p.name, p.default) for p in inspect.signature(f).parameters.values()]

    assert arguments(getattr(nn.utils, name)) == arguments(getattr(tnn.utils, name))


# gradients of many parameters


def with_gradients(T, N, arrays):
    parameters = [N.Parameter(T.tensor(a)) for a in arrays]
    for p, a in zip(parameters, arrays):
        p.grad = T.tensor(np.asarray(a * 3, a.dtype))  # NumPy 1.26 widens 0-d arrays
    return [*parameters, N.Parameter(T.tensor(np.ones(2)))]  # the last has no gradient


@pytest.mark.parametrize("norm_type", [2.0, 1.0, math.inf, 3.0, "inf"])
@pytest.mark.parametrize("max_norm", [0.5, 1e4])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_clip_grad_norm(norm_type, max_norm, dtype):
    arrays = [rng.normal(size=s).astype(dtype) for s in ((3, 4), (5,), ())]
    ours, theirs = with_gradients(tg, nn, arrays), with_gradients(torch, tnn, arrays)
    total = nn.utils.clip_grad_norm_(iter(ours), max_norm, norm_type)
    total2 = tnn.utils.clip_grad_norm_(iter(theirs), max_norm, norm_type)
    close(total, total2, 1e-12 if dtype == "float64" else 1e-6)
    for p, q, a in zip(ours, theirs, arrays):
        close(p.grad, q.grad, 1e-12 if dtype == "float64" else 1e-6)
        assert (p.grad.numpy() == np.asarray(a * 3, a.dtype)).all() == (max_norm == 1e4)
    assert ours[-1].grad is None


@pytest.mark.parametrize("bad", [math.inf, -math.inf, math.nan])
@pytest.mark.parametrize("norm_type", [2.0, math.inf])
def test_clip_grad_norm_of_what_is_not_finite(bad, norm_type):
    arrays = [np.array([1.0, 2.0]), np.array([bad, 1.0]), np.array([3.0])]
    ours, theirs = with_gradients(tg, nn, arrays), with_gradients(torch, tnn, arrays)
    with pytest.raises(RuntimeError, match="finite"):
        nn.utils.clip_grad_norm_(ours, 1.0, norm_type, error_if_nonfinite=True)
    assert ours[0].grad.tolist() == [3, 6]
    total = nn.utils.clip_grad_norm_(ours, 1.0, norm_type)
    close(total, tnn.utils.clip_grad_norm_(theirs, 1.0, norm_type))
    for p, q in zip(ours[:-1], theirs):
        close(p.grad, q.grad)


def test_clip_grad_norm_edges():
    assert nn.utils.clip_grad_norm_([], 1.0).item() == 0
    assert nn.utils.clip_grad_norm_([nn.Parameter(tg.ones(2))], 1.0, math.inf).item() == 0
    huge = nn.Parameter(tg.tensor([1e200, 1e200], dtype=tg.float64))
    huge.grad = tg.tensor([1e200, 1e200], dtype=tg.float64)
    with np.errstate(over="ignore"):
        assert nn.utils.clip_grad_norm_(huge, 1.0).item() in (math.inf, pytest.approx(1e200 * math.sqrt(2)))


def test_clip_grad_value():
    arrays = [rng.normal(size=(3, 4)), rng.normal(size=5)]
    ours, theirs = with_gradients(tg, nn, arrays), with_gradients(torch, tnn, arrays)
    nn.utils.clip_grad_value_(iter(ours), 0.7)
    tnn.utils.clip_grad_value_(iter(theirs), 0.7)
    for p, q in zip(ours[:-1], theirs):
        close(p.grad, q.grad, 0)
        assert np.abs(p.grad.numpy()).max() == 0.7
    nn.utils.clip_grad_value_(ours[0], 0.1)
    assert np.abs(ours[0].grad.numpy()).max() == 0.1


@pytest.mark.parametrize("norm_type", [2.0, 1.0, math.inf, 0.0])
def test_the_two_halves_of_clip_grad_norm(norm_type):
    arrays = [rng.normal(size=s) for s in ((3, 4), (5,), ())]
    ours, theirs = with_gradients(tg, nn, arrays), with_gradients(torch, tnn, arrays)
    total = nn.utils.get_total_norm([p.grad for p in ours[:-1]], norm_type)
    total2 = tnn.utils.get_total_norm([p.grad for p in theirs[:-1]], norm_type)
    close(total, total2, 1e-12)
    nn.utils.clip_grads_with_norm_(ours, 0.3, total)
    tnn.utils.clip_grads_with_norm_(theirs, 0.3, total2)
    for p, q in zip(ours[:-1], theirs):
        close(p.grad, q.grad, 1e-12)
    assert nn.utils.get_total_norm(tg.tensor([3.0, 4.0])).item() == 5
    assert nn.utils.get_total_norm([]).item() == tnn.utils.get_total_norm([]).item() == 0


def test_foreach_is_refused():
    for refused in (
        lambda: nn.utils.clip_grad_norm_([], 1.0, foreach=True),
        lambda: nn.utils.clip_grad_value_([], 1.0, foreach=True),
        lambda: nn.utils.get_total_norm([], foreach=True),
        lambda: nn.utils.clip_grads_with_norm_([], 1.0, tg.tensor(1.0), foreach=True),
    ):
        with pytest.raises(NotImplementedError, match="foreach=True is not supported"):
            refused()
    nn.utils.clip_grad_norm_([], 1.0, foreach=False)


# vectors


def test_vector_of_parameters():
    def run(T, N, arrays, vector):
        parameters = [N.Parameter(T.tensor(a)) for a in arrays]
        flat = N.utils.parameters_to_vector(iter(parameters))
        (flat**2).sum().backward()
        given = T.tensor(vector)
        N.utils.vector_to_parameters(given, iter(parameters))
        with T.no_grad():
            parameters[0].mul_(2)  # the vector too: they share memory
        return [flat, given, *parameters, *[p.grad for p in parameters if p.numel()]], parameters

    arrays = [rng.normal(size=s) for s in ((3, 4), (), (0, 2), (5,))]
    vector = rng.normal(size=19)  # one more than needed
    (ours, parameters), (theirs, _) = run(tg, nn, arrays, vector), run(torch, tnn, arrays, vector)
    for a, b in zip(ours, theirs):
        close(a, b, 1e-15)
    assert all(p.requires_grad and p.is_leaf for p in parameters)
    with pytest.raises(RuntimeError, match="vector_to_parameters: found 17 elements, expected 18"):
        nn.utils.vector_to_parameters(tg.zeros(17, dtype=tg.float64), parameters)
    with pytest.raises(TypeError, match="found a ndarray, expected a Tensor"):
        nn.utils.vector_to_parameters(vector, parameters)
    with pytest.raises(ValueError, match="found no Tensors"):
        nn.utils.parameters_to_vector([])


# computed weights


LAYERS = {
    "Linear": (lambda N: N.Linear(4, 3), (5, 4), {}),
    "two iterations": (lambda N: N.Linear(4, 3, bias=False), (5, 4), {"n_power_iterations": 2, "eps": 1e-3}),
    "Conv2d": (lambda N: N.Conv2d(2, 3, 3, padding=1), (2, 2, 4, 5), {}),
    "ConvTranspose2d": (lambda N: N.ConvTranspose2d(2, 3, 3), (2, 2, 4, 5), {}),
    "dim": (lambda N: N.Conv2d(2, 3, (1, 2)), (2, 2, 4, 5), {"dim": 3}),
    "another name": (lambda N: N.Linear(4, 3), (5, 4), {"name": "bias"}),
}


def copied(ours, theirs):
    ours.load_state_dict({n: t.numpy() for n, t in theirs.state_dict().items()})


def twins(function, case, **more):
    make, shape, options = LAYERS[case]
    theirs = getattr(tnn.utils, function)(make(tnn).double(), **options, **more)
    ours = getattr(nn.utils, function)(make(nn).double(), **options, **more)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert [n for n, _ in ours.named_parameters()] == [n for n, _ in theirs.named_parameters()]
    copied(ours, theirs)
    return ours, theirs, shape


def penalized(T, layer, x):
    """The loss of a WGAN with gradient penalty, whose gradient passes through the layer twice."""
    x = T.tensor(x).requires_grad_()
    y = layer(x)
    score = (y.tanh() * y).mean()
    (g,) = T.autograd.grad(score, x, create_graph=True)
    return score + ((g.reshape(len(x), -1).norm(2, 1) - 1) ** 2).sum()


def trained(T, O, layer, batches):
    optimizer = O.SGD(layer.parameters(), lr=0.02, momentum=0.5)
    losses = []
    for x in batches:
        loss = penalized(T, layer, x) + penalized(T, layer, x + 1)  # two forwards before one backward
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def compare_training(ours, theirs, shape):
    batches = [rng.normal(size=shape) for _ in range(6)]
    np.testing.assert_allclose(
        trained(tg, tg.optim, ours, batches), trained(torch, torch.optim, theirs, batches), rtol=1e-9
    )
    for (name, p), q in zip(ours.named_parameters(), theirs.parameters()):
        assert (p.grad is None) == (q.grad is None), name
        if p.grad is not None:
            close(p.grad, q.grad, 1e-9)
    for name, t in ours.state_dict().items():
        close(t, theirs.state_dict()[name], 1e-9)
    ours.eval(), theirs.eval()
    x = rng.normal(size=shape)
    before = {n: t.numpy().copy() for n, t in ours.state_dict().items()}
    close(ours(tg.tensor(x)), theirs(torch.tensor(x)), 1e-9)
    for name, t in ours.state_dict().items():  # evaluation leaves u and v unchanged
        np.testing.assert_array_equal(t.numpy(), before[name])


@pytest.mark.parametrize("case", LAYERS)
def test_spectral_norm(case):
    ours, theirs, shape = twins("spectral_norm", case)
    compare_training(ours, theirs, shape)


def test_spectral_norm_finds_the_largest_singular_value():
    tg.manual_seed(0)
    layer = nn.utils.spectral_norm(nn.Linear(6, 5).double(), n_power_iterations=200)
    layer(tg.zeros(1, 6, dtype=tg.float64))
    assert np.linalg.norm(layer.weight.detach().numpy(), 2) == pytest.approx(1, rel=1e-9)
    assert layer.weight_u.norm().item() == pytest.approx(1) and not layer.weight_u.requires_grad


def test_remove_spectral_norm():
    ours, theirs, shape = twins("spectral_norm", "ConvTranspose2d")
    x = rng.normal(size=shape)
    ours(tg.tensor(x)), theirs(torch.tensor(x))
    assert nn.utils.remove_spectral_norm(ours) is ours
    tnn.utils.remove_spectral_norm(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict()) == ["bias", "weight"]
    close(ours.weight, theirs.weight)
    close(ours(tg.tensor(x)), theirs(torch.tensor(x)))
    with pytest.raises(ValueError, match="remove_spectral_norm: found none of 'weight' in ConvTranspose2d"):
        nn.utils.remove_spectral_norm(ours)
    nn.utils.spectral_norm(ours)


def test_an_initialization_after_spectral_norm_reaches_the_weight():
    layer = nn.utils.spectral_norm(nn.Linear(3, 2))
    nn.init.constant_(layer.weight.data, 2.0)
    assert layer.weight_orig.tolist() == [[2.0] * 3] * 2
    layer(tg.ones(1, 3)).sum().backward()
    assert layer.weight_orig.grad is not None and layer.weight_orig.dtype == np.float32


@pytest.mark.parametrize("spectral_norm", [nn.utils.spectral_norm, nn.utils.parametrizations.spectral_norm])
def test_spectral_norm_of_a_layer_on_a_gpu(spectral_norm):
    x, results = tg.ones(1, 3), []
    with gpu():
        for device in ("cpu", "cuda"):
            tg.manual_seed(0)
            layer = spectral_norm(nn.Linear(3, 2).to(device))
            results.append(layer(x.to(device)).detach().cpu())
    close(*results, 1e-5)


def test_what_spectral_norm_refuses():
    layer = nn.utils.spectral_norm(nn.Linear(3, 2))
    with pytest.raises(RuntimeError, match="spectral_norm: found one on weight already"):
        nn.utils.spectral_norm(layer)
    with pytest.raises(ValueError, match="n_power_iterations 0"):
        nn.utils.spectral_norm(nn.Linear(3, 2), n_power_iterations=0)
    with pytest.raises(ValueError, match="found no parameter bias but None in Linear"):
        nn.utils.spectral_norm(nn.Linear(3, 2, bias=False), "bias")
    with pytest.raises(KeyError):
        nn.utils.spectral_norm(nn.Linear(3, 2), "wight")


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("case", ["Linear", "Conv2d", "ConvTranspose2d", "dim", "another name"])
@pytest.mark.parametrize("dim", [None, 0, 1, -1])
def test_weight_norm(case, dim):
    if case == "dim":
        ours, theirs, shape = twins("weight_norm", case)
    elif case == "another name" and dim == 1:
        return  # the bias has one dimension
    else:
        ours, theirs, shape = twins("weight_norm", case, dim=dim)
    compare_training(ours, theirs, shape)


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_remove_weight_norm():
    ours, theirs, _ = twins("weight_norm", "Conv2d")
    with tg.no_grad():
        ours.weight_g.mul_(2)
    with torch.no_grad():
        theirs.weight_g.mul_(2)
    nn.utils.remove_weight_norm(ours), tnn.utils.remove_weight_norm(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict()) == ["bias", "weight"]
    close(ours.weight, theirs.weight)
    with pytest.raises(ValueError, match="remove_weight_norm: found none"):
        nn.utils.remove_weight_norm(ours)
