"""Proposals are kept for a PDF that comes again, and only for that one."""

import dataclasses

import numpy as np
import pytest

import diffpy_cbldm as cb
from diffpy_cbldm.crystals.table import load_table
from diffpy_cbldm.search import asked_before
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


def test_a_question_is_what_the_data_hold(pdf):
    from diffpy_cbldm.fitting.target import Target

    same = dataclasses.replace(pdf, g=pdf.g.copy())
    assert Question.of(Target.of(pdf)) == Question.of(Target.of(same))
    noisy = pdf.g + 1e-9 * np.random.default_rng(0).normal(size=len(pdf.g))
    other = dataclasses.replace(pdf, g=noisy)
    assert Question.of(Target.of(pdf)) != Question.of(Target.of(other))
