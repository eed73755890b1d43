"""How the inner loops are compiled: by numba, once, and kept on disk.

A loop over pairs of atoms has no fast form in NumPy where it is
short: most of the time goes into making arrays.  Such loops stand in modules
named ``kernels`` and are marked with `compiled`.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable, Iterable
from typing import Any, TypeVar, cast

import numba
from numba.core.sigutils import normalize_signature

from diffpy_cbldm.interrupts import in_one_piece
from diffpy_cbldm.kernel_cache import OneAtATime

Kernel = TypeVar("Kernel", bound=Callable[..., Any])

IN_A_JOB = (
    "diffpy_cbldm.debye.kernels:pair_moments",
    "diffpy_cbldm.fitting.kernels:damped_waves",
    "diffpy_cbldm.fitting.kernels:sine_sums",
    "diffpy_cbldm.crystals.pair_kernels:counted_squares",
    "diffpy_cbldm.crystals.site_kernels:growths",
    "diffpy_cbldm.debye.kernels:site_counts",
    "diffpy_cbldm.debye.kernels:class_moments",
    "diffpy_cbldm.crystals.site_kernels:field_sums",
    "diffpy_cbldm.debye.sum_kernels:spread_pairs",
    "diffpy_cbldm.debye.sum_kernels:between_transforms",
    "diffpy_cbldm.debye.sum_kernels:sampled",
    "diffpy_cbldm.crystals.kernels:drop_overlaps",
    "diffpy_cbldm.debye.sum_kernels:spread_widths",
    "diffpy_cbldm.debye.sum_kernels:sum_widths",
    "diffpy_cbldm.debye.sum_kernels:begin",
    "diffpy_cbldm.fitting.kernels:wave_rows",
)
"""Kernels that most jobs call, in turn; but `wave_rows` is called first.

A job needs that one at once, and compiles it itself while a copy of the
process begins with what comes next.
"""

IN_EDITS = (
    "diffpy_cbldm.polishing.kernels:cosine_sums",
    "diffpy_cbldm.polishing.kernels:sine_products",
    "diffpy_cbldm.fitting.pair_kernels:pair_cells",
    "diffpy_cbldm.fitting.pair_kernels:pair_waves",
    "diffpy_cbldm.polishing.group_kernels:led_places",
    "diffpy_cbldm.polishing.kernels:add_atoms",
    "diffpy_cbldm.polishing.kernels:swapped",
    "diffpy_cbldm.polishing.kernels:atom_rates",
)
"""Kernels that edits call, and some of them relaxed frameworks, in turn."""

Typed = tuple[Any, tuple[Any, ...]]
"""A kernel and the types that it is called with."""

_TYPES: dict[str, str] = {}
"""What each kernel is called with, by its name as there."""


def ahead(types: str) -> Callable[[Kernel], Kernel]:
    """Tell the types that a kernel is called with, for `compiling`.

    Parameters
    ----------
    types : str
        In numba's words, such as ``"float64[:, ::1], int64"``.
    """

    def told(kernel: Kernel) -> Kernel:
        _TYPES[f"{kernel.__module__}:{kernel.__name__}"] = f"({types},)"
        return kernel

    return told


def typed(names: Iterable[str]) -> dict[str, Typed]:
    """Kernels named as in `IN_A_JOB`, with what they are called with.

    Under ``NUMBA_DISABLE_JIT`` there is nothing to compile, and none.
    """
    found = {}
    for name in names:
        module, _, own = name.partition(":")
        kernel = getattr(importlib.import_module(module), own)
        if hasattr(kernel, "compile"):
            # The cache knows a kernel by its types as they are spelt: those
            # of a call are no text.
            found[name] = kernel, normalize_signature(_TYPES[name])[0]
    return found


def compiled(function: Kernel) -> Kernel:
    """A function as machine code that lets other threads run beside it.

    Compiled at its first call and kept beside the module, or in the user's
    cache folder where the package lies in a folder that cannot be written
    (``NUMBA_CACHE_DIR`` names another); where none can be written, compiled
    again in each process.  Sums are not reordered, so that the
    same input gives the same bits on every machine of one kind.

    Kernels are few and written as plain loops: each costs 0.1 to 0.4 s to
    compile when the package is used for the first time.  Those `IN_A_JOB`
    make room by ``np.empty`` and fill it by loops or ``out[:] = 0.0``, and
    write products for squares: the first ``np.zeros``, ``np.full``, power or
    expression of whole arrays in a process costs 0.05 to 0.2 s more.
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
    kernel = numba.njit(nogil=True, **options)(function)
    # Under NUMBA_DISABLE_JIT it is the function itself.
    if hasattr(kernel, "compile"):
        # Calls that miss their types come here as well.
        kernel.compile = in_one_piece(kernel.compile)
        with contextlib.suppress(RuntimeError):  # numba finds no folder
            kernel._cache = OneAtATime(function)
    return cast(Kernel, kernel)
