"""`tinygen explain`: every operation."""

import io
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tinygen
from tinygen import cli, kernels, ops
from tinygen.engine.primitive import primitive
from tinygen.explain import explain, explain_operation, find
from tinygen.explain.demo import run_example
from tinygen.explain.examples import EXAMPLES, example_of
from tinygen.explain.names import OPERATORS, entries
from tinygen.explain.source import ROOT, plain, row, statement_comment

PROGRAMS = Path(__file__).parent / "fake_programs"
ENTRIES = entries()
PLACE = re.compile(r"(tinygen/\S+\.py):(\d+)$", re.MULTILINE)


@pytest.fixture
def tinygen_(capfd):
    """Run a command in this process.  -> exit code, stdout, stderr"""

    def call(*argv):
        capfd.readouterr()
        code = cli.main(["explain", *argv])
        out, err = capfd.readouterr()
        return code, out, err

    return call


def squeezed(text):
    return re.sub(r"\s+", "", text)


def line_of(place, number):
    return (ROOT / place).read_text(encoding="utf-8").split("\n")[number - 1]


# every operation


@pytest.mark.parametrize("name", ENTRIES)
def test_every_operation(name, monkeypatch):
    """Docstring, locations that exist, every row of every recorded primitive, and a check that passed.

    It fails for a new operation without an example, and says where to add it.
    """
    monkeypatch.setattr("tinygen.explain.demo.SEEDS", 1)
    entry = ENTRIES[name]
    explanation = explain_operation(name)
    text = explanation.text()
    assert (entry.target.__doc__ or "").strip(), f"{name} has no docstring"
    assert squeezed(entry.target.__doc__.split("\n")[0]) in squeezed(text)
    assert explanation.passed, text[text.index("Check\n") :]
    assert max(map(len, text.split("\n"))) <= 100
    for title in ("Forward", "Kernels", "Example", "Check"):
        assert f"\n{title}\n" in text
    places = PLACE.findall(text)
    assert places
    for place, number in places:
        assert re.search(r"def |@|lambda|=|class ", line_of(place, int(number))), f"{place}:{number}"
    for op in explanation.primitives:
        for r in op.sources if op.differentiable else ():
            assert r is None or squeezed(row(r).text) in squeezed(text), f"{op} {row(r).text}"


def test_differentiable_operations_are_checked():
    """Operations that the case table differentiates are not called `not differentiable` (zero_ and such are)."""
    from cases import CASES

    for case in CASES.values():
        entry = ENTRIES.get(case.name)
        if case.grad and case.second and entry and not entry.is_layer and not case.name.endswith("_"):
            result = run_example(example_of(case.name, entry.target), 0)
            assert result.gradients, f"{case.name}: its example records nothing"


def test_an_operation_without_an_example_says_where_to_add_it():
    def strange(x, dim, index):
        """New"""

    with pytest.raises(LookupError, match="give one to its @operation"):
        example_of("strange", strange)
    assert not set(EXAMPLES) - set(ENTRIES), "examples of what does not exist"


def test_every_public_name_is_found():
    for name in (*ops.FUNCTIONS, *ops.METHODS, *OPERATORS):
        assert find(name)
    for name in ops.METHODS:
        found = find(f"Tensor.{name}").target
        assert plain(found) is plain(ops.METHODS[name]) or found is find(name[:-1]).target


@pytest.mark.parametrize(
    "spelling, name",
    [
        ("gelu", "F.gelu"), ("F.gelu", "F.gelu"), ("torch.nn.functional.gelu", "F.gelu"), ("F.conv2d", "conv2d"),
        ("torch.exp", "exp"), ("nn.BatchNorm2d", "nn.BatchNorm2d"), ("BatchNorm2d", "nn.BatchNorm2d"),
        ("view", "Tensor.view"), ("Tensor.view", "Tensor.view"), ("Tensor.exp", "exp"), ("@", "matmul"), ("+", "add"),
        ("**", "pow"), ("__matmul__", "matmul"), ("x[i]", "Tensor.__getitem__"), ("getitem", "Tensor.__getitem__"),
        ("add_", "add"), ("T", "permute"), ("F.relu", "F.relu"), ("relu", "relu"), ("Tensor.__getitem__",) * 2,
    ],
)  # fmt: skip
def test_spellings(spelling, name):
    assert find(spelling).name == name


# the text


