"""Work for the engine of series that needs no search, for its tests."""

import os
import signal

import numpy as np

import diffpy_cbldm as cb
from diffpy_cbldm.series.jobs import Answer, Known
from diffpy_cbldm.series.records import Record

TRIED = []
"""The sources of what was worked on in this process."""


def quick(job):
    """The number of atoms is that of the points; a poison ends its worker."""
    TRIED.append(job.source)
    if "poison" in job.source:
        os.kill(os.getpid(), signal.SIGKILL)
    if "fault" in job.source:
        record = Record(job.key, job.source, "failed", reason="a fault")
        return Answer(record, fault=True)
    one = cb.Candidate("Pt", np.eye(3) * 2.5, structure_type="fcc")
    record = Record(
        job.key,
        job.source,
        n_atoms=len(job.pdf.r),
        rw=0.1,
        full=not job.neighbours,
    )
    return Answer(record, "{}", Known((one,), len(job.pdf.r) / 1000))


def pdf(number, source=None):
    """A PDF that differs from others by its points."""
    r = np.arange(1, 9 + 0.02 * number, 0.02)
    return cb.PDFData(
        r,
        np.sin(r + number),
        composition="Pt",
        source=source or f"frame {number}",
    )
