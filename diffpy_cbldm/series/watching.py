"""Frames that arrive: files of a folder, each taken once it is complete."""

from __future__ import annotations

import importlib.util
import os
import pathlib
import threading
import time
from collections.abc import Sequence

from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.series.frames import Frame
from diffpy_cbldm.series.order import in_order

SETTLED = 2.0
"""A file is complete when it has not changed for so many seconds."""

ENDINGS = (".gr", ".txt", ".dat", ".xy")
"""Files whose names end otherwise are left alone."""


class Folder:
    """A `Feed` of the files that are put into a folder, until `stop`.

    Parameters
    ----------
    path : str
        The folder; what lies there already comes first.
    first : sequence of Frame
        Frames that come before those.

    Raises
    ------
    CbldmError
        There is no such folder, or watchfiles is missing.
    """

    def __init__(self, path: str, first: Sequence[Frame] = ()) -> None:
        if importlib.util.find_spec("watchfiles") is None:
            raise CbldmError(
                "--watch needs the package watchfiles: pip install "
                "'diffpy_cbldm[series]'."
            )
        self.path = pathlib.Path(path)
        if not self.path.is_dir():
            raise CbldmError(
                f"the folder {path} does not exist; expected one that PDFs "
                f"are written to: change --watch."
            )
        self.first = list(first)
        self.taken: set[str] = set()
        self.seen: dict[str, tuple[tuple[int, float], float]] = {}
        self._lock = threading.Lock()
        self._changed = {str(p) for p in self.path.iterdir()}
        self._end = threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()

    @property
    def open(self) -> bool:
        """Whether the folder is still watched."""
        return not self._end.is_set()

    def stop(self) -> None:
        """Take no more files."""
        self._end.set()

    def _watch(self) -> None:
        """Note which files change."""
        import watchfiles

        for changes in watchfiles.watch(
            self.path, stop_event=self._end, recursive=False, step=50
        ):
            with self._lock:
                self._changed.update(path for _, path in changes)

    def take(self) -> list[Frame]:
        """The files that have become complete, numbers by their values."""
        frames, self.first = self.first, []
        with self._lock:
            changed = [p for p in self._changed if self._is_asked_for(p)]
            done = [path for path in changed if self._is_complete(path)]
            # What never will be one is not looked at again.
            self._changed = set(changed).difference(done)
        self.taken.update(done)
        return frames + [Frame(*f) for f in in_order(done, "names")]

    def _is_asked_for(self, path: str) -> bool:
        name = os.path.basename(path)
        return (
            name.endswith(ENDINGS)
            and not name.startswith(".")
            and path not in self.taken
        )

    def _is_complete(self, path: str) -> bool:
        """Whether a file has stayed as it is for `SETTLED`."""
        try:
            found = os.stat(path)
        except OSError:  # gone again
            return False
        now, state = time.monotonic(), (found.st_size, found.st_mtime)
        known, since = self.seen.get(path, (None, now))
        if known != state:
            self.seen[path] = state, now
            # One that was there for long before is complete.
            return found.st_size > 0 and time.time() - found.st_mtime > SETTLED
        return found.st_size > 0 and now - since > SETTLED
