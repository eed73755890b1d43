"""Series: their plan, their order, and an engine that loses no frame."""

import contextlib
import dataclasses
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time
import types

import numpy as np
import pytest
from ase.build import bulk

import diffpy_cbldm as cb
from diffpy_cbldm.commands import cbldm
from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.output.series import write_series
from diffpy_cbldm.pdfdata import write_gr
from diffpy_cbldm.search.by_neighbours import neighbours_generator, resized
from diffpy_cbldm.series import clients, engine, flights, jobs
from diffpy_cbldm.series.asked import for_keys, read_crystals
from diffpy_cbldm.series.engine import Engine
from diffpy_cbldm.series.frames import Frame, Told, patience_with
from diffpy_cbldm.series.many import Listed, solve_many, write_table
from diffpy_cbldm.series.order import header_value, in_order
from diffpy_cbldm.series.plan import Plan
from diffpy_cbldm.series.records import Record
from diffpy_cbldm.series.store import Store
from diffpy_cbldm.settings import Solve
from diffpy_cbldm.solving.atom_range import AtomRange
from tests.series_work import TRIED, pdf, quick

distributed = pytest.importorskip("distributed", reason="no distributed")

FAST = {
    "generators": ("library",),
    "count": 3,
    "refine": 1,
    "polish": False,
}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def threads():
    """A cluster of two threads in this process."""
    return distributed.LocalCluster(
        n_workers=1,
        threads_per_worker=2,
        processes=False,
        dashboard_address="127.0.0.1:0",
        silence_logs=50,
    )


@pytest.fixture(scope="module")
def client():
    with threads() as cluster, distributed.Client(cluster) as client:
        yield client


@pytest.fixture(scope="module")
def octahedra():
    """PDFs of an octahedron of 19 atoms, and of one of 44, at four Uiso."""
    made = []
    for size in (3, 4):
        x = sites(size)
        for k in range(4):
            (one,) = cb.simulate(
                [cb.Cluster("Pt", x)], biso=0.3 + 0.02 * k, rmax=14.0
            )
            made.append(dataclasses.replace(one, source=f"{size} {k}"))
    return made


def sites(size):
    """An octahedron of fcc with so many atoms along an edge, angstrom."""
    axis = np.arange(-size, size + 1)
    x = np.stack(np.meshgrid(axis, axis, axis), axis=-1).reshape(-1, 3)
    parity = (size + 1) % 2
    x = x[(x.sum(1) % 2 == parity) & (abs(x).sum(1) <= size - 1)]
    return x * 2.77 / 2**0.5


def run(client, store, frames, heard=None, **more):
    made = Engine(
        lambda: client, store, Listed(frames), {}, heard=heard, **more
    )
    made.work = quick
    return made.run()


def frames(count):
    return [Frame(f"frame {k}", float(k), pdf(k)) for k in range(count)]


# The plan


@pytest.mark.parametrize("parts", [(40,), (1,) * 40, (7, 1, 32)])
def test_every_frame_once_after_those_it_starts_from(parts):
    plan, done = Plan(8), []
    for part in parts:
        plan.extend(part)
        while (frame := plan.next()) is not None:
            beside = plan.beside[frame]
            assert set(beside) <= set(done)
            assert (beside == ()) == (frame % 8 == 0)
            assert all(abs(frame - k) <= 8 for k in beside)
            done.append(frame)
            plan.end(frame)
    assert sorted(done) == list(range(40))


def test_what_a_frame_starts_from_is_kept_as_long_as_needed():
    plan, kept = Plan(4), set()
    plan.extend(30)
    most = 0
    while (frame := plan.next()) is not None:
        assert kept.issuperset(plan.beside[frame])
        kept.add(frame)
        kept -= set(plan.end(frame))
        most = max(most, len(kept))
    assert most < 12 and len(kept) <= 2


def test_all_full():
    plan = Plan(1)
    plan.extend(5)
    assert [plan.next() for _ in range(6)] == [0, 1, 2, 3, 4, None]
    assert set(plan.beside.values()) == {()}


