"""Which files the arguments stand for."""

import pytest

from diffpy_cbldm import CbldmError
from diffpy_cbldm.commands import cbldm, inputs


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("run", "a-run.gr", True),
        ("^run", "a-run.gr", False),
        ("^run", "run.gr", True),
        (".gr$", "run.gr", True),
        (".gr$", "run.gr.bak", False),
        (".gr", "rungr", False),  # a dot is a dot
        ("^run.gr$", "run.gr", True),
        ("<7>", "run007.gr", True),
        ("<7>", "run70.gr", False),
        ("<7>", "run3-7.gr", True),
        ("<900-910>.chi", "x0905.chi", True),
        ("<900-910>.chi", "x911.chi", False),
        ("<7->", "run12.gr", True),
        ("<7->", "run6.gr", False),
        ("<-7>", "run6.gr", True),
        ("<-7>", "run8.gr", False),
        ("^<1-2>_<3->", "2_5.gr", True),
        ("<1>-<2>", "3-1-2.gr", True),
        ("<x>", "a<x>.gr", True),
        ("a^b", "a^b", True),
    ],
)
def test_patterns(pattern, name, expected):
    assert inputs.matches(pattern, name) is expected


@pytest.fixture
def series(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "series").mkdir()
    for name in ("r1.gr", "r2.gr", "r10.gr", "r10.xyz", ".r3.gr"):
        (tmp_path / "series" / name).write_text("")
    (tmp_path / "b.gr").write_text("")
    return tmp_path


def listed(words, capfd):
    assert cbldm.main(words) == 0
    return capfd.readouterr().out.split()


def test_all_patterns_of_a_group_hold(series, capfd):
    found = listed(["-lf", "series/", ".gr$"], capfd)
    assert found == ["series/r1.gr", "series/r2.gr", "series/r10.gr"]
    assert listed(["-lf", "-d", "series", ".gr$"], capfd) == found
    assert listed(["-lf", "series/<2->", ".gr$"], capfd) == found[1:]
    groups = ["series/", "<2>", "+", "gr$", "+", "series/r2"]
    assert listed(["-lf", *groups], capfd) == ["series/r2.gr", "b.gr"]


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["nothing"], "no file in . matches nothing"),
        (["gr", "+"], "one side of +"),
        ([], "no pattern"),
        (["none/", "gr"], "folder none does not exist"),
        (["series/", "none/", "gr"], "none and series"),
    ],
)
def test_patterns_that_find_nothing(words, text, series, capfd):
    assert cbldm.main(["-lf", *words]) == 1
    assert text in capfd.readouterr().err


def test_folders_are_searched_in_their_order(series, capfd):
    words = ["-l", "-d", ".", "-d", "series", "r1.gr", "b.gr"]
    assert listed(words, capfd) == ["series/r1.gr", "b.gr"]
    absolute = str(series / "b.gr")
    assert listed(["-l", "-d", "series", absolute], capfd) == [absolute]
    assert cbldm.main(["-l", "-d", "series", "r1.gr", "b.gr"]) == 1
    out, err = capfd.readouterr()
    assert out.split() == ["series/r1.gr"]
    assert "b.gr: no such file in series" in err


def test_standard_input_is_read_once():
    with pytest.raises(CbldmError, match="named twice"):
        inputs.resolve(["-", "a.gr", "-"], (), patterns=False)


def test_the_home_folder_has_a_short_name(series, capfd, monkeypatch):
    monkeypatch.setenv("HOME", str(series))
    found = str(series / "series" / "r1.gr")
    assert listed(["-l", "--datapath=~/series", "r1.gr"], capfd) == [found]
