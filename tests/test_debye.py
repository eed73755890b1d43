"""The Debye PDF against DiffPy's curves, a double loop and physical laws."""

import dataclasses
import functools
import json
import math
import pathlib

import numpy as np
import pytest
import torch

from diffpy_cbldm.debye import histogram, pair_blocks, pure, qgrid
from diffpy_cbldm.debye.conditions import Conditions
from diffpy_cbldm.debye.widths import Widths, end_ratio
from diffpy_cbldm.errors import CbldmError

REFERENCE = pathlib.Path(__file__).parent / "reference"
CASES = [
    case
    for case in json.loads((REFERENCE / "srreal_debye.json").read_text())[
        "cases"
    ]
    if case["element"] != "mixed"
]
SHARED = ("qmin", "qmax", "qdamp", "qbroad", "delta1", "delta2")
SHARED += ("rmin", "rmax", "rstep")


@functools.cache
def golden():
    with np.load(REFERENCE / "srreal_debye.npz") as data:
        return dict(data)


def random_clusters(batch=3, n=12, dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(batch, n, 3, generator=generator, dtype=torch.float64)
    lattice = torch.cartesian_prod(*[torch.arange(5.0)] * 3)[:n]
    return (2.7 * lattice + 0.8 * x).to(dtype)


def deviation(g, reference):
    g, reference = torch.as_tensor(g), torch.as_tensor(reference)
    assert g.shape == reference.shape
    return float((g - reference).abs().max() / reference.abs().max())


def double_loop(x, r, *, u, qmin, qmax, delta1=0, delta2=0, qbroad=0):
    """G(r) of one cluster by its definition, with a fine sum over Q."""
    q = torch.linspace(qmin, qmax, 60001, dtype=torch.float64)
    f = torch.zeros_like(q)
    for i in range(len(x)):
        for j in range(len(x)):
            if i != j:
                d = (x[i] - x[j]).norm()
                s = 1 - delta1 / d - delta2 / d**2 + (qbroad * d) ** 2
                s = torch.clamp(s, min=0)
                f = f + torch.sin(q * d) / d * torch.exp(-u * q**2 * s)
    f = f / len(x)
    waves = torch.sin(q * torch.as_tensor(r)[:, None])
    return 2 / math.pi * torch.trapezoid(f * waves, q)


# ----------------------------------------------------------- the exact curve


@pytest.mark.parametrize(
    ("precision", "bar"),
    [(p, p) for p in (1e-3, 1e-4, 1e-6, 1e-8, 1e-10)] + [(1e-13, 1e-12)],
)
def test_golden_curves(precision, bar):
    assert len(CASES) == 45
    for case in CASES:
        x = golden()[case["key"].rsplit(".", 1)[0] + ".xyz"]
        g = pure.debye_pdf(
            torch.tensor(x, dtype=torch.float64)[None],
            u_iso=case["B"] / (8 * math.pi**2),
            grid="native",
            precision=precision,
            **{name: case[name] for name in SHARED},
        )
        error = deviation(g[0], golden()[case["key"] + ".g"])
        assert error < bar, case["key"]


def test_golden_grids():
    for case in CASES:
        r = qgrid.r_grid(case["rmin"], case["rmax"], case["rstep"])
        assert torch.allclose(r, torch.tensor(golden()[case["key"] + ".r"]))
        ends = [max(case["rmin"], 1e-9), case["rmax"]]
        ratio = max(
            1
            - case["delta1"] / d
            - case["delta2"] / d**2
            + (case["qbroad"] * d) ** 2
            for d in ends
        )
        extended, dq, _, _ = qgrid.native_range(
            case["B"] / (8 * math.pi**2),
            ratio,
            case["qmin"],
            case["qmax"],
            case["rmax"],
            case["rstep"],
        )
        assert extended == pytest.approx(case["extendedrmax"], abs=1e-9)
        assert dq == pytest.approx(case["qstep"], rel=1e-12)


def test_float32_agrees_to_its_digits():
    case = CASES[5]
    x = golden()[case["key"].rsplit(".", 1)[0] + ".xyz"]
    g = pure.debye_pdf(
        torch.tensor(x, dtype=torch.float32)[None],
        u_iso=case["B"] / (8 * math.pi**2),
        grid="native",
        precision=1e-4,
        **{name: case[name] for name in SHARED},
    )
    assert g.dtype == torch.float32
    assert deviation(g[0].double(), golden()[case["key"] + ".g"]) < 1e-4


@pytest.mark.parametrize("precision", [1e-3, 1e-6, 1e-10])
@pytest.mark.parametrize(
    "widths", [{}, {"delta1": 0.4, "delta2": 2.0, "qbroad": 0.02}]
)
def test_integral_grid_is_the_integral(precision, widths):
    x = random_clusters(1, 5)[0]
    r = qgrid.r_grid(1.0, 30.0, 0.25)
    exact = double_loop(x, r, u=0.006, qmin=0.8, qmax=22.0, **widths)
    g = pure.debye_pdf(
        x[None],
        u_iso=0.006,
        qmin=0.8,
        qmax=22.0,
        rmin=1.0,
        rstep=0.25,
        grid="integral",
        precision=precision,
        **widths,
    )
    # The sum over Q of the double loop is itself good to 2e-7.
    assert deviation(g[0], exact) < max(precision, 3e-7)


@pytest.mark.parametrize("precision", [1e-3, 1e-6, 1e-10])
def test_bonds_without_width(precision):
    """Where delta2 takes more than the whole width, it is cut at zero."""
    x = random_clusters()
    settings = {"u_iso": 0.01, "delta2": 8.0, "delta1": 0.1, "qmin": 1.0}
    g = pure.debye_pdf(x, precision=precision, **settings)
    exact = pure.debye_pdf(x, precision=1e-13, **settings)
    assert deviation(g, exact) < precision


@pytest.mark.parametrize("grid", ["native", "integral"])
def test_one_u_per_atom(grid):
    x = random_clusters(2, 6)
    u = torch.full((2, 6), 0.01, dtype=torch.float64)
    same = pure.debye_pdf(x, u_iso=u, grid=grid)
    assert deviation(same, pure.debye_pdf(x, u_iso=0.01, grid=grid)) < 1e-6
    u[:, 0] = 0.02
    assert deviation(pure.debye_pdf(x, u_iso=u, grid=grid), same) > 1e-3


# --------------------------------------------------------------------- laws


def test_rotation_reflection_translation_and_order():
    x = random_clusters()
    generator = torch.Generator().manual_seed(1)
    turn = torch.linalg.qr(
        torch.randn(3, 3, generator=generator, dtype=torch.float64)
    )[0]
    turn[:, 0] *= -1
    other = x[:, torch.randperm(12, generator=generator)] @ turn + 5.0
    settings = {"u_iso": 0.005, "delta2": 2.0, "precision": 1e-10}
    for grid in ("native", "integral"):
        g = pure.debye_pdf(x, grid=grid, **settings)
        moved = pure.debye_pdf(other, grid=grid, **settings)
        assert deviation(moved, g) < 1e-9


@pytest.mark.parametrize("grid", ["native", "integral"])
def test_padding_and_batches(grid):
    x = random_clusters(4)
    lengths = torch.tensor([12, 5, 1, 8])
    padded = x.clone()
    for row, n in zip(padded, lengths, strict=True):
        row[n:] = math.nan
    settings = {"u_iso": 0.005, "grid": grid, "precision": 1e-8}
    for widths in ({}, {"delta2": 2.0}):
        many = pure.debye_pdf(padded, lengths, **settings, **widths)
        for b, n in enumerate(lengths):
            one = pure.debye_pdf(x[b : b + 1, :n], **settings, **widths)
            assert float((many[b] - one[0]).abs().max()) < 1e-7
        chunked = pure.debye_pdf(
            padded, lengths, chunk=1, **settings, **widths
        )
        assert float((many - chunked).abs().max()) < 1e-7
    assert not many[2].any(), "one atom has no pairs"


def test_repeats_exactly():
    x = random_clusters(8)
    g = [pure.debye_pdf(x, u_iso=0.005, delta2=1.0) for _ in range(2)]
    assert torch.equal(*g)


def test_inputs_are_not_changed():
    x, lengths = random_clusters(), torch.tensor([12, 7, 4])
    before = x.clone(), lengths.clone()
    pure.debye_pdf(x, lengths, u_iso=0.005, stretch=1.1)
    histogram.pair_histogram(x, lengths, step=0.02, bins=1500)
    assert torch.equal(x, before[0])
    assert torch.equal(lengths, before[1])


def test_peak_of_a_dimer():
    x = torch.tensor([[[0, 0, 0], [0, 0, 2.88]]], dtype=torch.float64)
    g = pure.debye_pdf(x, u_iso=0.005)
    r = qgrid.r_grid(0, 30, 0.01)
    assert abs(float(r[g[0].argmax()]) - 2.88) <= 0.011


def test_stretch_is_a_change_of_units():
    """F(Q; z) = F_1(z Q) / z, so G(r; z) = G_1(r / z) / z^2."""
    x = random_clusters()
    z = 1.25
    r_all = {"rmax": 30.0, "rstep": 0.01}
    r_one = {"rmax": 30.0 / z, "rstep": 0.01 / z}
    g = pure.debye_pdf(
        x, u_iso=0.005 * z**2, qmin=0.8, qmax=20.0, stretch=z,
        grid="integral", **r_all,
    )  # fmt: skip
    one = pure.debye_pdf(
        x, u_iso=0.005, qmin=0.8 * z, qmax=20.0 * z, grid="integral", **r_one
    )
    assert deviation(g, one / z**2) < 1e-6
    assert deviation(g, pure.debye_pdf(
        x * z, u_iso=0.005 * z**2, qmin=0.8, qmax=20.0, grid="integral",
        **r_all,
    )) < 1e-12  # fmt: skip


def test_scale_and_damping():
    x = random_clusters()
    plain = pure.debye_pdf(x, u_iso=0.005)
    scale = torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64)
    g = pure.debye_pdf(x, u_iso=0.005, scale=scale, qdamp=0.05)
    r = qgrid.r_grid(0, 30, 0.01)
    expected = plain * torch.exp(-((0.05 * r) ** 2) / 2) * scale[:, None]
    assert deviation(g, expected) < 1e-12


