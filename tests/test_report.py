"""The table, the names of output files, and writing all or nothing."""

import json
import math
import pathlib
import re

import numpy as np
import pytest

import diffpy_cbldm as cb
from diffpy_cbldm.options import options
from diffpy_cbldm.output import results, tables, writers
from diffpy_cbldm.settings import Output


@pytest.mark.parametrize(
    ("value", "esd", "text"),
    [
        (1.00123, 0.00031, "1.0012(3)"),
        (0.0085, 0.0002, "0.0085(2)"),
        (123.4, 5.0, "123(5)"),
        (0.03, 0.01, "0.03(1)"),
        # A large uncertainty does not hide the value.
        (0.015, 0.12, "0.015(120)"),
        (0.015, 2.0, "0.015(2000)"),
        (0.015, 0.015, "0.015(15)"),
        (-0.0052, 0.0096, "-0.005(10)"),
        (-0.0028, 0.0433, "-0.003(43)"),
        (-0.00029, 0.0040, "-0.000(4)"),
        (0.0045, 0.0004, "0.0045(4)"),
        (0.00052, 0.00031, "0.0005(3)"),
        (2.31, 1.7, "2.3(17)"),
        (0.5, 0.3, "0.50(30)"),
        (123.0, 90.0, "123(90)"),
        (3e-12, 0.1, "0.0(1)"),
        (0.0, 0.1, "0.0(1)"),
        (2.0, 0.0, "2"),
        (2.34567, None, "2.346"),
        (2.34567, math.nan, "2.346"),
    ],
)
def test_esd(value, esd, text):
    assert results.with_esd(value, esd) == text


@pytest.mark.parametrize(
    ("template", "rank", "name"),
    [
        ("", None, "a.b.res"),
        ("@b.@o", None, "a.b.res"),
        ("@b.@o", 3, "a.b-3.res"),
        ("@b", 3, "a.b-3.res"),
        ("out/@b", None, "out/a.b.res"),
        ("@k/@b.@o", 3, "3/a.b.res"),
        ("@b_@k.@o", None, "a.b.res"),
        ("@h/@b.@o", None, "data/x/a.b.res"),
        ("@r.@o", 2, "data/x/a.b-2.res"),
        ("@t-@e", None, "a.b.gr-gr.res"),
        ("@o/@b", 1, "res/a.b-1"),
    ],
)
def test_output_names(template, rank, name):
    found = writers.output_name(template, "data/x/a.b.gr", "res", rank)
    assert found == pathlib.Path(name)


def test_tokens_in_file_names_are_left_alone():
    assert str(writers.output_name("@b", "@k@o.gr", "res")) == "@k@o.res"


@pytest.mark.parametrize(
    ("text", "types"),
    [("none", ()), ("xyz, res", ("xyz", "res")), ("res,res", ("res",))],
)
def test_output_types(text, types):
    assert writers.parse_types(text) == types


def test_unknown_output_types_are_told_all_that_the_help_lists():
    (help,) = (o.help for o in options(Output) if o.name == "outputtypes")
    listed = re.findall(r"(\w[\w-]*) \(", help)
    assert {"xyz", "dp-in", "series"} < set(listed)
    with pytest.raises(cb.CbldmError) as error:
        writers.parse_types("res,png")
    assert f"expected {', '.join(listed)} or none" in str(error.value)
    assert "-p png" in str(error.value)


def a_solution(n=2):
    from diffpy_cbldm.solving.solution import Solution

    def candidate(k):
        return cb.Candidate(
            "Pt",
            np.eye(3) * (2.5 + k),
            structure_type="fcc",
            generator="library",
            rw_raw=0.3,
            rw=0.1 + k / 10 if k < n else None,
            rw_heldout=math.nan,
            parameters={"scale": (1.0, 0.01)} if k < n else {},
        )

    r = np.arange(0, 20, 0.01)
    return Solution(
        candidates=[candidate(k) for k in range(n + 1)],
        rw_quick=[0.1, 0.2, math.inf],
        settings={"composition": "Pt", "count": 4},
        timings={"total": 1.0},
        warnings=("doubt",),
        pdf=cb.PDFData(r, np.sin(r), composition="Pt"),
    )


def test_table_shows_what_was_refined():
    lines = tables.table(a_solution()).splitlines()
    assert len(lines) == 3
    assert lines[0].split()[:4] == ["rank", "atoms", "type", "generator"]
    assert lines[1].split()[:4] == ["1", "3", "fcc", "library"]
    assert "1.00(1)" in lines[1]


def test_result_is_plain_json():
    text = json.dumps(results.result(a_solution(), "a.gr"), allow_nan=False)
    content = json.loads(text)
    assert content["schema"] == "cbldm-result/1"
    assert [c["rank"] for c in content["candidates"]] == [1, 2, 3]
    first = content["candidates"][0]
    assert first["parameters"] == {"scale": {"value": 1.0, "esd": 0.01}}
    assert first["rw_heldout"] is None
    assert first["elements"] == ["Pt"] * 3
    assert content["warnings"] == ["doubt"]


def test_all_files_are_written(tmp_path):
    template = str(tmp_path / "@b")
    planned = writers.plan(template, ("xyz", "cif", "res"), "a.gr", 8)
    assert len(planned) == 17
    written = writers.write(a_solution(), "a.gr", planned).files
    names = {"a-1.xyz", "a-2.xyz", "a-1.cif", "a-2.cif", "a.res"}
    assert {p.name for p in written} == names
    assert {p.name for p in tmp_path.iterdir()} == names
    lines = (tmp_path / "a-2.xyz").read_text().splitlines()
    assert lines[0] == "3" and "rank 2 of a.gr" in lines[1]
    modes = {p.stat().st_mode & 0o777 for p in written}
    (tmp_path / "other").write_text("")
    assert modes == {(tmp_path / "other").stat().st_mode & 0o777}


def test_what_cannot_be_written_is_told_and_the_rest_is_there(
    tmp_path, monkeypatch
):
    def full(self, path, rmax):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(cb.Cluster, "write_cif", full)
    planned = writers.plan(str(tmp_path / "@b"), ("xyz", "cif"), "a.gr", 2)
    written = writers.write(a_solution(), "a.gr", planned)
    lost = [pathlib.Path(path).name for path, _ in written.failed]
    assert lost == ["a-1.cif", "a-2.cif"]
    assert all("No space left" in str(error) for _, error in written.failed)
    names = [path.name for path in written.files]
    assert names == ["a-1.xyz", "a-2.xyz"]
    assert sorted(p.name for p in tmp_path.iterdir()) == names
