"""Candidates that the data do not tell apart."""

import pytest

from diffpy_cbldm.cluster import Candidate
from diffpy_cbldm.crystals.bonds import roughness
from diffpy_cbldm.crystals.lattices import turns
from diffpy_cbldm.crystals.table import load_table
from diffpy_cbldm.solving.groups import group, resolved, shared

TABLE = load_table()


def cluster(number=0, kind="fcc", rw=None, gone=0):
    of_kind = [
        i for i, g in enumerate(TABLE.geometries) if g.structure_type == kind
    ]
    x = TABLE.positions(of_kind[number]) * 2.75
    x = x[: len(x) - gone]
    return Candidate(("Pt",) * len(x), x, structure_type=kind, rw=rw)


def test_what_data_resolve():
    """More points tell smaller differences; a low Rw is told more finely."""
    assert resolved(0.1, 200) < resolved(0.1, 100)
    assert resolved(0.1, 200) - 0.1 > resolved(0.01, 200) - 0.01
    assert resolved(0.0, 200) > 0


def test_groups():
    rows = [
        cluster(-1, rw=0.1002, gone=9),
        cluster(-1, rw=0.1),
        cluster(-1, rw=0.2, gone=3),
        cluster(-1),
    ]
    first, second = group(rows, 200)
    assert second.members == (2,) and second.shared == 1.0
    assert set(first.members) == {0, 1}
    # The smoother one first.
    rough = [roughness(rows[i].positions) for i in first.members]
    assert rough == sorted(rough)
    assert first.rw == (0.1, 0.1002)
    assert first.atoms == (len(rows[0]), len(rows[1]))
    n = len(rows[1])
    assert first.shared == pytest.approx((n - 9) / n)
    assert "atoms shared" in str(first) and "fcc" in str(first)


@pytest.mark.parametrize("kind", ["fcc", "dec", "ico", "hcp"])
def test_atoms_are_shared_whichever_way_a_cluster_stands(kind):
    whole = cluster(5 if kind != "ico" else 1, kind)
    n = len(whole)
    template = {"hcp": "stack"}.get(kind, kind)
    turn = turns(template)[3]
    part = whole.positions[4:] @ turn.T * 1.01 + [3.0, -1.0, 0.5]
    other = Candidate(("Pt",) * (n - 4), part, structure_type=kind)
    assert shared(whole, other) == pytest.approx((n - 4) / n)
    assert shared(whole, whole) == 1.0
