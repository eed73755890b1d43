"""Locks that were left, databases that were never completed, passwords."""

import contextlib
import os
import pathlib
import platform
import sqlite3
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from ase.db import connect
from ase.db.sqlite import index_statements, init_statements

import diffpy_cbldm as cb
from diffpy_cbldm import databases
from diffpy_cbldm.commands import cbldm, common
from diffpy_cbldm.output import database
from diffpy_cbldm.solving.solution import Solution


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def solution():
    candidates = [
        cb.Candidate(
            "Pt", np.eye(3) * k, structure_type="fcc", generator="library"
        )
        for k in (2.5, 2.6)
    ]
    r = np.arange(1, 9, 0.02)
    return Solution(
        candidates=candidates,
        rw_quick=[0.1, 0.2],
        settings={},
        timings={},
        warnings=(),
        pdf=cb.PDFData(r, np.sin(r), composition="Pt"),
    )


def rows(path="all.db"):
    return connect(path).count()


def sound(path="all.db"):
    with contextlib.closing(sqlite3.connect(path)) as file:
        return file.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def dead_process():
    """The number of a process that has ended."""
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    return done.pid


def test_a_lock_of_a_dead_process_is_no_obstacle(solution, monkeypatch):
    monkeypatch.setattr(databases, "WAIT", 0.0)
    owner = f"{platform.node()} {dead_process()}\n"
    pathlib.Path("all.db.lock").write_text(owner)
    database.add_rows(solution, "a.gr", "all.db")
    assert rows() == 2 and not os.path.exists("all.db.lock")


@pytest.mark.parametrize(
    "owner",
    ["", "elsewhere 1\n", f"{platform.node()} {os.getpid()}", "?"],
    ids=["nobody", "elsewhere", "alive", "unreadable"],
)
def test_another_lock_is_waited_for_and_named(owner, solution, monkeypatch):
    """It may belong to a program that writes, and is left alone."""
    assert databases.WAIT == 30
    monkeypatch.setattr(databases, "WAIT", 0.3)
    pathlib.Path("all.db.lock").write_text(owner)
    start = time.perf_counter()
    with pytest.raises(cb.CbldmError, match="remove all.db.lock") as caught:
        database.add_rows(solution, "a.gr", "all.db")
    assert 0.3 <= time.perf_counter() - start < 20
    assert len(str(caught.value).splitlines()) == 1
    assert pathlib.Path("all.db.lock").read_text() == owner
    assert not os.path.exists("all.db")


def test_the_lock_is_seen_before_any_work(solution, monkeypatch, capfd):
    database.add_rows(solution, "a.gr", "all.db")
    pathlib.Path("all.db.lock").write_text("")
    monkeypatch.setattr(databases, "WAIT", 0.1)
    words = ["none.gr", "-t", "db", "--database", "all.db"]
    assert cbldm.main(words) == 1
    err = capfd.readouterr().err
    assert "all.db.lock exists" in err and len(err.splitlines()) == 1


def test_a_lock_that_is_given_up_in_time(solution):
    """The lock is ASE's: its own programs and ours exclude one another."""
    lock = connect("all.db").lock
    lock.acquire()
    timer = threading.Timer(0.5, lock.release)
    timer.start()
    database.add_rows(solution, "a.gr", "all.db")
    timer.join()
    assert rows() == 2


