"""What the commands have in common: options, exit codes, messages.

Only settings and the standard library are imported at the top, so that
``--help`` answers at once.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import errno
import os
import pathlib
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn, TypeVar

from diffpy_cbldm import options
from diffpy_cbldm.databases import masked
from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.memory import end_at_once

FINE, MISTAKE, FATAL = 0, 1, 2
"""Exit codes: all went well, a mistake in the input, anything else."""

LEVELS = {"error": 1, "warning": 2, "info": 3, "debug": 4, "all": 5}
"""The words of ``--verbose`` and their numbers."""

Result = TypeVar("Result")
"""What the work on one input returns."""

Tables = Mapping[str, type]
"""Settings dataclasses by the title of their group of options."""


class Parser(argparse.ArgumentParser):
    """The parser of a command, made from its tables of settings.

    Only what was given ends up in the result, so that configuration files
    can stand between the command line and the defaults.

    Parameters
    ----------
    prog : str
        Name of the command.
    tables : dict
        Title of each group of options and its settings dataclass.
    inputs : str
        What the inputs are, in a few words.
    description, epilog : str
        Above and below the options in the help.
    """

    def __init__(
        self,
        prog: str,
        tables: Tables,
        inputs: str,
        description: str,
        epilog: str = "",
    ) -> None:
        super().__init__(
            prog=prog,
            description=description,
            epilog=f"{epilog}  Exit codes: 0 fine, 1 a mistake in the input, "
            f"2 anything else.".strip(),
            allow_abbrev=False,
        )
        self.tables = tables
        self.add_argument("inputs", nargs="*", metavar="FILE", help=inputs)
        for title, table in tables.items():
            group = self.add_argument_group(title)
            for option in options.options(table):
                _add(group, option)

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing the usage: one line, exit code 1."""
        raise CbldmError(f"{message}: see {self.prog} --help")

    def print_help(self, file: Any = None) -> None:
        """Print the help by `say`, which knows when nobody listens."""
        if file is None:
            say(self.format_help(), end="")
        else:
            super().print_help(file)

    def given(self, words: Sequence[str]) -> dict[str, Any]:
        """What the command line says, with its ``inputs``.

        What follows ``--`` are inputs, whatever they begin with.
        """
        words = list(words)
        # argparse mixes options and inputs, or knows --, but not both.
        end = words.index("--") if "--" in words else len(words)
        spelled = self._spelled_out(words[:end])
        said = vars(self.parse_intermixed_args(spelled))
        # argparse takes the value of "-n--" away and leaves an empty list.
        for table in self.tables.values():
            for option in options.options(table):
                value = said.get(option.name)
                if value == [] or isinstance(value, list) and [] in value:
                    self.error(f"argument {'/'.join(option.flags)} is '--'")
        said["inputs"] = [*said["inputs"], *words[end + 1 :]]
        return said

    def _spelled_out(self, words: Sequence[str]) -> list[str]:
        """Keep ``--force`` from taking the file that follows for its value."""
        implied = {
            flag: option
            for table in self.tables.values()
            for option in options.options(table)
            for flag in option.flags
            if option.implied and option.choices
        }
        spelled = list(words)
        for i, (word, following) in enumerate(zip(words, [*words[1:], None])):
            option = implied.get(word)
            if option and following not in (option.choices or ()):
                spelled[i] = f"{word}={option.implied}"
        return spelled


def _add(group: Any, option: options.Option) -> None:
    """Add an option to a group of a parser, in the form of its kind."""
    about = option.help
    if option.unit:
        about += f"  In {option.unit}."
    if option.shown_default:
        about += f"  Default: {option.shown_default}."
    shared: dict[str, Any] = dict(
        dest=option.name,
        # What was not given is left out, for configuration files to say.
        default=argparse.SUPPRESS,
        help=about.replace("%", "%%"),
    )
    if option.kind is bool and option.spoken:
        group.add_argument(*option.flags, action="store_true", **shared)
    elif option.kind is bool:
        group.add_argument(
            *option.flags, action=argparse.BooleanOptionalAction, **shared
        )
    elif option.kind is tuple:
        group.add_argument(
            *option.flags, action="append", metavar="TEXT", **shared
        )
    else:
        metavar = option.kind.__name__.upper().replace("STR", "TEXT")
        # The checks of settings know the choices; argparse only shows them.
        if option.choices and len(option.choices) < 6:
            metavar = "{" + ",".join(option.choices) + "}"
        group.add_argument(
            *option.flags,
            type=option.kind,
            metavar=metavar,
            nargs="?" if option.implied else None,
            const=option.implied,
            **shared,
        )


def fill(tables: Tables, given: Mapping[str, Any]) -> dict[str, Any]:
    """The tables with what was given, checked; the rest as by default.

    Parameters
    ----------
    tables : dict
        Settings dataclasses by title.
    given : dict
        Values by the names of fields; others are left alone.

    Returns
    -------
    dict
        An instance of each table under its title.

    Raises
    ------
    CbldmError
        A value outside its limits.
    """
    filled = {}
    for title, table in tables.items():
        names = {field.name for field in dataclasses.fields(table)}
        # argparse gathers repeated options in lists; settings are frozen.
        chosen = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in given.items()
            if name in names
        }
        filled[title] = table(**chosen)
        options.validate(filled[title])
    return filled


def level(verbose: str) -> int:
    """The number of a word of ``--verbose``; that of warning for others."""
    if verbose.isdigit():
        return int(verbose)
    return LEVELS.get(verbose, LEVELS["warning"])


