"""Every code block of the documentation runs, or says why it does not.

Blocks of one page run in its order, in one folder, the Python ones with
shared names.  The searches are made short by a configuration file and by
defaults, not by changes of what is printed.  A block that cannot run carries
``<!-- not run: REASON -->`` above it; the arguments of its ``python -m``
commands are still parsed.
"""

import argparse
import dataclasses
import importlib
import os
import pathlib
import pkgutil
import re
import shlex
import subprocess
import sys
import textwrap

import pytest
from ase.cluster import Octahedron
from matplotlib import pyplot

import diffpy_cbldm as cb
from diffpy_cbldm.commands import cbldm, cbldm_simulate, config
from diffpy_cbldm.output import plots
from diffpy_cbldm.pdfdata import write_gr

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "diffpy_cbldm" / "commands" / "manual").glob("*.md")),
]
PAGES = [path for path in PAGES if not path.parent.name.startswith("_")]

NOT_CODE = {"text", "toml"}
"""What is shown and not run; `test_extending` installs the toml."""

BLOCK = re.compile(
    r"(?:^<!-- not run: (?P<reason>[^\n]+) -->\n(?:^<!-- [^\n]* -->\n)?)?"
    r"^(?P<indent> *)```(?P<language>[^\n]*)\n"
    r"(?P<code>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)

DOTTED = re.compile(
    r"`((?:crystals|debye|fitting|model|search)\.\w[\w.]*)`", re.ASCII
)
"""A name of the package, as its pages shorten it."""

SHORT = "generators = library\ncount = 4\nrefine = 1\npolish = no\n"

COMMANDS = {"cbldm": cbldm.main, "cbldm-simulate": cbldm_simulate.main}


@dataclasses.dataclass(frozen=True)
class Block:
    """A fenced block of a page, and where it stands."""

    where: str
    language: str
    code: str
    reason: str | None


def blocks(page):
    text = page.read_text(encoding="utf-8")
    found = []
    for match in BLOCK.finditer(text):
        line = text.count("\n", 0, match.start("code"))
        found.append(
            Block(
                f"{page.relative_to(ROOT)}:{line}",
                match["language"].strip(),
                textwrap.dedent(match["code"]),
                match["reason"],
            )
        )
    assert len(found) * 2 == len(re.findall("^ *```", text, re.MULTILINE))
    return found


BLOCKS = [block for page in PAGES for block in blocks(page)]
MARKED = [block for block in BLOCKS if block.reason]


def test_every_block_is_run_or_marked():
    for block in BLOCKS:
        if block.language.startswith("{"):
            assert not block.reason  # a directive of Sphinx
        elif block.language in NOT_CODE:
            assert not block.reason, block.where
        else:
            assert block.language in RUNNERS, f"{block.where}: no language"
    assert len(MARKED) < len(BLOCKS) / 2
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    marks = re.findall("^<!-- not run", text, re.MULTILINE)
    assert len(marks) == len(MARKED)


def run_python(block, names):
    exec(compile(block.code, block.where, "exec"), names)


def run_sh(block, names):
    for line in lines(block):
        run_line(line)


def run_ini(block, names):
    path = pathlib.Path("block.cfg")
    path.write_text(block.code)
    sections = re.findall(r"^\[(\w+)\]$", block.code, re.MULTILINE)
    for section in sections[1:] or [None]:
        assert config.read(cbldm.TABLES, str(path), section), block.where


RUNNERS = {"python": run_python, "sh": run_sh, "ini": run_ini}


RUN = [
    page
    for page in PAGES
    if any(b.language in RUNNERS and not b.reason for b in blocks(page))
]


def lines(block):
    """The command lines of a block, those with a backslash joined."""
    return [
        line
        for line in block.code.replace("\\\n", " ").splitlines()
        if line.strip()
    ]


def words_of(line):
    """The words of a command line, or None where a shell has to run it."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words = list(lexer)
    if any(set(word) <= set("|&;<>()") for word in words) or "$(" in line:
        return None
    return words


def run_line(line):
    words = words_of(line)
    if words and words[0] in COMMANDS:
        # In this process, which has imported torch already.
        assert COMMANDS[words[0]](words[1:]) == 0, line
        return
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", line],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"


def script(path, text):
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """What the pages take for given: data, commands, short searches."""
    monkeypatch.chdir(tmp_path)
    truth = cb.Cluster("Pt", Octahedron("Pt", 4, cutoff=1).positions)
    (pdf,) = cb.simulate([truth], rmax=20)
    pathlib.Path("series").mkdir()
    for name in ("particle", "other", "series/run900", "series/run905"):
        write_gr(f"{name}.gr", pdf)
    truth.write_xyz("cluster.xyz")

    tools = tmp_path / "tools"
    tools.mkdir()
    python = shlex.quote(sys.executable)
    script(tools / "python", f'exec {python} "$@"')
    script(tools / "cbldm", f'exec {python} -m diffpy_cbldm "$@"')
    script(
        tools / "cbldm-simulate",
        f"exec {python} -c 'from diffpy_cbldm.commands.cbldm_simulate "
        f'import main; raise SystemExit(main())\' "$@"',
    )
    script(tools / "ase", f'exec {python} -m ase "$@"')
    # PDFgetX3 is not free to install; its outputs are there already.
    script(tools / "pdfgetx3", "test -d series")
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    # As on a screen; a window of this backend is never seen.
    monkeypatch.setattr(plots, "_has_display", lambda: True)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    pyplot.switch_backend("Agg")
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".cbldm.cfg").write_text(f"[DEFAULT]\n{SHORT}")
    short = dict(count=4, refine=1, polish=False, generators=("library",))
    defaults = {**cb.solve.__kwdefaults__, **short}
    monkeypatch.setattr(cb.solve, "__kwdefaults__", defaults)
    return tmp_path


@pytest.fixture
def names(folder):
    """Names that a page uses where its text has introduced them."""
    pdf = cb.read_pdf("particle.gr", composition="Pt")
    neutrons = dataclasses.replace(pdf, stype="N")
    write_gr("neutrons.gr", neutrons)
    solution = cb.solve(pdf)
    best = solution.candidates[0]
    return {
        "__name__": "page",
        "cb": cb,
        "r": pdf.r,
        "g": pdf.g,
        "solution": solution,
        "structure": best.to_diffpy(),
        "recipe": cb.make_recipe(best, pdf),
    }


@pytest.mark.parametrize("page", RUN, ids=lambda p: str(p.relative_to(ROOT)))
def test_page_runs(page, names):
    if page.name == "cbldm.md":  # it goes on from an earlier result
        pathlib.Path("out").mkdir()
        run_line("cbldm particle.gr -t xyz,res -o out/@b")
    for block in blocks(page):
        if not block.reason and block.language in RUNNERS:
            RUNNERS[block.language](block, names)


class Parsed(Exception):
    """The arguments of a command are right."""


@pytest.mark.parametrize("block", MARKED, ids=lambda b: b.where)
def test_marked_commands_have_right_arguments(block, monkeypatch):
    parse = argparse.ArgumentParser.parse_args

    def parse_only(self, args=None, namespace=None):
        raise Parsed(parse(self, args, namespace))

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse_only)
    for line in lines(block):
        words = words_of(line) or [""]
        if words[:2] != ["python", "-m"]:
            continue
        monkeypatch.setattr(sys, "argv", [words[2], *words[3:]])
        with pytest.raises(Parsed):
            importlib.import_module(words[2]).main()


ALGORITHMS = ROOT / "docs" / "explanation" / "algorithms.md"


def test_algorithms_name_functions_and_tests_that_are_there():
    """In the table and in the text: `wing.module.name` and FILE::TEST."""
    text = ALGORITHMS.read_text("utf-8")
    for row in re.findall(r"^\| (?!paper |---)(.*) \|$", text, re.MULTILINE):
        _, functions, checks = row.split(" | ")
        assert DOTTED.search(functions) and "::" in checks, row
    names = DOTTED.findall(text)
    assert len(names) > 20
    for name in names:
        assert pkgutil.resolve_name(f"diffpy_cbldm.{name}"), name
    for path, test in re.findall(r"`(tests/\w+\.py)::(\w+)`", text):
        code = (ROOT / path).read_text("utf-8")
        assert f"\ndef {test}(" in code, f"{path} has no {test}"


SHELVES = {"tutorials", "how-to", "reference", "explanation", "notes"}


def test_every_page_lies_on_a_shelf_and_says_what_it_is_for():
    docs = ROOT / "docs"
    pages = [p for p in PAGES if docs in p.parents and p.name != "index.md"]
    alone = {p.name for p in pages if p.parent == docs}
    assert alone == {"benchmarks.md"}  # beside its figures
    assert {p.parent.name for p in pages if p.parent != docs} == SHELVES
    for page in pages:
        title, empty, first = page.read_text("utf-8").splitlines()[:3]
        assert title.startswith("# ") and not empty, page
        assert re.match(r"[A-Z][\w ]+", first), f"{page}: {first}"


def test_pages_that_are_named_are_there():
    """In what people read outside the documentation, and in the code."""
    texts = [ROOT / name for name in ("README.md", "CHANGELOG.md")]
    for folder in ("diffpy_cbldm", "training", "tests", "recipes"):
        texts += (ROOT / folder).rglob("*.py")
    found = set()
    for path in texts:
        text = path.read_text("utf-8")
        found |= set(re.findall(r"\bdocs/[\w/-]+\.(?:md|svg|png)\b", text))
    assert len(found) > 5
    for name in found:
        assert (ROOT / name).is_file(), name