# The order


def test_orders(here):
    names = ["b/run10.gr", "a/run2.gr", "run1.gr"]
    assert [n for n, _ in in_order(names)] == names
    assert [n for n, _ in in_order(names, "names")] == names[::-1]
    for k, name in enumerate(["x.gr", "y.gr"]):
        pathlib.Path(name).write_text("")
        os.utime(name, (1000 - k, 1000 - k))
    timed = in_order(["x.gr", "y.gr"], "times")
    assert [n for n, _ in timed] == ["y.gr", "x.gr"]
    table = "file,T\nrun1.gr,300\nrun2.gr,100\nrun10.gr,200\n"
    pathlib.Path("t.csv").write_text(table)
    assert in_order(names, "t.csv") == [
        ("a/run2.gr", 100.0),
        ("b/run10.gr", 200.0),
        ("run1.gr", 300.0),
    ]


@pytest.mark.parametrize(
    ("order", "said"),
    [
        ("sideways", "expected given, names, times or a csv"),
        ("short.csv", "a line with its name"),
        ("bad.csv", "line 2.*a number"),
        ("times", "its time cannot be told"),
    ],
)
def test_orders_that_cannot_be(order, said):
    pathlib.Path("short.csv").write_text("b.gr,1\n")
    pathlib.Path("bad.csv").write_text("b.gr,1\na.gr,warm\n")
    with pytest.raises(cb.CbldmError, match=f"{said}.*--order"):
        in_order(["a.gr"], order)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("[DEFAULT]\ntemperature = 300.5\n", 300.5),
        ("# Sample_Temperature (K): 120\n", 120),
        ("time = 12\ntemp = 3e2\n", 300),
        ("elapsed (s) = 40\n", 40),
        ("rpoly = 0.9\n", None),
        ("mytime = 3\n", None),
    ],
)
def test_what_headers_tell(text, value):
    pathlib.Path("a.gr").write_text(text)
    assert header_value("a.gr") == value


# Neighbours


def test_other_sizes_keep_their_bonds_and_outline():
    small, large = sites(5), sites(7)
    for x in (small, large):
        for atoms in (len(x) - 9, len(x), len(x) + 9, round(1.5 * len(x))):
            y = resized(x, atoms)
            apart = np.linalg.norm(y[:, None] - y, axis=-1)
            near = apart[np.triu_indices(len(y), 1)]
            assert len(y) == atoms and near.min() > 2.76
            # On the same lattice.
            squares = (near / 2.77) ** 2
            np.testing.assert_allclose(squares, squares.round(), atol=1e-6)
    # Half of a layer lies upon all facets of an octahedron, and not on one.
    grown = resized(small, len(small) + 56)
    own = np.linalg.eigvalsh(np.cov((grown - grown.mean(0)).T))
    assert own.max() / own.min() < 1.1


def test_flat_and_tiny_particles_have_other_sizes():
    square = np.array([[x, y, 0] for x in range(3) for y in range(3)], float)
    assert len(resized(square, 6)) == 6
    assert len(resized(square, 12)) == 12
    # One atom has no rows that go on.
    assert len(resized(np.zeros((1, 3)), 4)) == 1


def test_neighbours_are_proposed_with_their_origin(octahedra):
    start = cb.Candidate("Au", sites(3), structure_type="oct")
    some = neighbours_generator(octahedra[0], starts=[start])
    assert {c.composition for c in some[:1]} == {"Pt19"}
    assert some[0].notes == ("from oct with 19 atoms of a neighbouring PDF",)
    assert {len(c) for c in some} == {17, 18, 19, 20, 21}
    assert neighbours_generator(octahedra[0]) == []


