"""Pair histograms of clusters on template sites, from one to the next.

The sites of a template have few distances: 100 on a cubic lattice, 1500 in a
decahedron.  Clusters that a search makes in turn differ by a few sites, so
that counting the pairs of these is enough.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
import torch
from scipy.spatial.distance import cdist
from torch import Tensor

from diffpy_cbldm.families import load_table
from diffpy_cbldm.histogram import pair_histogram

WIDTH = 0.001
"""Distances that differ by less, in bond lengths, are counted together, at
their mean: what their spread takes from a peak is far below its own width."""


class SitePairs:
    """The distances between sites, in classes.

    Parameters
    ----------
    sites : (S, 3) array
    step : float, unit of the sites
    bins, order : int
        Of the histograms, see `diffpy_cbldm.histogram.pair_histogram`.
    """

    def __init__(
        self, sites: np.ndarray, *, step: float, bins: int, order: int
    ):
        d = cdist(sites, sites)
        cells = np.round(d / WIDTH).astype(np.int32)
        sizes = np.bincount(cells.ravel())
        used = np.flatnonzero(sizes)
        total = np.bincount(cells.ravel(), d.ravel())
        number = np.zeros(len(sizes), np.uint16)
        number[used] = np.arange(len(used))
        self.classes, self.count = number[cells], len(used)
        # Class 0 is each site with itself.
        mean = torch.as_tensor(total[used] / sizes[used])[1:]
        pairs = torch.zeros(len(mean), 2, 3, dtype=mean.dtype)
        pairs[:, 1, 0] = mean
        rows = pair_histogram(pairs, step=step, bins=bins, order=order)
        self._rows = 0.5 * rows.float()  # each pair is counted both ways

    def counts(self, clusters: Sequence[np.ndarray]) -> np.ndarray:
        """How many ordered pairs of each class clusters have.

        Parameters
        ----------
        clusters : sequence of (n,) arrays of int
            Sites, none twice.  Neighbours in the sequence that share most of
            them are counted fast.

        Returns
        -------
        (C, K) array of int; class 0 is each site with itself.
        """
        out = np.zeros((len(clusters), self.count), np.int64)
        inside = np.zeros(len(self.classes), bool)
        before = np.zeros(0, np.intp)
        for k, sites in enumerate(clusters):
            lost, new = inside.copy(), np.zeros_like(inside)
            lost[sites], new[sites] = False, True
            new &= ~inside
            gone, come = np.flatnonzero(lost), np.flatnonzero(new)
            if len(gone) + len(come) < 0.4 * len(sites):
                row = out[k - 1] - self._changed(gone, before)
                out[k] = row + self._changed(come, sites)
            else:
                out[k] = self._between(sites, sites)
            inside[gone], inside[come] = False, True
            before = sites
        return out

    def _changed(self, some: np.ndarray, every: np.ndarray) -> np.ndarray:
        """Ordered pairs of a cluster that some of its sites belong to."""
        once = self._between(some, every)
        return 2 * once - self._between(some, some)

    def _between(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        cells = self.classes[a[:, None], b].ravel()
        return np.bincount(cells, minlength=self.count)

    def histograms(self, clusters: Sequence[np.ndarray]) -> Tensor:
        """Pair histograms of clusters, (C, bins) float32 tensor.

        As `diffpy_cbldm.histogram.pair_histogram` makes them.
        """
        counts = torch.from_numpy(self.counts(clusters)[:, 1:])
        return counts.float() @ self._rows


@functools.cache
def site_pairs(template: str, step: float, bins: int, order: int) -> SitePairs:
    """The pairs of a template of the packaged table."""
    sites = load_table().sites[template].astype(float)
    return SitePairs(sites, step=step, bins=bins, order=order)
