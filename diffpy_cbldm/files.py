"""Files that appear as a whole or not at all."""

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
        one is complete.

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
            "a file name in a folder that exists, is writable and has room: "
            "choose another."
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
