"""Whether the default job gives the answers of an older build, and its time.

    python -m tests.benchmarks.same_answers --against COMMIT

Two measured PDFs, where they are there, and the twelve of `simulated_cases`
are solved by today's build and by that of COMMIT, each in a process of its
own.  Refined candidates and all others must be the same ones in the same
order, at the same places and with the same Rw to 1e-6, as must the front, the
range of atoms and the warnings; a table shows the largest differences.  The
exit code is 1 where an answer differs for a reason that ``--allow`` does not
name.  Then both builds solve the first PDF in turn, and the medians of wall
and CPU time are printed.

The .gr files and the older build's answers stay in the work folder, so that
a second comparison runs today's build alone.
"""

from __future__ import annotations

import argparse
import dataclasses
import fnmatch
import hashlib
import json
import math
import statistics
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import diffpy_cbldm as cb
from diffpy_cbldm.files import appearing
from tests.benchmarks import builds, simulated_cases

MEASURED = {"JQ_S2": "Pt", "Au144pMBA": "Au"}
SCRIPT = Path(__file__).with_name("one_answer.py")

TOLERANCE = 1e-6
"""Of each Rw, and of the RMS distance of atoms in angstrom."""

WHAT = ("generator", "type", "n_atoms", "edits")
RWS = ("rw_raw", "rw_quick", "rw", "rw_heldout")


@dataclasses.dataclass(frozen=True)
class Case:
    """A PDF to solve."""

    name: str
    path: Path
    composition: str

    @property
    def content(self) -> str:
        """A short name of what the file holds."""
        return hashlib.sha256(self.path.read_bytes()).hexdigest()[:16]


@dataclasses.dataclass
class Comparison:
    """How two answers differ.

    Attributes
    ----------
    moved : dict
        {"refined" or "others": largest RMS distance of the atoms of a
        candidate, angstrom}; infinite where it is another structure.
    rw : dict
        The same of the differences of Rw.
    differences : list of (part, text)
        What differs by more than the tolerance, by the part of the answer:
        refined, others, front, atoms or warnings.
    """

    moved: dict[str, float]
    rw: dict[str, float]
    differences: list[tuple[str, str]]


def compare(
    old: Mapping[str, Any],
    new: Mapping[str, Any],
    tolerance: float = TOLERANCE,
) -> Comparison:
    """Compare two answers as `one_answer` writes them.

    Parameters
    ----------
    old, new : mapping
    tolerance : float
        Of each Rw, and of the RMS distance of atoms in angstrom.

    Returns
    -------
    Comparison
    """
    found = Comparison({}, {}, [])
    for part, wanted in (("refined", True), ("others", False)):
        pair = [
            [c for c in one["candidates"] if (c["rw"] is not None) is wanted]
            for one in (old, new)
        ]
        _candidates(found, part, *pair, tolerance)
    _front(found, old["front"], new["front"], tolerance)
    for part in ("atoms", "warnings"):
        if old[part] != new[part]:
            text = f"{old[part]} became {new[part]}"
            found.differences.append((part, text))
    return found


def _candidates(
    found: Comparison,
    part: str,
    old: Sequence[Mapping[str, Any]],
    new: Sequence[Mapping[str, Any]],
    tolerance: float,
) -> None:
    """Compare candidates one by one."""
    found.moved[part] = found.rw[part] = 0.0
    if len(old) != len(new):
        found.moved[part] = found.rw[part] = math.inf
        text = f"{len(old)} candidates became {len(new)}"
        found.differences.append((part, text))
    for rank, (a, b) in enumerate(zip(old, new), 1):
        moved, rw = math.inf, math.inf
        text = f"{rank}: {_words(a)} became {_words(b)}"
        if all(a[key] == b[key] for key in WHAT):
            step = np.subtract(a["positions"], b["positions"])
            moved = float(np.sqrt((step**2).sum(axis=1).mean()))
            rw = max(_apart(a[key], b[key]) for key in RWS)
            text = (
                f"{rank}: {_words(a)} moved by {moved:.1e} A, Rw by {rw:.1e}"
            )
        found.moved[part] = max(found.moved[part], moved)
        found.rw[part] = max(found.rw[part], rw)
        if max(moved, rw) > tolerance:
            found.differences.append((part, text))


def _front(
    found: Comparison,
    old: Sequence[Mapping[str, Any]],
    new: Sequence[Mapping[str, Any]],
    tolerance: float,
) -> None:
    """Compare the fronts of Rw against roughness point by point."""
    if len(old) != len(new):
        text = f"{len(old)} points became {len(new)}"
        found.differences.append(("front", text))
    for k, (a, b) in enumerate(zip(old, new), 1):
        far = max(_apart(a[key], b[key]) for key in ("rw", "roughness"))
        same = all(a[key] == b[key] for key in (*WHAT, "knee"))
        if not (same and far <= tolerance):
            text = f"point {k}: {_words(a)} became {_words(b)}"
            found.differences.append(("front", text))


