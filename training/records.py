"""How runs are recorded: on what machine, with which code, in what files.

All files are written by rename: a run that is stopped leaves the last whole
one, from which it goes on.
"""

from __future__ import annotations

import csv
import json
import platform
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from diffpy_cbldm.files import write_atomic

PARTS = Path(__file__).parent / "weights"
"""Where the parts of packaged weights lie that only training uses."""


def commit() -> str:
    """The commit of the working tree, with a + where it was changed."""
    words = ["git", "describe", "--always", "--dirty=+", "--abbrev=9"]
    try:
        done = subprocess.run(
            words,
            capture_output=True,
            text=True,
            check=True,
            cwd=Path(__file__).parent,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()


def machine() -> str:
    """The processor and the threads that are used."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        lines = info.read_text().splitlines()
        names = [x.split(":", 1)[1] for x in lines if x.startswith("model na")]
        name = names[0].strip() if names else name
    return f"{name}, {torch.get_num_threads()} thread(s)"


def hardware(device: torch.device) -> str:
    """One line on the machine, for the record of the weights."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{torch.get_num_threads()} threads, {platform.machine()} CPU"


def training_parts(name: str) -> dict[str, torch.Tensor]:
    """The `TRAINING_ONLY` parts of packaged weights, which lie apart."""
    path = PARTS / f"{name}.safetensors"
    if not path.is_file():
        return {}
    return {k: v.float() for k, v in load_file(path).items()}


RUN = ("seed", "set", "slices", "changes", "seconds", "steps")
"""What the record of weights tells of each run that they came from."""


def runs_of(record: dict[str, Any]) -> list[dict[str, Any]]:
    """The runs that weights came from, each of which went on from the last."""
    own = {name: record[name] for name in RUN if name in record}
    return [*record.get("runs_before", []), own]


def log(path: Path, row: dict[str, Any], columns: Sequence[str]) -> None:
    """Append a line to a learning curve, with its header if it is the first.

    Parameters
    ----------
    path : Path
        A file of comma-separated values.
    row : dict
        Figures; what has no figure stays empty.
    columns : sequence of str
    """
    fresh = not path.exists()
    with path.open("a", newline="") as stream:
        writer = csv.DictWriter(stream, columns, restval="")
        if fresh:
            writer.writeheader()
        writer.writerow({k: _rounded(k, v) for k, v in row.items()})


def _rounded(name: str, value: Any) -> Any:
    # Seconds of long runs need more than five digits.
    if isinstance(value, float) and name != "seconds":
        return f"{value:.5g}"
    return value


def has_bfloat16(device: torch.device) -> bool:
    """Whether a device computes in bfloat16 faster than in float32."""
    if device.type == "cpu":
        return torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return torch.cuda.is_bf16_supported()


def keep(path: Path | str, record: dict[str, Any]) -> None:
    """Write a record as JSON, by rename."""
    write_atomic(path, json.dumps(record, indent=1) + "\n")


def kept(path: Path, schema: str, settings: dict[str, Any]) -> dict[str, Any]:
    """The figures of an earlier run with the same settings, or none yet.

    Returns
    -------
    dict
        ``schema``, ``machine``, ``settings``, ``commits`` and ``rows``.
    """
    if path.is_file():
        state = json.loads(path.read_text())
        if state["settings"] == settings:
            return state | {"machine": machine()}
    return {
        "schema": schema,
        "machine": machine(),
        "settings": settings,
        "commits": [],
        "rows": [],
    }
