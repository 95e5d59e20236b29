"""Graphs as DOT text: complete, escaped, and drawn by Graphviz where it is installed."""

import json
import re
from xml.etree import ElementTree

import graphviz
import pytest
import torch

import autograd_viz as av
from autograd_viz import layout
from autograd_viz.dot import drawing
from tests.test_svg import EVIL, labelled
from tests.test_transforms import main_example


def parsed(source):
    """Returns (labels, edges) as Graphviz itself understands a DOT text."""
    found = json.loads(layout.run(source, format="json"))
    labels = [node["label"] for node in found["objects"]]
    return labels, [(edge["tail"], edge["head"]) for edge in found.get("edges", [])]


def test_all_nodes_and_edges_are_there():
    graph = main_example(trace=False)
    assert isinstance(graph.dot, graphviz.Digraph)
    labels, edges = parsed(graph.dot.source)
    assert labels == [
        r"MulBackward0\ne",
        r"AddBackward0\nc",
        r"MulBackward0\nd",
        r"AccumulateGrad\na",
        r"AccumulateGrad\nb",
        "Log2Backward0",
        "Log2Backward0",
    ]
    assert sorted(edges) == sorted((edge.source, edge.target) for edge in graph.edges)


def test_parallel_edges_are_kept():
    x = torch.tensor(2.0, requires_grad=True)
    assert parsed(av.graph(x * x).dot.source)[1] == [(0, 1), (0, 1)]


def test_the_whole_graph_is_there_however_large():
    y = torch.tensor(1.0, requires_grad=True)
    for _ in range(1000):
        y = y + 1
    source = av.graph(y).dot.source
    assert source.count("AddBackward0") == 1000
    assert source.count("->") == 1000


@pytest.mark.parametrize("label", [*EVIL, "<b>html</b>", r"back\slash\n", "{a|b}", "a\\", "%"])
def test_evil_labels_are_shown_as_they_are(label):
    graph = labelled(label).graph
    labels, edges = parsed(graph.dot.source)
    assert len(labels) == 4
    assert len(edges) == 4
    from autograd_viz.text import clean

    shown = clean(label).replace("\\", "\\\\")
    assert rf"AccumulateGrad\n{shown}" in labels


def test_a_dot_text_of_another_tool_is_drawn_without_an_installed_graphviz():
    source = graphviz.Digraph()
    source.node("140001", "first")
    source.node("140002", "second")
    source.edge("140001", "140002")
    drawn = drawing(source, 'a "title" <&>')
    root = ElementTree.fromstring(drawn.svg)
    assert root.get("role") == "img"
    assert root.get("aria-label") == 'a "title" <&>'
    words = " ".join(root.itertext())
    assert "first" in words
    assert "second" in words
    assert "1400" not in drawn.svg


def test_memory_addresses_do_not_reach_the_picture():
    def named(first, second):
        return drawing(f"digraph {{ {first} -> {second}; {first} [label=x] }}", "two")

    assert named(140001, 140002).svg == named(998877, 123456).svg
    assert named(140001, 140002).words == "digraph { n1 -> n2; n1 [label=x] }"


@pytest.mark.dot
def test_an_installed_graphviz_renders_it():
    svg = main_example(trace=False).dot.pipe(format="svg", encoding="utf-8")
    root = ElementTree.fromstring(re.sub("<!DOCTYPE.*?>", "", svg, flags=re.DOTALL))
    assert "Log2Backward0" in " ".join(root.itertext())


@pytest.mark.dot
def test_an_installed_graphviz_lays_out_our_pictures_too():
    from tests.test_svg import Drawn, check_geometry

    trace = main_example()
    drawn = Drawn(trace.picture(engine="dot").svg)
    check_geometry(drawn)
    wasm = Drawn(trace.picture(engine="wasm").svg)
    assert sorted(box.words for box in drawn.boxes) == sorted(box.words for box in wasm.boxes)
    assert len(drawn.arrows) == len(wasm.arrows)
