"""The diffusion tables: measuring, saving and reporting, on a tiny run and on made-up figures."""

import json

import pytest
from support.small_ddpm import load

from tinygen.benchmarks.tables import diffusion as table
from tinygen.metrics.frechet import expect_enough
from tinygen.metrics.images import FEATURES
from tinygen.models import ddpm
from tinygen.models.diffusion import samplers
from tinygen.models.diffusion.samplers import Sampling
from tinygen.models.shared import measures
from tinygen.run.flags import Parser, add_flags, flags_of, make_config
from tinygen.run.training import Run

FIGURES = {"fd": 2.0, "kid": 0.1, "inception_score": 9.0, "precision": 0.8, "recall": 0.9, "accuracy": 0.95}
FIGURES |= {"bits_per_dim": 1.5, "bits_per_dim_se": 0.01, "prior_kl": 1e-5, "steps_bits": 1.3}
FIGURES |= {"reconstruction_bits": 0.2, "top_probability": 0.94}


def row(name, **measures):
    command = f"tinygen train {table.TRAIN[name]}"
    return {"command": command, "minutes": 9.5, "threads": 1, "measures": measures}


@pytest.mark.parametrize("name", table.TRAIN)
def test_every_command_and_every_sampler_can_be(name):
    model, *flags = table.TRAIN[name].split()
    assert model == "ddpm"
    parser = Parser(prog=name)
    add_flags(parser, flags_of(ddpm.Config))
    config = make_config(ddpm.Config, parser.parse(flags))
    others = [command for other, command in table.TRAIN.items() if other != name]
    assert table.TRAIN[name] not in others
    keys = []
    for key, n, flags in table.measurements(name):
        keys.append(key)
        expect_enough(n, FEATURES)
        sampling, schedule = make_config(Sampling, flags), ddpm.schedule_of(config)
        samplers.rule_of(sampling, schedule, None, config.variance)
        assert len(samplers.visited(sampling, schedule)) > 1
    assert len(set(keys)) == len(keys)


def test_measuring_goes_on_where_it_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(ddpm, "load", load)
    command = "ddpm --data mnist --steps 2 --batch 4 --width 8 --conditional --noise-levels 30 --net dit"
    values = dict(steps=2, batch=4, width=8, conditional=True, noise_levels=30, net="dit")
    config = ddpm.Config(data="mnist", **values)
    ddpm.train(config, Run.create("ddpm", config, tmp_path / "conditional"))
    with pytest.raises(SystemExit, match=r"is .*, that of `train ddpm --data mnist --conditional` is"):
        table.main(["measure", "conditional", "--runs", str(tmp_path)])
    monkeypatch.setitem(table.TRAIN, "conditional", command)
    monkeypatch.setattr(table, "RESULTS", tmp_path / "diffusion.json")
    monkeypatch.setattr(table, "SAMPLES", 4)
    monkeypatch.setattr(table, "BOUND_IMAGES", 3)
    measured = []

    def images_only(run, n, draw, data, folder, labels):
        measured.append(len(draw()))
        return {"fd": 1.0, "fd_floor": 0.2, "labels": len(labels)}

    monkeypatch.setattr(measures, "measured", images_only)
    monkeypatch.setattr("tinygen.data.load", load)
    assert table.main(["measure", "conditional", "--runs", str(tmp_path), "--only", "default"]) == 0
    assert table.main(["measure", "conditional", "--runs", str(tmp_path)]) == 0
    assert table.main(["measure", "conditional", "--runs", str(tmp_path)]) == 0
    assert measured == [4] * len(table.GUIDANCES)  # guidance 1 is the default
    kept = json.loads((tmp_path / "diffusion.json").read_text())["conditional"]
    assert kept["command"] == f"tinygen train {command}"
    assert kept["measures"]["guidance 2"] == {"fd": 1.0, "labels": 4}
    assert kept["measures"]["default"]["bound_images"] == 3

    # another run of the same name is measured from the beginning
    kept["minutes"] += 1
    (tmp_path / "diffusion.json").write_text(json.dumps({"conditional": kept}))
    table.main(["measure", "conditional", "--runs", str(tmp_path), "--only", "guidance 2"])
    anew = json.loads((tmp_path / "diffusion.json").read_text())["conditional"]
    assert anew["measures"].keys() == {"guidance 2"} and anew["minutes"] < kept["minutes"]


