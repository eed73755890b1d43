"""Particles cut from any crystal: crystals, cuts, pair counts, answers."""

import dataclasses
import gzip
import json
import pathlib
from collections import Counter

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from pymatgen.analysis import prototypes
from pymatgen.core import Composition
from scipy.spatial.distance import pdist

import diffpy_cbldm as cb
from diffpy_cbldm.crystals.crystal import crystal_of, each_crystal
from diffpy_cbldm.crystals.crystal_cuts import (
    SHAPES,
    Cutter,
    centres,
    facet_families,
    shapes,
    trimmed,
)
from diffpy_cbldm.crystals.lattice_facts import LATTICES, UNVERIFIED
from diffpy_cbldm.crystals.pair_kernels import kind_moments, nested_pairs
from diffpy_cbldm.crystals.prototypes import (
    NAMES,
    PROTOTYPES,
    measured,
    prototypes_of,
)
from diffpy_cbldm.fitting.envelope import crystal_shells, fit_envelope
from diffpy_cbldm.fitting.pair_fit import (
    PairCurves,
    first_values,
    fit_cluster,
    fit_pairs,
)
from diffpy_cbldm.fitting.pair_shells import PairShells
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.formula import read_formula
from diffpy_cbldm.search import cut_screening
from diffpy_cbldm.search.by_cutting import crystals_for
from diffpy_cbldm.search.cut import NO_FIT, Cut
from diffpy_cbldm.solving.compositions import (
    as_asked,
    check_composition,
    is_compound,
)
from diffpy_cbldm.solving.compound_doubts import (
    bulk_doubts,
    mixture_notes,
    order_contrast,
)


def crystal(name, formula):
    found = prototypes_of(read_formula(formula).amounts)
    return next(c for c in found if c.name == name)


def cut(name, formula, atoms, seed=0, kind=None):
    """A particle of a prototype: elements and positions."""
    one = crystal(name, formula)
    rng = np.random.default_rng(seed)
    cutter = Cutter(one, (20, 2 * atoms), seed)
    for shape in shapes(one, 60, rng)[15:]:
        nest = cutter.nest(shape, 30, 0.5)
        if nest is not None and kind in (None, shape.kind):
            break
    end = int(nest.ends[np.abs(nest.ends - atoms).argmin()])
    elements = [one.elements[k] for k in nest.kind[:end]]
    return elements, nest.positions[:end]


def simulated(name, formula, atoms, rmax=18.0, **more):
    elements, positions = cut(name, formula, atoms, **more)
    (pdf,) = cb.simulate(
        [cb.Cluster(elements, positions)], rmax=rmax, qmin=1.0, biso=0.6
    )
    return dataclasses.replace(pdf, composition=formula), elements, positions


# Crystals


@pytest.mark.parametrize(
    "formula, name, atoms, distance",
    [
        ("NaCl", "rock salt", 8, 5.6402 / 2),
        ("CdSe", "zincblende", 8, 6.05 * 3**0.5 / 4),
        ("CsCl", "CsCl", 2, 4.123 * 3**0.5 / 2),
        ("CeO2", "fluorite", 12, 5.4117 * 3**0.5 / 4),
        ("ZnO", "wurtzite", 4, 1.952),
        ("TiO2", "rutile", 6, 1.948),
        ("TiO2", "anatase", 12, 1.934),
        ("TiO2", "brookite", 24, 1.863),
        ("Fe3O4", "spinel", 56, 8.394 * 3**0.5 * (0.38 - 0.25)),
        ("SrTiO3", "perovskite", 5, 3.905 / 2),
        ("Fe2O3", "corundum", 30, 1.944),
        ("Cu2O", "cuprite", 6, 4.2696 * 3**0.5 / 4),
        ("FePt", "L1_0", 2, (2.724**2 / 2 + 3.713**2 / 4) ** 0.5),
        ("Cu3Au", "L1_2", 4, 3.748 / 2**0.5),
    ],
)
def test_prototypes_have_the_atoms_and_bonds_of_the_compound(
    formula, name, atoms, distance
):
    one = crystal(name, formula)
    assert measured(one)
    assert len(one.sites) == atoms and one.ordered
    assert one.bonds.min() == pytest.approx(distance, abs=2e-3)
    amounts = read_formula(formula).amounts
    share = [amounts[e] / sum(amounts.values()) for e in one.elements]
    np.testing.assert_allclose(one.fractions, share)


