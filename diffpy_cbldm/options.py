"""Parameters as data: limits, units and help in one place, checked."""

from __future__ import annotations

import dataclasses
import math
import numbers
from typing import Any

from diffpy_cbldm.errors import CbldmError


def parameter(
    default: Any,
    help: str,
    *,
    unit: str = "",
    limits: tuple[float, float] | None = None,
    choices: tuple[str, ...] | None = None,
    flags: tuple[str, ...] = (),
    implied: str | None = None,
    spoken: bool = False,
) -> Any:
    """Describe one field of a settings dataclass.

    Parameters
    ----------
    default : object
        The value where nothing else is said.
    help : str
        One sentence for the user.
    unit : str
        The unit of the value; empty where it has none.
    limits : (low, high), optional
        The closed interval of accepted numbers.
    choices : tuple of str, optional
        The accepted words.
    flags : tuple of str
        Extra option spellings for the command line, such as ``-t``.
    implied : str, optional
        The value where the option stands on the command line without one.
    spoken : bool
        Whether it stands on the command line alone, and not in
        configuration files; default False.
    """
    return dataclasses.field(
        default=default,
        metadata={
            "help": help,
            "unit": unit,
            "limits": limits,
            "choices": choices,
            "flags": flags,
            "implied": implied,
            "spoken": spoken,
        },
    )


@dataclasses.dataclass(frozen=True)
class Option:
    """One parameter as the command line and the reference page show it.

    Attributes
    ----------
    name : str
        The field, also the key in configuration and result files.
    flags : tuple of str
        The option spellings, the long one last.
    kind : type
        `int`, `float`, `str`, `bool` for a switch, or `tuple` for words that
        may be given several times.
    """

    name: str
    flags: tuple[str, ...]
    kind: type
    default: Any
    help: str
    unit: str = ""
    limits: tuple[float, float] | None = None
    choices: tuple[str, ...] | None = None
    implied: str | None = None
    spoken: bool = False

    @property
    def shown_default(self) -> str:
        """The default in words; empty where it says nothing."""
        unset = self.default is None or self.default is False
        return "" if unset or self.default == () else str(self.default)

    @property
    def allowed(self) -> str:
        """The accepted values in words; empty where any will do."""
        if self.choices:
            return ", ".join(filter(None, self.choices))
        return " to ".join(map(_figure, self.limits or ()))


def options(table: type) -> list[Option]:
    """The fields of a settings dataclass as options, in their order."""
    kinds = {"int": int, "float": float, "str": str, "bool": bool}
    described = []
    for field in dataclasses.fields(table):
        # Annotations are text here: "float" or "float | None".
        kind = kinds.get(str(field.type).split(" |")[0], tuple)
        long = "--" + field.name.replace("_", "-")
        about = dict(field.metadata)
        about["flags"] = (*about["flags"], long)
        described.append(
            Option(field.name, kind=kind, default=field.default, **about)
        )
    return described


_YES, _NO = ("yes", "true", "on", "1"), ("no", "false", "off", "0")
"""Spellings of switches in configuration files."""


def convert(option: Option, text: str) -> Any:
    """The value that a text in a file stands for.

    Parameters
    ----------
    option : Option
    text : str
        Several words stand on lines of their own.  Empty text is None where
        that is the default.

    Raises
    ------
    CbldmError
        The text is not of the option's kind.
    """
    value = text.strip()
    if not value and option.default is None:
        return None
    if option.kind is tuple:
        return tuple(line.strip() for line in value.splitlines())
    # bool("no") is True: only the spellings count.
    if option.kind is bool and value.lower() in _YES + _NO:
        return value.lower() in _YES
    try:
        if option.kind in (int, float, str):
            return option.kind(value)
    except ValueError:
        pass  # named below, as is a switch with another spelling
    expected = {int: "a whole number", float: "a number", bool: "yes or no"}
    raise CbldmError(
        f"{option.name} is {value!r}; expected {expected[option.kind]}: "
        f"change {option.name}."
    )


def check(option: Option, value: Any) -> None:
    """Raise `CbldmError` where a value lies outside the option's limits."""
    if value is None:
        return
    limits = option.limits
    if limits is not None and not _is_number(value, option.kind):
        whole = "whole " if option.kind is int else ""
        raise CbldmError(
            f"{option.name} is {value!r}; expected a {whole}number from "
            f"{_figure(limits[0])} to {_figure(limits[1])}: change "
            f"{option.name}."
        )
    # NaN is neither above nor below a limit, infinity above every one.
    if limits is not None and not limits[0] <= value <= limits[1]:
        raise CbldmError(
            f"{option.name} is {_figure(value)}"
            f"{option.unit and ' ' + option.unit}; expected "
            f"{_figure(limits[0])} to {_figure(limits[1])}: change "
            f"{option.name}."
        )
    if option.choices and value not in list(option.choices):
        raise CbldmError(
            f"{option.name} is {value!r}; expected one of "
            f"{', '.join(option.choices)}."
        )


def _is_number(value: Any, kind: type) -> bool:
    """Whether a value is a number, and a whole one where that is asked for."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        return False
    # Whole numbers may be too large for a float.
    if kind is not int or isinstance(value, numbers.Integral):
        return True
    # NaN and infinity are told by the limits.
    return not math.isfinite(value) or value % 1 == 0


def _figure(number: float) -> str:
    """A number as a message shows it: whole ones with all of their digits."""
    # Six digits would make 2^63 and 2^63 - 1 the same.
    if not isinstance(number, int):
        return f"{number:g}"
    if abs(number) < 10**20:
        return str(number)
    return f"a whole number of {number.bit_length()} bits"


def validate(settings: Any) -> None:
    """Raise `CbldmError` where a field lies outside its limits."""
    for option in options(type(settings)):
        check(option, getattr(settings, option.name))
