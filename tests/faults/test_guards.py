"""The same guard at every door through which a structure comes in."""

from pathlib import Path

import ase
import ase.io
import numpy as np
import pytest
from ase.build import bulk, molecule
from diffpy.structure import Atom, Lattice
from diffpy.structure import Structure as DiffpyStructure
from pymatgen.core import Molecule
from pymatgen.core import Structure as Crystal

import diffpy_cbldm as cb
from diffpy_cbldm.cluster import Cluster
from diffpy_cbldm.clusterfile import read_cluster
from diffpy_cbldm.commands import cbldm_simulate
from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.renames import modern

FIELD = Path(__file__).parents[1] / "data" / "field"

PT13 = 1.96 * np.array(
    [
        (x, y, z)
        for x in (-1, 0, 1)
        for y in (-1, 0, 1)
        for z in (-1, 0, 1)
        if abs(x) + abs(y) + abs(z) in (0, 2)
    ],
    float,
)


def spectrum(positions):
    """All distances, sorted: what does not change under motion."""
    offsets = positions[:, None] - positions[None]
    return np.sort(np.linalg.norm(offsets, axis=-1).ravel())


def doors(symbols, positions, cell, folder):
    """The same periodic cell through each door, as calls."""
    inverse = np.linalg.inv(cell)
    fractional = positions @ inverse % 1.0
    inside = fractional @ cell
    atoms = ase.Atoms(symbols, inside, cell=cell, pbc=True)
    ase.io.write(folder / "a.extxyz", atoms, format="extxyz")
    (folder / "a.xyz").write_text((folder / "a.extxyz").read_text())
    Crystal(cell, symbols, fractional).to(str(folder / "a.cif"), fmt="cif")
    stru = DiffpyStructure(
        [Atom(s, xyz=x) for s, x in zip(symbols, fractional, strict=True)],
        lattice=Lattice(base=cell),
    )
    return {
        "xyz": lambda: read_cluster(folder / "a.xyz"),
        "cif": lambda: read_cluster(folder / "a.cif"),
        "ase": lambda: Cluster.from_ase(atoms),
        "diffpy": lambda: Cluster.from_diffpy(stru),
        "pymatgen": lambda: Cluster.from_pymatgen(
            Crystal(cell, symbols, fractional)
        ),
        "simulate": lambda: cb.simulate(atoms, rmax=12)[0],
    }


DOORS = ["xyz", "cif", "ase", "diffpy", "pymatgen", "simulate"]


@pytest.mark.parametrize("door", DOORS)
def test_crystals_are_refused_in_the_same_words(door, tmp_path):
    crystal = bulk("Pt", cubic=True)
    call = doors(["Pt"] * 4, crystal.positions, crystal.cell.array, tmp_path)
    with pytest.raises(CbldmError, match="empty space.*cut into a cluster"):
        call[door]()


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(
    "cell, shift",
    [
        (20 * np.eye(3), (0, 0, 0)),
        (20 * np.eye(3), (19, -3, 5)),
        (np.array([[14.0, 0, 0], [3, 15, 0], [0, 2, 16]]), (1, 14, 0)),
    ],
)
def test_clusters_that_a_cell_cuts_are_joined(door, cell, shift, tmp_path):
    call = doors(["Pt"] * 13, PT13 + shift, cell, tmp_path)[door]
    if door == "simulate":
        (free,) = cb.simulate(Cluster("Pt", PT13), rmax=12)
        np.testing.assert_allclose(call().g, free.g, atol=1e-5)
    else:
        np.testing.assert_allclose(
            spectrum(call().positions), spectrum(PT13), atol=1e-4
        )


@pytest.mark.parametrize("door", DOORS[:-1])
def test_pieces_far_apart_are_joined_in_a_large_box(door, tmp_path):
    pair = np.array([[-3.0, 0, 0], [3.0, 0, 0]])
    call = doors(["Pt", "Pt"], pair, 60 * np.eye(3), tmp_path)[door]
    np.testing.assert_allclose(spectrum(call().positions)[-1], 6, atol=1e-4)


