"""Stacking faults and twins of a large particle, by planes.

A sequence of close-packed layers is told by the sense of each step from one
layer to the next: all alike in fcc, in turns in hcp.  A stacking fault turns
one step round, as a partial dislocation does that has swept the plane, and
moves a twin plane by a layer where it lies beside it; a twin turns round all
steps above a plane.  Each layer then lies on other sites, at most one partial
step away, so that the particle keeps its shape.

The pairs of two layers at the few shifts that occur are counted once; every
sequence is a sum of these.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from scipy.spatial import cKDTree

from diffpy_cbldm.crystals.bonds import BOND
from diffpy_cbldm.crystals.lattices import LAYER
from diffpy_cbldm.polishing.basis import PairBasis
from diffpy_cbldm.polishing.directions import facet_normals
from diffpy_cbldm.polishing.group_kernels import layer_counts

CELL = 0.02
"""Cells of distances (A); pairs of one count at their mean."""

SHIFTS = np.arange(-2, 3)
"""How far two layers may be shifted against each other, in partial steps."""

MOST_FAULTS = 3
"""Faults that are made one after the other."""

_GAP = 0.3
"""Heights (bonds) farther apart are those of two layers."""

_FLAT = 0.06
"""How far (bonds) layers may be off the distance of close-packed ones."""


@dataclasses.dataclass(frozen=True)
class Stacking:
    """The close-packed layers of a particle.

    Attributes
    ----------
    normal : (3,) array
        Upwards.
    step : (3,) array
        A partial step in the plane, in the unit of the positions.
    order : (n,) array of int
        The atoms layer by layer, the lowest first.
    starts : (l + 1,) array of int64
        Where each layer begins in `order`, and the end.
    senses : (l - 1,) array of int
        1 or -1 for each step from a layer to the next.
    """

    normal: np.ndarray
    step: np.ndarray
    order: np.ndarray
    starts: np.ndarray
    senses: np.ndarray

    @property
    def layer(self) -> np.ndarray:
        """The layer of each atom."""
        layer = np.empty(len(self.order), int)
        sizes = np.diff(self.starts)
        layer[self.order] = np.repeat(np.arange(len(sizes)), sizes)
        return layer

    def shifts(self, senses: np.ndarray) -> np.ndarray:
        """The partial steps (-1, 0, 1) of each layer for other senses."""
        before, after = (np.cumsum([0, *s]) for s in (self.senses, senses))
        return (after - before + 1) % 3 - 1

    def edits(self, senses: np.ndarray) -> list[tuple[tuple, np.ndarray]]:
        """All sequences that one fault makes, each with what it is."""
        found = []
        key = tuple(np.round(self.normal, 2).tolist())
        for k in range(len(senses)):
            fault, twin = senses.copy(), senses.copy()
            fault[k] *= -1
            twin[k:] *= -1
            found.append((("fault", *key, k), fault))
            found.append((("twin", *key, k), twin))
        return found


def structure_type(senses: np.ndarray) -> str:
    """What a sequence of layers is called."""
    same = senses[1:] == senses[:-1]
    if same.all():
        return "fcc"
    return "stacked" if same.any() else "hcp"


def stackings(x: np.ndarray, bond: float) -> list[Stacking]:
    """The ways in which a particle consists of close-packed layers.

    Parameters
    ----------
    x : (n, 3) array, angstrom
    bond : float, angstrom

    Returns
    -------
    list of Stacking
        Four for fcc, one for a twin, none for other crystals.
    """
    normals = facet_normals(x / bond)
    # Of both signs of a plane one does.
    some = [n for n in normals if tuple(np.round(n, 3)) > (0.0, 0.0, 0.0)]
    found = (_stacking(x, bond, normal) for normal in some)
    return [stacking for stacking in found if stacking is not None]


def _stacking(
    x: np.ndarray, bond: float, normal: np.ndarray
) -> Stacking | None:
    """The layers along a normal, None where they are not close-packed."""
    heights = x @ normal / bond
    order = np.argsort(heights, kind="stable")
    gaps = np.diff(heights[order]) > _GAP
    starts = np.concatenate([[0], np.flatnonzero(gaps) + 1, [len(x)]])
    middles = np.add.reduceat(heights[order], starts[:-1]) / np.diff(starts)
    off = np.abs(np.diff(middles) - LAYER)
    if len(middles) < 4 or off.max() > _FLAT:
        return None
    layer = np.empty(len(x), int)
    layer[order] = np.repeat(np.arange(len(middles)), np.diff(starts))
    phases = _phases(x, bond, normal, layer)
    if (np.abs(phases) < 0.8).any():
        return None  # some atoms of a layer stand on other sites
    senses = np.where((phases * phases[0].conj()).real > 0, 1, -1)
    first, second = _in_plane(normal)
    angle = np.angle(phases[0]) / 3
    step = math.cos(angle) * first + math.sin(angle) * second
    return Stacking(
        normal,
        step * bond / 3**0.5,
        order,
        starts.astype(np.int64),
        senses,
    )


def _in_plane(normal: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two unit vectors across a normal."""
    away = np.eye(3)[np.abs(normal).argmin()]
    first = np.cross(normal, away)
    first /= np.linalg.norm(first)
    return first, np.cross(normal, first)


