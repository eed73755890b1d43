"""Machine code on disk, which one process makes while the others wait.

numba keeps what it compiled, but two processes that miss the same loop both
compile it.  Here the first one holds a lock file meanwhile; the others read
what it has made.  The system frees the lock of a process that ends, however
it ends, and where there are no locks each process compiles for itself.
What cannot be read is compiled again, and what cannot be kept serves all the
same.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from typing import Any

from numba.core.caching import FunctionCache

from diffpy_cbldm.interrupts import answer

if sys.platform != "win32":
    import fcntl

LONGEST = 30.0
"""Seconds to wait for another process, which may have been stopped."""

_PAUSE = 0.002
"""Seconds between two looks at a lock."""


class OneAtATime(FunctionCache):
    """The cache of a kernel, with a lock while it is compiled.

    Parameters
    ----------
    kernel : function
        Before it is compiled.

    Raises
    ------
    RuntimeError
        Where no folder can be written.
    """

    def __init__(self, kernel: Any) -> None:
        super().__init__(kernel)
        name = f"{kernel.__module__.rpartition('.')[2]}.{kernel.__name__}"
        self._lock_path = os.path.join(self.cache_path, f"{name}.lock")
        self._held: int | None = None

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """What is on disk; None where this process is to compile it."""
        found = self._read(sig, target_context)
        # A compilation that failed, or that Ctrl-C has ended, was not saved.
        self._release()
        if found is None and self._take():
            # Somebody may have made it until the lock was free.
            found = self._read(sig, target_context)
            if found is not None:
                self._release()
        return found

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep what was compiled and let the others read it."""
        try:
            # A full disk, or a file of another user: the job goes on.
            with contextlib.suppress(Exception):
                super().save_overload(sig, data)
        finally:
            self._release()

    def _read(self, sig: Any, target_context: Any) -> Any:
        """What is on disk; None where that is damaged, or not to be read."""
        try:
            return super().load_overload(sig, target_context)
        except Exception:  # of half a file pickle raises anything
            self._drop()
            return None

    def _drop(self) -> None:
        """Leave nothing that neither this process nor another can read."""
        with contextlib.suppress(OSError):
            os.remove(self._cache_file._index_path)

    def has(self, types: Any, target_context: Any) -> bool:
        """Whether the kernel is on disk for these types, which is quick."""
        key = self._index_key(types, target_context.codegen())
        try:
            return self._cache_file.load(key) is not None
        except Exception:  # as where it is read
            return False

    def elsewhere(self) -> bool:
        """Whether another process compiles the kernel now."""
        try:
            lock = _locked(self._lock_path, make=False)
        except BlockingIOError:
            return True
        except OSError:
            return False
        os.close(lock)
        return False

    def _take(self) -> bool:
        """Wait for the lock; False where there can be none."""
        end = time.monotonic() + LONGEST
        while time.monotonic() < end:
            try:
                self._held = _locked(self._lock_path)
            except BlockingIOError:
                # Ctrl-C waits for a compilation, but not for another's.
                answer()
                time.sleep(_PAUSE)
            except OSError:  # some network folders know no locks
                return False
            else:
                return True
        return False

    def _release(self) -> None:
        if self._held is not None:
            # Who has opened it looks into the cache before it compiles.
            with contextlib.suppress(OSError):
                os.remove(self._lock_path)
            os.close(self._held)
            self._held = None


def _locked(path: str, *, make: bool = True) -> int:
    """A file that is locked as long as it is open.

    Raises
    ------
    BlockingIOError
        If another process has it.
    OSError
        If there is none, or no locks.
    """
    if sys.platform == "win32":
        raise OSError("no locks here")
    file = os.open(path, os.O_RDWR | (os.O_CREAT if make else 0), 0o666)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(file)
        raise
    return file
