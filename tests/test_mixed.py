"""Scattering factors, and the PDF of clusters of several elements."""

import functools
import json
import math
import pathlib

import numpy as np
import pytest
import torch

from diffpy_cbldm.debye import form_factors, mixed, pure, qgrid
from diffpy_cbldm.errors import CbldmError

REFERENCE = pathlib.Path(__file__).parent / "reference"
CASES = [
    case
    for case in json.loads((REFERENCE / "srreal_debye.json").read_text())[
        "cases"
    ]
    if case["element"] == "mixed"
]
SETTINGS = "qmin qmax qdamp qbroad delta1 delta2 rmin rmax rstep".split()
WIDTHS = {"delta1": 0.3, "delta2": 4.0, "qbroad": 0.02}


@functools.cache
def golden():
    with np.load(REFERENCE / "srreal_debye.npz") as data:
        return dict(data)


def cdse():
    """Positions, symbols and a U for each atom of the CdSe cluster."""
    x = torch.tensor(golden()["cdse.xyz"], dtype=torch.float64)
    symbols = [str(s) for s in golden()["cdse.elements"]]
    u = torch.linspace(0.004, 0.03, len(x), dtype=torch.float64)
    return x, symbols, u


def deviation(g, reference):
    return float((g - reference).abs().max() / reference.abs().max())


def double_loop(x, symbols, u, *, stype, qmin, qmax, rmin, rmax, **widths):
    """The same by its definition, on the native Q grid."""
    ratio = max(
        1
        - widths["delta1"] / d
        - widths["delta2"] / d**2
        + (widths["qbroad"] * d) ** 2
        for d in (max(rmin, 1e-9), rmax)
    )
    cut, dq, first, count = qgrid.native_range(
        float(u.max()), ratio, qmin, qmax, rmax, 0.01
    )
    q = np.arange(count) * dq
    table = form_factors.factors(symbols, q, stype)
    total = np.zeros(count)
    for i in range(len(x)):
        for j in range(i):
            d = float((x[i] - x[j]).norm())
            if d > cut:
                continue
            s = 1 - widths["delta1"] / d - widths["delta2"] / d**2
            s = max(s + (widths["qbroad"] * d) ** 2, 0.0)
            damp = np.exp(-float(u[i] + u[j]) / 2 * s * q**2)
            both = table[symbols[i]] * table[symbols[j]]
            total += 2 * both * np.sin(q * d) / d * damp
    mean = sum(table[s] for s in symbols) / len(symbols)
    f = total / (len(symbols) * mean**2)
    f[:first] = 0
    r = qgrid.r_grid(rmin, rmax, 0.01)
    # DiffPy's sine transform, written out as a sum and read linearly.
    size = 1 << math.ceil(math.log2(max(count, math.pi / (0.01 * dq))))
    fine = math.pi / (size * dq) * np.arange(size)
    waves = np.sin(np.outer(fine, q)) @ f * (2 / math.pi * dq)
    return torch.tensor(np.interp(r.numpy(), fine, waves))


# ---------------------------------------------------------------- the table


def test_form_factors():
    q = np.array([0.0, 5.0, 25.0])
    # Charges and the International Tables, vol. C, at sin(theta)/lambda.
    assert form_factors.form_factor("Au", q)[0] == pytest.approx(79, abs=0.05)
    assert form_factors.form_factor("Cd2+", q)[0] == pytest.approx(
        46, abs=0.05
    )
    near = form_factors.form_factor("C", np.array([4 * math.pi * 0.5]))
    assert near[0] == pytest.approx(1.685, abs=0.01)
    for same in ("cd", "Cd0+"):
        assert np.array_equal(
            form_factors.form_factor(same, q),
            form_factors.form_factor("Cd", q),
        )
    assert np.array_equal(
        form_factors.form_factor("Cl-", q), form_factors.form_factor("Cl1-", q)
    )


def test_xraydb_has_the_same_form_factors():
    xraydb = pytest.importorskip("xraydb")
    q = np.linspace(0, 30, 50)
    for symbol in ("C", "Ni", "Se", "Cd2+", "Pt", "Au", "U"):
        ours = form_factors.form_factor(symbol, q)
        assert np.allclose(ours, xraydb.f0(symbol, q / (4 * math.pi)))


def test_scattering_lengths():
    length = form_factors.scattering_length
    assert length("H") == pytest.approx(-3.74, abs=0.01)
    assert length("D") == length("2-H") == pytest.approx(6.67, abs=0.01)
    assert length("Ni") == pytest.approx(10.3)
    assert length("Cd2+") == length("Cd")


def test_table_errors():
    q = np.array([1.0])
    with pytest.raises(CbldmError, match="'Se2-'.*'Se', the neutral"):
        form_factors.form_factor("Se2-", q)
    with pytest.raises(CbldmError, match="'Xx' is not in the table"):
        form_factors.form_factor("Xx", q)
    with pytest.raises(CbldmError, match="neutron"):
        form_factors.scattering_length("Xx")
    with pytest.raises(CbldmError, match="not an atom"):
        form_factors.form_factor("gold", q)
    with pytest.raises(CbldmError, match="ends at 75"):
        form_factors.form_factor("Au", 80 * q)
    with pytest.raises(CbldmError, match="'E'"):
        form_factors.factors(["Au"], q, "E")


