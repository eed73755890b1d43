"""What an installation takes: time, disk, and whether it then works.

    python -m tests.benchmarks.install --python python3.13 --newest --json

A new environment of the given Python gets a clone of the current commit,
either with the releases of the constraints file that belongs to it or with
the newest ones.
The example of README's first command is run in it, and the tests that
`--tests` names.  One row of the table in docs/how-to/install.md is printed.

The time holds the downloads, and so depends on the network.  Sizes are sums
of the lengths of files, in MB of 10^6 bytes, after the example has run: pip
compiles all modules; with `--no-compile`, Python does so with those that are
imported.  `--slim` also removes what PyTorch brings for building C++
extensions and for its own tests, and `--remove` packages of which no part is
needed for what is left to do.
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
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

UNUSED = ("torch/test", "torch/include")
"""Folders of PyTorch that nothing imports: test programs, and headers."""

KEPT = "torch_shm_manager"
"""The one program of torch/bin that PyTorch looks for when it is imported."""

EXAMPLE = ("--generators", "library", "--polish", "no")
"""What shortens the example where only its running counts."""


@dataclasses.dataclass
class Row:
    """One installation.

    Attributes
    ----------
    python, torch : str
        Their versions.
    releases : str
        "newest", or the name of the constraints file.
    install_s, example_s : float
        Wall seconds; `example_s` is of `cbldm --example`.
    example : str
        The first row of its table, or its last words where it failed.
    tests : str
        pytest's last line; empty where no tests were asked for.
    mb : float
        The whole environment.
    bytecode_mb : float
        The compiled modules among it.
    largest : dict
        {folder in site-packages: MB}, the ten largest.
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
    """Run a command; its output and wall seconds.

    The output of a command that fails is its own words, for the row.
    """
    # A path of this process would hide what the new environment lacks.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
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


def sizes(environment: Path) -> tuple[Counter[str], int]:
    """Bytes by folder of site-packages ("" for the rest), and of bytecode."""
    (site,) = environment.glob("lib/python*/site-packages")
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


def slim(environment: Path) -> None:
    """Remove what PyTorch does not need to run."""
    (site,) = environment.glob("lib/python*/site-packages")
    for name in UNUSED:
        shutil.rmtree(site / name)
    for path in (site / "torch" / "bin").iterdir():
        if path.name != KEPT:
            path.unlink()


def first_row(text: str) -> str:
    """The best candidate in the table of `cbldm`, or the last line."""
    lines = [" ".join(line.split()) for line in text.splitlines()]
    best = [line for line in lines if line.startswith("1 ")]
    return (best or [line for line in lines if line] or ["no output"])[0]


def measure(options: argparse.Namespace, folder: Path) -> Row:
    """Install into `folder`/environment, and run what was asked for.

    Raises
    ------
    SystemExit
        The installation failed; its last lines are the message.
    """
    asked = "import platform; print(platform.python_version())"
    version, _ = run([options.python, "-c", asked], folder)
    given = constraints_for(version)
    row = Row(version.strip(), "newest" if options.newest else given.name)
    clone, environment = folder / "clone", folder / "environment"
    run(["git", "clone", "--quiet", ROOT, clone], folder)
    python = environment / "bin" / "python"
    install = [python, "-m", "pip", "install", *shlex.split(options.pip)]
    install += [] if options.newest else ["-c", given]
    install += ["--no-compile"] if options.no_compile or options.slim else []
    what = f"{clone}[test]" if options.tests else str(clone)

    start = time.perf_counter()
    run([options.python, "-m", "venv", environment], folder)
    for wanted in (*options.first, what):
        text, _ = run([*install, wanted], folder)
        if "Successfully installed" not in text:
            sys.exit("\n".join(text.splitlines()[-15:]))
    row.install_s = time.perf_counter() - start

    if options.slim:
        slim(environment)
    if options.remove:
        names = options.remove.split()
        run([python, "-m", "pip", "uninstall", "-y", *names], folder)
    words = [] if options.whole_example else EXAMPLE
    text, row.example_s = run(
        [environment / "bin" / "cbldm", "--example", *words], folder
    )
    row.example = first_row(text)
    row.torch = run(
        [python, "-c", "import torch; print(torch.__version__)"], folder
    )[0].strip()
    parts, bytecode = sizes(environment)
    row.mb, row.bytecode_mb = sum(parts.values()) / 1e6, bytecode / 1e6
    row.largest = {k: size / 1e6 for k, size in parts.most_common(10)}
    if options.tests:
        text, _ = run(
            [python, "-m", "pytest", "-q", *shlex.split(options.tests)], clone
        )
        row.tests = text.strip().splitlines()[-1]
        if not row.works:
            print(text, file=sys.stderr)
    return row


def line(row: Row) -> str:
    """The row as one of a Markdown table."""
    tests = row.tests.strip("= ") or "-"
    cells = (
        row.python,
        row.releases,
        row.torch,
        f"{row.install_s:.0f}",
        f"{row.mb:.0f}",
        f"{row.example_s:.0f}",
        tests,
    )
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--newest", action="store_true")
    parser.add_argument("--no-compile", action="store_true")
    parser.add_argument("--slim", action="store_true")
    parser.add_argument("--remove", default="", help="packages, at the end")
    parser.add_argument("--whole-example", action="store_true")
    parser.add_argument("--tests", default="", help="words for pytest")
    parser.add_argument("--pip", default="", help="more words for pip")
    parser.add_argument(
        "--first", action="append", default=[], help="to install before"
    )
    parser.add_argument("--folder", type=Path, help="keep it here")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        row = measure(options, folder.resolve())
    print(json.dumps(dataclasses.asdict(row)) if options.json else line(row))
    sys.exit(not row.works)


if __name__ == "__main__":
    main()