def test_a_range_is_never_narrower_than_that_of_neighbours(octahedra):
    solution = cb.solve(octahedra[0], **FAST)
    given = dataclasses.replace(solution, atoms=AtomRange(100, 99, 101, 0.9))
    known = [
        jobs.Known((), 0.1, 0.8, 1.05),
        jobs.Known((), 0.1, 0.9, 1.2),
    ]
    wide = jobs.with_their_range(given, known).atoms
    assert (wide.low, wide.atoms, wide.high) == (80, 100, 120)
    same = jobs.with_their_range(given, [jobs.Known((), 0.1)]).atoms
    assert (same.low, same.high) == (99, 101)
    assert jobs.with_their_range(solution, known) is solution


# The engine


def test_neighbours_answer_and_a_change_of_type_is_seen(client, octahedra):
    """A jump of the misfit asks all generators."""
    pdfs = octahedra[:4] + octahedra[4:]
    many = solve_many(pdfs, client=client, full_every=8, **FAST)
    records = many.records
    assert [r.n_atoms for r in records] == [19] * 4 + [44] * 4
    full = [r.full for r in records]
    assert full[0] and not all(full) and any(full[1:])
    beside = full.index(False)
    best = many.solution(beside).candidates[0]
    assert best.generator == "neighbours"
    assert "of a neighbouring PDF" in best.notes[0]
    alone = cb.solve(pdfs[beside], **FAST).candidates[0]
    assert best.rw == pytest.approx(alone.rw, abs=1e-4)
    made = many.to_dataframe()
    assert list(made.n_atoms) == [r.n_atoms for r in records]


def test_a_repeated_run_skips_what_is_there(client):
    store, counted = Store("a.db"), []
    first = run(client, store, frames(12), heard=counted.append)
    assert len(counted) == 12 and len(store.records()) == 12
    assert [t.record.n_atoms for t in first] == [
        len(pdf(k).r) for k in range(12)
    ]
    TRIED.clear()
    again = run(client, store, frames(12))
    assert TRIED == []
    assert [t.record for t in again] == [t.record for t in first]


def test_no_worker_starts_where_all_is_there(client, monkeypatch):
    store, some = Store("a.db"), frames(40)
    some.insert(2, Frame("missing.gr"))
    run(client, store, some)
    TRIED.clear()

    def started(workers, memory):
        raise AssertionError("a worker was started")

    monkeypatch.setattr(clients, "_local", started)
    with clients.connected(2) as connect:
        told = Engine(connect, store, Listed(some), {}).run()
    assert [t.record.state for t in told].count("done") == 40
    assert not TRIED


def test_frames_that_there_is_no_room_for_are_given_back(client):
    """Two threads take four of the frames that were claimed at first."""
    one, two = Store("a.db"), Store("a.db")
    made = Engine(lambda: client, one, Listed(frames(20)), {})
    made.work = quick
    made._take_frames()
    made._fill()
    assert sorted(made.flying.futures) == [0, 1, 2, 3]
    keys = [made._read(t)[0].key for t in made.told]
    answers = two.claim_all([(key, "other") for key in keys])
    assert [a for a, _ in answers] == ["busy"] * 4 + ["mine"] * 16
    two.release(keys)
    assert [t.record.state for t in made.run()] == ["done"] * 20


class Future:
    """What `Flights` looks at."""

    def __init__(self, status):
        self.status = status


def test_more_frames_are_on_their_way_where_they_are_short(monkeypatch):
    now = [0.0]
    clock = types.SimpleNamespace(monotonic=lambda: now[0])
    monkeypatch.setattr(flights, "time", clock)
    some = flights.Flights()
    some.threads = 4
    assert some.room == flights.PER_THREAD * 4
    for seconds, most in ((3.0, 8), (0.02, 64), (3.0, 8)):
        for _ in range(12):
            now[0] += seconds
            some.futures = {k: Future("finished") for k in range(4)}
            assert list(some.come()) == [0, 1, 2, 3]
        assert some.room == most


def test_what_came_back_is_taken_before_workers_run_out_of_work():
    some = flights.Flights()
    some.threads = 1
    some.futures = dict(enumerate(map(Future, ("error", "pending"))))
    assert list(some.come()) == [0] and list(some.futures) == [1]
    began = time.monotonic()
    assert some.come() == {}
    assert time.monotonic() - began < 2 * flights.TICK + 1


