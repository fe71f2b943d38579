"""The networks of models/ that are timed: each file run by PyTorch too, from the same weights; what papers say."""

import importlib
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest

import tinygen
from tinygen import cli, nn
from tinygen.benchmarks import step_networks
from tinygen.benchmarks.torch_twin import torch_twin
from tinygen.models import dcgan, gan
from tinygen.models.networks import dit, embeddings, unet

IMAGE = (1, 28, 28)
SMALL_UNET = {"width": 8, "multipliers": (1, 2), "attention": (False, True), "blocks": 1, "groups": 4}
SMALL_DIT = {"size": 8, "width": 24, "depth": 2, "heads": 3, "classes": 4}

# file, class, arguments, inputs of a batch of n
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


def normal(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).normal(size=shape)


def integers(n, below):
    return np.random.default_rng([n, below]).integers(below, size=n)


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
    """A network under tinygen and the same under PyTorch, in float64, with weights that are nowhere 0."""
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
    """The output, and the gradient of a random linear function of it for every parameter and the first input"""
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
    same_state(ours, theirs)  # BatchNorm's statistics, where it trains


def test_batch_norm_in_train_and_eval():
    """Training uses and moves the statistics, evaluation does neither: an image does not depend on its neighbours."""
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
    # a bias of the keys adds the same to all scores of a query: softmax takes it out
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
    if name == "dcgan":  # real and generated images never share a batch
        generator, discriminator = (ours for ours, _ in pairs)
        assert [int(net.model[i].num_batches_tracked) for net, i in ((generator, 1), (discriminator, 3))] == [
            2,
            6,
        ]


def test_the_adversarial_step_is_that_of_the_seed_programs(torch, monkeypatch):
    """Their networks, by their names, and their loop under PyTorch; sigmoid and BCE where ours has logits."""
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


# what the papers say


def count(net):
    return sum(p.numel() for p in net.parameters())


def test_parameter_counts_of_the_gans():
    # 100-128-256-512-1024-784 with biases, and a scale and a shift for 256 + 512 + 1024 units
    linear = lambda *sizes: sum(a * b + b for a, b in pairwise(sizes))
    assert count(gan.Generator()) == linear(100, 128, 256, 512, 1024, 784) + 2 * 1792 == 1_510_032
    assert count(gan.Discriminator()) == linear(784, 512, 256, 1) == 533_505
    # filters 7x7 and 4x4; BatchNorm in the place of biases, but for the last one
    assert count(dcgan.Generator()) == 100 * 128 * 49 + 256 + 128 * 64 * 16 + 128 + 64 * 16 + 1 == 759_681
    assert count(dcgan.Discriminator()) == 64 * 16 + 64 + 64 * 128 * 16 + 256 + 128 * 49 + 1 == 138_689


def test_parameter_count_of_the_unet():
    conv = lambda a, b, k=3: a * b * k * k + b
    block = lambda a, b: 2 * a + conv(a, b) + 129 * b + 2 * b + conv(b, b) + (conv(a, b, 1) if a != b else 0)
    attention = 2 * 64 + 4 * conv(64, 64, 1)
    time = 32 * 128 + 128 + 128 * 128 + 128
    down = 2 * block(32, 32) + conv(32, 32) + block(32, 64) + block(64, 64) + conv(64, 64) + 2 * block(64, 64)
    middle = 2 * block(64, 64) + attention
    # what is above, and the way down in reverse: three times 64, then 64, 64, 32, then three times 32
    up = 3 * block(128, 64) + conv(64, 64) + 2 * block(128, 64) + block(96, 64) + conv(64, 64)
    up += block(96, 32) + 2 * block(64, 32)
    total = time + conv(1, 32) + down + middle + up + 5 * attention + 64 + conv(32, 1)
    assert count(unet.UNet()) == total == 1_623_169


def test_parameter_count_of_the_dit():
    # adaLN 6, attention 4, network 8 squares of the width each
    block = 18 * 96 * 96 + (6 + 4 + 5) * 96
    time, label, patch = 256 * 96 + 96 + 96 * 96 + 96, 11 * 96, 16 * 96 + 96
    last = 2 * 96 * 96 + 2 * 96 + 96 * 16 + 16
    assert count(dit.DiT()) == 4 * block + time + label + patch + last == 726_160


@pytest.mark.parametrize("n", [1, 3])
def test_shapes_at_the_sizes_that_are_timed(n):
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
    """Attention over the wrong axis, a mixed-up reshape: both would train, and worse."""
    net, inputs = twins(name, torch)[0].eval(), NETWORKS[name][3](3)
    together = net(*map(tinygen.tensor, inputs)).detach().numpy()
    for i in range(3):
        alone = net(*(tinygen.tensor(x[i : i + 1]) for x in inputs)).detach().numpy()
        np.testing.assert_allclose(alone[0], together[i], rtol=1e-9, atol=1e-11)


# embeddings


