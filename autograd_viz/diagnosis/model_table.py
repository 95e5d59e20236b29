"""A model's parameters as few lines: by module, what is alike once, what repeats once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Union

from autograd_viz import text

if TYPE_CHECKING:
    from autograd_viz.diagnosis.model_reason import Row

FEW = 12  # parameters that stand one by one
FEWEST = 3  # modules in a row that are worth one line


@dataclass(frozen=True)
class Part:
    """Parameters of which the same is said: one, those of a module, those of equal modules."""

    name: str  # "fc1.weight", "ln_f", "h.0 … 11", "h.0 … 11: attn"
    rows: tuple[Row, ...]
    times: int = 1  # how many equal modules they are from

    @property
    def count(self) -> str:
        """How many there are: `12 × 16`."""
        each = len(self.rows) // self.times
        return f"{self.times:,} × {each:,}" if self.times > 1 else f"{each:,}"

    @property
    def norms(self) -> str:
        """Between what their gradients' norms are."""
        norms = [row.gradient.norm for row in self.rows if row.gradient is not None]
        if not norms:
            return ""
        low, high = text.number(min(norms)), text.number(max(norms))
        return low if low == high else f"{low} … {high}"


Tree = Mapping[str, Union["Tree", "Row"]]


def parts_of(rows: Sequence[Row]) -> tuple[Part, ...]:
    """The lines of the table.

    >>> from autograd_viz.diagnosis.model_reason import Row
    >>> def row(name, state="trains"):
    ...     return Row(name, state, "", (2,))
    >>> rows = [row(f"h.{n}.{each}") for n in range(12) for each in ("weight", "bias")]
    >>> [(part.name, part.count) for part in parts_of([*rows, row("head.weight", "frozen")])]
    [('h.0 … 11', '12 × 2'), ('head.weight', '1')]
    """
    if len(rows) <= FEW:
        return tuple(Part(text.clean(row.name), (row,)) for row in rows)
    return tuple(_parts(_tree(rows), "", 1))


def _tree(rows: Sequence[Row]) -> Tree:
    root: dict[str, Any] = {}
    for row in rows:
        *modules, own = row.name.split(".")
        place = root
        for module in modules:
            place = place.setdefault(module, {})
        place[own] = row
    return root


def _rows(tree: Tree | Row) -> Iterator[Row]:
    if not isinstance(tree, Mapping):
        yield tree
        return
    for below in tree.values():
        yield from _rows(below)


def _look(tree: Tree | Row) -> object:
    """What is equal of modules that can stand in one line."""
    if not isinstance(tree, Mapping):
        return (tree.state, tree.why)
    return tuple((name, _look(below)) for name, below in tree.items())


def _alike(trees: Sequence[Tree | Row]) -> bool:
    return len({(row.state, row.why) for tree in trees for row in _rows(tree)}) == 1


def _parts(tree: Tree, prefix: str, times: int, repeats: Sequence[Tree] = ()) -> Iterator[Part]:
    """The lines of what is in a module, of which `repeats` are equal ones."""
    for names in _runs(tree):
        first = tree[names[0]]
        name = f"{prefix}{names[0]}"
        if len(names) > 1:
            name += f" … {names[-1]}"
        same = [one[each] for one in (repeats or [tree]) for each in names]
        number = times * len(names)
        if not isinstance(first, Mapping) or (_alike(same) and not _repeats(first)):
            rows = tuple(row for one in same for row in _rows(one))
            yield Part(text.clean(rows[0].name if len(rows) == 1 else name), rows, number)
            continue
        mark = ": " if len(names) > 1 else "."
        trees = [one for one in same if isinstance(one, Mapping)]
        yield from _parts(first, f"{name}{mark}", number, trees)


def _repeats(tree: Tree) -> bool:
    """Whether a module holds nothing but equal modules, which are then told as such."""
    runs = [*_runs(tree)]
    return len(runs) == 1 and len(runs[0]) > 1


def _runs(tree: Tree) -> Iterator[list[str]]:
    """Children by name; of numbered ones that follow each other and are equal several at once."""
    names = [*tree]
    begin = 0
    while begin < len(names):
        end = begin + 1
        if names[begin].isdigit() and isinstance(tree[names[begin]], Mapping):
            look = _look(tree[names[begin]])
            while end < len(names) and names[end].isdigit() and _look(tree[names[end]]) == look:
                end += 1
        if end - begin < FEWEST:
            end = begin + 1
        yield names[begin:end]
        begin = end