def partly(folder):
    cell = 20 * np.eye(3)
    lines = "".join(
        f"Pt{k} Pt {x[0]} {x[1]} {x[2]} {0.5 if k == 3 else 1}\n"
        for k, x in enumerate(PT13 / 20 + 0.5)
    )
    (folder / "a.cif").write_text(
        "data_a\n"
        + "".join(f"_cell_length_{x} 20\n" for x in "abc")
        + "".join(f"_cell_angle_{x} 90\n" for x in ("alpha", "beta", "gamma"))
        + "loop_\n_atom_site_label\n_atom_site_type_symbol\n"
        + "".join(f"_atom_site_fract_{x}\n" for x in "xyz")
        + "_atom_site_occupancy\n"
        + lines
    )
    (folder / "a.xyz").write_text(
        "2\nProperties=species:S:1:pos:R:3:occupancy:R:1\n"
        "Pt 0 0 0 1\nPt 0 0 2.8 0.5\n"
    )
    alloy = Crystal(cell, [{"Pt": 0.5, "Au": 0.5}], [[0.5, 0.5, 0.5]])
    return {
        "xyz": lambda: read_cluster(folder / "a.xyz"),
        "cif": lambda: read_cluster(folder / "a.cif"),
        "ase": lambda: Cluster.from_ase(ase.io.read(folder / "a.cif")),
        "diffpy": lambda: Cluster.from_diffpy(
            DiffpyStructure([Atom("Pt", xyz=[0, 0, 0], occupancy=0.5)])
        ),
        "pymatgen": lambda: Cluster.from_pymatgen(alloy),
    }


@pytest.mark.parametrize("door", DOORS[:-1])
def test_parts_of_atoms_are_refused_in_the_same_words(door, tmp_path):
    with pytest.raises(
        CbldmError, match="disordered or partly occupied .*order the struct"
    ):
        partly(tmp_path)[door]()


def test_isotopes_stay_what_they_are(tmp_path):
    symbols = ("D", "13-C", "C", "T", "H")
    places = 2.0 * np.arange(15).reshape(5, 3)
    cluster = Cluster(symbols, places)
    cluster.write_xyz(tmp_path / "a.xyz")
    back = {
        "xyz": read_cluster(tmp_path / "a.xyz"),
        "ase": Cluster.from_ase(cluster.to_ase()),
        "diffpy": Cluster.from_diffpy(cluster.to_diffpy()),
        "pymatgen": Cluster.from_pymatgen(cluster.to_pymatgen()),
        "boxed": Cluster.from_pymatgen(cluster.to_pymatgen(boxed=True)),
        "named": Cluster(["2-H", "13C", "C", "3-H", "1-H"], places),
    }
    for door, again in back.items():
        assert again.elements == symbols, door
    (heavy,) = cb.simulate(cluster, stype="N", rmax=12)
    (light,) = cb.simulate(
        Cluster(["H", "C", "C", "H", "H"], places), stype="N", rmax=12
    )
    assert np.abs(heavy.g - light.g).max() > 0.1
    assert cluster.composition == "(13-C)CDHT"
    assert heavy.composition == "(13-C)CDHT"


def test_deuterium_of_a_cif_file(tmp_path):
    text = (FIELD / "p1_setting.cif").read_text()
    (tmp_path / "a.cif").write_text(text.replace("Pt1 Pt", "D1 D"))
    assert read_cluster(tmp_path / "a.cif").elements[0] == "D"
    atoms = ase.Atoms("H2", [[0, 0, 0], [0, 0, 3]])
    atoms.set_masses([2.014, None])
    assert Cluster.from_ase(atoms).elements == ("D", "H")
    # Masses that a simulation made heavier are no isotopes.
    atoms = molecule("H2O")
    atoms.set_masses([15.9, 1.5, 1.5])
    assert Cluster.from_ase(atoms).elements == ("O", "H", "H")


