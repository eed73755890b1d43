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
from diffpy_cbldm.cluster import Candidate, Cluster
from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.fitting import moves
from diffpy_cbldm.fitting import recipe as recipes
from diffpy_cbldm.fitting.calculator import DebyeCalculator
from diffpy_cbldm.fitting.generator import (
    DebyeGenerator,
    make_generator,
)
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.renames import modern

HERE = pathlib.Path(__file__).resolve().parent
MEASURED = HERE.parents[1] / "shared" / "data" / "experimental"
FITS = json.loads((HERE / "reference" / "srfit_native.json").read_text())


def platinum(size=3):
    atoms = FaceCenteredCubic(
        "Pt", [(1, 0, 0), (1, 1, 1)], (size, size - 1), latticeconstant=3.92
    )
    return Cluster.from_ase(atoms)


def alloy():
    """Platinum with a core of nickel."""
    cluster = platinum()
    near = np.linalg.norm(cluster.positions, axis=1) < 3.5
    return Cluster(np.where(near, "Ni", "Pt"), cluster.positions)


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


def test_simulate_several_elements():
    both = [platinum(), alloy()]
    pure, xray = cb.simulate(both, rmax=10.0)
    neutron = cb.simulate(both[1:], rmax=10.0, stype="N")[0]
    assert xray.composition == both[1].composition
    assert (xray.stype, neutron.stype) == ("X", "N")
    for one, other in ((pure, xray), (pure, neutron), (xray, neutron)):
        assert np.abs(one.g - other.g).max() > 0.01 * np.abs(one.g).max()
    with pytest.raises(CbldmError, match="stype"):
        cb.simulate(both, stype="E")


# ---------------------------------------------------------------- the recipe


def test_recipe_is_native_and_named_as_in_the_example(simulated):
    from diffpy.srfit.fitbase import FitRecipe

    cluster, pdf = simulated
    recipe = cb.make_recipe(cluster, pdf, backend="torch")
    assert isinstance(recipe, FitRecipe)
    names = ["s1", "zoomscale", "Pt_Uiso", "Pt_Delta2", "qdamp"]
    assert list(recipe.names) == names
    assert isinstance(recipe.cluster.G1, DebyeGenerator)
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
    modern(profile).set_observed_profile(pdf.r, pdf.g)
    modern(profile).set_calculation_range(xmin=1.5, xmax=20, dx=0.01)
    profile.meta.update(qmax=20.0, qmin=1.0, stype="X", delta1=0.1)
    generator = DebyeGenerator("G1")
    generator.setStructure(cluster.to_diffpy(), periodic=False)
    contribution = FitContribution("cluster")
    modern(contribution).add_profile_generator(generator)
    modern(contribution).set_profile(profile, xname="r")
    modern(contribution).set_equation("s1*G1")
    contribution.s1.value = 1.0
    generator.parallel(ncpu=2)
    assert generator.getQmax() == 20.0
    assert generator.delta1.value == 0.1
    assert generator.getScatteringType() == "X"
    assert np.all(np.isfinite(contribution.residual()))


@pytest.mark.parametrize("kind", [platinum, alloy])
def test_pickling(simulated, kind):
    cluster, pdf = kind(), simulated[1]
    recipe = cb.make_recipe(cluster, pdf, backend="torch")
    other = pickle.loads(pickle.dumps(recipe))
    assert np.array_equal(other.residual(), recipe.residual())
    values = np.array(recipe.values) * 1.1
    assert np.array_equal(other.residual(values), recipe.residual(values))


def test_new_structure_is_noticed():
    generator = DebyeGenerator()
    r = np.arange(1.5, 15.0, 0.01)
    curves = []
    for cluster in (platinum(), alloy(), platinum(2)):
        generator.setStructure(cluster.to_diffpy())
        assert len(generator.phase.getScatterers()) == len(cluster)
        curves.append(generator(r))
    assert np.abs(curves[1] - curves[0]).max() > 0.1
    assert np.abs(curves[2] - curves[0]).max() > 0.1


