"""To and from the DOT language: our graphs for your own styling, others' for comparison."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.sax.saxutils import quoteattr

from autograd_viz import layout, text
from autograd_viz.model import Graph
from autograd_viz.picture import Drawing

if TYPE_CHECKING:
    import graphviz


def digraph(graph: Graph) -> graphviz.Digraph:
    """The whole graph: nodes are named by their ids, edges carry no label."""
    import graphviz

    result = graphviz.Digraph(node_attr={"fontname": "monospace"})
    for node in graph.nodes:
        lines = [text.clean(node.name), *([text.clean(node.label)] if node.label else [])]
        label = graphviz.escape("\n".join(lines)).replace("\n", r"\n")
        result.node(str(node.id), label, peripheries="2" if node.kind == "accumulate" else "1")
    for edge in graph.edges:
        result.edge(str(edge.source), str(edge.target))
    return result


@dataclass(frozen=True)
class DotDrawing(Drawing):
    """Another tool's DOT text, drawn as it says by Graphviz."""

    title: str
    words: str  # the DOT text itself

    @property
    def svg(self) -> str:
        """What Graphviz makes of it."""
        drawing = layout.run(self.words)
        drawing = drawing[drawing.index("<svg") :]
        return drawing.replace("<svg", f'<svg role="img" aria-label={quoteattr(self.title)}', 1)


def drawing(source: str | graphviz.Digraph, title: str) -> DotDrawing:
    """Draw a DOT text without an installed Graphviz, as in `drawing(torchviz.make_dot(e), "e")`.

    Node names that are memory addresses are replaced by numbers in the order of the text, so that
    the same graph gives the same picture each time.

    >>> drawing("digraph { 140001 -> 140002 }", "two nodes").words
    'digraph { n1 -> n2 }'
    """
    names: dict[str, str] = {}
    plain = source if isinstance(source, str) else source.source
    words = re.sub(
        r"\b\d{6,}\b", lambda match: names.setdefault(match[0], f"n{len(names) + 1}"), plain
    )
    return DotDrawing(title, words.expandtabs(4).strip())
