"""Uncertainties, the unit of G, its sampling, and fits that end no worse."""

import dataclasses

import numpy as np
import pytest
from ase.cluster import Octahedron

import diffpy_cbldm as cb
from diffpy_cbldm.fitting import refinement
from diffpy_cbldm.fitting.agreement import power_in_range
from diffpy_cbldm.fitting.quickfit import quick_fit
from diffpy_cbldm.fitting.recipe import scale_unit
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.output import results
from diffpy_cbldm.search.matching import stretched

QMIN, QMAX = 1.0, 22.0
CLUSTER = cb.Cluster("Pt", Octahedron("Pt", 4, 1, 3.92).positions)


@pytest.fixture(scope="module")
def clean():
    return cb.simulate(
        [CLUSTER], qmin=QMIN, qmax=QMAX, rmax=16.0, rstep=0.04, qdamp=0.05,
        biso=0.6, delta2=2.5,
    )[0]  # fmt: skip


def noise_in_range(r, rng):
    """Noise of variance 1 that is white in F(Q), (n,)."""
    q = np.arange(QMIN, QMAX, np.pi / 40)
    waves = np.sin(np.outer(r, q))
    return waves @ rng.normal(size=len(q)) / np.sqrt(len(q) / 2)


def with_noise(pdf, kind, size, seed, **changes):
    """A PDF with noise of a size relative to the curve's."""
    rng = np.random.default_rng(seed)
    if kind == "F(Q)":
        noise = noise_in_range(pdf.r, rng)
    else:
        noise = rng.normal(size=len(pdf.r))
    spread = size * np.std(pdf.g)
    if changes.pop("dg", False):
        changes["dg"] = np.full(len(pdf.r), spread)
    return dataclasses.replace(
        pdf, g=pdf.g + spread * noise, qdamp=None, **changes
    )


@pytest.mark.parametrize("dg", [False, True], ids=["misfit", "dG"])
@pytest.mark.parametrize("kind", ["F(Q)", "G(r)"])
def test_uncertainties_are_the_scatter_of_repeats(clean, kind, dg):
    values, esds = [], []
    for seed in range(50):
        pdf = with_noise(clean, kind, 0.05, seed, dg=dg)
        fit = cb.refine(CLUSTER, pdf, heldout=False)
        pairs = np.array(list(fit.parameters.values()))
        values.append(pairs[:, 0])
        esds.append(pairs[:, 1])
    ratio = np.mean(esds, axis=0) / np.std(values, axis=0, ddof=1)
    assert len(ratio) == 5
    assert np.all(ratio < 1.5) and np.all(ratio > 1 / 1.5), ratio


def test_uncertainties_follow_the_noise_but_not_with_dg(clean):
    def esd(size, **changes):
        pdf = with_noise(clean, "F(Q)", size, 5, **changes)
        fit = cb.refine(CLUSTER, pdf, heldout=False)
        return fit.parameters["zoomscale"][1]

    assert esd(0.2) == pytest.approx(10 * esd(0.02), rel=0.3)
    dg = np.full(len(clean.r), 0.02)
    pdfs = [with_noise(clean, "F(Q)", size, 5) for size in (0.02, 0.2)]
    by_dg = [
        cb.refine(CLUSTER, dataclasses.replace(pdf, dg=dg), heldout=False)
        for pdf in pdfs
    ]
    low, high = (fit.parameters["zoomscale"][1] for fit in by_dg)
    assert high == pytest.approx(low, rel=0.3)
    assert by_dg[0].results.uncertainties == "dG"


def test_the_step_of_r_changes_no_uncertainty(clean):
    coarse = with_noise(clean, "F(Q)", 0.05, 2)
    (exact,) = cb.simulate(
        [CLUSTER], qmin=QMIN, qmax=QMAX, rmax=16.0, rstep=0.02, qdamp=0.05,
        biso=0.6, delta2=2.5,
    )  # fmt: skip
    fine = with_noise(exact, "F(Q)", 0.05, 2)
    fits = [cb.refine(CLUSTER, p, heldout=False) for p in (fine, coarse)]
    for name, (_, esd) in fits[0].parameters.items():
        assert fits[1].parameters[name][1] == pytest.approx(esd, rel=0.1)


