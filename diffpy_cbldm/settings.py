"""All parameters, each defined once with its default, unit, limits and help.

The command line, configuration files, validation and the reference page are
derived from these tables.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

from diffpy_cbldm.command_settings import ALL_TYPES as ALL_TYPES
from diffpy_cbldm.command_settings import OUTPUT_TYPES as OUTPUT_TYPES
from diffpy_cbldm.command_settings import PICTURES as PICTURES
from diffpy_cbldm.command_settings import SERIES_PAGE as SERIES_PAGE
from diffpy_cbldm.command_settings import Configuration as Configuration
from diffpy_cbldm.command_settings import Files as Files
from diffpy_cbldm.command_settings import Inputs as Inputs
from diffpy_cbldm.command_settings import Manual as Manual
from diffpy_cbldm.command_settings import Output as Output
from diffpy_cbldm.command_settings import Series as Series
from diffpy_cbldm.command_settings import Showing as Showing
from diffpy_cbldm.options import parameter

if TYPE_CHECKING:
    from diffpy_cbldm.networks import PRESETS as PRESETS
    from diffpy_cbldm.networks import Model as Model
    from diffpy_cbldm.networks import Sampling as Sampling


def __getattr__(name: str) -> Any:
    # What only the networks need would delay the help.
    if name in ("PRESETS", "Model", "Sampling"):
        from diffpy_cbldm import networks

        return getattr(networks, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


STRUCTURE_TYPES = ("bcc", "dec", "fcc", "hcp", "ico", "oct", "sc")
"""The seven structure types, in the order of the paper's Table 2."""

CRYSTAL_TYPES = (*STRUCTURE_TYPES, "stacked")
"""What the model tells apart: the types, and layers with stacking faults."""

MIN_ATOMS, MAX_ATOMS = 5, 256
"""The number of atoms that the method covers (section 4.1 of the paper)."""

R_MAX, R_STEP = 30.0, 0.01
"""The grid of the method: 0 to 30 A (not included) by 0.01 A (Table 1)."""

R_FAR = 100.0
"""A fitting range ends here at the latest, A."""

QDAMP_RANGES = {"X": (0.015, 0.06), "N": (0.01, 0.03)}
"""Between what Qdamp (1/A) lies where it is not known: X-rays on area
detectors, neutrons by their time of flight."""

COMMON_QDAMP = (0.01, 0.02, 0.03, 0.04, 0.05)
"""Qdamp of common instruments, 1/A: N is told for those in the range."""

MIN_POINTS = 100
"""Fewer data points than this are refused."""


@dataclasses.dataclass(frozen=True)
class Simulation:
    """How a PDF is simulated (the paper's Table 1)."""

    qmin: float = parameter(
        0.7, "Lower end of the Q range.", unit="1/A", limits=(0.0, 20.0)
    )
    qmax: float = parameter(
        25.0, "Upper end of the Q range.", unit="1/A", limits=(1.0, 100.0)
    )
    qdamp: float = parameter(
        0.04, "Damping by the Q resolution.", unit="1/A", limits=(0.0, 1.0)
    )
    biso: float = parameter(
        0.3, "B factor, 8 pi^2 Uiso.", unit="A^2", limits=(0.0, 20.0)
    )
    delta2: float = parameter(
        0.0, "Sharpening by correlated motion.", unit="A^2", limits=(0, 50)
    )
    rmax: float = parameter(
        R_MAX, "End of the r grid, not included.", unit="A", limits=(1, 500)
    )
    rstep: float = parameter(
        R_STEP, "Step of the r grid.", unit="A", limits=(1e-4, 1.0)
    )
    stype: str = parameter("X", "Radiation.", choices=("X", "N"))


@dataclasses.dataclass(frozen=True)
class Surroundings:
    """What a simulated measurement holds beside the particle."""

    world: str | None = parameter(
        None,
        "JSON file of what a powder and a measurement add, such as "
        '{"size_spread": 0.1, "ligand": "S", "coverage": 0.5, "noise": '
        "0.03}; nothing by default.  --manual lists all fields.",
    )


@dataclasses.dataclass(frozen=True)
class Reading:
    """What the header of a file does not say, or says wrongly.

    A value given here wins over the header; None leaves it to the header.
    """

    composition: str | None = parameter(
        None, "Chemical formula, such as Pt, CeO2 or Pt0.5Ni0.5."
    )
    qmin: float | None = parameter(
        None, "Lower end of the Q range.", unit="1/A", limits=(0.0, 20.0)
    )
    qmax: float | None = parameter(
        None, "Upper end of the Q range.", unit="1/A", limits=(1.0, 100.0)
    )
    qdamp: float | None = parameter(
        None,
        "Damping by the Q resolution; fitted within --qdamp-range where "
        "neither this nor the header gives it.",
        unit="1/A",
        limits=(0.0, 1.0),
    )
    qbroad: float | None = parameter(
        None,
        "Broadening by the Q resolution.",
        unit="1/A",
        limits=(0.0, 1.0),
    )
    stype: str | None = parameter(
        None, "Radiation: X-rays or neutrons.", choices=("X", "N")
    )


@dataclasses.dataclass(frozen=True)
class Instrument:
    """Where Qdamp and Qbroad come from, if not from the header."""

    calibrant: str | None = parameter(
        None,
        "Measured G(r) of a standard on the same instrument: its crystal is "
        "fitted by diffpy.pdffit2, and the Qdamp and Qbroad found are used, "
        "printed, and written where --createconfig is given.  --qdamp and "
        "--qbroad win over it, and it over headers and configuration files.",
        spoken=True,
    )
    standard: str | None = parameter(
        None,
        "What --calibrant is: Ni, CeO2, Si, LaB6 or a cif file; the "
        "composition in its header where this is not given.",
        spoken=True,
    )


