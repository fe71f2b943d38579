"""Every layer compared with PyTorch's: outputs, gradients, state, repr, arguments."""

import inspect
import math

import numpy as np
import pytest
from compared import close, randomize, rng, same_state

import tinygen as tg
from tinygen import nn

torch = pytest.importorskip("torch")
tnn = torch.nn


CASES = [  # class, args, kwargs, input shapes
    ("Identity", (54,), {"any": 1}, [(2, 3)]),
    ("Flatten", (), {}, [(2, 3, 4, 5)]),
    ("Flatten", (0, 2), {}, [(2, 3, 4, 5)]),
    ("Unflatten", (1, (2, 3)), {}, [(4, 6)]),
    ("Linear", (3, 5), {}, [(4, 3)]),
    ("Linear", (3, 5, False), {}, [(2, 4, 3)]),
    ("Conv2d", (2, 3, 3), {}, [(2, 2, 6, 5)]),
    ("Conv2d", (4, 6, (3, 2), (2, 1), (1, 2), (1, 2), 2, False), {}, [(2, 4, 7, 6)]),
    ("Conv2d", (2, 3, 3), {"padding": "same"}, [(2, 2, 6, 5)]),
    ("ConvTranspose2d", (2, 3, 3), {}, [(2, 2, 4, 5)]),
    ("ConvTranspose2d", (4, 6, (3, 2), (2, 3), (1, 0), (1, 2), 2, False, (2, 1)), {}, [(2, 4, 3, 4)]),
    ("ConvTranspose2d", (3, 2, 4, 2, 1), {}, [(2, 3, 4, 4)]),
    ("Conv2d", (2, 3, 3, 1, 1), {"padding_mode": "reflect"}, [(2, 2, 6, 5)]),
    ("Conv2d", (2, 3, (2, 3), 2, (1, 2)), {"padding_mode": "circular"}, [(2, 2, 6, 5)]),
    ("Conv2d", (2, 3, (2, 3), 1, "same"), {"padding_mode": "replicate"}, [(2, 2, 6, 5)]),
    ("Conv2d", (2, 3, 3, 1, "valid"), {"padding_mode": "replicate"}, [(2, 2, 6, 5)]),
    ("Conv1d", (2, 3, 3), {}, [(2, 2, 6)]),
    ("Conv1d", (4, 6, (3,), 2, 1, 2, 2, False), {}, [(4, 7)]),
    ("Conv1d", (2, 3, 4, 1, "same"), {"padding_mode": "circular"}, [(2, 2, 7)]),
    ("ConvTranspose1d", (2, 3, 3), {}, [(2, 2, 6)]),
    ("ConvTranspose1d", (4, 6, (3,), 3, 1, 2, 2, False, 2), {}, [(4, 7)]),
    ("Embedding", (7, 3), {}, ["indices"]),
    ("Embedding", (7, 3, 2), {}, ["indices"]),
    ("Embedding", (7, 3), {"padding_idx": -1}, ["indices"]),
    *[
        (name, (3,), options, [shape])
        for name, shape in (
            ("BatchNorm1d", (5, 3)),
            ("BatchNorm1d", (4, 3, 6)),
            ("BatchNorm2d", (4, 3, 2, 5)),
            ("InstanceNorm1d", (4, 3, 6)),
            ("InstanceNorm1d", (3, 6)),
            ("InstanceNorm2d", (4, 3, 2, 5)),
            ("InstanceNorm2d", (3, 2, 5)),
        )
        for options in (
            {},
            {"eps": 0.1, "momentum": 0.3},
            {"momentum": None},
            {"affine": False},
            {"affine": True},
            {"track_running_stats": True},
            {"affine": True, "track_running_stats": True, "momentum": 0.3},
            {"track_running_stats": False},
            {"bias": False},
        )
    ],
    ("LayerNorm", (6,), {}, [(4, 6)]),
    ("LayerNorm", ((3, 6), 0.1), {}, [(4, 3, 6)]),
    ("LayerNorm", ((3, 6),), {"bias": False}, [(4, 3, 6)]),
    ("LayerNorm", (6,), {"elementwise_affine": False}, [(4, 6)]),
    ("GroupNorm", (2, 6), {}, [(4, 6, 3, 2)]),
    ("GroupNorm", (3, 6, 0.1, False), {}, [(4, 6)]),
    ("RMSNorm", (6,), {}, [(4, 3, 6)]),
    ("RMSNorm", ((3, 6), 0.1, False), {}, [(4, 3, 6)]),
    ("Hardtanh", (), {}, [(4, 3)]),
    ("Hardtanh", (-0.5, 2.0, True), {}, [(4, 3)]),
    ("MaxPool1d", (2,), {}, [(2, 3, 7)]),
    ("MaxPool1d", (3, 2, 1, 2), {"ceil_mode": True}, [(3, 7)]),
    ("AvgPool1d", (2,), {}, [(2, 3, 7)]),
    ("AvgPool1d", ((3,), 2, 1, True, False), {}, [(3, 7)]),
    ("AdaptiveAvgPool1d", (3,), {}, [(2, 3, 7)]),
    ("ZeroPad2d", (1,), {}, [(2, 3, 4, 5)]),
    ("ZeroPad2d", ((1, 2, -1, 3),), {}, [(2, 3, 4, 5)]),
    ("ConstantPad2d", ((1, 2, 0, 3), 0.5), {}, [(3, 4, 5)]),
    ("ReflectionPad2d", ((1, 2, 0, 3),), {}, [(2, 3, 4, 5)]),
    ("ReplicationPad2d", (2,), {}, [(2, 3, 4, 5)]),
    ("PReLU", (), {}, [(4, 3)]),
    ("PReLU", (3, 0.1), {}, [(4, 3, 2, 2)]),
    ("Dropout", (0.0,), {}, [(4, 3)]),
    ("Dropout", (1.0,), {"inplace": True}, [(4, 3)]),
    ("Dropout2d", (0.0, True), {}, [(4, 3, 2, 2)]),
    ("ReLU", (True,), {}, [(4, 3)]),
    ("LeakyReLU", (0.3,), {"inplace": True}, [(4, 3)]),
    ("ELU", (0.7, True), {}, [(4, 3)]),
    ("SiLU", (), {"inplace": True}, [(4, 3)]),
    ("GELU", (), {}, [(4, 3)]),
    ("GELU", ("tanh",), {}, [(4, 3)]),
    ("Sigmoid", (), {}, [(4, 3)]),
    ("Tanh", (), {}, [(4, 3)]),
    ("Softplus", (2.0, 1.0), {}, [(4, 3)]),
    ("LogSigmoid", (), {}, [(4, 3)]),
    ("Softmax", (1,), {}, [(4, 3)]),
    ("LogSoftmax", (), {"dim": 0}, [(4, 3)]),
    ("Softmax", (), {}, [(4, 3)]),
    ("Softmin", (0,), {}, [(4, 3)]),
    ("ReLU6", (True,), {}, [(4, 3)]),
    ("Mish", (True,), {}, [(4, 3)]),
    ("SELU", (), {}, [(4, 3)]),
    ("Softsign", (), {}, [(4, 3)]),
    ("GLU", (0,), {}, [(4, 3)]),
    ("CosineSimilarity", (0, 0.1), {}, [(4, 3), (4, 3)]),
    ("PairwiseDistance", (1.0, 0.1, True), {}, [(4, 3), (4, 3)]),
    ("MaxPool2d", (2,), {}, [(2, 3, 5, 6)]),
    ("MaxPool2d", ((3, 2), 2, 1, 1, False, True), {}, [(2, 3, 5, 6)]),
    ("AvgPool2d", (2,), {}, [(2, 3, 5, 6)]),
    ("AvgPool2d", (3, 2, 1, True, False), {}, [(2, 3, 6, 6)]),
    ("AvgPool2d", (3,), {"divisor_override": 4}, [(2, 3, 6, 6)]),
    ("AdaptiveAvgPool2d", (1,), {}, [(2, 3, 5, 6)]),
    ("AdaptiveAvgPool2d", ((2, None),), {}, [(2, 3, 5, 6)]),
    ("Upsample", (), {"scale_factor": 2}, [(2, 3, 4, 3)]),
    ("Upsample", ((5, 7),), {"mode": "nearest"}, [(2, 3, 4, 3)]),
    ("Upsample", (), {"scale_factor": (2, 1.5), "mode": "bilinear", "align_corners": True}, [(2, 3, 4, 3)]),
    ("Upsample", (5,), {"mode": "linear"}, [(2, 3, 4)]),
    ("UpsamplingNearest2d", (), {"scale_factor": 2}, [(2, 3, 4, 3)]),
    ("UpsamplingBilinear2d", ((5, 7),), {}, [(2, 3, 4, 3)]),
    ("PixelShuffle", (2,), {}, [(2, 8, 3, 2)]),
    ("PixelUnshuffle", (2,), {}, [(2, 2, 6, 4)]),
    *[
        (name, (), {"reduction": reduction, **options}, shapes)
        for reduction in ("mean", "sum", "none")
        for name, shapes, options in (
            ("MSELoss", [(4, 3), (4, 3)], {}),
            ("L1Loss", [(4, 3), (4, 3)], {}),
            ("SmoothL1Loss", [(4, 3), (4, 3)], {"beta": 0.5}),
            ("HuberLoss", [(4, 3), (4, 3)], {"delta": 0.5}),
            ("BCELoss", ["probabilities", "probabilities"], {}),
            ("BCELoss", ["probabilities", "probabilities"], {"weight": "weights"}),
            ("BCEWithLogitsLoss", [(4, 3), "probabilities"], {}),
            ("BCEWithLogitsLoss", [(4, 3), "probabilities"], {"weight": "weights", "pos_weight": "weights"}),
            ("NLLLoss", [(4, 3), "classes"], {}),
            ("NLLLoss", [(4, 3), "classes"], {"weight": "weights", "ignore_index": 1}),
            ("CrossEntropyLoss", [(4, 3), "classes"], {"label_smoothing": 0.2}),
            ("CrossEntropyLoss", [(4, 3), "classes"], {"weight": "weights", "ignore_index": 1}),
            ("CrossEntropyLoss", [(4, 3), "probabilities"], {}),
            ("KLDivLoss", [(4, 3), "probabilities"], {}),
            ("KLDivLoss", [(4, 3), (4, 3)], {"log_target": True}),
            ("GaussianNLLLoss", [(4, 3), (4, 3), "probabilities"], {"full": True, "eps": 0.1}),
        )
    ],
    ("KLDivLoss", (), {"reduction": "batchmean"}, [(4, 3), "probabilities"]),
]
NOT_LAYERS = {
    "Module",
    "ModuleDict",
    "ModuleList",
    "MultiheadAttention",
    "ParameterDict",
    "ParameterList",
    "Sequential",
}  # tested elsewhere
ARRAYS = {
    "indices": lambda: rng.integers(0, 7, size=(4, 5)),
    "probabilities": lambda: rng.uniform(0.1, 0.9, size=(4, 3)),
    "weights": lambda: rng.uniform(0.5, 2, size=3),
    "classes": lambda: np.array([0, 1, 2, 1]),
}