def test_a_common_stretch_keeps_the_positions():
    calculator = DebyeCalculator()
    structure = platinum(2).to_diffpy()
    first, stretch = calculator._unstretched(structure)
    assert stretch == 1.0
    modern(structure.lattice).set_latt_parms(1.02, 1.02, 1.02)
    same, stretch = calculator._unstretched(structure)
    assert np.array_equal(same, first)
    assert stretch == pytest.approx(1.02, rel=1e-14)
    curve = calculator(structure)[1]
    assert np.allclose(curve, DebyeCalculator()(structure)[1])
    modern(structure.lattice).set_latt_parms(1.02, 1.02, 1.03)
    other, stretch = calculator._unstretched(structure)
    assert stretch == 1.0
    assert np.allclose(other, structure.xyz_cartn)
    structure[0].xyz[0] += 0.1
    moved, stretch = calculator._unstretched(structure)
    assert stretch == 1.0 and not np.array_equal(moved, other)


def test_radiation_matters_to_an_alloy_alone(simulated):
    _, pdf = simulated
    for cluster, least, most in ((alloy(), 0.1, 9), (platinum(), 0, 1e-9)):
        recipe = cb.make_recipe(cluster, pdf, backend="torch")
        generator = recipe.cluster.G1
        x_rays = generator(recipe.cluster.profile.x)
        generator.setScatteringType("N")
        change = np.abs(generator(recipe.cluster.profile.x) - x_rays).max()
        assert least <= change <= most
        assert generator.getScatteringType() == "N"


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


def test_several_elements(simulated):
    """One U for each element is found again."""
    cluster, pdf = alloy(), simulated[1]
    truth = {
        "scale": 0.8,
        "zoomscale": 0.99,
        "Ni_Uiso": 0.012,
        "Pt_Uiso": 0.005,
        "delta2": 2.5,
        "qdamp": 0.05,
    }
    recipe = cb.make_recipe(cluster, pdf, backend="torch")
    names = ["s1", "zoomscale", "Ni_Uiso", "Pt_Uiso", "NiPt_Delta2", "qdamp"]
    assert list(recipe.names) == names
    recipe.residual(list(truth.values()))
    assert {a.element: a.Uisoequiv for a in recipe.cluster.G1.stru} == {
        "Ni": 0.012,
        "Pt": 0.005,
    }
    profile = recipe.cluster.profile
    noise = np.random.default_rng(1).normal(size=len(profile.x))
    g = profile.ycalc + 1e-3 * np.ptp(profile.ycalc) * noise
    one = cb.refine(
        cluster,
        dataclasses.replace(pdf, r=profile.x, g=g),
        backend="torch",
        heldout=False,
    )
    assert list(one.parameters) == list(truth)
    for name, value in truth.items():
        assert one.parameters[name][0] == pytest.approx(value, rel=0.03)
        assert one.parameters[name][1] > 0
    assert one.rw < 0.02


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


@pytest.mark.parametrize("qdamp", [0.05, None])
@pytest.mark.parametrize("apart", [0.02, 0.07, 0.3])
def test_atoms_unlike_the_data_end_at_scale_0(simulated, apart, qdamp):
    """Nearly at one place, and started where a quick fit has no scale."""
    pdf = dataclasses.replace(simulated[1], qdamp=qdamp)
    x = np.array([[0.0, 0, 0], [apart, 0, 0], [0, 1.2, 0]])
    start = {"zoomscale": 0.95, "Pt_Uiso": 0.008}
    start["Pt_Delta2"] = 0.98 * apart**2
    done = cb.refine(Cluster(["Pt"] * 3, x), pdf, start=start)
    assert done.rw == pytest.approx(1.0, abs=1e-12)
    assert done.results.rw == done.rw
    assert done.parameters["scale"][0] == 0
    assert "at bound: scale 0" in done.flags
    assert math.isfinite(done.rw_heldout) and math.isfinite(done.rw_raw)


def test_a_misfit_that_is_no_noise_is_flagged(simulated):
    cluster, pdf = simulated
    rng = np.random.default_rng(0)
    noisy = pdf.g + 0.06 * pdf.g.std() * rng.normal(size=len(pdf.g))
    ripple = np.exp(-0.5 * ((pdf.r - 3.8) / 0.3) ** 2) * np.sin(9 * pdf.r)
    strange = pdf.g + 0.4 * np.abs(pdf.g).max() * ripple
    rows = []
    for g in (noisy, strange):
        own = dataclasses.replace(pdf, g=g)
        one = cb.refine(cluster, own, backend="torch", heldout=False)
        assert one.rw > 0.03
        rows.append([f for f in one.flags if f.startswith("uneven misfit")])
    assert rows[0] == []
    (flag,) = rows[1]
    low, high = (float(flag.split()[k]) for k in (-4, -2))
    assert low <= 3.8 <= high <= low + 2.6


