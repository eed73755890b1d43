"""Which files the arguments of a command stand for."""

from __future__ import annotations

import os
import pathlib
import re
from collections.abc import Iterable, Sequence

from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.series.order import natural_key

STDIN = "-"
"""The argument that stands for standard input."""


def find(patterns: Sequence[str], datapath: Sequence[str] = ()) -> list[str]:
    """The files whose names match all patterns of a group.

    Parameters
    ----------
    patterns : sequence of str
        Parts of file names.  ``^`` at the beginning stands for the start of
        the name, ``$`` at the end for its end, ``<5>`` for this number with
        any leading zeros, ``<5-8>``, ``<5->`` and ``<-8>`` for ranges with
        both ends.  What stands before the last ``/`` is the folder of the
        group.  ``+`` starts another group.
    datapath : sequence of str
        Folders to look in; the current one where empty.

    Returns
    -------
    list of str
        Paths, each once: the groups in their order, in each the numbers in
        names in the order of their values.  Hidden files are left out.

    Raises
    ------
    CbldmError
        A group without a pattern or a match, or with two folders.
    """
    chosen: dict[str, None] = {}
    for group in _groups(patterns):
        folder, parts = _folder(group)
        matched = [
            path
            for root in datapath or ("",)
            for path in _files(pathlib.Path(root, folder))
            if all(matches(part, path.name) for part in parts)
        ]
        if not matched:
            where = " or ".join(
                str(pathlib.Path(root, folder)) for root in datapath or ("",)
            )
            raise CbldmError(
                f"no file in {where} matches {' '.join(group)}; expected one "
                f"or more: change the patterns, or look with -lf."
            )
        chosen.update(dict.fromkeys(map(str, sorted(matched, key=_natural))))
    return list(chosen)


def matches(pattern: str, name: str) -> bool:
    """Whether a file name holds a pattern; see `find`."""
    start = "^" if pattern.startswith("^") else ""
    end = "$" if pattern.endswith("$") else ""
    body = pattern[len(start) : len(pattern) - len(end)]
    # The pieces between the numbers, and at odd places their two ends.
    pieces = re.split(r"<(\d+|\d+-\d*|-\d+)>", body)
    limits = [_limits(piece) for piece in pieces[1::2]]
    literal = map(re.escape, pieces[::2])
    text = r"(?<!\d)(\d+)(?!\d)".join(literal)
    # Looking ahead finds matches that overlap.
    stop = r"\Z" if end else ""
    for match in re.finditer(f"{start}(?={text}{stop})", name):
        numbers = map(int, match.groups())
        if all(a <= n <= b for n, (a, b) in zip(numbers, limits)):
            return True
    return False


def _limits(piece: str) -> tuple[float, float]:
    low, dash, high = piece.partition("-")
    if not dash:
        return int(low), int(low)
    return int(low or 0), int(high) if high else float("inf")


def _groups(patterns: Sequence[str]) -> list[list[str]]:
    groups: list[list[str]] = [[]]
    for word in patterns:
        if word == "+":
            groups.append([])
        else:
            groups[-1].append(word)
    if not all(groups):
        raise CbldmError(
            "--find has no pattern, or none on one side of +; expected parts "
            'of file names, such as cbldm -f series "<1-9>" ".gr$".'
        )
    return groups


def _folder(group: Iterable[str]) -> tuple[str, list[str]]:
    """The folder of a group, and its patterns without it."""
    folders, parts = set(), []
    for word in group:
        folder, slash, part = word.rpartition("/")
        if slash:
            folders.add(folder or "/")
        if part:
            parts.append(part)
    if len(folders) > 1:
        raise CbldmError(
            f"the patterns name the folders {' and '.join(sorted(folders))}; "
            f"expected one in a group: put + between them."
        )
    return "".join(folders), parts


def _files(folder: pathlib.Path) -> list[pathlib.Path]:
    if not folder.is_dir():
        raise CbldmError(
            f"the folder {folder} does not exist; expected one to look in: "
            f"change -d or the pattern that ends with /."
        )
    return [
        path
        for path in folder.iterdir()
        if path.is_file() and not path.name.startswith(".")
    ]


def _natural(path: pathlib.Path) -> tuple[str, list[tuple[int, str]]]:
    return str(path.parent), natural_key(path.name)


def locate(name: str, datapath: Sequence[str] = ()) -> str:
    """The path of an input: in the first folder of `datapath` that has it.

    Raises
    ------
    CbldmError
        None of the folders has it.
    """
    if not datapath or name == STDIN or pathlib.Path(name).is_absolute():
        return name
    for folder in datapath:
        path = pathlib.Path(folder, name)
        if path.exists():
            return str(path)
    raise CbldmError(
        f"{name}: no such file in {', '.join(datapath)}: change the name or "
        f"--datapath."
    )


def output_source(name: str) -> str:
    """The path from which the names of outputs are made."""
    return "stdin" if name == STDIN else name


def resolve(
    names: Sequence[str], datapath: Sequence[str], patterns: bool
) -> list[tuple[str, Sequence[str]]]:
    """The inputs of a command, and the folders to `locate` each in.

    Parameters
    ----------
    names : sequence of str
        The arguments.
    datapath : sequence of str
        Folders to look in.
    patterns : bool
        Whether the arguments are patterns for `find`.

    Raises
    ------
    CbldmError
        Nothing matches, or standard input is named twice.
    """
    # The shell leaves the ~ of --datapath=~/data alone.
    datapath = [os.path.expanduser(folder) for folder in datapath]
    if patterns:
        return [(path, ()) for path in find(names, datapath)]
    if list(names).count(STDIN) > 1:
        raise CbldmError(
            "- is named twice; expected standard input once: leave one out."
        )
    return [(name, datapath) for name in names]
