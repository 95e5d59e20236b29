"""Writes files whole or not at all: beside their place first, then moved there."""

from __future__ import annotations

import errno
import os
import stat
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from autograd_viz.errors import NoFolderError, NotSavedError, SaveError
from autograd_viz.interrupts import interrupts_held

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS}


def named(path: object) -> Path:
    """Return the path that was given, if a file or a folder can have it.

    Raises:
        TypeError: it is no text and no path.
        SaveError: nothing can be called so.

    >>> named("lecture/graph.svg").name
    'graph.svg'
    """
    if not isinstance(path, str | os.PathLike) or not isinstance(os.fspath(path), str):
        raise TypeError(
            f"the path is of type {type(path).__name__}; give a text or a pathlib.Path: "
            'save("graph.svg")'
        )
    text = str(os.fspath(path))
    if not text:
        raise SaveError('the path is empty; give the file a name: save("graph.svg")')
    try:
        fit = "\0" not in text and bool(os.fsencode(text))
    except UnicodeEncodeError:
        fit = False
    if not fit:
        raise SaveError(
            f"{text!r} has a character that no file's name can have here; "
            'take it out: save("graph.svg")'
        )
    found = Path(text)
    home = found.parts[0] if found.parts else ""
    if home.startswith("~") and text != home and not os.path.isdir(home):
        raise SaveError(
            f"{text!r}: Python takes {home} for the name of a folder; for your home write "
            f"save(pathlib.Path({text!r}).expanduser())"
        )
    return found


def ends_in_slash(path: str | os.PathLike[str]) -> bool:
    """Whether a path is written as a folder's; `Path` drops the slash."""
    return os.fspath(path).endswith(tuple(filter(None, ("/", os.sep, os.altsep))))


def place(path: Path) -> Path:
    """Return where a file lies that is to be written, behind symbolic links.

    Raises:
        NotSavedError: no file can be written there.
    """
    with _explained(path):
        target = Path(os.path.realpath(path))
        try:
            mode = path.stat().st_mode
        except FileNotFoundError:
            folder = target.parent.stat()
            if not stat.S_ISDIR(folder.st_mode):
                raise NotADirectoryError(errno.ENOTDIR, "not a folder") from None
        else:
            if stat.S_ISDIR(mode):
                raise IsADirectoryError(errno.EISDIR, "a folder")
            if not stat.S_ISREG(mode):
                raise OSError(errno.EINVAL, "it is a device or a pipe, not a file")
            if not os.access(target, os.W_OK):
                raise PermissionError(errno.EACCES, "the file is read-only")
        if not os.access(target.parent, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, f"the folder {str(target.parent)!r} is read-only")
    return target


def write(contents: Mapping[Path, bytes], folder: Path | None = None) -> None:
    """Write all files, or leave all as they were: also where the disk is full, or on Ctrl-C.

    A symbolic link stays one, and a file that was there keeps its owner and who may read it.

    Args:
        contents: by path.
        folder: is made first, if it is not there.

    Raises:
        NotSavedError: what is there could not be replaced.
    """
    made: list[Path] = []
    staged: list[tuple[Path, Path]] = []
    done = False
    with interrupts_held() as pressed:
        try:
            if folder is not None:
                _make(folder, made)
            for path, content in contents.items():
                target = place(path)
                # Of a length that a file system allows, however long the file's own name is.
                beside = target.with_name(f".{uuid.uuid4().hex[:16]}.part")
                staged.append((beside, target))
                with _explained(path):
                    _stage(beside, target, content)
                pressed.strike()
            for path, (beside, target) in zip(contents, staged, strict=True):
                with _explained(path):
                    os.replace(beside, target)
            done = True
        finally:
            for beside, _ in staged:
                with suppress(OSError):
                    beside.unlink(missing_ok=True)
            for one in [] if done else reversed(made):
                with suppress(OSError):
                    one.rmdir()


def _make(folder: Path, made: list[Path]) -> None:
    """Make a folder and those around it; `made` gets those that were not there."""
    with _explained(folder):
        for one in reversed([one for one in (folder, *folder.parents) if not one.is_dir()]):
            one.mkdir()
            made.append(one)


def _stage(beside: Path, target: Path, content: bytes) -> None:
    """Write a new file that can take the target's place."""
    with open(beside, "xb") as file:
        with suppress(FileNotFoundError):
            _like(target.stat(), beside)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())  # a disk on a network may say only now that it is full


def _like(before: os.stat_result, beside: Path) -> None:
    """Give a file the owner and the mode of the one that it replaces, before it says anything."""
    now = beside.stat()
    if (now.st_uid, now.st_gid) != (before.st_uid, before.st_gid):
        with suppress(OSError):  # only an administrator may give a file away
            os.chown(beside, before.st_uid, before.st_gid)
    if stat.S_IMODE(now.st_mode) != stat.S_IMODE(before.st_mode):
        beside.chmod(stat.S_IMODE(before.st_mode))


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn what the operating system says into words, with the line to type."""
    try:
        yield
    except NotSavedError:
        raise
    except OSError as error:
        kind = NoFolderError if isinstance(error, FileNotFoundError) else NotSavedError
        said = kind(f"{str(path)!r} was not written: {_reason(path, error)}")
        said.errno = error.errno
        raise said from error


def _reason(path: Path, error: OSError) -> str:
    name = path.name
    why = (error.strerror or str(error)).lower()
    if isinstance(error, FileNotFoundError):
        folder = str(Path(os.path.realpath(path)).parent if path.is_symlink() else path.parent)
        return (
            f"there is no folder {folder!r}; make it first: "
            f"pathlib.Path({folder!r}).mkdir(parents=True)"
        )
    if isinstance(error, IsADirectoryError):
        inside = str(path / f"picture{path.suffix}")
        return f"it is a folder; name a file in it: save({inside!r})"
    if error.errno in _FULL:
        return (
            f"the disk is full ({why}), and what was there is unchanged; make room, or name a "
            f"folder on another disk: save({f'/another/disk/{name}'!r})"
        )
    if error.errno in _REFUSED:
        return f"{why}; name a folder of your own: save(pathlib.Path.home() / {name!r})"
    if error.errno == errno.ENAMETOOLONG:
        return f'{why}; give a shorter one: save("picture{path.suffix}")'
    if isinstance(error, NotADirectoryError | FileExistsError):
        return f'{why}: a part of the path is a file; name a folder: save("frames/{name}")'
    return f'{why}; name another file: save("picture{path.suffix}")'
