"""The numba.cuda rungs: in numba's simulator against the reference, compiled to PTX, and on a GPU where there is one.

The simulator must be chosen before numba is imported, so it runs in subprocesses, one per kernel.  There, tiles
and blocks are made small (`SMALL`), so that a few numbers need several of them: mistakes are most likely at edges.
Fresh memory, also shared memory, is filled with NaN, so that a missing write shows.
"""

import ast
import importlib
import inspect
import itertools
import os
import re
import subprocess
import sys
import threading
import types
import warnings
from importlib.util import find_spec
from itertools import zip_longest
from pathlib import Path

import numpy as np
import pytest

import tinygen
from tinygen import kernels
from tinygen.kernels.runtime import dispatch, numba_cuda

RUNGS = {
    name: kernel.variants_on("simulator")
    for name, kernel in sorted(dispatch._registry.items())
    if kernel.variants_on("simulator")
}
MODULES = ("attention", "conv2d", "matmul", "norm", "optimizers", "softmax")
SMALL = {"TILE": 4, "THREADS": 4, "LARGEST_E": 12, "SUMS": 3}
TOLERANCE = {
    "float32": 3e-6,
    "float64": 1e-13,
}  # relative to the largest magnitude in the reference's result, or to 1

compiles = pytest.mark.skipif(find_spec("numba_cuda") is None, reason="numba-cuda is not installed")


class Arrays:
    """Makes random arrays of one dtype with a given memory layout."""

    def __init__(self, dtype, xp=np) -> None:
        self.xp, self.dtype, self.rng = xp, dtype, np.random.default_rng(0)

    def __call__(self, *shape):
        return self.xp.asarray(self.rng.standard_normal(shape).astype(self.dtype))

    def turned(self, *shape):
        """The last two axes swapped in memory"""
        return self(*shape[:-2], shape[-1], shape[-2]).swapaxes(-1, -2)

    def stepped(self, *shape):
        """Every second element along the last axis, backwards along the first"""
        return self(*shape[:-1], 2 * shape[-1] + 1)[::-1, ..., 1::2]

    def fixed(self, *shape):
        """Read-only, like the arrays that a graph keeps (numpy only)"""
        x = self(*shape)
        if self.xp is np:
            x.flags.writeable = False
        return x


def matmul(a, big):
    sizes = [(1, 1, 1), (3, 5, 7), (4, 8, 4), (9, 13, 5), (1, 11, 2), (5, 0, 2), (0, 3, 2), (2, 3, 0)]
    for m, k, n in [*sizes, (129, 67, 130), (64, 256, 32)] if big else sizes:
        yield (a(m, k), a(k, n)), {}
    yield (a.turned(5, 6), a.stepped(6, 3)), {}
    yield (a.fixed(2, 5, 6), a(6, 3)), {}
    yield (a(5, 6), a(3, 6, 2)), {}
    yield (a(2, 1, 5, 3), a.turned(2, 3, 6)), {}
    yield (a(0, 2, 3), a(3, 2)), {}


GEOMETRIES = [  # N, C, K, H, W, R, S, stride, padding, dilation, groups
    (1, 1, 1, 1, 1, 1, 1, (1, 1), ((0, 0), (0, 0)), (1, 1), 1),
    (2, 2, 5, 4, 3, 3, 3, (1, 1), ((1, 1), (1, 1)), (1, 1), 1),
    (1, 4, 6, 5, 4, 3, 2, (2, 1), ((1, 0), (2, 1)), (1, 2), 2),
    (1, 3, 3, 5, 7, 2, 3, (3, 2), ((0, 2), (1, 1)), (2, 1), 3),
    (0, 2, 3, 4, 4, 3, 3, (1, 1), ((1, 1), (1, 1)), (1, 1), 1),
]
BIG_GEOMETRY = (3, 34, 36, 19, 17, 3, 3, (2, 2), ((1, 1), (1, 1)), (1, 1), 2)


