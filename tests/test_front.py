"""Polishing: what it finds, and what its guard-rails refuse."""

import dataclasses
import importlib

import numpy as np
import pytest
from scipy.spatial.distance import pdist

from diffpy_cbldm.cluster import Cluster
from diffpy_cbldm.crystals.alike import rmsd
from diffpy_cbldm.crystals.bonds import (
    ideal_roughness,
    nearest_neighbour_distance,
    roughness,
    shortest_bond,
)
from diffpy_cbldm.crystals.table import load_table
from diffpy_cbldm.debye.simulation import simulate
from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.fitting import moves
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.pdfdata import PDFData
from diffpy_cbldm.polishing.basis import PairBasis
from diffpy_cbldm.polishing.front import (
    best,
    front,
    other_sizes,
    pareto,
    predicted,
)

BOND = 2.75


def ideal(kind, atoms):
    """The smoothest cluster of a type of about a size, in A."""
    table = load_table()
    near = [
        table.positions(i)
        for i, g in enumerate(table.geometries)
        if g.structure_type == kind and 0.8 < g.n_atoms / atoms < 1.5
    ]
    return min(near, key=lambda x: roughness(x, kind)) * BOND


def off_centre(atoms):
    """A sphere of fcc about no symmetric point."""
    k = np.arange(-8, 9)
    grid = np.stack(np.meshgrid(k, k, k), -1).reshape(-1, 3)
    fcc = grid[grid.sum(1) % 2 == 0] / 2**0.5
    away = np.linalg.norm(fcc - [0.21, 0.34, 0.11], axis=1)
    return fcc[np.argsort(away)[:atoms]] * BOND


def pdf_of(positions, noise=0.0, qmax=24.0):
    """Its PDF with noise inside the measured Q range; Qdamp not told."""
    (pdf,) = simulate(
        [Cluster("Pt", positions)], qmin=0.8, qmax=qmax, qdamp=0.03
    )
    rng = np.random.default_rng(7)
    knots = np.arange(0, 31, np.pi / qmax)
    wave = np.sinc((pdf.r[:, None] - knots) * qmax / np.pi)
    wave = wave @ rng.standard_normal(len(knots))
    return PDFData(
        r=pdf.r,
        g=pdf.g + noise * pdf.g.std() * wave,
        composition="Pt",
        qmin=0.8,
        qmax=qmax,
    )


@pytest.mark.parametrize(
    "kind", ["fcc", "bcc", "sc", "hcp", "stacked", "ico", "dec"]
)
def test_atoms_that_are_gone_are_found_out(kind):
    """From the whole cluster to one without some of its outer atoms."""
    whole = ideal("hcp" if kind == "stacked" else kind, 60)
    # A slice at an odd angle, so that no symmetry is left.
    side = whole @ np.array([0.3, 0.5, 0.81])
    truth = whole[np.argsort(side)[:-5]]
    pdf = pdf_of(truth)
    words = {"kinds": ("sites",), "limit": 1.6}
    found = front(whole, kind, pdf, **words)
    found += other_sizes(best(found), kind, pdf, **words)
    end = best(found)
    assert end.rw < 0.3 * found[0].rw
    assert len(end.positions) == len(truth)
    # Other choices of sc sites have the very same distances: which of them
    # comes first is a matter of the last bits.
    apart = np.sort(pdist(end.positions)) - np.sort(pdist(truth))
    assert abs(apart).max() < 0.01
    as_good = [one for one in found if one.rw < end.rw + 1e-6]
    assert min(rmsd(one.positions, truth) for one in as_good) < 0.02


@pytest.mark.parametrize(
    ("kind", "atoms"),
    [("fcc", 100), ("ico", 100), ("dec", 100), ("bcc", 100), ("hcp", 240)],
)
def test_a_right_structure_stays(kind, atoms):
    x = ideal(kind, atoms)
    target = Target.of(pdf_of(x, noise=0.02), qdamp_range=(0.0, 0.15))
    found = front(x, kind, target)
    found += other_sizes(found[0], kind, target)
    end = best(found)
    assert len(end.positions) == len(x) and not end.values
    assert rmsd(end.positions, x) < 0.02


def test_strain_and_surface_are_found():
    x = ideal("oct", 85)
    values = {"strain_xx": 0.008, "strain_xy": -0.005, "surface_1": -0.02}
    truth = moves.moved(x, values)
    found = front(x, "oct", pdf_of(truth))
    end = best(found)
    assert found[0].rw > 0.02 and end.rw < 0.004
    assert len(end.positions) == len(x)
    assert rmsd(end.positions, truth) < 0.02
    assert end.values["surface_1"] == pytest.approx(-0.02, abs=0.004)


def test_an_off_centre_cut_from_the_best_ideal_one():
    truth = off_centre(90)
    found = front(ideal("fcc", 79), "fcc", pdf_of(truth, noise=0.01))
    end = best(found)
    assert found[0].rw > 0.03
    assert end.rw < 0.015
    assert abs(len(end.positions) / 90 - 1) < 0.05
    assert end.roughness == pytest.approx(roughness(truth), rel=0.15)


