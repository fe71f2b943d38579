"""`tinygen explain GRAPH.py`: the graph of a small program, as DOT and as a picture."""

import re
import sys
from pathlib import Path

import pytest

import tinygen
from tinygen import cli
from tinygen.engine import backward
from tinygen.explain.drawing import Layout
from tinygen.explain.graph import dot, graph_of, names_of, result_of, run_program

PROGRAMS = Path(__file__).parent / "fake_programs"


@pytest.fixture
def tinygen_(capfd):
    """Run a command in this process.  -> exit code, stdout, stderr"""

    def call(*argv):
        capfd.readouterr()
        code = cli.main(["explain", *argv])
        out, err = capfd.readouterr()
        return code, out, err

    return call


def parse_dot(text):
    """The nodes {id: label} and edges [(a, b, label)] of a digraph; fails if it is not DOT."""
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
    # tanh keeps its output, 5 · 8 float32, even if a backward has freed it
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
    """A program runs as __main__, imports from its folder, and leaves nothing behind."""
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
