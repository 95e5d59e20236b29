"""How results show themselves: pictures for what is displayed, mimebundles, and files."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autograd_viz import decks, files, functions_view, layout, svg
from autograd_viz.errors import SaveError
from autograd_viz.model import Graph, Shown, Trace, Variables
from autograd_viz.picture import ENGINES, THEMES, Drawing, Engine, Strip, Style, Theme

if TYPE_CHECKING:
    from autograd_viz.networks.folding import Folded

_OPTIONS: dict[type, tuple[str, ...]] = {
    Graph: ("limit",),
    Trace: ("limit",),
    Variables: ("view", "frame", "columns"),
}
FORMATS = (".svg", ".pdf", ".png")


def picture(
    shown: object,
    *,
    theme: Theme = "auto",
    engine: Engine = "auto",
    effort: int | None = None,
    **options: Any,
) -> Drawing:
    """Return the picture of a Graph, a Trace or its variables.

    Args:
        shown: what is to be seen.
        theme: "light", "dark", or "auto" to follow the page that shows the picture.
        engine: the layout's: "wasm" (the same on every machine), "dot" (an installed Graphviz), or
            "auto" for the first that runs.
        effort: bound of the layout's work, in WebAssembly instructions; a layout within the usual
            2_000_000_000 takes up to some five seconds. What takes more is drawn with fewer nodes
            or with more groups closed, and a note says so.
        options: for a Graph or a Trace `limit`, the number of nodes drawn, without which a large
            one is drawn in groups; for a folded one `frame`; for variables `view`
            ("computation", "derivatives", "backward"), `frame` (a number from 1, or "all") and
            `columns`, how many of all frames stand in a row; for paths `path` (a number from 1, or
            "all") and `columns`.

    Raises:
        ValueError: an option has a value that it cannot have.
        TypeError: there is no such option.
    """
    _one_of("theme", theme, THEMES)
    _one_of("engine", engine, ENGINES)
    if effort is not None and (not isinstance(effort, int) or effort < 1):
        raise ValueError(f"effort={effort!r}: give a number of instructions, as {layout.EFFORT:_}")
    _known(shown, options)
    style = Style(theme, engine, effort)
    match shown:
        case Graph() | Trace() if not options and _is_large(shown):
            return _folded(shown).drawn(style)
        case Graph():
            return _functions(shown, None, style, **options)
        case Trace():
            return _functions(shown.graph, shown, style, **options)
        case Variables():
            from autograd_viz import variables_view  # a first picture of a graph does not need it

            return variables_view.variables(shown, style=style, **options)
        case Shown():
            return shown.drawn(style, **options)
    raise TypeError(f"there is no picture of a {type(shown).__name__}")


def _functions(
    graph: Graph, trace: Trace | None, style: Style, limit: int = functions_view.LIMIT
) -> Drawing:
    """At most `limit` nodes, and no more than can be laid out with the style's effort."""
    asked, effort = limit, style.effort or layout.EFFORT
    while True:
        picture = functions_view.functions(graph, trace, limit=limit, style=style)
        if svg.fits(picture):
            break
        if limit == 1:  # less cannot be drawn, and takes little
            picture = replace(picture, style=replace(style, effort=max(effort, layout.EFFORT)))
            break
        limit //= 2
    if limit == asked:
        return picture
    note = (
        f"limit={asked} would take too long to lay out, so {limit} are drawn; "
        f"picture(limit={asked}, effort={layout.more(effort):_}) tries longer."
    )
    return replace(picture, words=f"{picture.words}\n{note}", notes=(*picture.notes, note))


def _is_large(shown: Graph | Trace) -> bool:
    graph = shown if isinstance(shown, Graph) else shown.graph
    return len(graph.nodes) > functions_view.LIMIT


def _folded(shown: Graph | Trace) -> Folded:
    folded = shown.fold()
    note = (
        '.fold().open("name") opens a group; '
        f"picture(limit={functions_view.LIMIT}) draws single functions."
    )
    return replace(folded, notes=(*folded.notes, note))


def _one_of(name: str, given: object, wanted: tuple[str, ...]) -> None:
    if given not in wanted:
        raise ValueError(f"{name}={given!r}: give one of {', '.join(map(repr, wanted))}")


def _known(shown: object, options: Mapping[str, object]) -> None:
    own = shown.drawing_options if isinstance(shown, Shown) else ()
    known = _OPTIONS.get(type(shown), own)
    for name in options:
        if name not in known:
            kind = type(shown).__name__
            remedy = f"its options are {', '.join(('theme', 'engine', 'effort', *known))}"
            if name in _OPTIONS[Variables]:
                remedy += f"; its variables have {name}: .variables().picture({name}=...)"
            raise TypeError(f"the picture of a {kind} has no option {name!r}; {remedy}")


def mimebundle(shown: Drawing) -> dict[str, str]:
    """The picture for a notebook: as SVG, as an image for untrusted notebooks, and in words."""
    drawing = shown.svg
    encoded = base64.b64encode(drawing.encode()).decode()
    alt = html.escape(shown.words if len(shown.words) < 2000 else shown.title, quote=True)
    return {
        "image/svg+xml": drawing,
        "text/html": f'<img src="data:image/svg+xml;base64,{encoded}" alt="{alt}">',
        "text/plain": shown.words,
    }


def live(widget: Any, picture: Drawing) -> dict[str, Any]:
    """A widget for a notebook, and its picture for where there is no kernel.

    Its class needs `_ipython_display_ = None`, since that of ipywidgets 7 leaves the picture out.
    """
    view = {"version_major": 2, "version_minor": 0, "model_id": widget.model_id}
    return {"application/vnd.jupyter.widget-view+json": view, **mimebundle(picture)}


def save(shown: Drawing, path: str | Path) -> Path:
    """Write a picture to a file and return its path.

    Of frames side by side, as `frame="all"` gives them, a PDF has one page a frame; `.gif` and a
    folder, such as "frames/", have the single frames too, as `autograd_viz.decks.save` says. PNG
    and PDF are made by Typst with the fonts in its wheel, so they look the same everywhere.

    Raises:
        SaveError: the path ends in none of .svg, .pdf, .png, and is of no frames.
        NotSavedError: the file could not be written; what was there is unchanged.
    """
    named = files.named(path)
    is_folder = decks.names_a_folder(path)
    ending = named.suffix.lower()
    if isinstance(shown, Strip) and (is_folder or ending in (".pdf", ".gif")):
        return decks.save(shown, path)
    if is_folder or ending == ".gif":
        raise SaveError(
            f"{str(path)!r} takes several frames, and this is one picture; all frames are saved "
            'by av.step(e).save("backward.gif")'
        )
    if ending not in FORMATS:
        raise SaveError(
            f"{named.name!r} ends in none of {', '.join(FORMATS)}; the ending names the format: "
            'save("graph.svg")'
        )
    files.place(named)
    if ending == ".svg":
        written = shown.svg.encode()
    elif ending == ".pdf":
        written = decks.compiled([shown.svg], "pdf", shown.title)
    else:
        (written,) = decks.compiled([shown.svg], "png")
    files.write({named: written})
    return named
