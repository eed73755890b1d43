"""The parameter tables, from which options, help and docs are derived."""

import dataclasses
import importlib
import inspect
import math
import pathlib
import re

import pytest

import training.settings
from diffpy_cbldm import options, settings
from diffpy_cbldm.commands import cbldm_simulate, reference
from diffpy_cbldm.debye.world import World
from diffpy_cbldm.errors import CbldmError

DOCS = pathlib.Path(__file__).resolve().parent.parent / "docs" / "reference"

TABLES = [
    table
    for module in (settings, training.settings)
    for _, table in inspect.getmembers(module, dataclasses.is_dataclass)
    if table is not options.Option
]


@pytest.mark.parametrize("table", TABLES, ids=lambda t: t.__name__)
def test_tables_are_complete(table):
    options.validate(table())  # the defaults lie within the limits
    assert inspect.getdoc(table)
    for field in dataclasses.fields(table):
        about = field.metadata["help"]
        assert about.endswith("."), field.name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(table(), dataclasses.fields(table)[0].name, 1)
    with pytest.raises(TypeError):
        table(no_such_key=1)


def test_no_option_has_two_meanings():
    from diffpy_cbldm.commands.cbldm import TABLES

    flags = [
        flag
        for table in TABLES.values()
        for option in options.options(table)
        for flag in option.flags
    ]
    assert len(flags) == len(set(flags))


def test_options_know_their_kind():
    found = {o.name: o for o in options.options(settings.Solve)}
    assert found["count"].kind is int
    assert found["count"].flags == ("-n", "--count")
    assert found["rmax"].kind is float
    assert found["device"].choices == ("auto", "cpu", "cuda")
    (qmin,) = (
        o for o in options.options(settings.Reading) if o.name == "qmin"
    )
    assert (qmin.kind, qmin.default, qmin.unit) == (float, None, "1/A")


@pytest.mark.parametrize("value", [-1.0, 1e9, math.nan, math.inf])
def test_numbers_outside_their_limits(value):
    with pytest.raises(CbldmError, match="qmax is .* expected 1 to 100"):
        options.validate(settings.Simulation(qmax=value))


def test_words_outside_the_choices():
    with pytest.raises(CbldmError, match="device is 'gpu'; expected one of"):
        options.validate(settings.Solve(device="gpu"))


def test_none_leaves_a_value_to_the_header():
    options.validate(settings.Reading(qmin=None))


@pytest.mark.parametrize("name", ["cbldm", "cbldm_simulate"])
def test_every_option_is_documented(name, capfd):
    """On the page of the documentation and in the manual."""
    module = importlib.import_module(f"diffpy_cbldm.commands.{name}")
    page = (DOCS / "command.md").read_text()
    included = re.findall(r"{include} (\S+)", page)
    manual = f"../../diffpy_cbldm/commands/manual/{module.PROG}.md"
    assert manual in included
    assert f"../_generated/{module.PROG}.md" in included
    text = (DOCS / manual).read_text() + "\n"
    text += reference.reference(
        module.TABLES, getattr(module, "IN_FILES", None)
    )
    for action in module.make_parser()._actions:
        for flag in action.option_strings:
            if not flag.startswith("--no-"):
                assert f"`{flag}`" in text, flag
    assert module.main(["--manual"]) == 0
    assert capfd.readouterr().out.strip() == text.strip()


def test_the_manual_lists_what_a_simulated_world_holds(capfd):
    """All fields, with unit, default and limits; no options of their own."""
    assert cbldm_simulate.main(["--manual"]) == 0
    text = capfd.readouterr().out
    rows = dict(re.findall(r"^\| `(\w+)` (\|.*\|)$", text, re.MULTILINE))
    assert list(rows) == [field.name for field in dataclasses.fields(World)]
    assert rows["ligand_length"].startswith("| `2.3` | A | 1 to 4 | Distance")
    assert rows["surface_biso"].startswith("|  | A^2 | 0 to 20 |")
    assert "| fcc, bcc, hcp, sc |" in rows["second"]
    (world,) = options.options(settings.Surroundings)
    assert "--manual" in world.help  # where they are found


def test_the_manual_tells_how():
    text = (DOCS / "../../diffpy_cbldm/commands/manual/cbldm.md").read_text()
    for title in ("Chains", "Configuration files", "Repeat a run"):
        assert f"## {title}\n" in text
