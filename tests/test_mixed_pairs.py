"""Kept pairs of several elements, against the sum over all pairs."""

import dataclasses
import functools

import numpy as np
import pytest
import torch
from ase.build import bulk
from diffpy.structure import Atom, Lattice, Structure

import diffpy_cbldm as cb
from diffpy_cbldm.debye import form_factors, mixed, qgrid
from diffpy_cbldm.debye.conditions import Conditions, Grid
from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.fitting import distances
from diffpy_cbldm.fitting.calculator import DebyeCalculator
from diffpy_cbldm.fitting.mixed_pairs import MixedPairs

WIDTHS = {"Ce": 0.004, "O": 0.013}


@functools.cache
def ceria(radius, noise=0.0):
    """A sphere of fluorite about a cerium, with its atoms shaken, A."""
    cells = bulk("CeO2", "fluorite", a=5.41, cubic=True).repeat(10)
    x = cells.positions - 5 * 5.41
    near = (x**2).sum(1) < radius**2
    shake = np.random.default_rng(0).normal(size=(int(near.sum()), 3))
    symbols = np.array(cells.get_chemical_symbols())[near]
    return x[near] + noise * shake, [str(s) for s in symbols]


def one_by_one(x, symbols, conditions, grid=None, stype="X", **options):
    u = torch.tensor([WIDTHS[s] for s in symbols], dtype=torch.float64)
    g = mixed.evaluate(
        torch.tensor(x),
        symbols,
        dataclasses.replace(conditions, u_iso=u),
        grid or Grid(),
        stype=stype,
        precision=1e-10,
        **options,
    )
    return g.numpy()


def pairs_of(x, symbols):
    """Pairs with the elements as kinds, cerium first."""
    return MixedPairs(x, symbols, [int(s == "O") for s in symbols])


def kept(pairs, conditions, grid=None, stretch=1.0, widths=None, **options):
    settings = {"stype": "X", "discretisation": "whole", "precision": 1e-10}
    return pairs.pdf(
        conditions,
        list((widths or WIDTHS).values()),
        grid or Grid(),
        stretch=stretch,
        **settings | options,
    )


def deviation(g, exact):
    return np.abs(g - exact).max() / np.abs(exact).max()


@pytest.mark.parametrize("stype", ["X", "N"])
@pytest.mark.parametrize(
    "law",
    [
        {},
        {"delta2": 3.0},
        {"delta2": 7.6},  # no width between neighbours of either kind
        {"delta1": 0.6, "delta2": 2.0, "qbroad": 0.02},
        {"delta1": 1.0, "delta2": -1.0},
        {"delta2": 7.6, "qbroad": 0.04, "qdamp": 0.05, "scale": 0.3},
    ],
)
def test_kept_pairs_give_the_same_curve(law, stype):
    x, symbols = ceria(6.5, 0.05)
    pairs = pairs_of(x, symbols)
    for stretch in (1.0, 1.02, 0.98):  # tables, then splines between them
        conditions = Conditions(0.0, qmin=0.8, qmax=22.0, **law)
        g = kept(pairs, conditions, stretch=stretch, stype=stype)
        exact = one_by_one(stretch * x, symbols, conditions, stype=stype)
        # Many near pairs that lost their width are gathered in cells.
        gathered = law.get("delta2", 0.0) > 7
        assert deviation(g, exact) < (1e-6 if gathered else 1e-9)


def test_plain_double_sum():
    """The definition itself, in NumPy, with X-ray factors that fall off."""
    x, symbols = ceria(4.0)
    conditions = Conditions(0.0, delta2=2.0, qmin=1.0, qmax=20.0)
    g = kept(pairs_of(x, symbols), conditions)
    ratio = 1 - 2.0 / 30.0**2
    _, dq, first, count, _ = qgrid.whole_range(
        0.013, ratio, 1.0, 20.0, 30.0, 0.0
    )
    q = np.arange(first, count) * dq
    f = form_factors.factors(symbols, q, "X")
    total = np.zeros(len(q))
    for i in range(len(x)):
        for j in range(i):
            d = np.linalg.norm(x[i] - x[j])
            w = (WIDTHS[symbols[i]] + WIDTHS[symbols[j]]) / 2
            wave = np.sin(q * d) / d * np.exp(-w * (1 - 2.0 / d**2) * q**2)
            total += 2 * f[symbols[i]] * f[symbols[j]] * wave
    mean = sum(f[s] for s in symbols) / len(symbols)
    f_of_q = total / (len(symbols) * mean**2)
    r = Grid().points()
    exact = 2 / np.pi * dq * np.sin(np.outer(r, q)) @ f_of_q
    # Between points of its transform the curve is read linearly.
    assert deviation(g, exact) < 1e-3


def test_native_pairs_beyond_the_range_are_left_out():
    x, symbols = ceria(6.5)
    conditions, grid = Conditions(0.0, delta2=2.0, qmax=20.0), Grid(rmax=5.0)
    options = {"discretisation": "native"}
    g = kept(pairs_of(x, symbols), conditions, grid, **options)
    exact = one_by_one(x, symbols, conditions, grid, **options)
    assert deviation(g, exact) < 1e-9


