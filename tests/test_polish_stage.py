"""Which edits are asked what they predict of r that was left out."""

import types

import numpy as np

import diffpy_cbldm as cb
from diffpy_cbldm import threads
from diffpy_cbldm.polishing.candidates import Front
from diffpy_cbldm.solving.polish_stage import _held, _to_polish


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
