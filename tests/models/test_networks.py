"""The networks of the papers: under PyTorch with the same weights, and those of the GANs."""

import importlib
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from support.small_networks import IMAGE, SMALL_DIT, SMALL_UNET, count, integers, normal

import tinygen
from tinygen import cli, nn
from tinygen.benchmarks import step_networks
from tinygen.benchmarks.torch_twin import torch_twin
from tinygen.models import dcgan, gan
from tinygen.models.networks import dit, unet

# file, class, arguments, inputs for a batch of n
NETWORKS = {
    "gan-generator": ("gan", "Generator", {}, lambda n: [normal(n, 100)]),
    "gan-discriminator": ("gan", "Discriminator", {}, lambda n: [normal(n, *IMAGE)]),
    "dcgan-generator": ("dcgan", "Generator", {"width": 4}, lambda n: [normal(n, 100)]),
    "dcgan-discriminator": ("dcgan", "Discriminator", {"width": 4}, lambda n: [normal(n, *IMAGE)]),
    "dcgan-generator-deep": ("dcgan", "Generator", {"width": 2, "depth": 3}, lambda n: [normal(n, 100)]),
    "dcgan-discriminator-deep": (
        "dcgan",
        "Discriminator",
        {"width": 2, "depth": 3},
        lambda n: [normal(n, *IMAGE)],
    ),
    "unet": ("networks.unet", "UNet", SMALL_UNET, lambda n: [normal(n, 1, 12, 8), integers(n, 1000)]),
    "unet-rgb": (
        "networks.unet",
        "UNet",
        {"channels": 3, "width": 8, "multipliers": (1, 1, 2), "attention": (True, False, True), "groups": 2},
        lambda n: [normal(n, 3, 8, 8), integers(n, 1000)],
    ),
    "unet-labels": (
        "networks.unet",
        "UNet",
        SMALL_UNET | {"stem": 2, "classes": 4, "outputs": 2},
        lambda n: [normal(n, 1, 8, 4), integers(n, 1000), integers(n, 5)],
    ),
    "unet-no-class": (
        "networks.unet",
        "UNet",
        SMALL_UNET | {"classes": 4},
        lambda n: [normal(n, 1, 4, 4), integers(n, 1000)],
    ),
    "dit-no-class": (
        "networks.dit",
        "DiT",
        SMALL_DIT | {"classes": 0, "outputs": 2},
        lambda n: [normal(n, 1, 8, 8), integers(n, 1000)],
    ),
    "dit": (
        "networks.dit",
        "DiT",
        SMALL_DIT,
        lambda n: [normal(n, 1, 8, 8), integers(n, 1000), integers(n, 5)],
    ),
    "dit-rgb": (
        "networks.dit",
        "DiT",
        SMALL_DIT | {"channels": 3, "patch": 2},
        lambda n: [normal(n, 3, 8, 8), integers(n, 1000), integers(n, 5)],
    ),
}


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


def side(library):
    return SimpleNamespace(
        api=library,
        tensor=library.tensor,
        module=lambda net: net,
        function=lambda f: f,
        adam=library.optim.Adam,
    )


def module(name, library):
    return (
        importlib.import_module(f"tinygen.models.{name}") if library is tinygen else torch_twin(name, library)
    )


def twins(name, torch):
    """A network under tinygen and the same under PyTorch, in float64, with weights that are never 0."""
    file, cls, arguments, _ = NETWORKS[name]
    nets = [getattr(module(file, library), cls)(**arguments).double() for library in (tinygen, torch)]
    ours, theirs = nets
    state = {
        k: v.numpy() + 0.1 * normal(*v.shape, seed=i) if v.is_floating_point() else v.numpy()
        for i, (k, v) in enumerate(ours.state_dict().items())
    }
    state = {k: np.abs(v) if k.endswith("running_var") else v for k, v in state.items()}
    for library, net in (tinygen, ours), (torch, theirs):
        net.load_state_dict({k: library.tensor(v) for k, v in state.items()})
    return ours, theirs


def same_state(ours, theirs, atol=1e-9):
    for key, value in ours.state_dict().items():
        np.testing.assert_allclose(value.numpy(), theirs.state_dict()[key].numpy(), 0, atol, err_msg=key)


def gradients(library, net, inputs):
    """The output, and the gradients of a random linear function of it: of all parameters and of the first input."""
    tensors = [library.tensor(x) for x in inputs]
    tensors[0].requires_grad_()
    out = net(*tensors)
    (out * library.tensor(normal(*out.shape, seed=9))).sum().backward()
    named = {name: p.grad.numpy() for name, p in net.named_parameters()} | {"input": tensors[0].grad.numpy()}
    return out.detach().numpy(), named


# both libraries


