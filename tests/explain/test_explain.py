"""`tinygen explain`: every operation, and the graph of a program."""

import io
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tinygen
from tinygen import cli, kernels, ops
from tinygen.engine import backward
from tinygen.engine.primitive import primitive
from tinygen.explain import explain, explain_operation, find
from tinygen.explain.demo import run_example
from tinygen.explain.drawing import Layout
from tinygen.explain.examples import EXAMPLES, example_of
from tinygen.explain.graph import dot, graph_of, names_of, result_of, run_program
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
    """Docstring, places that exist, every row of everything recorded, and a check that passed.

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
    """What the case table differentiates is not called `not differentiable` here (but zero_ and the like are)."""
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


# what is said


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


# graphs


def parse_dot(text):
    """The nodes {id: label} and edges [(a, b, label)] of a digraph; fails on what is no DOT."""
    lines = text.strip().split("\n")
    assert lines[0] == "digraph {" and lines[-1] == "}"
    string = r'"((?:[^"\\]|\\.)*)"'
    attribute = rf"\w+=(?:{string}|[\w.#]+)"
    nodes, edges = {}, []
    for line in lines[1:-1]:
        match = re.fullmatch(rf"  (?:(\w+)(?: -> (\w+))?) \[({attribute}(?: {attribute})*)\]", line)
        if match is None:
            assert re.fullmatch(r"  rankdir=TB", line), line
            continue
        label = re.search(rf"label={string}", line)
        if match[2]:
            edges.append((match[1], match[2], label[1]))
        elif label:
            nodes[match[1]] = label[1]
    assert {n for a, b, _ in edges for n in (a, b)} <= set(nodes)
    return nodes, edges


def test_the_graph_of_a_network(tinygen_):
    code, out, err = tinygen_(str(PROGRAMS / "classify.py"))
    assert code == 0 and err.startswith("loss ")
    nodes, edges = parse_dot(out)
    variables, record = run_program(str(PROGRAMS / "classify.py"))
    loss = variables["loss"]
    recorded = backward.topological([loss.grad_fn])
    inputs = [d for node in recorded for d in node.inputs if d is not None]
    leaves = {p for node in recorded for p in node.parents if isinstance(p, tinygen.Tensor)}
    operations = [label for label in nodes.values() if "line " in label]
    assert len(operations) == len(recorded) and len(edges) == len(inputs)
    assert len(leaves) == 4
    for label in (r"net.0.weight\n(8, 4)", r"net.2.bias\n(3,)", r"x\n(5, 4)"):
        assert label in nodes.values()
    # tanh keeps its output, 5 · 8 float32, also where a backward has freed it
    assert r"tanh\n(5, 8)\nkeeps 160 B\nline 10" in nodes.values()
    assert any(label.startswith("loss = ") for label in nodes.values())
    by_label = {label.split(r"\n")[0]: n for n, label in nodes.items()}
    assert (by_label["net.0.weight"], by_label["linear"], "(8, 4)") not in edges  # two are called linear
    assert ("(8, 4)") in [shape for a, _, shape in edges if a == by_label["net.0.weight"]]
    assert len(nodes) == len(graph_of(loss, "loss", names_of(variables), record).vertices)


def test_the_result_is_the_last_assigned(tinygen_):
    nodes, edges = parse_dot(tinygen_(str(PROGRAMS / "last.py"))[1])
    assert sum(label.startswith("first = exp") for label in nodes.values()) == 1
    labels = [label.split(r"\n")[0] for label in nodes.values()]
    assert sorted(labels) == sorted(["b", r"w['a \"quoted\"\\\\ name']", "mul", "add", "first = exp"])
    assert len(edges) == 5  # the sum takes the product twice
    nodes, _ = parse_dot(tinygen_(str(PROGRAMS / "last.py"), "--of", "second")[1])
    assert len(nodes) == 3


@pytest.mark.parametrize("kind, start", [("png", b"\x89PNG"), ("svg", b"<?xml"), ("dot", b"digraph {")])
def test_pictures(kind, start, tinygen_, tmp_path):
    path = tmp_path / f"graph.{kind}"
    code, out, _ = tinygen_(str(PROGRAMS / "classify.py"), "-o", str(path))
    assert (code, out) == (0, f"{path}\n") and path.read_bytes().startswith(start)
    if kind == "svg":
        assert path.read_text().count("net.0.weight") == 1


def layout_of(name):
    variables, record = run_program(str(PROGRAMS / name))
    of, result = result_of(variables, str(PROGRAMS / name), None)
    graph = graph_of(result, of, names_of(variables), record)
    return graph, Layout(graph)


@pytest.mark.parametrize("name", ["classify.py", "last.py"])
def test_boxes_do_not_overlap_and_edges_run_down(name):
    graph, layout = layout_of(name)
    n = len(graph.vertices)
    boxes = [(layout.x[i], layout.y[i], layout.width[i], layout.height[i]) for i in range(n)]
    for i, (x, y, w, h) in enumerate(boxes):
        for X, Y, W, H in boxes[:i]:
            assert abs(x - X) >= (w + W) / 2 or abs(y - Y) >= (h + H) / 2
    for a, b, _ in graph.edges:
        assert layout.y[a] - layout.height[a] / 2 > layout.y[b] + layout.height[b] / 2
    assert dot(graph)


def test_the_program_is_undisturbed(tmp_path, tinygen_):
    """It sees itself as __main__, imports from its folder, and leaves nothing behind."""
    (tmp_path / "neighbour.py").write_text("import tinygen\nw = tinygen.ones(2, requires_grad=True)\n")
    (tmp_path / "program.py").write_text(
        "import sys\nfrom neighbour import w\nassert __name__ == '__main__' and len(sys.argv) == 1\n"
        "y = (w * 2).sum()\nif __name__ == '__main__':\n    sys.exit()\n"
    )
    before = (
        sys.modules["__main__"],
        list(sys.path),
        list(sys.argv),
        tinygen.engine.primitive.Primitive._record,
    )
    code, out, _ = tinygen_(str(tmp_path / "program.py"))
    assert code == 0 and len(parse_dot(out)[0]) == 3
    assert before == (sys.modules["__main__"], sys.path, sys.argv, tinygen.engine.primitive.Primitive._record)
    sys.modules.pop("neighbour")


def test_a_program_that_fails_to_compile_or_exits(tmp_path, tinygen_):
    (tmp_path / "syntax.py").write_text("x = 1\ny = (\n")
    assert "syntax.py:2: SyntaxError" in tinygen_(str(tmp_path / "syntax.py"))[2]
    (tmp_path / "exit.py").write_text("import sys\nsys.exit(3)\n")
    code, _, err = tinygen_(str(tmp_path / "exit.py"))
    assert code == 2 and "exit.py: exited with 3" in err