def array_of(spec):
    return ARRAYS[spec]() if isinstance(spec, str) else rng.normal(size=spec)


def public_classes(module):
    kinds = {n: k for n, k in vars(module).items() if isinstance(k, type) and issubclass(k, nn.Module)}
    return {name for name in kinds if not name.startswith("_")}


def test_every_public_layer_has_a_case():
    assert public_classes(nn) - NOT_LAYERS == {case[0] for case in CASES}


def built(case):
    """The layer in both libraries, built from the same arguments."""
    name, args, kwargs, _ = case
    fixed = {k: ARRAYS[v]() if v in ARRAYS else v for k, v in kwargs.items() if isinstance(v, str)}
    ours = {k: tg.tensor(v) if isinstance(v, np.ndarray) else v for k, v in {**kwargs, **fixed}.items()}
    theirs = {k: torch.tensor(v) if isinstance(v, np.ndarray) else v for k, v in {**kwargs, **fixed}.items()}
    return getattr(nn, name)(*args, **ours), getattr(tnn, name)(*args, **theirs)


def run_layer(T, layer, arrays, cotangent=None):
    """The output, and the input gradients for a random incoming gradient."""
    inputs = [T.tensor(a) for a in arrays]
    for x, array in zip(inputs, arrays):
        x.requires_grad_(array.dtype.kind == "f" and layer.training)
    y = layer(*[x.clone() for x in inputs])  # PyTorch's `inplace=True` rejects leaves
    if cotangent is None:
        cotangent = rng.normal(size=tuple(y.shape))
    if y.requires_grad:
        (y * T.tensor(cotangent)).sum().backward()
    return y, [x.grad for x in inputs], cotangent


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c[0]}{c[1]}{c[2]}")
def test_layer(case):
    ours, theirs = built(case)
    assert [(n, tuple(p.shape)) for n, p in ours.named_parameters()] == [
        (n, tuple(p.shape)) for n, p in theirs.named_parameters()
    ]
    ours, theirs = ours.double(), theirs.double()
    randomize(theirs)
    ours.load_state_dict({n: t.numpy() for n, t in theirs.state_dict().items()})
    for mode in (True, True, False):  # twice, because running statistics change
        ours.train(mode), theirs.train(mode)
        arrays = [array_of(spec) for spec in case[3]]
        y, grads, cotangent = run_layer(tg, ours, arrays)
        y2, grads2, _ = run_layer(torch, theirs, arrays, cotangent)
        close(y, y2)
        for g, g2 in zip(grads, grads2):
            assert (g is None) == (g2 is None)
            if g is not None:
                close(g, g2)
        for (name, p), q in zip(ours.named_parameters(), theirs.parameters()):
            assert (p.grad is None) == (q.grad is None), name
            if p.grad is not None:
                close(p.grad, q.grad)
        same_state(ours, theirs)


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c[0]}{c[1]}{c[2]}")
def test_repr_of_a_layer(case):
    ours, theirs = built(case)
    assert repr(ours) == repr(theirs)


