import json
import os
import pickle
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from tinygen.run import checkpoint
from tinygen.run.checkpoint import CheckpointError

rng = np.random.default_rng(0)
ARRAYS = {
    "fc.weight": rng.normal(size=(3, 4)).astype(np.float32),
    "norm.num_batches_tracked": np.array(7),
    "mask": np.array([True, False, True]),
    "half": np.arange(3, dtype=np.float16),
    "empty größe": np.zeros((0, 5)),  # \u00f6 and \u00F6 are one bit apart and one letter
}


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "c.safetensors"
    checkpoint.write(path, ARRAYS, {"step": 3})
    return path


def same(a, b):
    assert a.keys() == b.keys()
    for name in a:
        assert a[name].dtype == b[name].dtype and a[name].shape == b[name].shape
        np.testing.assert_array_equal(a[name], b[name])


def refused(path, words):
    for reader in checkpoint.read, checkpoint.load_state:
        with pytest.raises(CheckpointError, match=words) as e:
            reader(path)
        assert str(path) in str(e.value) and "\n" not in str(e.value)


def test_round_trip_and_equal_files_for_equal_contents(saved, tmp_path):
    arrays, meta = checkpoint.read(saved)
    same(arrays, ARRAYS)
    assert meta == {"step": 3} and all(a.flags.writeable for a in arrays.values())
    checkpoint.write(tmp_path / "again", dict(reversed(ARRAYS.items())), {"step": 3})
    assert (tmp_path / "again").read_bytes() == saved.read_bytes()
    assert sorted(os.listdir(tmp_path)) == ["again", "c.safetensors"]


def test_arrays_that_are_not_contiguous_or_little_endian(tmp_path):
    a = np.arange(6.0).reshape(2, 3)
    checkpoint.write(tmp_path / "c", {"t": a.T, "step": a[:, 1], "big": a.astype(">f8")}, {})
    same(checkpoint.read(tmp_path / "c")[0], {"t": a.T, "step": a[:, 1], "big": a})


def test_nested_state_round_trip():
    x = np.arange(4.0)
    nested = {
        "optimizer": {
            "state": {0: {"step": np.array(3.0), "exp_avg": x}, 1: {}},
            "param_groups": [{"lr": 0.1 + 0.2, "betas": (0.9, 0.999), "params": [0, 1], "foreach": None}],
        },
        "a": {"b": x + 1},
        "a.b": x + 2,
        "$tag": float("inf"),
        "scalar": np.float32(0.1),
        "big": 2**70,
        "flag": True,
        "": x + 3,
    }
    arrays, part = checkpoint.flatten(nested)
    back = checkpoint.unflatten(arrays, json.loads(json.dumps(part)))
    assert repr(back) == repr(nested)
    assert isinstance(back["scalar"], np.float32)
    assert "optimizer.state.0.exp_avg" in arrays


def test_what_cannot_be_stored_is_named():
    with pytest.raises(TypeError, match=r"a\.1 is a set"):
        checkpoint.flatten({"a": [1, {2}]})
    with pytest.raises(TypeError, match="object"):
        checkpoint.flatten({"a": np.array([None])})


def test_tensors_are_known_by_their_data():
    class Tensor:
        _data = np.arange(3.0)

    arrays, part = checkpoint.flatten([Tensor()])
    np.testing.assert_array_equal(checkpoint.unflatten(arrays, part)[0], Tensor._data)


