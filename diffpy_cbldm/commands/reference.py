"""The manual and the reference page, made from the tables of settings."""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Mapping
from typing import Any

from diffpy_cbldm import options
from diffpy_cbldm._version import __version__
from diffpy_cbldm.commands.common import Tables, say


def reference(tables: Tables, in_files: Tables | None = None) -> str:
    """The options as Markdown, one table for each group.

    Parameters
    ----------
    tables : dict
        Groups of options.
    in_files : dict, optional
        The same of files that an option names; their fields are no options.
    """
    lines = []
    for title, table in {**tables, **(in_files or {})}.items():
        named = "option" if title in tables else "field"
        lines += [
            f"## {title[0].upper()}{title[1:]}",
            "",
            f"| {named} | default | unit | allowed | meaning |",
            "| --- | --- | --- | --- | --- |",
            *(_row(option, named) for option in options.options(table)),
            "",
        ]
    return "\n".join(lines)


def _row(option: options.Option, named: str) -> str:
    spellings = option.flags if named == "option" else (option.name,)
    names = ", ".join(f"`{name}`" for name in spellings)
    default = option.shown_default and f"`{option.shown_default}`"
    cells = (names, default, option.unit, option.allowed, option.help)
    return "| " + " | ".join(cells) + " |"


def shown(
    prog: str,
    given: Mapping[str, Any],
    tables: Tables,
    in_files: Tables | None = None,
) -> bool:
    """Whether the version or the manual was asked for; it is printed.

    The tables are those of `reference`.
    """
    if given.get("version"):
        say(f"{prog} {__version__}")
        return True
    if given.get("manual"):
        import pydoc

        page = pathlib.Path(__file__).parent / "manual" / f"{prog}.md"
        text = page.read_text(encoding="utf-8")
        # Into a pipe it would be written without a look whether that is read.
        show = pydoc.pager if sys.stdout.isatty() else say
        show(f"{text}\n{reference(tables, in_files)}")
        return True
    return False
