"""The ``cbldm`` command: parse, call `diffpy_cbldm.solve`, print.

Only settings and the standard library are imported at the top, so that
``cbldm --help`` answers at once.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from diffpy_cbldm import __version__, examples, settings
from diffpy_cbldm.errors import CbldmError

if TYPE_CHECKING:
    from pathlib import Path

    from diffpy_cbldm.pdfdata import PDFData
    from diffpy_cbldm.solve import Solution

TABLES = {
    "data": settings.Reading,
    "search": settings.Solve,
    "output": settings.Output,
}
"""The groups of options, in the order of the help."""

FINE, MISTAKE, FATAL = 0, 1, 2
"""Exit codes: all went well, a mistake in the input, anything else."""

_LEVELS = {"error": 1, "warning": 2, "info": 3, "debug": 4, "all": 5}


class _Parser(argparse.ArgumentParser):
    """An `ArgumentParser` whose errors are ours: one line, exit code 1."""

    def error(self, message: str) -> NoReturn:
        raise CbldmError(f"{message}: see cbldm --help")


def make_parser() -> argparse.ArgumentParser:
    """The options of the command line, from the tables of settings."""
    parser = _Parser(
        prog="cbldm",
        description="Find atomic structures of a nanoparticle from its "
        "measured pair distribution function: propose, refine with SrFit, "
        "rank.",
        epilog="Exit codes: 0 fine, 1 a mistake in the input, 2 anything "
        "else.  Example: cbldm particle.gr --composition Pt -t xyz,res",
    )
    parser.add_argument(
        "inputs", nargs="*", metavar="FILE.gr", help="Measured G(r)."
    )
    for title, table in TABLES.items():
        group = parser.add_argument_group(title)
        for option in settings.options(table):
            _add(group, option)
    group = parser.add_argument_group("other")
    group.add_argument(
        "-q",
        "--quiet",
        action="store_true",
        help="Print nothing but errors.",
    )
    group.add_argument(
        "--example",
        nargs="?",
        const=examples.EXAMPLES[0].name,
        metavar="NAME",
        help="Run on measured data that come with diffpy.cmi (default: "
        "%(const)s).",
    )
    group.add_argument(
        "--list-examples",
        action="store_true",
        help="List the examples and exit.",
    )
    group.add_argument(
        "-V", "--version", action="version", version=f"cbldm {__version__}"
    )
    return parser


def _add(group: Any, option: settings.Option) -> None:
    about = option.help
    if option.unit:
        about += f"  In {option.unit}."
    if option.default is not None:
        about += f"  Default: {option.default}."
    metavar = option.kind.__name__.upper().replace("STR", "TEXT")
    if option.choices and len(option.choices) < 6:
        metavar = "{" + ",".join(option.choices) + "}"
    group.add_argument(
        *option.flags,
        dest=option.name,
        type=option.kind,
        default=option.default,
        metavar=metavar,
        nargs="?" if option.implied else None,
        const=option.implied,
        help=about.replace("%", "%%"),
    )


def _spell_out(words: Sequence[str]) -> list[str]:
    """Keep ``--force`` from taking the file that follows for its value."""
    implied = {
        flag: o
        for table in TABLES.values()
        for o in settings.options(table)
        for flag in o.flags
        if o.implied
    }
    spelled = list(words)
    for i, word in enumerate(words):
        option = implied.get(word)
        following = words[i + 1] if i + 1 < len(words) else None
        if option and following not in (option.choices or ()):
            spelled[i] = f"{word}={option.implied}"
    return spelled


def main(words: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code.

    Parameters
    ----------
    words : sequence of str, optional
        The arguments; those of the process where left out.
    """
    debug = False
    try:
        given = _spell_out(sys.argv[1:] if words is None else words)
        args = make_parser().parse_args(given)
        if args.list_examples:
            for example in examples.EXAMPLES:
                print(f"{example.name}\n    {example.about}")
            return FINE
        debug = _level(args.verbose) >= _LEVELS["debug"]
        return _Run(args).run()
    except CbldmError as error:
        _complain(str(error))
        return MISTAKE
    except KeyboardInterrupt:
        _complain("interrupted; outputs that were complete are kept")
        return FATAL
    except Exception as error:
        _complain(_fault(error, debug))
        return FATAL


def _fault(error: Exception, debug: bool) -> str:
    """What to say about an error that no input should cause."""
    if debug:
        import traceback

        traceback.print_exception(error)
    return (
        f"{type(error).__name__}: {error} (this is a fault of cbldm: report "
        f"it with what --verbose=debug prints)"
    )


def _complain(message: str, kind: str = "error") -> None:
    print(f"cbldm: {kind}: {' '.join(message.split())}", file=sys.stderr)


def _level(verbose: str) -> int:
    return int(verbose) if verbose.isdigit() else _LEVELS.get(verbose, 2)