def geometries(big):
    """Shapes of x, w and y, and the attributes of the convolution"""
    for N, C, K, H, W, R, S, stride, padding, dilation, groups in (*GEOMETRIES, *[BIG_GEOMETRY] * big):
        positions = kernels.output_size((H, W), (R, S), stride, padding, dilation)
        attrs = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
        yield (N, C, H, W), (K, C // groups, R, S), (N, K, *positions), attrs


def conv2d(a, big):
    for x, w, _, attrs in geometries(big):
        yield (a(*x), a(*w)), attrs
    yield (a.turned(*x), a.stepped(*w)), attrs


def conv2d_input_grad(a, big):
    for x, w, y, attrs in geometries(big):
        yield (a(*y), a(*w)), attrs | {"shape": x}
    yield (a.turned(*y), a.stepped(*w)), attrs | {"shape": x}


def conv2d_weight_grad(a, big):
    for x, w, y, attrs in geometries(big):
        yield (a(*x), a(*y)), attrs | {"shape": w}
    yield (a.turned(*x), a.stepped(*y)), attrs | {"shape": w}


def attention(a, big):
    sizes = [  # leading dimensions, L, T, D, E
        ((), 1, 1, 1, 1),
        ((2, 1), 5, 7, 3, 6),
        ((2,), 9, 6, 5, 4),
        ((1, 1), 3, 0, 2, 3),
        ((0, 2), 3, 4, 2, 3),
        ((1, 1), 0, 4, 2, 3),
    ]
    for lead, L, T, D, E in [*sizes, ((2, 3), 67, 131, 33, 128)] if big else sizes:
        for causal in (False, True):
            q, k, v = a(*lead, L, D), a(*lead, T, D), a(*lead, T, E)
            yield (q, k, v, None), {"scale": 0.3, "causal": causal}
            if T:
                bias = a(L, T)
                bias[bias > 0.5] = -np.inf  # some queries see nothing
                yield (q, k, v, bias), {"scale": 0.3, "causal": causal}
    yield (a(2, 1, 5, 4), a(3, 6, 4), a.turned(2, 3, 6, 5), a(3, 1, 6)), {"scale": 1.0, "causal": False}
    hidden = np.full((5, 6), -np.inf, a.dtype)
    hidden[0, 5] = 0  # one query sees only the last key, the others none
    yield (a(5, 4), a(6, 4), a(6, 2), a.xp.asarray(hidden)), {"scale": 1.0, "causal": False}
    nan = a(5, 4)
    nan[2, 1] = np.nan
    yield (100 * nan, a(6, 4), a(6, 2), None), {"scale": 1.0, "causal": False}


def softmax(a, big):
    for shape, dim in ((1,), 0), ((3, 17), 1), ((9, 5), 0), ((2, 8, 2), 1), ((2, 2, 7), -1), ((0, 4), 1):
        yield (a(*shape), dim), {}
    if big:
        yield (a(300, 1000), 1), {}
    yield (30 * a.turned(4, 9), 1), {}
    hidden = a(3, 10)
    hidden[1] = -np.inf
    hidden[2, :8] = -np.inf
    yield (hidden, 1), {}


def normalize(a, big):
    for shape, dims in (
        ((1, 1), (1,)),
        ((3, 17), (1,)),
        ((9, 8), (1,)),
        ((2, 3, 2, 5), (2, 3)),
        ((0, 3), (1,)),
    ):
        rows = shape[dims[0] :]
        yield (a(*shape), a(*rows), a(*rows), dims, 1e-5), {}
        yield (10 + a(*shape), None, None, dims, 0.1), {}
    if big:
        yield (a(300, 1000), a(1000), None, (1,), 1e-5), {}
    yield (a.stepped(4, 9), None, a(9), (1,), 1e-5), {}


def adam(a, big):
    shapes = [(1,), (17,), (3, 5), (0,), *([(1000, 77)] if big else [])]
    for weight_decay, decoupled in (0, False), (0.1, False), (0.1, True):
        g, *others = ([make(*shape) for shape in shapes] for make in (a.fixed, a, a, a))
        p, m, v = others[0], others[1], [abs(x) for x in others[2]]
        numbers = {"lr": 0.1, "beta1": 0.9, "beta2": 0.99, "eps": 1e-8}
        numbers |= {"weight_decay": weight_decay, "decoupled": decoupled, "step": [1, 2, 30, 4, 5][: len(p)]}
        yield (p, g, m, v), numbers


def results(name, args, attrs, **use) -> list:
    """The results of a kernel, or the arrays that adam has updated, as numpy arrays"""
    if name == "adam":
        args = p, _, m, v = [[x.copy() if writable(x) else x for x in arrays] for arrays in args]
    with kernels.use(**use), np.errstate(all="ignore"):
        found = getattr(kernels, name)(*args, **attrs)
    found = [*p, *m, *v] if name == "adam" else found if isinstance(found, tuple) else (found,)
    return [x.get() if hasattr(x, "get") else x for x in found]


def writable(x) -> bool:
    return getattr(x.flags, "writeable", True)  # all of cupy's arrays are


def wide(x):
    """As numpy arrays of float64, if it is an array or a list of arrays"""
    if isinstance(x, list):
        return [wide(each) for each in x]
    return (x.get() if hasattr(x, "get") else x).astype(np.float64) if hasattr(x, "dtype") else x


def check(name, variant, args, attrs, **use) -> None:
    """Compare a variant with the definition in float64, and in float32 with itself: the same bits twice."""
    expected = results(name, [wide(x) for x in args], attrs, **{name: "reference"})
    found = results(name, args, attrs, **{name: variant}, **use)
    dtype = (args[0][0] if name == "adam" else args[0]).dtype
    again = results(name, args, attrs, **{name: variant}, **use) if dtype == np.float32 else found
    for y, same, wanted in zip_longest(found, again, expected):
        assert y.shape == wanted.shape and y.dtype == dtype
        assert np.array_equal(y, same, equal_nan=True), "other bits the second time"
        tolerance = TOLERANCE[y.dtype.name]
        largest = np.abs(wanted[np.isfinite(wanted)]).max(initial=1)
        np.testing.assert_allclose(y, wanted, rtol=tolerance, atol=tolerance * largest)


# In the simulator -----------------------------------------------------------------------------------------------------


def poisoned(shape, dtype=float, empty=np.empty, **more):
    """np.empty, filled with NaN if the dtype has it"""
    x = empty(shape, dtype, **more)
    if x.dtype.kind == "f":
        x.fill(np.nan)
    return x


def modules():
    return [importlib.import_module(f"tinygen.kernels.{name}.numba_cuda") for name in MODULES]


def resize(sizes: dict) -> None:
    """Give tiles and blocks other sizes."""
    for module in modules():
        for name in sizes.keys() & vars(module).keys():
            setattr(module, name, sizes[name])


def make_shared_arrays_one_at_a_time() -> None:
    """Work around a race in the simulator: it looks up a block's shared array and creates it in two steps."""
    from numba.cuda.simulator import kernelapi

    lock = threading.Lock()

    class Shared(kernelapi.FakeCUDAShared):
        def array(self, shape, dtype):
            caller = sys._getframe(1)
            with lock:
                place = caller.f_code, caller.f_lineno
                if place not in self._allocations:
                    self._allocations[place] = np.empty(shape, dtype)
                return self._allocations[place]

    kernelapi.FakeCUDAShared = Shared


def small_and_poisoned() -> None:
    resize(SMALL)
    make_shared_arrays_one_at_a_time()
    np.empty = poisoned
    sys.setswitchinterval(1e-4)  # the simulator's threads wait for each other a lot: 4 times as fast
    warnings.simplefilter("ignore", RuntimeWarning)  # -inf - -inf, in a thread of the simulator


def all_cases(name: str) -> None:
    small_and_poisoned()
    count = 0
    for variant in RUNGS[name]:
        for dtype in np.float32, np.float64:
            for args, attrs in globals()[name](Arrays(dtype), big=False):
                check(name, variant, args, attrs, on="simulator")
                count += 1
    print(count)


def simulated(code: str) -> str:
    """The output of a program that runs with the simulator on"""
    if find_spec("numba.cuda") is None:
        pytest.skip("this numba comes without numba.cuda, and numba-cuda is not installed")
    here = os.path.dirname(__file__)
    environment = {"NUMBA_ENABLE_CUDASIM": "1", "PYTHONPATH": os.pathsep.join([here, os.path.dirname(here)])}
    done = subprocess.run(
        [sys.executable, "-c", "from test_kernels_numba_cuda import *\n" + code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_rungs_are_there_before_those_of_the_cu_files():
    assert RUNGS == {
        "adam": ["numba_one_pass"],
        "attention": ["numba_naive", "numba_tiled"],
        "conv2d": ["numba_naive", "numba_tiled"],
        "conv2d_input_grad": ["numba_naive"],
        "conv2d_weight_grad": ["numba_naive"],
        "matmul": ["numba_naive", "numba_tiled"],
        "normalize": ["numba_naive", "numba_rows"],
        "softmax": ["numba_naive", "numba_rows"],
    }
    for name, variants in RUNGS.items():
        ladder = [variant for variant, _, _ in dispatch._registry[name].ladder["cuda"]]
        assert ladder[: 1 + len(variants)] == ["reference", *variants]


@pytest.mark.parametrize("name", RUNGS)
def test_in_the_simulator_as_the_reference(name):
    assert int(simulated(f"all_cases({name!r})")) >= 6


def real_sizes() -> None:
    """One call of each with the tiles and blocks of a GPU"""
    make_shared_arrays_one_at_a_time()
    np.empty = poisoned
    a = Arrays(np.float32)
    for variant in RUNGS["matmul"]:
        check("matmul", variant, (a(3, 17), a(17, 18)), {}, on="simulator")
    for variant in RUNGS["attention"]:
        attrs = {"scale": 0.3, "causal": True}
        check("attention", variant, (a(3, 17), a(18, 17), a(18, 17), None), attrs, on="simulator")
    for variant in RUNGS["softmax"]:
        check("softmax", variant, (a(1, 150), 1), {}, on="simulator")


def test_with_the_sizes_of_a_gpu():
    simulated("real_sizes()")


def equal_numbers() -> None:
    """Equal numbers are normalized to 0: mean and variance are exact, as in test_constants.py"""
    small_and_poisoned()
    for variant, dtype, n in itertools.product(
        RUNGS["normalize"], (np.float32, np.float64), (1, 3, 7, 41, 61)
    ):
        c = np.array([[0.1], [-3.3e5], [1e-30]], dtype)
        with kernels.use(normalize=variant, on="simulator"):
            y, mean, var = kernels.normalize(c.repeat(n, 1), None, None, (1,), 1e-5)
        assert not y.any() and not var.any() and (mean == c).all(), (variant, n)


def test_equal_numbers():
    simulated("equal_numbers()")


def a_training_step(**use) -> list:
    """The parameters after one step of a small network that calls all the rungs"""
    tinygen.manual_seed(0)
    conv, norm, out = tinygen.nn.Conv2d(1, 2, 3, padding=1), tinygen.nn.LayerNorm(4), tinygen.nn.Linear(4, 3)
    parameters = [p for module in (conv, norm, out) for p in module.parameters()]
    optimizer = tinygen.optim.Adam(parameters, lr=0.1, eps=1e-3)
    with kernels.use(**use):
        x = tinygen.randn(2, 1, 4, 4, requires_grad=True)
        h = norm(conv(x).flatten(2).transpose(1, 2).reshape(2, 8, 4))
        h = tinygen.nn.functional.scaled_dot_product_attention(h, h, h)
        (out(h).softmax(-1) ** 2).sum().backward()
        optimizer.step()
    return [x.grad.numpy(), *(p.detach().numpy() for p in parameters)]


def a_training_step_is_the_references() -> None:
    small_and_poisoned()
    with dispatch.trace() as calls:
        found = a_training_step(on="simulator", **{name: variants[-1] for name, variants in RUNGS.items()})
    for x, wanted in zip(found, a_training_step(**dict.fromkeys(RUNGS, "reference"))):
        np.testing.assert_allclose(x, wanted, rtol=1e-5, atol=1e-6)
    assert {(name, variants[-1]) for name, variants in RUNGS.items()} <= set(calls)


def test_a_training_step_in_the_simulator():
    simulated("a_training_step_is_the_references()")


PLANTED = {  # file and function: a line, and its replacement
    "matmul naive: no guard": ("if i >= y.shape[1] or j >= y.shape[2]:", "if False:"),
    "matmul tiled: no guard": ("if i < y.shape[1] and j < y.shape[2]:", "if True:"),
    "matmul tiled: tile beyond the edge": ("if k < w.shape[1] and j < w.shape[2] else zero", ""),
    "conv2d naive: no guard": ("if pixel >= P * Q:", "if False:"),
    "conv2d tiled: no guard": ("if n < N and k < K:", "if True:"),
    "conv2d tiled: below the image": ("0 <= h < x.shape[2]", "0 <= h"),
    "conv2d input_grad: below the output": ("0 <= p < gy.shape[2]", "0 <= p"),
    "attention naive: no guard": ("if query >= L:", "if False:"),
    "attention tiled: keys beyond the last": ("if start + i < T and d + j < D else zero", ""),
    "softmax naive: no guard": ("if row >= A * B:", "if False:"),
    "norm naive: no guard": ("if row >= x.shape[0]:", "if False:"),
    "optimizers one_pass: no guard": ("if i >= p.size:", "if False:"),
}
WRONG = {
    "attention tiled: sums not scaled": ("part = sums[e] * shrink", "part = sums[e]"),
    "attention naive: sums not scaled": ("sums[e] * shrink + weight", "sums[e] + weight"),
    "matmul naive: last row not written": ("if i >= y.shape[1]", "if i >= y.shape[1] - 1"),
}
BARRIER = "cuda.syncthreads()"
BARRIERS = {
    "matmul tiled": 2,
    "conv2d tiled": 2,
    "attention tiled": 7,
    "reduce block_max": 3,
    "reduce block_sum": 3,
}
RUNS = {  # file or function: the kernel and the variant that run it, if their names differ
    "input_grad": ("conv2d_input_grad", "numba_naive"),
    "norm": ("normalize", "numba_naive"),
    "optimizers": ("adam", "numba_one_pass"),
    "block_max": ("softmax", "numba_rows"),
    "block_sum": ("normalize", "numba_rows"),
}


def with_bug(where: str, old: str, new: str, which: int = 0) -> None:
    """Run a kernel's cases with a planted bug: the `which`-th `old` in a function is replaced."""
    stem, function = where.split()
    home = importlib.import_module(f"tinygen.kernels.{stem}.numba_cuda")
    parts = inspect.getsource(getattr(home, function).__wrapped__).split(old)
    assert len(parts) > 1 + which, f"{where}: {old} is not there"
    source = old.join(parts[: which + 1]) + new + old.join(parts[which + 1 :])
    namespace = {**vars(home), "cuda": numba_cuda.cuda}
    exec(source, namespace)
    broken, sound, users = namespace[function], getattr(home, function), [home]
    if stem == "reduce":  # a device function: its callers hold the compiled one
        users = [module for module in modules() if hasattr(module, function)]
        broken, sound = broken.compiled, sound.compiled
    for module in users:
        setattr(module, function, broken)
    name, variant = RUNS.get(function) or RUNS.get(stem) or (stem, f"numba_{function}")
    try:
        for args, attrs in globals()[name](Arrays(np.float32), big=False):
            check(name, variant, args, attrs, on="simulator")
    finally:
        for module in users:
            setattr(module, function, sound)


def bugs_are_found() -> None:
    small_and_poisoned()
    for title, change in PLANTED.items():
        with pytest.raises(IndexError, match=r"^tid=\[\d+, \d+, \d+\] ctaid=\[\d+, \d+, \d+\]: "):
            with_bug(title.partition(":")[0], *change)
        print(title)
    for title, change in WRONG.items():
        with pytest.raises(AssertionError):
            with_bug(title.partition(":")[0], *change)
        print(title)


def test_planted_bugs_are_found_and_those_out_of_range_with_thread_and_block():
    assert simulated("bugs_are_found()").splitlines() == [*PLANTED, *WRONG]


def is_noticed(where: str, which: int) -> bool:
    try:
        with_bug(where, BARRIER, "pass", which)
    except (AssertionError, ArithmeticError, ValueError):  # math.log(0) is a ValueError here
        return True
    return False


def every_barrier_is_missed() -> None:
    """The simulator lets a thread run until it waits, so a thread that misses a barrier is most likely far ahead."""
    small_and_poisoned()
    for where, count in BARRIERS.items():
        stem, function = where.split()
        module = importlib.import_module(f"tinygen.kernels.{stem}.numba_cuda")
        assert inspect.getsource(getattr(module, function).__wrapped__).count(BARRIER) == count
        for which in range(count):
            assert any(is_noticed(where, which) for attempt in range(3)), f"{where}, barrier {which}"


def test_every_barrier_is_missed():
    simulated("every_barrier_is_missed()")


def test_the_sizes_for_the_simulator_are_all_there_are():
    for module in modules():
        sizes = {name for name, value in vars(module).items() if name.isupper() and isinstance(value, int)}
        assert sizes <= SMALL.keys()


def jitted_functions():
    """The syntax tree of every function that is compiled for the GPU"""
    for path in Path(kernels.__file__).parent.glob("*/numba_cuda.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and any(
                "cuda.jit" in ast.unparse(d) for d in node.decorator_list
            ):
                yield pytest.param(node, id=f"{path.parent.name}-{node.name}")


@pytest.mark.parametrize("function", [*jitted_functions()])
def test_what_the_simulator_does_not_notice(function):
    """A barrier that some threads skip, two shared arrays on one line, and warp functions, which it lacks"""
    text = ast.unparse(function)
    if "syncthreads" in text:
        assert not any(
            "syncthreads" in ast.unparse(node) for node in ast.walk(function) if isinstance(node, ast.If)
        )
        assert not any(
            isinstance(node, ast.Return) for node in ast.walk(function) if node is not function.body[-1]
        )
    assert all(line.count("shared.array") <= 1 for line in text.splitlines())
    assert not re.search(r"cuda\.\w*(warp|shfl|vote|ballot|match_|lane|activemask)", text)


# Without a GPU and without the simulator ------------------------------------------------------------------------------


def test_numpy_arrays_need_the_simulator():
    x = np.ones((2, 2), np.float32)
    with kernels.use(matmul="numba_tiled", on="simulator"):
        with pytest.raises(RuntimeError, match="set NUMBA_ENABLE_CUDASIM=1"):
            kernels.matmul(x, x)


@pytest.mark.parametrize(
    "name, variant, args, attrs, message",
    [
        ("matmul", "numba_tiled", [(2, 3), (2, 3)], {}, r"float32 \(2, 3\), w float32 \(2, 3\)"),
        ("matmul", "numba_naive", [(3,), (3, 2)], {}, r"expected \(…, M, K\) and"),
        ("attention", "numba_tiled", [(2, 3), (4, 3), (4, 129), None], {"scale": 1, "causal": False}, "E at most 128"),
        ("normalize", "numba_rows", [(2, 3, 4), (3, 1), None, (2,), 1e-5], {}, "last dimensions normalized"),
        ("normalize", "numba_rows", [(2, 3, 4), None, None, (0, 2), 1e-5], {}, "last dimensions normalized"),
    ],
)  # fmt: skip
def test_what_a_rung_does_not_take_it_names(name, variant, args, attrs, message):
    args = [np.ones(a, np.float32) if isinstance(a, tuple) and i < 3 else a for i, a in enumerate(args)]
    with kernels.use(**{name: variant}, on="simulator"):
        with pytest.raises(ValueError, match=f"{name}: .*{message}"):
            getattr(kernels, name)(*args, **attrs)


def test_only_floats_of_one_kind_and_grids_that_fit():
    x = np.ones((2, 2), np.float32)
    with kernels.use(matmul="numba_tiled", on="simulator"):
        for w in x.astype(np.float64), x.astype(np.int32), x.astype(np.float16):
            with pytest.raises(ValueError, match="both float32 or both float64"):
                kernels.matmul(x, w)
        with pytest.raises(ValueError, match=r"tiled: a grid of \(.*, 70000\) blocks; CUDA starts"):
            kernels.matmul(np.ones((70_000, 1, 1), np.float32), np.ones((1, 1), np.float32))


@pytest.mark.parametrize("pointer", [0, 77])
def test_on_arrays_of_a_gpu_it_is_launched_on_cupys_current_stream(pointer, monkeypatch):
    class Module:  # the parts of cupy and numba.cuda that a launch uses
        cuda = types.SimpleNamespace(get_current_stream=lambda: types.SimpleNamespace(ptr=pointer))

        def external_stream(self, pointer):
            return f"stream {pointer}"

        def jit(self, **options):
            return lambda function: Launches()

    class Launches(list):
        def __getitem__(self, sizes):
            return lambda *arguments: launches.append((sizes, arguments))

    launches = []
    monkeypatch.setitem(sys.modules, "cupy", Module())
    monkeypatch.setattr(numba_cuda, "array_module", lambda x: sys.modules["cupy"])
    monkeypatch.setattr(numba_cuda, "numba_cuda", Module)
    numba_cuda.Jitted(lambda x, y: None)[(1, 2, 3), (4, 5, 6)]("x", "y")
    stream = f"stream {pointer}" if pointer else 0
    assert launches == [(((1, 2, 3), (4, 5, 6), stream), ("x", "y"))]
    monkeypatch.setattr("numba.core.config.ENABLE_CUDASIM", 1)
    with pytest.raises(RuntimeError, match=r"simulator is on .* takes only numpy arrays"):
        numba_cuda.Jitted(lambda x, y: None)[(1, 2, 3), (4, 5, 6)]("x", "y")


@compiles
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name, variant", [(name, variant) for name in RUNGS for variant in RUNGS[name]])
def test_compiles_without_a_gpu(name, variant, dtype, monkeypatch):
    """To PTX for two architectures.  Nothing in float32 is computed in float64; shared memory fits every GPU."""
    launches = []
    monkeypatch.setattr(
        numba_cuda.Jitted, "launch", lambda self, grid, block, *args: launches.append((self, args))
    )
    for args, attrs in [*globals()[name](Arrays(dtype), big=False)][1:3]:
        with kernels.use(**{name: variant}, on="simulator"):
            getattr(kernels, name)(*args, **attrs)
    launches = [launches[0], launches[-1]]
    for (jitted, args), capability in zip(launches, [(9, 0), (8, 0)] if dtype == "float32" else [(9, 0)]):
        ptx = jitted.ptx(*args, capability=capability)
        assert f".target sm_{capability[0]}{capability[1]}" in ptx
        assert dtype == "float64" or ".f64" not in ptx
        shared = [int(size) for size in re.findall(r"\.shared .*\[(\d+)\]", ptx)]
        assert bool(shared) == (variant in ("numba_tiled", "numba_rows")) == ("bar.sync" in ptx)
        assert sum(shared) <= 48 * 1024


# On a GPU -------------------------------------------------------------------------------------------------------------


@compiles
@pytest.mark.gpu
@pytest.mark.parametrize("name, variant", [(name, variant) for name in RUNGS for variant in RUNGS[name]])
def test_on_the_gpu(name, variant):
    import cupy

    for dtype in np.float32, np.float64:
        with cupy.cuda.Stream(non_blocking=True):
            for args, attrs in globals()[name](Arrays(dtype, cupy), big=True):
                check(name, variant, args, attrs)