def test_bad_files_are_told_and_the_others_go_on(client, here):
    for name in ("a.gr", "c.gr"):
        write_gr(name, pdf(3))
    (here / "b.gr").write_text("no numbers")
    named = [Frame(n) for n in ("a.gr", "b.gr", "missing.gr", "c.gr")]
    store = Store("a.db")
    told = [t.record for t in run(client, store, named)]
    assert [r.state for r in told] == ["done", "failed", "failed", "done"]
    assert "b.gr" in told[1].reason and "missing.gr" in told[2].reason
    # The same data under two names are one.
    assert len(store.records()) == 3


def cadmium_selenide(edge=6.05):
    return bulk("CdSe", "zincblende", a=edge)


def test_compounds_and_what_they_are_cut_from_go_to_workers(client, here):
    cadmium_selenide().write("a.cif")
    one = dataclasses.replace(pdf(1), composition="CdSe")
    asked = {"crystals": ["a.cif"], "together": [(pdf(2), 0.5)]}
    made = Engine(
        lambda: client, Store("a.db"), Listed([Frame("x", None, one)]), asked
    )
    made.work = quick
    (told,) = made.run()
    assert told.record.state == "done"
    # Workers need no file, and their results name it all the same.
    job, _ = made._read(Told(Frame("x", None, one)))
    (crystal,) = job.asked["crystals"]
    assert crystal.formula == "CdSe" and crystal.source == "a.cif"


def test_keys_are_made_of_what_crystals_and_pdfs_hold(here):
    def key(**asked):
        return json.dumps(for_keys(read_crystals(asked)))

    cadmium_selenide().write("a.cif")
    first = key(crystals=["a.cif"])
    assert first == key(crystals="a.cif")
    (here / "b").mkdir()
    cadmium_selenide().write("b/a.cif")
    assert first == key(crystals=["b/a.cif"])
    cadmium_selenide(6.1).write("a.cif")
    assert first != key(crystals=["a.cif"])
    assert key(together=pdf(1)) == key(together=[(pdf(1), 1.0)])
    assert key(together=pdf(1)) != key(together=[(pdf(1), 0.5)])
    assert key(together=pdf(1)) != key(together=pdf(2))
    # What is not asked for leaves the keys of older stores as they are.
    plain = {"seed": 0, "crystals": (), "together": []}
    assert for_keys(plain) == plain
    with pytest.raises(CbldmError, match="no such file"):
        read_crystals({"crystals": ["none.cif"]})


def test_a_jump_asks_the_generators_of_a_single_search():
    assert list(jobs._names({})) == Solve.generators.split(",")


def test_faults_are_tried_three_times(client):
    TRIED.clear()
    store = Store("a.db")
    some = [Frame("fault", None, pdf(0)), *frames(4)[1:]]
    told = run(client, store, some)
    assert TRIED.count("fault") == 3 and len(TRIED) == 6
    assert told[0].record.reason == "a fault"
    # It is not tried again, unless that is asked for.
    run(client, store, some)
    assert len(TRIED) == 6
    run(client, store, some, again=True)
    assert TRIED.count("fault") == 6 and len(TRIED) == 9


def test_two_runs_share_a_store(client):
    """What another run has claimed is waited for and not done."""
    one, two = Store("a.db"), Store("a.db")
    some = frames(6)
    engine_of_one = Engine(lambda: client, one, Listed(some), {})
    engine_of_one.work = quick
    key = engine_of_one._read(Told(some[2]))[0].key
    assert two.claim(key, "frame 2")[0] == "mine"

    def heard(told):
        if len(one.records()) == 5:
            two.finish(Record(key, "frame 2", n_atoms=7))

    engine_of_one.heard = heard
    told = engine_of_one.run()
    assert told[2].record.n_atoms == 7
    assert len(one.records()) == 6


