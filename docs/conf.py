"""Sphinx configuration; also writes the generated command reference."""

import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from diffpy_cbldm import __version__  # noqa: E402
from diffpy_cbldm.commands import (  # noqa: E402
    cbldm,
    cbldm_simulate,
    reference,
)

project = "diffpy_cbldm"
author = copyright = "diffpy_cbldm contributors"
release = version = __version__
extensions = [
    "myst_nb",  # with myst_parser
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
]
myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3
# Notebooks lie here without outputs, and are run for each build.
nb_execution_mode = "force"
nb_execution_timeout = 300
nb_execution_raise_on_error = True
exclude_patterns = ["_build", "_generated"]
html_theme = "furo"
autodoc_typehints = "none"
autodoc_member_order = "bysource"
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True


def write_command_reference(folder: pathlib.Path) -> None:
    """Turn the tables of settings into one table an option group."""
    folder.mkdir(exist_ok=True)
    for module, in_files in (
        (cbldm, None),
        (cbldm_simulate, cbldm_simulate.IN_FILES),
    ):
        text = reference.reference(module.TABLES, in_files)
        (folder / f"{module.PROG}.md").write_text(text, encoding="utf-8")


write_command_reference(HERE / "_generated")

# Attributes of several classes share names such as qdamp, and a list of
# attributes needs no link to one of them.  Names that lead nowhere have other
# categories, and still fail.
suppress_warnings = ["ref.python"]
