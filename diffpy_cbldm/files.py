"""Files that appear as a whole or not at all, and those of the package."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from diffpy_cbldm.errors import CbldmError


@contextlib.contextmanager
def appearing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a path to write to; at the end the file takes its own place.

    ::

        with appearing("curve.svg") as unfinished:
            figure.savefig(unfinished)

    Parameters
    ----------
    path : path
        The file to be written; one that exists stays as it is until the new
        one is complete.  A folder that is missing is made.

    Yields
    ------
    Path
        A file of the same name, which does not exist yet, in a hidden folder
        beside `path`.  What libraries put beside it, such as the journal of
        a database, is removed with the folder.

    Raises
    ------
    CbldmError
        Where the file cannot be written; nothing is left behind.
    """
    path = Path(path)
    # Each writer has a folder of its own, in the file system of `path`:
    # only there is a rename one step.  Names keep their extension, by which
    # some libraries choose the format.
    folder = path.parent / f".{os.urandom(6).hex()}.part"
    try:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            folder.mkdir()
            unfinished = folder / path.name
            yield unfinished
            _open_to_readers(unfinished, like=folder)
            os.replace(unfinished, path)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    except OSError as error:
        raise CbldmError(
            f"{path}: cannot be written ({error.strerror or error}); expected "
            "a file name in a folder that is writable and has room: choose "
            "another."
        ) from None


def _open_to_readers(file: Path, like: Path) -> None:
    """Give a file the modes that the umask leaves, as a new folder has."""
    mode = file.stat().st_mode
    # safetensors lets the owner alone read what it writes.
    wanted = mode | (like.stat().st_mode & 0o666)
    if wanted != mode:
        file.chmod(wanted)


def write_atomic(path: str | os.PathLike[str], content: str | bytes) -> None:
    """Write a file, text as UTF-8, whole or not at all.

    Raises
    ------
    CbldmError
        Where the file cannot be written; nothing is left behind.
    """
    if isinstance(content, str):
        content = content.encode("utf-8")
    with appearing(path) as unfinished:
        unfinished.write_bytes(content)


def check_folder(folder: Path, option: str) -> None:
    """Find out whether files can be written to a folder, or it can be made.

    Parameters
    ----------
    folder : Path
    option : str
        The option that named it, for the message.

    Raises
    ------
    CbldmError
        Neither can be.
    """
    import tempfile  # the help does without

    # A missing one is made with its first file: no run leaves it empty.
    there = next(
        (p for p in (folder, *folder.parents) if os.path.lexists(p)), folder
    )
    try:
        # Trying it is the only sure test: mounts and quotas say no late.
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise CbldmError(
            f"the folder {folder} cannot be written ({error.strerror}); "
            f"expected one that is writable or can be made: change {option}."
        ) from None


@contextlib.contextmanager
def packaged(name: str) -> Iterator[None]:
    """Name a file of the package that cannot be read as what it is.

    Raises
    ------
    CbldmError
        In place of whatever a reader raises: no input is to blame.
    """
    try:
        yield
    except CbldmError:
        raise
    except Exception as error:  # readers of damaged files raise anything
        raise CbldmError(
            f"{name} of the package is missing or damaged "
            f"({type(error).__name__}); expected it as it was installed: "
            "reinstall with pip install --force-reinstall --no-deps "
            "diffpy_cbldm."
        ) from error