def _apart(a: float | None, b: float | None) -> float:
    """|a - b|, and infinity where one of them is missing or no number."""
    if a is None and b is None:
        return 0.0
    apart = math.inf if a is None or b is None else abs(a - b)
    # In a maximum, not a number would be lost among numbers.
    return math.inf if math.isnan(apart) else apart


def _words(c: Mapping[str, Any]) -> str:
    """A candidate or a point of the front in a few words."""
    edits = f", {'+'.join(c['edits'])}" if c["edits"] else ""
    rw = c.get("rw") if c.get("rw") is not None else c["rw_quick"]
    return f"{c['type']} {c['n_atoms']} ({c['generator']}{edits}, Rw {rw:.7f})"


def cases(work: Path, measured: Path, names: Iterable[str]) -> list[Case]:
    """The PDFs; the simulated ones are written where they are not there.

    Parameters
    ----------
    work : Path
        Their .gr files go to ``work/pdfs``, once: both builds and all later
        comparisons read the same numbers.
    measured : Path
        Folder of the measured ones.
    names : iterable of str
        Which; empty for all.
    """
    folder = work / "pdfs"
    folder.mkdir(parents=True, exist_ok=True)
    unknown = {*names} - {*MEASURED, *simulated_cases.RECIPES}
    if unknown:
        raise cb.CbldmError(
            f"unknown cases {', '.join(sorted(unknown))}; expected some of "
            f"{', '.join((*MEASURED, *simulated_cases.RECIPES))}: correct "
            "--cases."
        )
    wanted = {*names} or {*MEASURED, *simulated_cases.RECIPES}
    found = []
    for name, element in MEASURED.items():
        path = measured.absolute() / f"{name}.gr"
        if name in wanted and path.exists():
            found.append(Case(name, path, element))
        elif name in wanted:
            print(f"{path.name} is not in {measured}: skipped")
    for name, recipe in simulated_cases.RECIPES.items():
        path = folder.absolute() / f"{name}.gr"
        if name in wanted:
            if not path.exists():
                with appearing(path) as unfinished:
                    simulated_cases.write(name, unfinished)
            found.append(Case(name, path, recipe.element))
    return found


def solved(build: builds.Build, case: Case, output: Path) -> dict[str, Any]:
    """The answer of a build, in a process of its own."""
    # The process runs in a folder of its own.
    with appearing(output.absolute()) as unfinished:
        build.run(
            SCRIPT,
            case.path,
            unfinished,
            f"--composition={case.composition}",
            f"--package={build.package}",
        )
        answer = json.loads(unfinished.read_text()) | {"pdf": case.content}
        unfinished.write_text(json.dumps(answer))
    return answer


def kept(build: builds.Build, case: Case, work: Path) -> dict[str, Any]:
    """The answer of a build, from an earlier comparison if there is one."""
    output = _place(work, build, case)
    if output.exists():
        answer = json.loads(output.read_text())
        if answer["pdf"] == case.content:
            return answer
    return solved(build, case, output)


def _place(work: Path, build: builds.Build, case: Case) -> Path:
    folder = work / "answers" / build.name
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{case.name}.json"


def reason_for(case: str, part: str, allowed: Mapping[str, str]) -> str | None:
    """Why a part of a case may differ, or None.

    Parameters
    ----------
    case, part : str
    allowed : mapping
        {name: reason}; a name is that of a case or ``CASE/PART``, with
        ``*`` for any.
    """
    for name, reason in allowed.items():
        pattern = name if "/" in name else f"{name}/*"
        if fnmatch.fnmatchcase(f"{case}/{part}", pattern):
            return reason
    return None


def answers(
    old: builds.Build,
    new: builds.Build,
    chosen: Sequence[Case],
    work: Path,
    allowed: Mapping[str, str],
) -> dict[str, Any]:
    """Compare all cases, print a line of each and return what was found."""
    rows, details, told = {}, [], set()
    print(
        f"\n{'':12s} {'answer':>26s} {'refined':>8s} {'moved/A':>8s} "
        f"{'Rw':>8s} {'others':>7s} {'moved/A':>8s} {'Rw':>8s}"
    )
    for case in chosen:
        before = kept(old, case, work)
        after = solved(new, case, _place(work, new, case))
        if before["environment"] != after["environment"]:
            told.add(f"{before['environment']} and {after['environment']}")
        result = compare(before, after)
        reasons = [
            reason_for(case.name, part, allowed)
            for part, _ in result.differences
        ]
        lines = [
            f"{case.name}, {part} {text}" + (f" [{why}]" if why else "")
            for (part, text), why in zip(result.differences, reasons)
        ]
        verdict = "same"
        if lines:
            verdict = "allowed" if all(reasons) else "DIFFERS"
        details += lines
        rows[case.name] = {
            "verdict": verdict,
            "moved": result.moved,
            "rw": result.rw,
            "differences": lines,
        }
        print(_line(case.name, before, result, verdict), flush=True)
    for text in sorted(told):
        print(f"The two builds run in different environments: {text}")
    for text in details:
        print(text)
    return rows


