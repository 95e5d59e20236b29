"""Frames of a drawing as files for decks made elsewhere: pages of a PDF, a GIF, a moving SVG.

All frames of a deck have the same size, and nothing moves from one to the next.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from io import BytesIO
from numbers import Real
from pathlib import Path
from typing import Literal, overload

from autograd_viz import files, svg
from autograd_viz.errors import SaveError
from autograd_viz.picture import Strip
from autograd_viz.text import legal

SECONDS = 1.6  # a frame, as in the Explorer
LAST = 3  # times as long stands the last one, since it is the result
PIXELS_PER_INCH = 192.0  # of a PNG: twice the picture's own size, for projectors
GIF_PIXELS_PER_INCH = 144.0  # it has no finer colours, and grows fast
NUMBERED = ("png", "svg")
MOST = 200  # seconds: a GIF counts to 655, and the last frame stands three times as long


def names_a_folder(path: str | Path) -> bool:
    """Whether a path is a folder's: it is one, or ends in a slash.

    >>> names_a_folder("frames/"), names_a_folder("frames.pdf")
    (True, False)
    """
    return files.ends_in_slash(path) or os.path.isdir(path)


def save(
    strip: Strip,
    path: str | Path,
    *,
    seconds: float = SECONDS,
    numbered: Literal["png", "svg"] = "png",
) -> Path:
    """Write all frames of a strip to a file or a folder, and return its path.

    Args:
        strip: the frames.
        path: `.pdf` for one page a frame; `.gif` or `.svg` for frames that follow each other, again
            and again; a folder, which ends in "/" or is there, for `frame-1.png`, `frame-2.png`.
        seconds: that a frame of `.gif` and `.svg` stands, from 0.02 to 200; the last one stands
            three times as long.
        numbered: the format of the frames in a folder, "png" or "svg".

    Raises:
        SaveError: the path has another ending, or the folder holds frames of a longer deck.
        NotSavedError: it could not be written; what was there is unchanged.
        ModuleNotFoundError: `.gif` is wanted, and Pillow is not installed.

    >>> import torch, autograd_viz as av
    >>> a = torch.tensor(3.0, requires_grad=True)
    >>> c = a * a
    >>> strip = av.trace(c).variables().backward(frame="all")
    >>> print(save(strip, getfixture("tmp_path") / "backward.pdf").name)
    backward.pdf
    """
    named = checked(path, seconds=seconds, numbered=numbered)
    if names_a_folder(path):
        return _folder(strip, named, numbered)
    match named.suffix.lower():
        case ".pdf":
            written = compiled(svg.pages(strip), "pdf", strip.title)
        case ".gif":
            written = _gif(strip, seconds)
        case _:
            written = svg.film(strip, _times(len(strip.frames), seconds)).encode()
    files.write({named: written})
    return named


def checked(path: str | Path, *, seconds: float = SECONDS, numbered: str = "png") -> Path:
    """The path of a deck, or an error, before anything is drawn for it.

    Args:
        path: as for `save`.
        seconds: as for `save`.
        numbered: as for `save`.

    Raises:
        SaveError, NotSavedError: as for `save`.
    """
    if not isinstance(seconds, Real) or isinstance(seconds, bool) or not (0.02 <= seconds <= MOST):
        raise SaveError(
            f"seconds={seconds!r}: give how long a frame stands, a number from 0.02 to {MOST}: "
            f"save(..., seconds={SECONDS})"
        )
    if numbered not in NUMBERED:
        raise SaveError(
            f'numbered={numbered!r}: give one of {NUMBERED}: save("frames/", numbered="png")'
        )
    named = files.named(path)
    if names_a_folder(path):
        return named
    if named.suffix.lower() not in (".pdf", ".gif", ".svg"):
        raise SaveError(
            f"{named.name!r} ends in none of .svg, .pdf, .gif, nor is it a folder; the ending "
            'names the format: save("backward.pdf"), or save("frames/") for numbered pictures'
        )
    files.place(named)
    return named


@overload
def compiled(drawings: Sequence[str], format: Literal["pdf"], title: str = "") -> bytes: ...


@overload
def compiled(
    drawings: Sequence[str], format: Literal["png"], title: str = "", ppi: float = PIXELS_PER_INCH
) -> list[bytes]: ...


def compiled(
    drawings: Sequence[str],
    format: Literal["pdf", "png"],
    title: str = "",
    ppi: float = PIXELS_PER_INCH,
) -> bytes | list[bytes]:
    """Return SVG drawings as the pages of one PDF, or each as a PNG.

    Typst does it with the fonts in its wheel, so that they look the same everywhere.
    """
    import typst

    # Texts are handed over as values, so that none of them can be read as Typst.
    given = {str(number): drawing for number, drawing in enumerate(drawings)}
    source = "\n".join(
        [
            # Without a date, since the same frames are to give the same bytes.
            "#set document(title: sys.inputs.title, date: none)",
            "#set page(width: auto, height: auto, margin: 0pt)",
            "\n#pagebreak()\n".join(
                f'#image(bytes(sys.inputs.at("{name}")), format: "svg")' for name in given
            ),
        ]
    )
    made = typst.compile(
        source.encode(),
        format=format,
        ppi=ppi,
        ignore_system_fonts=True,
        sys_inputs={**given, "title": legal(title)},
    )
    if format == "png":
        return made if isinstance(made, list) else [made]
    return made


def _times(count: int, seconds: float) -> list[float]:
    """How long each frame stands."""
    return [seconds] * (count - 1) + [seconds * LAST]


def _gif(strip: Strip, seconds: float) -> bytes:
    try:
        from PIL import Image
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            "a .gif needs Pillow, which is not installed: pip install pillow"
        ) from None
    shots = compiled(svg.pages(strip), "png", ppi=GIF_PIXELS_PER_INCH)
    first, *others = (Image.open(BytesIO(shot)).convert("RGB") for shot in shots)
    written = BytesIO()
    first.save(
        written,
        format="GIF",
        save_all=True,
        append_images=others,
        duration=[round(time * 1000) for time in _times(len(shots), seconds)],
        loop=0,  # for ever
    )
    return written.getvalue()


def _folder(strip: Strip, folder: Path, numbered: Literal["png", "svg"]) -> Path:
    """Write the frames as frame-01, frame-02, ...: so many digits that they sort in their order."""
    count = len(strip.frames)
    names = [f"frame-{n:0{len(str(count))}}.{numbered}" for n in range(1, count + 1)]
    if left := sorted({one.name for one in folder.glob(f"frame-*.{numbered}")} - set(names)):
        raise SaveError(
            f"{folder} holds {left[0]} of another deck, which would follow this one's {count} "
            'frames: delete it, or name another folder: save("frames-2/")'
        )
    pages = svg.pages(strip)
    written = compiled(pages, "png") if numbered == "png" else [page.encode() for page in pages]
    files.write(dict(zip([folder / name for name in names], written, strict=True)), folder)
    return folder