def test_a_full_disk_ends_the_run_and_the_next_goes_on(client, monkeypatch):
    store, finish = Store("a.db"), Store.finish_all

    def full(self, ended):
        if len(self.records()) + len(ended) > 5:
            raise cb.CbldmError("the disk is full.")
        return finish(self, ended)

    with monkeypatch.context() as patched:
        patched.setattr(Store, "finish_all", full)
        with pytest.raises(cb.CbldmError, match="of 8 frames.*again") as told:
            run(client, store, frames(8))
    assert f"{len(store.records())} of 8" in str(told.value)
    # Its claims were given back: nothing is waited for.
    assert Store("a.db").claim("0" * 32, "other")[0] == "mine"
    told = run(client, Store("a.db"), frames(8))
    assert [t.record.state for t in told] == ["done"] * 8


def test_a_scheduler_that_is_lost_comes_back(monkeypatch):
    monkeypatch.setattr(engine, "POLL", 0.1)
    with contextlib.ExitStack() as stack:
        clusters = [stack.enter_context(threads()) for _ in range(2)]
        some = [
            stack.enter_context(distributed.Client(c, set_as_default=False))
            for c in clusters
        ]
        coming = iter(some)

        lost = []

        def heard(told):
            # Answers that come together are stored together: there may never
            # be exactly so many.
            if not lost and len(store.records()) >= 4:
                lost.append(clusters[0].close())

        store = Store("a.db")
        made = Engine(
            lambda: next(coming), store, Listed(frames(30)), {}, heard=heard
        )
        made.work = quick
        told = made.run()
    assert [t.record.state for t in told] == ["done"] * 30
    assert len(store.records()) == 30 and next(coming, None) is None


def test_a_frame_that_ends_its_workers_is_given_up(monkeypatch):
    # Nothing is solved here.
    monkeypatch.setattr(clients, "PRELOADED", ["distributed"])
    store = Store("a.db")
    some = frames(8)
    some.insert(3, Frame("poison", None, pdf(100)))
    with clients.connected(2) as connect:
        told = run(connect(), store, some)
    states = [t.record.state for t in told]
    assert states == ["done"] * 3 + ["failed"] + ["done"] * 5
    assert re.search("died [3-9] times", told[3].record.reason)


def test_workers_that_die_while_they_start_come_back(monkeypatch):
    monkeypatch.setattr(clients, "PRELOADED", ["distributed"])
    monkeypatch.setattr(clients, "KEEP_UP", 0.1)
    with clients.connected(2) as connect:
        client = connect()
        before = set(client.nthreads())
        # What a nanny does whose worker died before it answered.
        for nanny in list(client.cluster.workers.values()):
            client.sync(nanny.close, reason="nanny-instantiate-failed")
        client.wait_for_workers(2, timeout=60)
        assert not before & set(client.nthreads())


def test_machines_that_fail_blame_no_frame():
    assert patience_with(0, 500, 300) == 3
    assert patience_with(2, 500, 300) == 3
    # A tenth of all tasks die: 0.1^5 * 300 < 0.01.
    assert patience_with(50, 500, 300) == 5
    assert patience_with(500, 500, 300) == 10