@pytest.mark.parametrize("fit", FITS["fits"], ids=lambda f: f["data"])
def test_native_fits_are_reproduced(fit, monkeypatch):
    def native(*settings):
        generator = make_generator(*settings)
        generator.setDiscretisation("native")
        return generator

    monkeypatch.setattr(recipes, "make_generator", native)
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


# -------------------------------------------------------------------- moves


TRUTH = {
    "strain_xx": 0.012,
    "strain_yy": -0.02,
    "strain_xy": 0.006,
    "strain_xz": -0.008,
    "strain_yz": 0.004,
    "surface_1": -0.03,
    "surface_2": 0.02,
}


def lopsided():
    """A cluster without symmetry, whose strain has one solution."""
    x = FaceCenteredCubic(
        "Pt", [(1, 0, 0), (1, 1, 1)], (4, 3), latticeconstant=3.92
    ).positions
    return Cluster("Pt", x[x @ [0.8, 0.5, 0.3] < 3.0])


@pytest.fixture(scope="module")
def strained():
    """An ideal cluster and the PDF of the same, strained and relaxed."""
    cluster = lopsided()
    x = moves.moved(cluster.positions, {**TRUTH, moves.ZOOM: 1.008})
    return cluster, cb.simulate([Cluster("Pt", x)], biso=0.5, delta2=2.5)[0]


def test_moves_are_native_variables(strained):
    cluster, pdf = strained
    recipe = cb.make_recipe(
        cluster, pdf, backend="torch", moves=("strain", "surface")
    )
    plain = cb.make_recipe(cluster, pdf, backend="torch")
    assert list(recipe.names) == [*plain.names, *TRUTH]
    assert np.allclose(recipe.residual(), plain.residual(), atol=1e-9)
    before = recipe.residual().copy()
    for name, value in TRUTH.items():
        variable = getattr(recipe, name)
        assert variable.value == 0.0
        limit = 0.1 if name in moves.STRAIN else 0.15
        assert tuple(variable.bounds) == (-limit, limit)
        assert getattr(recipe.cluster.G1.phase, name).value == 0.0
        variable.value = value
        after = recipe.residual().copy()
        assert np.abs(after - before).max() > 1e-3
        before = after
    recipe.zoomscale.value = 1.008
    recipe.residual()
    x = recipe.cluster.G1.stru.xyz_cartn
    truth = moves.moved(cluster.positions, {**TRUTH, moves.ZOOM: 1.008})
    assert np.allclose(x, truth, atol=1e-12)
    recipe.fix("strain_xy")
    modern(recipe).add_constraint("surface_2", "0.5*surface_1")
    assert len(recipe.residual([*recipe.values[:-1], 0.02])) > 0
    assert recipe.cluster.G1.phase.surface_2.value == 0.01
    assert "strain_xy" not in recipe.names


def rw_at_the_start(recipe):
    """Rw of a recipe of one PDF as it was made."""
    recipe.residual(recipe.values)
    profile = recipe.cluster.profile
    off = (profile.y - profile.ycalc) / profile.dy
    return np.linalg.norm(off) / np.linalg.norm(profile.y / profile.dy)


def test_a_recipe_holds_a_qdamp_that_was_refined_in_another_range():
    """The bounds of a recipe are those of common instruments."""
    cluster = Cluster("Pt", Decahedron("Pt", 3, 3, 0).positions)
    (pdf,) = cb.simulate(cluster, qdamp=0.12, biso=0.4, rmax=15.0)
    pdf = dataclasses.replace(pdf, qdamp=None)
    wide = Target.of(pdf, qdamp_range=(0.08, 0.2))
    best = cb.refine(cluster, wide, heldout=False)
    assert best.parameters["qdamp"][0] == pytest.approx(0.12, rel=0.05)
    recipe = cb.make_recipe(best, pdf, start="refined")
    low, high = recipe.qdamp.bounds
    assert low <= recipe.qdamp.value <= high
    assert recipe.qdamp.value == pytest.approx(best.parameters["qdamp"][0])


