"""U-Net and DiT: sizes, time and label embeddings, attention, and how they start."""

import numpy as np
import pytest
from support.small_networks import SMALL_DIT, SMALL_UNET, count, normal

import tinygen
from tinygen.benchmarks import step_networks
from tinygen.models.networks import dit, embeddings, unet


def test_parameter_count_of_the_unet():
    conv = lambda a, b, k=3: a * b * k * k + b
    block = lambda a, b: 2 * a + conv(a, b) + 129 * b + 2 * b + conv(b, b) + (conv(a, b, 1) if a != b else 0)
    attention = 2 * 64 + 4 * conv(64, 64, 1)
    time = 32 * 128 + 128 + 128 * 128 + 128
    down = 2 * block(32, 32) + conv(32, 32) + block(32, 64) + block(64, 64) + conv(64, 64) + 2 * block(64, 64)
    middle = 2 * block(64, 64) + attention
    # channels from below, and those of the way down in reverse: 64, 64, 64, then 64, 64, 32, then 32, 32, 32
    up = 3 * block(128, 64) + conv(64, 64) + 2 * block(128, 64) + block(96, 64) + conv(64, 64)
    up += block(96, 32) + 2 * block(64, 32)
    total = time + conv(1, 32) + down + middle + up + 5 * attention + 64 + conv(32, 1)
    assert count(unet.UNet()) == total == 1_623_169


def test_parameter_count_of_the_dit():
    # in squares of the width: adaLN 6, attention 4, MLP 8
    block = 18 * 96 * 96 + (6 + 4 + 5) * 96
    time, label, patch = 256 * 96 + 96 + 96 * 96 + 96, 11 * 96, 16 * 96 + 96
    last = 2 * 96 * 96 + 2 * 96 + 96 * 16 + 16
    assert count(dit.DiT()) == 4 * block + time + label + patch + last == 726_160


# embeddings


@pytest.mark.parametrize("width", [2, 8, 256])
def test_sinusoids_follow_the_formula_of_the_paper(width):
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


def test_outputs_depend_on_the_time():
    for net, more in (unet.UNet(**SMALL_UNET), []), (dit.DiT(**SMALL_DIT), [tinygen.tensor([0, 0])]):
        step_networks.same_weights(net)
        x = tinygen.tensor(np.repeat(normal(1, 1, 8, 8), 2, axis=0).astype(np.float32))
        out = net(x, tinygen.tensor([10, 11]), *more).detach().numpy()
        assert np.abs(out[0] - out[1]).max() > 1e-4


# U-Net


def test_attention_is_at_the_levels_asked_for(monkeypatch):
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
    """softmax(q kᵀ / sqrt(D)) v, one query at a time.  (T, D) each"""
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
    assert (
        not x.grad.numpy().any() and net.last[-1].weight.grad.numpy().any()
    )  # weights that are 0 still learn
    time, h = tinygen.randn(2, 32), tinygen.randn(2, 8, 4, 4)
    block = unet.ResidualBlock(8, 8, 32, 4, 0.0, True).apply(unet.initialize)
    assert np.array_equal(block(h, time).detach().numpy(), h.numpy())


def test_impossible_unets():
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
    assert len(np.unique(out[:, 0, 0, 0])) == 5  # four classes and no class
    with pytest.raises(IndexError):
        net(x[:1], tinygen.tensor([9]), tinygen.tensor([5]))


@pytest.mark.parametrize("wrong", [{"size": 30}, {"heads": 5}, {"width": 6, "heads": 1}])
def test_impossible_dits(wrong):
    with pytest.raises(ValueError, match="DiT: size "):
        dit.DiT(**wrong)
