"""Whether the outputs of a cell say the same as the stored ones."""

import base64
import re
from collections.abc import Callable, Iterator, Sequence
from html.parser import HTMLParser

from nbformat import NotebookNode

from tests.notebooks import drawings, texts

# nbval does not compare these either, and guard.py sees that no figure has nothing else.
NOT_COMPARED = {"image/png", "image/jpeg", "application/vnd.jupyter.widget-view+json"}
SVG_URI = re.compile(r"data:image/svg\+xml;base64,[A-Za-z0-9+/=\s]+")


def differences(stored: Sequence[NotebookNode], fresh: Sequence[NotebookNode]) -> list[str]:
    """Returns what a cell's outputs say differently now, a sentence each; none: they mean the same.

    What a stream says counts as a whole, since when it is flushed is a matter of timing.
    """
    old, new = dict(_said(stored)), dict(_said(fresh))
    found = [f"{what}: no longer there" for what in old if what not in new]
    found += [f"{what}: not there before" for what in new if what not in old]
    for what in old.keys() & new.keys():
        if said := _compare(what)(old[what], new[what]):
            found.append(f"{what}: {said}")
    return sorted(found)


def _said(outputs: Sequence[NotebookNode]) -> Iterator[tuple[str, str]]:
    """Yields all texts of the outputs, named; those of a stream as one."""
    streams: dict[str, str] = {}
    number = 0
    for output in outputs:
        if output.output_type == "stream":
            streams[output.name] = streams.get(output.name, "") + output.text
            continue
        number += 1
        if output.output_type == "error":
            yield f"error {number}", f"{output.ename}: {output.evalue}"
        for mime, value in output.get("data", {}).items():
            if mime not in NOT_COMPARED:
                yield f"output {number}, {mime}", value if isinstance(value, str) else repr(value)
    yield from streams.items()


def _compare(what: str) -> Callable[[str, str], str | None]:
    if what.endswith("image/svg+xml"):
        return drawings.difference
    return html_difference if what.endswith("text/html") else texts.difference


def html_difference(stored: str, fresh: str) -> str | None:
    """Returns in words where two pieces of HTML first differ, or None; pictures in it as drawings.

    >>> html_difference('<b style="color: red">1</b>', '<b style="color: blue">1</b>')
    '<b style>: “blue” instead of “red” in “color: red”'
    """
    old, new = _Flat.of(stored), _Flat.of(fresh)
    for (place, was), (other, now) in zip(old, new, strict=False):
        if place != other:
            return f"{other or 'text'} stands in the place of {place or 'text'}"
        if SVG_URI.fullmatch(was) and SVG_URI.fullmatch(now):
            found = drawings.difference(*(_decoded(value) for value in (was, now)))
        else:
            found = texts.difference(was, now)
        if found:
            return f"{place}: {found}" if place else found
    return f"{len(new)} parts instead of {len(old)}" if len(old) != len(new) else None


def _decoded(uri: str) -> str:
    return base64.b64decode(uri.partition(",")[2]).decode()


class _Flat(HTMLParser):
    """A piece of HTML as a list: of each attribute, text and end of a tag where it is and what."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, str]] = []

    @classmethod
    def of(cls, html: str) -> list[tuple[str, str]]:
        parser = cls()
        parser.feed(html)
        parser.close()
        return parser.found

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((f"<{tag}>", ""))
        self.found += [(f"<{tag} {name}>", value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        self.found.append((f"</{tag}>", ""))

    def handle_data(self, data: str) -> None:
        self.found.append(("", data))
