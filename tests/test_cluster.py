"""Clusters, candidates and their forms in the three libraries."""

import dataclasses
import pickle
import subprocess
import sys
import textwrap
from pathlib import Path

import ase
import numpy as np
import pytest
from ase.cluster import Octahedron

import diffpy_cbldm as cb
from diffpy_cbldm.cluster import Candidate, Cluster
from diffpy_cbldm.clusterfile import read_xyz
from diffpy_cbldm.conversions import REACH
from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.renames import modern

CUBE = 2.7 * np.array(
    [[x, y, z] for x in (0, 1, 2) for y in (0, 1) for z in (0, 1)], float
)


def distances(positions):
    """All pair distances, sorted: what does not change under motion."""
    offsets = positions[:, None] - positions[None]
    return np.sort(np.linalg.norm(offsets, axis=-1).ravel())


@pytest.fixture
def cluster():
    """Five atoms of two elements, away from the origin and irregular."""
    rng = np.random.default_rng(5)
    positions = rng.uniform(-3, 9, (5, 3))
    return Cluster(("Pt", "Cd", "Pt", "Se", "Pt"), positions)


def test_one_symbol_for_all():
    cluster = Cluster("Pt", CUBE)
    assert cluster.elements == ("Pt",) * 12
    assert len(cluster) == cluster.n_atoms == 12
    assert cluster.composition == "Pt12"
    assert repr(cluster) == "Cluster(Pt12)"
    assert Cluster(np.array(["Au"]), [[0, 0, 0]]).elements == ("Au",)


def test_composition_of_several_elements(cluster):
    assert cluster.composition == "CdPt3Se"


def test_positions_are_copied_and_read_only():
    given = CUBE.copy()
    cluster = Cluster("Pt", given)
    given[0] = 50
    np.testing.assert_array_equal(cluster.positions, CUBE)
    with pytest.raises(ValueError, match="read-only"):
        cluster.positions[0] = 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        cluster.positions = CUBE


@pytest.mark.parametrize(
    "elements, positions, message",
    [
        ("Pt", np.zeros((0, 3)), r"shape \(0, 3\)"),
        ("Pt", CUBE.T, r"shape \(3, 12\)"),
        ("Pt", CUBE.ravel(), r"shape \(36,\)"),
        ("Pt", [["a", "b", "c"]], "do not hold numbers"),
        ("Xx", CUBE, "unknown element 'Xx'"),
        (("Pt",) * 11, CUBE, "11 elements for 12 positions"),
        ("Pt", np.where(CUBE == 5.4, np.nan, CUBE), "atom 8 is at .*nan"),
        ("Pt", np.vstack([CUBE, CUBE[4]]), "atoms 4 and 12 are at the same"),
        ("Pt", np.vstack([CUBE, CUBE[7] - 5e-4]), "atoms 7 and 12"),
    ],
)
def test_bad_cluster(elements, positions, message):
    with pytest.raises(CbldmError, match=message):
        Cluster(elements, positions)


def test_close_but_distinct_atoms_are_kept():
    assert len(Cluster("Pt", np.vstack([CUBE, CUBE[4] + 2e-3]))) == 13