# ---------------------------------------------------------------- gradients


@pytest.mark.parametrize("grid", ["native", "integral"])
@pytest.mark.parametrize("precision", [1e-6, 1e-10, 1e-13])
def test_gradcheck(grid, precision):
    x = random_clusters(2, 5).requires_grad_()
    values = [
        torch.tensor([v, 1.1 * v], dtype=torch.float64, requires_grad=True)
        for v in (0.01, 0.04, 0.02, 0.3, 0.8, 0.9, 1.02)
    ]

    def curve(x, u, qdamp, qbroad, delta1, delta2, scale, stretch):
        return pure.debye_pdf(
            x,
            torch.tensor([5, 4]),
            u_iso=u,
            qdamp=qdamp,
            qbroad=qbroad,
            delta1=delta1,
            delta2=delta2,
            scale=scale,
            stretch=stretch,
            qmin=1.0,
            qmax=18.0,
            rmin=1.0,
            rmax=9.0,
            rstep=0.1,
            grid=grid,
            precision=precision,
        )

    assert torch.autograd.gradcheck(
        curve, (x, *values), eps=1e-6, atol=1e-5, rtol=1e-3
    )


def test_gradient_against_the_double_loop():
    x = random_clusters(1, 4)
    target = torch.sin(torch.arange(40.0, dtype=torch.float64))
    r = qgrid.r_grid(2.0, 10.0, 0.2)
    settings = {"qmin": 0.8, "qmax": 20.0, "delta2": 2.0}
    moved = x.clone().requires_grad_()
    g = pure.debye_pdf(
        moved, u_iso=0.006, rmin=2.0, rmax=10.0, rstep=0.2, grid="integral",
        precision=1e-8, **settings,
    )  # fmt: skip
    (g[0] @ target).backward()
    for atom, axis in ((0, 0), (2, 1), (3, 2)):
        ends = []
        for shift in (1e-4, -1e-4):
            y = x[0].clone()
            y[atom, axis] += shift
            ends.append(double_loop(y, r, u=0.006, **settings) @ target)
        slope = float(ends[0] - ends[1]) / 2e-4
        assert float(moved.grad[0, atom, axis]) == pytest.approx(
            slope, rel=1e-4, abs=1e-3
        )


