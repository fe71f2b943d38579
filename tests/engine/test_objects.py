"""Every public object can be printed, compared, copied and pickled, and its repr shows no bare address."""

import copy
import importlib
import inspect
import pickle

import pytest

import tinygen as tg
from tinygen import data, kernels, nn, optim, random
from tinygen.nn import functional as F
from tinygen.optim import lr_scheduler
from tinygen.run.training import Run, RunError

CLASSES = {  # public classes, by module
    "tinygen": "Tensor device profile",
    "tinygen.nn.forward_hooks": "RemovableHandle",
    "tinygen.engine.grad_mode": "SetRecording",
    "tinygen.face.recording": "set_grad_enabled",
    "tinygen.kernels.runtime.dispatch": "Kernel",
    "tinygen.random": "Generator Stream",
    "tinygen.run.training": "Run",
    "tinygen.data": "Dataset",
    "tinygen.engine.primitive": "Primitive",
    "tinygen.ops.reduce": "ValuesIndices",
    "tinygen.optim": "EMA Optimizer",
    "tinygen.nn.module": "Module Parameter IncompatibleKeys",
}
SCHEDULES = [
    c for c in vars(lr_scheduler).values() if inspect.isclass(c) and issubclass(c, lr_scheduler.LRScheduler)
]


@pytest.mark.parametrize("module", CLASSES)
def test_classes_have_a_repr_of_their_own(module):
    for name in CLASSES[module].split():
        assert getattr(importlib.import_module(module), name).__repr__ is not object.__repr__, name


def test_every_layer_and_optimiser_and_schedule_has_one():
    for module in (nn, optim, lr_scheduler):
        for name, kind in vars(module).items():
            assert not inspect.isclass(kind) or kind.__repr__ is not object.__repr__, name


def objects(folder):
    net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(inplace=True), nn.BatchNorm1d(3))
    adam = optim.Adam(net.parameters())
    x = tg.tensor([[1.0, 2.0], [0.5, 4.0]])
    yield from (tg.float32, tg.iinfo(tg.int8), tg.Tensor, tg.FloatTensor)
    yield from (x, x.clone().requires_grad_(), nn.Parameter(x), x.shape, tg.zeros(0, 2), tg.tensor(1.5))
    yield from (x.max(0), x.sort(0), x.topk(1), x.var_mean() if hasattr(x, "var_mean") else x)
    yield from (net, nn.ModuleList([net]), nn.ModuleDict({"a": net}), nn.ParameterList([nn.Parameter(x)]))
    yield from (
        adam,
        adam.param_groups,
        optim.EMA(net),
        net.state_dict(),
        net.load_state_dict(net.state_dict()),
    )
    yield from (lr_scheduler.StepLR(adam, 3), lr_scheduler.ReduceLROnPlateau(adam))
    yield lr_scheduler.ChainedScheduler(
        [lr_scheduler.ConstantLR(adam), lr_scheduler.ExponentialLR(adam, 0.9)]
    )
    yield from (random.Generator(3), random.Generator(3).at("noise", 1), random.get_state())
    yield from (tg.no_grad(), tg.enable_grad(), tg.inference_mode(), tg.set_grad_enabled(True))
    yield from (tg.exp, tg.softmax, tg.layer_norm, F.relu, F.gelu, F.group_norm, F.interpolate, nn.init.ones_)
    yield from (kernels.matmul, kernels.softmax, tg.profile(show=False))
    models = importlib.import_module("tinygen.models.vae")
    yield models.Config()
    run = Run.create("vae", models.Config(), out=folder / "run")
    yield from (run, Run.open(folder / "run", models.Config))
    yield data.load("glyphs")


def test_objects_are_shown_compared_copied_and_pickled(tmp_path):
    for x in objects(tmp_path):
        for text in (repr(x), str(x), f"{x}", repr([x]), repr({"a": x})):
            assert text and " object at 0x" not in text
        assert isinstance(x == x, (bool, tg.Tensor)) and x in [x]
        for twin in (copy.copy(x), copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
            assert type(twin) is type(x)
            if "<" not in repr(x):
                assert repr(twin) == repr(x)
        if not isinstance(x, (list, dict)) and type(x).__name__ != "IncompatibleKeys":
            hash(x)


def test_every_public_function_is_pickled_by_name():
    for module in (tg, F, nn.init, nn.utils):
        for name, function in vars(module).items():
            if callable(function) and not name.startswith("_") and not inspect.isclass(function):
                assert pickle.loads(pickle.dumps(function)) is function is copy.deepcopy(function), name


def test_every_kernel_is_shown_with_its_variants():
    for name in kernels.registry():
        kernel = kernels.runtime.dispatch.kernel_of_name(name)
        assert repr(kernel).startswith(f"<kernel {name}; cpu: reference") and copy.deepcopy(kernel) is kernel


def test_a_stream_goes_on_where_its_copy_was_made():
    stream = random.Generator(1).at("noise", 2)
    stream.normal(5)
    twin = pickle.loads(pickle.dumps(stream))
    assert (twin.normal(7) == stream.normal(7)).all()


@pytest.mark.parametrize("name, index", [("cpu", None), ("cuda", None), ("cuda:0", 0)])
def test_devices_at_a_prompt(name, index):
    d = tg.device(name)
    shown = f"device(type='{name.partition(':')[0]}'" + ("" if index is None else f", index={index}") + ")"
    assert repr(d) == shown and repr([d, {d: d}]) == f"[{shown}, {{{shown}: {shown}}}]"
    assert str(d) == f"{d}" == name and f"{d:>8}" == name.rjust(8)
    assert type(d.type) is str and d.index == index and d == tg.device(d) and hash(d) == hash(name)
    for twin in (copy.copy(d), copy.deepcopy(d), pickle.loads(pickle.dumps(d))):
        assert twin == d and type(twin) is tg.device


def test_a_run_is_opened_without_its_config(tmp_path):
    models = importlib.import_module("tinygen.models")
    vae = importlib.import_module("tinygen.models.vae")
    Run.create("vae", vae.Config(batch=7), out=tmp_path / "run")
    run = models.open_run(tmp_path / "run")
    assert run.config == vae.Config(batch=7) and run.model == "vae"
    assert repr(run) == f"Run({str(tmp_path / 'run')!r}, model='vae')"
    config = tmp_path / "run" / "config.json"
    for name in ("nonsense", "shared", "../vae", ""):
        config.write_text(config.read_text().replace('"model": "vae"', f'"model": "{name}"'))
        with pytest.raises(RunError):
            models.open_run(tmp_path / "run")
        config.write_text(config.read_text().replace(f'"model": "{name}"', '"model": "vae"'))