class _Run:
    """One call of the command: check every input, then solve each."""

    def __init__(self, args: argparse.Namespace) -> None:
        tables = {
            title: table(
                **{
                    field.name: getattr(args, field.name)
                    for field in dataclasses.fields(table)
                }
            )
            for title, table in TABLES.items()
        }
        for table in tables.values():
            settings.validate(table)
        self.reading = dataclasses.asdict(tables["data"])
        self.search = dataclasses.asdict(tables["search"])
        self.output: settings.Output = tables["output"]
        self.level = _level(self.output.verbose)
        self.quiet = args.quiet
        self.inputs = list(args.inputs)
        self.failed: list[str] = []
        self.code = FINE
        if args.example:
            example = examples.find(args.example)
            self.inputs.append(str(example.path()))
            self.say(f"Example {example.name}: {example.about}\n")
        if not self.inputs:
            raise CbldmError(
                "no input files; expected a measured G(r): cbldm particle.gr, "
                "or try cbldm --example"
            )

    def run(self) -> int:
        import warnings

        # Libraries add filters of their own; recording holds for all.
        quiet = self.level < _LEVELS["debug"]
        with warnings.catch_warnings(record=quiet):
            return self.solve_all()

    def solve_all(self) -> int:
        ready = self.prepare()
        lines = []
        for name, pdf, planned in ready:
            try:
                solution = self.solve(name, pdf, planned)
            except CbldmError as error:
                self.fail(name, str(error))
            except Exception as error:
                debug = self.level >= _LEVELS["debug"]
                self.fail(name, _fault(error, debug), FATAL)
            else:
                lines.append(_summary(name, solution))
        if len(self.inputs) > 1:
            if len(lines) > 1:
                self.say("Summary\n" + "\n".join(lines))
            if self.failed:
                _complain(
                    f"{len(self.failed)} of {len(self.inputs)} inputs "
                    f"failed: {', '.join(self.failed)}"
                )
        return self.code

    def prepare(
        self,
    ) -> list[tuple[str, PDFData, dict[tuple[str, int | None], Path]]]:
        """Read every input and make sure that its outputs can be written."""
        from diffpy_cbldm import pdfdata, report, views

        types = report.parse_types(self.output.outputtypes)
        if "html" in types:
            from diffpy_cbldm import page

            page.check_installed()
        if self.output.plot != "no":
            from diffpy_cbldm import plots

            plots.check_installed(screen=self.output.plot == "screen")
            if self.output.plot != "screen":
                types += (self.output.plot,)
        count = self.search["refine"] or views.WITHOUT_REFINEMENT
        written: list[Path] = []
        ready = []
        for name in self.inputs:
            try:
                pdf = pdfdata.read_pdf(name, **self.reading)
                _ = pdf.element  # raises where there are several, or none
                planned = report.plan(self.output.output, types, name, count)
                paths = list(planned.values())
                report.check_outputs(paths, self.output.force, written)
            except CbldmError as error:
                self.fail(name, str(error))
            else:
                written.extend(paths)
                ready.append((name, pdf, planned))
        return ready

    def solve(
        self,
        name: str,
        pdf: PDFData,
        planned: dict[tuple[str, int | None], Path],
    ) -> Solution:
        from diffpy_cbldm import report
        from diffpy_cbldm import solve as solve_pdf

        with _Bar(show=not self.quiet and self.level >= 2) as bar:
            solution = solve_pdf(pdf, progress=bar.update, **self.search)
        files = report.write(solution, name, planned)
        self.say(f"{name}\n{report.table(solution)}")
        self.say(solution.explain(warnings=False))
        if self.output.plot == "screen":
            from diffpy_cbldm import plots

            plots.show(solution)
        if self.level >= _LEVELS["info"]:
            for step, seconds in solution.timings.items():
                self.say(f"{step}: {seconds:.1f} s")
            for path in files:
                self.say(f"wrote {path}")
        self.say("")
        if not self.quiet and self.level >= _LEVELS["warning"]:
            for text in solution.warnings:
                _complain(text, "warning")
        return solution

    def fail(self, name: str, text: str, code: int = MISTAKE) -> None:
        self.failed.append(name)
        self.code = max(self.code, code)
        if len(self.inputs) > 1 and not text.startswith(name):
            text = f"{name}: {text}"
        _complain(text)

    def say(self, text: str) -> None:
        if not self.quiet:
            print(text, flush=True)


def _summary(name: str, solution: Solution) -> str:
    best = solution.candidates[0]
    kind = "raw Rw" if best.rw is None else "Rw"
    rw = best.rw_raw if best.rw is None else best.rw
    return (
        f"{name}: {best.structure_type}, {len(best.positions)} atoms, "
        f"{best.generator}, {kind} {rw:.4f}"
    )


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
        if not self.show:
            return
        if self.bar is None:
            from tqdm import tqdm

            self.bar = tqdm(
                total=steps,
                file=sys.stderr,
                leave=False,
                bar_format="{desc} {bar} {n_fmt}/{total_fmt} [{elapsed}]",
            )
        self.bar.set_description_str(what, refresh=False)
        self.bar.update(done - self.bar.n)
        self.bar.refresh()