def test_softmax_from_formula_to_kernel():
    text = explain("softmax")
    at = [
        text.index(part)
        for part in (
            "softmax(input, dim, dtype=None)",
            "y_i = exp(x_i) / Σ_j exp(x_j) along `dim`",
            "\nForward\n",
            "return kernels.softmax(x, dim)",
            "\nDerivatives\n",
            "the Jacobian is diag(y) - y yᵀ",
            "lambda g, y, dim: y * (g - sum(g * y, dim, keepdim=True))",
            "kernels.softmax_grad(g, y, dim)",
            "\nKernels\n",
            "reference (cpu and cuda, ran here)",
            "\nExample\n",
            "\nCheck\n",
            "first derivatives   passed",
            "second derivatives  passed",
        )
    ]
    assert at == sorted(at)


def test_example_values_are_right():
    """The printed gradient is that of sum(c · y) with c = 1, 2, 3, …"""
    example = EXAMPLES["softmax"]
    result = run_example(example, 0)
    x = example.arrays(0)["x"]
    y = np.exp(x) / np.exp(x).sum(1, keepdims=True)
    c = np.arange(1.0, 7).reshape(2, 3)
    expected = y * (c - (c * y).sum(1, keepdims=True))
    np.testing.assert_allclose(np.asarray(result.gradients["x"]), expected)
    first = np.array2string(expected, precision=3, suppress_small=True).split("\n")[0]
    assert first in explain("softmax")


def test_options_rows_and_helpers_of_others():
    std = explain("std")
    assert "def _root(x)" in std and "_spread" in std and "def kept_shape" in std
    assert "No rows" not in std and "∂L/∂x" in std
    assert "not differentiable" in explain("argmax").lower() and "int64" in explain("argmax")
    assert "not differentiable" in explain("zeros").lower()
    assert "∂L/∂xs[i]" in explain("cat")
    assert "NumPy itself" in explain("exp") and "_exp" not in explain("exp")
    layer = explain("nn.BatchNorm2d")
    assert "It computes with batch_norm:" in layer and "F.batch_norm(x, mean, var" in layer
    assert "def _normalize_row" in layer and layer.count("def _normalize_row") == 1


def test_kernels_and_what_ran():
    text = explain("F.cross_entropy")
    assert "kernels.cross_entropy_grad, called by the backward:" in text
    bce = explain("F.binary_cross_entropy_with_logits")
    assert "reference (cpu and cuda, ran here)" in bce and "one_pass (cpu)" in bce
    with kernels.use(bce_with_logits="one_pass"):
        x = tinygen.randn(3, requires_grad=True)
        with kernels.runtime.dispatch.trace() as calls:
            tinygen.nn.functional.binary_cross_entropy_with_logits(x, tinygen.ones(3))
    assert calls[0] == ("bce_with_logits", "one_pass")
    assert {name for name, _ in calls[1:]} == {"mean"}


def test_trace_leaves_no_trace():
    before = [ladder for k in kernels.runtime.dispatch._registry.values() for ladder in k.ladder.values()]
    with pytest.raises(RuntimeError), kernels.runtime.dispatch.trace() as calls:
        kernels.matmul(np.ones((2, 2)), np.ones((2, 2)))
        raise RuntimeError
    after = [ladder for k in kernels.runtime.dispatch._registry.values() for ladder in k.ladder.values()]
    assert calls == [("matmul", "reference")] and all(a is b for a, b in zip(before, after))


def test_comments_go_with_their_rows():
    two = primitive(lambda x, w: x, name="two")
    # above both
    two.vjp(
        lambda g: g,  # of x alone
        # above w alone
        lambda g, w: g + w,
    )
    assert [row(r).comment for r in two.sources] == ["of x alone", "above w alone"]
    same = primitive(lambda x, w: x, name="same")
    same.vjp(lambda g: g, lambda g: -g)  # of both
    assert [row(r).comment for r in same.sources] == ["", ""]
    assert [row(r).text for r in same.sources] == ["lambda g: g", "lambda g: -g"]
    assert statement_comment(ops.arithmetic._pow.sources).startswith("∂/∂x = n x^(n-1)")
    assert statement_comment(ops.reduce._logsumexp.sources).startswith("∂y/∂x = exp(x - y)")


def test_random_state_is_left_alone():
    tinygen.manual_seed(3)
    expected = tinygen.randn(3).numpy().copy()
    tinygen.manual_seed(3)
    explain("dropout")
    np.testing.assert_array_equal(tinygen.randn(3).numpy(), expected)


