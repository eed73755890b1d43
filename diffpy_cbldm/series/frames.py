"""The frames of a series while it runs, and how often each is tried."""

from __future__ import annotations

import dataclasses
import math
import pathlib
from collections.abc import Callable
from typing import Protocol

import numpy as np

from diffpy_cbldm.pdfdata import PDFData
from diffpy_cbldm.series.jobs import Job
from diffpy_cbldm.series.records import Record

TRIES = 3
"""A frame whose workers died so often is given up, where others' live."""

MOST_TRIES = 10
"""So often it is tried where workers die whatever they work on."""

BY_CHANCE = 0.01
"""The chance that any frame of a series is given up for deaths that have
nothing to do with it."""

STEP = 0.1
"""Of the curves that are kept for a map of G(r), A."""


class Feed(Protocol):
    """Where frames come from, while more may come."""

    def take(self) -> list[Frame]:
        """The frames that have come since the last call."""

    @property
    def open(self) -> bool:
        """Whether more may come."""


@dataclasses.dataclass(frozen=True)
class Frame:
    """A frame before it is read.

    Attributes
    ----------
    source : str
    value : float or None
        What varies along the series.
    pdf : PDFData or None
        None where `source` is a file that is still to be read.
    """

    source: str
    value: float | None = None
    pdf: PDFData | None = None


@dataclasses.dataclass
class Told:
    """What is known of a frame while a series runs.

    Attributes
    ----------
    frame : Frame
    record : Record or None
        None until it is done or failed.
    curve : (n,) array or None
        G in steps of `STEP` from r = 0, for a map.
    """

    frame: Frame
    record: Record | None = None
    curve: np.ndarray | None = None
    deaths: int = 0
    faults: int = 0
    job: Job | None = None


Heard = Callable[[Told], None]
"""Called with each frame that is done or failed."""


def patience_with(deaths: int, tries: int, frames: int) -> int:
    """How many deaths of its workers a frame is allowed.

    Parameters
    ----------
    deaths, tries : int
        Of all other frames.
    frames : int
        Of the series.

    Returns
    -------
    int
        `TRIES` where other frames do not end their workers; more where
        machines fail, so that no innocent frame is given up for it.
    """
    rate = deaths / tries if tries else 0.0
    if rate == 0:
        return TRIES
    if rate >= 1:
        return MOST_TRIES
    needed = math.log(BY_CHANCE / max(frames, 1)) / math.log(rate)
    return min(max(TRIES, math.ceil(needed)), MOST_TRIES)


def content_of(source: str) -> bytes:
    """The bytes of a file, or of its name where there is none."""
    try:
        return pathlib.Path(source).read_bytes()
    except OSError:
        return source.encode("utf-8", "surrogateescape")


def thin_curve(pdf: PDFData) -> np.ndarray:
    """G in steps of `STEP` from r = 0, as a map shows it."""
    r = np.arange(0, pdf.r[-1] + STEP / 2, STEP)
    return np.interp(r, pdf.r, pdf.g, left=0.0).astype(np.float32)