def test_results_print_the_same_numbers(clean):
    fit = cb.refine(CLUSTER, with_noise(clean, "F(Q)", 0.05, 1))
    text = str(fit.results)
    assert "(uncertainties: misfit)" in text
    assert f"+/- {fit.parameters['zoomscale'][1]:.8e}" in text
    assert np.sqrt(np.diag(fit.results.cov)) == pytest.approx(
        [esd for _, esd in fit.parameters.values()]
    )


def test_results_say_where_uncertainties_come_from(clean):
    for dg, name in ((False, "misfit"), (True, "dG")):
        pdf = with_noise(clean, "F(Q)", 0.05, 1, dg=dg)
        solution = cb.solve(
            pdf, generators=("library",), count=4, refine=1, polish=False
        )
        assert results.result(solution, "a.gr")["uncertainties"] == name
        assert f"from the {name}" in solution.explain()


def test_what_is_not_determined_has_no_uncertainty(recwarn):
    """Without a scale no curve depends on the other variables."""
    (pdf,) = cb.simulate([CLUSTER], rmax=20.0, rstep=0.02)
    fit = cb.refine(CLUSTER, dataclasses.replace(pdf, g=-pdf.g))
    assert fit.rw == pytest.approx(1) and fit.parameters["scale"][0] == 0
    assert np.isnan(fit.parameters["zoomscale"][1])
    assert np.isfinite(fit.parameters["scale"][1])
    assert not [w for w in recwarn if w.category is RuntimeWarning]


def test_power_in_range():
    r = np.arange(1.5, 30, 0.02)
    rng = np.random.default_rng(0)
    inside = noise_in_range(r, rng)
    part = power_in_range(r, inside, QMIN, QMAX) / (inside @ inside)
    assert part == pytest.approx(1, abs=0.05)
    shares = []
    for _ in range(20):
        white = rng.normal(size=len(r))
        shares.append(power_in_range(r, white, QMIN, QMAX) / (white @ white))
    expected = (r[-1] - r[0]) * (QMAX - QMIN) / np.pi / len(r)
    assert np.mean(shares) == pytest.approx(expected, rel=0.1)


# ----------------------------------------------------------- the unit of G


@pytest.mark.parametrize("k", [1e-6, 1e6])
def test_the_unit_of_g_changes_the_scale_alone(clean, k):
    pdf = with_noise(clean, "F(Q)", 0.05, 3)
    other = dataclasses.replace(pdf, g=k * pdf.g)
    one, two = (quick_fit([CLUSTER.positions], p)[0] for p in (pdf, other))
    assert two.scale == pytest.approx(k * one.scale)
    assert two.rw == pytest.approx(one.rw)
    assert two.uiso == pytest.approx(one.uiso)
    for moves in ((), ("strain", "surface")):
        one, two = (
            cb.refine(CLUSTER, p, moves=moves, start={"zoomscale": 1.004})
            for p in (pdf, other)
        )
        # Where moves are refined the optimiser ends at a gain of 1e-6 a step,
        # sooner or later by the rounding of a processor.
        assert two.rw == pytest.approx(one.rw, rel=1e-3 if moves else 1e-8)
        if moves:
            continue  # strains that symmetry turns into each other are one
        assert two.at_bounds == one.at_bounds
        for name, (value, esd) in one.parameters.items():
            unit = k if name == "scale" else 1.0
            assert two.parameters[name] == pytest.approx(
                (unit * value, unit * esd), rel=1e-3
            )


@pytest.mark.parametrize("k", [1e-6, 1e6])
def test_the_unit_of_g_changes_no_answer(clean, k):
    pdf = with_noise(clean, "F(Q)", 0.05, 4)
    one, two = (
        cb.solve(
            dataclasses.replace(pdf, g=unit * pdf.g),
            generators=("library",), count=8, refine=2, polish="sites",
        )
        for unit in (1.0, k)
    )  # fmt: skip
    assert len(one.candidates) == len(two.candidates)
    assert one.front and len(one.front) == len(two.front)
    for a, b in zip(one.candidates, two.candidates, strict=True):
        assert (len(a), a.structure_type) == (len(b), b.structure_type)
        assert a.edits == b.edits
        assert b.rw_raw == pytest.approx(a.rw_raw, rel=1e-5)
        if a.rw is not None:
            assert b.rw == pytest.approx(a.rw, rel=1e-5)
    assert two.warnings == one.warnings
    # What tells the range holds an Rw, which is rounded.
    ranges = [dataclasses.replace(s.atoms, evidence=None) for s in (one, two)]
    assert ranges[0] == ranges[1]
    assert two.atoms.evidence.rw == pytest.approx(one.atoms.evidence.rw)


