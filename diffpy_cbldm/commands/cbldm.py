"""The ``cbldm`` command: parse, call `diffpy_cbldm.solve`, print.

Only settings and the standard library are imported at the top, so that
``cbldm --help`` answers at once.
"""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from diffpy_cbldm import databases, settings
from diffpy_cbldm.commands import (
    calibration,
    common,
    config,
    examples,
    inputs,
    reference,
    series,
    together,
)
from diffpy_cbldm.commands.common import FINE, LEVELS
from diffpy_cbldm.errors import CbldmError, CbldmWarning
from diffpy_cbldm.files import write_atomic
from diffpy_cbldm.output import results, writers
from diffpy_cbldm.output.tables import (
    crystals_table,
    front_table,
    sizes_table,
    summary,
    summary_row,
    table,
)

if TYPE_CHECKING:
    from diffpy_cbldm.pdfdata import PDFData
    from diffpy_cbldm.solving.solution import Solution


PROG = "cbldm"

TABLES = {
    "inputs": settings.Inputs,
    "data": settings.Reading,
    "instrument": settings.Instrument,
    "search": settings.Solve,
    "output": settings.Output,
    "series": settings.Series,
    "configuration": settings.Configuration,
    "other": settings.Showing,
}
"""The groups of options, in the order of the help."""

Plan = dict[tuple[str, int | None], pathlib.Path]
"""Where each output of an input goes, by type and rank."""


def make_parser() -> common.Parser:
    """The options of the command line, from the tables of settings."""
    return common.Parser(
        PROG,
        TABLES,
        inputs="Measured G(r), a pattern with --find, or - for standard "
        "input.",
        description="Find atomic structures of a nanoparticle from its "
        "measured pair distribution function: propose, refine with SrFit, "
        "rank.",
        epilog="Example: cbldm particle.gr --composition Pt -t xyz,res",
    )


