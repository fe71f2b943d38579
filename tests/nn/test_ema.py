"""The exponential moving average of the weights."""

import numpy as np
import pytest

import tinygen as tg
from tinygen import nn
from tinygen.optim import EMA
from tinygen.run import checkpoint


def small_net():
    tg.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 1)).double()


def snapshot(net):
    return {n: t.numpy().copy() for n, t in net.state_dict().items()}


def same_arrays(a, b):
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(np.asarray(a[name]), np.asarray(b[name]))


def wander(net, ema, steps=25):
    for step in range(steps):
        rng = np.random.default_rng(step)
        with tg.no_grad():
            for p in net.parameters():
                p.add_(tg.tensor(rng.normal(size=p.shape)))
        net(tg.tensor(rng.normal(size=(4, 2))))  # changes the running statistics
        ema.update()
        yield


@pytest.mark.parametrize("warmup", [True, False])
@pytest.mark.parametrize("decay", [0.5, 0.9999])
def test_ema_is_the_hand_written_average(warmup, decay):
    net = small_net()
    ema = EMA(net, decay, warmup)
    by_hand = {n: p.detach().numpy().copy() for n, p in net.named_parameters()}
    for n, _ in enumerate(wander(net, ema), start=1):
        d = min(decay, (1 + n) / (10 + n)) if warmup else decay
        for name, p in net.named_parameters():
            by_hand[name] = d * by_hand[name] + (1 - d) * p.detach().numpy()
            np.testing.assert_allclose(ema.average[name].numpy(), by_hand[name], rtol=1e-12, atol=1e-12)
    assert ema.updates == n == 25


def test_ema_applied_restores_even_after_an_error_and_leaves_buffers_alone():
    net = small_net()
    ema = EMA(net, 0.9)
    list(wander(net, ema))
    before, buffers = snapshot(net), {n: b.numpy().copy() for n, b in net.named_buffers()}
    weight = net[0].weight
    with pytest.raises(KeyError, match="stop"), ema.applied() as inside:
        assert inside is net and net[0].weight is weight
        same_arrays({n: p.detach().numpy() for n, p in net.named_parameters()}, ema.average)
        same_arrays({n: b.numpy() for n, b in net.named_buffers()}, buffers)
        assert (net[0].weight.detach().numpy() != before["0.weight"]).any()
        with tg.no_grad():
            net[0].weight.fill_(5)  # training inside the block is undone, and does not reach the average
        raise KeyError("stop")
    same_arrays(snapshot(net), before)
    assert not (ema.average["0.weight"].numpy() == 5).any()


def test_ema_applied_between_forward_and_backward_is_an_error():
    net = small_net()
    ema = EMA(net, 0.9)
    list(wander(net, ema, 2))
    y = net[0](tg.ones(1, 2, dtype=tg.float64, requires_grad=True)).sum()
    with ema.applied():
        pass
    with pytest.raises(RuntimeError, match="changed in place"):
        y.backward()


def test_ema_state(tmp_path):
    net = small_net()
    ema = EMA(net, 0.9)
    list(wander(net, ema, 7))
    arrays, rest = checkpoint.flatten(ema.state_dict())
    checkpoint.write(tmp_path / "c", arrays, rest)
    other = EMA(small_net(), 0.9)
    other.load_state_dict(checkpoint.unflatten(*checkpoint.read(tmp_path / "c")))
    assert other.updates == 7
    same_arrays(other.average, ema.average)
    other.module.load_state_dict(net.state_dict())
    for a, b in ((ema, net), (other, other.module)):
        list(wander(b, a, 3))
    same_arrays(other.average, ema.average)

    before = {n: t.numpy().copy() for n, t in other.average.items()}
    state = ema.state_dict()
    for wrong, match in (
        ({**state["average"], "extra": tg.ones(1)}, "missing or unexpected extra"),
        ({"0.weight": tg.ones(3, 2)}, "missing or unexpected 0.bias, "),
        ({**state["average"], "2.bias": tg.ones(1, 1)}, r"size of 2.bias: found \(1, 1\), expected \(1,\)"),
        (
            {**state["average"], "0.bias": tg.ones(1)},
            r"size of 0.bias: found \(1,\)",
        ),  # a shape that would broadcast
    ):
        with pytest.raises(ValueError, match=match):
            other.load_state_dict({"updates": 9, "average": wrong})
        same_arrays(other.average, before)
        assert other.updates == 10
