"""What was counted of a cluster, kept for when it is asked for again.

A job asks for the distances of one structure up to ten times: when it is
proposed, ranked, compared with others, refined.  In between it is only
stretched.
"""

from __future__ import annotations

import collections
import contextlib
import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np

from diffpy_cbldm.memory import COUNTS, quickly_made

KEPT = 256
"""Clusters of which each function remembers its counts."""

_DIGITS = 6
"""Decimals, in radii of gyration, to which two clusters are one."""

Counter = TypeVar("Counter", bound=Callable[..., Any])


def remembered(*powers: int) -> Callable[[Counter], Counter]:
    """Keep what a function counts of a cluster, up to the cluster's stretch.

    Parameters
    ----------
    *powers : int
        The power of a length that each returned array is; where the function
        returns None, that is kept as well.

    Returns
    -------
    callable
        For functions of positions, (N, 3), alone.
    """

    def keeping(count: Counter) -> Counter:
        kept: collections.OrderedDict[bytes, Any] = collections.OrderedDict()

        @functools.wraps(count)
        def counted(positions: np.ndarray) -> Any:
            key, size = _key(positions)
            try:
                found = kept.pop(key)
            except KeyError:
                made = count(positions)
                found = made and _scaled(made, 1 / size, powers)
                while len(kept) >= KEPT:
                    # Another thread may have cleared it meanwhile.
                    with contextlib.suppress(KeyError):
                        kept.popitem(last=False)
            kept[key] = found
            return found and _scaled(found, size, powers)

        counted.cache_clear = kept.clear  # type: ignore[attr-defined]
        quickly_made(COUNTS)(counted)
        return cast(Counter, counted)

    return keeping


def _key(positions: np.ndarray) -> tuple[bytes, float]:
    """What clusters of one shape share, and their size."""
    away = positions - positions.mean(0)
    size = float(np.sqrt((away**2).sum(1).mean())) or 1.0
    # Adding 0 leaves no negative zero, which has other bytes.
    places = np.round((positions - positions[0]) / size, _DIGITS) + 0.0
    return places.astype(np.float32).tobytes(), size


def _scaled(
    parts: tuple[np.ndarray, ...], size: float, powers: tuple[int, ...]
) -> tuple[np.ndarray, ...]:
    return tuple(part * size**p for part, p in zip(parts, powers))