@pytest.mark.parametrize("reader", [checkpoint.read, checkpoint.load_state])
def test_every_flipped_bit_is_noticed(saved, reader):
    good = saved.read_bytes()
    assert len(good) < 900
    for bit in range(8 * len(good)):
        bad = bytearray(good)
        bad[bit // 8] ^= 1 << bit % 8
        saved.write_bytes(bad)
        with pytest.raises(CheckpointError):
            reader(saved)
            pytest.fail(f"bit {bit} not noticed: {bytes(bad)}")


def test_random_bits_of_a_larger_file(tmp_path):
    path = tmp_path / "c"
    checkpoint.write(path, {f"layer.{i}": rng.normal(size=(40, 50)) for i in range(4)}, {})
    good = path.read_bytes()
    for bit in rng.integers(0, 8 * len(good), 200):
        bad = bytearray(good)
        bad[bit // 8] ^= 1 << bit % 8
        path.write_bytes(bad)
        with pytest.raises(CheckpointError):
            checkpoint.read(path)


def test_every_truncation_is_noticed(saved):
    good = saved.read_bytes()
    for length in range(0, len(good), 7):
        saved.write_bytes(good[:length])
        refused(saved, "cut short|damaged|found")
    saved.write_bytes(good[:-1])
    refused(saved, f"cut short: found {len(good) - 1} bytes, expected {len(good)}")
    saved.write_bytes(good + b"\0")
    refused(saved, f"damaged: found {len(good) + 1} bytes, expected {len(good)}")
    saved.write_bytes((0x880).to_bytes(8, "little") + b'{"')  # a header length that begins like a pickle
    refused(saved, "cut short: found 10 bytes, expected a header of 2176 and data")


class Trap:
    def __reduce__(self):
        return os._exit, (66,)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_pickle_is_refused_and_never_loaded(tmp_path, protocol):
    path = tmp_path / "c.safetensors"
    path.write_bytes(pickle.dumps(Trap(), protocol=protocol))
    refused(path, "a Python pickle, expected a safetensors file; refused, not loaded")


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "c.safetensors"
    with zipfile.ZipFile(path, "w") as z:
        z.writestr("archive/data.pkl", pickle.dumps(Trap()))
    refused(path, "zip archive")
    path.write_bytes(b"")
    refused(path, "found 0 bytes")
    path.write_bytes((2**60).to_bytes(8, "little") + b"{" + b" " * 99)
    refused(path, "start of a safetensors file")
    path.write_bytes((2000).to_bytes(8, "little") + b"{}")
    refused(path, "cut short")
    path.write_bytes((99_999).to_bytes(8, "little") + b'{"a":' + b"[" * 99_994)
    refused(path, "damaged")
    header = b'{"a":{"dtype":"F32","shape":[1099511627776],"data_offsets":[0,4398046511104]}}'
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    refused(path, "cut short: found 86 bytes, expected 4398046511190")
    refused(tmp_path, "folder")
    refused(tmp_path / "none", "No such file")


def test_a_foreign_file_is_a_state_but_no_checkpoint(tmp_path):
    from safetensors.numpy import save_file

    path = tmp_path / "foreign.safetensors"
    save_file(ARRAYS, path, {"format": "pt"})
    same(checkpoint.load_state(path), ARRAYS)
    with pytest.raises(CheckpointError, match="without tinygen's sha256"):
        checkpoint.read(path)


def test_state_dicts_go_to_pytorch_and_back(tmp_path):
    torch = pytest.importorskip("torch")
    from safetensors.torch import load_file, save_file

    state = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4)).state_dict()
    save_file(state, tmp_path / "torch")
    ours = checkpoint.load_state(tmp_path / "torch")
    assert ours["1.num_batches_tracked"].shape == () and ours["1.num_batches_tracked"].dtype == np.int64
    checkpoint.save_state(ours, tmp_path / "ours")
    theirs = load_file(tmp_path / "ours")
    assert theirs.keys() == state.keys()
    assert all(
        torch.equal(theirs[key], state[key]) and theirs[key].dtype == state[key].dtype for key in state
    )

    x = torch.randn(50)
    save_file({"x": x.bfloat16(), "h": x.half()}, tmp_path / "low")
    low = checkpoint.load_state(tmp_path / "low")
    assert low["x"].dtype == np.float32 and low["h"].dtype == np.float16
    np.testing.assert_array_equal(low["x"], x.bfloat16().float().numpy())

    save_file({"x": x.to(torch.float8_e4m3fn)}, tmp_path / "low")
    with pytest.raises(CheckpointError, match="F8_E4M3"):
        checkpoint.load_state(tmp_path / "low")


def test_the_first_parameter_that_is_not_finite():
    class Part:
        def __init__(self, **arrays):
            self.state_dict = lambda: arrays

    class Net(Part):
        def named_parameters(self):
            yield "w", None

    inf, nan, good = np.array([0, np.inf]), np.array([0, np.nan]), np.zeros(2)
    assert checkpoint.first_non_finite({"net": Net(w=good, mask=-inf), "ema": Part(mask=inf, n=good)}) is None
    assert checkpoint.first_non_finite({"net": Net(mask=inf, w=inf)}) == "net.w"
    assert checkpoint.first_non_finite({"net": Net(w=good, mean=nan)}) == "net.mean"
    assert (
        checkpoint.first_non_finite({"net": Net(w=good), "adam": Part(state={0: {"v": nan}})})
        == "adam.state.0.v"
    )


@pytest.mark.parametrize("where", ["file/c", "/proc/c", "none/c", "folder"])
def test_a_path_that_cannot_be_written(tmp_path, where):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    with pytest.raises(CheckpointError, match="cannot write"):
        checkpoint.write(tmp_path / where, ARRAYS, {})
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]


def test_a_full_disk_keeps_the_last_checkpoint(saved):
    good = saved.read_bytes()
    program = f"""
import numpy as np, resource, sys
from tinygen.run import checkpoint
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    checkpoint.write({str(saved)!r}, {{"x": np.zeros(50_000)}}, {{}})
except checkpoint.CheckpointError as e:
    sys.exit(str(e))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == f"{saved}: cannot write the checkpoint: File too large\n"
    assert saved.read_bytes() == good
    assert os.listdir(saved.parent) == [saved.name]
