"""How the inner loops are compiled: by numba, once, and kept on disk.

A loop over pairs of atoms has no fast form in NumPy or PyTorch where it is
short: most of the time goes into making arrays.  Such loops stand in modules
named ``kernels`` and are marked with `compiled`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

Kernel = TypeVar("Kernel", bound=Callable[..., Any])


def compiled(function: Kernel) -> Kernel:
    """A function as machine code that lets other threads run beside it.

    Compiled at its first call and kept beside the module, or in the user's
    cache folder where the package lies in a folder that cannot be written
    (``NUMBA_CACHE_DIR`` names another); where none can be written, compiled
    again in each process.  Sums are not reordered, so that the
    same input gives the same bits on every machine of one kind.

    Kernels are few and written as plain loops: each costs about 0.3 s to
    compile when the package is used for the first time.
    """
    return _made(function, error_model="numpy")


def compiled_sums(function: Kernel) -> Kernel:
    """`compiled` for long scalar products, whose terms may be reordered.

    Several terms are then added at once, as in a product of matrices; like
    those, results may differ in the last digits between kinds of machine.
    """
    return _made(
        function, error_model="numpy", fastmath={"reassoc", "contract"}
    )


def _made(function: Kernel, **options: Any) -> Kernel:
    try:
        return cast(
            Kernel, numba.njit(cache=True, nogil=True, **options)(function)
        )
    except RuntimeError:  # numba finds no folder
        return cast(Kernel, numba.njit(nogil=True, **options)(function))
