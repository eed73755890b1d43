"""Configuration files: their order, their mistakes, repeating a run."""

import json

import pytest

from diffpy_cbldm import CbldmError
from diffpy_cbldm.commands import cbldm, common, config


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    here = tmp_path / "work"
    here.mkdir()
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(here)
    return tmp_path / "home"


def write(path, text):
    path.write_text(f"[DEFAULT]\n{text}\n")
    return path


def read(*args):
    return config.read(cbldm.TABLES, *args)


def test_later_files_win(home, tmp_path):
    here = tmp_path / "work"
    write(home / ".cbldm.cfg", "count = 1\nrefine = 1\nqmin = 1\nrmin = 1")
    write(here / ".cbldm.cfg", "count = 2\nrefine = 2\nqmin = 2")
    write(here / "cbldm.cfg", "count = 3\nrefine = 3")
    extra = write(here / "extra.cfg", "count = 4")
    found = read(str(extra))
    assert found == {"count": 4, "refine": 3, "qmin": 2.0, "rmin": 1.0}
    assert read()["count"] == 3
    assert read("NONE") == {}


def test_sections_go_on_top(tmp_path):
    path = write(
        tmp_path / "a.cfg",
        "count = 4 # few\n# refine = 9\n[fast]\nRefine=1\ncount=2",
    )
    assert read(str(path)) == {"count": 4}
    assert read(str(path), "fast") == {"count": 2, "refine": 1}
    with pytest.raises(CbldmError, match=r"'fats' .*a.cfg.*mean fast"):
        read(str(path), "fats")


def test_values_have_the_kind_of_their_option(tmp_path):
    path = write(
        tmp_path / "a.cfg",
        "datapath =\n  one\n  two\nquiet = yes\nqmin =\nstype = N\n"
        "database = postgresql://me:pa%%ss@host/db\noutput = @h/@b",
    )
    assert read(str(path)) == {
        "datapath": ("one", "two"),
        "quiet": True,
        "qmin": None,
        "stype": "N",
        "database": "postgresql://me:pa%%ss@host/db",
        "output": "@h/@b",
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("count = 3", r"\[DEFAULT\] is missing"),
        ("[DEFAULT]\ncuont = 3", "unknown key 'cuont'; did you mean count"),
        ("[DEFAULT]\n[other]\nxyzzy = 3", "unknown key 'xyzzy'; expected"),
        ("[DEFAULT]\ncount = many", "count is 'many'; expected a whole"),
        ("[DEFAULT]\nquiet = perhaps", "expected yes or no"),
        ("[DEFAULT]\ncount =", "count is ''; expected a whole number"),
        ("[DEFAULT]\nqmax = 900", "qmax is 900 1/A; expected 1 to 100"),
        ("[DEFAULT]\nstype = E", "stype is 'E'; expected one of X, N"),
        ("[DEFAULT]\nfind = yes", "unknown key 'find'"),
        ("[DEFAULT]\ncount = 3\ncount = 4", "already exists"),
        ("[DEFAULT]\nwhat is this", "key = value"),
    ],
)
def test_mistakes_name_the_file(text, expected, tmp_path):
    (tmp_path / "bad.cfg").write_text(text)
    with pytest.raises(CbldmError, match=expected) as caught:
        read(str(tmp_path / "bad.cfg"))
    assert "bad.cfg" in str(caught.value)


def test_missing_file(capfd):
    assert cbldm.main(["a.gr", "-c", "none.cfg"]) == 1
    assert "--createconfig=none.cfg" in capfd.readouterr().err


def test_the_template_is_a_configuration(tmp_path, capfd):
    assert cbldm.main(["--createconfig=a.cfg", "--qmax", "22"]) == 0
    assert read("a.cfg") == {"qmax": 22.0}
    text = (tmp_path / "work" / "a.cfg").read_text()
    # With all marks of comment gone from the keys, it says the defaults.
    keys = [f"# {name} =" for name in config.keys(cbldm.TABLES)]
    for key in keys:
        if key != "# qmax =":
            assert text.count(f"\n{key}") == 1, key
            text = text.replace(f"\n{key}", f"\n{key[2:]}")
    (tmp_path / "work" / "b.cfg").write_text(text)
    full = common.fill(cbldm.TABLES, read("b.cfg"))
    assert full == common.fill(cbldm.TABLES, {"qmax": 22.0})
    assert cbldm.main(["--createconfig=a.cfg"]) == 1
    assert "exists" in capfd.readouterr().err
    assert cbldm.main(["--createconfig=a.cfg", "--force"]) == 0
    assert read("a.cfg") == {"force": "yes"}
    assert cbldm.main(["--createconfig=-"]) == 0
    assert "[DEFAULT]" in capfd.readouterr().out


def test_the_command_line_wins(tmp_path, capfd):
    write(tmp_path / "work" / "cbldm.cfg", "count = 0\n[b]\nqmax = 0.5")
    assert cbldm.main(["a.gr"]) == 1
    assert "cbldm.cfg: count is 0" in capfd.readouterr().err
    write(tmp_path / "work" / "cbldm.cfg", "qmin = 18\nqmax = 5")
    (tmp_path / "work" / "a.gr").write_text(
        "".join(f"{k / 10} {k % 7}\n" for k in range(200))
    )
    assert cbldm.main(["a.gr", "--composition", "Pt"]) == 1
    assert "qmin is 18 and qmax 5" in capfd.readouterr().err
    assert cbldm.main(["a.gr", "--qmax=5", "--qmin=6"]) == 1
    assert "qmin is 6 and qmax 5" in capfd.readouterr().err


def test_what_is_no_result(tmp_path):
    (tmp_path / "a.res").write_text('{"schema": "other"}')
    with pytest.raises(CbldmError, match="not a result of cbldm"):
        read(str(tmp_path / "a.res"))
    with pytest.raises(CbldmError, match="has no sections"):
        read(str(tmp_path / "a.res"), "fast")


def test_a_result_names_its_input_and_settings(tmp_path, monkeypatch):
    used = {"version": "0", "composition": "Pt", "qdamp": None, "count": 3}
    text = json.dumps(
        {"schema": config.SCHEMA, "input": "a.gr", "settings": used}
    )
    (tmp_path / "a.res").write_text(text)
    (tmp_path / "a.gr").write_text("")
    found = read(str(tmp_path / "a.res"))
    assert found == {
        **{"composition": "Pt", "count": 3},
        "inputs": [str(tmp_path / "a.gr")],  # where the result lies
    }
    (tmp_path / "work" / "a.gr").write_text("")
    assert read("../a.res")["inputs"] == ["a.gr"]
