"""Damaged inputs are read or refused in words, at every door."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.benchmarks.fuzz import DOORS, SPECIAL, main, mutated, outcome

LIMITS = settings(
    # Derived from the test alone: a failure is the same on every machine.
    derandomize=True,
    max_examples=400,
    deadline=None,  # two cores are shared by all tests
    database=None,
    suppress_health_check=list(HealthCheck),
)

OUTCOMES = {"read", "refused", "shown"}


@pytest.mark.parametrize("door", DOORS)
def test_valid_inputs_are_read(door):
    for text in DOORS[door][0]:
        assert outcome(door, text) == "read"


@pytest.mark.parametrize("door", DOORS)
@LIMITS
@given(data=st.data())
def test_mutations_of_valid_inputs(door, data):
    text = data.draw(st.sampled_from(DOORS[door][0]))
    text = mutated(text, data.draw(st.randoms(use_true_random=False)))
    assert outcome(door, text) in OUTCOMES


WORDS = st.lists(
    st.one_of(st.text(max_size=8), st.sampled_from(SPECIAL), st.floats()),
    max_size=40,
).map(lambda words: " ".join(map(str, words)))


@pytest.mark.parametrize("door", DOORS)
@LIMITS
@given(text=WORDS)
def test_any_text(door, text):
    assert outcome(door, text) in OUTCOMES


@pytest.mark.parametrize("door", ["pdf", "cluster", "configuration", "result"])
@LIMITS
@given(text=st.text(max_size=200), cut=st.integers(0, 400))
def test_any_text_after_a_valid_beginning(door, text, cut):
    for valid in DOORS[door][0]:
        assert outcome(door, valid[:cut] + text) in OUTCOMES


def test_a_failure_is_told(monkeypatch, capfd):
    def broken(text):
        raise ZeroDivisionError

    texts, _ = DOORS["cluster"]
    monkeypatch.setitem(DOORS, "cluster", (texts, broken))
    assert main(["--inputs", "10"]) == 1
    out = capfd.readouterr().out
    assert "10 inputs, 2 failures" in out and "ZeroDivisionError" in out
    monkeypatch.undo()
    assert main(["--inputs", "10"]) == 0
