"""Distributions of sizes, and members of one shape."""

import json

import numpy as np
import pytest
from diffpy.srfit.fitbase import FitRecipe

import diffpy_cbldm as cb
from diffpy_cbldm.crystals.lattices import sphere
from diffpy_cbldm.crystals.particles import MultiplyTwinned
from diffpy_cbldm.crystals.sizes import family_of
from diffpy_cbldm.fitting.distribution import SizeDistribution
from diffpy_cbldm.renames import modern

BOND = 2.77
SITES = sphere("fcc", 12.0) * BOND
RADII = np.linalg.norm(SITES, axis=1)
MEDIAN = 25.0
QDAMP = 0.04


def ball(diameter):
    return SITES[diameter / 2 >= RADII]


def ensemble(width):
    """A lognormal ensemble of fcc spheres; its number and weight mean."""
    steps = np.linspace(-2.5, 2.5, 21)
    share = np.exp(-0.5 * steps**2)
    clusters = [ball(MEDIAN * np.exp(width * x)) for x in steps]
    atoms = np.array([len(c) for c in clusters])
    pdfs = cb.simulate(
        [cb.Cluster("Pt", c) for c in clusters], qdamp=QDAMP, biso=0.5
    )
    g = sum(s * n * pdf.g for s, n, pdf in zip(share, atoms, pdfs))
    g = g / (share @ atoms)
    noise = np.random.default_rng(0).standard_normal(len(g))
    pdf = cb.PDFData(
        pdfs[0].r,
        g + 0.005 * g.std() * noise,
        composition="Pt",
        qmin=0.7,
        qmax=25.0,
        qdamp=QDAMP,
    )
    number = share @ atoms / share.sum()
    # The tails are cut: the width is a little less.
    cut = np.sqrt(share @ steps**2 / share.sum())
    return pdf, cut * width, number, share @ atoms**2 / (share @ atoms)


def fitted(width, diameter):
    pdf, *truth = ensemble(width)
    x = ball(diameter)
    start = cb.Candidate(("Pt",) * len(x), x, structure_type="fcc")
    return cb.size_distribution(start, pdf), *truth


@pytest.mark.parametrize(
    ("width", "diameter"), [(0.1, 26.0), (0.2, 28.0), (0.3, 31.0)]
)
def test_the_width_and_both_means_are_found(width, diameter):
    """Anchors: a single sphere tells neither width nor number mean."""
    found, true_width, number, weight = fitted(width, diameter)
    assert found.determined
    assert found.width[0] == pytest.approx(true_width, abs=0.02)
    assert found.number_mean[0] == pytest.approx(number, rel=0.06)
    assert found.weight_mean[0] == pytest.approx(weight, rel=0.10)
    assert found.rw < 0.95 * found.rw_single
    assert 0 < found.width[1] < 0.02
    assert "number mean" in str(found)
    # To the digits of the table: they differ from the structure's own Rw.
    told = f"Rw {found.rw:.4f}; of one size, fitted as well, "
    assert f"{told}{found.rw_single:.4f}" in str(found)


def test_one_size_is_another_fit_than_that_of_the_structure():
    """Its size is free: it fits no worse, of a structure of another size."""
    pdf, *_ = ensemble(0.0)
    x = ball(MEDIAN * 1.04)
    start = cb.Candidate(("Pt",) * len(x), x, structure_type="fcc")
    own = cb.refine(start, pdf, heldout=False)
    found = cb.size_distribution(own, pdf)
    assert found.rw_single < 0.9 * own.rw


def test_one_size_has_no_width():
    found, _, number, weight = fitted(0.0, MEDIAN)
    assert number == pytest.approx(weight)
    assert not found.determined
    assert "not determined" in str(found)
    assert found.weight_mean[0] == pytest.approx(weight, rel=0.05)


def test_the_recipe_is_native():
    pdf, *_ = ensemble(0.2)
    x = ball(28.0)
    recipe = cb.distribution_recipe(cb.Cluster("Pt", x), pdf)
    assert isinstance(recipe, FitRecipe)
    names = ["s1", "zoomscale", "Pt_Uiso", "Pt_Delta2", "size", "width"]
    assert list(modern(recipe).get_names()) == names
    before = recipe.residual().copy()
    recipe.width.value = 0.3
    assert np.abs(recipe.residual() - before).max() > 1e-3
    # Where Qdamp is not known it is a variable, within its range.
    free = cb.PDFData(
        pdf.r, pdf.g, composition="Pt", qmin=pdf.qmin, qmax=pdf.qmax
    )
    recipe = cb.distribution_recipe(cb.Cluster("Pt", x), free)
    assert tuple(recipe.qdamp.bounds) == (0.015, 0.06)