def complain(prog: str, message: str, kind: str = "error") -> None:
    """Print one line on standard error, without passwords."""
    text = masked(" ".join(message.split()))
    # Without a standard error there is nobody to tell.
    with contextlib.suppress(OSError):
        print(f"{prog}: {kind}: {text}", file=sys.stderr, flush=True)


class NobodyListens(Exception):
    """Standard output is closed, or its disk is full."""


class ReaderLeft(NobodyListens):
    """Who read standard output has had enough, as ``head``; no mistake."""


def say(text: str, end: str = "\n") -> None:
    """Print on standard output.

    Raises
    ------
    NobodyListens
        It cannot be written; what is printed later goes nowhere.
    """
    try:
        print(text, end=end, flush=True)
    except OSError as error:
        # What is left in its buffer is tried again at the end of Python.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
        if isinstance(error, BrokenPipeError):
            raise ReaderLeft from None
        reason = (
            "was closed"
            if error.errno == errno.EBADF
            else f"cannot be written ({error.strerror})"
        )
        raise NobodyListens(f"standard output {reason}") from None


def unheard(prog: str, error: NobodyListens, files: str = "") -> int:
    """Say that standard output was lost; the exit code.

    Where its reader left, nothing is said, as by other tools of Unix.
    """
    if not isinstance(error, ReaderLeft):
        complain(prog, f"{error}{files}")
    return FATAL


def _open_standard_streams() -> None:
    """Give the process the streams that its caller closed, as in ``>&-``.

    Files opened later would take their numbers, and what libraries print
    would be written into them.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # The least number that is free is this one.
            os.open(os.devnull, os.O_RDWR)
    if sys.stdin is None:
        sys.stdin = open(os.devnull)
    if sys.stdout is None:
        # What cannot be written to: it was closed on purpose.
        closed = os.open(os.devnull, os.O_RDONLY)
        os.dup2(closed, 1)
        os.close(closed)
        sys.stdout = open(1, "w", closefd=False)
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")


def fault(prog: str, error: Exception, debug: bool) -> str:
    """What to say about an error that no input should cause."""
    if debug:
        import traceback

        lines = "".join(traceback.format_exception(error))
        print(masked(lines), end="", file=sys.stderr)
    return (
        f"{type(error).__name__}: {error} (this is a fault of {prog}: report "
        f"it with what --verbose=debug prints)"
    )


def _wants_debug(words: Sequence[str]) -> bool:
    """Whether tracebacks are asked for, also where parsing failed."""
    said = " ".join(words)
    asked = re.findall(r"(?:^| )--verbose[= ](\S+)", said)
    return any(level(word) >= LEVELS["debug"] for word in asked)


def _settle_home() -> None:
    """Name a home folder where the system knows none, as in a container.

    ASE looks for its configuration there when it is imported, and ends
    where it cannot tell the folder.
    """
    try:
        pathlib.Path.home()
    except RuntimeError:
        os.environ["HOME"] = "/nonexistent"


def guarded(
    prog: str,
    body: Callable[[Sequence[str]], int],
    words: Sequence[str] | None,
) -> int:
    """The exit code of `body`, whatever it raises.

    Parameters
    ----------
    prog : str
        Name of the command.
    body : callable
        Called with the arguments.
    words : sequence of str or None
        The arguments; those of the process where None.
    """
    if words is None:
        words = sys.argv[1:]
        end_at_once()  # this process is the command's own
    _open_standard_streams()
    _settle_home()
    try:
        code = body(words)
        # What libraries printed may still wait; a closed pipe shows here.
        say("", end="")
        return code
    except CbldmError as error:
        complain(prog, str(error))
        return MISTAKE
    except KeyboardInterrupt:
        complain(prog, "interrupted; outputs that were complete are kept")
        return FATAL
    except NobodyListens as error:
        return unheard(prog, error)
    except Exception as error:
        complain(prog, fault(prog, error, _wants_debug(words)))
        return FATAL


class Account:
    """Keeps count of the inputs that failed; the others still run.

    Parameters
    ----------
    prog : str
        Name of the command.
    count : int
        How many inputs there are.
    debug : bool
        Whether faults show where they happened.

    Attributes
    ----------
    failed : list of str
        Names of the inputs that failed.
    """

    def __init__(self, prog: str, count: int, debug: bool) -> None:
        self.prog, self.count, self.debug = prog, count, debug
        self.failed: list[str] = []
        self.code = FINE

    def attempt(self, name: str, work: Callable[[], Result]) -> Result | None:
        """What `work` returns, or None where it failed, which is said."""
        try:
            return work()
        except CbldmError as error:
            text, code = str(error), MISTAKE
        except NobodyListens:  # to the other inputs either
            raise
        except Exception as error:
            text, code = fault(self.prog, error, self.debug), FATAL
        self.failed.append(name)
        self._blame(name, text, code)
        return None

    def lost(self, name: str, output: str, error: Exception) -> None:
        """Say that an output of an input could not be written."""
        text = str(error)
        if not isinstance(error, CbldmError):
            text = fault(self.prog, error, self.debug)
        if output not in text:
            text = f"{output}: {text}"
        self._blame(name, text, FATAL)

    def _blame(self, name: str, text: str, code: int) -> None:
        self.code = max(self.code, code)
        if self.count > 1 and not text.startswith(name):
            text = f"{name}: {text}"
        complain(self.prog, text)

    def close(self) -> int:
        """Say which inputs failed; return the exit code of the worst."""
        if self.failed and self.count > 1:
            complain(
                self.prog,
                f"{len(self.failed)} of {self.count} inputs failed: "
                f"{', '.join(self.failed)}",
            )
        return self.code
