"""The quick fit: derivatives, recovered parameters, native results."""

import json
import pathlib

import numpy as np
import pytest
import torch

from diffpy_cbldm.debye import qgrid
from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.fitting import quickfit as qf
from diffpy_cbldm.fitting import shell_sums as sums
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.pdfdata import PDFData

SHARED = pathlib.Path(__file__).resolve().parents[2] / "shared"


def fcc(n, bond=2.775, centre=(0.3, 0.2, 0.1)):
    k = np.arange(-6, 7)
    x = np.stack(np.meshgrid(k, k, k), -1).reshape(-1, 3)
    x = x[x.sum(1) % 2 == 0] * bond / 2**0.5
    distance = np.linalg.norm(x - np.array(centre), axis=1)
    return x[np.argsort(distance, kind="stable")[:n]]


def native(x, r, *, uiso, delta2, qdamp, qmin, qmax, qbroad=0.0):
    """G(r) by the rules of the native calculator to 30 A, as a plain sum."""
    grid = qgrid.q_grid(qmin, qmax, r[-1], uiso)
    q = grid.q
    d = np.linalg.norm(x[:, None] - x, axis=-1)[np.triu_indices(len(x), 1)]
    assert d.max() <= grid.reach and grid.parts == 1
    f = np.zeros_like(q)
    for one in d:
        corr = max(0.0, 1 - delta2 / one**2 + (qbroad * one) ** 2)
        f += 2 / len(x) * np.sin(q * one) / one * np.exp(-uiso * corr * q**2)
    g = 2 / np.pi * (q[1] - q[0]) * np.sin(np.outer(r, q)) @ f
    return g * np.exp(-0.5 * (qdamp * r) ** 2)


R = np.arange(0.0, 30.005, 0.01)
RANGE = {"qmin": 0.9, "qmax": 23.0}


def target(g, r=R, rmin=1.5, rmax=30.0, **more):
    """A measured curve on its fitting range."""
    pdf = PDFData(r=r, g=g, **{**RANGE, **more})
    return Target.of(pdf, rmin, rmax)


def test_shells_keep_every_distance():
    x = np.random.default_rng(0).uniform(-5, 5, (60, 3))
    d = torch.pdist(torch.from_numpy(x)).numpy()
    mean, variance, count = sums.shells(x, 8.0)
    near = d[d <= 8.0]
    assert count.sum() == len(near)
    assert (mean * count).sum() == pytest.approx(near.sum())
    square = (count * (variance + mean**2)).sum()
    assert square == pytest.approx((near**2).sum())
    assert variance.max() <= 0.01**2 * (1 + 1e-6)
    assert len(sums.shells(fcc(147), 30.0)[0]) < 60


def test_structure_factors_are_plain_sums():
    """Of every pair, for two clusters at once, and on a finer Q grid."""
    rng = np.random.default_rng(3)
    xs = [rng.uniform(-5, 5, (20, 3)), rng.uniform(-9, 9, (31, 3))]
    z, u, delta2 = np.array([[1.02, 0.97], [0.004, 0.05], [0.3, 4.0]])
    for longest in (0.0, 40.0):
        grid = qgrid.q_grid(0.7, 24.0, 20.0, 0.008, longest=longest)
        found = sums.structure_factors(
            [sums.Shells.of(x) for x in xs], z, u, delta2, 0.02, grid
        )[:, 0]
        for k, x in enumerate(xs):
            d = z[k] * torch.pdist(torch.from_numpy(x)).numpy()
            s = 1 - delta2[k] / d**2 + (0.02 * d) ** 2
            wide = np.exp(-u[k] * grid.q[:, None] ** 2 * s.clip(min=0))
            exact = (wide * np.sin(grid.q[:, None] * d) / d).sum(1)
            apart = abs(found[k] - 2 / len(x) * exact)
            assert apart.max() < 1e-4 * abs(found[k]).max()