@pytest.mark.parametrize("kinds", [(), ("strain", "surface")])
def test_a_recipe_begins_at_what_was_refined(strained, kinds):
    cluster, pdf = strained
    pdf = dataclasses.replace(pdf, g=0.7 * pdf.g, qdamp=None)
    near = cluster.scaled(0.99)
    best = cb.refine(near, pdf, moves=kinds, heldout=False)
    recipe = cb.make_recipe(best, pdf, start="refined")
    assert rw_at_the_start(recipe) == pytest.approx(best.rw, abs=1e-4)
    # The positions are stretched and moved already.
    assert recipe.zoomscale.value == 1.0
    assert best.parameters["zoomscale"][0] != pytest.approx(1.0, abs=1e-3)
    for name, own in (("s1", "scale"), ("Pt_Delta2", "delta2")):
        assert getattr(recipe, name).value == best.parameters[own][0]
    # With moves again these begin at nothing.
    again = cb.make_recipe(best, pdf, start="refined", moves=("surface",))
    assert again.surface_1.value == 0.0
    assert rw_at_the_start(again) == pytest.approx(best.rw, abs=1e-4)
    # By default a recipe is another one.
    plain = cb.make_recipe(best, pdf)
    assert rw_at_the_start(plain) > best.rw + 1e-3


def test_pickled_moves(strained):
    cluster, pdf = strained
    recipe = cb.make_recipe(cluster, pdf, backend="torch", moves=["strain"])
    other = pickle.loads(pickle.dumps(recipe))
    values = [*recipe.values[:-5], 0.01, 0.0, 0.02, -0.01, 0.0]
    assert np.array_equal(other.residual(values), recipe.residual(values))


def test_pairs_are_new_where_atoms_moved_alone(strained):
    cluster, pdf = strained
    recipe = cb.make_recipe(cluster, pdf, backend="torch", moves=["strain"])
    values = np.array(recipe.values)
    values[-5:] = list(TRUTH.values())[:5]
    recipe.residual(values)
    calculator = recipe.cluster.G1._calc
    pairs = calculator._pairs
    for k in range(len(values)):
        changed = values.copy()
        changed[k] += 1e-4
        curve = recipe.residual(changed).copy()
        assert (calculator._pairs is pairs) == (k < len(values) - 5)
        recipe.cluster.G1.refresh()
        calculator._last = None
        assert np.allclose(recipe.residual(), curve, atol=1e-9)
        pairs = calculator._pairs
        recipe.residual(values)
        pairs = calculator._pairs


def test_strain_and_surface_are_found_again(strained):
    cluster, pdf = strained
    start = Candidate("Pt", cluster.positions, flags=("polished",))
    one = cb.refine(start, pdf, backend="torch", moves=("strain", "surface"))
    assert one.rw < 1e-3 < one.rw_raw
    assert one.rw_heldout < 0.05
    for name, value in TRUTH.items():
        found, error = one.parameters[name]
        assert found == pytest.approx(value, abs=1e-3)
        assert 0 < error < math.inf
    assert list(one.results.varnames)[-7:] == list(TRUTH)
    values = {name: one.parameters[name][0] for name in TRUTH}
    zoom = one.parameters["zoomscale"][0]
    assert zoom == pytest.approx(1.008, abs=1e-3)
    x = moves.moved(cluster.positions, {**values, moves.ZOOM: zoom})
    assert np.array_equal(one.positions, x)
    flags = ("strain refined", "surface refined")
    assert one.flags == ("polished", "backend: torch", *flags)
    # Coordinates that were adjusted stay so.
    again = cb.refine(one, pdf, backend="torch", heldout=False)
    assert set(flags) < set(again.flags)
    assert again.rw < 1e-3
    assert not set(TRUTH) & set(again.parameters)


def test_strain_of_a_symmetric_cluster():
    """At no strain G(r) has no slope; the fit has to leave it all the same."""
    cluster = platinum(4)
    x = moves.moved(cluster.positions, {"strain_xx": 0.015})
    pdf = cb.simulate([Cluster("Pt", x)])[0]
    plain, free = (
        cb.refine(cluster, pdf, backend="torch", heldout=False, moves=kinds)
        for kinds in ((), ("strain",))
    )
    assert free.rw < 0.01 < plain.rw
    assert all(math.isfinite(error) for _, error in free.parameters.values())
    # One of the equivalent axes.
    shape = np.linalg.lstsq(cluster.positions, free.positions)[0]
    axes = np.linalg.svd(shape / np.cbrt(np.linalg.det(shape)))[1]
    assert axes == pytest.approx([1.015, 1.0, 0.985], abs=1e-3)


