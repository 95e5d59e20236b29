"""For all of pytest: a stored output of a notebook is compared by what it says."""

pytest_plugins = ["tests.notebooks.by_meaning"]
