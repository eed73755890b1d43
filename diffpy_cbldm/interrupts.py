"""Ctrl-C that waits where it would do harm.

The exception that answers it may rise at any step of Python, also in those
that LLVM calls while it compiles.  There a quarter of them is lost, and some
leave numba unable to compile, or memory freed twice
(``findings/numba_ctrl_c.sh``).
"""

from __future__ import annotations

import contextlib
import functools
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any


class _CtrlC:
    """The handler that is held back, and with what it is to be called."""

    usual: Callable[..., Any] | None = None
    told: tuple[Any, ...] | None = None

    def note(self, *told: Any) -> None:
        self.told = told


_CTRL_C = _CtrlC()


@contextlib.contextmanager
def held() -> Iterator[None]:
    """Let a Ctrl-C wait until the block ends, and be answered then.

    In the main thread, the only one that gets any; a block in another one,
    or inside of such a block, changes nothing.
    """
    usual = signal.getsignal(signal.SIGINT)
    # Who ignores it, or leaves it to the system, needs no help.
    if not _in_main() or _CTRL_C.usual is not None or not callable(usual):
        yield
        return
    _CTRL_C.usual = usual
    signal.signal(signal.SIGINT, _CTRL_C.note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, usual)
        try:
            answer()
        finally:
            _CTRL_C.usual = None


def answer() -> None:
    """Answer the Ctrl-C that waits, where it does no harm: it may raise."""
    usual, told = _CTRL_C.usual, _CTRL_C.told
    if told is not None and usual is not None and _in_main():
        _CTRL_C.told = None
        usual(*told)


def in_one_piece(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, with a Ctrl-C `held` until it ends."""

    @functools.wraps(function)
    def called(*args: Any, **more: Any) -> Any:
        with held():
            return function(*args, **more)

    return called


def _in_main() -> bool:
    return threading.current_thread() is threading.main_thread()
