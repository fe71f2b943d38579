"""`python -m tinygen.benchmarks.versions`: two versions, timed in turns."""

import json
import sys

import pytest


def test_two_versions_in_turns(capsys, tmp_path):
    """Here twice the same version; the figures are not checked."""
    from tinygen.benchmarks import versions

    told = tmp_path / "versions.json"
    versions.main([sys.executable, "vae", "--repeat", "2", "--json", str(told)])
    row = json.loads(told.read_text())["steps"]["vae"]
    assert row["this"] >= row["this_min"] > 0 and row["other"] >= row["other_min"] > 0 and row["ratio"] > 0
    with pytest.raises(SystemExit, match="cannot run"):
        versions.main(["/bin/true", "vae"])


def test_operations_of_two_versions_in_turns(tmp_path):
    from tinygen.benchmarks import versions

    told, names = tmp_path / "versions.json", ["tanh-1-backward", "chain", "chain-backward", "import"]
    versions.main([sys.executable, *names, "--repeat", "1", "--processes", "2", "--json", str(told)])
    steps = json.loads(told.read_text())["steps"]
    assert list(steps) == names
    assert all(row["this_min"] > 0 and len(row["ratios"]) == 2 for row in steps.values())
    assert (
        steps["chain"]["this_min"] < steps["import"]["this_min"]
    )  # milliseconds of one operation, and of the import
