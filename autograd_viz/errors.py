"""What can go wrong, each with its remedy.

::

    AutogradVizError
    ├── NotATensorError (TypeError)      something that is not a tensor was given
    ├── NoGraphError (ValueError)        the tensor has no autograd graph
    ├── GradError (ValueError)           the gradient to start from is missing or does not fit
    ├── GraphFreedError (RuntimeError)   the backward pass needs values that were freed
    ├── SavedValueChangedError (RuntimeError)  it needs values that were changed in place since
    ├── NothingToExplainError (ValueError)  there was no error that av.why() could explain
    ├── LayoutError (RuntimeError)       a picture could not be laid out
    │   ├── EngineNotFoundError          neither Graphviz engine runs here
    │   └── LayoutTooLargeError          the layout would take too long
    ├── SaveError (ValueError)           nothing can be saved under this name, or in this way
    └── NotSavedError (OSError)          a file could not be written; what was there is unchanged
        └── NoFolderError (FileNotFoundError)  the folder for the file is not there

Every message says what was given, what was wanted, and the line to type.
"""

from typing import Any


class AutogradVizError(Exception):
    """The base of all errors of this package."""

    reason: Any = None  # what av.why() says about it, where it says something


class NotATensorError(AutogradVizError, TypeError):
    """Something that is not a tensor was given where a tensor is wanted."""


class NoGraphError(AutogradVizError, ValueError):
    """The tensor has no autograd graph: autograd recorded nothing that leads to it."""


class GradError(AutogradVizError, ValueError):
    """The gradient that a backward pass starts from is missing or does not fit the output."""


class GraphFreedError(AutogradVizError, RuntimeError):
    """The backward pass needs values that an earlier backward pass has freed."""


class SavedValueChangedError(AutogradVizError, RuntimeError):
    """The backward pass needs values that were changed in place after they were saved."""


class NothingToExplainError(AutogradVizError, ValueError):
    """There was no error, or none of autograd's, that could be explained."""


class LayoutError(AutogradVizError, RuntimeError):
    """A picture could not be laid out."""


class EngineNotFoundError(LayoutError):
    """Neither of the two Graphviz engines runs here."""


class LayoutTooLargeError(LayoutError):
    """The layout would take too long."""


class SaveError(AutogradVizError, ValueError):
    """Nothing can be saved under the name that was given, or in the way that was asked for."""


class NotSavedError(AutogradVizError, OSError):
    """A file could not be written; what was there before is unchanged."""


class NoFolderError(NotSavedError, FileNotFoundError):
    """The folder in which a file is to be written is not there."""


def told(error: Exception, more: str) -> None:
    """Put a sentence below an error's own message, where there is one, and else in a note.

    >>> error = ValueError("no.")
    >>> told(error, "Type yes.")
    >>> print(error)
    no.
    Type yes.
    """
    if len(error.args) == 1 and isinstance(error.args[0], str):
        error.args = (f"{error.args[0]}\n{more}",)
    else:
        error.add_note(more)
