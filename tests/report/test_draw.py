"""Drawings: the same text every time, well-formed, and nothing drawn over a label."""

import itertools
import re
import xml.etree.ElementTree as xml

import pytest
from spaces_for_tests import bundled_space
from test_space_report import V2, resolved_darts

from nasdsl.ir.formats import forms
from nasdsl.report.draw import FORMS, DrawError, drawing
from nasdsl.report.layout import layered
from nasdsl.report.picture import cells_of, describe, family, of_cell, of_network

SPACES = [
    ("darts.nas", "darts"),
    ("robust_darts.nas", "robust_s1"),
    ("nasbench201.nas", "nasbench201"),
    ("nasbench101.nas", "nasbench101"),
    ("nasbench101.nas", "nb1shot1_s2"),
    ("small.nas", "hierarchical"),
    ("small.nas", "tabular"),
    ("nasnet.nas", "nasnet"),
]


@pytest.mark.parametrize(("file", "name"), SPACES)
def test_every_form_of_every_cell(file, name):
    space = bundled_space(file, name)
    for cell in (None, "stages", *cells_of(space.supernet)):
        for form in FORMS:
            text = drawing(space, form, cell)
            assert text == drawing(bundled_space(file, name), form, cell)
            assert text.endswith("\n")
        assert xml.fromstring(drawing(space, "svg", cell)).tag.endswith("svg")


def rectangles(text):
    """Boxes of an SVG apart from the background: x, y, width, height."""
    root = xml.fromstring(text)
    found = [e for e in root if e.tag.endswith("rect")][1:]
    return [tuple(float(e.get(k)) for k in ("x", "y", "width", "height")) for e in found]


def texts(text):
    root = xml.fromstring(text)
    return [(float(e.get("x")), float(e.get("y")), e.text) for e in root if e.tag.endswith("text")]


def apart(a, b):
    return a[0] + a[2] <= b[0] or b[0] + b[2] <= a[0] or a[1] + a[3] <= b[1] or b[1] + b[3] <= a[1]


@pytest.mark.parametrize("name", ["normal", "reduce"])
def test_no_label_lies_on_another(name):
    _, space = resolved_darts()
    text = drawing(space, "svg", name, resolved=True)
    boxes = rectangles(text)
    assert len(boxes) == 7 + 8
    for a, b in itertools.combinations(boxes, 2):
        assert apart(a, b)


@pytest.mark.parametrize(("file", "name"), SPACES[:6])
def test_lines_run_over_no_label(file, name):
    space = bundled_space(file, name)
    for cell in cells_of(space.supernet).values():
        picture = of_cell(cell, space)
        layout = layered(
            picture, [(40, 30)] * len(picture.boxes), [(80, 22)] * len(picture.links), space=34
        )
        by_column = {}
        for item in layout.items:
            by_column.setdefault(item.column, []).append(item)
        for items in by_column.values():
            items.sort(key=lambda i: i.y)
            for a, b in itertools.pairwise(items):
                assert b.y - a.y >= (a.height + b.height) / 2 + 11.9


def test_chosen_operations_have_their_names():
    gene, space = resolved_darts()
    for given in (None, gene):
        text = drawing(space, "dot", "normal", resolved=True, genotype=given)
        assert '"x[1]" -> "x[4]" [label="dil_conv_3x3"' in text
        assert '"prev2" -> "x[3]" [label="skip_connect"' in text
        assert '"x[4]" -> "out";' in text
        reduce = drawing(space, "dot", "reduce", resolved=True, genotype=given)
        assert '"prev2" -> "x[1]" [label="max_pool_3x3"' in reduce


def test_a_supernet_tells_its_options_once():
    space = bundled_space("darts.nas", "darts", C=4, layers=3)
    text = drawing(space, "svg")
    assert [t for _, _, t in texts(text)].count("8 ops") == 14
    assert "8 ops: none, max_pool_3x3" in text
    small = drawing(bundled_space("robust_darts.nas", "robust_s1"), "mermaid")
    assert '|"skip_connect | dil_conv_3x3"|' in small


def test_operations_on_nodes_are_shown():
    text = drawing(bundled_space("nasbench101.nas", "nb1shot1_s1"), "dot")
    assert "3 ops" in text


def test_stages():
    space = bundled_space("nasbench201.nas", "nasbench201")
    text = drawing(space, "mermaid", "stages")
    assert "c_0 … c_4<br/>16x32x32" in text
    darts = bundled_space("darts.nas", "darts")
    picture = of_network(darts.target, "t")
    assert len(picture.boxes) == 1 + 22 + 1
    pairs = {(k.source, k.target) for k in picture.links}
    assert ("s1", "s3") in pairs and ("s1", "s2") in pairs
    shown = [t for _, _, t in texts(drawing(darts, "svg", "stages", resolved=True))]
    assert "auxiliary head" in shown
    # Where nothing is a cell, the stages are what there is to draw.
    assert "stem" in drawing(bundled_space("small.nas", "tabular"), "dot")


def test_names_of_operations_without_one():
    space = bundled_space("nasbench201.nas", "nasbench201")
    part = next(s.body for s in space.supernet.stages if s.name.startswith("resblock"))
    assert "conv 3x3" in describe(part)
    assert [family(x) for x in ("none", "skip_connect", "max_pool_3x3", "dil_conv_3x3")] == [
        "none", "skip", "pool", "dilated",
    ]  # fmt: skip


def test_what_cannot_be_drawn():
    space = bundled_space("darts.nas", "darts", C=4, layers=3)
    with pytest.raises(DrawError, match=r"no cell `normel`; did you mean `normal`"):
        drawing(space, "svg", "normel")
    with pytest.raises(DrawError, match="unknown form `pdf`"):
        drawing(space, "pdf")


def test_mermaid_and_dot_quote_what_they_must():
    space = bundled_space("darts.nas", "darts", C=4, layers=3)
    gene = forms.parse(V2, space)
    assert gene.space == "darts"
    text = drawing(space, "mermaid")
    assert re.search(r'n2_x1\(\["x\[1\]"\]\):::k_node', text)