def test_the_table_of_lattices_names_what_prototypes_are_called():
    assert UNVERIFIED < set(LATTICES)
    for name, formula in LATTICES:
        assert name in NAMES
        # Else it would never be found.
        assert Composition(formula).reduced_formula == formula


def test_lattices_agree_with_the_aflow_prototypes():
    """Volumes of an atom, so that the setting of the cell does not matter."""
    path = pathlib.Path(prototypes.__file__).parent
    packed = (path / "aflow_prototypes.json.gz").read_bytes()
    known = {}
    for entry in json.loads(gzip.decompress(packed)):
        sites = entry["snl"]["sites"]
        names = [s["species"][0]["element"] for s in sites]
        formula = Composition(Counter(names)).reduced_formula
        group = int(entry["tags"]["aflow"].split("_")[2])
        volume = entry["snl"]["lattice"]["volume"] / len(sites)
        known[group, formula] = volume
    compared = []
    for name, formula in LATTICES:
        group = next(p.group for p in PROTOTYPES if p.name == name)
        there = known.get((group, formula))
        # That of CsCl is another, and that of brookite has a wrong edge b.
        if there is None or name in ("CsCl", "brookite"):
            continue
        one = crystal(name, formula)
        own = abs(np.linalg.det(one.cell)) / one.shares.sum()
        assert own == pytest.approx(there, rel=0.007), (name, formula)
        compared.append(name)
    assert len(compared) >= 9


def test_who_shares_a_site():
    alloy = crystal("fcc", "Pt0.7Au0.3")
    assert not alloy.ordered and alloy.elements == ("Au", "Pt")
    np.testing.assert_allclose(alloy.fractions, [0.3, 0.7])
    doped = crystal("fluorite", "Ce0.9Gd0.1O2")
    np.testing.assert_allclose(doped.fractions, [0.3, 1 / 30, 2 / 3])
    spinel = crystal("spinel", "Fe2O3")  # with vacancies
    assert spinel.shares.sum() == pytest.approx(32 * 5 / 3)
    names = {c.name for c in prototypes_of({"Pt": 1, "Ni": 1})}
    assert names == {"L1_0", "B2", "fcc", "bcc", "hcp"}
    assert prototypes_of(read_formula("Bi38O45").amounts) == []
    # Of two sites the larger metals share one: no corundum of all of them.
    (mixed,) = prototypes_of(read_formula("La0.7Sr0.3MnO3").amounts)
    assert mixed.name == "perovskite"
    (large,) = np.flatnonzero(mixed.shares[:, mixed.elements.index("La")])
    assert dict(zip(mixed.elements, mixed.shares[large])) == pytest.approx(
        {"La": 0.7, "Sr": 0.3, "Mn": 0, "O": 0}
    )
    assert mixed.bonds[1, 2] < 2.2 < mixed.bonds[0, 2]  # Mn-O, La-O
    (ferrite,) = prototypes_of(read_formula("Zn0.5Ni0.5Fe2O4").amounts)
    assert ferrite.name == "spinel" and ferrite.shares.sum() == 56


def test_crystals_of_other_libraries_are_one(tmp_path):
    from diffpy.structure import loadStructure
    from pymatgen.io.ase import AseAtomsAdaptor

    rutile = crystal("rutile", "IrO2")
    structure = rutile.to_pymatgen()
    path = tmp_path / "rutile.cif"
    structure.to(filename=str(path))
    given = [
        str(path),
        path,
        structure,
        AseAtomsAdaptor.get_atoms(structure),
        loadStructure(str(path)),
    ]
    for one in map(crystal_of, given):
        assert one.formula == "IrO2"
        assert one.volume == pytest.approx(rutile.volume, rel=1e-5)
        np.testing.assert_allclose(one.bonds, rutile.bonds, atol=1e-4)
    assert crystal_of(path).name == "rutile"


def test_what_is_no_crystal_is_refused(tmp_path):
    cluster = cb.Cluster(*cut("fluorite", "CeO2", 60))
    with pytest.raises(cb.CbldmError, match="in a box"):
        crystal_of(cluster.to_pymatgen(boxed=True))
    with pytest.raises(cb.CbldmError, match="no such file"):
        crystal_of(tmp_path / "none.cif")
    with pytest.raises(cb.CbldmError, match="not periodic"):
        crystal_of(cluster.to_ase())
    with pytest.raises(cb.CbldmError, match="of the type int"):
        crystal_of(3)


# Cuts


