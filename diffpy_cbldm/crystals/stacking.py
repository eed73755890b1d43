"""The order of close-packed layers in a cluster, such as ABCBA.

A layer whose neighbours are alike (ABA) is stacked as in hcp, one whose
neighbours differ (ABC) as in fcc.  One such layer in a piece of fcc is a twin
plane; two next to one another are a stacking fault.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.spatial import cKDTree

from diffpy_cbldm.crystals.bonds import nearest_neighbour_distance

SPACING = math.sqrt(2 / 3)
"""Of close-packed layers, bond lengths."""

LEVEL = 0.25
"""Atoms of a layer lie within so much of its spacing."""

_NEIGHBOUR = 1.2


def layer_order(positions: np.ndarray) -> str:
    """The layers of a cluster by their letters, beginning with A.

    Parameters
    ----------
    positions : (n, 3) array, angstrom

    Returns
    -------
    str
        Such as "ABCBA"; empty where there are no close-packed layers.  Of
        the four ways to see layers in fcc one is taken; of the two ends and
        of the names of layers those that come first in the alphabet.
    """
    x = np.asarray(positions, float)
    x = x - x.mean(0)
    if len(x) < 4:
        return ""
    x = x / nearest_neighbour_distance(x)
    pairs = cKDTree(x).query_pairs(_NEIGHBOUR, output_type="ndarray")
    bonds = x[pairs[:, 1]] - x[pairs[:, 0]]
    for normal, along in _triangles(bonds):
        layer = _layers(x @ normal)
        if layer is not None:
            order = _letters(x, layer, along, np.cross(normal, along))
            return min(_renamed(order), _renamed(order[::-1]))
    return ""


def _renamed(order: str) -> str:
    """The same layers with A, B and C as they come for the first time."""
    names = dict(zip(dict.fromkeys(order), "ABC"))
    return "".join(names[letter] for letter in order)


def _triangles(bonds: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Normals to bonds at 60 degrees, the most frequent first, each with a
    bond in the plane."""
    units = bonds / np.linalg.norm(bonds, axis=1, keepdims=True)
    # Directions of a crystal are few: one of each will do.
    kept: list[np.ndarray] = []
    for unit in units:
        if all(abs(unit @ other) < 0.97 for other in kept):
            kept.append(unit)
    found: list[tuple[np.ndarray, np.ndarray]] = []
    for i, a in enumerate(kept):
        for b in kept[:i]:
            if abs(abs(a @ b) - 0.5) < 0.05:
                normal = np.cross(a, b)
                found.append((normal / np.linalg.norm(normal), a))
    in_plane = [int((abs(units @ n) < 0.1).sum()) for n, _ in found]
    return [found[k] for k in np.argsort(in_plane, kind="stable")[::-1]]


def _layers(height: np.ndarray) -> np.ndarray | None:
    """The layer of each atom from its height; None where they are none."""
    turns = height / SPACING
    # The phase that all layers share, by their mean on a circle.
    phase = np.angle(np.exp(2j * np.pi * turns).mean()) / (2 * np.pi)
    layer = np.rint(turns - phase)
    if np.abs(turns - phase - layer).max() > LEVEL:
        return None
    return (layer - layer.min()).astype(int)


def _letters(
    x: np.ndarray, layer: np.ndarray, along: np.ndarray, across: np.ndarray
) -> str:
    """Letters of layers from where their atoms stand in the plane."""
    # Rows of a layer are sqrt(3)/2 apart, and those of the next layer lie a
    # third of that farther, one way or the other.
    rows = x @ across / (math.sqrt(3) / 2)
    wave = np.exp(2j * np.pi * rows)
    angles = [
        np.angle(wave[layer == k].mean()) for k in range(layer.max() + 1)
    ]
    steps = np.rint((np.array(angles) - angles[0]) / (2 * np.pi / 3))
    return "".join("ABC"[int(step) % 3] for step in steps)


def twin_planes(order: str) -> int:
    """How many layers have neighbours that are alike.

    Parameters
    ----------
    order : str
        See `layer_order`.
    """
    return sum(a == b for a, b in zip(order, order[2:]))


def stacking_words(positions: np.ndarray) -> str:
    """The order of layers in words: "layers ABCBA, one twin plane".

    Empty where there are none.  positions (n, 3), angstrom.
    """
    order = layer_order(positions)
    if len(order) < 3:
        return ""
    count = twin_planes(order)
    words = {
        0: "fcc",
        1: "twinned fcc",
        len(order) - 2: "hcp",
    }
    kind = words.get(count, f"{count} layers stacked as in hcp")
    return f"layers {order}, {kind}"