def test_gathered_distances_count_every_pair_once():
    x, symbols = ceria(16.0, 0.02)
    kind = np.array([s == "O" for s in symbols], dtype=int)
    assert len(x) > 1000
    found = distances.distances_by_kinds(x, kind)
    number = np.bincount(kind)
    assert found.keys() == {(0, 0), (0, 1), (1, 1)}
    assert found[0, 1][1].sum() == pytest.approx(number[0] * number[1])
    for k in (0, 1):
        pairs = number[k] * (number[k] - 1) / 2
        assert found[k, k][1].sum() == pytest.approx(pairs)
    d = np.linalg.norm(x[kind == 0][:, None] - x[kind == 1], axis=2).ravel()
    assert found[0, 1][0].min() == pytest.approx(d.min(), abs=1e-9)
    for power in (-1, 1, 2):
        assert found[0, 1][0] ** power @ found[0, 1][1] == pytest.approx(
            (d**power).sum(), rel=1e-9
        )


def test_gathered_distances_give_the_same_curve(monkeypatch):
    x, symbols = ceria(6.5, 0.05)
    monkeypatch.setattr(distances, "MANY_ATOMS", 10)
    conditions = Conditions(0.0, delta2=2.0)
    exact = one_by_one(x, symbols, conditions)
    assert deviation(kept(pairs_of(x, symbols), conditions), exact) < 1e-6


def test_slopes_of_uiso_and_stretch():
    """Differences between kept curves are the derivatives of the sum."""
    x, symbols = ceria(5.0, 0.05)
    pairs = pairs_of(x, symbols)
    at = torch.tensor(x, requires_grad=True)
    widths = torch.tensor([WIDTHS[s] for s in symbols], dtype=torch.float64)
    given = {"delta2": 2.0, "qmax": 20.0, "rmin": 2.0, "rmax": 8.0}

    def curve(z, u):
        shift = torch.tensor([s == "O" for s in symbols]) * u
        return mixed.mixed_pdf(
            z * at, symbols, u_iso=widths + shift, rstep=0.5, **given
        )

    one, none = (torch.tensor(v, dtype=torch.float64) for v in (1.0, 0.0))
    by_z, by_u = torch.autograd.functional.jacobian(curve, (one, none))

    def difference(step_z, step_u):
        ends = [
            kept(
                pairs,
                Conditions(0.0, delta2=2.0, qmax=20.0),
                Grid(2.0, 8.0, 0.5),
                1 + sign * step_z,
                WIDTHS | {"O": WIDTHS["O"] + sign * step_u},
            )
            for sign in (1, -1)
        ]
        return (ends[0] - ends[1]) / 2

    # Small steps: the Q grid must stay the same.
    step = 1e-6
    assert deviation(difference(step, 0.0) / step, by_z.numpy()) < 1e-5
    assert deviation(difference(0.0, step) / step, by_u.numpy()) < 1e-5


def structure_of(x, symbols):
    atoms = [
        Atom(s, at, Uisoequiv=WIDTHS[s])
        for s, at in zip(symbols, x, strict=True)
    ]
    return Structure(atoms, Lattice())


def test_what_changes_in_a_structure_is_noticed():
    x, symbols = ceria(4.0)
    structure = structure_of(x, symbols)
    calculator = DebyeCalculator()
    calculator(structure)

    def fresh():
        return DebyeCalculator()(structure)[1]

    structure[0].element, other = structure[-1].element, structure[0].element
    structure[-1].element = other
    assert deviation(calculator(structure)[1], fresh()) < 1e-9
    structure[3].Uisoequiv = 0.03  # one atom alone
    g = calculator(structure)[1]
    exact = mixed.mixed_pdf(
        torch.tensor(x),
        [a.element for a in structure],
        u_iso=torch.tensor(
            [a.Uisoequiv for a in structure], dtype=torch.float64
        ),
        rmax=10.0,
    ).numpy()
    assert deviation(g, exact) < 1e-9
    # Those at the surface are a kind of their own, until all differ.
    for atom in structure[: len(x) // 2]:
        atom.Uisoequiv = 0.02
    for _ in range(2):
        assert deviation(calculator(structure)[1], fresh()) < 1e-9
    for k, atom in enumerate(structure):
        atom.Uisoequiv = 0.005 + 0.001 * k
    assert deviation(calculator(structure)[1], fresh()) < 1e-9
    structure[2].x += 0.3
    assert deviation(calculator(structure)[1], fresh()) < 1e-9


def test_a_refinement_meets_the_pairs_once(monkeypatch):
    x, symbols = ceria(6.5)
    cluster = cb.Cluster(symbols, x)
    (pdf,) = cb.simulate([cluster], qdamp=0.03, biso=0.6, delta2=2.5)

    def refused(*_, **__):
        raise AssertionError("a sum over all pairs")

    monkeypatch.setattr(mixed, "evaluate", refused)
    pdf = dataclasses.replace(pdf, qdamp=None, qbroad=0.0)
    one = cb.refine(cluster, pdf, heldout=False)
    assert one.rw < 1e-4
    assert one.parameters["Ce_Uiso"][0] == pytest.approx(
        0.6 / (8 * np.pi**2), rel=1e-2
    )
    assert one.parameters["delta2"][0] == pytest.approx(2.5, rel=1e-2)
    assert one.parameters["qdamp"][0] == pytest.approx(0.03, rel=1e-2)


def test_errors_of_positions():
    x, symbols = ceria(4.0)
    with pytest.raises(CbldmError, match="stands twice"):
        pairs_of(np.concatenate([x, x[:1]]), [*symbols, "O"])
    with pytest.raises(CbldmError, match="NaN"):
        pairs_of(x * np.nan, symbols)
    assert not kept(pairs_of(x[:1], ["Ce"]), Conditions(0.0)).any()