def test_free_fits_of_noise_are_refused():
    """Free atoms follow the noise; the rails do not."""
    x = off_centre(60)
    pdf = pdf_of(x, noise=0.05)
    target = Target.of(pdf, rmax=14.0)
    found = front(x, "fcc", target, kinds=("displacements",))
    assert best(found) is found[0]
    # What atoms without restraint make of the same noise ...
    fit, rng = found[0].fit, np.random.default_rng(0)
    seen = (target.r // 2.5).astype(int) % 3 != 1
    basis = PairBasis(target.with_weights(seen.astype(float)), fit)
    held = PairBasis(target.with_weights((~seen).astype(float)), fit)
    free, damping = x + rng.normal(0, 0.02, x.shape), 1e-3
    for _ in range(40):
        left, slopes = basis.atom_slopes(free)
        normal = slopes @ slopes.T
        normal += damping * np.trace(normal) / x.size * np.eye(x.size)
        step = np.linalg.solve(normal, slopes @ left).reshape(-1, 3)
        now = left @ left + basis.outside
        lower = basis.residuals((free + step)[None])[0][0] < now
        damping *= 0.5 if lower else 4.0
        free = free + step if lower else free
    both = np.array([free, x])
    gain = [np.divide(*b.residuals(both)[0]) for b in (basis, held)]
    # ... fits better where it was fitted, and worse where it was not.
    assert gain[0] < 0.9 and gain[1] > 1.5


def test_displacements_that_are_real_are_taken():
    x = ideal("fcc", 55)
    rng = np.random.default_rng(2)
    truth = x + rng.normal(0, 0.03, x.shape)
    found = front(x, "fcc", pdf_of(truth), kinds=("displacements",))
    end = best(found)
    assert end.displaced > 3
    assert end.rw < 0.7 * found[0].rw
    assert end.criterion < found[0].criterion
    moved = np.linalg.norm(end.positions - found[0].positions, axis=1)
    assert 0 < moved.max() < 0.2


def test_no_structure_beyond_the_rails():
    """A PDF that no plausible particle has: noise of the same strength."""
    x = ideal("fcc", 79)
    pdf = pdf_of(x, noise=0.6)
    for limit in (1.05, 1.25):
        found = front(x, "fcc", pdf, limit=limit, beyond=4)
        assert len(found) > 1
        for p in found[1:]:
            n = np.array([len(p.positions)])
            assert p.roughness <= limit * ideal_roughness("fcc", n)[0] + 1e-6
            bond = nearest_neighbour_distance(p.positions)
            assert shortest_bond(p.positions) >= 0.9 * bond


def test_the_front_is_not_beaten():
    x = ideal("fcc", 79)
    pdf = pdf_of(ideal("dec", 75), noise=0.01)
    kept = pareto(front(x, "fcc", pdf, beyond=2))
    rough = [p.roughness for p in kept]
    rw = [p.rw for p in kept]
    assert rough == sorted(rough) and rw == sorted(rw, reverse=True)


def test_prediction_of_r_left_out():
    """It improves where atoms are wrong, and not where all is right."""
    truth = ideal("fcc", 79)[:-7]
    before, after = predicted(ideal("fcc", 79), "fcc", pdf_of(truth))
    assert after < 0.3 * before
    before, after = predicted(truth, "fcc", pdf_of(truth, noise=0.02))
    assert after == pytest.approx(before, rel=0.05)


def test_a_smoother_structure_may_fit_worse_and_predict_better(monkeypatch):
    """What was left out is the judge, not Rw of what was fitted."""
    module = importlib.import_module("diffpy_cbldm.polishing.front")
    truth = ideal("fcc", 79)
    pdf = pdf_of(truth, noise=0.01)
    words = {"kinds": ("strain",), "beyond": 0}
    right = front(truth, "fcc", pdf, **words)[0]
    rough = front(truth[:-7], "fcc", pdf, **words)[0]
    lucky = dataclasses.replace(rough, rw=0.9 * right.rw)
    monkeypatch.setattr(module, "_front", lambda *a: [lucky, right])
    before, after = predicted(truth[:-7], "fcc", pdf)
    assert after < 0.5 * before


def test_sizes_are_looked_for_where_damping_is_unknown():
    x = ideal("bcc", 89)
    pdf = pdf_of(x, noise=0.02)
    (start,) = front(x, "bcc", pdf, kinds=("strain",))[:1]
    assert len(other_sizes(start, "bcc", pdf)) > 1
    told = PDFData(
        r=pdf.r, g=pdf.g, composition="Pt", qmin=0.8, qmax=24.0, qdamp=0.03
    )
    assert other_sizes(start, "bcc", told) == []


def test_mistakes():
    x = ideal("fcc", 55)
    with pytest.raises(CbldmError, match="kinds of edits are"):
        front(x, "fcc", pdf_of(x), kinds=("atoms",))
    with pytest.raises(CbldmError, match="data points"):
        front(x, "fcc", Target.of(pdf_of(x), rmin=29.9))