def test_atoms_that_fill_no_space_are_no_crystal():
    with pytest.raises(cb.CbldmError, match="no atoms"):
        crystal_of(Atoms(cell=[3, 3, 3], pbc=True))
    with pytest.raises(cb.CbldmError, match="set pbc=True and the cell"):
        crystal_of(Atoms("CdSe", [(0, 0, 0), (1, 1, 1)], pbc=True))


def test_one_crystal_stands_for_itself(tmp_path):
    cell = bulk("CdSe", "zincblende", a=6.05)
    assert each_crystal(cell) == (cell,)
    assert each_crystal("a.cif") == ("a.cif",)
    found = crystal_of(cell)
    assert each_crystal(found) == (found,)
    assert each_crystal([cell, found]) == (cell, found)
    with pytest.raises(cb.CbldmError, match="type int"):
        crystal_of(each_crystal(3)[0])


def test_crystals_of_one_name_are_told_apart():
    pdf = cb.PDFData(np.arange(1, 9, 0.02), np.arange(400.0))
    cells = [
        bulk("CdSe", "zincblende", a=6.05),
        bulk("CdSe", "rocksalt", a=5.5),
    ]
    first, second = crystals_for(pdf, cells)
    assert [first.name, second.name] == ["CdSe", "CdSe (2)"]
    assert second.volume == pytest.approx(5.5**3 / 4)


def test_oxygen_stands_on_no_place_of_a_metal():
    for formula in ("V2O5", "OsO4", "Ce47O112"):
        assert prototypes_of(read_formula(formula).amounts) == []
    (found,) = prototypes_of(read_formula("GeCo2O4").amounts)
    assert found.name == "spinel"


def test_the_composition_of_a_particle_asks_for_that_of_its_crystal():
    pdf = cb.PDFData(
        np.arange(1, 9, 0.02), np.arange(400.0), composition="Cd41Se37"
    )
    with pytest.raises(cb.CbldmError, match="Cd41Se37.*--composition CdSe"):
        crystals_for(pdf)


def test_facets_are_those_of_the_point_group():
    cubic = dict(facet_families(crystal("fluorite", "CeO2")))
    assert {k: len(v) for k, v in list(cubic.items())[:3]} == {
        "{100}": 6,
        "{110}": 12,
        "{111}": 8,
    }
    # The two ends of a bond along [111] differ.
    polar = dict(facet_families(crystal("zincblende", "CdSe")))
    assert len(polar["{111}"]) == 4 == len(polar["{11-1}"])
    for normals in cubic.values():
        np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1)


def test_particles_of_a_shape_hold_one_another():
    one = crystal("rutile", "IrO2")
    rng = np.random.default_rng(3)
    cutter = Cutter(one, (20, 400), 0)
    some = shapes(one, 40, rng)
    assert {shape.kind for shape in some} == set(SHAPES)
    for shape in some:
        nest = cutter.nest(shape, 6, 0.5)
        assert nest.ends[0] >= 20 and nest.ends[-1] <= 400
        level = shape.gauge(nest.positions)
        assert (np.diff(level) >= 0).all()
        # A shell of equal gauges joins as a whole.
        inner = nest.ends[nest.ends < len(level)]
        assert (level[inner] - level[inner - 1] > 1e-7).all()
        # Nothing is missing inside: as many atoms as all that lie there.
        end = int(nest.ends[-1])
        x, _ = one.ball(shape.centre, 40.0)
        assert (shape.gauge(x) <= level[end - 1] + 1e-9).sum() == end


def test_cuts_are_the_same_for_a_seed():
    one = crystal("fcc", "PtNi")  # drawn atoms
    first, again, other = (
        Cutter(one, (20, 300), seed).nest(
            shapes(one, 30, np.random.default_rng(1))[25], 4, 0.1
        )
        for seed in (5, 5, 6)
    )
    np.testing.assert_array_equal(first.positions, again.positions)
    np.testing.assert_array_equal(first.kind, again.kind)
    assert (first.kind != other.kind).any()


def test_a_crystal_has_more_than_five_thousand_cuts():
    assert cut_screening.FAMILIES * cut_screening.SIZES > 5000
    one = crystal("zincblende", "CdSe")
    assert len(centres(one)) >= 6