@pytest.mark.parametrize("n", [2, 3, 8, 9])
def test_pairs_in_blocks(n, monkeypatch):
    """Pairs that do not fit at once give the same curve and gradient."""
    x = random_clusters(2, n).requires_grad_()
    target = torch.sin(torch.arange(3000.0, dtype=torch.float64))
    found = []
    for pairs in (1 << 18, 2 * 2 * n, 1):
        monkeypatch.setattr(pair_blocks, "PAIRS", pairs)
        g = pure.debye_pdf(x, u_iso=0.005, delta2=1.0)
        found.append((g, *torch.autograd.grad((g @ target).sum(), x)))
    for g, slope in found[1:]:
        assert torch.allclose(g, found[0][0], atol=1e-12)
        assert torch.allclose(slope, found[0][1], atol=1e-8)


# ------------------------------------------------ histograms for the training


@pytest.mark.parametrize("qbroad", [0.0, 0.02, 0.05])
@pytest.mark.parametrize("delta2", [0.0, 2.0])
def test_q_grid_is_that_of_the_curves(qbroad, delta2):
    """With Qbroad the tail of a peak is longer, and the grid finer."""
    qmin, qmax, rmax, u = 0.7, 25.0, 30.0, 0.008
    widths = Widths(*torch.tensor([[u], [0.0], [delta2], [qbroad]]).double())
    reach, dq, first, count = qgrid.native_range(
        u, widths.end_ratio(1.5, rmax), qmin, qmax, rmax, 0.01
    )
    ratio = end_ratio(1.5, rmax, delta2=delta2, qbroad=qbroad)
    grid = qgrid.q_grid(qmin, qmax, rmax, u, ratio)
    assert grid.reach == reach and grid.parts == 1
    assert np.array_equal(grid.q, dq * np.arange(first, count))
    assert np.all(grid.weights == 1)
    plain = qgrid.q_grid(qmin, qmax, rmax, u)
    assert (grid.reach > plain.reach) == (qbroad > 0)


