"""The set of random clusters: drawn from numbers, kept, found by its PDF."""

import pathlib
import time

import numpy as np
import pytest
import torch

import diffpy_cbldm as cb
from diffpy_cbldm.crystals.alike import rmsd
from diffpy_cbldm.crystals.cuts import CUT_KINDS, kept_back
from diffpy_cbldm.crystals.table import TEMPLATE_OF, load_table
from diffpy_cbldm.debye.pure import debye_pdf
from diffpy_cbldm.fitting.agreement import rw_scaled
from diffpy_cbldm.fitting.quickfit import quick_fit
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.search import screening_set
from diffpy_cbldm.search.by_screening import rough_rw, screen_generator
from diffpy_cbldm.search.generators import propose
from diffpy_cbldm.search.matching import BOND_CHANGES, Motion
from diffpy_cbldm.search.screening_set import (
    SET_BINS,
    SHIPPED,
    build_set,
    cache_folder,
    histograms,
    load_set,
    main,
    member,
    shipped_set,
)

TABLE = load_table()


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty cache folder."""
    monkeypatch.setenv("CBLDM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def drawn(monkeypatch):
    """Small parts, and which clusters are drawn for them."""
    numbers = []

    def record(wanted):
        if len(wanted) > 3:  # fewer are looked at to know a file
            numbers.extend(wanted)
        return histograms(wanted)

    monkeypatch.setattr(screening_set, "BUILD_PART", 5)
    monkeypatch.setattr(screening_set, "SHIPPED", 10)
    monkeypatch.setattr(screening_set, "histograms", record)
    return numbers


def cluster(number, bond=1.0):
    kind, sites = member(number)
    points = TABLE.sites[TEMPLATE_OF[kind]][sites].astype(float)
    return (points - points.mean(0)) * bond


def same(a, b):
    """Equal but for the last digit of a float16."""
    return a.shape == b.shape and np.allclose(a, b, rtol=2e-3, atol=1e-4)


# ------------------------------------------------------------------ the set


def test_no_member_is_in_the_table_or_kept_for_tests():
    kinds = set()
    for number in range(400):
        kind, sites = member(number)
        template = TEMPLATE_OF[kind]
        kinds.add(kind)
        assert (
            5 <= len(sites) <= 256 and (np.diff(sites.astype(int)) > 0).all()
        )
        assert TABLE.known_type(template, sites) is None
        assert not kept_back(template, sites)
    assert kinds == set(CUT_KINDS)


def test_a_cluster_depends_on_its_number_alone():
    alone = histograms([17])
    together = histograms(range(10, 30))
    backwards = histograms(range(29, 9, -1))
    assert same(alone[0], together[7])
    assert same(backwards[::-1], together)


def test_the_shipped_set_is_the_beginning():
    assert shipped_set().shape == (SHIPPED, SET_BINS)
    assert same(shipped_set()[:150], histograms(range(150)))
    assert same(shipped_set()[-20:], histograms(range(SHIPPED - 20, SHIPPED)))


def test_command_that_ships(tmp_path, drawn, monkeypatch):
    monkeypatch.setattr(screening_set, "SHIPPED", 10)
    main(["--ship", str(tmp_path / "small.npz")])
    with np.load(tmp_path / "small.npz") as data:
        assert same(data["hist"], shipped_set()[:10])


# ---------------------------------------------------------------- the cache


def test_cache_folder(monkeypatch, tmp_path):
    assert cache_folder() == tmp_path / "cache"
    monkeypatch.delenv("CBLDM_CACHE")
    monkeypatch.setattr(screening_set.sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "diffpy_cbldm"
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    assert cache_folder() == pathlib.Path.home() / ".cache/diffpy_cbldm"


def test_the_largest_set_is_read(cache, drawn, capsys):
    assert load_set() is shipped_set()
    assert not cache.exists()  # reading makes none
    done = []
    path = build_set(12, done.append)
    assert done == [5, 5, 2] and [path] == list(cache.iterdir())
    assert same(load_set(), shipped_set()[:12])
    main(["--count", "14"])
    assert "14.npy" in capsys.readouterr().out
    assert same(load_set(), shipped_set()[:14])


def test_a_stopped_build_goes_on(cache, drawn, monkeypatch):
    def stop(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_set(15, stop)
    assert drawn == list(range(5)) and load_set() is shipped_set()
    (folder,) = cache.iterdir()
    (folder / "5.npy").write_bytes(b"half a file")
    path = build_set(15)
    assert drawn == list(range(15))
    assert same(np.load(path), shipped_set()[:15])
    assert list(cache.iterdir()) == [path]


@pytest.mark.parametrize("harm", ["empty", "short", "foreign", "type"])
def test_a_bad_file_is_left_out_and_replaced(harm, drawn):
    path = build_set(12)
    good = path.read_bytes()
    hist = np.load(path)
    if harm in ("empty", "short"):
        path.write_bytes(good[: 0 if harm == "empty" else -100])
    else:
        np.save(path, hist[::-1] if harm == "foreign" else hist.astype(float))
    with pytest.warns(UserWarning, match="does not hold the first 12"):
        assert load_set() is shipped_set()
    assert build_set(12) == path and path.read_bytes() == good
    before = list(drawn)
    assert build_set(12) == path and drawn == before


def test_wrong_count_and_a_set_of_other_clusters(monkeypatch):
    with pytest.raises(cb.CbldmError, match="count is 0"):
        build_set(0)
    monkeypatch.setattr(screening_set, "SEED", 1)
    with pytest.raises(cb.CbldmError, match="make a set of your own"):
        load_set()


# ------------------------------------------------------------ the screening


def test_rough_rw_is_that_of_debye_curves(monkeypatch):
    """Known width and damping: the truth is met, others as by `debye_pdf`."""
    hist = shipped_set()[:300]
    bond, truth = 2.8, 41
    conditions = {"qmin": 0.7, "qmax": 24.0}
    motion = {"u_iso": 0.006, "qdamp": 0.03}
    (pdf,) = cb.simulate(
        [cb.Cluster("Pt", cluster(truth, bond))],
        biso=0.006 * 8 * np.pi**2,
        qdamp=0.03,
        **conditions,
    )
    target = Target.of(pdf)
    monkeypatch.setattr(Target, "bond", bond)
    found = rough_rw(hist, target, np.zeros(1), Motion((0.006,), (0.03,)))
    assert np.argmin(found) == truth and found[truth] < 0.03
    inside = pdf.r >= 1.5
    for k in [*range(30), truth]:
        g = debye_pdf(
            torch.as_tensor(cluster(k, bond))[None],
            rmax=30.0,
            rstep=0.01,
            **conditions,
            **motion,
        )
        exact = rw_scaled(pdf.g[inside], g.numpy()[:, inside])[0]
        assert found[k] == pytest.approx(exact, abs=0.03)


@pytest.mark.parametrize(
    ("number", "bond", "conditions"),
    [
        (3, 2.5, {"qmax": 18.0, "qdamp": 0.0}),
        (57, 2.88, {"qmax": 25.0, "biso": 0.7}),
        (8014, 3.3, {"qmax": 30.0, "qdamp": 0.08}),
    ],
)
def test_a_member_is_found_by_its_pdf(number, bond, conditions):
    truth = cluster(number, bond)
    (pdf,) = cb.simulate([cb.Cluster("Pt", truth)], **conditions)
    pdf = cb.PDFData(
        r=pdf.r, g=pdf.g, composition="Pt", qmin=pdf.qmin, qmax=pdf.qmax
    )
    # Instruments of simulations damp less, and more, than usual ones.
    target = Target.of(pdf, qdamp_range=(0.0, 0.105))
    best, *others = screen_generator(target, count=3)
    assert len(others) == 2 and len(best) == len(truth)
    assert rmsd(best.positions, truth) < 0.02
    (fit,) = quick_fit([best.positions], target)
    assert fit.rw < 2e-3


def test_candidates_are_named_differ_and_are_in_no_library():
    truth = TABLE.positions(500) * 2.77
    (pdf,) = cb.simulate([cb.Cluster("Pt", truth)])
    found = propose(pdf, generators=("screen",), count=20)
    assert len(found) == 20
    assert {c.generator for c in found} == {"screen"}
    assert {c.structure_type for c in found} <= set(CUT_KINDS)
    shapes = {
        (c.structure_type, len(c), *np.round(np.var(c.positions / 2.77, 0), 2))
        for c in found
    }
    assert len(shapes) == 20
    assert all(
        len(c) != len(truth) or rmsd(c.positions, truth) > 0.02 for c in found
    )
    again = screen_generator(pdf, count=20, seed=7)
    few = screen_generator(pdf, count=4)
    key = [c.positions.tobytes() for c in again]
    assert sorted(key) == sorted(c.positions.tobytes() for c in found)
    assert [c.positions.tobytes() for c in few] == key[:4]


def test_data_that_end_early_and_a_wide_q_range():
    truth = cluster(57, 2.88)
    (pdf,) = cb.simulate([cb.Cluster("Pt", truth)], qmax=45.0, rmax=14.0)
    best = screen_generator(pdf, count=1, rmax=13.0)[0]
    assert len(best) == len(truth) and rmsd(best.positions, truth) < 0.02


def test_ten_thousand_clusters_take_not_much_longer_than_one():
    """Processor time: most is what all of them share."""
    (pdf,) = cb.simulate([cb.Cluster("Pt", cluster(9, 2.77))])
    hist, target = shipped_set(), Target.of(pdf).with_qdamp(None)

    def seconds(some):
        start = time.process_time()
        rough_rw(some, target, BOND_CHANGES, Motion())
        return time.process_time() - start

    one = min(seconds(hist[:1]) for _ in range(2))
    assert len(hist) == 10_000 and seconds(hist) < 30 * one