# wrong rows


@pytest.mark.parametrize("order", [1, 2])
def test_a_wrong_row_is_reported(order, monkeypatch, tinygen_):
    op = ops.sin
    rows = op.rows
    wrong = {
        1: lambda known, i: known["g"] * ops.sin(known["x"]),
        2: lambda known, i: known["g"] * ops.cos(known["x"].detach()),
    }[order]
    assert rows
    monkeypatch.setattr(op, "rows", (wrong,))
    code, out, err = tinygen_("sin")
    assert (code, err) == (1, "")
    assert ("first derivatives   FAILED" in out) == (order == 1)
    assert "second derivatives  FAILED" in out and "expected" in out


def test_the_seed_changes_the_example(tinygen_):
    code, first, _ = tinygen_("exp", "--seed", "5")
    assert code == 0 and "3 seeds from 5" in first
    assert first.split("Example")[1] != tinygen_("exp")[1].split("Example")[1]


# the command


def test_command(tinygen_, monkeypatch):
    code, out, err = tinygen_("tanh")
    assert (code, err) == (0, "") and "\033" not in out
    assert tinygen_("@")[1].startswith("matmul(")
    code, out, _ = tinygen_()
    assert code == 0
    for name in (*ENTRIES, *OPERATORS):
        assert re.search(rf"(^|\s){re.escape(name)}(\s|$)", out), name


def test_the_page_shows_what_is_printed():
    page = Path(__file__).resolve().parents[2] / "tinygen" / "explain" / "README.md"
    shown = re.findall(r"<!-- explain (\S+) -->\n```\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    assert shown
    for name, text in shown:
        assert re.sub(r":\d+| +", " ", text) in re.sub(r":\d+| +", " ", explain(name))


def test_bold_only_on_a_terminal(monkeypatch, capsys):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    for value, bold in (("", True), ("1", False)):
        monkeypatch.setenv("NO_COLOR", value)
        monkeypatch.setattr(sys, "stdout", Terminal())
        assert cli.main(["explain", "neg"]) == 0
        assert ("\033[1mForward\033[0m" in sys.stdout.getvalue()) == bold


@pytest.mark.parametrize(
    "argv, words",
    [
        (["sofmax"], "unknown operation 'sofmax'; did you mean softmax or "),
        (["F.batchnorm"], "did you mean batch_norm"),
        (["qqqq"], "unknown operation 'qqqq'; `tinygen explain` lists them all"),
        (["softmax", "-o", "x.png"], "-o: only for a GRAPH.py"),
        (["softmax", "--seed", "x"], "argument --seed"),
        (["softmax", "--seed", "-1"], "--seed: found -1, expected 0 or more"),
        ([str(PROGRAMS / "last.py"), "--seed", "1"], "--seed: not for a GRAPH.py"),
        ([str(PROGRAMS / "missing.py")], "missing.py: No such file or directory"),
        (
            [str(PROGRAMS / "last.py"), "-o", "x.gif"],
            "-o: found x.gif, expected a name that ends in .dot, .png or .svg",
        ),
        ([str(PROGRAMS / "last.py"), "-o", "/nowhere/x.png"], "-o: /nowhere/x.png cannot be written"),
        ([str(PROGRAMS / "last.py"), "--of", "nope"], "has no variable 'nope'; recorded: second, first"),
        ([str(PROGRAMS / "last.py"), "--of", "b"], "--of: b was not recorded"),
        ([str(PROGRAMS / "nothing.py")], "no variable at its top level is a Tensor with a graph"),
        ([str(PROGRAMS / "wrong.py")], "wrong.py:7: ShapeError: matmul: x has 3 columns, other has 2 rows"),
    ],
)
def test_bad_input_is_one_line(argv, words, tinygen_):
    code, out, err = tinygen_(*argv)
    assert (code, out) == (2, "")
    assert err.startswith("tinygen: error: ") and len(err.splitlines()) == 1 and words in err


def test_traceback_of_the_program(tinygen_):
    code, _, err = tinygen_(str(PROGRAMS / "wrong.py"), "--traceback")
    assert code == 2 and "Traceback" in err and "return a @ b" in err
    assert err.splitlines()[-1].startswith("tinygen: error: ")


def test_import_stays_light():
    code = "import sys, tinygen; print(any(m.startswith('tinygen.explain') for m in sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"