def test_trimming_takes_off_atoms_of_one_bond():
    one = crystal("zincblende", "CdSe")
    x, site = one.ball(np.zeros(3), 11.0)
    kind = one.shares.argmax(1)[site]
    inside = np.linalg.norm(x, axis=1) < 8.0
    bonded = np.linalg.norm(x[:, None] - x, axis=2) < 1.1 * one.bonds.min()
    # Sites next to one atom of the ball alone; one of them is filled.
    loose = np.flatnonzero(~inside & ((bonded & inside).sum(1) == 1))[0]
    some = np.append(np.flatnonzero(inside), loose)
    kept = trimmed(one, x[some], kind[some])
    assert kept[:-1].all() and not kept[-1]


# Pairs


def test_pairs_are_those_of_all_atoms():
    elements, x = cut("rutile", "IrO2", 90)
    kind = np.array([e == "O" for e in elements]).astype(np.int64)
    d = np.linalg.norm(x[:, None] - x, axis=2)
    i, j = np.triu_indices(len(x), 1)
    code = kind[i] + kind[j]  # Ir-Ir 0, Ir-O 1, O-O 2
    moments = kind_moments(x, kind, 0.02, 2000, 2)
    for k in range(3):
        told = np.histogram(d[i, j][code == k], np.arange(2001) * 0.02)[0]
        # By rounding, a distance may stand on either side of an edge.
        assert np.abs(moments[k, :, 0] - told).sum() <= 4
        total = (np.arange(2000) * moments[k, :, 0] + moments[k, :, 1]).sum()
        assert 0.02 * total == pytest.approx(d[i, j][code == k].sum())
    ends = np.array([20, 55, len(x)])
    gained = nested_pairs(x, kind, ends, 1e3, 0.04, (2, 1000))
    for end, pairs in zip(ends, gained.cumsum(0)):
        inside = (i < end) & (j < end)
        for k in range(3):
            assert pairs[k].sum() == pytest.approx(
                (inside & (code == k)).sum(), rel=1e-5
            )
    # Every so many-th atom tells nearly the same of larger particles.
    few = nested_pairs(x, kind, ends, 30.0, 0.04, (2, 1000)).sum((0, 1))
    assert few.sum() == pytest.approx(len(i), rel=0.1)


def test_the_shells_of_a_crystal_are_its_neighbours():
    shells = crystal_shells(crystal("fluorite", "CeO2"), 12.0)
    ce_ce, ce_o, o_o = shells.shells
    # Each Ce has 12 Ce and 8 O, each O 4 Ce and 6 O.
    assert ce_ce.weight[0] == pytest.approx(12 / 3)
    assert ce_o.weight[0] == pytest.approx((8 + 2 * 4) / 3)
    assert o_o.weight[0] == pytest.approx(6 * 2 / 3)
    assert ce_ce.distance[0] == pytest.approx(5.4117 / 2**0.5)


@pytest.mark.parametrize("stype", ["X", "N"])
def test_the_quick_curve_is_the_debye_equation(stype):
    import torch

    from diffpy_cbldm.debye.mixed import mixed_pdf

    elements, x = cut("zincblende", "CdSe", 80)
    r = np.arange(1.0, 20.0, 0.01)
    told = {"Cd": 0.011, "Se": 0.017, "delta2": 3.0, "qdamp": 0.03}
    g = mixed_pdf(
        torch.tensor(x),
        elements,
        u_iso=torch.tensor([told[e] for e in elements]),
        stype=stype,
        qmin=1.0,
        qmax=22.0,
        qdamp=0.03,
        delta2=3.0,
        rmax=20.0,
        rmin=1.0,
    )[: len(r)]
    pdf = cb.PDFData(
        r, g.numpy(), composition="CdSe", qmin=1.0, qmax=22.0, stype=stype
    )
    curves = PairCurves(Target.of(pdf, 1.5, 20.0), ["Cd", "Se"])
    particle = PairShells.of(elements, x, curves.reach)
    values = told | {"stretch": 1.0}
    made, slopes = curves.at(particle, values)
    # The Q grid is that of the start's Uiso, a little beside this one.
    assert np.linalg.norm(made - curves.data) < 0.02
    for name, slope in slopes.items():
        ends = [
            curves.at(particle, values | {name: values[name] + h})[0]
            for h in (1e-5, -1e-5)
        ]
        near = (ends[0] - ends[1]) / 2e-5
        assert np.abs(near - slope).max() < 1e-4 * np.abs(near).max(), name


