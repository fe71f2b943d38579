"""Between two lines of metrics.jsonl a training step never waits for the GPU, and copies nothing to it but a batch."""

import json

import pytest
from support.gpu import real
from support.small_gans import blobs

from tinygen import data
from tinygen.benchmarks import host_cost
from tinygen.data import feed
from tinygen.models import classifier, ddpm, gan, vae

SMALL = {"vae": {"net": "iwae"}, "ddpm": dict(width=8, noise_levels=30), "dcgan": {"width": 8}}
SMALL |= {"wgan": {"critic_steps": 2}, "wgan-gp": {"critic_steps": 2}}
CASES = {
    name: (model, {"batch": 8, **SMALL.get(model, {}), **flags})
    for name, (model, flags) in host_cost.cases().items()
}
CASES["ddpm, conditional"] = "ddpm", {"batch": 8, **SMALL["ddpm"], "conditional": True}
CASES["ddpm, bound"] = "ddpm", {"batch": 8, **SMALL["ddpm"], "variance": "learned", "loss": "bound"}
CASES["gan, the seed's recipe"] = "gan", {"batch": 8, "recipe": "seed"}

pytestmark = pytest.mark.skipif(real(), reason="counts on the stand-in")


@pytest.fixture(autouse=True)
def small_data(monkeypatch):
    """400 small images in the place of every data set."""
    load = lambda name, data_dir=None, grey=False: blobs(name)
    for module in data, vae, ddpm, classifier:
        monkeypatch.setattr(module, "load", load)


def measured(name, **options):
    return host_cost.counted(*CASES[name], steps=12, **options)  # a GAN's watch looks at the tenth


@pytest.mark.parametrize("name", CASES)
def test_no_step_waits(name):
    found = measured(name)
    assert found["synchronizations"] == found["copies_from_device"] == 0, measured(name, by="line")["by"]
    assert found["own_launches"] > 0 and found["python_ms"] > 0


@pytest.mark.parametrize("name", ["vae", "gan"])
def test_a_read_in_a_step_is_seen(name, monkeypatch):
    if name == "vae":
        loss = vae.loss
        monkeypatch.setattr(vae, "loss", lambda *given: (loss(*given)[0].sum().item(), loss(*given))[1])
    else:
        monkeypatch.setattr(gan.Watch, "look", lambda watch, *given: watch.judge(given[-1].item(), 1.0, 1.0))
    found = measured(name, by="line")
    assert found["synchronizations"] == found["copies_from_device"] == 1
    assert [n for source, n in found["by"].items() if "synchronization item" in source] == [1]


def test_a_large_data_set_is_copied_from_pinned_memory(monkeypatch):
    monkeypatch.setattr(feed, "SHARE", 0)
    found = measured("classifier")
    assert found["synchronizations"] == 0 and found["pinned_copies"] == 2  # images and labels


def test_a_small_data_set_lies_on_the_gpu():
    found = measured("classifier")
    assert (
        found["pinned_copies"] == 0 and found["bytes_to_device"] < 2000
    )  # an optimizer's table, an epoch's order


def test_the_command(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(host_cost, "cases", lambda: {"vae": CASES["vae"]})
    file = tmp_path / "found.json"
    assert host_cost.main(["vae", "--steps", "3", "--by", "operation", "--json", str(file)]) == 0
    shown = capsys.readouterr().out
    assert "own launches" in shown and "random.Stream.normal: own launch philox_normals" in shown
    found = json.loads(file.read_text(encoding="utf-8"))["models"]["vae"]
    assert found["synchronizations"] == 0 and found["cupy_launches"] > 10
    with pytest.raises(SystemExit):
        host_cost.main(["no-model"])


def test_the_table_of_the_page_is_the_one_that_is_written():
    assert host_cost.page() == host_cost.pages.SPEED.read_text(encoding="utf-8")
