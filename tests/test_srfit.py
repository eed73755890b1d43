"""The SrFit generator, the recipe and the refinement."""

import dataclasses
import json
import math
import pathlib
import pickle

import numpy as np
import pytest
from ase.cluster import Decahedron, FaceCenteredCubic

import diffpy_cbldm as cb
from diffpy_cbldm import srfit
from diffpy_cbldm.cluster import Candidate, Cluster
from diffpy_cbldm.errors import CbldmError

HERE = pathlib.Path(__file__).resolve().parent
MEASURED = HERE.parents[1] / "shared" / "data" / "experimental"
FITS = json.loads((HERE / "reference" / "srfit_native.json").read_text())


def platinum(size=3):
    atoms = FaceCenteredCubic(
        "Pt", [(1, 0, 0), (1, 1, 1)], (size, size - 1), latticeconstant=3.92
    )
    return Cluster.from_ase(atoms)


@pytest.fixture(scope="module")
def simulated():
    """A PDF with known parameters, and the cluster before its stretch."""
    cluster = platinum()
    pdf = cb.simulate(
        [cluster.scaled(1.012)], qmin=0.9, qmax=23.0, biso=0.6, qdamp=0.05,
        delta2=2.5,
    )[0]  # fmt: skip
    noise = np.random.default_rng(0).normal(size=len(pdf.g))
    g = 0.7 * pdf.g + 1e-3 * np.ptp(pdf.g) * noise
    return cluster, dataclasses.replace(pdf, g=g, qdamp=None)


def test_simulate():
    clusters = [platinum(), platinum(2)]
    pdfs = cb.simulate(clusters, rmax=20.0, rstep=0.02)
    assert [len(p.r) for p in pdfs] == [1000, 1000]
    assert pdfs[0].element == "Pt"
    assert (pdfs[0].qmin, pdfs[0].qmax, pdfs[0].qdamp) == (0.7, 25.0, 0.04)
    one = cb.simulate(clusters[1:], rmax=20.0, rstep=0.02)[0]
    assert np.allclose(one.g, pdfs[1].g, atol=1e-6)
    with pytest.raises(CbldmError, match="qmax is 500"):
        cb.simulate(clusters, qmax=500.0)
    with pytest.raises(CbldmError, match="one element"):
        cb.simulate([Cluster(("Pt", "Au"), np.diag([0, 0, 2.8])[1:])])


# ---------------------------------------------------------------- the recipe


def test_recipe_is_native_and_named_as_in_the_example(simulated):
    from diffpy.srfit.fitbase import FitRecipe

    cluster, pdf = simulated
    recipe = cb.make_recipe(cluster, pdf, backend="torch")
    assert isinstance(recipe, FitRecipe)
    names = ["s1", "zoomscale", "Pt_Uiso", "Pt_Delta2", "qdamp"]
    assert list(recipe.names) == names
    assert isinstance(recipe.cluster.G1, srfit.DebyeGenerator)
    known = dataclasses.replace(pdf, qdamp=0.03)
    recipe = cb.make_recipe(cluster, known, backend="torch")
    assert list(recipe.names) == names[:-1]
    assert recipe.cluster.G1.qdamp.value == 0.03
    x = recipe.cluster.profile.x
    assert (x[0], x[-1]) == pytest.approx((1.5, 29.99))
    assert np.all(np.isfinite(recipe.residual()))


def test_profile_keeps_the_grid_and_dg(simulated):
    cluster, pdf = simulated
    dg = np.linspace(0.01, 0.02, len(pdf.r))
    part = dataclasses.replace(pdf, r=pdf.r + 0.003, dg=dg)
    recipe = cb.make_recipe(cluster, part, backend="torch", rmax=12.0)
    profile = recipe.cluster.profile
    inside = (part.r >= 1.5) & (part.r <= 12.0)
    assert np.allclose(profile.x, part.r[inside])
    assert np.allclose(profile.dy, dg[inside])