def test_many_writers(solution):
    writers = [
        threading.Thread(
            target=database.add_rows, args=(solution, f"{k}.gr", "all.db")
        )
        for k in range(6)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert rows() == 12 and sound()
    assert [p.name for p in pathlib.Path().iterdir()] == ["all.db"]


@pytest.mark.parametrize("made", range(len(init_statements) + 4))
def test_a_database_killed_while_it_was_made(made, solution):
    """ASE makes one table after the other, each of them at once."""
    statements = [*init_statements, *index_statements]
    with contextlib.closing(sqlite3.connect("all.db")) as file, file:
        for statement in statements[:made]:
            file.execute(statement)
    databases.check("all.db")
    database.add_rows(solution, "a.gr", "all.db")
    database.add_rows(solution, "b.gr", "all.db")
    assert rows() == 4 and sound()
    assert {row.source for row in connect("all.db").select()} == {
        *("a.gr", "b.gr")
    }


def test_an_empty_file_is_a_new_database(solution):
    pathlib.Path("all.db").touch()
    databases.check("all.db")
    database.add_rows(solution, "a.gr", "all.db")
    assert rows() == 2


def test_rows_of_an_old_version_are_left_alone(solution):
    with contextlib.closing(sqlite3.connect("all.db")) as file, file:
        file.execute(init_statements[0])
        file.execute("INSERT INTO systems (unique_id) VALUES ('mine')")
    with pytest.raises(cb.CbldmError, match="all.db cannot be written"):
        database.add_rows(solution, "a.gr", "all.db")
    with contextlib.closing(sqlite3.connect("all.db")) as file:
        (row,) = file.execute("SELECT unique_id FROM systems").fetchall()
    assert row == ("mine",)


def test_rows_are_all_there_or_none(solution, monkeypatch):
    database.add_rows(solution, "a.gr", "all.db")
    with contextlib.closing(sqlite3.connect("all.db")) as file, file:
        file.execute(
            "CREATE TRIGGER full BEFORE INSERT ON systems WHEN "
            "(SELECT COUNT(*) FROM systems) > 2 BEGIN "
            "SELECT RAISE(ABORT, 'database or disk is full'); END"
        )
    with pytest.raises(cb.CbldmError, match="disk is full"):
        database.add_rows(solution, "b.gr", "all.db")
    assert rows() == 2 and not os.path.exists("all.db.lock")


SECRETS = ["pa55word", "pa/55word", "p@55/wo:rd", "pa%2Fss%40", "a b=c55"]


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize(
    "form",
    [
        "postgresql://me:{}@localhost:1/db",
        "postgresql:/me:{}@localhost:1/db",
        "postgresql:me:{}@localhost/db",
        "mysql://me:{}@localhost:1/db",
        "oracle://me:{}@localhost/db",
    ],
)
def test_passwords_are_never_shown(secret, form, capfd, here):
    address = form.format(secret)
    (here / "bad.cfg").write_text(f"[DEFAULT]\ndatabase {address}\n")
    for words in (
        ["a.gr", "-t", "db", "--database", address],
        ["a.gr", "-t", "db", f"--databse={address}"],
        ["a.gr", "-c", "bad.cfg"],
        ["a.gr", "--verbose=debug", "-t", "db", "--database", address],
    ):
        assert cbldm.main(words) in (1, 2)
        out, err = capfd.readouterr()
        assert err and secret not in out + err
        for piece in ("55word", "wo:rd", "ss%40", "a b=c", "c55"):
            assert piece not in secret or piece not in out + err, err


def test_drivers_that_repeat_the_password(monkeypatch):
    import ase.db

    def refuse(address):
        raise ValueError("bad port number: 'ss@localhost'")

    monkeypatch.setattr(ase.db, "connect", refuse)
    monkeypatch.setattr(databases, "_check_server", lambda *_: None)
    with pytest.raises(cb.CbldmError) as caught:
        databases.check("postgresql://me:pa:ss@localhost/db")
    assert "'ss" not in str(caught.value) and "me:pa" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_what_is_no_address_is_shown():
    text = "x@b.gr exists: use @h or @b, see https://a.org/?b=@c, 1:2"
    assert databases.masked(text) == text
    address = "postgresql://me@host/x?password=abc&port=1"
    assert databases.masked(f"is {address}.") == (
        "is postgresql://***@host/x?password=***&port=1."
    )


def test_faults_do_not_show_passwords(capfd):
    error = RuntimeError("no answer from mysql://me:secret@host/db")
    text = common.fault("cbldm", error, debug=True)
    common.complain("cbldm", text)
    assert "secret" not in capfd.readouterr().err