def _phases(
    x: np.ndarray, bond: float, normal: np.ndarray, layer: np.ndarray
) -> np.ndarray:
    """Where each layer's hollows hold the next one: opposite signs, (l - 1,).

    Bonds upwards point in three directions a third of a turn apart; three
    times their angle is the same for all of them, and half a turn off for
    the other hollows.
    """
    pairs = cKDTree(x).query_pairs(BOND * bond, output_type="ndarray")
    up = layer[pairs[:, 1]] - layer[pairs[:, 0]]
    low = np.where(up > 0, pairs[:, 0], pairs[:, 1])[up != 0]
    high = np.where(up > 0, pairs[:, 1], pairs[:, 0])[up != 0]
    bonds = x[high] - x[low]
    first, second = _in_plane(normal)
    angle = np.arctan2(bonds @ second, bonds @ first)
    turned = np.exp(3j * angle)
    size = int(layer.max())
    total = np.bincount(layer[low], turned.real, size)[:size] + 1j * (
        np.bincount(layer[low], turned.imag, size)[:size]
    )
    return total / np.maximum(np.bincount(layer[low], minlength=size), 1)


class FaultTable:
    """What the sequences of a particle's layers make of its curve.

    Parameters
    ----------
    stacking : Stacking
    x : (n, 3) array, angstrom
    basis : PairBasis
    """

    def __init__(
        self, stacking: Stacking, x: np.ndarray, basis: PairBasis
    ) -> None:
        self.stacking = stacking
        cells = int(basis.reach / CELL) + 1
        layers = len(stacking.starts) - 1
        rows = layers * (layers - 1) // 2
        counts = np.zeros((rows, len(SHIFTS), cells), np.float32)
        pairs = np.zeros((2, cells))
        layer_counts(
            np.ascontiguousarray(x[stacking.order]),
            stacking.starts,
            SHIFTS[:, None] * stacking.step,
            CELL,
            basis.reach,
            counts,
            pairs,
        )
        used = np.flatnonzero(pairs[0])
        vectors = basis.vectors(pairs[1, used] / pairs[0, used])
        flat = np.ascontiguousarray(
            counts.reshape(rows * len(SHIFTS), cells)[:, used]
        )
        table = flat @ vectors
        self._table = table.reshape(rows, len(SHIFTS), -1)
        self._upper, self._lower = np.tril_indices(layers, -1)

    def change(self, senses: np.ndarray) -> np.ndarray:
        """What another sequence adds to the sum of all pairs, (m,)."""
        shift = self.stacking.shifts(senses)
        between = shift[self._upper] - shift[self._lower]
        moved = np.flatnonzero(between)
        after = self._table[moved, between[moved] + 2].sum(0, dtype=float)
        return after - self._table[moved, 2].sum(0, dtype=float)
