"""Generators on simulated PDFs whose truth is known."""

import dataclasses

import numpy as np
import pytest

import diffpy_cbldm as cb
from diffpy_cbldm.crystals.alike import rmsd
from diffpy_cbldm.crystals.bonds import shortest_bond
from diffpy_cbldm.crystals.table import load_table
from diffpy_cbldm.fitting.target import Target, bond_estimate
from diffpy_cbldm.search import by_model
from diffpy_cbldm.search.by_library import library_generator
from diffpy_cbldm.search.by_model import SMALL_ALONE, cbldm_generator
from diffpy_cbldm.search.generators import find_generator, propose
from diffpy_cbldm.search.matching import (
    Motion,
    histograms,
    least_between,
    screen,
)

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


def test_what_the_model_proposed_is_kept_for_the_same_question(monkeypatch):
    asked = []

    class Pool:
        def candidates(self, count):
            return [cb.Candidate(("Pt",) * count, np.eye(3)[:count] * 2.8)]

    def search(model, target, seed, worth):
        asked.append(seed)
        return Pool()

    monkeypatch.setattr(by_model, "_model", lambda weights, device: None)
    monkeypatch.setattr(by_model, "_search", search)
    monkeypatch.setattr(by_model, "_sizes", lambda *asked: SMALL_ALONE)
    by_model._drawn.cache_clear()
    _, _, pdf = example("fcc", 2.77)
    same = dataclasses.replace(pdf)
    first, again = (cbldm_generator(p, count=2) for p in (pdf, same))
    assert len(asked) == 1 and first[0] is again[0] and first is not again
    for other, more in (
        (pdf, {"seed": 1}),
        (pdf, {"rmax": 20.0}),
        (dataclasses.replace(pdf, qdamp=0.01), {}),
        (dataclasses.replace(pdf, g=pdf.g + 1e-9), {}),
    ):
        cbldm_generator(other, count=2, **more)
    assert asked == [0, 1, 0, 0, 0]
    assert len(cbldm_generator(pdf, count=3)[0]) == 3
    by_model._drawn.cache_clear()


@pytest.mark.parametrize("parameters", [(5, 1, 14), (3, 3, 10), (15, 5, 1)])
def test_rods_and_plates_are_compared_exactly(parameters):
    """What they scatter at Qmin is large: the Q grid must be the fit's."""
    index = next(
        i
        for i, g in enumerate(TABLE.geometries)
        if (g.structure_type, g.parameters) == ("hcp", parameters)
    )
    unit = TABLE.positions(index)
    lengths = np.array([len(unit)])
    cluster = cb.Cluster("Pt", unit * 2.7)
    (pdf,) = cb.simulate([cluster], qmin=0.7, qmax=25.0, biso=0.3, qdamp=0.02)
    hist = histograms([unit])
    motion = Motion((0.0036, 0.004, 0.0044), (0.01, 0.02, 0.03), 0.0, True)
    rw, bonds = screen(hist, lengths, Target.of(pdf), 2.7, motion)
    # In single precision the squares are told to 1e-6, which some processors
    # use up.
    assert rw[0] ** 2 < 0.004**2 + 1e-6
    assert bonds[0] == pytest.approx(2.7, rel=1e-4)


def test_parabola_between_three_values():
    """Exact for a parabola, never outside the places that are tried."""
    places = np.array([0.0, 1.0, 3.0])
    rows = np.array(
        [[(x - m) ** 2 + 0.5 for x in places] for m in (0.4, 1.7, -2.0, 9.0)]
    )
    lowest, found = least_between(rows, places)
    assert found == pytest.approx([0.4, 1.7, 0.0, 3.0])
    assert lowest == pytest.approx([0.5, 0.5, 4.5, 36.5])


def test_candidates_are_no_copies():
    """No two have the same sites, wherever they stand."""
    _, _, pdf = example("fcc", 2.77)
    found = cbldm_generator(pdf, count=40, seed=3)
    known = []
    for c in found:
        d = c.positions - c.positions.mean(0)
        inertia = np.linalg.eigvalsh(d.T @ d) / len(c) / 2.77**2
        key = np.append(inertia, [len(c), (d**4).sum() / len(c) / 2.77**4])
        known.append(key)
    apart = np.abs(np.array(known)[:, None] - known).max(2)
    assert (apart[np.triu_indices(len(known), 1)] > 1e-3).all()


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
