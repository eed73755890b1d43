"""All parameters, each defined once with its default, unit, limits and help.

The command line, configuration files, validation and the reference page are
derived from these tables.
"""

from __future__ import annotations

import dataclasses
import math

from diffpy_cbldm.networks import PRESETS as PRESETS
from diffpy_cbldm.networks import Model as Model
from diffpy_cbldm.networks import Sampling as Sampling
from diffpy_cbldm.options import parameter

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
        "0.03}; nothing by default.",
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
        "commas: sites, layers, faults, strain, surface, displacements.",
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
        "Where the model runs.",
        choices=("auto", "cpu", "cuda"),
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


OUTPUT_TYPES = {
    "xyz": "atoms of each structure",
    "cif": "each structure in a box, with its Uiso",
    "stru": "the same for PDFgui, with delta2 and the scale",
    "dp-in": "a macro of diffpy.apps that refines the cif file",
    "extxyz": "xyz with the figures of agreement, for ASE",
    "res": "the whole result as JSON",
    "html": "a page with curves, structures and the table",
    "db": "all structures and figures as a database of ASE",
}
"""The kinds of output files; ``none`` writes nothing."""

PICTURES = ("png", "pdf", "svg")
"""The kinds of files that a plot goes to."""


@dataclasses.dataclass(frozen=True)
class Inputs:
    """Which files are read."""

    datapath: tuple[str, ...] = parameter(
        (),
        "Folder to look for inputs in, instead of the current one; may be "
        "given several times, in a configuration file one a line.",
        flags=("-d",),
    )
    find: bool = parameter(
        False,
        "Take the arguments for patterns, all of which a file name holds: "
        "^ is its start, $ its end, <5> a number, <5-8>, <5-> and <-8> "
        "ranges; what ends with / is a folder; + starts another group.",
        flags=("-f",),
        spoken=True,
    )
    list: bool = parameter(
        False,
        "Print the names of the inputs and exit, as in -lf.",
        flags=("-l",),
        spoken=True,
    )


@dataclasses.dataclass(frozen=True)
class Files:
    """Where outputs go, and how much is said."""

    output: str = parameter(
        "@b.@o",
        "Name of output files.  @h is the folder of the input, @r its path "
        "without extension, @e its extension, @t its file name, @b its file "
        "name without extension, @o the output extension, @k the rank.  "
        "Where they are not named, .@o is appended, and -@k for structures.  "
        "A single - is standard output.",
        flags=("-o",),
    )
    force: str = parameter(
        "no",
        "Overwrite existing files; once keeps those that the same run "
        "has written.",
        choices=("yes", "no", "once"),
        implied="yes",
    )
    verbose: str = parameter(
        "warning",
        "How much to say: error, warning, info (also times and files), "
        "debug (also where a fault happened), all, or 0 to 5.",
        choices=(
            *("error", "warning", "info", "debug", "all"),
            *"012345",
        ),
    )
    quiet: bool = parameter(False, "Print nothing but errors.", flags=("-q",))


@dataclasses.dataclass(frozen=True)
class Output(Files):
    """What is written, and where."""

    outputtypes: str = parameter(
        "none",
        "Kinds of output files, separated by commas: "
        + "; ".join(f"{kind} ({text})" for kind, text in OUTPUT_TYPES.items())
        + "; series (one page for all inputs, see --workers); none writes "
        "nothing.",
        flags=("-t",),
    )
    plot: str = parameter(
        "no",
        "Plot the best candidates: on the screen, or to a file named as by "
        "--output.",
        choices=("no", "screen", *PICTURES),
        flags=("-p",),
        implied="screen",
    )
    database: str | None = parameter(
        None,
        "Where -t db goes instead of a file for each input: a file NAME.db, "
        "or an address such as postgresql://user@host/name.  Rows are added "
        "to what is there.",
    )


SERIES_PAGE = "series"
"""The kind of output that is one page for all inputs."""


@dataclasses.dataclass(frozen=True)
class Series:
    """Many PDFs on several workers; see `diffpy_cbldm.solve_many`."""

    workers: int | None = parameter(
        None,
        "Run the inputs as a series, on so many processes of this machine.",
        limits=(1, 4096),
    )
    scheduler: str | None = parameter(
        None,
        "Run them on the cluster of Dask whose scheduler has this address, "
        "such as tcp://host:8786.",
    )
    scheduler_file: str | None = parameter(
        None, "The same for the file that a scheduler wrote."
    )
    worker_memory: int = parameter(
        1500,
        "What each process of --workers may take.",
        unit="MB",
        limits=(100, 10**7),
    )
    store: str = parameter(
        "cbldm-series.db",
        "Where the results of a series go as they come: a file NAME.db or "
        "postgresql://user@host/name.  What it has is not done again.",
    )
    order: str = parameter(
        "given",
        "The order of the series: given, names (numbers by their values), "
        "times of the files, or a csv table of file names and what varies.",
    )
    full_every: int = parameter(
        1,
        "Ask all generators for every so many inputs, and start the others "
        "from the answers beside them: for frames of one sample in their "
        "order; 1 for inputs that have nothing to do with one another.",
        limits=(1, 100000),
    )
    again: bool = parameter(
        False, "Try what failed in an earlier run again.", spoken=True
    )
    watch: str | None = parameter(
        None,
        "Take the files that are put into this folder as well, each once it "
        "is complete, until stopped by Ctrl-C.",
        spoken=True,
    )
    table: str | None = parameter(
        None, "Write the figures of the series to NAME.csv or NAME.parquet."
    )


@dataclasses.dataclass(frozen=True)
class Configuration:
    """Files that hold options."""

    config: str | None = parameter(
        None,
        "Configuration file, read after those found by themselves; NONE "
        "reads none.  NAME.res repeats the run that wrote it.",
        flags=("-c",),
        spoken=True,
    )
    section: str | None = parameter(
        None,
        "Section of the configuration files that goes on top of [DEFAULT].",
        flags=("-s",),
        spoken=True,
    )
    createconfig: str | None = parameter(
        None,
        "Write a configuration file with all keys and exit; - is standard "
        "output.",
        spoken=True,
    )


@dataclasses.dataclass(frozen=True)
class Manual:
    """What is shown instead of a run."""

    manual: bool = parameter(False, "Show the manual and exit.", spoken=True)
    version: bool = parameter(
        False, "Show the version and exit.", flags=("-V",), spoken=True
    )


@dataclasses.dataclass(frozen=True)
class Showing(Manual):
    """What is shown instead of a run, and examples."""

    example: str | None = parameter(
        None,
        "Run on measured data that come with diffpy.cmi: on "
        "Pt-nanoparticles where no name follows.",
        implied="Pt-nanoparticles",
        spoken=True,
    )
    list_examples: bool = parameter(
        False, "List the examples and exit.", spoken=True
    )
