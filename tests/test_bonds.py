"""Bonds of clusters: lengths, coordination, roughness, diameter."""

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree
from scipy.spatial.distance import pdist
from test_alike import fcc, icosahedron
from test_editor import ideal

from diffpy_cbldm.crystals import bonds
from diffpy_cbldm.errors import CbldmError


def test_bonds():
    x = fcc(55)
    assert bonds.shortest_bond(x) == pytest.approx(2.775)
    x = np.vstack([x, x[0] + [0.3, 0, 0], [50.0, 0, 0]])
    assert bonds.shortest_bond(torch.from_numpy(x)) == pytest.approx(0.3)
    assert bonds.nearest_neighbour_distance(x) == pytest.approx(2.775)
    with pytest.raises(CbldmError, match="without padding"):
        bonds.shortest_bond(x[None])


def test_roughness():
    # 13 atoms have 36 bonds in the cuboctahedron, 42 in the icosahedron.
    assert bonds.roughness(fcc(13)) == pytest.approx(84 / 13 ** (2 / 3))
    ico = icosahedron(1)
    assert bonds.roughness(ico) == pytest.approx(72 / 13 ** (2 / 3))
    sponge = np.delete(fcc(147), np.arange(0, 147, 5), axis=0)
    assert bonds.roughness(sponge) > bonds.roughness(fcc(147)) + 3


def test_bulk_coordination_of_the_types():
    for kind, count in {"fcc": 12, "bcc": 14, "sc": 6}.items():
        x = ideal(kind, 200)
        near = cKDTree(x).query_ball_point(
            x, 1.2 * bonds.nearest_neighbour_distance(x)
        )
        assert max(map(len, near)) - 1 == count == bonds.BULK.get(kind, 12)


def test_diameter():
    x = np.random.default_rng(0).normal(size=(40, 3))
    assert bonds.diameter(x) == pytest.approx(pdist(x).max(), abs=1e-12)
    assert bonds.diameter(x[:1]) == 0