def test_a_fit_finds_what_the_curve_was_made_of():
    pdf, elements, x = simulated("wurtzite", "CdSe", 90)
    fit = fit_cluster(elements, 1.01 * x, Target.of(pdf))
    assert fit.rw < 0.01
    assert fit.stretch == pytest.approx(1 / 1.01, abs=1e-3)
    assert fit.uiso["Cd"] == pytest.approx(0.6 / (8 * np.pi**2), abs=2e-3)


# Answers


@pytest.fixture
def few(monkeypatch):
    """A smaller screening, for the sake of time."""
    monkeypatch.setattr(cut_screening, "FAMILIES", 90)
    monkeypatch.setattr(cut_screening, "SECOND", 12)
    monkeypatch.setattr(cut_screening, "NEAR", 8)
    monkeypatch.setattr(cut_screening, "ROUNDS", 1)


@pytest.mark.parametrize("name", ["zincblende", "wurtzite"])
def test_zincblende_and_wurtzite_are_told_apart(name):
    pdf, _, _ = simulated(name, "CdSe", 150, seed=4)
    target = Target.of(pdf)
    fits = {
        c.name: fit_envelope(c, target)[1].rw
        for c in crystals_for(pdf)
        if c.name in ("zincblende", "wurtzite")
    }
    assert min(fits, key=fits.__getitem__) == name


def test_a_crystal_of_unknown_lattice_is_scaled_to_the_data():
    pdf, _, _ = simulated("fluorite", "CeO2", 200)
    guess = crystal("fluorite", "CeO2").scaled(0.87)
    found, fit = fit_envelope(guess, Target.of(pdf), wide=True)
    assert found.edges[0] == pytest.approx(5.4117, rel=5e-3)
    assert fit.a == found.edges[0] and fit.rw < 0.3
    assert fit.n_atoms == pytest.approx(200, rel=0.5)


def test_a_particle_is_found_again(few, tmp_path):
    """Composition alone: the crystal, the size, and every output."""
    pdf, elements, x = simulated(
        "zincblende", "CdSe", 70, seed=2, kind="polyhedron"
    )
    sol = cb.solve(pdf, count=8, refine=1)
    best = sol.candidates[0]
    assert best.structure_type == "zincblende" == sol.crystals[0].name
    assert best.rw < 0.08 and best.rw < sol.crystal.rw
    assert len(best) == pytest.approx(len(x), rel=0.15)
    assert set(best.uiso) == {"Cd", "Se"}
    assert {c.name for c in sol.crystals} == {
        *("zincblende", "wurtzite", "rock salt", "CsCl"),
    }
    said = sol.explain()
    assert "Crystals that were tried" in said and best.composition in said
    assert sol.settings["generators"] == "cut"
    assert cb.Solution.from_dict(sol.as_dict()).crystals == sol.crystals
    from diffpy_cbldm.output.results import result
    from diffpy_cbldm.output.tables import crystals_table, table

    assert "zincblende" in crystals_table(sol) and "Se_Uiso" in table(sol)
    assert result(sol, "x")["crystals"][0]["name"] == "zincblende"
    best.write_cif(tmp_path / "dot.cif")
    best.write_stru(tmp_path / "dot.stru")
    assert cb.Cluster.from_diffpy(best.to_diffpy()).composition == (
        best.composition
    )


def test_atoms_that_are_missing_at_the_surface_are_found():
    one = crystal("zincblende", "CdSe")
    shape = shapes(one, 1, np.random.default_rng(0))[0]  # a sphere
    nest = Cutter(one, (20, 200), 0).nest(shape, 8, 0.5)
    end = int(nest.ends[nest.ends > 90][0])
    x, kind = nest.positions[:end], nest.kind[:end]
    d = np.linalg.norm(x[:, None] - x, axis=2)
    bonded = (d > 0) & (d < 1.1 * one.bonds.min())
    # Atoms of two bonds, whose neighbours keep two without them.
    loose = [
        k
        for k in np.flatnonzero(bonded.sum(1) == 2)
        if bonded[bonded[k]].sum(1).min() > 2
    ][:2]
    left = np.setdiff1d(np.arange(end), loose)
    elements = np.array([one.elements[k] for k in kind])
    (pdf,) = cb.simulate(
        [cb.Cluster(list(elements[left]), x[left])], rmax=20.0, qmin=1.0
    )
    target = Target.of(dataclasses.replace(pdf, composition="CdSe"))
    _, sphere = fit_envelope(one, target)
    screening = cut_screening.Screening(one, target, sphere, 0)
    whole = Cut("sphere", tuple(elements), x, NO_FIT)
    values = fit_pairs(
        screening._shells(whole),
        screening.few,
        first_values(target, one.elements),
    )
    found, _ = screening._edited(shape.centre, whole, values)
    assert len(loose) == 2 == found.edited and found.whole == end
    # Others that symmetry carries them to are as good.
    np.testing.assert_allclose(
        np.sort(pdist(found.positions)), np.sort(pdist(x[left])), atol=1e-6
    )
    assert found.fit.rw < 0.01