@pytest.mark.parametrize("order", [4, 6])
def test_histogram_gives_the_integral(order):
    x, lengths = random_clusters(4), torch.tensor([12, 9, 5, 3])
    qmin = torch.tensor([0.5, 0.8, 1.0, 1.3], dtype=torch.float64)
    qmax = torch.tensor([25.0, 22.0, 20.0, 18.0], dtype=torch.float64)
    u = torch.tensor([0.004, 0.006, 0.008, 0.02], dtype=torch.float64)
    qdamp = torch.tensor([0.0, 0.02, 0.04, 0.08], dtype=torch.float64)
    hist = histogram.pair_histogram(
        x, lengths, step=0.02, bins=2048, order=order
    )
    for padding, bar in ((1, 2e-2), (4, 1e-3)):
        g = histogram.pdf_from_histogram(
            hist,
            lengths,
            Conditions(u_iso=u, qmin=qmin, qmax=qmax, qdamp=qdamp),
            step=0.02,
            points=1500,
            order=order,
            padding=padding,
        )
        for b, n in enumerate(lengths):
            one = pure.debye_pdf(
                x[b : b + 1, :n],
                u_iso=float(u[b]),
                qmin=float(qmin[b]),
                qmax=float(qmax[b]),
                qdamp=float(qdamp[b]),
                rstep=0.02,
                grid="integral",
            )
            assert deviation(g[b], one[0]) < bar


@pytest.mark.parametrize(
    "law",
    [
        {"delta2": 2.0},
        {"delta1": 0.5, "scale": 0.7},
        {"delta1": 0.3, "delta2": 1.0, "qbroad": 0.02},
    ],
)
def test_histogram_widths_by_distance(law):
    x = random_clusters()
    hist = histogram.pair_histogram(x, step=0.02, bins=2048)
    conditions = Conditions(u_iso=0.01, qmin=0.8, qmax=20.0, **law)
    g = histogram.pdf_from_histogram(
        hist,
        torch.full((3,), 12),
        conditions,
        step=0.02,
        points=1500,
        padding=4,
    )
    exact = pure.debye_pdf(
        x, rstep=0.02, grid="integral", **dataclasses.asdict(conditions)
    )
    assert deviation(g, exact) < 5e-3
    plain = dataclasses.replace(conditions, delta1=0, delta2=0, qbroad=0)
    other = histogram.pdf_from_histogram(
        hist, torch.full((3,), 12), plain, step=0.02, points=1500
    )
    assert deviation(other, exact) > 2e-2


def test_histogram_counts_pairs():
    x = random_clusters()
    hist = histogram.pair_histogram(x, step=0.02, bins=2000)
    assert hist.shape == (3, 2000)
    for row, cluster in zip(hist, x, strict=True):
        total = 2 * (1 / torch.pdist(cluster)).sum()
        assert float(row.sum()) == pytest.approx(float(total), rel=1e-12)
    short = histogram.pair_histogram(x, step=0.02, bins=200)
    d = torch.pdist(x[0])
    total = 2 * (1 / d[d < 3.95]).sum()
    assert float(short[0].sum()) >= float(total) * 0.99


@pytest.mark.parametrize("factor", [0.5, 1.0, 2.0])
def test_histogram_output_steps(factor):
    hist = histogram.pair_histogram(random_clusters(), step=0.02, bins=2048)
    lengths = torch.full((3,), 12)
    given = hist, lengths, Conditions(u_iso=0.005, qmin=0.8, qmax=20.0)
    plain = histogram.pdf_from_histogram(*given, step=0.02)
    g = histogram.pdf_from_histogram(
        *given, step=0.02, rstep_out=0.02 * factor, points=1000
    )
    if factor == 0.5:
        assert torch.allclose(g[:, ::2], plain[:, :500], atol=1e-10)
    else:
        assert torch.allclose(g, plain[:, :: int(factor)][:, :1000])