def test_repr_of_a_network():
    def made(N):
        inner = N.Sequential(N.Linear(2, 3), N.ReLU(True))
        return N.Sequential(N.Conv2d(1, 2, 3, padding=1), inner, N.Sequential(), N.Upsample(scale_factor=2.0))

    assert repr(made(nn)) == repr(made(tnn))

    def extra(N):
        class Net(N.Module):
            def __init__(self):
                super().__init__()
                self.body = N.Sequential(N.Linear(1, 1))
                self.gone = N.ReLU()
                self.gone = None

            def extra_repr(self):
                return "one=1\ntwo=2"

        return Net()

    assert repr(extra(nn)) == repr(extra(tnn))
    text = repr(nn.Parameter(tg.ones(2)))
    assert text.startswith("Parameter containing:\ntensor(") and "requires_grad=True" in text


PRIVATE = {"_weight", "_freeze"}


@pytest.mark.parametrize("name", sorted(public_classes(nn) - {"Module"}))
def test_constructor_arguments_are_pytorchs(name):
    def options(kind):
        parameters = inspect.signature(kind).parameters.values()
        return [
            p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD) and p.name not in PRIVATE
        ]

    ours, theirs = options(getattr(nn, name)), options(getattr(tnn, name))
    assert [p.name for p in ours] == [p.name for p in theirs]
    for p, q in zip(ours, theirs):
        if (name, p.name) != ("ModuleList", "modules"):
            assert p.default == q.default or (p.default is p.empty and q.default is q.empty), p.name