def test_crystals_may_be_given_for_one_element(few):
    import ase.build

    gold = ase.build.bulk("Au", "fcc", a=4.08, cubic=True)
    x, _ = crystal_of(gold).ball(np.zeros(3), 6.0)
    (pdf,) = cb.simulate([cb.Cluster("Au", x)], rmax=18.0, qmin=1.0)
    pdf = dataclasses.replace(pdf, composition="Au")
    found = cb.propose(pdf, generators="cut", count=3, crystals=[gold])
    assert {c.generator for c in found} == {"cut"}
    assert any(len(c) == len(x) for c in found)
    with pytest.raises(cb.CbldmError, match="expected a crystal"):
        cb.propose(pdf, generators="cut")
    with pytest.raises(cb.CbldmError, match="the same elements"):
        crystals_for(pdf, [crystal("rutile", "IrO2")])


def test_a_metal_is_no_answer_for_a_compound():
    for formula in ("CeO2", "Cd Se", "PtNi", "Pt0.5Ni0.5", "Cu2O"):
        assert read_formula(formula).compound, formula
    for formula in (
        "Pt",
        "Au144(SC2H4Ph)60",
        "Au144S60",
        "Pt/C",
        "Pt@SiO2",
        "Au25S18",
    ):
        assert not read_formula(formula).compound, formula
    r = np.arange(1, 20, 0.01)
    pdf = cb.PDFData(r, np.sin(r), composition="Bi38O45", qmin=1, qmax=20)
    with pytest.raises(cb.CbldmError, match="--sublattice"):
        cb.solve(pdf)
    with pytest.raises(cb.CbldmError, match="one of the elements of"):
        cb.solve(pdf, sublattice="Pt")
    with pytest.raises(cb.CbldmError, match="covers one element"):
        _ = pdf.element


def test_a_crystal_tells_the_composition():
    r = np.arange(1, 20, 0.01)
    pdf = cb.PDFData(r, np.sin(r), qmin=1, qmax=20)
    rutile = crystal("rutile", "IrO2")
    known, notes = as_asked(pdf, [rutile], None)
    assert known.composition == "IrO2" and not notes
    assert is_compound(known, [rutile]) and not is_compound(
        dataclasses.replace(pdf, composition="Ir")
    )
    told = dataclasses.replace(pdf, composition="Bi38O45")
    heavy, notes = as_asked(told, (), "Bi")
    assert heavy.element == "Bi" and "Bi atoms of Bi38O45 alone" in notes[0]
    with pytest.raises(cb.CbldmError, match="not given"):
        check_composition(pdf, (), None)


def test_a_particle_beyond_the_data_is_at_least_so_large():
    pdf, elements, x = simulated("fluorite", "CeO2", 300, rmax=12.0)
    target = Target.of(pdf)
    _, sphere = fit_envelope(crystal("fluorite", "CeO2"), target)
    best = cb.Candidate(elements, x, structure_type="fluorite")
    (text,) = bulk_doubts(best, sphere, target)
    assert "a diameter of at least that" in text
    small = dataclasses.replace(sphere, diameter=8.0)
    few = cb.Candidate(elements[:30], x[:30])
    assert bulk_doubts(few, small, target) == []


def test_order_that_the_contrast_cannot_tell():
    r = np.arange(1, 20, 0.01)
    pdf = cb.PDFData(r, np.sin(r), composition="PtAu", qmin=1, qmax=20)
    target = Target.of(pdf)
    x = np.arange(12.0).reshape(-1, 3) * 3
    alike = cb.Candidate(("Pt", "Au") * 2, x, structure_type="fcc")
    notes = mixture_notes(alike, ("fcc",), target, 7)
    assert len(notes) == 2
    assert "drawn at random (seed 7)" in notes[0]
    assert "cannot tell an ordered arrangement" in notes[1]
    # (f_a - f_b)^2 over 4 <f>^2 of half and half, here nearly of Z.
    share = order_contrast(("Pt", "Ni"), target)
    assert share == pytest.approx((50 / 106) ** 2, rel=0.1)