def test_histogram_gradient():
    x = random_clusters(2, 5).requires_grad_()

    def curve(x, u, qmax):
        hist = histogram.pair_histogram(x, step=0.05, bins=256)
        conditions = Conditions(u_iso=u, qmin=0.8, qmax=qmax)
        return histogram.pdf_from_histogram(
            hist, torch.tensor([5, 5]), conditions, step=0.05, points=200,
            rstep_out=0.1,
        )  # fmt: skip

    u = torch.tensor([0.01, 0.02], dtype=torch.float64, requires_grad=True)
    qmax = torch.tensor([15.03, 18.07], dtype=torch.float64)
    assert torch.autograd.gradcheck(curve, (x, u, qmax), atol=1e-5, rtol=1e-3)


# ------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"positions": torch.zeros(4, 3)}, r"\(4, 3\).*\(B, N, 3\)"),
        ({"positions": torch.zeros(1, 4, 3).long()}, "floating"),
        ({"lengths": torch.tensor([3])}, r"lengths.*\(1,\)"),
        ({"lengths": torch.tensor([0, 3, 3])}, "from 0 to 3"),
        ({"lengths": torch.tensor([13, 3, 3])}, "to 13"),
        ({"u_iso": -0.01}, "u_iso is -0.01"),
        ({"u_iso": math.nan}, "u_iso is nan"),
        ({"u_iso": torch.zeros(2)}, r"u_iso has shape \(2,\)"),
        ({"qdamp": -1.0}, "qdamp is -1"),
        ({"qbroad": -1.0}, "qbroad is -1"),
        ({"stretch": 0.0}, "stretch is 0"),
        ({"scale": math.inf}, "scale is inf"),
        ({"qmin": 25.0}, "qmin is 25 and qmax is 25"),
        ({"qmin": -1.0}, "qmin is -1"),
        ({"rmin": 30.0}, "rmin is 30"),
        ({"rstep": 0.0}, "rstep is 0"),
        ({"precision": 0.0}, "precision is 0"),
        ({"grid": "fine"}, "grid is 'fine'"),
    ],
)
def test_errors_name_the_value(change, text):
    arguments = {"positions": random_clusters(), "u_iso": 0.005} | change
    with pytest.raises(CbldmError, match=text):
        pure.debye_pdf(**arguments)


@pytest.mark.parametrize("precision", [1e-6, 1e-13])
def test_coincident_atoms(precision):
    x = random_clusters()
    x[1, 3] = x[1, 7]
    with pytest.raises(CbldmError, match="stands twice"):
        pure.debye_pdf(x, u_iso=0.005, precision=precision)
    lengths = torch.tensor([12, 7, 12])
    pure.debye_pdf(x, lengths, u_iso=0.005, precision=precision)


def test_nan_positions():
    x = random_clusters()
    x[0, 0, 0] = math.nan
    with pytest.raises(CbldmError, match="NaN"):
        pure.debye_pdf(x, u_iso=0.005)


def test_histogram_errors():
    hist = histogram.pair_histogram(random_clusters(), step=0.2, bins=200)
    good = Conditions(u_iso=0.005, qmin=1.0, qmax=10.0)
    lengths = torch.full((3,), 12)
    with pytest.raises(CbldmError, match="smaller step"):
        histogram.pdf_from_histogram(
            hist, lengths, dataclasses.replace(good, qmax=20.0), step=0.2
        )
    with pytest.raises(CbldmError, match="at index 0"):
        histogram.pdf_from_histogram(
            hist, lengths, dataclasses.replace(good, qmin=10.0), step=0.2
        )
    with pytest.raises(CbldmError, match="whole number"):
        histogram.pdf_from_histogram(
            hist, lengths, good, step=0.2, rstep_out=0.3
        )
    for name, value in (("u_iso", 0.005), ("delta2", 0.0)):
        several = torch.tensor([value, 0.5, 0.6])
        bad = dataclasses.replace(good, **{"delta2": 1.0, name: several})
        with pytest.raises(CbldmError, match=f"{name} differs"):
            histogram.pdf_from_histogram(hist, lengths, bad, step=0.2)
    with pytest.raises(CbldmError, match="order is 3"):
        histogram.pair_histogram(
            random_clusters(), step=0.2, bins=200, order=3
        )