def test_options_that_are_not_supported_say_so():
    for refused, match in (
        (lambda: nn.MSELoss(True), "use reduction"),
        (lambda: nn.CrossEntropyLoss(None, None, -100, False), "use reduction"),
        (lambda: nn.MultiheadAttention(4, 2, kdim=3), "Linear"),
        (lambda: nn.MultiheadAttention(4, 2, add_bias_kv=True), "add_bias_kv"),
        (lambda: nn.Hardtanh(min_value=0), "min_val"),
        (lambda: nn.Embedding(3, 2, max_norm=1.0), "max_norm"),
    ):
        with pytest.raises(NotImplementedError, match=match):
            refused()
    for wrong, match in (
        (lambda: nn.ReLU(False, 3), "ReLU: too many"),
        (lambda: nn.ReLU(alpha=3), "ReLU: .*'alpha'"),
        (lambda: nn.MaxPool2d(), "MaxPool2d: missing .*'kernel_size'"),
    ):
        with pytest.raises(TypeError, match=match):
            wrong()
    for wrong, match in (
        (lambda: nn.Conv2d(3, 4, 3, groups=2), "in_channels 3, expected a multiple of groups 2"),
        (lambda: nn.Conv2d(3, 4, 3, groups=0), "groups 0"),
        (lambda: nn.Conv2d(3, 4, 0), "kernel_size 0"),
        (lambda: nn.Conv2d(1, 1, 3, padding_mode="mirror"), "'mirror'"),
        (lambda: nn.Conv1d(1, 1, 3, padding="all"), "'all'"),
        (lambda: nn.Conv1d(1, 1, 3, 2, padding="same"), "stride"),
        (lambda: nn.ConvTranspose2d(1, 1, 3, padding_mode="reflect"), "reflect"),
        (lambda: nn.ConvTranspose1d(1, 1, 3, 2)(tg.ones(1, 1, 3), output_size=(9,)), "from .7. to .8."),
        (lambda: nn.ZeroPad2d((1, 2)), "left, right, top, bottom"),
        (lambda: nn.GroupNorm(4, 6), "multiple of 4"),
        (lambda: nn.Dropout(1.5), "p=1.5"),
        (lambda: nn.Embedding(3, 2, 3), "padding_idx 3"),
        (lambda: nn.BatchNorm1d(3)(tg.ones(2, 3, 4, 5)), "found 4 dimensions, expected 2 or 3"),
    ):
        with pytest.raises(ValueError, match=match):
            wrong()