def _line(
    name: str, old: Mapping[str, Any], result: Comparison, verdict: str
) -> str:
    """A line of the table."""
    first = old["candidates"][0]
    what = f"{first['type']} {first['n_atoms']} ({first['generator']})"
    refined = sum(c["rw"] is not None for c in old["candidates"])
    cells = [f"{name:12s} {what:>26s}"]
    for part, number, width in (
        ("refined", refined, 8),
        ("others", len(old["candidates"]) - refined, 7),
    ):
        cells.append(f"{number:{width}d} {result.moved[part]:8.1e}")
        cells.append(f"{result.rw[part]:8.1e}")
    return " ".join(cells) + f"  {verdict}"


def times(
    old: builds.Build, new: builds.Build, case: Case, repeats: int
) -> dict[str, Any]:
    """Run two builds in turn, print the median times and return all."""
    print(f"\n{case.name}, {repeats} runs of each in turn, medians")
    runs: dict[str, list[dict[str, Any]]] = {old.name: [], new.name: []}
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "answer.json"
        for k in range(repeats):
            # Who goes first changes, as does how busy the machine is.
            for build in (old, new) if k % 2 == 0 else (new, old):
                answer = solved(build, case, output)
                runs[build.name].append(
                    {key: answer[key] for key in ("wall_s", "cpu_s")}
                    | {"peak_mib": answer["peak_mib"]}
                )
    rows: dict[str, Any] = {"case": case.name, "runs": runs}
    print(f"{'':10s} {old.name:>12s} {new.name:>12s} {'ratio':>7s}")
    for key in ("wall_s", "cpu_s", "peak_mib"):
        a, b = (
            statistics.median(run[key] for run in runs[build.name])
            for build in (old, new)
        )
        rows[key] = {"old": a, "new": b, "ratio": b / a}
        print(f"{key:10s} {a:12.2f} {b:12.2f} {b / a:7.3f}")
    return rows


def _reason(text: str) -> tuple[str, str]:
    name, _, reason = text.partition("=")
    if not (name and reason.strip()):
        raise argparse.ArgumentTypeError(
            f"{text!r} gives no reason; expected NAME=REASON"
        )
    return name, reason.strip()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--against", metavar="COMMIT", required=True)
    parser.add_argument(
        "--old-python",
        metavar="PATH",
        type=Path,
        help="an interpreter that has COMMIT installed; default: made",
    )
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument(
        "--work",
        metavar="FOLDER",
        type=Path,
        default=Path(tempfile.gettempdir()) / "cbldm-same-answers",
        help="default: %(default)s",
    )
    parser.add_argument("--json", metavar="FILE", type=Path)
    parser.add_argument(
        "--measured",
        metavar="FOLDER",
        type=Path,
        default=builds.ROOT.parent / "shared" / "data" / "experimental",
        help="of the measured PDFs; default: %(default)s",
    )
    parser.add_argument(
        "--cases", nargs="+", default=[], help="names; default: all"
    )
    parser.add_argument(
        "--allow",
        metavar="NAME=REASON",
        type=_reason,
        action="append",
        default=[],
        help="a case that may differ, or CASE/PART; may be repeated",
    )
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--time-only", action="store_true")
    only.add_argument("--answers-only", action="store_true")
    only.add_argument(
        "--prepare",
        action="store_true",
        help="only make the older build's answers",
    )
    return parser


def main() -> int:
    """Compare, and return the exit code."""
    options = _parser().parse_args()
    old = builds.of_commit(options.against, options.work, options.old_python)
    chosen = cases(options.work, options.measured, options.cases)
    if not chosen:
        raise cb.CbldmError(
            f"none of the cases is in {options.measured}; expected one or "
            "more: pass --measured or other --cases."
        )
    if options.prepare:
        for case in chosen:
            answer = kept(old, case, options.work)
            print(f"{case.name:12s} {answer['wall_s']:6.1f} s", flush=True)
        return 0
    new = builds.today()
    found: dict[str, Any] = {"against": old.name}
    if not options.time_only:
        allowed = dict(options.allow)
        found["answers"] = answers(old, new, chosen, options.work, allowed)
    if not options.answers_only:
        found["times"] = times(old, new, chosen[0], options.repeats)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))
    rows = found.get("answers", {}).values()
    return int(any(row["verdict"] == "DIFFERS" for row in rows))


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    except cb.CbldmError as error:
        raise SystemExit(f"error: {error}") from None
