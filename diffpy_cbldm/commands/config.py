"""Configuration files: INI for people, and the results of earlier runs."""

from __future__ import annotations

import json
import os
import pathlib
import re
import textwrap
from collections.abc import Iterable, Mapping
from typing import Any

from diffpy_cbldm import options as options_module
from diffpy_cbldm import settings
from diffpy_cbldm.commands.common import Tables
from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.options import Option, check, convert
from diffpy_cbldm.output.results import SCHEMA

NAMES = ("~/.cbldm.cfg", "./.cbldm.cfg", "./cbldm.cfg")
"""Files that are read where they exist; later ones win."""


def read(
    tables: Tables, config: str | None = None, section: str | None = None
) -> dict[str, Any]:
    """What the configuration files say, by the names of settings.

    Parameters
    ----------
    tables : dict
        Settings dataclasses, whose fields are the keys.
    config : str, optional
        A file that is read after those of `NAMES`, ``NONE`` to read none at
        all, or the result of a run (``NAME.res``), whose settings are taken
        alone, with its input as ``inputs``.
    section : str, optional
        The section that goes on top of ``[DEFAULT]``.

    Raises
    ------
    CbldmError
        A file that cannot be read, an unknown key or section, a value that
        is not accepted; the file is named.
    """
    return read_with_origins(tables, config, section)[0]


def read_with_origins(
    tables: Tables, config: str | None = None, section: str | None = None
) -> tuple[dict[str, Any], dict[str, str]]:
    """As `read`, with what comes from files that the user did not name.

    Returns
    -------
    values : dict
        By the names of settings.
    origins : dict of str to str
        The file of each value that comes from the working folder.
    """
    options = keys(tables)
    if config is not None and config.endswith(".res"):
        if section is not None:
            raise CbldmError(
                f"{config} has no sections; expected --section with "
                f"configuration files alone: leave one of the two out."
            )
        return _of_result(config, keys(_written(tables))), {}
    files = [] if config == "NONE" else _files_by_themselves()
    # What lies in the working folder may have come with somebody's data.
    lying_about = {file for file in files if file != _expand(NAMES[0])}
    if config not in (None, "NONE"):
        files.append(_expand(str(config)))
    defaults: dict[str, tuple[Any, pathlib.Path]] = {}
    sections: dict[str, dict[str, tuple[Any, pathlib.Path]]] = {}
    for file in files:
        for name, values in _of_file(str(file), options).items():
            target = sections.setdefault(name, {}) if name else defaults
            target.update({key: (v, file) for key, v in values.items()})
    if section not in (None, "DEFAULT", *sections):
        raise CbldmError(
            f"section {section!r} is not in "
            f"{', '.join(map(str, files)) or 'any configuration file'}"
            f"{_near(str(section), sections)}: change --section."
        )
    chosen = defaults | sections.get(section or "DEFAULT", {})
    return (
        {key: value for key, (value, _) in chosen.items()},
        {k: str(f) for k, (_, f) in chosen.items() if f in lying_about},
    )


def _files_by_themselves() -> list[pathlib.Path]:
    """The files of `NAMES` that exist, each once."""
    files: dict[str, pathlib.Path] = {}
    for path in map(_expand, NAMES):
        # No home, or one that may not be read, holds no configuration.
        if not str(path).startswith("~") and os.path.isfile(path):
            # The home folder may be the current one.
            files.setdefault(os.path.realpath(path), path)
    return list(files.values())


def _written(tables: Tables) -> Tables:
    """The tables whose settings a result holds."""
    return {
        title: table
        for title, table in tables.items()
        if table in (settings.Reading, settings.Solve)
    }


def notes(
    configured: Mapping[str, Any],
    origins: Mapping[str, str],
    given: Mapping[str, Any],
) -> list[str]:
    """What files of the working folder change beyond it, in one line each.

    Parameters
    ----------
    configured, origins : dict
        As `read_with_origins` returns them.
    given : dict
        What the command line says, which wins.
    """
    said = []
    for key, file in origins.items():
        value = configured[key]
        if key in given or not value:
            continue
        if (key in ("output", "database") and _leaves(value)) or (
            key == "force" and value != "no"
        ):
            said.append(
                f"{file} sets {key} = {value}: pass --{key} or "
                f"--config=NONE where that is not wanted"
            )
    return said


def _leaves(name: str) -> bool:
    """Whether an output or a database is outside of the working folder."""
    if "://" in name:
        return True
    # The folder and the path of an input are those that the user named.
    path = re.sub("^@[hr]", ".", os.path.expanduser(name))
    try:
        whole = pathlib.Path(path).resolve()
    except ValueError:  # no name of a file, as is said where it is used
        return False
    return not whole.is_relative_to(pathlib.Path().resolve())


def keys(tables: Tables) -> dict[str, Option]:
    """The options that may stand in a configuration file, by their names."""
    return {
        option.name: option
        for table in tables.values()
        for option in options_module.options(table)
        if not option.spoken
    }


