"""Proposals are kept for a PDF that comes again, and only for that one."""

import dataclasses
import warnings

import numpy as np
import pytest

import diffpy_cbldm as cb
from diffpy_cbldm.crystals.table import load_table
from diffpy_cbldm.errors import CbldmWarning
from diffpy_cbldm.search import asked_before, screening_set
from diffpy_cbldm.search.asked_before import Answers, Question
from diffpy_cbldm.solving import two_cores

QUICK = {"count": 8, "refine": 2, "polish": False, "cores": 1}


@pytest.fixture
def pdf():
    table = load_table()
    k = next(k for k, g in enumerate(table.geometries) if g.n_atoms == 55)
    truth = cb.Candidate("Pt", 2.775 * table.positions(k))
    (pdf,) = cb.simulate(truth, qmax=25.0, rmax=20.0)
    return pdf


@pytest.fixture
def asked(monkeypatch):
    """Generators, as they are asked."""
    names = []
    usual = two_cores.propose

    def propose(target, **more):
        names.extend(more["generators"])
        return usual(target, **more)

    monkeypatch.setattr(two_cores, "propose", propose)
    return names


def answers(solution):
    return [
        (c.generator, len(c), c.rw, c.positions.tobytes())
        for c in solution.candidates
    ]


def test_the_same_pdf_again_asks_nobody_and_has_the_same_answer(pdf, asked):
    steps = []
    first = cb.solve(pdf, generators="library,screen", **QUICK)
    assert sorted(asked) == ["library", "screen"]
    again = cb.solve(
        dataclasses.replace(pdf),
        generators="library,screen",
        progress=lambda what, done, of: steps.append((what, done)),
        **QUICK,
    )
    assert len(asked) == 2
    assert answers(again) == answers(first)
    assert steps[:3] == [
        ("propose (library)", 0),
        ("propose (screen)", 1),
        ("quick fit", 2),
    ]
    assert list(again.timings) == list(first.timings)


@pytest.mark.parametrize(
    "other",
    [
        {"count": 9},
        {"seed": 1},
        {"rmax": 18.0},
        {"qdamp_range": (0.0, 0.03)},
        {"generators": "screen"},
    ],
)
def test_what_proposals_depend_on_is_asked_anew(pdf, asked, other):
    one = {"generators": "library", **QUICK}
    cb.solve(pdf, **one)
    cb.solve(pdf, **one | other)
    assert len(asked) == 2


def test_other_data_are_asked_anew(pdf, asked):
    cb.solve(pdf, generators="library", **QUICK)
    for other in (
        dataclasses.replace(pdf, g=1.01 * pdf.g),
        dataclasses.replace(pdf, qmax=24.0),
        dataclasses.replace(pdf, composition="Au"),
    ):
        cb.solve(other, generators="library", **QUICK)
    assert len(asked) == 4


def test_refinements_and_edits_of_the_second_time_are_their_own(pdf, asked):
    first = cb.solve(pdf, generators="library", **QUICK)
    more = cb.solve(pdf, generators="library", **QUICK | {"refine": 3})
    assert len(asked) == 1
    refined = [[c.rw for c in s.candidates if c.rw] for s in (first, more)]
    assert len(refined[0]) == 2 and refined[1][:2] == refined[0]
    assert len(refined[1]) == 3


def test_only_the_last_answers_are_kept(monkeypatch):
    some, made = Answers(), []

    def ask(name, atoms=1):
        return some.of(
            name, lambda: made.append(name) or [name], lambda _: atoms
        )

    for name in ("a", "b", "a", "c"):
        assert ask(name) == [name]
    assert made == ["a", "b", "c"]
    # "b" was asked longest ago.
    assert "a" in some and "b" not in some and "c" in some
    ask("large", asked_before.MOST + 1)
    assert "large" not in some
    some.cache_clear()
    assert "a" not in some


def test_a_set_that_is_made_again_is_asked_anew(
    pdf, asked, tmp_path, monkeypatch
):
    monkeypatch.setenv("CBLDM_CACHE", str(tmp_path))
    kept = screening_set._path(screening_set.SHIPPED + 1)
    for content, count in (("damaged", 1), ("damaged", 1), ("again", 2)):
        if not kept.exists() or kept.read_text() != content:
            kept.write_text(content)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CbldmWarning)
            cb.solve(pdf, generators="screen", **QUICK)
        assert len(asked) == count


def test_a_question_is_what_the_data_hold(pdf):
    from diffpy_cbldm.fitting.target import Target

    same = dataclasses.replace(pdf, g=pdf.g.copy())
    assert Question.of(Target.of(pdf)) == Question.of(Target.of(same))
    noisy = pdf.g + 1e-9 * np.random.default_rng(0).normal(size=len(pdf.g))
    other = dataclasses.replace(pdf, g=noisy)
    assert Question.of(Target.of(pdf)) != Question.of(Target.of(other))


def test_data_beyond_the_range_may_tell_the_curve_in_it():
    from diffpy_cbldm.fitting.target import Target

    r = np.arange(0.0, 80.0, 0.02) + 0.003  # between the points of the grid
    g = np.sin(2.3 * r) * np.exp(-r / 20)
    pdf = cb.PDFData(r, g, composition="Pt", qmin=0.0, qmax=25.0)
    other = dataclasses.replace(pdf, g=np.where(r > 60.001, -3 * g, g))
    one, two = Target.of(pdf, rmax=60.0), Target.of(other, rmax=60.0)
    assert np.array_equal(one.curve, two.curve)
    assert not np.array_equal(one.far_curve, two.far_curve)
    assert Question.of(one) != Question.of(two)