def test_moves_that_the_pdf_leaves_open_are_flagged():
    """A stretch of a decahedron across its axis shows to second order."""
    cluster = Cluster.from_ase(Decahedron("Au", 3, 1, 0))
    pdf = cb.simulate([cluster])[0]
    noise = np.random.default_rng(0).normal(size=len(pdf.g))
    pdf = dataclasses.replace(pdf, g=pdf.g + 0.05 * pdf.g.std() * noise)
    one = cb.refine(cluster, pdf, backend="torch", moves=("strain", "surface"))
    left_open = {f[16:] for f in one.flags if f.startswith("not determined: ")}
    assert left_open and left_open <= set(moves.STRAIN)
    assert left_open <= set(one.parameters)
    assert all(abs(one.parameters[name][0]) < 0.05 for name in left_open)


def test_moves_of_an_alloy(strained):
    pdf = strained[1]
    recipe = cb.make_recipe(
        alloy(), pdf, backend="torch", rmax=15.0, moves=("strain", "surface")
    )
    before = recipe.residual().copy()
    recipe.surface_1.value = 0.01
    assert np.abs(recipe.residual() - before).max() > 1e-3


def test_a_single_atom_is_freed(strained):
    cluster, pdf = strained
    recipe = cb.make_recipe(cluster, pdf, backend="torch")
    before = recipe.residual().copy()
    atom = recipe.cluster.G1.phase.get_scatterers()[3]
    modern(recipe).add_variable(atom.x, name="x3")
    assert recipe.x3.value == cluster.positions[3, 0]
    assert np.allclose(recipe.residual(), before)
    moved = recipe.residual([*recipe.values[:-1], recipe.x3.value + 0.1])
    assert np.abs(moved - before).max() > 1e-3
    x = cluster.positions.copy()
    x[3, 0] += 0.1
    other = cb.make_recipe(Cluster("Pt", x), pdf, backend="torch")
    expected = other.residual(recipe.values[:-1])
    assert np.allclose(moved, expected, atol=1e-9)


# ------------------------------------------------------------------- errors


def test_errors(simulated):
    cluster, pdf = simulated
    with pytest.raises(CbldmError, match="backend is 'cpu'"):
        cb.make_recipe(cluster, pdf, backend="cpu")
    with pytest.raises(CbldmError, match="0 data points.*rmin 40"):
        cb.make_recipe(cluster, pdf, rmin=40.0, rmax=50.0)
    with pytest.raises(CbldmError, match="moves are 'strain'; expected a l"):
        cb.make_recipe(cluster, pdf, moves="strain")
    with pytest.raises(CbldmError, match="start names 'Uiso'"):
        cb.make_recipe(cluster, pdf, start={"Uiso": 0.01})
    with pytest.raises(CbldmError, match="'refined' of a structure that was"):
        cb.make_recipe(cluster, pdf, start="refined")
    best = cb.refine(cluster, pdf, heldout=False)
    with pytest.raises(CbldmError, match="start is 'best'; expected values"):
        cb.make_recipe(best, pdf, start="best")
    with pytest.raises(CbldmError, match="stype|scattering type"):
        DebyeGenerator().setScatteringType("E")
    with pytest.raises(CbldmError, match="finite cluster"):
        DebyeGenerator().setStructure(cluster.to_diffpy(), periodic=True)
    structure = cluster.to_diffpy()
    structure[3].occupancy = 0.5
    with pytest.raises(CbldmError, match="partly occupied"):
        DebyeCalculator()(structure)
    structure = cluster.to_diffpy()
    structure[3].xyz[0] = math.nan
    with pytest.raises(CbldmError, match="NaN"):
        DebyeCalculator()(structure)


def test_atoms_of_a_refined_recipe_are_there_when_asked_for():
    """Refinement makes no parameter sets of atoms; a user finds them."""
    cluster = Cluster("Pt", 2.8 * np.eye(3))
    (pdf,) = cb.simulate(cluster, rmax=12)
    recipe = cb.refine(cluster, pdf, rmax=12).results.recipe
    phase = recipe.cluster.G1.phase
    assert phase.atoms == []
    assert phase.Pt1.y.value == pytest.approx(2.8)
    assert len(phase.getScatterers()) == len(phase.atoms) == 3
    with pytest.raises(AttributeError, match="Pt3"):
        _ = phase.Pt3
    before = recipe.residual()
    phase.Pt1.y.value = 2.9
    assert np.abs(recipe.residual() - before).max() > 1e-3
