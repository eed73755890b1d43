"""Which edits are asked what they predict, and which one is marked."""

import dataclasses
import types

import numpy as np

import diffpy_cbldm as cb
from diffpy_cbldm import threads
from diffpy_cbldm.polishing.candidates import Front
from diffpy_cbldm.solving.polish_stage import _held, _to_polish, marked
from diffpy_cbldm.solving.solution import FrontPoint


def a_front(*edits):
    """A start, and structures with some edits."""
    start = cb.Candidate("Pt", 2.8 * np.eye(3))
    found = [types.SimpleNamespace(edits=(), rw=0.2)]
    found += [types.SimpleNamespace(edits=one, rw=0.1) for one in edits]
    return Front(start, tuple(found), (1.0, 0.0))


def test_only_edits_that_are_asked_for_must_predict():
    fronts = [
        a_front(("sites",)),
        a_front(("orbits",), ("sites",)),
        a_front(("orbits",)),
        a_front(),
    ]
    looked_at = []

    def holds(place):
        looked_at.append(place)
        return place != 2

    def asked(p):
        return not p.edits or "orbits" in p.edits

    with threads.cores(1):
        held = _held(fronts, asked, holds)
    assert looked_at == [1, 2]
    # The start of one whose edits are not asked for stays; what does not
    # predict is left.
    assert [len(front.found) for front in held] == [1, 2, 1]
    assert held[1].found[1].edits == ("orbits",)


def test_starts_a_layer_apart_are_edited_once_where_a_misfit_is_left():
    named = [
        ("cbldm", "dec", 105),
        ("screen", "stacked", 79),
        ("library", "dec", 105),
        ("cbldm", "dec", 106),
        ("cbldm", "dec", 120),
    ]
    starts = [
        cb.Candidate(
            "Pt",
            2.8 * np.arange(3 * n).reshape(n, 3),
            structure_type=kind,
            generator=name,
        )
        for name, kind, n in named
    ]
    told = [[starts.index(c) for c in _to_polish(starts, m)] for m in (0, 1)]
    # Of each generator the first, and then the best of the others.
    assert told == [[0, 1, 2, 3], [0, 1, 2]]


def test_the_front_marks_the_answer():
    """The ranking may prefer another one than the criterion of edits."""

    def point(edits, rw, knee, roughness=15.0):
        return FrontPoint(
            "library", "dec", 100, rw, roughness, 1.0, edits, 8.0, knee
        )

    front = [
        point(("orbits",), 0.11, False),
        point((), 0.16, True),
        point(("sites",), 0.09, False, 17.0),
    ]
    atoms = 2.8 * np.indices((5, 5, 4)).reshape(3, -1).T
    best = cb.Candidate(
        ("Au",) * 100, atoms, "dec", generator="library", edits=("orbits",)
    )
    # What was marked is beaten by the answer, and stood there for its mark.
    assert [(p.edits, p.knee) for p in marked(front, best)] == [
        (("orbits",), True),
        (("sites",), False),
    ]
    other = dataclasses.replace(best, generator="cbldm")
    assert marked(front, other) == tuple(front)
    # Of two that are named alike it is the one with the Rw of the answer.
    lower = [*front, point(("orbits",), 0.08, False, 16.0)]
    near = dataclasses.replace(best, rw=0.081)
    assert [p.rw for p in marked(lower, near) if p.knee] == [0.08]
    plain = dataclasses.replace(best, edits=())
    assert [p.knee for p in marked(front, plain)] == [False, True, False]