@pytest.mark.parametrize("name", NETWORKS)
def test_the_same_parameters_and_buffers(name, torch):
    file, cls, arguments, _ = NETWORKS[name]
    ours, theirs = (getattr(module(file, library), cls)(**arguments) for library in (tinygen, torch))
    assert isinstance(theirs, torch.nn.Module) and isinstance(ours, nn.Module)
    shapes = [[(k, tuple(v.shape)) for k, v in net.state_dict().items()] for net in (ours, theirs)]
    assert shapes[0] == shapes[1]
    for source, target, library in (ours, theirs, torch), (theirs, ours, tinygen):
        target.load_state_dict({k: library.tensor(v.numpy()) for k, v in source.state_dict().items()})
        same_state(ours, theirs, atol=0)


@pytest.mark.parametrize("train", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("n", [2, 3, 1])
@pytest.mark.parametrize("name", NETWORKS)
def test_outputs_and_gradients(name, n, train, torch):
    ours, theirs = twins(name, torch)
    inputs = NETWORKS[name][3](n)
    if (name, n, train) == ("gan-generator", 1, True):
        for library, net in (tinygen, ours), (torch, theirs):
            with pytest.raises(ValueError, match=r"values? per channel"):
                net(library.tensor(inputs[0]))
        return
    out, grads = gradients(tinygen, ours.train(train), inputs)
    expected, their_grads = gradients(torch, theirs.train(train), inputs)
    assert out.dtype == expected.dtype == np.float64
    np.testing.assert_allclose(out, expected, rtol=1e-9, atol=1e-9)
    assert list(grads) == list(their_grads)
    for key, g in grads.items():
        scale = max(1.0, np.abs(their_grads[key]).max())
        np.testing.assert_allclose(g, their_grads[key], rtol=0, atol=1e-9 * scale, err_msg=key)
    same_state(ours, theirs)  # BatchNorm's statistics, in training


def test_batch_norm_in_train_and_eval():
    """Training updates the running statistics; in evaluation an image does not depend on the rest of the batch."""
    tinygen.manual_seed(0)
    net, z = dcgan.Generator(width=4), tinygen.randn(3, 100)
    before = net.model[1].running_mean.numpy().copy()
    alone, together = net.eval()(z[:1]), net(z)[:1]
    np.testing.assert_allclose(alone.detach().numpy(), together.detach().numpy(), rtol=1e-4, atol=1e-6)
    assert np.array_equal(net.model[1].running_mean.numpy(), before)
    trained = net.train()(z)[:1].detach().numpy()
    assert np.abs(trained - together.detach().numpy()).max() > 1e-3
    assert not np.array_equal(net.model[1].running_mean.numpy(), before)


@pytest.mark.parametrize("name", ["unet", "dit"])
def test_a_denoising_step(name, torch):
    nets = twins(name, torch)
    x, t, *labels = NETWORKS[name][3](4)
    steps = [
        step_networks.denoising_step(
            side(library), net, *map(library.tensor, (x, normal(*x.shape, seed=5), t, *labels))
        )
        for library, net in zip((tinygen, torch), nets)
    ]
    before = {k: v.detach().numpy().copy() for k, v in nets[0].named_parameters()}
    losses = [step().item() for step in steps]
    assert losses[0] == pytest.approx(losses[1], rel=1e-9)
    same_state(*nets)
    still = [k for k, v in nets[0].named_parameters() if np.abs(v.detach().numpy() - before[k]).max() < 1e-7]
    # a bias of the keys adds the same to all scores of a query, which softmax cancels
    assert all(k.endswith("key.bias") for k in still)
    assert steps[0]().item() < losses[0]


@pytest.mark.parametrize("name", ["gan", "dcgan"])
def test_an_adversarial_step(name, torch):
    pairs = [twins(f"{name}-{part}", torch) for part in ("generator", "discriminator")]
    steps = [
        step_networks.adversarial_step(
            side(library), *nets, library.tensor(normal(5, *IMAGE)), library.tensor(normal(5, 100))
        )
        for library, nets in zip((tinygen, torch), zip(*pairs))
    ]
    for _ in range(2):
        losses = [[loss.item() for loss in step()] for step in steps]
        np.testing.assert_allclose(*losses, rtol=1e-9)
        for pair in pairs:
            same_state(*pair)
    if name == "dcgan":  # real and generated images are separate batches
        generator, discriminator = (ours for ours, _ in pairs)
        assert [int(net.model[i].num_batches_tracked) for net, i in ((generator, 1), (discriminator, 3))] == [
            2,
            6,
        ]


def test_the_adversarial_step_is_that_of_the_seed_programs(torch, monkeypatch):
    """Their networks, with their names, and their loop under PyTorch; sigmoid and BCE where ours has logits."""
    from test_seeds import SEEDS, block

    if not SEEDS.is_dir():
        pytest.skip("the seed texts are not beside this checkout")
    names = {"np": np}
    exec(block("001", "adversarial_loss = nn.BCELoss()"), names)
    nets = [gan.Generator().double(), gan.Discriminator().double()]
    for net, theirs in zip(nets, (names["generator"].double(), names["discriminator"].double())):
        net.load_state_dict({k: tinygen.tensor(v.numpy()) for k, v in theirs.state_dict().items()})
    x, z = normal(6, *IMAGE), normal(6, 100)
    monkeypatch.setattr(torch, "randn", lambda *size: torch.tensor(z))
    names.update(dataloader=[torch.tensor(x)], num_epochs=1, batch_size=6, latent_dim=100)
    exec(block("001", "for epoch in range(num_epochs):"), names)
    step_networks.adversarial_step(side(tinygen), *nets, tinygen.tensor(x), tinygen.tensor(z))()
    for net, theirs in zip(nets, (names["generator"], names["discriminator"])):
        same_state(net, theirs)


# sizes


def test_parameter_counts_of_the_gans():
    # 100-128-256-512-1024-784 with biases, and a scale and a shift for 256 + 512 + 1024 units
    linear = lambda *sizes: sum(a * b + b for a, b in pairwise(sizes))
    assert count(gan.Generator()) == linear(100, 128, 256, 512, 1024, 784) + 2 * 1792 == 1_510_032
    assert count(gan.Discriminator()) == linear(784, 512, 256, 1) == 533_505
    # filters 7x7 and 4x4; BatchNorm instead of biases, except in the last layer
    assert count(dcgan.Generator()) == 100 * 128 * 49 + 256 + 128 * 64 * 16 + 128 + 64 * 16 + 1 == 759_681
    assert count(dcgan.Discriminator()) == 64 * 16 + 64 + 64 * 128 * 16 + 256 + 128 * 49 + 1 == 138_689


@pytest.mark.parametrize("n", [1, 3])
def test_shapes_at_the_sizes_of_the_benchmarks(n):
    z, x, t = (tinygen.tensor(a) for a in (normal(n, 100), normal(n, *IMAGE), integers(n, 1000)))
    with tinygen.no_grad():
        for file in gan, dcgan:
            pictures = file.Generator().double().eval()(z)
            assert pictures.shape == (n, 1, 28, 28) and pictures.abs().max() < 1
            assert file.Discriminator().double()(x).shape == (n,)
        assert unet.UNet().double()(x, t).shape == x.shape
        assert dit.DiT().double()(x, t, tinygen.tensor(integers(n, 11))).shape == x.shape


@pytest.mark.parametrize("name", NETWORKS)
def test_an_item_does_not_depend_on_its_batch(name, torch):
    """Attention over the wrong axis or a wrong reshape would still train, only worse."""
    net, inputs = twins(name, torch)[0].eval(), NETWORKS[name][3](3)
    together = net(*map(tinygen.tensor, inputs)).detach().numpy()
    for i in range(3):
        alone = net(*(tinygen.tensor(x[i : i + 1]) for x in inputs)).detach().numpy()
        np.testing.assert_allclose(alone[0], together[i], rtol=1e-9, atol=1e-11)


# GANs


def test_batch_norm_is_where_it_belongs():
    def kinds(net):
        return [type(layer).__name__ for layer in net.model]

    assert kinds(dcgan.Generator()) == ["ConvTranspose2d", "BatchNorm2d", "ReLU"] * 2 + [
        "ConvTranspose2d",
        "Tanh",
    ]
    inner = ["Conv2d", "BatchNorm2d", "LeakyReLU"]
    assert kinds(dcgan.Discriminator()) == ["Conv2d", "LeakyReLU", *inner, "Conv2d"]
    norms = [(m.eps, m.momentum) for m in dcgan.Generator().modules() if isinstance(m, nn.BatchNorm2d)]
    assert norms == [(1e-5, 0.1)] * 2
    assert [(m.eps, m.momentum) for m in gan.Generator().modules() if isinstance(m, nn.BatchNorm1d)] == [
        (0.8, 0.1)
    ] * 3


def test_initial_weights_of_dcgan():
    tinygen.manual_seed(1)
    for net in dcgan.Generator(), dcgan.Discriminator():
        for name, p in net.named_parameters():
            values, scale = p.detach().numpy(), 4 / np.sqrt(p.numel())
            if name.endswith("bias"):
                assert not values.any()
            else:
                assert values.mean() == pytest.approx(float(values.ndim == 1), abs=0.02 * scale)
                assert values.std() == pytest.approx(0.02, rel=scale)


# benchmarks and listings


@pytest.mark.parametrize(
    "name, make", [("gan", "adversarial"), ("dcgan", "adversarial"), ("networks.dit", "denoising")]
)
def test_benchmark_steps_are_the_same_under_both(name, make, torch):
    steps = [getattr(step_networks, make)(side(lib), module(name, lib), 3) for lib in (tinygen, torch)]
    ours, theirs = (step() for step in steps)
    for a, b in zip(*(x if isinstance(x, tuple) else [x] for x in (ours, theirs))):
        assert a.dtype == tinygen.float32 and a.item() == pytest.approx(b.item(), rel=1e-5)


def test_networks_without_training_are_not_listed():
    assert not {"adversarial", "unet", "dit", "embeddings"} & set(cli.models())
