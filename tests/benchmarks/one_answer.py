"""The default job on one PDF, written as JSON: run by `same_answers`.

It runs in any build, in a process of its own, and uses nothing but the public
API of the package.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.metadata
import json
import os
import platform
import resource
import sys
import time
from pathlib import Path
from typing import Any

import diffpy_cbldm as cb

LIBRARIES = ("diffpy.srfit", "numpy", "scipy", "torch")


def answer_of(solution: Any) -> dict[str, Any]:
    """What a `Solution` found, in JSON's types."""
    return {
        "candidates": [
            {
                "generator": c.generator,
                "type": c.structure_type,
                "n_atoms": len(c),
                "positions": c.positions.tolist(),
                "rw_raw": c.rw_raw,
                "rw_quick": quick,
                "rw": c.rw,
                "rw_heldout": c.rw_heldout,
                "edits": list(c.edits),
            }
            for c, quick in zip(
                solution.candidates, solution.rw_quick, strict=True
            )
        ],
        "warnings": list(solution.warnings),
        "atoms": solution.atoms and dataclasses.asdict(solution.atoms),
        "front": [
            {
                "generator": p.generator,
                "type": p.structure_type,
                "n_atoms": p.n_atoms,
                "rw": p.rw,
                "roughness": p.roughness,
                "edits": list(p.edits),
                "knee": p.knee,
            }
            for p in solution.front
        ],
    }


def main() -> None:
    """Solve one PDF."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pdf", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--composition", required=True)
    parser.add_argument("--package", type=Path, required=True)
    options = parser.parse_args()
    where = Path(cb.__file__).parent
    assert where == options.package, f"{where} is not {options.package}"
    pdf = cb.read_pdf(options.pdf, composition=options.composition)
    wall, cpu = time.perf_counter(), sum(os.times()[:4])
    solution = cb.solve(pdf)
    wall, cpu = time.perf_counter() - wall, sum(os.times()[:4]) - cpu
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    made = answer_of(solution) | {
        "wall_s": wall,
        "cpu_s": cpu,
        # macOS counts bytes, Linux KiB.
        "peak_mib": used / (2**20 if sys.platform == "darwin" else 2**10),
        "environment": {
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in LIBRARIES},
        },
    }
    options.output.write_text(json.dumps(made))


if __name__ == "__main__":
    main()
