"""What is known of a candidate: typed fields, and the flags that tell them."""

import ast
import dataclasses
import json
import pathlib

import ase.io
import numpy as np
import pytest

from diffpy_cbldm.cluster import Candidate
from diffpy_cbldm.commands import cbldm, config
from diffpy_cbldm.fitting import moves
from diffpy_cbldm.output import asefile, results
from diffpy_cbldm.state import State, read_flags

PACKAGE = pathlib.Path(__file__).resolve().parent.parent / "diffpy_cbldm"
OLD_RESULT = pathlib.Path(__file__).parent / "data" / "result-1.res"
ROW = np.outer(range(3), (2.77, 0, 0))

FLAGS = [
    ({"notes": ("mine", "")}, ("mine", "")),
    (
        {"also_proposed_by": ("library", "my own")},
        ("also proposed by library", "also proposed by my own"),
    ),
    ({"edits": ("sites", "strain")}, ("polished: sites, strain",)),
    (
        {"edits": ("sites",), "edited_from": ("oct", 85)},
        ("polished: sites; from oct with 85 atoms",),
    ),
    (
        {"edits": ("displacements",), "edited_from": ("", 13)},
        ("polished: displacements; from  with 13 atoms",),
    ),
    ({"backend": "torch"}, ("backend: torch",)),
    (
        {"at_bounds": (("zoomscale", 0.9), ("Pt_Uiso", 0.0005))},
        ("at bound: zoomscale 0.9", "at bound: Pt_Uiso 0.0005"),
    ),
    (
        {"refined_moves": ("strain", "surface")},
        ("strain refined", "surface refined"),
    ),
    (
        {"not_determined": ("strain_xz", "surface_2")},
        ("not determined: strain_xz", "not determined: surface_2"),
    ),
    (
        {"uneven_misfit": (1.5, 4.0)},
        ("uneven misfit: half of it from 1.5 to 4.0 A",),
    ),
    (
        {"refused_edits": (0.1, 0.11)},
        ("polishing refused: Rw on r left out 0.1000, 0.1100 after edits",),
    ),
    ({"rw_of_each": (0.1, 0.2)}, ("Rw of each PDF: 0.1000, 0.2000",)),
]


def state_of(candidate):
    return {f.name: getattr(candidate, f.name) for f in fields()}


def fields():
    return dataclasses.fields(State)


def test_every_field_is_told():
    assert {name for state, _ in FLAGS for name in state} == {
        field.name for field in fields()
    }


@pytest.mark.parametrize(("state", "flags"), FLAGS)
def test_flags_of_a_field(state, flags):
    """The texts are what they were, and are understood again."""
    candidate = Candidate("Pt", ROW, **state)
    assert candidate.flags == flags
    again = Candidate("Pt", ROW, flags=flags)
    assert state_of(again) == state_of(candidate)


def test_flags_have_an_order():
    """Notes, origin and edits, then what the refinement says."""
    full = {}
    for state, _ in FLAGS:
        full |= state
    flags = State(**full).flags
    heads = [flag.split(":")[0] for flag in flags]
    assert heads == [
        *("mine", "", "also proposed by library", "also proposed by my own"),
        *("polished", "backend", "at bound", "at bound"),
        *("strain refined", "surface refined"),
        *("not determined", "not determined"),
        *("uneven misfit", "polishing refused", "Rw of each PDF"),
    ]
    # A text of ours goes to its place, wherever a user put it.
    assert State(**read_flags(("backend: torch", "mine"))).flags == (
        *("mine", "backend: torch"),
    )


def test_every_move_is_read():
    flags = [f"{kind} refined" for kind in moves.MOVE_KINDS]
    assert read_flags(flags)["refined_moves"] == moves.MOVE_KINDS


@pytest.mark.parametrize(
    "text",
    [
        *("polished", "polished: ", "polished: sites; by hand"),
        *("hand refined", "backend: ", "at bound: zoomscale near"),
        *("at bound: zoomscale 0.90", "uneven misfit: all of it"),
        *("polishing refused: too rough", "Backend: torch"),
        "uneven misfit: half of it from 1.50 to 4.00 A",
    ],
)
def test_other_texts_are_notes(text):
    """Also those that nearly have a form of ours: nothing is lost."""
    candidate = Candidate("Pt", ROW, flags=[text])
    assert candidate.notes == candidate.flags == (text,)
    assert (candidate.edits, candidate.backend) == ((), None)


