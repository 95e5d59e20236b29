"""Every operator and module that PyTorch tests itself with: what a trace says is what PyTorch does.

`make test` takes every 20th of them, `make test-full` all.
"""

from collections.abc import Callable, Iterable, Iterator

import pytest
import torch

from tests.sweeps import database
from tests.sweeps.checking import check

pytestmark = pytest.mark.filterwarnings(
    "ignore",  # what PyTorch says of its own operators: deprecated, in beta
    "error:::autograd_viz",
)

# Operators with samples in which there is nothing to compare. What the package cannot do would
# stand here too; there is nothing.
NOT_ALL_TRACED = {
    "linalg.eig": "PyTorch's backward raises, and so does the trace: V is known up to a phase only",
    "normal.number_mean": "some samples take no tensor",
}


def one_in_twenty(names: Iterable[str]) -> list[object]:
    return [
        pytest.param(name, marks=() if place % 20 == 0 else pytest.mark.large)
        for place, name in enumerate(names)
    ]


@pytest.fixture(autouse=True)
def _one_thread_and_its_random_numbers() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.random.fork_rng():
        yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("name", one_in_twenty(database.OPERATORS))
def test_operator(name):
    sweep(name, database.operator_samples)


@pytest.mark.parametrize("name", one_in_twenty(database.MODULES))
def test_module(name):
    sweep(name, database.module_samples)


def sweep(name: str, samples: Callable[[str], Iterator[database.Sample]]) -> None:
    traced, failures = [], []
    for sample in samples(name):
        try:
            traced.append(check(sample.run, sample.inputs))
        except Exception as error:
            error.add_note(f"{name}: {sample.title}")
            failures.append(error)
    if failures:
        raise ExceptionGroup(name, failures)
    assert any(traced), "no sample has a graph"
    assert all(traced) == (name not in NOT_ALL_TRACED)


def test_the_sweep_covers_the_database():
    assert len(database.OPERATORS) > 500
    assert len(database.MODULES) > 100
    in_place = [name for name, op in database.OPERATORS.items() if op.supports_inplace_autograd]
    assert len(in_place) > 100
    assert {name for name, _ in database.NOT_IN_PLACE} <= set(in_place)
    assert NOT_ALL_TRACED.keys() <= database.OPERATORS.keys()
