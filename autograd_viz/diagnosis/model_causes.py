"""From the facts about a model to a row for each parameter: which cause hides the next."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from autograd_viz import text
from autograd_viz.diagnosis import cut_sentences, cut_words
from autograd_viz.diagnosis.gradient_stops import largest
from autograd_viz.diagnosis.model_facts import ModelFacts, has_shape, size_of
from autograd_viz.diagnosis.model_reason import ModelReason, Row, State
from autograd_viz.diagnosis.trouble_places import factor, product_above
from autograd_viz.errors import GraphFreedError
from autograd_viz.recorded.events import Pass

if TYPE_CHECKING:
    from torch import Tensor

    from autograd_viz.summaries import Summary

RECORD = (
    "Which of the two is not known: run the forward pass inside `with av.record():` and ask again."
)
OLDER = (
    "To know whether <they> led to these, run all of the forward pass inside `with av.record():`."
)


def answer(facts: ModelFacts) -> ModelReason:
    """A row for each parameter, in the model's order, and one for what is none."""
    rows = [_Parameter(facts, name, held).row() for name, held in facts.parameters.items()]
    rows += [_no_parameter(facts, *other) for other in facts.others()]
    return ModelReason(
        facts.name_of(facts.model, "the model"),
        None if facts.output is None else facts.result,
        tuple(rows),
        facts.buffers,
        tuple(_notes(facts)),
        facts.captured[0] if facts.captured else None,
    )


def _notes(facts: ModelFacts) -> list[str]:
    broken = [f"{text.joined(facts.broken, most=3)}."] if facts.broken else []
    return [*broken, *_of_the_pass(facts)]


def _of_the_pass(facts: ModelFacts) -> list[str]:
    if facts.output is None:
        model = facts.name_of(facts.model, "model")
        return [f"Only what .grad tells is said; of one pass: av.why({model}, loss)"]
    if facts.captured is None:
        return [f"{facts.result} does not require grad: autograd has recorded no graph of it."]
    if isinstance(facts.attempt, GraphFreedError):
        return [
            f"backward() has freed {facts.result}'s graph, so no pass can be run: what is said of "
            f"gradients is what .grad tells. {facts.result}.backward(retain_graph=True) keeps it."
        ]
    if isinstance(facts.attempt, Exception):
        first = str(facts.attempt).partition("\n")[0].partition(". ")[0].rstrip(".")
        kind = type(facts.attempt).__name__
        return [f"The backward pass from {facts.result} ends in an error, {kind}: {first}."]
    return []


