"""How much evidence for edits a misfit leaves."""

import dataclasses
import math

import numpy as np

import diffpy_cbldm as cb
from diffpy_cbldm.crystals.table import load_table
from diffpy_cbldm.fitting.agreement import EVIDENCE, EXPLAINED
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.polishing.crystal import Crystal, Measured
from diffpy_cbldm.polishing.evidence import (
    CHANCE,
    by_evidence,
    evidence_share,
    supported,
)


def ideal(count):
    """An fcc cluster of the library, angstrom."""
    table = load_table()
    place = next(
        k
        for k, g in enumerate(table.geometries)
        if g.structure_type == "fcc" and g.n_atoms == count
    )
    return 2.77 * table.positions(place)


def data_of(*counts, noise=0.0):
    """The mean PDF of some clusters, with noise over its own size."""
    clusters = [cb.Cluster("Pt", ideal(n)) for n in counts]
    some = cb.simulate(clusters, qmin=0.8, qmax=24, qdamp=0.03, rstep=0.05)
    g = np.average([pdf.g for pdf in some], axis=0, weights=counts)
    draw = np.random.default_rng(3).normal(size=len(g))
    return Target.of(
        cb.PDFData(
            r=some[0].r,
            g=g + noise * g.std() * draw,
            composition="Pt",
            qmin=0.8,
            qmax=24,
            qdamp=0.03,
        )
    )


def fitted(count, target):
    """An ideal cluster as edits begin from it."""
    return Crystal(ideal(count), "fcc", Measured(target)).judged()


def test_noise_and_what_is_explained_leave_all_evidence():
    target = data_of(79)
    right = fitted(79, target)
    assert right.rw < EXPLAINED
    assert evidence_share([fitted(55, target), right], target) == 1.0
    noisy = data_of(79, noise=0.1)
    best = fitted(79, noisy)
    assert best.rw > EXPLAINED
    assert evidence_share([best], noisy) > 0.8


def test_a_mixture_of_sizes_leaves_less():
    target = data_of(43, 79, 201)
    best = fitted(79, target)
    assert best.rw > EXPLAINED
    assert evidence_share([best], target) < 0.6


def test_the_whole_share_changes_no_criterion():
    target = data_of(55, 79)
    some = [fitted(55, target), fitted(79, target)]
    again = by_evidence(some, target, 1.0)
    assert [p.criterion for p in again] == [p.criterion for p in some]
    apart = some[1].criterion - some[0].criterion
    half = by_evidence(some, target, 0.5)
    assert abs(half[1].criterion - half[0].criterion) < abs(apart)


def test_the_criterion_and_the_misfit_must_both_speak_for_edits():
    target = data_of(79)
    plain = fitted(79, target)
    points = Measured(target).points

    def edited(gain, excess):
        misfit = plain.misfit * math.exp(-gain / points)
        return dataclasses.replace(
            plain, misfit=misfit, excess=plain.excess + excess
        ).judged_by(points)

    assert supported(edited(EVIDENCE + 1, 0), plain, points)
    assert not supported(edited(EVIDENCE - 1, 0), plain, points)
    # Each edit costs; smoothness is no evidence of its own.
    assert not supported(edited(EVIDENCE + 1, 1), plain, points)
    assert supported(edited(CHANCE + 0.1, -2), plain, points)
    assert not supported(edited(CHANCE - 0.1, -2), plain, points)