def test_centered_and_scaled(cluster):
    middle = cluster.centered()
    np.testing.assert_allclose(middle.positions.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(
        distances(middle.scaled(1.02).positions),
        1.02 * distances(cluster.positions),
    )
    assert middle.elements == cluster.elements
    for factor in (0, -1, np.nan):
        with pytest.raises(CbldmError, match="positive number"):
            cluster.scaled(factor)


# The three libraries


def test_diffpy(cluster):
    structure = cluster.to_diffpy()
    assert modern(structure.lattice).cell_parms() == (1, 1, 1, 90, 90, 90)
    np.testing.assert_allclose(structure.xyz, cluster.positions, atol=1e-12)
    assert not np.any(structure.Uisoequiv)
    back = Cluster.from_diffpy(structure)
    assert back.elements == cluster.elements
    np.testing.assert_allclose(back.positions, cluster.positions, atol=1e-12)


def test_ase(cluster):
    atoms = cluster.to_ase()
    assert not atoms.pbc.any() and atoms.cell.rank == 0
    back = Cluster.from_ase(atoms)
    assert back.elements == cluster.elements
    np.testing.assert_array_equal(back.positions, cluster.positions)


@pytest.mark.parametrize("boxed", [False, True])
def test_pymatgen(cluster, boxed):
    structure = cluster.to_pymatgen(boxed=boxed)
    back = Cluster.from_pymatgen(structure)
    assert back.elements == cluster.elements
    np.testing.assert_allclose(
        back.centered().positions, cluster.centered().positions, atol=1e-10
    )
    if boxed:
        low = structure.cart_coords.min(axis=0)
        high = structure.lattice.abc - structure.cart_coords.max(axis=0)
        np.testing.assert_allclose(low, high, atol=1e-9)  # in the middle
        assert np.all(low + high >= 30 + REACH)


def test_odd_number_of_electrons_in_pymatgen():
    assert len(Cluster("Au", CUBE[:3]).to_pymatgen()) == 3


def boxed_forms(positions, cell):
    """The same periodic cell in the three libraries."""
    from ase import Atoms
    from diffpy.structure import Atom, Lattice, Structure
    from pymatgen.core import Structure as Crystal

    fractional = positions @ np.linalg.inv(cell) % 1.0
    return {
        "ase": Cluster.from_ase(
            Atoms("Pt12", scaled_positions=fractional, cell=cell, pbc=True)
        ),
        "diffpy": Cluster.from_diffpy(
            Structure(
                [Atom("Pt4+", xyz=x) for x in fractional],
                lattice=Lattice(base=cell),
            )
        ),
        "pymatgen": Cluster.from_pymatgen(
            Crystal(cell, ["Pt"] * 12, fractional)
        ),
    }


@pytest.mark.parametrize("name", ["ase", "diffpy", "pymatgen"])
@pytest.mark.parametrize("offset", [(4, 4, 4), (-1, -1, -1), (14, 0.1, -4)])
def test_cluster_across_a_cell_face_is_joined(name, offset):
    cell = np.array([[16.0, 0, 0], [2.0, 15.0, 0], [0, 1.0, 14.0]])
    cluster = boxed_forms(CUBE + offset, cell)[name]
    assert cluster.elements == ("Pt",) * 12
    np.testing.assert_allclose(
        distances(cluster.positions), distances(CUBE), atol=1e-6
    )


def test_free_ase_atoms_ignore_the_cell():
    from ase import Atoms

    atoms = Atoms("Pt12", CUBE - 1.0, cell=[8, 8, 8], pbc=False)
    np.testing.assert_array_equal(
        Cluster.from_ase(atoms).positions, CUBE - 1.0
    )


def test_disordered_and_dummy_sites_are_refused():
    from ase import Atoms
    from pymatgen.core import Structure

    alloy = Structure(
        10 * np.eye(3), [{"Pt": 0.5, "Au": 0.5}], [[0.5, 0.5, 0.5]]
    )
    with pytest.raises(CbldmError, match="disordered"):
        Cluster.from_pymatgen(alloy)
    with pytest.raises(CbldmError, match="unknown element 'X'"):
        Cluster.from_ase(Atoms("X", [[0, 0, 0]]))


# Files


def test_xyz_file_is_read_by_all(cluster, tmp_path):
    import ase.io
    from diffpy.structure import Structure
    from pymatgen.core import Molecule

    path = tmp_path / "a.xyz"
    cluster.write_xyz(path, comment="Rw 0.14\nlibrary")
    lines = path.read_text().splitlines()
    assert lines[:2] == ["5", "Rw 0.14 library"]
    assert [len(line.split()) for line in lines[2:]] == [4] * 5
    molecule = Molecule.from_file(str(path))
    readings = [
        read_xyz(path),
        Cluster.from_diffpy(Structure(filename=str(path))),
        Cluster.from_ase(ase.io.read(path)),
        Cluster(
            [site.specie.symbol for site in molecule], molecule.cart_coords
        ),
    ]
    for reading in readings:
        assert reading.elements == cluster.elements
        np.testing.assert_allclose(
            reading.positions, cluster.positions, atol=1e-8
        )


def test_cif_file_is_read_by_all(cluster, tmp_path):
    import ase.io
    from diffpy.structure import Structure as DiffpyStructure
    from pymatgen.core import Structure

    path = tmp_path / "a.cif"
    cluster.write_cif(path)
    readings = [
        Cluster.from_diffpy(DiffpyStructure(filename=str(path))),
        Cluster.from_ase(ase.io.read(path)),
        Cluster.from_pymatgen(Structure.from_file(path)),
    ]
    for reading in readings:
        assert reading.composition == cluster.composition
        np.testing.assert_allclose(
            distances(reading.positions),
            distances(cluster.positions),
            atol=1e-5,
        )


@pytest.mark.parametrize("kind", ["xyz", "cif"])
def test_failed_writing_leaves_nothing_behind(cluster, tmp_path, kind):
    write = getattr(cluster, f"write_{kind}")
    (tmp_path / "a").write_text("a file where a folder should be")
    with pytest.raises(CbldmError, match="cannot be written"):
        write(tmp_path / "a" / f"a.{kind}")
    (tmp_path / "b").mkdir()
    with pytest.raises(CbldmError, match="cannot be written"):
        write(tmp_path / "b")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b"]


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "not an xyz file"),
        ("Pt 0 0 0\n", "not an xyz file"),
        ("2\n\nPt 0 0 0\n", "1 atoms found, 2 announced"),
        ("1\n\nPt 0 0\n", "not an xyz file"),
        ("1\n\nPt 0 0 zero\n", "not an xyz file"),
        ("1\n\nPt 0 0 0\n1\n\nPt 0 0 1\n", "one frame only"),
        ("1\n\nQq 0 0 0\n", "a.xyz: unknown element 'Qq'"),
    ],
)
def test_bad_xyz_file(tmp_path, text, message):
    path = tmp_path / "a.xyz"
    path.write_text(text)
    with pytest.raises(CbldmError, match=message):
        read_xyz(path)