@dataclasses.dataclass(frozen=True)
class Solve:
    """The main job: propose, refine, rank."""

    count: int = parameter(
        64,
        "Candidates to draw from each generator.",
        limits=(1, 100000),
        flags=("-n",),
    )
    refine: int = parameter(
        8, "Candidates to refine with SrFit.", limits=(0, 100000)
    )
    generators: str = parameter(
        "cbldm,library,screen,shells",
        "Generators to ask, separated by commas: cbldm, library, screen, "
        "shells, cut, or what other packages register.  Of compounds "
        "particles are cut from crystals in any case, and the first four are "
        "not asked.",
    )
    crystals: tuple[str, ...] = parameter(
        (),
        "A cif file from whose crystal particles are cut; may be given "
        "several times, in a configuration file one a line.  Without any, "
        "the common crystals of a compound's composition are tried.",
        flags=("--crystal",),
    )
    sublattice: str | None = parameter(
        None,
        "The element of a compound that is taken for a metal by itself, such "
        "as Bi of an oxo cluster; its other atoms are left out.",
    )
    polish: str = parameter(
        "yes",
        "Edit the best candidates: yes, no, or kinds of edits separated by "
        "commas: sites, layers, faults, strain, surface, orbits, "
        "displacements; of compounds sites, strain, surface, charge.",
    )
    roughness: float = parameter(
        1.25,
        "How rough edited structures may become, in units of the most compact "
        "cluster of the library.",
        limits=(1.0, 10.0),
    )
    rmin: float = parameter(
        1.5, "Start of the fitted range.", unit="A", limits=(0, 100)
    )
    rmax: float | None = parameter(
        None,
        "End of the fitted range; where the signal ends, from 30 to 100 A, "
        "where it is not given.",
        unit="A",
        limits=(1, R_FAR),
    )
    qdamp_range: str = parameter(
        "auto",
        "Between what Qdamp lies where it is not known, in 1/A: two numbers "
        "with a comma, or auto, which is 0.015,0.06 for X-rays and 0.01,0.03 "
        "for neutrons.",
    )
    distribution: str = parameter(
        "no",
        "Fit the distribution of sizes of particles shaped as the best "
        "structure: the number and weight mean of N, and the width.",
        choices=("yes", "no"),
        implied="yes",
    )
    together: tuple[str, ...] = parameter(
        (),
        "Another PDF of the same sample, such as one of neutrons, that is "
        "refined together with each input; FILE:0.5 gives its Rw^2 half the "
        "weight.  May be given several times, in a configuration file one a "
        "line.",
        flags=("--with",),
    )
    ligand: str | None = parameter(
        None,
        "Fit a shell of light atoms about the best structure: the element "
        "that binds to its surface, such as S for thiolates.",
    )
    phases: int = parameter(
        1,
        "Particles that are fitted together: with 2 the best structure and a "
        "second one of another type, with their shares by weight.",
        limits=(1, 2),
    )
    seed: int = parameter(
        0, "Seed of all random numbers.", limits=(0, 2**63 - 1)
    )
    small_angle: str = parameter(
        "auto",
        "Whether the data hold the particle's small-angle scattering, where "
        "Qmin is below 0.7 1/A: yes keeps Qmin, no raises it to 0.7, auto "
        "takes what fits better.",
        choices=("auto", "yes", "no"),
    )
    device: str = parameter(
        "auto",
        "Where the model runs.  The shipped models take NumPy on the CPU, "
        "but for cuda: a job calls a network 15 times, which takes less "
        "time than a GPU takes to start.  The preset paper takes PyTorch, "
        "auto on a GPU if there is one.",
        choices=("auto", "cpu", "cuda"),
    )
    cores: int | None = parameter(
        None,
        "Cores to use at most; where it is not given, two on Linux if the "
        "process may use them and has no other threads.  The answer is the "
        "same.",
        limits=(1, 1024),
    )
    backend: str = parameter(
        "auto",
        "Debye calculator of the refinement: auto and torch are the built-in "
        "one, srreal the native one of diffpy.srreal, to check it.",
        choices=("auto", "torch", "srreal"),
    )


@dataclasses.dataclass(frozen=True)
class Refinement:
    """Start values and bounds of the SrFit refinement."""

    uiso: float = parameter(
        0.3 / (8 * math.pi**2),
        "Default Uiso (Biso of 0.3 A^2).",
        unit="A^2",
        limits=(0, 1),
    )
    uiso_min: float = parameter(1e-4, "Lower bound of Uiso.", unit="A^2")
    uiso_max: float = parameter(0.1, "Upper bound of Uiso.", unit="A^2")
    delta2: float = parameter(2.0, "Start of delta2.", unit="A^2")
    delta2_max: float = parameter(8.0, "Upper bound of delta2.", unit="A^2")
    zoom_min: float = parameter(0.9, "Lower bound of zoomscale.")
    zoom_max: float = parameter(1.1, "Upper bound of zoomscale.")
    qdamp: float = parameter(
        0.04, "Start of Qdamp where the header gives none.", unit="1/A"
    )
    heldout_split: float = parameter(
        20.0,
        "The held-out Rw is refined below this r and evaluated above.",
        unit="A",
    )