@pytest.mark.parametrize("width", [2, 8, 256])
def test_sinusoids_by_the_formula_of_the_paper(width):
    times = [0.0, 1.0, 7.0, 500.0, 999.0]
    found = embeddings.sinusoidal_embedding(tinygen.tensor(times, dtype=tinygen.float64), width).numpy()
    for row, t in zip(found, times):
        for i in range(width // 2):  # PE(t, 2i) and PE(t, 2i + 1), section 3.5
            angle = t / 10_000 ** (2 * i / width)
            assert row[i] == pytest.approx(np.sin(angle), abs=1e-12)
            assert row[width // 2 + i] == pytest.approx(np.cos(angle), abs=1e-12)


def test_sinusoids_of_other_inputs():
    whole = embeddings.sinusoidal_embedding(tinygen.tensor([3, 999]), 8)
    assert whole.dtype == tinygen.float32 and whole.shape == (2, 8)
    exact = embeddings.sinusoidal_embedding(tinygen.tensor([3, 999]).double(), 8)
    np.testing.assert_allclose(whole.numpy(), exact.numpy(), atol=1e-4)  # float32 angles up to 999
    assert embeddings.sinusoidal_embedding(tinygen.zeros(0), 8).shape == (0, 8)
    with pytest.raises(ValueError, match="width is 7"):
        embeddings.sinusoidal_embedding(tinygen.zeros(1), 7)


def test_networks_hear_the_time():
    for net, more in (unet.UNet(**SMALL_UNET), []), (dit.DiT(**SMALL_DIT), [tinygen.tensor([0, 0])]):
        step_networks.same_weights(net)
        x = tinygen.tensor(np.repeat(normal(1, 1, 8, 8), 2, axis=0).astype(np.float32))
        out = net(x, tinygen.tensor([10, 11]), *more).detach().numpy()
        assert np.abs(out[0] - out[1]).max() > 1e-4


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


# U-Net


def test_attention_is_where_it_is_said(monkeypatch):
    seen = []
    attend = unet.F.scaled_dot_product_attention
    monkeypatch.setattr(
        unet.F, "scaled_dot_product_attention", lambda q, k, v: seen.append(tuple(q.shape)) or attend(q, k, v)
    )
    x, t = tinygen.zeros(1, 1, 28, 28), tinygen.tensor([5])
    with tinygen.no_grad():
        unet.UNet()(x, t)
        assert seen == [(1, 196, 64)] * 2 + [(1, 49, 64)] + [(1, 196, 64)] * 3  # 14x14, the middle, 14x14
        seen.clear()
        unet.UNet(attention=(False, False, True))(x, t)
        assert seen == [(1, 49, 64)] * (2 + 1 + 3)


def attention_by_hand(q, k, v):
    """(T, D) each: each query's softmax over all keys, of scores over sqrt(D)"""
    out = np.empty_like(q)
    for i in range(len(q)):
        weights = np.exp([q[i] @ key / np.sqrt(q.shape[1]) for key in k])
        out[i] = sum(w * value for w, value in zip(weights / weights.sum(), v))
    return out


def test_attention_of_the_unet_by_hand():
    net = unet.SelfAttention(4, 2).double()
    step_networks.same_weights(net)
    x = normal(2, 4, 3, 2)
    h = net.norm(tinygen.tensor(x)).detach().numpy().reshape(2, 4, 6)
    q, k, v, out = (
        p.weight.detach().double().numpy().reshape(4, 4) for p in (net.query, net.key, net.value, net.out)
    )
    expected = [out @ attention_by_hand((q @ a).T, (k @ a).T, (v @ a).T).T for a in h]
    np.testing.assert_allclose(
        net(tinygen.tensor(x)).detach().numpy(), x + np.reshape(expected, x.shape), rtol=1e-10
    )


def test_the_unet_starts_at_zero():
    tinygen.manual_seed(2)
    net = unet.UNet(**SMALL_UNET)
    x, t = tinygen.tensor(normal(2, 1, 8, 8).astype(np.float32)).requires_grad_(), tinygen.tensor([3, 900])
    out = net(x, t)
    assert not out.detach().numpy().any()
    out.sum().backward()
    assert not x.grad.numpy().any() and net.last[-1].weight.grad.numpy().any()  # what is 0 still learns
    time, h = tinygen.randn(2, 32), tinygen.randn(2, 8, 4, 4)
    block = unet.ResidualBlock(8, 8, 32, 4, 0.0, True).apply(unet.initialize)
    assert np.array_equal(block(h, time).detach().numpy(), h.numpy())


def test_a_unet_that_cannot_be():
    with pytest.raises(ValueError, match=r"3 multipliers \(1, 2, 2\) and 2 of attention"):
        unet.UNet(attention=(False, True))
    with pytest.raises(ValueError, match="found images of 10 x 10, expected multiples of 4"):
        unet.UNet()(tinygen.zeros(1, 1, 10, 10), tinygen.tensor([1]))


def test_dropout_of_the_unet():
    net = unet.UNet(**SMALL_UNET, dropout=0.5)
    step_networks.same_weights(net)
    x, t = tinygen.tensor(normal(1, 1, 8, 8).astype(np.float32)), tinygen.tensor([7])
    first, second = (net(x, t).detach().numpy() for _ in range(2))
    assert not np.array_equal(first, second)
    first, second = (net.eval()(x, t).detach().numpy() for _ in range(2))
    assert np.array_equal(first, second)


# DiT


def test_the_dit_starts_at_zero():
    tinygen.manual_seed(3)
    net = dit.DiT(**SMALL_DIT)
    x = tinygen.tensor(normal(2, 1, 8, 8).astype(np.float32)).requires_grad_()
    out = net(x, tinygen.tensor([3, 900]), tinygen.tensor([0, 4]))
    assert not out.detach().numpy().any()
    out.sum().backward()
    assert not x.grad.numpy().any() and net.last.weight.grad.numpy().any()
    tokens, condition = tinygen.randn(2, 4, 24), tinygen.randn(2, 24)
    assert np.array_equal(net.blocks[0](tokens, condition).detach().numpy(), tokens.numpy())


def test_initial_weights_of_the_dit():
    tinygen.manual_seed(4)
    net = dit.DiT()
    assert net.label.weight.detach().numpy().std() == pytest.approx(0.02, rel=0.1)
    assert net.time.net[0].weight.detach().numpy().std() == pytest.approx(0.02, rel=0.03)
    for weight, fan_in, fan_out in (net.embed.weight, 16, 96), (net.blocks[0].qkv.weight, 96, 288):
        bound = np.sqrt(6 / (fan_in + fan_out))
        assert 0.98 * bound < np.abs(weight.detach().numpy()).max() < bound


def test_attention_of_the_dit_by_hand():
    block = dit.Block(6, 2).double()
    x = normal(1, 5, 6)
    heads = np.split(block.qkv(tinygen.tensor(x)).detach().numpy()[0], 6, axis=1)  # q q k k v v, 3 wide each
    together = np.concatenate([attention_by_hand(*heads[i::2]) for i in range(2)], axis=1)
    expected = block.out(tinygen.tensor(together)).detach().numpy()
    np.testing.assert_allclose(block.attend(tinygen.tensor(x)).detach().numpy()[0], expected, rtol=1e-10)


def test_patches_and_positions_are_in_order():
    net = dit.DiT(channels=2, size=12, patch=4, width=8, heads=2)
    tokens = normal(2, 9, 32)
    image = net.image(tinygen.tensor(tokens)).numpy()
    assert image.shape == (2, 2, 12, 12)
    for row, column, channel in (0, 0, 0), (3, 5, 1), (11, 4, 0), (6, 9, 1):
        patch, inside = row // 4 * 3 + column // 4, row % 4 * 4 + column % 4
        assert np.array_equal(image[:, channel, row, column], tokens[:, patch, inside * 2 + channel])
    sinusoid = lambda p: [np.sin(p), np.sin(p / 100), np.cos(p), np.cos(p / 100)]
    expected = [sinusoid(row) + sinusoid(column) for row in range(3) for column in range(3)]
    np.testing.assert_allclose(net.positions.numpy(), expected, atol=1e-6)
    moved = [np.zeros((1, 2, 12, 12), np.float32) for _ in range(2)]
    moved[1][0, :, 5, 9] = 1  # row 1, column 2 of the patches
    before, after = (net.embed(tinygen.tensor(x)).flatten(2).transpose(1, 2).detach().numpy() for x in moved)
    assert np.flatnonzero((before != after).any((0, 2))).tolist() == [5]


def test_labels_of_the_dit():
    net = dit.DiT(**SMALL_DIT)
    step_networks.same_weights(net)
    x = tinygen.tensor(np.repeat(normal(1, 1, 8, 8), 5, axis=0).astype(np.float32))
    out = net(x, tinygen.tensor([9] * 5), tinygen.tensor(np.arange(5))).detach().numpy()
    assert len(np.unique(out[:, 0, 0, 0])) == 5  # four classes and none
    with pytest.raises(IndexError):
        net(x[:1], tinygen.tensor([9]), tinygen.tensor([5]))


@pytest.mark.parametrize("wrong", [{"size": 30}, {"heads": 5}, {"width": 6, "heads": 1}])
def test_a_dit_that_cannot_be(wrong):
    with pytest.raises(ValueError, match="DiT: size "):
        dit.DiT(**wrong)


# what is timed, what is listed


@pytest.mark.parametrize(
    "name, make", [("gan", "adversarial"), ("dcgan", "adversarial"), ("networks.dit", "denoising")]
)
def test_what_is_timed_is_the_same_under_both(name, make, torch):
    steps = [getattr(step_networks, make)(side(lib), module(name, lib), 3) for lib in (tinygen, torch)]
    ours, theirs = (step() for step in steps)
    for a, b in zip(*(x if isinstance(x, tuple) else [x] for x in (ours, theirs))):
        assert a.dtype == tinygen.float32 and a.item() == pytest.approx(b.item(), rel=1e-5)


def test_networks_without_training_are_not_listed():
    assert not {"adversarial", "unet", "dit", "embeddings"} & set(cli.models())