@pytest.mark.parametrize(
    "label", ["Pt", "PT", "pt", "Pt1", "pt12", "Pt4+", "Pt_a", "Pt(1)"]
)
def test_labels_that_name_an_element(label, tmp_path):
    (tmp_path / "a.xyz").write_text(f"2\n\n{label} 0 0 0\n{label} 0 0 2.8\n")
    assert read_cluster(tmp_path / "a.xyz").elements == ("Pt", "Pt")
    assert Cluster(label, [[0, 0, 0]]).elements == ("Pt",)
    stru = DiffpyStructure([Atom(label, xyz=[0, 0, 0])])
    assert Cluster.from_diffpy(stru).elements == ("Pt",)
    text = (FIELD / "p1_setting.cif").read_text()
    (tmp_path / "a.cif").write_text(text.replace(" Pt ", f" {label} "))
    assert set(read_cluster(tmp_path / "a.cif").elements) == {"Pt"}


@pytest.mark.parametrize("label", ["Qq", "X", "Q1", "1Pt", "400-Pt", "Du"])
def test_labels_that_name_none_are_refused_with_their_line(label, tmp_path):
    (tmp_path / "a.xyz").write_text(f"2\n\nPt 0 0 0\n{label} 0 0 2.8\n")
    with pytest.raises(CbldmError, match=f"element '{label}' in line 4"):
        read_cluster(tmp_path / "a.xyz")


# Files


STRUCTURES = {
    "charge_before_pos.xyz": None,
    "labels.xyz": None,
    "fortran_d.xyz": None,
    "lines_after_atoms.xyz": None,
    "p1_setting.cif": None,
    "two_blocks.cif": r"2 blocks hold atoms \(first, \w+\); expected one",
}


def test_every_structure_of_the_field_is_covered():
    files = {p.name for p in FIELD.iterdir() if p.suffix in (".xyz", ".cif")}
    assert files == set(STRUCTURES)


