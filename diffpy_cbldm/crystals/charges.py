"""The charge of a particle, by the oxidation states of its elements."""

from __future__ import annotations

import numpy as np

from diffpy_cbldm.crystals.crystal import Crystal

MULTIPLES, NEARLY = 6, 0.05
"""Formulas of so many of the rarest atom are tried, in numbers that are whole
to this."""


def oxidation_states(crystal: Crystal) -> np.ndarray | None:
    """The likeliest oxidation state of each element, e.

    They are pymatgen's, of the statistics of known compounds; means where an
    element has several, as Fe8/3+ in magnetite.

    Parameters
    ----------
    crystal : Crystal

    Returns
    -------
    (elements,) array or None
        None where the elements balance in no way, as in alloys, or share
        sites in no ratio of small numbers.
    """
    from pymatgen.core import Composition

    amounts = crystal.shares.sum(0)
    ratios = amounts / amounts.min()
    # Of the first whole multiple: of many atoms there are too many ways.
    multiples = (times * ratios for times in range(1, MULTIPLES + 1))
    whole = next(
        (m for m in multiples if np.abs(m - np.rint(m)).max() < NEARLY), None
    )
    if whole is None:
        return None
    counts = np.rint(whole).astype(int).tolist()
    formula = Composition(dict(zip(crystal.elements, counts)))
    guesses = formula.oxi_state_guesses()
    if not guesses:
        return None
    return np.array([float(guesses[0][e]) for e in crystal.elements])


def charge_of(kind: np.ndarray, states: np.ndarray) -> float:
    """The charge of a particle, e.

    Parameters
    ----------
    kind : (n,) array
        Places of its atoms in `Crystal.elements`.
    states : (elements,) array
        As of `oxidation_states`.
    """
    return float(np.bincount(kind, minlength=len(states)) @ states)
