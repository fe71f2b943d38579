"""`tinygen.save` and `tinygen.load`: weights go to PyTorch and back; damaged or pickled files are rejected."""

import pickle

import numpy as np
import pytest

import tinygen as tg
from tinygen import nn
from tinygen.run.checkpoint import CheckpointError

rng = np.random.default_rng(0)


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


@pytest.fixture
def files():
    return pytest.importorskip("safetensors.torch")


def network(N):
    layers = [
        N.Conv2d(1, 4, 3, padding=1),
        N.BatchNorm2d(4),
        N.PReLU(4),
        N.ConvTranspose2d(4, 2, 2, 2),
        N.GroupNorm(1, 2),
        N.Flatten(),
        N.Linear(2 * 8 * 8, 5, bias=False),
        N.LayerNorm(5),
        N.BatchNorm1d(5, affine=False),
    ]
    return N.ModuleList([N.Sequential(*layers), N.Embedding(3, 2)])


def trained(T, N):
    """A network with weights and running statistics that differ from the initial ones."""
    net = network(N)
    for _ in range(3):
        net[0](T.tensor(rng.normal(size=(6, 1, 4, 4)).astype("float32")))
    return net


def same(a, b):
    assert list(a) == list(b)
    for name in a:
        x, y = a[name].detach().numpy(), b[name].detach().numpy()
        assert x.dtype == y.dtype and x.shape == y.shape
        np.testing.assert_array_equal(x, y)


def test_to_pytorch(torch, files, tmp_path):
    path = tmp_path / "net.safetensors"
    ours, theirs = trained(tg, nn), network(torch.nn)
    tg.save(ours.state_dict(), path)
    result = theirs.load_state_dict(files.load_file(path), strict=True)
    assert not result.missing_keys and not result.unexpected_keys
    same(ours.state_dict(), theirs.state_dict())
    assert theirs[0][1].num_batches_tracked.dtype == torch.int64 and theirs[0][1].num_batches_tracked == 3
    x = rng.normal(size=(5, 1, 4, 4)).astype("float32")
    np.testing.assert_allclose(
        ours.eval()[0](tg.tensor(x)).detach().numpy(),
        theirs.eval()[0](torch.tensor(x)).detach().numpy(),
        rtol=1e-4,
        atol=1e-5,
    )


def test_from_pytorch(torch, files, tmp_path):
    path = tmp_path / "net.safetensors"
    theirs, ours = trained(torch, torch.nn), network(nn)
    files.save_file(theirs.state_dict(), path)
    state = tg.load(path)
    assert list(state) == sorted(theirs.state_dict())
    assert all(isinstance(t, tg.Tensor) and not t.requires_grad for t in state.values())
    assert ours.load_state_dict(state) == ([], [])
    same(ours.state_dict(), theirs.state_dict())
    assert ours[0][1].num_batches_tracked.item() == 3 and ours[0][1].num_batches_tracked.shape == ()


def test_there_and_back(tmp_path):
    net, other = trained(tg, nn), network(nn)
    tg.save(net.state_dict(), tmp_path / "a")
    other.load_state_dict(tg.load(tmp_path / "a"))
    same(net.state_dict(), other.state_dict())
    tg.save(other.state_dict(), str(tmp_path / "b"))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    loaded = tg.load(tmp_path / "a")
    loaded["1.weight"].fill_(7)  # the loaded Tensors are writable and share no memory
    other.load_state_dict(loaded)
    loaded["1.weight"].fill_(8)
    assert (other[1].weight.detach().numpy() == 7).all()


def test_shared_parameters_are_saved_under_each_name(torch, files, tmp_path):
    def tied(N):
        net = N.Sequential(N.Linear(3, 3), N.Linear(3, 3))
        net[1].weight = net[0].weight
        return net

    ours, theirs = tied(nn), tied(torch.nn)
    tg.save(ours.state_dict(), tmp_path / "a")
    theirs.load_state_dict(files.load_file(tmp_path / "a"), strict=True)
    same(ours.state_dict(), theirs.state_dict())


@pytest.mark.parametrize(
    "dtype", ["float16", "float32", "float64", "int8", "uint8", "int16", "int32", "int64", "bool"]
)
def test_dtypes_both_ways(torch, files, tmp_path, dtype):
    array = (rng.normal(size=(3, 5)) * 50).astype(dtype)
    tg.save(
        {"x": tg.tensor(array), "transposed": tg.tensor(array).T, "empty": tg.tensor(array[:0])},
        tmp_path / "a",
    )
    theirs = files.load_file(tmp_path / "a")
    files.save_file({name: t.contiguous() for name, t in theirs.items()}, tmp_path / "b")
    for name, expected in (("x", array), ("transposed", array.T), ("empty", array[:0])):
        for t in theirs[name], tg.load(tmp_path / "a")[name], tg.load(tmp_path / "b")[name]:
            assert t.numpy().dtype == array.dtype
            np.testing.assert_array_equal(t.numpy(), expected)


