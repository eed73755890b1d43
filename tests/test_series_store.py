"""The store of a series: once each, shared by runs, sound on a full disk."""

import contextlib
import dataclasses
import pathlib
import sqlite3
import subprocess
import sys

import numpy as np
import pytest
from ase.db import connect

import diffpy_cbldm as cb
from diffpy_cbldm.series import store as stores
from diffpy_cbldm.series.records import Record, kept, key_of, record_of
from diffpy_cbldm.series.store import Ended, Store, result_text
from diffpy_cbldm.solving.solution import Solution
from diffpy_cbldm.solving.verdict import Verdict
from tests.postgres import postgres_server

KEYS = [f"{k:032x}" for k in range(12)]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def solution():
    candidates = [
        cb.Candidate(
            "Pt",
            np.eye(3) * length + 1e-8,
            structure_type="fcc",
            generator="library",
            rw=rw,
            parameters={"Pt_Uiso": (0.005, None)},
        )
        for length, rw in ((2.5, 0.1), (2.6, 0.2), (2.7, None))
    ]
    r = np.arange(1, 9, 0.02)
    return Solution(
        candidates=candidates,
        rw_quick=[0.1, 0.2, 0.3],
        settings={"count": 3},
        timings={"total": 1.0},
        warnings=("Qmin is not given.",),
        pdf=cb.PDFData(r, np.sin(r), composition="Pt"),
    )


def test_a_result_comes_back(solution):
    """The full result, and one structure with its figures for ASE."""
    store = Store("a.db")
    record = record_of(solution, KEYS[0], "300")
    assert store.claim(KEYS[0], "300") == ("mine", None)
    assert store.finish(
        record, result_text(kept(solution)), solution.candidates[0]
    )
    again = store.solution(KEYS[0])
    assert len(again.candidates) == 2 and again.settings == {"count": 3}
    assert again.candidates[1].rw == 0.2
    np.testing.assert_array_equal(again.pdf.g, solution.pdf.g)
    np.testing.assert_allclose(
        again.candidates[0].positions, np.eye(3) * 2.5, atol=1e-5
    )
    (row,) = connect("a.db").select(structure_type="fcc")
    assert row.natoms == 3 and row.rw == 0.1 and row.uiso == 0.005
    np.testing.assert_allclose(row.bond, 2.5 * 2**0.5)
    (told,) = store.records()
    assert told == dataclasses.replace(record, source="./300")
    with pytest.raises(cb.CbldmError, match="has no result under"):
        store.solution(KEYS[1])


def test_no_structure_is_no_type_and_no_size(solution):
    none = Verdict("none", 0.0, (), ("fcc",), kind="noise", reason="noise")
    record = record_of(
        dataclasses.replace(solution, verdict=none), KEYS[0], "a.gr"
    )
    assert record.state == "done" and record.structure_type == "none"
    assert record.n_atoms is None and record.reason == "noise"
    good = dataclasses.replace(none, state="good")
    record = record_of(
        dataclasses.replace(solution, verdict=good), KEYS[0], "a.gr"
    )
    assert record.structure_type == "fcc" and record.n_atoms == 3


def test_the_key_is_of_data_settings_and_version(solution, monkeypatch):
    pdf, asked = solution.pdf, {"count": 3, "polish": "no"}
    key = key_of(pdf, asked)
    assert len(key) == 32
    elsewhere = dataclasses.replace(pdf, source="elsewhere.gr")
    assert key_of(elsewhere, dict(reversed(asked.items()))) == key
    others = [
        key_of(pdf, {"count": 4, "polish": "no"}),
        key_of(dataclasses.replace(pdf, qmax=20.0), asked),
        key_of(dataclasses.replace(pdf, g=pdf.g + 1e-9), asked),
        key_of(dataclasses.replace(pdf, dg=np.ones_like(pdf.g)), asked),
        # Given, and no longer assumed.
        key_of(dataclasses.replace(pdf, assumed=frozenset()), asked),
    ]
    monkeypatch.setattr("diffpy_cbldm.series.records.__version__", "9")
    others.append(key_of(pdf, asked))
    assert len({key, *others}) == 7


def test_a_frame_is_done_once():
    one, two = Store("a.db"), Store("a.db")
    assert one.claim(KEYS[0], "a.gr") == ("mine", None)
    assert two.claim(KEYS[0], "a.gr") == ("busy", None)
    assert one.claim(KEYS[0], "a.gr") == ("mine", None)  # its own
    record = Record(KEYS[0], "a.gr", n_atoms=55)
    assert one.finish(record) and not two.finish(record)
    assert two.claim(KEYS[0], "b.gr") == ("done", record)
    assert one.records() == [record]


def test_several_frames_in_one_turn_are_kept_all_or_none():
    store = Store("a.db")
    asked = [(key, "a.gr") for key in KEYS[:2]]
    assert store.claim_all(asked) == [("mine", None)] * 2
    good = Ended(Record(KEYS[0], "a.gr"))
    with pytest.raises(cb.CbldmError):
        store.finish_all([good, Ended(Record(KEYS[1], "a.gr"), best="none")])
    assert store.records() == []
    # The same data twice are kept once.
    assert store.finish_all([good, good]) == [True, False]
    assert [answer for answer, _ in store.claim_all(asked)] == ["done", "mine"]


def test_a_row_is_replaced_without_a_search_through_all():
    Store("s.db").claim("k0", "0.gr")
    with sqlite3.connect("s.db") as file:
        for table in ("keys", "text_key_values", "number_key_values"):
            (plan,) = file.execute(
                f"EXPLAIN QUERY PLAN DELETE FROM {table} WHERE id = 1"
            )
            assert "INDEX" in plan[-1], plan


