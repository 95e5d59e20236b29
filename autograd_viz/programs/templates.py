"""The text of an expression as a source has it, with the places of the names in it."""

from __future__ import annotations

import ast
from collections.abc import Collection, Mapping
from typing import NamedTuple

_NOISE = {"torch", "F", "math"}  # `torch.log2(a)` reads as log2(a)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


class Template(NamedTuple):
    """Text, and where names stand in it that a program may bind anew."""

    text: str
    holes: tuple[tuple[int, int], ...]

    def filled(self, titles: Mapping[str, str]) -> str:
        """The text with the names' titles: z₁ where z has been bound twice.

        >>> Template("z * 2 + y", ((0, 1), (8, 9))).filled({"z": "z₁"})
        'z₁ * 2 + y'
        """
        parts, end = [], 0
        for start, stop in self.holes:
            name = self.text[start:stop]
            parts += [self.text[end:start], titles.get(name, name)]
            end = stop
        return "".join(parts) + self.text[end:]

    @property
    def names(self) -> tuple[str, ...]:
        """The names, from left to right."""
        return tuple(self.text[start:stop] for start, stop in self.holes)


def template(expression: ast.expr, own: Collection[str]) -> Template:
    """The template of an expression, without `torch.` and the like.

    `own` are the function's local names, which are no modules.

    >>> template(ast.parse("torch.log2(a)*b", mode="eval").body, {"a", "b"})
    Template(text='log2(a) * b', holes=((5, 6), (10, 11)))
    """
    written = ast.unparse(expression)
    node = ast.parse(written, mode="eval").body  # for its columns, which count bytes
    raw = written.encode()
    hidden = _bound_inside(node)
    cuts: list[tuple[int, int]] = []
    names: list[tuple[int, int]] = []
    for each in ast.walk(node):
        if isinstance(each, ast.Attribute) and (chain := dotted(each)):
            root = chain.partition(".")[0]
            if root in _NOISE and root not in own:
                end = (each.end_col_offset or 0) - len(each.attr.encode())
                cuts.append((each.col_offset, end))
        elif isinstance(each, ast.Name) and each.id not in hidden:
            names.append((each.col_offset, each.end_col_offset or 0))
    # Of `torch.nn.functional.relu` each inner chain is a cut too, and the widest holds them all.
    cuts = [cut for cut in cuts if not any(_is_inside(cut, other) for other in cuts)]
    names = [name for name in names if not any(a <= name[0] < b for a, b in cuts)]
    marks = sorted([(*cut, True) for cut in cuts] + [(*name, False) for name in names])
    text, holes, end = "", [], 0
    for start, stop, is_cut in marks:
        text += raw[end:start].decode()
        if not is_cut:
            name = raw[start:stop].decode()
            holes.append((len(text), len(text) + len(name)))
            text += name
        end = stop
    return Template(text + raw[end:].decode(), tuple(holes))


def dotted(node: ast.expr) -> str | None:
    """A name or a chain of attributes as text, `model.weight`; None for anything else."""
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) else None


def _is_inside(cut: tuple[int, int], other: tuple[int, int]) -> bool:
    return cut != other and other[0] <= cut[0] and cut[1] <= other[1]


def _bound_inside(tree: ast.expr) -> set[str]:
    """Names that belong to a comprehension or a lambda, not to the function."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, _COMPREHENSIONS):
            for part in node.generators:
                found |= {each.id for each in ast.walk(part.target) if isinstance(each, ast.Name)}
        elif isinstance(node, ast.Lambda):
            found |= {each.arg for each in ast.walk(node.args) if isinstance(each, ast.arg)}
    return found
