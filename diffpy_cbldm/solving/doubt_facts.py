"""What is known of each doubt: threshold and weight.

Weights are set on simulated measured PDFs, so that a score of `DOUBTED` or
more stands for a wrong answer; the documentation has the rates.
"""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Fact:
    """One test.

    Attributes
    ----------
    threshold : float
        The test is raised above it.
    weight : float
        What it adds to the score then.
    """

    threshold: float
    weight: float


DOUBTED = 1.0
"""Answers whose score is as large or larger are doubted."""

CORNERS = 1.25
"""The longest distance of a particle over its diameter, or a little less: what
reaches less far beyond the data is its corners, which tell nothing."""

FACTS = {
    "rw": Fact(0.095, 1),
    "misfit": Fact(0.092, 0),
    "second": Fact(0, 1),
    "held-out": Fact(1, 0),
    "neighbours": Fact(0.08, 1),
    "before": Fact(0.71, 0),
    "beyond": Fact(0.1, 1),
    "limit": Fact(0.95, 1),
    "range": Fact(1, 1),
    "qdamp": Fact(0.5, 0.49),
    "crystal": Fact(1, 0),
    "types": Fact(0.95, 0.61),
    "edits": Fact(0.5, 0.3),
    "uiso": Fact(0.017, 0.51),
}
"""By the names of `diffpy_cbldm.solving.doubt_table.TESTS`."""
