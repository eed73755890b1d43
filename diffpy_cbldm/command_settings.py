"""The parameters of the commands alone: inputs, outputs, series, displays.

`diffpy_cbldm.settings` has them too, beside those of the main job.
"""

from __future__ import annotations

import dataclasses

from diffpy_cbldm.options import parameter

OUTPUT_TYPES = {
    "xyz": "atoms of each structure",
    "cif": "each structure in a box, with its Uiso",
    "stru": "the same for PDFgui, with delta2 and the scale",
    "ddp3": "the crystal as a sphere with the data: a project of PDFgui",
    "dp-in": "a macro of diffpy.apps that refines the cif file",
    "extxyz": "xyz with the figures of agreement, for ASE",
    "res": "the whole result as JSON",
    "html": "a page with curves, structures and the table",
    "db": "all structures and figures as a database of ASE",
}
"""The kinds of output files of an input; ``none`` writes nothing."""

SERIES_PAGE = "series"
"""The kind of output that is one page for all inputs."""

ALL_TYPES = OUTPUT_TYPES | {
    SERIES_PAGE: "one page for all inputs, see --workers"
}
"""What ``-t`` takes: help and error messages list it."""

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
        + "; ".join(f"{kind} ({text})" for kind, text in ALL_TYPES.items())
        + "; none writes nothing.",
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
