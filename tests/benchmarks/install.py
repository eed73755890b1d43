"""What an installation takes: time, disk, and whether it then works.

    python -m tests.benchmarks.install --python python3.13 --newest --json

A new environment of the given Python gets a clone of the current commit,
either with the releases of the constraints file that belongs to it or with
the newest ones.  A short search in the example's PDF is run in it, and the
tests that `--tests` names.  One row of the table in docs/how-to/install.md is
printed.  The seconds hold the downloads, and so depend on the network.

`--shrink` then removes in turn what is not needed, and prints a row for each
step after the same search.  Sizes are sums of the lengths of files, in MB of
10^6 bytes.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

UNUSED = ("torch/test", "torch/include")
"""Folders of PyTorch that nothing imports: test programs, and headers."""

KEPT = "torch_shm_manager"
"""The one program of torch/bin that PyTorch looks for when it is imported."""

PYMATGEN = ("pymatgen", "pymatgen-core", "pandas", "lxml", "spglib")
"""The large packages that only conversions to pymatgen and cif files need."""

EXAMPLE = ("--generators", "cbldm", "--count", "8", "--polish", "no")
"""A search that loads the networks, the fit and the page, and is short."""


@dataclasses.dataclass
class Row:
    """One installation.

    Attributes
    ----------
    python, torch : str
        Their versions.
    releases : str
        "newest", or the name of the constraints file; for a row of
        `--shrink`, what was removed.
    install_s, example_s : float
        Wall seconds.
    mb, bytecode_mb : float
        The whole environment, and the compiled modules in it.
    largest : dict
        {folder in site-packages: MB}, the ten largest.
    example : str
        The best candidate of the example, or its last words.
    tests : str
        pytest's last line; empty where no tests were asked for.
    """

    python: str
    releases: str
    torch: str = ""
    install_s: float = 0.0
    mb: float = 0.0
    bytecode_mb: float = 0.0
    largest: dict[str, float] = dataclasses.field(default_factory=dict)
    example_s: float = 0.0
    example: str = ""
    tests: str = ""

    @property
    def works(self) -> bool:
        """Whether the example ran, and all tests that were asked for."""
        failed = re.search(r"\d+ (failed|error)", self.tests)
        return self.example.startswith("1 ") and not failed


def constraints_for(version: str) -> Path:
    """The constraints file that belongs to a Python such as "3.12.1"."""
    older = tuple(map(int, version.split(".")[:2])) < (3, 12)
    return ROOT / ("constraints.txt" if older else "constraints-3.12.txt")


def run(words: Sequence[str | Path], cwd: Path) -> tuple[str, float]:
    """Run a command: what it printed, and its wall seconds.

    Where it fails, its error output follows.
    """
    # A path of this process would hide what the new environment lacks, and
    # without bytecode it would be smaller than a user's.
    environment = {
        k: v for k, v in os.environ.items() if not k.startswith("PYTHON")
    }
    start = time.perf_counter()
    done = subprocess.run(
        [str(w) for w in words],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
    )
    text = done.stdout if done.returncode == 0 else done.stdout + done.stderr
    return text, time.perf_counter() - start


def site_of(environment: Path) -> Path:
    """The folder of installed packages."""
    (site,) = environment.glob("lib/python*/site-packages")
    return site


def install(options: argparse.Namespace, folder: Path) -> Row:
    """Make `folder`/environment from a clone of the current commit.

    Raises
    ------
    SystemExit
        pip failed; its last lines are the message.
    """
    asked = "import platform; print(platform.python_version())"
    version = run([options.python, "-c", asked], folder)[0].strip()
    given = constraints_for(version)
    row = Row(version, "newest" if options.newest else given.name)
    clone, environment = folder / "clone", folder / "environment"
    run(["git", "clone", "--quiet", ROOT, clone], folder)
    words: list[str | Path] = [environment / "bin" / "pip", "install"]
    words += [] if options.newest else ["-c", given]
    words += [f"{clone}[test]" if options.tests else str(clone)]

    start = time.perf_counter()
    run([options.python, "-m", "venv", environment], folder)
    text, _ = run(words, folder)
    if "Successfully installed" not in text:
        sys.exit("\n".join(text.splitlines()[-15:]))
    row.install_s = time.perf_counter() - start
    return row


def use(row: Row, folder: Path) -> None:
    """Run the example with its page, then take sizes, into the row."""
    environment = folder / "environment"
    words = ["--example", "-t", "html", "--force", *EXAMPLE]
    text, row.example_s = run([environment / "bin" / "cbldm", *words], folder)
    row.example = first_row(text)
    asked = "import torch; print(torch.__version__)"
    text, _ = run([environment / "bin" / "python", "-c", asked], folder)
    row.torch = text.strip().splitlines()[-1]
    parts, bytecode = sizes(environment)
    row.mb, row.bytecode_mb = sum(parts.values()) / 1e6, bytecode / 1e6
    row.largest = {k: size / 1e6 for k, size in parts.most_common(10)}


def sizes(environment: Path) -> tuple[Counter[str], int]:
    """Bytes by folder of site-packages ("" for the rest), and of bytecode."""
    site = site_of(environment)
    parts: Counter[str] = Counter()
    bytecode = 0
    for path in environment.rglob("*"):
        if path.is_symlink() or not path.is_file():
            continue
        size = path.stat().st_size
        inside = path.is_relative_to(site)
        parts[path.relative_to(site).parts[0] if inside else ""] += size
        bytecode += size if path.suffix == ".pyc" else 0
    return parts, bytecode


def first_row(text: str) -> str:
    """The best candidate in the table of `cbldm`, or the last line."""
    lines = [" ".join(line.split()) for line in text.splitlines()]
    lines = [line for line in lines if line] or ["no output"]
    best = [line for line in lines if line.startswith("1 ")]
    return best[0] if best else lines[-1]


def shrunk(row: Row, folder: Path) -> Iterator[Row]:
    """A row for each thing that is removed, with all before it."""

    def after(what: str) -> Row:
        smaller = Row(row.python, what)
        use(smaller, folder)
        return smaller

    environment = folder / "environment"
    site = site_of(environment)
    # As `pip install --no-compile`: what is imported is compiled again.
    for path in environment.rglob("*.pyc"):
        path.unlink()
    yield after("bytecode of what is not imported")
    for name in UNUSED:
        shutil.rmtree(site / name)
    for path in (site / "torch" / "bin").iterdir():
        if path.is_file() and path.name != KEPT:
            path.unlink()
    yield after("PyTorch's tests, headers and programs")
    pip = [environment / "bin" / "python", "-m", "pip"]
    run([*pip, "uninstall", "-y", *PYMATGEN], folder)
    yield after("pymatgen and what only it needs")


def line(row: Row) -> str:
    """The row as one of a Markdown table."""
    # "== 3 passed in 2.00s ==": the seconds of tests are not the matter.
    tests = row.tests.strip("= ").partition(" in ")[0]
    cells = (
        row.python,
        row.releases,
        row.torch,
        f"{row.install_s:.0f}" if row.install_s else "-",
        f"{row.mb:.0f}",
        "runs" if row.example.startswith("1 ") else row.example,
        tests or "-",
    )
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--newest", action="store_true")
    parser.add_argument("--shrink", action="store_true")
    parser.add_argument("--tests", default="", help="words for pytest")
    parser.add_argument("--folder", type=Path, help="keep it here")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (options.folder or Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        rows = [install(options, folder)]
        use(rows[0], folder)
        if options.tests:
            python = folder / "environment" / "bin" / "python"
            words = [python, "-m", "pytest", "-q"]
            text, _ = run(
                [*words, *shlex.split(options.tests)], folder / "clone"
            )
            rows[0].tests = text.strip().splitlines()[-1]
            if not rows[0].works:
                print(text, file=sys.stderr)
        if options.shrink:
            rows += shrunk(rows[0], folder)
    for row in rows:
        print(
            json.dumps(dataclasses.asdict(row)) if options.json else line(row)
        )
    sys.exit(not all(row.works for row in rows))


if __name__ == "__main__":
    main()
