"""The order of close-packed layers."""

import numpy as np
import pytest
from ase.cluster import Decahedron, Icosahedron, Octahedron
from scipy.spatial.transform import Rotation

from diffpy_cbldm.crystals.stacking import (
    layer_order,
    stacking_words,
    twin_planes,
)


def layers(order, radius=2.4, bond=2.88):
    """A round piece of close-packed layers, turned at random."""
    i, j = np.mgrid[-6:7, -6:7].reshape(2, -1)
    flat = np.stack([i + j / 2, j * np.sqrt(3) / 2], 1)
    found = []
    for k, letter in enumerate(order):
        shift = "ABC".index(letter) * np.array([0.5, np.sqrt(3) / 6])
        places = flat + shift
        places = places[np.linalg.norm(places - 0.4, axis=1) < radius]
        height = np.full(len(places), k * np.sqrt(2 / 3))
        found.append(np.column_stack([places, height]))
    x = bond * np.concatenate(found)
    return x @ Rotation.random(rng=3).as_matrix() + [4.0, 0.0, -2.0]


@pytest.mark.parametrize(
    ("order", "twins", "word"),
    [
        ("ABCBAC", 1, "twinned fcc"),
        ("ABABAB", 4, "hcp"),
        ("ABCACABC", 2, "2 layers stacked as in hcp"),
    ],
)
def test_layers_are_told(order, twins, word):
    found = layer_order(layers(order))
    # Seen from either end, with any letter first, and in a mirror.
    step, true = (np.diff([ord(c) for c in o]) % 3 for o in (found, order))
    seen = [list(way) for one in (true, -true % 3) for way in (one, one[::-1])]
    assert list(step) in seen
    assert twin_planes(found) == twins
    assert stacking_words(layers(order)).endswith(word)


def test_names_of_layers_do_not_hang_on_the_view():
    """From any side, and in a mirror: which is first hangs on rounding."""
    x = layers("CBACBABC")
    views = [x, -x, x * [1, 1, -1], x[::-1]]
    views += [x @ Rotation.random(rng=k).as_matrix() for k in range(4)]
    assert {layer_order(view) for view in views} == {"ABCABCBA"}


def test_fcc_and_what_has_no_layers():
    x = Octahedron("Au", 5, cutoff=1).positions
    assert twin_planes(layer_order(x)) == 0
    assert stacking_words(x).endswith("fcc")
    assert layer_order(Icosahedron("Au", 4).positions) == ""
    assert layer_order(Decahedron("Au", 4, 2, 0).positions) == ""
    assert layer_order(x[:2]) == ""
