"""What operations saved for their backward, and what became of it: freed, or changed since."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal, NamedTuple

from torch import Tensor

from autograd_viz.saved import has_hooks, saved_attributes
from autograd_viz.walk import Walk, is_custom

State = Literal["kept", "freed", "changed", "hooked"]
_VERSIONS = re.compile(r"is at version (\d+); expected version (\d+)")
_OF_A_CUSTOM = (("tensors", "saved_tensors", "_raw_saved_tensors"),)


class Held(NamedTuple):
    """One tensor that an operation saved, as it is now."""

    node: int  # position in the walk
    name: str  # PyTorch's: "result", "self", "other"
    state: State
    data: Tensor | None = None  # the memory that was saved, whatever it holds now
    version: int = 0  # how often it was changed in all
    expected: int = 0  # and until it was saved
    error: str = ""  # what reading it raises

    @property
    def is_result(self) -> bool:
        """Whether it is what the operation gave, not what it was given."""
        return self.name.startswith(("result", "output"))


def held_by(walk: Walk) -> Iterator[Held]:
    """All that the operations of a graph saved, one entry a tensor."""
    for position, function in enumerate(walk.functions):
        kind = type(function)
        attributes = _OF_A_CUSTOM if is_custom(function) else saved_attributes(kind)
        for name, attribute, raw_attribute in attributes:
            try:
                raw = getattr(function, raw_attribute, None)
            except RuntimeError:  # of a custom Function whose values were freed
                yield Held(position, name, "freed")
                continue
            if raw is None:  # an option, or nothing
                continue
            if has_hooks(raw):
                yield Held(position, name, "hooked")
                continue
            each = raw if isinstance(raw, tuple) else (raw,)
            yield from _read(position, name, function, attribute, each)


def _read(
    position: int, name: str, function: object, attribute: str, raw: tuple[object, ...]
) -> Iterator[Held]:
    data: list[Tensor | None] = [getattr(one, "data", None) for one in raw]
    try:
        getattr(function, attribute)
    except RuntimeError as error:
        said = str(error)
        found = _VERSIONS.search(said)
        if found is None:
            yield Held(position, name, "freed")
            return
        version, expected = map(int, found.groups())
        fits = [one for one in data if one is not None and one._version == version]
        only = fits[0] if len(fits) == 1 else None  # of several with one version it is not known
        yield Held(position, name, "changed", only, version, expected, said)
        return
    for one in data:
        if one is not None:
            version = 0 if one.is_inference() else one._version
            yield Held(position, name, "kept", one, version, version)


def same_storage(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors are on the same memory."""
    try:
        found = one.untyped_storage().data_ptr()
        return found != 0 and found == other.untyped_storage().data_ptr()
    except (RuntimeError, NotImplementedError):  # of torch.func, sparse and the like
        return one is other