def test_uneven_grid(simulated):
    cluster, pdf = simulated
    keep = np.ones(len(pdf.r), bool)
    keep[600:1400:2] = False
    holes = dataclasses.replace(pdf, r=pdf.r[keep], g=pdf.g[keep])
    values = []
    for data in (pdf, holes):
        recipe = cb.make_recipe(cluster, data, backend="torch")
        recipe.residual([0.7, 1.012, 0.0076, 2.5, 0.05])
        values.append(recipe.cluster.profile)
    full, part = values
    curve = np.interp(part.x, full.x, full.ycalc)
    assert np.allclose(part.ycalc, curve, atol=1e-3 * np.ptp(full.ycalc))


def test_changed_q_range_and_atoms_are_noticed(simulated):
    cluster, pdf = simulated
    recipe = cb.make_recipe(cluster, pdf, backend="torch")
    generator = recipe.cluster.G1
    seen = [recipe.residual().copy()]
    generator.setQmax(15.0)
    seen.append(recipe.residual().copy())
    generator.setQmin(2.0)
    seen.append(recipe.residual().copy())
    generator.phase.Pt0.x.value += 0.1
    seen.append(recipe.residual().copy())
    generator.stru[1].xyz += 0.1
    generator.refresh()
    seen.append(recipe.residual().copy())
    for before, after in zip(seen, seen[1:], strict=False):
        assert np.abs(after - before).max() > 1e-3


def test_generator_in_a_recipe_of_ones_own(simulated):
    """The calls of ch11ClusterXYZ, with our generator in place."""
    from diffpy.srfit.fitbase import FitContribution, Profile

    cluster, pdf = simulated
    profile = Profile()
    profile.setObservedProfile(pdf.r, pdf.g)
    profile.setCalculationRange(xmin=1.5, xmax=20, dx=0.01)
    profile.meta.update(qmax=20.0, qmin=1.0, stype="X", delta1=0.1)
    generator = srfit.DebyeGenerator("G1")
    generator.setStructure(cluster.to_diffpy(), periodic=False)
    contribution = FitContribution("cluster")
    contribution.addProfileGenerator(generator)
    contribution.setProfile(profile, xname="r")
    contribution.setEquation("s1*G1")
    contribution.s1.value = 1.0
    generator.parallel(ncpu=2)
    assert generator.getQmax() == 20.0
    assert generator.delta1.value == 0.1
    assert generator.getScatteringType() == "X"
    assert np.all(np.isfinite(contribution.residual()))


def test_pickling(simulated):
    cluster, pdf = simulated
    recipe = cb.make_recipe(cluster, pdf, backend="torch")
    other = pickle.loads(pickle.dumps(recipe))
    assert np.array_equal(other.residual(), recipe.residual())


# ------------------------------------------------------------ the refinement


def test_round_trip(simulated):
    cluster, pdf = simulated
    start = Candidate(
        cluster.elements,
        cluster.positions,
        structure_type="fcc",
        flags=("polished", "backend: srreal"),
    )
    one = cb.refine(start, pdf, backend="torch")
    truth = {
        "scale": 0.7,
        "zoomscale": 1.012,
        "Pt_Uiso": 0.6 / (8 * math.pi**2),
        "delta2": 2.5,
        "qdamp": 0.05,
    }
    assert list(one.parameters) == list(truth)
    for name, value in truth.items():
        assert one.parameters[name][0] == pytest.approx(value, rel=0.02)
        assert one.parameters[name][1] > 0
    assert one.rw < 0.02
    assert one.rw_raw > 0.1
    # Beyond 20 A there is hardly more than noise left.
    assert one.rw < one.rw_heldout < 1.5
    assert one.flags == ("polished", "backend: torch")
    assert one.structure_type == "fcc"
    zoom = one.parameters["zoomscale"][0]
    assert np.allclose(one.positions, cluster.positions * zoom)
    assert one.results.rw == one.rw


def test_heldout_needs_data_beyond(simulated):
    cluster, pdf = simulated
    keep = pdf.r < 21.0
    short = dataclasses.replace(pdf, r=pdf.r[keep], g=pdf.g[keep])
    assert cb.refine(cluster, short, backend="torch").rw_heldout is None
    one = cb.refine(cluster, pdf, backend="torch", heldout=False)
    assert one.rw_heldout is None