@pytest.mark.parametrize("name", STRUCTURES)
def test_field_file(name, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    message = STRUCTURES[name]
    code = cbldm_simulate.main([str(FIELD / name), "--rmax=12"])
    if message is not None:
        with pytest.raises(CbldmError, match=message):
            read_cluster(FIELD / name)
        assert code == 1 and name in capfd.readouterr().err
        return
    assert code == 0
    cluster = read_cluster(FIELD / name)
    np.testing.assert_allclose(
        spectrum(cluster.positions), spectrum(PT13), atol=1e-6
    )
    if name.endswith(".xyz"):
        assert {tuple(x) for x in cluster.positions.round(6)} == {
            tuple(x) for x in PT13.round(6)
        }
    assert cluster.elements == ("Pt",) * 13


def test_free_cluster_in_a_cif_of_ase(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ase.io.write("a.cif", ase.Atoms("Pt13", PT13))
    np.testing.assert_allclose(
        spectrum(read_cluster("a.cif").positions), spectrum(PT13), atol=1e-6
    )
    assert cbldm_simulate.main(["a.cif", "--rmax=12"]) == 0
    assert cb.read_pdf("a.gr").composition == "Pt13"


def test_cell_of_one_angstrom(tmp_path):
    stru = Cluster("Pt", PT13).to_diffpy()
    (tmp_path / "a.cif").write_text(modern(stru).write_structure("cif"))
    cluster = read_cluster(tmp_path / "a.cif")
    np.testing.assert_allclose(
        spectrum(cluster.positions), spectrum(PT13), atol=1e-5
    )
    wrapped = Crystal(np.eye(3), ["Pt"] * 13, PT13 / 7 % 1.0)
    with pytest.raises(CbldmError, match="a cell of 1 A, as diffpy.structure"):
        Cluster.from_pymatgen(wrapped)


def test_symmetry_operations_and_cells_that_are_missing(tmp_path):
    head = (FIELD / "p1_setting.cif").read_text()
    text = head.partition("Pt1 Pt")[0] + "Pt1 Pt 0.549 0.549 0.5\n"
    turned = text.replace("'x,y,z'", "'x,y,z'\n'-x,-y,z'\n'-y,x,z'\n'y,-x,z'")
    (tmp_path / "a.cif").write_text(turned)
    assert len(read_cluster(tmp_path / "a.cif")) == 4
    lines = [ln for ln in head.splitlines() if "_cell_" not in ln]
    (tmp_path / "b.cif").write_text("\n".join(lines))
    with pytest.raises(
        CbldmError, match="b.cif: fractional .* without a cell"
    ):
        read_cluster(tmp_path / "b.cif")
    (tmp_path / "c.cif").write_text(text.replace("0.549 0.549", "? ?"))
    with pytest.raises(CbldmError, match="site 0 is at .*numbers"):
        read_cluster(tmp_path / "c.cif")


@pytest.mark.parametrize(
    "text, message",
    [
        ("2\n\nPt 0 0 0\nPt 0 0 zero\n", "line 4, 'Pt 0 0 zero', is no atom"),
        ("2\n\nPt 0 0 0\n\nPt 0 0\n", "line 5, 'Pt 0 0', is no atom"),
        ("2\n\nPt 0 0 0\n", "1 atoms found, 2 announced"),
        ("1\n\nPt 0 0 0\nPt 0 0 3\n", "2 atoms found, 1 announced"),
        ("1\n\nPt 0 0 0\n1\n\nPt 0 0 1\n", "line 4 begins another frame"),
        ("1\na\nPt 0 0 0\nend\n1\nb\nPt 0 0 1\n", "line 5 begins another"),
        ("two\n\nPt 0 0 0\n", "line 1 is 'two'"),
        ("1\nProperties=pos:R:3\n0 0 0\n", "no species or no pos"),
        ("1\nProperties=species:S:1\nPt\n", "no species or no pos"),
        ('1\nLattice="1 2 3"\nPt 0 0 0\n', "expected nine numbers"),
    ],
)
def test_faults_of_xyz_files(text, message, tmp_path):
    (tmp_path / "a.xyz").write_text(text)
    with pytest.raises(CbldmError, match=message) as caught:
        read_cluster(tmp_path / "a.xyz")
    assert "a.xyz" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "order",
    ["pos:R:3:species:S:1", "id:I:1:species:S:1:forces:R:3:pos:R:3"],
)
def test_columns_of_extended_xyz(order, tmp_path):
    widths = order.split(":")
    row = {"pos": "{} {} {}", "species": "Pt", "id": "7", "forces": "9 8 7"}
    form = " ".join(row[name] for name in widths[::3])
    body = "\n".join(form.format(*x) for x in PT13)
    (tmp_path / "a.xyz").write_text(f"13\nProperties={order}\n{body}\n")
    cluster = read_cluster(tmp_path / "a.xyz")
    np.testing.assert_allclose(cluster.positions, PT13)


def test_molecules_and_free_atoms_need_no_cell():
    for given in (
        Molecule(["Pt"] * 13, PT13, charge_spin_check=False),
        ase.Atoms("Pt13", PT13, cell=[8, 8, 8], pbc=False),
    ):
        (pdf,) = cb.simulate(given, rmax=12)
        assert pdf.composition == "Pt13"


def test_srfit_names_no_isotopes_but_those_of_hydrogen():
    places = [[0, 0, 0], [0, 0, 2.5], [0, 2.6, 0]]
    cluster = Cluster(["D", "Pt", "Pt"], places)
    (pdf,) = cb.simulate(cluster, stype="N", rmax=12)
    assert "D_Uiso" in cb.make_recipe(cluster, pdf).names
    for function in (cb.make_recipe, cb.refine):
        with pytest.raises(CbldmError, match="SrFit cannot name .*'13-C'"):
            function(Cluster(["13-C", "Pt", "Pt"], places), pdf)


def test_a_block_without_atoms_is_no_second_structure(tmp_path):
    text = "data_global\n_journal_name 'J'\n\n"
    text += (FIELD / "p1_setting.cif").read_text()
    (tmp_path / "a.cif").write_text(text)
    assert len(read_cluster(tmp_path / "a.cif")) == 13