def test_a_failure_is_kept_until_it_is_tried_again():
    store = Store("a.db")
    record = Record(KEYS[0], "a.gr", "failed", reason="7")
    assert store.finish(record)
    answer, told = store.claim(KEYS[0], "a.gr")
    assert answer == "failed" and told.reason == "./7"
    assert store.claim(KEYS[0], "a.gr", again=True)[0] == "mine"
    assert store.finish(Record(KEYS[0], "a.gr"))
    assert [r.state for r in store.records()] == ["done"]


def test_claims_end(monkeypatch):
    """With their run, or when they were not renewed for long."""
    code = "import sys; from diffpy_cbldm.series.store import Store\n"
    code += "print(Store('a.db').claim(sys.argv[1], 'a.gr')[0])"
    words = [sys.executable, "-c", code, KEYS[0]]
    assert subprocess.check_output(words).strip() == b"mine"
    assert Store("a.db").claim(KEYS[0], "a.gr")[0] == "mine"
    other = Store("a.db")
    assert other.claim(KEYS[0], "a.gr")[0] == "busy"
    monkeypatch.setattr(stores, "LEASE", 0.0)
    assert other.claim(KEYS[0], "a.gr")[0] == "mine"
    other.renew(KEYS)
    monkeypatch.setattr(stores, "LEASE", 600.0)
    first = Store("a.db")
    assert first.claim(KEYS[0], "a.gr")[0] == "busy"
    first.release(KEYS)  # not its own
    assert first.claim(KEYS[0], "a.gr")[0] == "busy"
    other.release(KEYS)
    assert first.claim(KEYS[0], "a.gr")[0] == "mine"
    assert first.records() == []


def test_a_full_disk_leaves_the_store_sound():
    store = Store("a.db")
    store.finish(Record(KEYS[0], "a.gr"))
    with sqlite3.connect("a.db") as file:
        file.execute(
            "CREATE TRIGGER full BEFORE INSERT ON systems WHEN "
            "(SELECT COUNT(*) FROM systems) > 0 BEGIN "
            "SELECT RAISE(ABORT, 'database or disk is full'); END"
        )
    with pytest.raises(cb.CbldmError, match="disk is full.*--store"):
        store.finish(Record(KEYS[1], "b.gr"))
    assert [r.source for r in store.records()] == ["a.gr"]
    assert [p.name for p in pathlib.Path().iterdir()] == ["a.db"]


@pytest.mark.parametrize(
    ("address", "said"),
    [("a.txt", "NAME.db"), ("mysql://me:secret@host/db", "postgresql")],
)
def test_what_is_no_store(address, said):
    with pytest.raises(cb.CbldmError, match=f"{said}.*--store") as caught:
        Store(address)
    assert "secret" not in str(caught.value)


WRITER = """
import sys

from diffpy_cbldm.series.records import Record
from diffpy_cbldm.series.store import Store

address, *keys = sys.argv[1:]
store = Store(address)
for k, key in enumerate(keys):
    if store.claim(key, f"{k}.gr")[0] == "mine":
        store.finish(Record(key, f"{k}.gr", n_atoms=100 + k), "{}")
"""
"""Claims all frames and finishes those that nobody else has."""


def check_writers(address):
    """Eight processes at once: every frame once, with its own figures."""
    words = [sys.executable, "-c", WRITER, address, *KEYS]
    writers = [subprocess.Popen(words) for _ in range(8)]
    assert [process.wait() for process in writers] == [0] * 8
    records = Store(address).records()
    assert sorted(r.key for r in records) == KEYS
    assert all(r.n_atoms == 100 + KEYS.index(r.key) for r in records)
    # As queries of ASE see them, by tables of their own.
    for k in range(len(KEYS)):
        (row,) = connect(address).select(n_atoms=100 + k)
        assert row.source == f"{k}.gr"


def test_eight_writers_to_a_file():
    check_writers("a.db")


def test_eight_writers_to_postgresql():
    with postgres_server() as address:
        check_writers(address)
        check_indexes(address)
        check_tables_of_another(address)


INDEXES = [
    *("keys_of_row", "number_key_values_of_row"),
    *("species_of_row", "text_key_values_of_row"),
]


def check_indexes(address):
    """The tables that ASE empties of a row have an index of its number."""
    import psycopg2

    with contextlib.closing(psycopg2.connect(address)) as link:
        seen = link.cursor()
        seen.execute(
            "SELECT indexname FROM pg_indexes WHERE indexname LIKE '%_of_row' "
            "ORDER BY indexname"
        )
        assert [name for (name,) in seen.fetchall()] == INDEXES
        # As few rows as these would be read from one end to the other.
        seen.execute("SET enable_seqscan = off")
        seen.execute("EXPLAIN DELETE FROM text_key_values WHERE id = 3")
        assert INDEXES[-1] in str(seen.fetchall())


def check_tables_of_another(address):
    """Who may write to tables of another user's, and make no index, writes."""
    import psycopg2

    with contextlib.closing(psycopg2.connect(address)) as link:
        for line in (
            *(f"DROP INDEX {name}" for name in INDEXES),
            "CREATE ROLE guest LOGIN",
            "GRANT ALL ON ALL TABLES IN SCHEMA public TO guest",
            "GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO guest",
        ):
            link.cursor().execute(line)
        link.commit()
    store = Store(address.replace("//me@", "//guest@"))
    assert store.finish(Record("f" * 32, "guest.gr", n_atoms=7))
    # Their owner makes them.
    assert len(Store(address).records()) == len(KEYS) + 1
    check_indexes(address)
