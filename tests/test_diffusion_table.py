"""The README's diffusion tables: what is measured, kept and told, on a tiny run and on made-up figures."""

import json

import pytest
from test_ddpm import small_data  # noqa: F401

from tinygen.benchmarks import diffusion_table as table
from tinygen.cli import Parser
from tinygen.flags import add_flags, flags_of, make_config
from tinygen.models import adversarial, ddpm
from tinygen.models.samplers import Sampling
from tinygen.run import Run

FIGURES = {"fd": 2.0, "kid": 0.1, "inception_score": 9.0, "precision": 0.8, "recall": 0.9, "accuracy": 0.95}
FIGURES |= {"bits_per_dim": 1.5, "bits_per_dim_se": 0.01, "prior_kl": 1e-5, "steps_bits": 1.3}
FIGURES |= {"reconstruction_bits": 0.2, "top_probability": 0.94}


def row(name, **measures):
    command = f"tinygen train {table.TRAIN[name]}"
    return {"command": command, "steps": 4, "minutes": 9.5, "threads": 1, "measures": measures}


@pytest.mark.parametrize("name", table.TRAIN)
def test_every_command_and_every_sampler_can_be(name):
    model, *flags = table.TRAIN[name].split()
    assert model == "ddpm"
    parser = Parser(prog=name)
    add_flags(parser, flags_of(ddpm.Config))
    config = make_config(ddpm.Config, parser.parse(flags))
    assert name == "base" or config != ddpm.Config(data="mnist")
    keys = [key for key, _, flags in table.measurements(name) if Sampling(**flags)]
    assert len(set(keys)) == len(keys)


def test_measuring_goes_on_where_it_stopped(tmp_path, monkeypatch, small_data):  # noqa: F811
    config = ddpm.Config(
        data="mnist", steps=2, batch=4, width=8, conditional=True, noise_levels=30, net="dit"
    )
    ddpm.train(config, Run.create("ddpm", config, tmp_path / "conditional"))
    monkeypatch.setattr(table, "RESULTS", tmp_path / "diffusion.json")
    monkeypatch.setattr(table, "SAMPLES", 4)
    monkeypatch.setattr(table, "BOUND_IMAGES", 3)
    measured = []

    def images_only(run, draw, data, folder, labels):
        measured.append(len(draw()))
        return {"fd": 1.0, "fd_floor": 0.2, "labels": len(labels)}

    monkeypatch.setattr(adversarial, "measured", images_only)
    monkeypatch.setattr("tinygen.data.load", ddpm.load)
    assert table.main(["measure", "conditional", "--runs", str(tmp_path), "--only", "default"]) == 0
    assert table.main(["measure", "conditional", "--runs", str(tmp_path)]) == 0
    assert table.main(["measure", "conditional", "--runs", str(tmp_path)]) == 0
    assert measured == [4] * (1 + len(table.GUIDANCES))
    kept = json.loads((tmp_path / "diffusion.json").read_text())["conditional"]
    assert kept["steps"] == 2 and kept["command"] == "tinygen train ddpm --data mnist --conditional"
    assert kept["measures"]["guidance 2"] == {"fd": 1.0, "labels": 4}
    assert kept["measures"]["default"]["bound_images"] == 3


def test_orderings_are_told_as_they_come_out():
    fd = {
        "ddim, η 0, 10 steps": 5.0,
        "ddim, η 0, 20 steps": 4.0,
        "ddim, η 1, 10 steps": 9.0,
        "ddim, η 0.5, 10 steps": 6.0,
        "ddim, η 0.5, 20 steps": 3.5,
        "ancestral, variance β, 10 steps": 80.0,
    }
    text = table.tables({"base": row("base", **{key: FIGURES | {"fd": value} for key, value in fd.items()})})
    assert "- ddim, η 0 better than ddim, η 0.5: yes with 10 steps; no with 20." in text
    assert "- ddim, η 1 better than ancestral, variance β: yes with 10 steps." in text
    assert "- dpm-solver++ better than ddim, η 0: not measured." in text
    assert "| ddim, η 0 | 5.00 / 0.100 | 4.00 / 0.100 |  |  |  | 13.36 / 6.84 / 4.67 / 4.16 / 4.04 |" in text

    rows = {name: row(name, default=dict(FIGURES)) for name in ("base", "linear", "eps", "bound")}
    rows["bound"]["measures"]["default"] |= {"fd": 9.0, "bits_per_dim": 1.4}
    rows["base"]["measures"]["default"] |= {"fd": 2.5}
    text = table.tables(rows)
    assert "L_simple has the lower FD: yes; the bound as a loss has the lower bound: yes" in text
    assert "cosine has a lower FD than linear: no; cosine has a lower bound than linear: no." in text
    assert "| `train ddpm --data mnist --predict eps --loss bound` | 9.5 (1) | 9.00 |" in text


def test_guidance_and_averages():
    scales = {f"guidance {scale:g}": FIGURES | {"recall": 0.9 - 0.1 * scale} for scale in table.GUIDANCES}
    text = table.tables(
        {
            "base": row("base", default=FIGURES, **{"raw weights": FIGURES | {"fd": 3.0}}),
            "conditional": row("conditional", **scales),
        }
    )
    assert "| 4 | 95.0 % | 0.800 | 0.500 | 2.00 |" in text
    assert "have FD 2.00 and KID 0.1000, the last ones 3.00" in text
    assert table.tables({}) == "Not measured yet."