def test_bounds_are_flagged(simulated):
    cluster, pdf = simulated
    one = cb.refine(
        cluster.scaled(1.15), pdf, backend="torch", heldout=False
    )  # fmt: skip
    assert 0.9 <= one.parameters["zoomscale"][0] <= 1.1
    assert any(f.startswith("at bound: zoomscale") for f in one.flags)
    assert all(math.isfinite(v) for v, _ in one.parameters.values())


@pytest.mark.parametrize("fit", FITS["fits"], ids=lambda f: f["data"])
def test_native_fits_are_reproduced(fit):
    path = MEASURED / fit["data"]
    if not path.exists():
        pytest.skip("the measured PDF is not part of this repository")
    if fit["n"] == 225:
        atoms = FaceCenteredCubic(
            "Pt",
            [[1, 0, 0], [1, 1, 0], [1, 1, 1]],
            (5, 6, 3),
            latticeconstant=2.775 * math.sqrt(2),
        )
    else:
        atoms = Decahedron("Au", 4, 1, 1, latticeconstant=2.884 * math.sqrt(2))
    pdf = cb.read_pdf(
        path, qmin=fit["qmin"], qmax=fit["qmax"], qdamp=0.04, qbroad=0.0
    )
    one = cb.refine(
        Cluster.from_ase(atoms),
        pdf,
        backend="torch",
        rmin=fit["range"][0],
        rmax=fit["range"][1],
        heldout=False,
    )
    assert len(one) == fit["n"]
    assert len(one.results.conresults["cluster"].x) == fit["points"]
    assert one.rw == pytest.approx(fit["rw"], abs=1e-8)
    names = ("scale", "zoomscale", f"{one.elements[0]}_Uiso", "delta2")
    for name, value in zip(names, fit["result"].values(), strict=True):
        assert one.parameters[name][0] == pytest.approx(value, rel=1e-4)


# ------------------------------------------------------------------- errors


def test_errors(simulated):
    cluster, pdf = simulated
    mixed = Cluster(("Au", *cluster.elements[1:]), cluster.positions)
    with pytest.raises(CbldmError, match="2 elements"):
        cb.make_recipe(mixed, pdf)
    with pytest.raises(CbldmError, match="backend is 'cpu'"):
        cb.make_recipe(cluster, pdf, backend="cpu")
    with pytest.raises(CbldmError, match="0 data points.*rmin 40"):
        cb.make_recipe(cluster, pdf, rmin=40.0, rmax=50.0)
    with pytest.raises(CbldmError, match="start names 'Uiso'"):
        cb.make_recipe(cluster, pdf, start={"Uiso": 0.01})
    with pytest.raises(CbldmError, match="stype|scattering type"):
        srfit.DebyeGenerator().setScatteringType("E")
    with pytest.raises(CbldmError, match="finite cluster"):
        srfit.DebyeGenerator().setStructure(cluster.to_diffpy(), periodic=True)
    with pytest.raises(CbldmError, match="2 elements"):
        srfit.DebyeCalculator()(mixed.to_diffpy())
    structure = cluster.to_diffpy()
    structure[3].occupancy = 0.5
    with pytest.raises(CbldmError, match="partly occupied"):
        srfit.DebyeCalculator()(structure)
    structure = cluster.to_diffpy()
    structure[3].xyz[0] = math.nan
    with pytest.raises(CbldmError, match="NaN"):
        srfit.DebyeCalculator()(structure)


@pytest.mark.skipif(
    srfit.choose_backend("auto") == "srreal", reason="srreal is installed"
)
def test_srreal_is_asked_for_in_vain(simulated):
    with pytest.raises(CbldmError, match="conda install"):
        cb.refine(*simulated, backend="srreal")


@pytest.mark.skipif(
    srfit.choose_backend("auto") != "srreal", reason="srreal is not installed"
)
def test_srreal_agrees(simulated):
    cluster, pdf = simulated
    values = [0.7, 1.012, 0.0076, 2.5, 0.05]
    curves = []
    for backend in ("srreal", "torch"):
        recipe = cb.make_recipe(cluster, pdf, backend=backend)
        recipe.residual(values)
        curves.append(recipe.cluster.profile.ycalc)
    assert np.allclose(*curves, atol=1e-9)