def test_without_dask(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(cb.CbldmError, match=r"diffpy_cbldm\[series\]"):
        solve_many([pdf(0)])


def test_nobody_answers(monkeypatch):
    monkeypatch.setattr(clients, "CONNECT", 0.2)
    for where, said in (
        ("tcp://127.0.0.1:9", "no scheduler answers"),
        ("missing.json", "file missing.json does not exist"),
    ):
        with pytest.raises(cb.CbldmError, match=said):
            with clients.connected(where) as connect:
                connect()


# Tables


def test_tables(here):
    import pandas

    records = [
        Record("0" * 32, "a.gr", n_atoms=55, rw=0.1, value=300.0),
        Record("1" * 32, "b.gr", "failed", reason="why"),
    ]
    for name, read in (("t.csv", "csv"), ("t.parquet", "parquet")):
        write_table(records, name)
        made = getattr(pandas, f"read_{read}")(name)
        assert list(made.source) == ["a.gr", "b.gr"]
        assert made.n_atoms.iloc[0] == 55 and pandas.isna(made.n_atoms.iloc[1])
    with pytest.raises(cb.CbldmError, match="NAME.csv"):
        write_table(records, "t.txt")


# The command and the page


STARTING = """
import signal

from diffpy_cbldm.series import clients

if __name__ == "__main__":
    # A shell's jobs in the background are started without it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    clients.PRELOADED = ["distributed"]
    try:
        with clients.connected(2) as connect:
            connect()
    except KeyboardInterrupt:
        print("interrupted")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_ctrl_c_while_workers_start(here):
    """One word of it, by who was asked, and no process is left."""
    (here / "starting.py").write_text(STARTING)
    main = subprocess.Popen(
        [sys.executable, "starting.py"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    while len(running(main.pid)) < 3 and main.poll() is None:
        time.sleep(0.02)
    os.killpg(main.pid, signal.SIGINT)
    out, err = main.communicate(timeout=120)
    assert (out, err, main.returncode) == ("interrupted\n", "", 0)
    end = time.monotonic() + 20
    while running(main.pid) and time.monotonic() < end:
        time.sleep(0.1)
    assert not running(main.pid)


def running(session):
    """The processes of a session that have not ended."""
    found = []
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended
            state, _, _, own = stat.read_text().rpartition(")")[2].split()[:4]
            if int(own) == session and state != "Z":
                found.append(stat.parent.name)
    return found


@pytest.fixture
def few_workers(monkeypatch, client):
    """Threads of this process in place of processes of their own."""

    @contextlib.contextmanager
    def connected(where=None, memory=0):
        yield lambda: client

    monkeypatch.setattr(clients, "connected", connected)


WORDS = ["--generators", "library", "-n", "3", "--refine", "1"]
WORDS += ["--polish", "no", "--config", "NONE"]


def page_data(path):
    text = pathlib.Path(path).read_text(encoding="utf-8")
    start = text.index('id="data">') + len('id="data">')
    return json.loads(text[start : text.index("</script>", start)])


def test_a_series_on_the_command_line(octahedra, few_workers, capfd, here):
    for k, one in enumerate([*octahedra[:3], octahedra[4]]):
        write_gr(f"run{9 + k}.gr", dataclasses.replace(one, source=""))
    (here / "t.csv").write_text(
        "run9.gr,9\nrun10.gr,10\nrun11.gr,11\nrun12.gr,12\nbad.gr,13\n"
    )
    (here / "bad.gr").write_text("nothing")
    names = [f"run{9 + k}.gr" for k in range(4)]
    words = ["bad.gr", *sorted(names), *WORDS, "--workers", "2"]
    words += ["--order", "t.csv", "--full-every", "8", "-t", "html,series"]
    words += ["--table", "t.parquet"]
    assert cbldm.main(words) == 1  # for the bad one
    out, err = capfd.readouterr()
    assert "bad.gr" in err and "1 of 5 inputs failed" in err
    lines = [line.split() for line in out.splitlines()]
    (row,) = [line for line in lines if line and line[0] == "run12.gr"]
    assert row[1:3] == ["oct", "44"]
    data = page_data("cbldm-series.html")
    assert data["along"] == [9, 10, 11, 12]
    assert data["sources"] == names
    assert data["links"] == [f"run{9 + k}.html" for k in range(4)]
    assert all(pathlib.Path(link).exists() for link in data["links"])
    trends = {t["name"]: t["values"] for t in data["trends"]}
    assert trends["atoms"] == [19, 19, 19, 44]
    # The highest point of the map is the first peak.
    r, g = np.array(data["map"]["r"]), np.array(data["map"]["g"])
    assert g.shape == (4, len(r)) and abs(r[g[0].argmax()] - 2.77) < 0.2
    # Again: all is there, and nothing is done.
    os.remove("run9.html")
    before = os.stat("run10.html").st_mtime_ns
    assert cbldm.main(words) == 1
    assert os.stat("run10.html").st_mtime_ns == before
    assert pathlib.Path("run9.html").exists()
    assert len(Store("cbldm-series.db").records()) == 5


def test_what_is_no_file_is_refused_before_workers_start(
    octahedra, few_workers, monkeypatch, capfd, here
):
    (here / "folder").mkdir()
    words = [*WORDS, "--workers", "2", "-t", "series", "--table", "t.csv"]
    with monkeypatch.context() as patch:
        # Nothing is left to do.
        patch.setattr(clients, "connected", None)
        assert cbldm.main(["folder", "missing.gr", *words]) == 1
    out, err = capfd.readouterr()
    assert out == "" and "2 of 2 inputs failed" in err
    assert "folder: is a folder" in err and "missing.gr: no such file" in err
    assert not any(here.glob("*.html")) and not any(here.glob("*.csv"))
    # The others are solved.
    write_gr("a.gr", dataclasses.replace(octahedra[0], source=""))
    assert cbldm.main(["folder", "a.gr", *words]) == 1
    (record,) = Store("cbldm-series.db").records()
    assert record.source == "a.gr" and record.state == "done"
    assert "1 of 2 inputs failed: folder" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-o", "-", "-t", "res"], "standard output"),
        (["--database", "x.db"], "expected --store"),
        (["--table", "x.txt"], "NAME.csv"),
        (["--watch", "nowhere"], "the folder nowhere does not exist"),
        (["--full-every", "0"], "expected 1 to"),
        (["--order", "odd"], "expected given, names"),
    ],
)
def test_mistakes_are_told_before_any_work(words, said, capfd):
    write_gr("a.gr", pdf(0))
    assert cbldm.main(["a.gr", "--workers", "2", *WORDS, *words]) == 1
    assert said in capfd.readouterr().err


def test_complete_files_of_a_folder_are_taken(here, monkeypatch):
    from diffpy_cbldm.series import watching

    monkeypatch.setattr(watching, "SETTLED", 0.5)
    made = here / "in"
    made.mkdir()
    (made / "b10.gr").write_text("1 2")
    (made / "b9.gr").write_text("1 2")
    (made / "notes.md").write_text("no data")
    folder = watching.Folder(str(made))
    try:
        assert names_until(folder, 2) == ["b9.gr", "b10.gr"]
        with (made / "c.gr").open("w") as stream:
            for _ in range(8):  # is written for longer than it has to rest
                stream.write("1 2\n")
                stream.flush()
                time.sleep(0.1)
                assert folder.take() == []
        (made / ".d.gr.part").write_text("3 4")
        os.replace(made / ".d.gr.part", made / "d.gr")
        assert sorted(names_until(folder, 2)) == ["c.gr", "d.gr"]
        time.sleep(0.6)
        assert folder.take() == [] and folder.open
    finally:
        folder.stop()
    assert not folder.open


def names_until(folder, count):
    found = []
    end = time.monotonic() + 20
    while len(found) < count and time.monotonic() < end:
        found += [os.path.basename(f.source) for f in folder.take()]
        time.sleep(0.05)
    return found


def test_a_page_while_a_series_runs(octahedra, here):
    told = [
        Told(
            Frame("<a>.gr"),
            Record("0", "<a>.gr", n_atoms=55, atoms_low=50, atoms_high=60),
            np.ones(9, np.float32),
        ),
        Told(Frame("b.gr"), Record("1", "b.gr", "failed", reason="<why>")),
        Told(Frame("c.gr")),
    ]
    write_series(told, "page.html", refresh=30, state="9 frames an hour.")
    text = (here / "page.html").read_text()
    assert 'http-equiv="refresh" content="30"' in text
    assert "&lt;why&gt;" in text and "<a>.gr</td>" not in text
    assert "Series of 3 PDFs" in text and "9 frames an hour." in text
    assert page_data("page.html")["low"] == [50]