def test_replacing_fields_and_flags():
    first = Candidate("Pt", ROW, flags=("mine", "backend: srreal"))
    other = dataclasses.replace(first, backend="torch", edits=("sites",))
    assert other.flags == ("mine", "polished: sites", "backend: torch")
    # Flags stand for the whole state: a user's text is added to what was.
    more = dataclasses.replace(other, flags=(*other.flags, "more"))
    assert more.notes == ("mine", "more") and more.backend == "torch"
    assert dataclasses.replace(more, flags=()).flags == ()
    assert first.flags == ("mine", "backend: srreal")
    assert first.centered().flags == first.flags


def test_unknown_fields_are_errors():
    with pytest.raises(TypeError, match="colour"):
        Candidate("Pt", ROW, colour="red")


def test_who_proposed_it():
    alone = Candidate("Pt", ROW, generator="cbldm")
    assert alone.proposed_by == ("cbldm",)
    both = dataclasses.replace(alone, also_proposed_by=("library", "cbldm"))
    assert both.proposed_by == ("cbldm", "library")


# ------------------------------------------------- results of older versions


def test_an_old_result_is_read_by_ase():
    last, best = ase.io.read(OLD_RESULT, ":")
    assert (last.info["rank"], best.info["rank"]) == (2, 1)
    assert best.get_chemical_formula() == "Pt3"
    assert best.info["rw"] == 0.125 and best.info["strain_xz"] == 0.03
    assert ase.io.read(OLD_RESULT) == best


def test_an_old_result_repeats_a_run():
    used = config.read(cbldm.TABLES, str(OLD_RESULT))
    assert used["inputs"] == ["row.gr"]
    assert (used["composition"], used["seed"]) == ("Pt", 5)


def test_the_flags_of_an_old_result_are_understood():
    content = json.loads(OLD_RESULT.read_text())
    assert content["schema"] == results.SCHEMA
    assert OLD_RESULT.read_bytes().startswith(asefile.FORMAT.magic)
    first, second, third = (
        Candidate(c["elements"], c["positions"], flags=c["flags"])
        for c in content["candidates"]
    )
    assert state_of(first) == {
        "notes": ("seen in the microscope",),
        "also_proposed_by": ("library", "screen"),
        "edits": ("sites", "strain"),
        "edited_from": ("oct", 4),
        "backend": "torch",
        "at_bounds": (("zoomscale", 1.1), ("Pt_Uiso", 0.0005)),
        "refined_moves": ("strain",),
        "not_determined": ("strain_xz",),
        "uneven_misfit": (1.5, 4.0),
        "refused_edits": None,
        "rw_of_each": (),
    }
    assert second.backend == "srreal"
    assert second.refused_edits == (0.1, 0.11)
    assert state_of(third) == {f.name: f.default for f in fields()}
    for c, told in zip((first, second, third), content["candidates"]):
        assert list(c.flags) == told["flags"]


# ------------------------------------------------ nobody else reads the texts

HEADS = (
    *("also proposed by", "polished: ", "backend: ", "at bound: "),
    *("strain refined", "surface refined", "not determined: "),
    *("uneven misfit", "polishing refused"),
)


def flag_texts(source):
    """Where a module writes or compares flags: texts, and ``flags=`` given."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            if node.value.startswith(HEADS):
                yield node.lineno
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called.endswith(("replace", "Candidate")):
                given = {keyword.arg for keyword in node.keywords}
                if "flags" in given:
                    yield node.lineno


def test_flag_texts_are_found():
    source = """
        any(f.startswith("backend: ") for f in c.flags)
        f"uneven misfit: {low}"
        dataclasses.replace(c, flags=())
        option(flags=("-t",))
        "the backend: torch"
    """
    lines = "\n".join(line.strip() for line in source.splitlines())
    assert list(flag_texts(lines)) and set(flag_texts(lines)) == {2, 3, 4}


def test_no_other_module_writes_or_compares_flags():
    state = PACKAGE / "state.py"
    assert list(flag_texts(state.read_text()))
    for path in PACKAGE.rglob("*.py"):
        if path != state:
            assert not list(flag_texts(path.read_text())), path