class _Parameter:
    """One parameter while its row is made."""

    def __init__(self, facts: ModelFacts, name: str, held: Tensor) -> None:
        self.facts, self.name, self.held = facts, name, held
        self.result = facts.result
        self.place = facts.place(held)

    @cached_property
    def summary(self) -> Summary | None:
        """Of the gradient that one pass brings; where none could run, of .grad."""
        if self.facts.trace is not None:
            entry = self.facts.entries.get(self.name)
            return entry.summary if entry is not None else None
        from autograd_viz.summaries import summarised

        grad = self.held.grad
        if grad is None or not text.has_numbers(grad) or not grad.numel():
            return None
        return summarised(grad, cut=True)

    def row(self) -> Row:
        if not has_shape(self.held):
            return self._row("waits", "<it> has no shape before the first forward pass.")
        if not self.held.requires_grad:
            return self._frozen()
        if self.facts.output is None:
            return self._by_grad()
        if self.place is None:
            return self._not_reached()
        if (left_out := self._left_out()) is not None:
            return left_out
        if self.facts.trace is None:
            return self._by_grad()
        return self._by_pass()

    def _row(
        self, state: State, why: str, line: str | None = None, where: str | None = None
    ) -> Row:
        names = self.facts.names[id(self.held)]
        reached = state in ("trains", "waits", "zero", "NaN", "inf", "left out")
        return Row(
            self.name,
            state,
            why,
            size_of(self.held),
            line,
            where,
            names,
            self.summary if reached else None,
        )

    def _frozen(self) -> Row:
        written = self.facts.written(self.name)
        if not (self.held.is_floating_point() or self.held.is_complex()):
            return self._row(
                "frozen",
                f"<its> dtype is {self.held.dtype}, and only floating-point and complex tensors "
                "have gradients.",
            )
        why, line = "<its> requires_grad is False.", f"{written}.requires_grad_(True)"
        if self.held.grad is not None:
            why += " .grad still holds a gradient, and an optimizer that has <it> uses that."
            line = f"{written}.grad = None"
        return self._row("frozen", why, line)

    def _left_out(self) -> Row | None:
        stepped = self.facts.stepped
        if stepped is None or id(self.held) in stepped:
            return None
        optimizer = self.facts.optimizer
        if optimizer is None:
            told = text.joined(list(dict.fromkeys(stepped.values())), "; ", most=2)
            return self._row(
                "left out", f"no step that was recorded has changed <it> ({told} changed others)."
            )
        kind = type(optimizer).__name__
        name = self.facts.name_of(optimizer, "optimizer")
        own = {id(each) for each in self.facts.parameters.values()}
        strange = any(
            each.shape == self.held.shape and id(each) not in own
            for group in optimizer.param_groups
            for each in group["params"]
        )
        of_old = (
            " It has a tensor of that shape that is no parameter of the model, as one that was "
            "replaced after the optimizer was made."
        )
        line = f'{name}.add_param_group({{"params": [{self.facts.written(self.name)}]}})'
        return self._row("left out", f"{kind} does not have <it>.{of_old if strange else ''}", line)

    # What the graph does not lead to

    def _not_reached(self) -> Row:
        row = self._cut_or_unused()
        more = ""
        if self.held.grad is not None:
            more = f" <Its> .grad is not from {self.result}'s graph."
        if (left_out := self._left_out()) is not None and self.facts.optimizer is not None:
            more += f" {left_out.why}"
        return replace(row, why=row.why + more)

    def _cut_or_unused(self) -> Row:
        facts, held, result = self.facts, self.held, self.result
        assert facts.output is not None
        history = facts.history
        begin = f"no way in {result}'s graph leads to <it>"
        if facts.captured is None:
            begin = f"{result} has no graph"
        uses = history.uses(held)
        needs = {seen.needs for event in uses for seen in event.inputs
                 if seen.serial == history.log.find(held)}  # fmt: skip
        if needs == {False}:
            where = facts.where(uses[-1])
            return self._row(
                "cut",
                f"<its> requires_grad became True after <it> had been used in {where}. Move that "
                "before the forward pass.",
                where=where,
            )
        if cuts := facts.cuts(held):
            where = facts.where(cuts[0].event)
            return self._row("cut", cut_sentences.said(facts, cuts), where=where)
        left = history.left(held) if uses and not history.log.forgotten else None
        if left is not None:
            more = "." if facts.is_recorded else f": {cut_words.NOT_SEEN}."
            return self._row(
                "not reached",
                f"numbers that follow from <it> leave PyTorch by {left.name.strip('_')}() in "
                f"{facts.where(left)}. Whether {result} was computed from these is not known{more}",
            )
        if not facts.is_recorded and uses and not history.log.forgotten:
            return self._row(
                "not reached",
                f"{begin}. The recording saw <it> used in {facts.where(uses[-1])}, but not all "
                f"that made {result}: {cut_words.NOT_SEEN}.",
            )
        if not facts.is_recorded:
            return self._row("not reached", f"{begin}: cut off, or not used. {RECORD}")
        if uses:
            where = facts.where(uses[-1])
            return self._row(
                "unused",
                f"{where} uses <it>, but nothing that {result} was computed from follows from "
                "that.",
                where=where,
            )
        if not facts.is_whole:
            return self._row(
                "not reached",
                f"no call that was recorded uses <it>, but {result} was computed from tensors that "
                f"are older than the recording. {OLDER}",
            )
        if not facts.was_called(self.name):
            return self._row("unused", "the module was not called in what was recorded.")
        return self._row(
            "unused", "the module was called, but no call that was recorded uses <it>."
        )

    # What it leads to

    def _by_pass(self) -> Row:
        """What one pass brings."""
        places, place = self.facts.places, self.place
        assert places is not None
        assert place is not None
        entry = self.facts.entries[self.name]
        grad = self.held.grad
        if entry.state == "None":
            why, where = places.none(place)
            return self._row("None", why, where=where)
        if entry.state in ("NaN", "inf"):
            why, where = places.trouble(place, entry.state)
            return self._row(entry.state, why, where=where)
        if grad is not None and (trouble := text.trouble(grad)) is not None:
            return self._row(
                "NaN" if trouble == "NaN" else "inf",
                f"<its> .grad holds {trouble}, and one pass from {self.result} brings none: an "
                "earlier one left it there.",
                f"{self.facts.written(self.name)}.grad = None",
            )
        if entry.state == "zero":
            return self._zero()
        if grad is None:
            return self._waits()
        return self._row("trains", " ".join(self._remarks()))

    def _by_grad(self) -> Row:
        """What .grad tells, where no pass can be run."""
        grad = self.held.grad
        if grad is None:
            return self._waits()
        known = self.facts.captured is not None
        trouble = text.trouble(grad)
        if trouble is not None or (self.summary is not None and self.summary.zeros == 1):
            state: State = "zero" if trouble is None else "NaN" if trouble == "NaN" else "inf"
            if state == "zero" and known and (row := self._multiplied()) is not None:
                return row
            ask = f"Ask before backward(): av.why({self.facts.name_of(self.facts.model, 'model')}"
            ask += f", {self.result})" if known else ", loss)"
            return self._row(state, f"which step made it so is not known. {ask}")
        return self._row("trains", " ".join(self._remarks()))

    def _zero(self) -> Row:
        places, place = self.facts.places, self.place
        assert places is not None
        assert place is not None
        assert self.facts.captured is not None
        if (row := self._multiplied()) is not None:
            return row
        why, where = places.zero(place)
        return self._row("zero", why, where=where)

    def _multiplied(self) -> Row | None:
        """The answer for what is multiplied by a parameter that is 0, as LoRA's A is by its B."""
        assert self.facts.captured is not None
        assert self.place is not None
        graph, walk, _ = self.facts.captured
        if self.facts.places is None:
            found = {product_above(graph, self.place, walk.leaves)}
        else:
            edges = self.facts.places.begins(self.place)
            found = {factor(graph, edge, walk.leaves) for edge in edges}
        factors = [walk.leaves[each] for each in found if each is not None]
        if len(factors) != 1 or len(found) != 1:
            return None
        (other,) = factors
        name = self._beside(self.facts.names.get(id(other), ("a leaf",))[0])
        begin = f"what comes back is multiplied by {name}, which is 0 everywhere."
        if not other.requires_grad:
            return self._row("zero", f"{begin} {name} is frozen, and stays 0.")
        other_grad = self._brought(other)
        if other_grad is None or not largest(other_grad):
            return self._row("zero", begin)
        return self._row(
            "zero",
            f"{begin} {name} gets a gradient: a step makes it other than 0, and then <they> "
            f"will get one too.{' An adapter (LoRA) begins so.' * (other.dim() == 2)}",
        )

    def _brought(self, other: Tensor) -> Tensor | None:
        trace = self.facts.trace
        if trace is None:
            return other.grad
        return next((grad for leaf, grad in trace.leaf_grads if leaf is other), None)

    def _beside(self, name: str) -> str:
        """The name of another parameter, as far as it differs from this one's."""
        own, other = self.name.split("."), name.split(".")
        same = 0
        while same < min(len(own), len(other)) - 1 and own[same] == other[same]:
            same += 1
        return text.clean(".".join(other[same:]))

    def _waits(self) -> Row:
        facts = self.facts
        line: str | None = f"{facts.result}.backward()"
        again = ""
        if facts.attempt is not None and facts.trace is None:  # backward() would fail
            line = None
        if isinstance(facts.attempt, GraphFreedError):
            again = f" Compute {facts.result} again, then call backward()."
        last = facts.written_by(self.held)
        if facts.output is None:
            model = facts.name_of(facts.model, "model")
            return self._row(
                "waits",
                "<its> .grad is None, since no backward pass has reached <it>, or it was cleared. "
                f"Which of the two, this says: av.why({model}, loss)",
            )
        if last is not None and not isinstance(last.what, Pass):
            where = facts.where(last)
            step = facts.history.step_after(last, self.held)
            nothing = f" The step in {facts.where(step)} had no gradient to use." if step else ""
            why = f"<its> .grad was cleared in {where}, and no pass has run since.{nothing}{again}"
            return self._row("waits", why, line)
        told = f"no backward() has written <its> .grad, or it was cleared since.{again}"
        return self._row("waits", " ".join([told, *self._remarks()]), line)

    def _is_only_looked_up(self) -> bool:
        """Whether the graph uses the weight of an embedding for nothing else."""
        if self.facts.captured is None or self.place is None:
            return False
        graph = self.facts.captured[0]
        users = {graph.nodes[edge.source].name for edge in graph.in_edges[self.place]}
        return users <= {"EmbeddingBackward0", "EmbeddingBagBackward0"}

    def _remarks(self) -> list[str]:
        """What else there is to know of a parameter that trains."""
        told = []
        path, _, own = self.name.rpartition(".")
        module = self.facts.modules.get(path)
        padding = getattr(module, "padding_idx", None)
        grad = self._brought(self.held)
        looked_up = own == "weight" and isinstance(padding, int) and self._is_only_looked_up()
        if looked_up and grad is not None and not largest(grad.to_dense()[padding]):
            told.append(f"row {padding} gets 0: it is padding_idx, and has no gradient.")
        names = self.facts.names[id(self.held)]
        if len(names) > 1:
            others = text.joined([text.clean(each) for each in names[1:]])
            told.append(f"{others} is the same tensor, and the gradients of all uses are added.")
        return told


def _no_parameter(facts: ModelFacts, name: str, held: Tensor, kind: str) -> Row:
    """A tensor of the model that requires grad, and that `parameters()` leaves out."""
    model = facts.name_of(facts.model, "model")
    own = name.rpartition(".")[2]
    left_out = f"{model}.parameters() leaves <it> out, and so does an optimizer made of that"
    if not held.is_leaf:
        assert held.grad_fn is not None
        sources = text.joined([text.clean(each) for each in facts.sources(held)], most=3)
        of = f" from {sources}, which can train" if sources else ""
        why = f"computed (by {held.grad_fn.name()}){of}; it is no leaf, and its .grad stays None."
    elif kind == "attribute":
        why = f"an attribute of the module that is no nn.Parameter. {left_out}."
    elif kind == "buffer":
        why = f"a buffer that requires grad. {left_out}."
    else:
        why = (
            f"held in a {kind}, which nn.Module does not look into. {left_out}. Use "
            f"nn.ModuleList, nn.ModuleDict or nn.ParameterList in place of the {kind}."
        )
    line = f"self.{own} = nn.Parameter(...)" if kind == "attribute" and held.is_leaf else None
    return Row(name, "no parameter", why, tuple(held.shape), line, names=(name,))