def main(words: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code.

    Parameters
    ----------
    words : sequence of str, optional
        The arguments; those of the process where left out.
    """
    return common.guarded(PROG, _main, words)


def _main(words: Sequence[str]) -> int:
    given = make_parser().given(words)
    if reference.shown(PROG, given, TABLES):
        return FINE
    if given.get("list_examples"):
        for example in examples.EXAMPLES:
            common.say(f"{example.name}\n    {example.about}")
        return FINE
    configured, here = config.read_with_origins(
        TABLES, given.get("config"), given.get("section")
    )
    for note in config.notes(configured, here, given):
        common.complain(PROG, note, "note")
    # The input of a result that is repeated gives way to another one.
    if given["inputs"] or given.get("example"):
        configured.pop("inputs", None)
    else:
        given.pop("inputs")
    calibrated = _calibrated(given)
    # The command line wins.
    given = configured | calibrated | given
    if "createconfig" in given:
        _create_config(given)
        return FINE
    if calibrated and not (given.get("inputs") or given.get("example")):
        return FINE
    run = _Run(given)
    if given.get("list"):
        return run.show_inputs()
    return run.solve_series() if run.is_series else run.solve_all()


def _calibrated(given: Mapping[str, Any]) -> dict[str, float]:
    """Qdamp and Qbroad of the calibrant, which are told; or nothing."""
    found = calibration.of_calibrant(given)
    if found is None:
        return {}
    if not given.get("quiet"):
        # Standard output may be where outputs go.
        if given.get("output") == "-" or given.get("createconfig") == "-":
            common.complain(PROG, str(found), "note")
        else:
            common.say(f"Instrument: {found}\n")
    return {"qdamp": found.qdamp, "qbroad": found.qbroad}


def _create_config(given: Mapping[str, Any]) -> None:
    """Write a configuration file, or print it."""
    filled = common.fill(TABLES, given)
    text = config.template(TABLES, given)
    path = pathlib.Path(given["createconfig"])
    if str(path) == "-":
        common.say(text, end="")
        return
    writers.check_outputs([path], filled["output"].force)
    write_atomic(path, text)


class _Run:
    """One call of the command: check every input, then solve each."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        tables = common.fill(TABLES, given)
        self.reading = dataclasses.asdict(tables["data"])
        self.search = dataclasses.asdict(tables["search"])
        self.output: settings.Output = tables["output"]
        self.series: settings.Series = tables["series"]
        self.level = common.level(self.output.verbose)
        self.types = self._output_types()
        self.stream = self.output.output == "-"
        # Why standard output cannot be written.
        self.unheard: common.NobodyListens | None = None
        if self.stream:
            writers.stream_type(self.types)
        files: settings.Inputs = tables["inputs"]
        self.inputs = inputs.resolve(
            given.get("inputs", ()), files.datapath, files.find
        )
        if tables["other"].example is not None:
            example = examples.find(tables["other"].example)
            self.inputs.append((str(example.path()), ()))
            self.say(f"Example {example.name}: {example.about}\n")
        if not self.inputs and self.series.watch is None:
            raise CbldmError(
                "no input files; expected a measured G(r): cbldm particle.gr, "
                "or try cbldm --example"
            )
        self.together = together.read(self.search["together"], files.datapath)
        self.account = common.Account(
            PROG, len(self.inputs), debug=self.level >= LEVELS["debug"]
        )

    @property
    def asked(self) -> dict[str, Any]:
        """The keywords of `diffpy_cbldm.solve`."""
        words = self.search
        return words | {
            "distribution": words["distribution"] == "yes",
            "together": self.together,
        }

    def _output_types(self) -> tuple[str, ...]:
        """The types of the outputs, for which all is installed."""
        asked = self.output.outputtypes
        self.page, asked = series.without_page(asked)
        types = writers.parse_types(asked)
        if "html" in types or self.page:
            from diffpy_cbldm.output import page

            page.check_installed()
        if self.output.plot != "no":
            from diffpy_cbldm.output import plots

            plots.check_installed(screen=self.output.plot == "screen")
            if self.output.plot != "screen":
                types += (self.output.plot,)
        return types

    @property
    def is_series(self) -> bool:
        """Whether all inputs are one series, on workers of their own."""
        return self.page or series.is_asked_for(self.series)

    def solve_series(self) -> int:
        """Solve all inputs as a series; see `diffpy_cbldm.solve_many`."""
        if self.stream:
            raise CbldmError(
                "a series does not go to standard output; expected files: "
                "change -o."
            )
        return series.solve_series(self)

    def show_inputs(self) -> int:
        """Print the inputs where they were found."""
        for name, folders in self.inputs:
            path = self.account.attempt(
                name, partial(inputs.locate, name, folders)
            )
            if path is not None:
                common.say(path)
        return self.account.close()

    def solve_all(self) -> int:
        """Solve all inputs without the warnings of libraries."""
        import warnings

        if self.address is not None:
            databases.check(self.address)
        # Libraries add filters of their own; recording holds for all.
        quiet = self.level < LEVELS["debug"]
        with warnings.catch_warnings(record=quiet) as caught:
            try:
                return self._solve_all()
            finally:
                said = [
                    str(warning.message)
                    for warning in caught or ()
                    if issubclass(warning.category, CbldmWarning)
                ]
                for text in dict.fromkeys(
                    said if self._says("warning") else ()
                ):
                    common.complain(PROG, text, "warning")

    def _solve_all(self) -> int:
        """Solve what can be read; end with a table where there are several."""
        rows: dict[str, list[str] | None] = {}
        ready = []
        planned: set[pathlib.Path] = set()
        # All are looked at before the first is solved, which takes longer.
        for name, folders in self.inputs:
            rows[name] = None
            prepared = self.account.attempt(
                name, partial(self.prepare, name, folders, planned)
            )
            if prepared is not None:
                ready.append((name, prepared))
        if ready:
            self._compile()
        for name, prepared in ready:
            rows[name] = self.account.attempt(
                name, partial(self.solve, *prepared)
            )
        if len(self.inputs) > 1 and any(rows.values()):
            self.say("Summary\n" + summary(rows.items()))
        code = self.account.close()
        if self.unheard:
            files = "; files were not affected"
            return common.unheard(PROG, self.unheard, files)
        return code

    def _compile(self) -> None:
        """Begin to compile at a first start, beside what is imported."""
        from diffpy_cbldm import compiled, compiling, threads

        with threads.cores(self.search["cores"]):
            compiling.compile_ahead(compiled.IN_A_JOB)

    def prepare(
        self, name: str, folders: Sequence[str], others: set[pathlib.Path]
    ) -> tuple[str, PDFData, Plan]:
        """Read an input and make sure that its outputs can be written.

        `others` are the outputs of the inputs before, to which its own are
        added.
        """
        from diffpy_cbldm import pdfdata
        from diffpy_cbldm.solving.compositions import check_composition

        path = inputs.locate(name, folders)
        pdf = pdfdata.read_pdf(path, **self.reading)
        check_composition(
            pdf, self.search["crystals"], self.search["sublattice"]
        )
        types = [
            kind
            for kind in self.types
            if not self.stream and (kind != "db" or self.address is None)
        ]
        source = inputs.output_source(path)
        planned = writers.plan(self.output.output, types, source, self.count)
        others.update(
            writers.check_outputs(planned.values(), self.output.force, others)
        )
        return path, pdf, planned

    @property
    def address(self) -> str | None:
        """The database that gathers all results, if they go to one."""
        return self.output.database if "db" in self.types else None

    @property
    def count(self) -> int:
        """How many structures of an input are written at most."""
        return self.search["refine"] or results.WITHOUT_REFINEMENT

    def solve(self, name: str, pdf: PDFData, planned: Plan) -> list[str]:
        """Solve one input and write its outputs; return its row."""
        from diffpy_cbldm import solve as solve_pdf

        with _Bar(show=self._says("warning")) as bar:
            solution = solve_pdf(pdf, progress=bar.update, **self.asked)
        # What was found comes first: an output may fail, or take long.
        try:
            self.tell(name, solution)
        finally:
            written = writers.write(solution, name, planned, self.address)
            for output, error in written.failed:
                self.account.lost(name, output, error)
        if self.stream:
            kind = self.types[0]
            common.say(writers.text(solution, name, kind, self.count), end="")
        if self.level >= LEVELS["info"]:
            for file in written.files:
                self.say(f"wrote {file}")
        if self.output.plot == "screen":
            self.show_plot(name, solution)
        self.say("")
        return summary_row(solution)

    def tell(self, name: str, solution: Solution) -> None:
        """Print what came out, as much of it as is asked for."""
        self.say(f"{name}\n{solution.headline}\n{table(solution)}")
        if solution.front:
            self.say("From ideal to rough (before the last refinement):")
            self.say(front_table(solution))
        if solution.crystals:
            self.say("Crystals (Rw of the quick fit):")
            self.say(crystals_table(solution))
        if solution.sizes:
            self.say("Atoms at the Qdamp (1/A) of common instruments:")
            self.say(sizes_table(solution))
        self.say(solution.explain(warnings=False, headline=False))
        if self.level >= LEVELS["info"]:
            for step, seconds in solution.timings.items():
                self.say(f"{step}: {seconds:.1f} s")
        if self._says("warning"):
            for text in solution.warnings:
                common.complain(PROG, text, "warning")

    def show_plot(self, name: str, solution: Solution) -> None:
        """Show the curves in a window, until it is closed."""
        from diffpy_cbldm.output import plots

        try:
            plots.show(solution)
        except Exception as error:  # what a window system raises
            self.account.lost(name, "--plot", error)

    def _says(self, what: str) -> bool:
        """Whether what is of this level of ``--verbose`` is printed."""
        return not self.output.quiet and self.level >= LEVELS[what]

    def say(self, text: str) -> None:
        """Tell people; on standard error where outputs go to the other."""
        if self.output.quiet or self.unheard:
            return
        if self.stream:
            with contextlib.suppress(OSError):  # closed as well
                print(text, flush=True, file=sys.stderr)
            return
        try:
            common.say(text)
        except common.NobodyListens as error:
            # Files are written all the same; without any, nothing is left
            # to do.
            if not self.types and self.output.plot == "no":
                raise
            self.unheard = error


class _Bar:
    """A progress bar on standard error where that is a terminal."""

    def __init__(self, show: bool) -> None:
        self.show = show and sys.stderr.isatty()
        self.bar: Any = None

    def __enter__(self) -> _Bar:
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.close()

    def update(self, what: str, done: int, steps: int) -> None:
        """Show how far a step of the work is; see `diffpy_cbldm.solve`."""
        if not self.show:
            return
        if self.bar is None:
            from tqdm import tqdm

            class Bar(tqdm):
                # Its thread would keep the job from the second core.
                monitor_interval = 0

            self.bar = Bar(
                total=steps,
                file=sys.stderr,
                leave=False,
                bar_format="{desc} {bar} {n_fmt}/{total_fmt} [{elapsed}]",
            )
        self.bar.set_description_str(what, refresh=False)
        self.bar.update(done - self.bar.n)
        self.bar.refresh()