def test_orderings_are_told_as_they_come_out():
    fd = {
        "ddim, η 0, 10 steps": 5.0,
        "ddim, η 0, 20 steps": 4.0,
        "ddim, η 1, 10 steps": 9.0,
        "ddim, η 0.5, 10 steps": 6.0,
        "ddim, η 0.5, 20 steps": 3.5,
        "ancestral, variance β, 10 steps": 80.0,
    }
    kid = {"ddim, η 0, 100 steps": 0.1, "ddim, η 0, 1000 steps": 0.2}
    kid |= {"ddim, η 1, 100 steps": 0.4, "ddim, η 1, 1000 steps": 0.3}
    measures = {key: FIGURES | {"fd": value} for key, value in fd.items()}
    measures |= {key: FIGURES | {"kid": value} for key, value in kid.items()}
    text = table.tables({"base": row("base", **measures)})
    assert "- ddim, η 0 better than ddim, η 0.5: yes with 10 steps; no with 20 steps." in text
    assert "- ddim, η 1 better than ancestral, variance β: yes with 10 steps." in text
    assert "- dpm-solver++ better than ddim, η 0: not measured." in text
    assert "- 1,000 steps better than 100, by KID: yes for ddim, η 1; no for ddim, η 0." in text
    assert (
        "| ddim, η 0.5 | 6.00 / 0.100 | 3.50 / 0.100 |  |  |  | 16.66 / 8.35 / 5.25 / 4.46 / 4.29 |" in text
    )
    assert (
        "`tinygen train ddpm --data mnist` (9.5 minutes); 2,048 images, but 1,000 with 1,000 steps, which alone"
        in text
    )

    names = "eps", "paper", "bound", "eps-1000", "learned-1000"
    rows = {name: row(name, default=dict(FIGURES)) for name in names}
    rows["bound"]["measures"]["default"] |= {"fd": 9.0, "bits_per_dim": 1.4}
    rows["eps"]["measures"]["default"] |= {"fd": 2.5, "bits_per_dim": 1.45}
    rows["learned-1000"]["measures"] |= {table.DRAWN: FIGURES | {"fd": 7.0}}
    text = table.tables(rows)
    assert "L_simple has a lower FD than the bound (Ho et al., table 2): yes; " in text
    assert "the bound as a loss has the lower bound (the same table): yes; " in text
    assert "cosine has a lower FD than linear (Nichol & Dhariwal 2021, on ImageNet 64): no; " in text
    assert "cosine has a lower bound than linear (the same): yes; " in text
    assert "a learned variance has a lower bound than a fixed one: no." in text
    assert f"| `train {table.TRAIN['bound']}` | 9.5 (1) | 9.00 |" in text
    assert "| 0.800 | 0.900 | 7.00 | 1.500 ± 0.010 |" in text and "| 0.900 |  | 1.500 ± 0.010 |" in text

    only_bound = {key: FIGURES[key] for key in FIGURES if "bits" in key or key == "prior_kl"}
    text = table.tables({"cifar10": row("cifar10", default=only_bound)})
    assert "| 9.5 (1) |  |  |  |  |  |  |  | 1.500 ± 0.010 |" in text


def test_guidance_and_averages():
    scales = {
        f"guidance {scale:g}": FIGURES
        | {"recall": 0.9 - 0.1 * scale, "accuracy": 0.99 - abs(scale - 2) / 100}
        for scale in table.GUIDANCES
    }
    base = {"default": FIGURES, "raw weights": FIGURES | {"fd": 3.0}}
    text = table.tables({"base": row("base", **base), "conditional": row("conditional", **scales)})
    assert "| 4 | 97.0 % | 0.800 | 0.500 | 2.00 |" in text
    assert "accuracy rises with the scale from 1 on: no; recall falls: yes." in text
    assert "have FD 2.00 and KID 0.1000, the last ones 3.00 and 0.1000. Does averaging help? yes." in text
    base["raw weights"]["fd"] = 1.0
    assert "Does averaging help? no." in table.tables({"base": row("base", **base)})
    assert table.tables({}) == "Not measured yet."
