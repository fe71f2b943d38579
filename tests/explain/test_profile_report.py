"""The report of a profile: table, picture and JSON."""

import json

import pytest
from test_profile import calls, floats, measured_ms, quiet, row

import tinygen
from tinygen import optim
from tinygen.benchmarks.studies import profile_vae
from tinygen.profile.profiler import TAPE


def test_the_table_is_aligned(capsys):
    x = floats(300, 300, requires_grad=True)
    p = tinygen.profile()
    with p:
        (x.exp() @ x).tanh().sum().backward()
        optim.Adam([x]).step()
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err == f"{p.table()}\n" == f"{p}\n"
    lines = p.table().splitlines()
    head, rule = lines[:2]
    assert rule == lines[6] == "-" * len(head) and len(lines) == 11
    assert all(len(line) == len(head) for line in lines)
    ends = [i for i, c in enumerate(head) if c != " " and head[i + 1 : i + 3].strip() == ""]
    ends = ends[1:]  # of the columns of numbers
    assert len(ends) == 8
    for line in [*lines[2:6], lines[10]]:
        assert all(line[end] != " " and line[end + 1 : end + 3].strip() == "" for end in ends)
    operations = [r["operation"] for r in p.rows if r["kind"] == "operation"]
    assert [line.split()[0] for line in lines[2:6]] == operations
    foot = {line.split("  ")[0] for line in lines[7:]}
    assert foot == {"Adam.step, 1 calls", f"{TAPE}, 1 calls", "not in any of these", "the block"}
    assert lines[10].split()[-3:] == [f"{p.wall_ms:.2f}", "100.0", "%"]


def test_row_limit_adds_up_the_rest():
    x = floats(30, requires_grad=True)
    with quiet() as p:
        x.exp().tanh().sin().cos().sum().backward()
    whole, short = p.table().splitlines(), p.table(row_limit=2).splitlines()
    assert short[2:4] == [line[: len(line)] for line in whole[2:4]] and short[4].startswith("3 more")
    assert short[-1] == whole[-1] and len(short) == len(whole) - 2
    operations = [r for r in p.rows if r["kind"] == "operation"]
    cells = short[4].split()
    assert cells[2] == f"{sum(r['forward_ms'] for r in operations[2:]):.2f}" and cells[3] == cells[5] == "3"


def test_an_empty_block():
    with quiet() as p:
        pass
    assert p.rows == [] and "the block" in p.table() and p.peak_bytes == 0
    assert p.plot() is not None


def test_json(tmp_path):
    with quiet() as p:
        floats(3, requires_grad=True).exp().sum().backward()
    p.to_json(tmp_path / "p.json")
    assert json.loads((tmp_path / "p.json").read_text()) == {
        "wall_ms": p.wall_ms, "peak_bytes": p.peak_bytes, "rows": p.rows,
    }  # fmt: skip


def test_a_training_step_of_the_vae_and_its_picture(tmp_path, capsys):
    from PIL import Image

    path = tmp_path / "profile.png"
    profile_vae.main(["--steps", "2", "--repeat", "2", "--rows", "5", "-o", str(path)])
    assert "Adam.step, 2 calls" in capsys.readouterr().out
    p = profile_vae.measure(steps=2)
    assert calls(p)["linear"] == (14, 14) and row(p, "Adam.step")["calls"] == 2
    assert measured_ms(p) <= p.wall_ms
    with Image.open(path) as image:
        assert image.width > 900 and image.height > 300 and len(image.convert("RGB").getcolors(10**6)) > 10
    figure = p.plot()
    figure.draw_without_rendering()
    times, memory = figure.axes
    names = [label.get_text() for label in times.get_yticklabels()]
    assert names == [r["operation"] for r in p.rows if r["kind"] == "operation"] + [
        r["operation"] for r in p.rows if r["kind"] != "operation"
    ] + ["not in any of these"]
    lengths = [sum(bars[i].get_width() for bars in times.containers) for i in range(len(names))]
    assert lengths[:-1] == pytest.approx([row(p, name)["ms"] for name in names[:-1]])
    assert sum(lengths) == pytest.approx(p.wall_ms)
    assert sum(bar.get_width() for bar in memory.containers[0]) * 2**20 == pytest.approx(p.peak_bytes)
    box = figure.get_tightbbox().padded(-0.01)
    assert box.xmin >= 0 and box.ymin >= 0 and box.xmax <= figure.bbox_inches.xmax, "text beyond the edge"
