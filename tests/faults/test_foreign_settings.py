"""Whose settings are taken: those of a result, those that lie about."""

import json
import os
import pathlib

import pytest

import diffpy_cbldm as cb
from diffpy_cbldm import settings
from diffpy_cbldm.commands import cbldm, config
from diffpy_cbldm.options import options


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    (tmp_path / "home").mkdir()
    (tmp_path / "work").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


def result(**used):
    content = {"schema": config.SCHEMA, "input": "a.gr", "settings": used}
    pathlib.Path("a.res").write_text(json.dumps(content))
    return config.read(cbldm.TABLES, "a.res")


def test_all_keys_that_a_result_writes_are_taken():
    used = {o.name: o.default for o in options(settings.Solve)}
    # What a result writes is the range that was taken.
    used |= {"composition": "Pt", "qmin": 0.8, "version": "1", "rmax": 30.0}
    assert result(**used) == {
        **{k: v for k, v in used.items() if k != "version" and v is not None},
        "inputs": ["a.gr"],
    }


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("output", "/tmp/@b"),
        ("force", "yes"),
        ("database", "all.db"),
        ("outputtypes", "db"),
        ("datapath", ["x"]),
        ("plot", "svg"),
        ("quiet", True),
    ],
)
def test_no_other_key_of_a_result_is_taken(key, value, capfd):
    with pytest.raises(cb.CbldmError, match=f"a.res: unknown key '{key}'"):
        result(**{key: value})
    assert cbldm.main(["-c", "a.res"]) == 1
    assert len(capfd.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize(
    "content",
    ["[]", "1", '{"schema": "cbldm-result/1"}', "[" * 9000, "\0"]
    + [
        json.dumps({"schema": config.SCHEMA, "input": a, "settings": b})
        for a, b in (
            ([], {}),
            ("a", []),
            ("a", [[1, 2]]),
            (None, {}),
            ("a", 1),
        )
    ],
)
def test_what_is_no_result(content, here):
    (here / "a.res").write_text(content)
    with pytest.raises(cb.CbldmError, match="a.res: not a result"):
        config.read(cbldm.TABLES, "a.res")


@pytest.mark.parametrize("source", ["n" * 300, "a\0b", "", "x/" * 3000])
def test_inputs_that_are_no_names(source, here):
    content = {"schema": config.SCHEMA, "input": source, "settings": {}}
    (here / "a.res").write_text(json.dumps(content))
    assert config.read(cbldm.TABLES, "a.res") == {"inputs": [source]}
    assert cbldm.main(["-c", "a.res"]) == 1


OUTSIDE = [
    "output = /tmp/@b",
    "output = ../@b",
    "output = sub/../../@b",
    "database = ../all.db",
    "database = ~/all.db",
    "database = postgresql://me:secret@host/db",
    "force = yes",
    "force = once",
]

INSIDE = [
    "output = out/@b",
    "output = @h/@b",
    "output = @r",
    "output = -",
    "output = sub/../@b",
    "database = all.db",
    "force = no",
    "count = 3",
]


def told(name, text, *words, capfd):
    pathlib.Path(os.path.expanduser(name)).write_text(f"[DEFAULT]\n{text}\n")
    assert cbldm.main(["none.gr", "-q", *words]) == 1  # there is no input
    err = capfd.readouterr().err
    assert "secret" not in err
    return [line for line in err.splitlines() if ": note: " in line]


@pytest.mark.parametrize("text", OUTSIDE)
@pytest.mark.parametrize("name", ["cbldm.cfg", ".cbldm.cfg"])
def test_what_reaches_out_of_the_folder_is_told(name, text, capfd):
    (note,) = told(name, text, capfd=capfd)
    key = text.split()[0]
    assert note.startswith(f"cbldm: note: {name} sets {key} = ")
    assert f"--{key}" in note and "--config=NONE" in note


@pytest.mark.parametrize("text", INSIDE)
def test_what_stays_inside_is_not_told(text, capfd):
    assert told("cbldm.cfg", text, capfd=capfd) == []


def test_what_the_user_said_is_not_told(capfd):
    text = OUTSIDE[0]
    named = ["-c", "mine.cfg"]
    assert told("mine.cfg", text, *named, capfd=capfd) == []
    assert told("~/.cbldm.cfg", text, capfd=capfd) == []
    assert told("cbldm.cfg", text, "-o", "/tmp/@b", capfd=capfd) == []
    assert told("cbldm.cfg", text, *named, capfd=capfd) == []
    assert told("cbldm.cfg", text, "-c", "NONE", capfd=capfd) == []


def test_the_home_folder_may_be_the_working_folder(here, monkeypatch, capfd):
    monkeypatch.setenv("HOME", str(here))
    assert told(".cbldm.cfg", OUTSIDE[0], capfd=capfd) == []


def test_sections_are_told_as_well(capfd):
    text = "count = 3\n[far]\noutput = /tmp/@b"
    assert told("cbldm.cfg", text, capfd=capfd) == []
    assert len(told("cbldm.cfg", text, "-s", "far", capfd=capfd)) == 1


@pytest.mark.parametrize(
    "words",
    [["--", "-a.gr"], ["--qmin", "1", "--", "-a.gr"], ["b.gr", "--", "-a.gr"]],
)
def test_names_after_two_dashes(words):
    given = cbldm.make_parser().given(words)
    assert given["inputs"] == [w for w in words if w.endswith("gr")]
    given = cbldm.make_parser().given(["--", "--force", "--", "-n"])
    assert given == {"inputs": ["--force", "--", "-n"]}


@pytest.mark.parametrize("word", ["-n--", "--qmax=--", "-o--", "-d--"])
def test_two_dashes_are_no_value(word):
    with pytest.raises(cb.CbldmError, match="argument -.* is '--'"):
        cbldm.make_parser().given(["a.gr", word])


def test_zero_bytes_in_names(capfd):
    pathlib.Path("a.cfg").write_text("[DEFAULT]\noutput = a\0b\n")
    pathlib.Path("a.gr").write_text(
        "".join(f"{k / 10} {k % 7}\n" for k in range(10, 200))
    )
    words = ["a.gr", "--composition=Pt", "-t", "res", "-c", "a.cfg"]
    assert cbldm.main(words) == 1
    assert "zero byte" in capfd.readouterr().err