# ---------------------------------------------------------------- the curve


@pytest.mark.parametrize("case", CASES, ids=lambda c: c["key"])
def test_native_curves(case):
    name = case["key"].rsplit(".", 1)[0]
    g = mixed.mixed_pdf(
        torch.tensor(golden()[name + ".xyz"]),
        [str(s) for s in golden()[name + ".elements"]],
        u_iso=case["B"] / (8 * math.pi**2),
        stype=case["stype"],
        grid="native",
        **{setting: case[setting] for setting in SETTINGS},
    )
    assert deviation(g, torch.tensor(golden()[case["key"] + ".g"])) < 1e-10


@pytest.mark.parametrize("stype", ["X", "N"])
@pytest.mark.parametrize("precision", [1e-4, 1e-10])
def test_widths_of_each_atom(stype, precision):
    x, symbols, u = (part[:25] for part in cdse())
    settings = {"stype": stype, "qmin": 0.8, "qmax": 22.0, "rmin": 1.5}
    settings |= {"rmax": 20.0, **WIDTHS}
    exact = double_loop(x, symbols, u, **settings)
    g = mixed.mixed_pdf(
        x, symbols, u_iso=u, precision=precision, grid="native", **settings
    )
    assert deviation(g, exact) < precision


def test_one_element_is_the_other_engine():
    x, _, _ = cdse()
    settings = {"qmax": 20.0, "rmax": 15.0, "precision": 1e-10, **WIDTHS}
    one = pure.debye_pdf(x[None], u_iso=0.01, **settings)[0]
    for stype in ("X", "N"):
        g = mixed.mixed_pdf(
            x, ["Au"] * len(x), u_iso=0.01, stype=stype, **settings
        )
        assert deviation(g, one) < 1e-9


def test_orientation_and_order_do_not_matter():
    x, symbols, u = cdse()
    turn, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    before = x.clone()
    g = mixed.mixed_pdf(x, symbols, u_iso=u, **WIDTHS)
    other = mixed.mixed_pdf(
        (x @ torch.tensor(turn) + 3.0)[order],
        [symbols[k] for k in order],
        u_iso=u[order],
        **WIDTHS,
    )
    assert deviation(other, g) < 1e-9
    assert torch.equal(x, before)


def test_neutrons_see_a_negative_length():
    """In TiNi the peak of unlike atoms points down."""
    x = torch.tensor([[0.0, 0, 0], [0, 0, 2.6]], dtype=torch.float64)
    peaks = {}
    for stype in ("X", "N"):
        g = mixed.mixed_pdf(x, ["Ti", "Ni"], u_iso=0.005, stype=stype)
        peaks[stype] = float(g[260])
    assert peaks["X"] > 0 > peaks["N"]


def test_gradient():
    x, symbols, u = (part[:6] for part in cdse())

    def curve(x, u):
        return mixed.mixed_pdf(
            x, symbols, u_iso=u, qmax=15.0, rmax=6.0, rstep=0.3, delta2=1.0
        )

    x, u = x.clone().requires_grad_(), u.clone().requires_grad_()
    assert torch.autograd.gradcheck(curve, (x, u), atol=1e-5, rtol=1e-4)


def test_lone_atom_and_many_pairs(monkeypatch):
    g = mixed.mixed_pdf(torch.zeros(1, 3), ["Au"], u_iso=0.005)
    assert not g.any()
    x, symbols, u = cdse()
    g = mixed.mixed_pdf(x, symbols, u_iso=u)
    monkeypatch.setattr(mixed, "PAIRS", 100)
    assert deviation(mixed.mixed_pdf(x, symbols, u_iso=u), g) < 1e-12


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"positions": torch.zeros(3, 3)}, r"\(3, 3\) for 2 elements"),
        ({"positions": torch.full((2, 3), math.nan)}, "NaN"),
        ({"positions": torch.zeros(2, 3)}, "stands twice"),
        ({"u_iso": torch.zeros(3)}, r"u_iso has shape \(3,\)"),
        ({"u_iso": -0.1}, "u_iso is -0.1"),
        ({"qbroad": -1.0}, "qbroad is -1"),
        ({"qmin": 30.0}, "qmin is 30 and qmax is 25"),
        ({"rmin": 30.0}, "rmin is 30 and rmax is 30"),
        ({"rstep": 0.0}, "rstep is 0"),
        ({"stype": "E"}, "'E'"),
    ],
)
def test_errors_name_the_value(change, text):
    arguments = {
        "positions": torch.tensor([[0.0, 0, 0], [0, 0, 2.6]]),
        "elements": ["Ti", "Ni"],
        "u_iso": 0.005,
    }
    with pytest.raises(CbldmError, match=text):
        mixed.mixed_pdf(**arguments | change)
