"""Inner loops over the sites of a template, compiled."""

from __future__ import annotations

import numpy as np

from diffpy_cbldm.compiled import ahead, compiled


@ahead("int64[::1], int64[:, ::1], int64[::1], boolean[::1]")
@compiled
def drop_overlaps(
    index: np.ndarray, close: np.ndarray, rank: np.ndarray, keep: np.ndarray
) -> None:
    """Leave out the sites of a ranking that likelier ones exclude.

    Parameters
    ----------
    index : (n,) array of int
        Sites, the likeliest first.
    close : (S, k) array of int
        Which sites each one excludes, filled up with S.
    rank : (S + 1,) array of int
        The place of each site in the ranking, n where it has none.
    keep : (n,) array of bool
        All true; false afterwards where a likelier site that stays excludes
        the site.
    """
    for late in range(len(index)):
        for k in range(close.shape[1]):
            early = rank[close[index[late], k]]
            # Whether the likelier site is itself left out is decided by now.
            if early < late and keep[early]:
                keep[late] = False
                break
