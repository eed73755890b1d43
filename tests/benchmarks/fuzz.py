"""Damaged inputs at every door: read, or refused in words.

    python -m tests.benchmarks.fuzz --inputs 100000

Valid files and command lines are changed at random, from a seed: characters,
words and lines are removed, repeated, exchanged, replaced.  Whatever is raised
other than `CbldmError` is a failure, and so is an input that takes longer than
`SLOW`.  Nothing is solved; readers of other packages are not asked.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import io
import json
import pathlib
import random
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Sequence

import numpy as np

from diffpy_cbldm.clusterfile import read_xyz
from diffpy_cbldm.commands import cbldm, cbldm_simulate, common, config
from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.options import options
from diffpy_cbldm.output.asefile import read_cbldm
from diffpy_cbldm.pdfdata import read_pdf
from diffpy_cbldm.settings import Reading, Solve

SLOW = 10.0
"""No input takes longer, s; the busiest machine needs less than one."""

LONGEST = 20_000
"""Characters of an input, at most: repeats of repeats grow fast."""

ROWS = "".join(f"{k / 20:.2f} {np.sin(k / 3):.6f}\n" for k in range(30, 180))

PDFS = [
    ROWS,
    "# composition = Pt\n# qmin: 0.8\n# qmax: 22,5\n#### start data\n#L r G\n"
    + ROWS,
    "[DEFAULT]\nmode = xray\noutputtype = gr\ncomposition = Au\n"
    "wavelength = 0.2\n#S 1 - PDFgetX3\n#L r($\\AA$)  G($\\AA^{-2}$)\n" + ROWS,
    "r,G,dG\n" + ROWS.replace("\n", " 0.1\n").replace(" ", ","),
    "! neutrons, stype=N, qdamp = 0.02 qbroad = 1e-2\n"
    + ROWS.replace(".", ","),
]
"""Texts of PDF files in several forms."""

CLUSTERS = [
    "3\nPt trimer\nPt 0 0 0\nPt 2.7 0 0\nPt 0 2.7 0.1\n",
    '2\nProperties=species:S:1:pos:R:3 pbc="F F F"\nAu 0 0 0\nAu 1e0 2 2\n',
]
"""Texts of xyz files."""

CONFIGS = [
    "[DEFAULT]\ncount = 4\nqmin = 0.8 # low\nstype = N\nquiet = yes\n"
    "datapath =\n  one\n  two\n[fast]\ncount = 2\nrefine = 1\n",
    "[DEFAULT]\noutput = @h/@b\noutputtypes = xyz,res\nforce = once\n"
    "seed = 9223372036854775807\ngenerators = cbldm,library\n",
]
"""Texts of configuration files."""

CANDIDATE = {
    "rank": 1,
    "generator": "library",
    "structure_type": "fcc",
    "n_atoms": 2,
    "elements": ["Pt", "Pt"],
    "positions": [[0, 0, 0], [2.7, 0, 0]],
    "rw_raw": 0.3,
    "rw": 0.1,
    "rw_heldout": None,
    "parameters": {"scale": {"value": 1.0, "esd": 0.1}},
    "flags": [],
}

RESULTS = [
    json.dumps(
        {
            "schema": config.SCHEMA,
            "input": "a.gr",
            "settings": {
                "version": "0.1",
                **{
                    option.name: option.default
                    for table in (Reading, Solve)
                    for option in options(table)
                },
                "composition": "Pt",
            },
            "candidates": [CANDIDATE],
        },
        indent=1,
    )
]
"""Texts of results."""

COMMANDS = [
    "a.gr b.gr --composition Pt -t xyz,res -o out/@b -n 4 --refine 2",
    "-f series <1-9> + .gr$ -d one -d two --force once --verbose=info",
    "--qmin 0.8 --qmax=22 --stype X --seed 7 --polish sites -q -- -a.gr",
]
"""Command lines."""

SPECIAL = (
    *("nan", "inf", "-inf", "1e999", "-1", "0", "9" * 30, "1e-320", "\0"),
    *("=", "#", ":", "[", "]", "{", "}", '"', ",", ";", "%", "$", "@", "\\"),
    *("--", "-", "é", "\u202e", "\ufeff", "\r", "\t", "\x0c", "", " "),
    *("Pt", "Xx", "null", "true", "[DEFAULT]", "qmax", "composition = "),
)
"""What stands where something else is expected."""


def mutated(text: str, random: random.Random) -> str:
    """A text with some changes of characters, words or lines."""
    for _ in range(random.choice((1, 1, 2, 3, 8))):
        unit = random.choice(("line", "word", "character"))
        parts = {
            "line": lambda text: text.splitlines(keepends=True),
            "word": lambda text: [w for w in _words(text) if w],
            "character": list,
        }[unit](text)
        if not parts:
            return text
        k, other = (random.randrange(len(parts)) for _ in range(2))
        match random.randrange(7):
            case 0:
                del parts[k]
            case 1:
                parts.insert(k, parts[other])
            case 2:
                parts[k], parts[other] = parts[other], parts[k]
            case 3:
                parts[k] = random.choice(SPECIAL)
            case 4:
                parts.insert(k, random.choice(SPECIAL))
            case 5:
                parts[k] = parts[k] * random.choice((2, 3, 50))
            case 6:
                # Cut off, as by a disk that was full.
                parts = parts[:k] if random.random() < 0.3 else parts
        text = "".join(parts)
    return text[:LONGEST]


def _words(text: str) -> list[str]:
    """Words and what is between them."""
    words, last = [""], False
    for sign in text:
        if sign.isspace() is last:
            words[-1] += sign
        else:
            words.append(sign)
            last = sign.isspace()
    return words


def open_pdf(text: str) -> None:
    """Read a PDF, as a stream of bytes and as text."""
    raw = text.encode("utf-8", "surrogatepass")
    pdf = read_pdf(io.BytesIO(raw))
    assert len(pdf.r) == len(pdf.g) and np.isfinite([pdf.r, pdf.g]).all()
    assert (np.diff(pdf.r) > 0).all()


def open_cluster(text: str) -> None:
    """Read an xyz file."""
    cluster = read_xyz(_file("a.xyz", text))
    assert np.isfinite(cluster.positions).all()


def open_config(text: str) -> None:
    """Read a configuration file, and what would be run by it."""
    path = _file("a.cfg", text)
    for section in (None, "fast"):
        with contextlib.suppress(CbldmError):
            values, origins = config.read_with_origins(
                cbldm.TABLES, path, section
            )
            config.notes(values, dict.fromkeys(values, path), {})
    common.fill(cbldm.TABLES, config.read(cbldm.TABLES, path))


def open_result(text: str) -> None:
    """Repeat a run, and read its structures as ASE does."""
    path = _file("a.res", text)
    with contextlib.suppress(CbldmError), open(path) as file:
        read_cbldm(file, slice(None))
    common.fill(cbldm.TABLES, config.read(cbldm.TABLES, path))


def open_command(text: str) -> None:
    """Take a command line apart."""
    words = text.replace("\0", "").split()  # a shell passes none on
    with contextlib.suppress(CbldmError):
        given = cbldm_simulate.make_parser().given(words)
        common.fill(cbldm_simulate.TABLES, given)
    common.fill(cbldm.TABLES, cbldm.make_parser().given(words))


DOORS: dict[str, tuple[Sequence[str], Callable[[str], None]]] = {
    "pdf": (PDFS, open_pdf),
    "cluster": (CLUSTERS, open_cluster),
    "configuration": (CONFIGS, open_config),
    "result": (RESULTS, open_result),
    "command line": (COMMANDS, open_command),
}
"""Valid texts and what reads them, by the kind of input."""

FOLDER = tempfile.TemporaryDirectory(prefix="cbldm-fuzz-")


def _file(name: str, text: str) -> str:
    path = pathlib.Path(FOLDER.name, name)
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    return str(path)


def outcome(door: str, text: str) -> str:
    """Give a text to a door: "read", "refused" or "shown", else it raises."""
    _, opened = DOORS[door]
    quiet = contextlib.redirect_stdout(io.StringIO())
    with warnings.catch_warnings(record=True), quiet:
        try:
            opened(text)
        except CbldmError as error:
            assert str(error).strip()
            return "refused"
        except SystemExit as end:  # --help
            assert not end.code
            return "shown"
    return "read"


def main(words: Sequence[str] | None = None) -> int:
    """Try many inputs; the exit code is 1 where one failed."""
    parser = argparse.ArgumentParser(
        "python -m tests.benchmarks.fuzz", description=main.__doc__
    )
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args(words)
    counts: collections.Counter[tuple[str, str]] = collections.Counter()
    slowest, failures = 0.0, 0
    for number in range(chosen.inputs):
        # Each input has a seed of its own, to be made again alone.
        choose = random.Random(f"{chosen.seed} {number}")
        door = list(DOORS)[number % len(DOORS)]
        text = mutated(choose.choice(DOORS[door][0]), choose)
        start = time.perf_counter()
        try:
            what = outcome(door, text)
        except Exception:
            what = "FAILED"
            print(f"input {number} of seed {chosen.seed}, {door}:")
            traceback.print_exc(limit=-4, file=sys.stdout)
        took = time.perf_counter() - start
        if took > SLOW:
            print(f"input {number} of seed {chosen.seed}: {took:.1f} s")
        failures += what == "FAILED" or took > SLOW
        slowest = max(slowest, took)
        counts[door, what] += 1
    for (door, what), count in sorted(counts.items()):
        print(f"{door:14}  {what:8}  {count}")
    print(
        f"{chosen.inputs} inputs, {failures} failures, the slowest took "
        f"{slowest:.2f} s"
    )
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main())
