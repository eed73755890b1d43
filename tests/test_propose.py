"""Generators on simulated PDFs whose truth is known."""

import dataclasses

import numpy as np
import pytest

import diffpy_cbldm as cb
from diffpy_cbldm.families import load_table
from diffpy_cbldm.propose import (
    bond_estimate,
    cbldm_generator,
    find_generator,
    library_generator,
    propose,
)
from diffpy_cbldm.score import rmsd, shortest_bond

TABLE = load_table()
CASES = {"fcc": 2.77, "bcc": 2.48, "dec": 2.88, "ico": 2.7, "sc": 3.3}


def example(structure_type, bond, **conditions):
    """A mid-sized cluster of a type and its PDF."""
    index = [
        i
        for i, g in enumerate(TABLE.geometries)
        if g.structure_type == structure_type
    ]
    index = min(index, key=lambda i: abs(TABLE.geometries[i].n_atoms - 100))
    cluster = cb.Cluster("Pt", TABLE.positions(index) * bond)
    return index, cluster, cb.simulate([cluster], **conditions)[0]


@pytest.mark.parametrize(("structure_type", "bond"), CASES.items())
def test_first_peak_gives_the_bond(structure_type, bond):
    _, _, pdf = example(structure_type, bond)
    assert bond_estimate(pdf) == pytest.approx(bond, rel=0.03)


@pytest.mark.parametrize(("structure_type", "bond"), CASES.items())
def test_library_finds_what_it_holds(structure_type, bond):
    index, cluster, pdf = example(structure_type, bond, biso=0.6, qdamp=0.03)
    found = library_generator(pdf, count=5)
    match = [
        c
        for c in found
        if len(c) == len(cluster)
        and rmsd(c.positions, cluster.positions) < 0.1
    ]
    assert [c.structure_type for c in match] == [structure_type]
    without = library_generator(pdf, count=5, exclude=[index])
    assert all(
        len(c.positions) != len(cluster.positions)
        or rmsd(c.positions, cluster.positions) > 0.1
        for c in without
    )


def test_data_that_end_early_and_start_late():
    _, cluster, pdf = example("dec", 2.88)
    part = dataclasses.replace(pdf, r=pdf.r[150:1600], g=pdf.g[150:1600])
    found = propose(part, generators=("library",), count=5, rmax=16.0)
    assert len(found[0]) == len(cluster)
    assert rmsd(found[0].positions, cluster.positions) < 0.1


def test_candidates_are_ranked_and_named():
    _, _, pdf = example("fcc", 2.77)
    found = propose(pdf, generators=("cbldm", "library"), count=8, seed=1)
    raw = [c.rw_raw for c in found]
    assert raw == sorted(raw) and min(raw) >= 0
    assert {c.generator for c in found} == {"cbldm", "library"}
    assert all(c.elements == ("Pt",) * len(c.positions) for c in found)
    assert raw[0] < 0.1


def test_same_seed_same_candidates_whatever_the_count():
    _, _, pdf = example("fcc", 2.77)
    few = cbldm_generator(pdf, count=4, seed=3)
    many = cbldm_generator(pdf, count=40, seed=3)
    assert 1 <= len(few) <= 4 <= len(many) + 3
    for a, b in zip(few, many):
        assert a.structure_type == b.structure_type
        assert np.array_equal(a.positions, b.positions)


@pytest.mark.parametrize("structure_type", ["fcc", "dec", "sc"])
def test_model_proposes_plausible_structures(structure_type):
    """Trained weights: right type, near the right size, no overlaps."""
    bond = CASES[structure_type]
    _, cluster, pdf = example(structure_type, bond)
    found = propose(pdf, generators=("cbldm",), count=16)
    assert found[0].structure_type in {
        structure_type,
        *(("oct",) if structure_type == "fcc" else ()),
    }
    assert len(found[0]) == pytest.approx(len(cluster), rel=0.25)
    assert all(shortest_bond(c.positions) > 0.85 * bond for c in found)
    assert found[0].rw_raw < 0.5


def test_unknown_generator_and_flat_data():
    _, _, pdf = example("fcc", 2.77)
    with pytest.raises(cb.CbldmError, match="no generator 'magic'"):
        find_generator("magic")
    r = np.arange(0, 20, 0.01)
    ramp = cb.PDFData(r=r, g=-r, composition="Pt", qmin=1, qmax=22)
    with pytest.raises(cb.CbldmError, match="no peak"):
        propose(ramp, generators=("library",))


def test_model_refuses_a_missing_device():
    import torch

    _, _, pdf = example("fcc", 2.77)
    if torch.cuda.is_available():
        assert propose(pdf, count=2, device="cuda")
    else:
        with pytest.raises(cb.CbldmError, match="no CUDA"):
            propose(pdf, count=2, device="cuda")


def test_generators_may_be_one_text():
    (pdf,) = cb.simulate(cb.Cluster("Pt", 2.8 * np.eye(3)), rmax=12)
    found = cb.propose(pdf, count=2, generators="library, screen")
    assert {c.generator for c in found} == {"library", "screen"}
    with pytest.raises(cb.CbldmError, match="count is 0"):
        cb.propose(pdf, count=0)
