"""The variants of the Adam kernel against each other."""

import numpy as np
import pytest
from support.bounds import pass_with_bounds_checked

import tinygen as tg
from tinygen import kernels, optim

SIZES = {
    "one": [(1,)],
    "nothing": [(0,), (3, 0)],
    "small": [(3,), (5, 7), ()],
    "many": [(17,), (0, 4), (256,), (), (13, 11), (1,), (257,)],
    "threads": [(1001, 1039), (3,), (10_007,), (2, 3)],  # above the size at which the kernels use threads
}


def adam_steps(sizes, dtype, variant, decoupled=True, threads=1, own=lambda a: a.copy()):
    """Five steps of parameters with different step counts, from the same start.  -> p, m, v of each"""
    import numba

    rng = np.random.default_rng(0)
    p, m, v = ([own(np.asarray(rng.normal(size=s) * scale, dtype)) for s in sizes] for scale in (1, 0.1, 0.3))
    v = [own(np.asarray(np.abs(a))) for a in v]
    numba.set_num_threads(threads)
    with kernels.use(adam=variant):
        for step in range(1, 6):
            g = [np.asarray(rng.normal(size=s) * 10.0**-step, dtype) for s in sizes]
            kernels.adam(
                p, g, m, v, lr=0.01, beta1=0.9, beta2=0.99, eps=1e-8, weight_decay=0.1, decoupled=decoupled,
                step=[step + i % 2 for i in range(len(sizes))],
            )  # fmt: skip
    assert {a.dtype for a in (*p, *m, *v)} == {np.dtype(dtype)}
    return [*p, *m, *v]


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("decoupled", [False, True])
def test_adam_compiled_and_reference_agree(sizes, dtype, decoupled):
    import numba

    tolerance = dict(rtol=2e-6, atol=1e-7) if dtype == "float32" else dict(rtol=1e-11, atol=1e-14)
    expected = adam_steps(sizes, dtype, "reference", decoupled)
    found = adam_steps(sizes, dtype, "one_pass", decoupled)
    for a, b in zip(expected, found):
        np.testing.assert_allclose(a, b, **tolerance)
    for threads in {1, numba.config.NUMBA_NUM_THREADS}:
        for a, b in zip(found, adam_steps(sizes, dtype, "one_pass", decoupled, threads)):
            assert a.tobytes() == b.tobytes()  # the result does not depend on the thread


def test_the_compiled_adam_takes_some_and_leaves_others_to_the_reference():
    """Parameters that are strided, unaligned or of other dtypes, among others: each is updated as if it were alone."""

    def unaligned(a):
        bytes = np.zeros(a.nbytes + 1, np.uint8)
        bytes[1:].view(a.dtype)[:] = a.ravel()
        return bytes[1:].view(a.dtype).reshape(a.shape)

    for own in np.asfortranarray, unaligned, lambda a: np.repeat(a, 2, -1)[..., ::2] if a.ndim else a.copy():
        expected = adam_steps(SIZES["many"], "float64", "reference")
        for a, b in zip(expected, adam_steps(SIZES["many"], "float64", "one_pass", own=own)):
            np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-14)
    p = [np.ones(300, dtype) for dtype in ("float32", "float16", "float64", "float32")]
    rate = dict(lr=0.5, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0, decoupled=False, step=[1, 1, 1, 7])
    kernels.adam(p, [a * 1 for a in p], [a * 0 for a in p], [a * 0 for a in p], **rate)
    np.testing.assert_allclose([float(a[7]) for a in p[:3]], 0.5, rtol=1e-3)
    assert len({*map(float, p[3])}) == 1 and p[3][0] != p[0][0]


def test_adam_within_the_bounds_of_its_arrays(tmp_path):
    pass_with_bounds_checked(__file__, tmp_path, "-k", "adam_compiled")


def test_what_the_compiled_adam_cannot_take_goes_to_the_reference(monkeypatch):
    chosen = []

    def spied(name, function, usable):
        return name, lambda *args, **options: (chosen.append(name), function(*args, **options)), usable

    monkeypatch.setitem(kernels.adam.ladder, "cpu", [spied(*rung) for rung in kernels.adam.ladder["cpu"]])
    rng = np.random.default_rng(0)
    a, g = rng.normal(size=(40, 50)), rng.normal(size=(50, 40)).T
    for array, gradient, variant in (
        (a.copy(), g.copy("C"), "one_pass"),
        (a.copy(), g, "reference"),
        (a.copy("F"), g.copy("C"), "reference"),
        (a.copy("F"), g, "reference"),
        (np.repeat(a, 2, axis=1)[:, ::2], g.copy("C"), "reference"),
        (a[:2, :3].copy(), g[:2, :3].copy("C"), "reference"),
        (a[:, 0].copy(), np.broadcast_to(g[0, 0], 40), "reference"),
    ):
        p = tg.from_numpy(array).requires_grad_()
        p.grad = tg.from_numpy(gradient)
        expected = array - 0.1 * gradient / (np.abs(gradient) + 1e-8)  # the first step of Adam
        optim.Adam([p], lr=0.1).step()
        np.testing.assert_allclose(p.detach().numpy(), expected, rtol=1e-12, atol=1e-12)
        assert chosen.pop() == variant and not chosen
    p = tg.tensor(a.astype(np.float16)).requires_grad_()
    p.grad = tg.ones(*a.shape, dtype=tg.float16)
    optim.Adam([p], lr=0.1, eps=1e-3).step()
    assert chosen == ["reference"] and p.dtype == np.float16
    np.testing.assert_allclose(p.detach().numpy(), a - 0.1, atol=5e-3)
