"""Sphinx configuration; also writes the generated command reference."""

import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from diffpy_cbldm import __version__, cli, settings  # noqa: E402

project = "diffpy_cbldm"
author = copyright = "diffpy_cbldm contributors"
release = version = __version__
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
]
myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3
exclude_patterns = ["_build", "_generated"]
html_theme = "furo"
autodoc_typehints = "none"
autodoc_member_order = "bysource"
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True


def _row(option: settings.Option) -> str:
    names = ", ".join(f"`{flag}`" for flag in option.flags)
    default = "" if option.default is None else f"`{option.default}`"
    if option.choices:
        allowed = ", ".join(f"`{word}`" for word in option.choices)
    elif option.limits:
        allowed = "{:g} to {:g}".format(*option.limits)
    else:
        allowed = ""
    cells = (names, default, option.unit, allowed, option.help)
    return "| " + " | ".join(cells) + " |"


def write_command_reference(folder: pathlib.Path) -> None:
    """Turn the tables of settings into one table an option group."""
    lines = []
    for title, table in cli.TABLES.items():
        lines += [
            f"## {title.capitalize()}",
            "",
            "| option | default | unit | allowed | meaning |",
            "| --- | --- | --- | --- | --- |",
            *map(_row, settings.options(table)),
            "",
        ]
    folder.mkdir(exist_ok=True)
    (folder / "options.md").write_text("\n".join(lines), encoding="utf-8")


write_command_reference(HERE / "_generated")