def test_bfloat16_comes_in_as_float32(torch, files, tmp_path):
    x = torch.tensor([[1.0, -2.5, 3e38, 1e-40, float("inf"), float("nan"), 1 / 3]]).bfloat16()
    files.save_file({"x": x}, tmp_path / "a")
    t = tg.load(tmp_path / "a")["x"]
    assert t.dtype == np.float32 and t.shape == x.shape
    np.testing.assert_array_equal(t.numpy(), x.float().numpy())


def test_half_precision_weights_load_into_float32(torch, files, tmp_path):
    for kind in (torch.float16, torch.bfloat16):
        theirs, ours = torch.nn.Linear(4, 3).to(kind), nn.Linear(4, 3)
        files.save_file(theirs.state_dict(), tmp_path / "a")
        ours.load_state_dict(tg.load(tmp_path / "a"))
        assert ours.weight.dtype == np.float32
        np.testing.assert_array_equal(ours.weight.detach().numpy(), theirs.weight.detach().float().numpy())


def test_pickles_are_refused_and_never_run(torch, tmp_path):
    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    (tmp_path / "a.pkl").write_bytes(pickle.dumps(Bomb()))
    torch.save({"weight": torch.ones(2)}, tmp_path / "b.pt")
    torch.save({"weight": torch.ones(2)}, tmp_path / "c.pt", _use_new_zipfile_serialization=False)
    np.save(tmp_path / "d.npy", np.array([Bomb()], dtype=object), allow_pickle=True)
    for name in ("a.pkl", "b.pt", "c.pt", "d.npy"):
        with pytest.raises(CheckpointError, match=name):
            tg.load(tmp_path / name)
    for name in ("a.pkl", "b.pt", "c.pt"):
        with pytest.raises(CheckpointError, match="refused, not loaded"):
            tg.load(tmp_path / name)
    assert not (tmp_path / "ran").exists()


def test_a_flipped_bit_is_noticed_wherever_it_is(tmp_path):
    path = tmp_path / "a"
    tg.save({"w": tg.tensor([1.0, 2.0]), "n": tg.tensor(3)}, path)
    good = path.read_bytes()
    for bit in range(0, 8 * len(good), 5):
        bad = bytearray(good)
        bad[bit // 8] ^= 1 << bit % 8
        path.write_bytes(bad)
        with pytest.raises(CheckpointError):
            tg.load(path)
    path.write_bytes(good)
    assert tg.load(path)["n"].item() == 3


def test_cut_short_or_missing(tmp_path):
    path = tmp_path / "a"
    tg.save(nn.Linear(2, 2).state_dict(), path)
    good = path.read_bytes()
    for length in (0, 5, 8, 100, len(good) - 1):
        path.write_bytes(good[:length])
        with pytest.raises(CheckpointError, match="cut short"):
            tg.load(path)
    with pytest.raises(CheckpointError, match="no-such-file"):
        tg.load(tmp_path / "no-such-file")


def test_what_cannot_be_saved_says_so_and_leaves_the_old_file(tmp_path):
    path = tmp_path / "a"
    tg.save({"w": tg.ones(2)}, path)
    good = path.read_bytes()
    for wrong, match in (
        (nn.Linear(1, 1), r"save: found a Linear, expected a dict such as net.state_dict\(\)"),
        ({"w": tg.ones(2), "nested": {"a": tg.ones(1)}}, "nested"),
        ({"w": tg.ones(2), "text": "x"}, "text"),
    ):
        with pytest.raises(TypeError, match=match):
            tg.save(wrong, path)
    with pytest.raises(CheckpointError, match="cannot write"):
        tg.save({"w": tg.ones(2)}, tmp_path / "missing folder" / "a")
    assert path.read_bytes() == good and [p.name for p in tmp_path.iterdir()] == ["a"]


def test_a_file_of_another_model_names_what_differs(tmp_path):
    tg.save(nn.Linear(3, 2).state_dict(), tmp_path / "a")
    with pytest.raises(RuntimeError, match=r"size of weight: found \(2, 3\), expected \(2, 4\)"):
        nn.Linear(4, 2).load_state_dict(tg.load(tmp_path / "a"))
    with pytest.raises(
        RuntimeError, match=r"missing 0.weight; missing 0.bias; unexpected bias; unexpected weight"
    ):
        nn.Sequential(nn.Linear(3, 2)).load_state_dict(tg.load(tmp_path / "a"))