def test_the_weights_of_a_loss_are_state_and_move_with_it():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.criterion = nn.CrossEntropyLoss(tg.ones(3))

    net = Net()
    assert list(net.state_dict()) == ["criterion.weight"]
    assert net.double().criterion.weight.dtype == np.float64


def test_dtype_argument():
    for layer in (
        nn.Linear(2, 3, dtype=tg.float64),
        nn.Conv2d(1, 1, 3, dtype=tg.float64),
        nn.ConvTranspose2d(1, 1, 3, dtype=tg.float64),
        nn.Embedding(3, 2, dtype=tg.float64),
        nn.BatchNorm2d(3, dtype=tg.float64),
        nn.LayerNorm(3, dtype=tg.float64),
        nn.GroupNorm(1, 3, dtype=tg.float64),
        nn.PReLU(dtype=tg.float64),
    ):
        kinds = {t.dtype for n, t in layer.state_dict().items() if "tracked" not in n}
        assert kinds == {np.dtype("float64")}, layer


@pytest.mark.parametrize("name", ["Dropout", "Dropout2d"])
def test_dropout(name):
    tg.manual_seed(0)
    layer = getattr(nn, name)(0.3)
    x = tg.ones(100, 50, 2, 2)
    y = layer(x).numpy()
    assert set(np.unique(y)) == {np.float32(0), np.float32(1 / 0.7)}
    units = y.reshape(5000, 4) if name == "Dropout2d" else y.reshape(-1, 1)
    assert (units == units[:, :1]).all()
    dropped = (units[:, 0] == 0).mean()
    assert abs(dropped - 0.3) < 5 * math.sqrt(0.3 * 0.7 / len(units))
    assert layer.eval()(x) is x or (layer(x).numpy() == 1).all()


def test_batch_norm_whose_tracking_is_switched_off_later():
    ours, theirs = nn.BatchNorm1d(3).double(), tnn.BatchNorm1d(3).double()
    x = rng.normal(size=(5, 3))
    for layer in (ours, theirs):
        layer.track_running_stats = False
    close(ours(tg.tensor(x)), theirs(torch.tensor(x)))
    same_state(ours, theirs)
    close(ours.eval()(tg.tensor(x)), theirs.eval()(torch.tensor(x)))
