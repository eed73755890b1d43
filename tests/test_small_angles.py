"""A Qmin below the data's own content is found out; a true one is kept."""

import dataclasses

import numpy as np
import pytest
from ase.cluster import Icosahedron, Octahedron

import diffpy_cbldm as cb
from diffpy_cbldm.commands.examples import EXAMPLES
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.solving.small_angles import SMALL_ANGLE_LIMIT, settle


def rough(seed):
    """A cluster that no library holds: a third of its surface is missing."""
    atoms = Octahedron("Pt", 5, cutoff=1).positions
    far = np.linalg.norm(atoms - atoms.mean(axis=0), axis=1)
    outer = np.argsort(far)[-40:]
    gone = np.random.default_rng(seed).choice(outer, 13, replace=False)
    return cb.Cluster("Pt", np.delete(atoms, gone, axis=0))


CLUSTERS = {
    "small": cb.Cluster("Pt", Octahedron("Pt", 3, cutoff=0).positions),
    "ico": cb.Cluster("Au", Icosahedron("Au", 4).positions),
    "rough": rough(0),
}


@pytest.mark.parametrize("name", CLUSTERS)
@pytest.mark.parametrize("qmin", [0.1, 0.3, 0.5, SMALL_ANGLE_LIMIT, 1.2])
def test_a_true_qmin_is_kept(name, qmin):
    (pdf,) = cb.simulate(CLUSTERS[name], qmin=qmin)
    target = Target.of(pdf)
    assert settle(target, "auto") == (target, None)


@pytest.mark.parametrize("name", CLUSTERS)
@pytest.mark.parametrize("qmin", [0.0, 0.2])
def test_a_header_that_says_too_little_is_disbelieved(name, qmin):
    (pdf,) = cb.simulate(CLUSTERS[name], qmin=0.9)
    wrong = Target.of(dataclasses.replace(pdf, qmin=qmin))
    found, note = settle(wrong, "auto")
    assert found.qmin == SMALL_ANGLE_LIMIT
    assert f"Qmin is {qmin:g} 1/A" in note and "--small-angle yes" in note
    assert settle(wrong, "yes") == (wrong, None)
    assert settle(wrong, "no")[0].qmin == SMALL_ANGLE_LIMIT


def test_the_measured_example_is_cubic():
    """Its header says 0.1 1/A; from there on, fits are worse."""
    pdf = cb.read_pdf(EXAMPLES[0].path())
    assert pdf.qmin == 0.1
    words = dict(count=8, refine=1, polish=False, generators="library")
    solution = cb.solve(pdf, **words)
    best = solution.candidates[0]
    assert (best.structure_type, solution.pdf.qmin) == (
        "fcc",
        SMALL_ANGLE_LIMIT,
    )
    assert best.rw < 0.11
    assert solution.settings["qmin"] == SMALL_ANGLE_LIMIT
    assert any("small-angle" in text for text in solution.warnings)
    kept = cb.solve(pdf, **words, small_angle="yes")
    assert kept.settings["qmin"] == 0.1
    # Large particles can imitate the missing signal, and not all of it.
    assert min(c.rw for c in kept.candidates if c.rw) > best.rw
