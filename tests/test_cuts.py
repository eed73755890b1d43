"""Random cuts and the strain and relaxation of clusters."""

import numpy as np
import pytest
from scipy.spatial.distance import pdist

from diffpy_cbldm.crystals import cuts, lattices
from diffpy_cbldm.crystals.table import TEMPLATE_OF, load_table

TABLE = load_table()
NAMES = [g.name for g in TABLE.geometries]


@pytest.mark.parametrize("kind", cuts.CUT_KINDS)
def test_cuts_are_repeatable_whole_and_without_overlap(kind):
    for seed in range(10):
        draw = [
            cuts.random_cut(TABLE, kind, np.random.default_rng(seed), 20, 250)
            for _ in range(2)
        ]
        assert np.array_equal(*draw)
        assert 15 <= len(draw[0]) <= 250
        assert len(set(draw[0])) == len(draw[0])
        xyz = TABLE.sites[TEMPLATE_OF[kind]][draw[0]]
        assert pdist(xyz).min() > 0.95


def test_stacked_cuts_have_faults_and_hcp_cuts_have_none():
    rng = np.random.default_rng(0)
    for kind in ("hcp", "stacked"):
        faults = 0
        for _ in range(20):
            members = cuts.random_cut(TABLE, kind, rng, 150, 250)
            xyz = TABLE.sites["stack"][members].astype(float)
            layer, site = lattices.stacking_sites(xyz)
            order = [site[layer == k][0] for k in np.unique(layer)]
            turn = np.diff(order) % 3
            # hcp turns at each layer, fcc at none.
            faults += len(set(np.diff(turn) != 0)) == 2
            for k in np.unique(layer):
                assert len(set(site[layer == k])) == 1
        assert (faults == 0) == (kind == "hcp")


def test_strain_keeps_the_volume_and_relaxation_moves_the_surface():
    xyz = TABLE.positions(NAMES.index("ico(4)"))
    same = cuts.deformed(xyz, np.zeros(3))
    assert np.allclose(same, xyz)
    strained = cuts.deformed(xyz, np.array([0.01, -0.004, 0.0]))
    ratio = np.ptp(strained, axis=0) / np.ptp(xyz, axis=0)
    assert ratio == pytest.approx([1.01, 0.996, 0.994], abs=1e-6)
    relaxed = cuts.deformed(xyz, np.array([0.0, 0.0, 0.06]))
    moved = np.linalg.norm(xyz, axis=1) - np.linalg.norm(relaxed, axis=1)
    inner = np.linalg.norm(xyz, axis=1) < 2.2
    assert np.abs(moved[inner]).max() < 1e-6
    # Of 12 neighbours a vertex of an icosahedron has 6, a face atom 9.
    assert moved[~inner].min() == pytest.approx(0.06 * 3 / 12, abs=1e-3)
    assert moved.max() == pytest.approx(0.06 * 6 / 12, abs=1e-3)
