"""`python -m tinygen.benchmarks.same_bits`: what it compares, and that it notices what differs."""

import json
import sys

import numpy as np
import pytest
from safetensors.numpy import save_file

from tinygen.benchmarks import same_bits
from tinygen.benchmarks.same_bits import Report, Version


class OtherSeed(Version):
    """A version that draws other numbers"""

    def __call__(self, *arguments, **options):
        return super().__call__(*arguments, "--seed", "1", **options)


@pytest.mark.parametrize("kind, same", [(Version, True), (OtherSeed, False)])
def test_the_first_losses_and_their_checkpoint(tmp_path, capsys, kind, same):
    versions = [Version(sys.executable, tmp_path / "this", 1), kind(sys.executable, tmp_path / "other", 1)]
    for version in versions:
        version.folder.mkdir()
    report = Report()
    same_bits.check_beginning("vae", *versions, [], 2, report)
    losses, checkpoint = report.checks
    assert losses["compared"] == "6 numbers of 2 steps" and "42 tensors" in checkpoint["compared"]
    assert report.different() == ([] if same else [losses, checkpoint])
    assert capsys.readouterr().out.count("same" if same else "DIFFERENT: ") == 2
    if not same:
        assert (
            losses["differences"][0].startswith("step 1 loss 0x")
            and "metadata: config" in checkpoint["differences"]
        )


def test_one_bit_of_a_checkpoint_and_of_its_metadata(tmp_path):
    paths = [tmp_path / "a", tmp_path / "b"]
    arrays = {"net.weight": np.zeros((2, 3), np.float32), "step": np.array(7)}
    meta = {"step": 7, "seconds": 1.0, "sums": {}}

    def found(arrays, meta):
        save_file(arrays, paths[1], {"tinygen": json.dumps(meta)})
        return same_bits.different_checkpoints(*paths)[1]

    save_file(arrays, paths[0], {"tinygen": json.dumps(meta)})
    assert found(arrays, meta | {"seconds": 2.0}) == []
    assert found(arrays, meta | {"step": 8}) == ["metadata: step"]
    negative = arrays["net.weight"].copy()
    negative[1, 1] = -0.0  # equal to 0, and not the same bits
    assert found(arrays | {"net.weight": negative}, meta) == ["net.weight: 1 of 6 elements"]
    assert found(arrays | {"net.weight": negative.astype(np.float64)}, meta)[0].startswith(
        "net.weight: float32"
    )
    assert found({"step": arrays["step"]}, meta) == ["net.weight: only in one"]


def test_two_logs():
    assert same_bits.different_lines(["1 loss 0x1p+0 1.0"], ["1 loss 0x1p+0 1.0"]) == []
    found = same_bits.different_lines(["1 loss 0x1p+0 1.0"], ["1 loss 0x2p+0 2.0", "2 loss 0x1p+0 1.0"])
    assert found == ["step 1 loss 0x1p+0 1.0, other 1 loss 0x2p+0 2.0", "1 numbers, other 2"]


def test_a_command_that_fails_is_told(tmp_path):
    with pytest.raises(SystemExit, match=r"train nothing exits with 1, expected 0"):
        Version(sys.executable, tmp_path, 1)("train", "nothing")