def _expand(path: str) -> pathlib.Path:
    return pathlib.Path(os.path.expanduser(path))


def _near(word: str, known: Iterable[str]) -> str:
    import difflib  # the help does without

    close = difflib.get_close_matches(word, list(known), n=1)
    if close:
        return f"; did you mean {close[0]}?"
    return f"; expected one of {', '.join(known)}" if known else ""


def _text(path: str) -> str:
    try:
        return _expand(path).read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:  # also other encodings
        reason = getattr(error, "strerror", None) or error
        raise CbldmError(
            f"{path}: cannot be read ({reason}); expected a configuration "
            f"file: check the name, or make one with --createconfig={path}."
        ) from None


def _of_file(
    path: str, options: Mapping[str, Option]
) -> dict[str, dict[str, Any]]:
    """The values in an INI file by section; that of DEFAULT is empty."""
    import configparser  # the help does without

    text = _text(path)
    if not re.search(r"^\[DEFAULT\]\s*$", text, re.M):
        raise CbldmError(
            f"{path}: the section [DEFAULT] is missing; expected it above "
            f"the keys: add a line [DEFAULT]."
        )
    parser = configparser.RawConfigParser(
        comment_prefixes=("#",),
        inline_comment_prefixes=("#",),
        delimiters=("=",),
        # [DEFAULT] is one section of many: `read` puts others on top of it.
        default_section="",
    )
    parser.optionxform = _key  # type: ignore[assignment, method-assign]
    try:
        parser.read_string(text, source=path)
    except configparser.Error as error:
        reason = " ".join(str(error).split())
        raise CbldmError(
            f"{path}: {reason}; expected lines of key = value in sections: "
            f"correct the file."
        ) from None
    sections: dict[str, dict[str, Any]] = {}
    for section in parser.sections():
        name = "" if section == "DEFAULT" else section
        sections[name] = {
            key: _value(path, key, text, options)
            for key, text in parser.items(section)
        }
    return sections


def _key(key: str) -> str:
    return key.strip().lower().replace("-", "_")


def _value(
    path: str, key: str, text: str, options: Mapping[str, Option]
) -> Any:
    """The checked value of a key in a file."""
    if key not in options:
        raise CbldmError(
            f"{path}: unknown key {key!r}{_near(key, options)}: correct or "
            f"remove it."
        )
    option = options[key]
    try:
        value = convert(option, text)
        check(option, value)
    except CbldmError as error:
        raise CbldmError(f"{path}: {error}") from None
    return value


def _of_result(path: str, options: Mapping[str, Option]) -> dict[str, Any]:
    """The settings and the input of an earlier run."""
    try:
        content = json.loads(_text(path))
        if content["schema"] != SCHEMA:
            raise ValueError
        used, source = content["settings"], content["input"]
        if not (isinstance(used, dict) and isinstance(source, str)):
            raise ValueError
    except (ValueError, KeyError, TypeError, RecursionError):
        raise CbldmError(
            f"{path}: not a result of cbldm; expected JSON with the schema "
            f"{SCHEMA}: name a file written by -t res."
        ) from None
    values = {
        key: _value(path, key, _word(value), options)
        for key, value in used.items()
        # The one entry of the settings that is no option.
        if key != "version" and value is not None
    }
    # A result may have been moved together with its input.
    beside = pathlib.Path(path).parent / source
    if not os.path.exists(source) and os.path.isfile(beside):
        source = str(beside)
    return {**values, "inputs": [source]}


def _word(value: Any) -> str:
    """A value of JSON as it would stand in an INI file."""
    if isinstance(value, list):
        return "\n".join(map(str, value))
    return str(value)


def template(tables: Tables, given: Mapping[str, Any]) -> str:
    """A configuration file with every key, its meaning and its default.

    Parameters
    ----------
    tables : dict
        Settings dataclasses by title.
    given : dict
        Values by key, which are set; the others stand in comments.
    """
    lines = [
        "# Configuration of cbldm; the command line wins.",
        f"# Read from {', '.join(NAMES)}",
        "# and then from --config FILE.  Sections such as [fast] go on top",
        "# of [DEFAULT] with --section fast.",
        "[DEFAULT]",
    ]
    for title, table in tables.items():
        options = keys({title: table})
        if options:
            lines += ["", f"# --- {title} ---"]
        for option in options.values():
            lines += ["", *_about(option)]
            mark = "" if option.name in given else "# "
            value = given.get(option.name, option.default)
            lines.append(f"{mark}{option.name} = {_spelled(value)}".rstrip())
    return "\n".join(lines) + "\n"


def _about(option: Option) -> list[str]:
    text = option.help
    if option.unit:
        text += f"  In {option.unit}."
    if option.allowed or option.kind is bool:
        text += f"  Allowed: {option.allowed or 'yes, no'}."
    return [f"# {line}" for line in textwrap.wrap(text, 76)]


def _spelled(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return "\n    ".join(map(str, value))
    return str(value)