def test_missing_xyz_file(tmp_path):
    with pytest.raises(CbldmError, match="none.xyz: cannot be read"):
        read_xyz(tmp_path / "none.xyz")


# Candidates


def test_candidate_defaults_and_replace():
    parameters = {"scale": (1.0, 0.1)}
    bare = Candidate("Pt", CUBE)
    assert (bare.structure_type, bare.generator, bare.flags) == ("", "", ())
    assert (bare.rw_raw, bare.rw, bare.rw_heldout) == (None, None, None)
    assert bare.parameters == {} and bare.results is None
    done = dataclasses.replace(
        bare, rw_raw=0.3, rw=0.14159, parameters=parameters, flags=["a"]
    )
    parameters["zoomscale"] = (1.0, 0.0)
    assert done.parameters == {"scale": (1.0, 0.1)}
    assert done.flags == ("a",)
    assert bare.rw is None and bare.parameters == {}
    assert "rw=0.1416" in repr(done) and "Pt12" in repr(done)


def test_candidate_is_a_cluster():
    candidate = Candidate("Pt", CUBE, structure_type="sc", rw=0.2)
    moved = candidate.centered().scaled(1.1)
    assert isinstance(moved, Candidate)
    assert (moved.structure_type, moved.rw, moved.n_atoms) == ("sc", 0.2, 12)
    assert len(candidate.to_diffpy()) == len(candidate.to_ase()) == 12
    assert isinstance(Candidate.from_ase(candidate.to_ase()), Candidate)
    copy = pickle.loads(pickle.dumps(candidate))
    np.testing.assert_array_equal(copy.positions, CUBE)


def test_import_needs_numpy_alone():
    code = """
        import sys
        for name in ("scipy", "torch", "diffpy", "ase", "pymatgen"):
            sys.modules[name] = None
        from diffpy_cbldm.cluster import Candidate
        print(Candidate("Pt", [[0, 0, 0], [0, 0, 2.7]]).composition)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[1],
    )
    assert done.stdout.strip() == "Pt2", done.stderr


def test_structures_of_other_libraries_are_taken():
    """By `simulate`, `refine`, `make_recipe` and `polish` alike."""
    cluster = cb.Cluster("Pt", Octahedron("Pt", 3, cutoff=0).positions)
    (pdf,) = cb.simulate(cluster, rmax=12)
    others = [
        cluster.to_ase(),
        cluster.to_diffpy(),
        cluster.to_pymatgen(),
        cluster.to_pymatgen(boxed=True),
    ]
    for one, again in zip(others, cb.simulate(others, rmax=12), strict=True):
        np.testing.assert_allclose(again.g, pdf.g, atol=1e-6)
        np.testing.assert_allclose(cb.simulate(one, rmax=12)[0].g, again.g)
        assert cb.refine(one, pdf).rw < 0.01
        assert cb.make_recipe(one, pdf).names[0] == "s1"
    front = cb.polish(others[0], pdf, kinds=("strain",))
    assert [len(c) for c in front] == [19]


@pytest.mark.parametrize("wrong", [None, "Pt.xyz", [1, 2], ase.Atom("Pt")])
def test_other_things_are_no_structures(wrong):
    (pdf,) = cb.simulate(cb.Cluster("Pt", [[0, 0, 0], [0, 0, 2.8]]), rmax=12)
    for function in (cb.refine, cb.make_recipe, cb.polish):
        with pytest.raises(CbldmError, match="expected a Cluster"):
            function(wrong, pdf)
    with pytest.raises(CbldmError, match="expected a Cluster"):
        cb.simulate([wrong])


@pytest.mark.parametrize("wrong", [None, "particle.gr", ([1], [2])])
def test_other_things_are_no_pdfs(wrong):
    cluster = cb.Cluster("Pt", [[0, 0, 0], [0, 0, 2.8]])
    for call in (
        lambda: cb.refine(cluster, wrong),
        lambda: cb.polish(cluster, wrong),
        lambda: cb.propose(wrong),
        lambda: cb.solve(wrong),
    ):
        with pytest.raises(CbldmError, match="expected PDFData"):
            call()