def test_weights_are_of_atoms():
    """At a width, <N^2>/<N> of the members' weights is the size asked for."""
    pdf, *_ = ensemble(0.2)
    x = ball(28.0)
    recipe = cb.distribution_recipe(cb.Cluster("Pt", x), pdf)
    made = recipe.cluster.G1.ensemble
    made.width, made.size = 0.2, 0.95
    weights = made.weights()
    assert weights.sum() == pytest.approx(1.0)
    mean = weights @ made.family.atoms
    assert mean == pytest.approx(len(x) * 0.95**3, rel=0.02)
    # Of one size it is that size: the members beside it cancel.
    made.width, made.size = 0.0, 1.0
    assert made.weights() @ made.family.atoms == pytest.approx(
        len(x), rel=0.01
    )


def test_results_can_be_stored():
    found = SizeDistribution(
        family="fcc",
        members=(13, 55),
        width=(0.1, 0.01),
        number_mean=(30.0, 1.0),
        weight_mean=(35.0, 1.0),
        determined=True,
        rw=0.1,
        rw_single=0.2,
        parameters={"s1": (1.0, 0.1)},
    )
    again = SizeDistribution.from_dict(json.loads(json.dumps(found.as_dict())))
    assert again == found


# ------------------------------------------------------- members of a shape


def test_members_of_a_lattice_have_its_shape():
    """A cube stays a cube: its corners are as far out in all sizes."""
    grid = np.stack(np.meshgrid(*[np.arange(8)] * 3), -1).reshape(-1, 3)
    family = family_of(2.5 * grid, "sc")
    sides = np.round(family.atoms ** (1 / 3))
    assert (sides**3 == family.atoms).all() and len(sides) > 5
    longest = [family.distances[row > 0].max() for row in family.pairs]
    assert longest == pytest.approx(2.5 * 3**0.5 * (sides - 1), rel=1e-5)
    # Twice the pairs an atom: each of all atoms but one, from every atom.
    assert family.pairs.sum(1) == pytest.approx(family.atoms - 1)


def test_layers_go_on_as_they_are_stacked():
    """hcp stays hcp, and fcc of layers has the distances of fcc."""
    ratio = {}
    for kind, period in (("hcp", 2), ("fcc", 3)):
        x = sphere("stack", 4.0)
        from diffpy_cbldm.crystals.lattices import stacking_sites

        layer, site = stacking_sites(x)
        x = x[site == layer % period]
        family = family_of(2.7 * x, kind)
        d = family.distances / 2.7
        # A vector of hcp alone: two tetrahedra that share a face.
        k = np.abs(d - (8 / 3) ** 0.5).argmin()
        ratio[kind] = family.pairs[:, k] * (abs(d[k] - (8 / 3) ** 0.5) < 1e-3)
    assert (ratio["fcc"] == 0).all() and (ratio["hcp"][-3:] > 1).all()


@pytest.mark.parametrize(
    ("kind", "numbers"), [("ico", (5,)), ("dec", (5, 5, 1))]
)
def test_twinned_ones_have_series_of_their_own(kind, numbers):
    whole = MultiplyTwinned(kind, numbers)
    family = family_of(2.8 * whole.positions, kind)
    assert len(whole) in family.atoms and len(family.atoms) >= 4
    shells = [len(MultiplyTwinned("ico", (n,))) for n in range(2, 16)]
    if kind == "ico":
        assert set(family.atoms.tolist()) <= set(shells)


def test_atoms_on_no_lattice_become_spheres():
    x = ball(22.0)
    x = x + np.random.default_rng(1).normal(0, 0.05, x.shape)
    family = family_of(x, "fcc")
    assert family.name == "fcc spheres"
    # One of a dozen shells is taken or not.
    near = np.abs(np.log(family.atoms / len(x))).min()
    assert near < 0.2


def test_too_few_atoms_are_told():
    x = ball(22.0)[:5]
    pdf, *_ = ensemble(0.2)
    with pytest.raises(cb.CbldmError, match="expected 4 or more"):
        cb.size_distribution(cb.Cluster("Pt", x), pdf)
