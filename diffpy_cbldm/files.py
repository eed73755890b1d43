"""Files that appear as a whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from diffpy_cbldm.errors import CbldmError


def write_atomic(path: str | os.PathLike[str], content: str | bytes) -> None:
    """Write a file, text as UTF-8, whole or not at all.

    The content goes to a temporary file in the same folder, which then takes
    the name `path`.

    Raises
    ------
    CbldmError
        Where the file cannot be written; nothing is left behind.
    """
    path = Path(path)
    if isinstance(content, str):
        content = content.encode("utf-8")
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        try:
            part.write_bytes(content)
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise CbldmError(
            f"{path}: cannot be written ({error.strerror}); expected a file "
            "name in a folder that exists and is writable: choose another."
        ) from None