def test_scale_unit(clean):
    recipe = cb.make_recipe(CLUSTER, clean, backend="torch")
    recipe.s1.value = 0.0
    unit = scale_unit(recipe)
    assert unit == pytest.approx(1.0, rel=0.2) and recipe.s1.value == 0


# ------------------------------------------------------- the sampling of r


def test_first_points_do_not_decide_how_a_curve_is_thinned(clean):
    even = Target.of(clean)
    r = clean.r.copy()
    r[clean.r.searchsorted(1.51)] -= 0.005
    uneven = Target.of(dataclasses.replace(clean, r=r))
    assert len(uneven.thinned(2.0).r) == len(even.thinned(2.0).r)


def test_a_leading_row_of_zeros_is_no_measurement(clean):
    late = clean.r >= 2.2
    pdf = dataclasses.replace(clean, r=clean.r[late], g=clean.g[late])
    row = dataclasses.replace(
        pdf, r=np.append(0.0, pdf.r), g=np.append(0.0, pdf.g)
    )
    x = np.arange(0.1, 4, 0.02)
    curves = [
        stretched(x, Target.of(p), 2.77, [0.0, 0.01]) for p in (pdf, row)
    ]
    assert np.array_equal(*curves)
    found = [
        cb.propose(p, generators=("library",), count=4) for p in (pdf, row)
    ]
    for a, b in zip(*found, strict=True):
        assert np.allclose(a.positions, b.positions)
        assert a.rw_raw == pytest.approx(b.rw_raw)


@pytest.mark.parametrize("step", [0.001, 0.02, 0.1, np.pi / QMAX])
def test_the_grid_of_the_method_holds_the_curve(clean, step):
    """However r is sampled, also unevenly, `regrid` gives the same curve."""
    from diffpy_cbldm.fitting.target import regrid

    def curve(r):
        """A sum of waves below Qmax that dies out at both ends."""
        q = np.arange(1.0, 21.0, 0.5)
        wave = np.sin(np.outer(r, q)) @ np.cos(3 * q)
        return wave * np.exp(-((r - 10) ** 2) / 18)

    rng = np.random.default_rng(0)
    for uneven in (0.0, 0.02):
        r = np.arange(0, 20, step)
        r[1:] += uneven * step * rng.uniform(-1, 1, len(r) - 1)
        pdf = cb.PDFData(
            r, curve(r), composition="Pt", qmin=0.7, qmax=QMAX, stype="X"
        )
        g, mask = regrid(pdf)
        inside = mask & (np.arange(len(g)) * 0.01 < 18)
        expected = curve(np.arange(len(g)) * 0.01)
        off = np.abs(g - expected)[inside].max()
        assert off < 0.005 * np.abs(expected).max(), (step, uneven)


# --------------------------------------------------- no worse than it began


def test_a_refinement_does_not_end_in_a_false_minimum():
    (pdf,) = cb.simulate([CLUSTER], rmax=20.0, rstep=0.02)
    fit = cb.refine(CLUSTER, pdf, start={"zoomscale": 1.09})
    assert fit.rw <= fit.rw_raw + 1e-9
    assert fit.parameters["zoomscale"][0] == pytest.approx(1, abs=1e-3)


def test_a_refinement_keeps_its_start_where_the_optimiser_fails(
    clean, monkeypatch
):
    import scipy.optimize

    def astray(function, start, **options):
        function(1.02 * start)
        return scipy.optimize.OptimizeResult(x=1.02 * start)

    monkeypatch.setattr(scipy.optimize, "least_squares", astray)
    start = {"s1": 1.0, "zoomscale": 1.001, "Pt_Uiso": 0.0076}
    recipe = cb.make_recipe(CLUSTER, clean, start=start)
    began = refinement._rw(recipe, recipe.values)
    fit = cb.refine(CLUSTER, clean, start=start)
    assert fit.rw == pytest.approx(began, rel=1e-9)
    assert fit.parameters["zoomscale"][0] == 1.001