def test_derivatives_against_differences():
    x = np.random.default_rng(1).uniform(-5, 5, (20, 3))
    grid = qgrid.q_grid(1.0, 20.0, 20.0, 0.008)

    def f(p):
        given = (np.array([value]) for value in p)
        one = sums.Shells.of(x)
        return sums.structure_factors([one], *given, 0.01, grid)[0]

    p = np.array([1.01, 0.01, 1.5])
    for i, h in enumerate((1e-5, 1e-6, 1e-5)):
        up, down = p.copy(), p.copy()
        up[i] += h
        down[i] -= h
        slope = (f(up)[0] - f(down)[0]) / (2 * h)
        assert abs(f(p)[1 + i] - slope).max() < 1e-4 * abs(slope).max()


def test_gradient_of_the_misfit_against_differences():
    """With the scale eliminated, by every parameter."""
    x = fcc(40)
    g = native(x, R, uiso=0.008, delta2=2.0, qdamp=0.04, **RANGE)
    grid = target(g)
    data = qf._Data(grid, grid.q_grid(0.01, 1.0))
    one = sums.Shells.of(x)
    p = np.array([1.01, 0.011, 1.5, 0.02])
    (_, gradient, normal), *_ = data.linearised([one], p[None])
    assert np.allclose(normal, normal.T)
    for i, unit in enumerate(qf._UNIT):
        up, down = p.copy(), p.copy()
        up[i] += 1e-4 * unit
        down[i] -= 1e-4 * unit
        (plus, *_), (minus, *_) = data.linearised(
            [one, one], np.array([up, down])
        )
        slope = (plus - minus) / 2e-4
        assert 2 * gradient[i] == pytest.approx(slope, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("qbroad", [0.0, 0.01])
def test_parameters_come_back(qbroad):
    x = fcc(120)
    truth = {"uiso": 0.006, "delta2": 3.0, "qdamp": 0.05}
    g = native(1.013 * x, R, **truth, **RANGE, qbroad=qbroad)
    found = qf.quick_fit([x], target(0.4 * g, qbroad=qbroad))[0]
    assert found.rw < 2e-3
    assert found.scale == pytest.approx(0.4, rel=2e-3)
    assert found.stretch == pytest.approx(1.013, abs=2e-5)
    assert found.uiso == pytest.approx(0.006, rel=0.01)
    assert found.delta2 == pytest.approx(3.0, abs=0.05)
    assert found.qdamp == pytest.approx(0.05, abs=5e-4)


def test_rw_is_that_of_the_plain_sum():
    x = np.random.default_rng(2).uniform(-6, 6, (70, 3))
    fixed = {"uiso": 0.007, "delta2": 0.5, "qdamp": 0.03}
    rng = np.random.default_rng(0)
    g = native(x, R, **fixed, **RANGE) + 0.05 * rng.normal(size=len(R))
    found = qf.quick_fit([x], target(g), fit=(), start=fixed)[0]
    keep = R >= 1.5 - 1e-6
    calc = native(x, R, **fixed, **RANGE)[keep]
    obs = g[keep]
    scale = obs @ calc / (calc @ calc)
    expected = np.sqrt(((obs - scale * calc) ** 2).sum() / (obs**2).sum())
    assert found.rw == pytest.approx(expected, abs=1e-4)
    assert (found.stretch, found.uiso) == (1.0, 0.007)


def test_order_and_company_do_not_matter():
    many = [fcc(n) for n in (55, 80, 147)]
    g = native(many[1], R, uiso=0.008, delta2=2.0, qdamp=0.04, **RANGE)
    fits = qf.quick_fit(many, target(g))
    for x, fit in zip(many, fits, strict=True):
        turned = torch.from_numpy(x[::-1, [1, 2, 0]] * [1, -1, 1] + 3.0)
        alone = qf.quick_fit([turned], target(g))[0]
        assert alone.rw == pytest.approx(fit.rw, abs=1e-4)
        assert alone.stretch == pytest.approx(fit.stretch, abs=1e-4)
    assert fits[1].rw == min(fit.rw for fit in fits)


def test_given_qdamp_stays_and_bounds_hold():
    x = fcc(60)
    g = native(1.15 * x, R, uiso=0.2, delta2=0.0, qdamp=0.3, **RANGE)
    for fit in qf.quick_fit([x, fcc(90)], target(g, qdamp=0.02)):
        assert fit.qdamp == 0.02
        assert 0.9 <= fit.stretch <= 1.1 and 1e-4 <= fit.uiso <= 0.1
    for fit in qf.quick_fit([x], target(g)):
        assert 0.0 <= fit.qdamp <= 0.15 and 0.0 <= fit.delta2 <= 8.0


def test_any_uniform_grid_will_do():
    x = fcc(80)
    r = 1.0 + 0.02 * np.arange(950)
    g = native(x, r, uiso=0.008, delta2=2.0, qdamp=0.04, **RANGE)
    found = qf.quick_fit([x], target(g, r, rmax=100.0))[0]
    assert found.rw < 2e-3
    dg = np.where(r > 10, 0.2, 0.1)
    assert qf.quick_fit([x], target(g, r, dg=dg))[0].rw < 2e-3


def test_user_mistakes():
    x, g = fcc(20), np.sin(R)
    with pytest.raises(CbldmError, match="zoomscale"):
        qf.quick_fit([x], target(g), fit=("zoomscale",))
    with pytest.raises(CbldmError, match="data points"):
        target(g, rmin=31.0, rmax=40.0)
    with pytest.raises(CbldmError, match="independent data"):
        qf.quick_fit([x], target(g, qmin=9.995, qmax=10.0))
    with pytest.raises(CbldmError, match="one array per cluster"):
        qf.quick_fit([x[None]], target(g))


@pytest.mark.parametrize("index", [0, 1])
def test_native_fits_of_measured_data(index):
    path = SHARED / "golden" / "srfit_native.json"
    if not path.exists():
        pytest.skip("the golden fits lie in ../shared, which is not here")
    from ase.cluster import Decahedron
    from ase.cluster.cubic import FaceCenteredCubic

    golden = json.loads(path.read_text())["fits"][index]
    lattice = (2.775, 2.884)[index] * 2**0.5
    if index == 0:
        surfaces = [[1, 0, 0], [1, 1, 0], [1, 1, 1]]
        atoms = FaceCenteredCubic(
            "Pt", surfaces, (5, 6, 3), latticeconstant=lattice
        )
    else:
        atoms = Decahedron("Au", 4, 1, 1, latticeconstant=lattice)
    assert len(atoms) == golden["n"]
    lines = SHARED / "data" / "experimental" / golden["data"]
    rows = [
        line.split()[:2]
        for line in lines.read_text().splitlines()
        if line[:1].isdigit()
    ]
    r, g = np.array(rows, dtype=float).T
    found = qf.quick_fit(
        [atoms.positions],
        target(
            g,
            r,
            rmax=golden["range"][1],
            qmin=golden["qmin"],
            qmax=golden["qmax"],
            qdamp=golden["qdamp"],
        ),
    )[0]
    result = golden["result"]
    # The golden fits are native ones.  Where the range ends at 20 A the native
    # Q grid begins elsewhere than that of whole particles.
    near = {"abs": 1e-4 if golden["range"][1] > 29 else 1e-3}
    assert found.rw == pytest.approx(golden["rw"], **near)
    assert found.scale == pytest.approx(result["s1"], rel=2e-3)
    assert found.stretch == pytest.approx(result["zoomscale"], abs=1e-4)
    assert found.uiso == pytest.approx(result["Uiso"], rel=5e-3)
    assert found.delta2 == pytest.approx(result["delta2"], abs=0.05)
