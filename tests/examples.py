"""How many examples Hypothesis tries: as many as a test says, and ten times as many in a search."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis.internal.conjecture import providers

MANY = 10
SAME, SEARCH = "same", "search"


def register() -> None:
    """Make the two profiles known, and the first one the one in use.

    `same` tries the same examples in each run, on each machine: nothing is taken from chance, from
    a database of earlier failures, from the clock, or from which modules happen to be loaded.
    """
    # Constants of the modules that are loaded would depend on which tests ran before.
    vars(providers)["is_local_module_file"] = lambda path: False
    plain = settings(
        database=None,
        deadline=None,
        print_blob=True,
        suppress_health_check=[HealthCheck.too_slow],  # it asks the clock
    )
    settings.register_profile(SAME, plain, max_examples=100, derandomize=True)
    settings.register_profile(SEARCH, plain, max_examples=100 * MANY, derandomize=False)
    settings.load_profile(SAME)


def examples(count: int) -> settings:
    """A decorator: try so many examples, and in a search more.

    >>> examples(50).max_examples in (50, 50 * MANY)
    True
    """
    return settings(max_examples=count * settings().max_examples // 100)
