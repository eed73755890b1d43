"""Builds of the package beside each other: today's, and that of a commit.

`today` is what the running interpreter imports, `of_commit` an older state
in an environment of its own.  Both are checked against the files of the
state that they are said to be, and both run scripts in processes that find
no other copy of the package.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import diffpy_cbldm as cb

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "diffpy_cbldm"

EXAMPLES = "cmi/docs/"
"""Within the package: links to the recipes, which a wheel holds as copies."""


@dataclasses.dataclass(frozen=True)
class Build:
    """One installed state of the package.

    Attributes
    ----------
    name : str
        The first twelve digits of the commit, or "today".
    python : Path
        The interpreter that has it.
    package : Path
        The folder from which that interpreter imports it.
    """

    name: str
    python: Path
    package: Path

    def run(self, script: Path, *arguments: object) -> str:
        """Run a script in a fresh process and return what it printed.

        Raises
        ------
        CbldmError
            Where it fails; the text ends with its last lines.
        """
        return _run(self.python, script, *arguments)


def today() -> Build:
    """The build of this checkout, as the running interpreter imports it.

    Raises
    ------
    CbldmError
        Where it imports files that differ from those of the checkout.
    """
    return _checked("today", Path(sys.executable), _modules(ROOT / PACKAGE))


def of_commit(commit: str, work: Path, python: Path | None = None) -> Build:
    """The build of a commit, made where it is not there yet.

    Parameters
    ----------
    commit : str
        Any name that git knows.
    work : Path
        The environment is made in ``work/builds`` and found there again.
        It holds what ``pip install -c constraints.txt .`` gives in the
        commit's files; pip's own variables, such as
        ``PIP_EXTRA_INDEX_URL`` for a torch without CUDA, apply.
    python : Path, optional
        An interpreter that has the commit installed already.

    Returns
    -------
    Build

    Raises
    ------
    CbldmError
        Where git does not know the commit, the installation fails or the
        interpreter has another state of the package.
    """
    named = _git("rev-parse", "--verify", f"{commit}^{{commit}}").strip()
    if python is None:
        python = _environment(named, work / "builds" / named[:12])
    return _checked(named[:12], python, _files_of(named))


def _environment(commit: str, folder: Path) -> Path:
    """The interpreter of an environment that has a commit installed."""
    python = folder.absolute() / ".venv" / "bin" / "python"
    done = folder / "installed"
    if done.exists():
        return python
    # What an interrupted installation left would pass for a whole one.
    shutil.rmtree(folder, ignore_errors=True)
    source = folder / "source"
    source.mkdir(parents=True)
    print(f"installing {commit[:12]} in {folder}", flush=True)
    archive = folder / "source.tar"
    _git("archive", "--format=tar", f"--output={archive.absolute()}", commit)
    shutil.unpack_archive(archive, source, filter="data")
    _called(sys.executable, "-m", "venv", python.parents[1])
    words = ["install", "--quiet", "-c", "constraints.txt", "."]
    _called(python, "-m", "pip", *words, cwd=source)
    done.touch()
    return python


def _checked(name: str, python: Path, files: Mapping[str, str]) -> Build:
    """The build of an interpreter, once its files are the expected ones."""
    where = f"import {PACKAGE}; print({PACKAGE}.__file__)"
    package = Path(_run(python, "-c", where).strip()).parent
    wrong = differing(package, files)
    if wrong:
        raise cb.CbldmError(
            f"{python} imports {package}, where {len(wrong)} files are not "
            f"those of {name} ({', '.join(wrong[:3])}, ...); expected the "
            "same: install that state there first."
        )
    return Build(name, python, package)


def differing(package: Path, files: Mapping[str, str]) -> list[str]:
    """Python files of an installed package that are not the expected ones.

    Parameters
    ----------
    package : Path
        Folder of the installed package.
    files : mapping
        {path within the package: git's name of its content}.

    Returns
    -------
    list of str
        Changed, missing and additional files, sorted.
    """
    there = _modules(package)
    return sorted(
        name for name in {*there, *files} if there.get(name) != files.get(name)
    )


def _modules(package: Path) -> dict[str, str]:
    """{path within a folder: git's name of its content} of what it imports.

    The examples are left out: nothing imports them.
    """
    found = {}
    for path in package.rglob("*.py"):
        name = path.relative_to(package).as_posix()
        if not name.startswith(EXAMPLES):
            found[name] = _blob(path)
    return found


def _files_of(commit: str) -> dict[str, str]:
    """As `_modules`, of the package in a commit."""
    found = {}
    for line in _git("ls-tree", "-r", commit, f"{PACKAGE}/").splitlines():
        entry, path = line.split("\t")
        name = path.removeprefix(f"{PACKAGE}/")
        if name.endswith(".py") and not name.startswith(EXAMPLES):
            found[name] = entry.split()[2]
    return found


def _blob(path: Path) -> str:
    """The name that git gives to the content of a file."""
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def _git(*words: str) -> str:
    return _called("git", "-C", ROOT, *words)


def _run(python: Path, *words: object) -> str:
    """Run an interpreter where it sees its own packages alone.

    With -I neither the working directory, nor the folder of the script, nor
    PYTHONPATH is searched: in each lies a copy of the package, or a module
    named like one that is imported.
    """
    return _called(python, "-I", *words, cwd=os.sep)


def _called(*words: object, cwd: str | Path | None = None) -> str:
    """What a command printed."""
    command = [str(word) for word in words]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    if done.returncode:
        last = "\n".join(done.stderr.splitlines()[-8:])
        raise cb.CbldmError(
            f"{' '.join(command)} ended with {done.returncode}; expected 0:\n"
            f"{last}"
        )
    return done.stdout
