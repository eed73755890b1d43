"""The figures of one split, kept so that a stopped run goes on."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from diffpy_cbldm.files import write_atomic
from training.evaluation.systems import SYSTEMS
from training.records import commit, machine


@dataclasses.dataclass
class Results:
    """The figures of one split, in a file that is written after each PDF.

    Parameters
    ----------
    path : Path
    settings : dict
        Of the run; a file of other settings is refused.
    """

    path: Path
    settings: dict[str, Any]
    rows: list[dict[str, Any]] = dataclasses.field(default_factory=list)

    def __post_init__(self) -> None:
        self.known: dict[str, Any] = {"systems": {}, "commits": []}
        self.commit = commit()  # of the code that runs, whatever follows
        if not self.path.is_file():
            return
        kept = json.loads(self.path.read_text())
        for name, value in self.settings.items():
            if kept["settings"].get(name) != value:
                raise SystemExit(
                    f"{self.path} was made with {name} "
                    f"{kept['settings'].get(name)!r}, not {value!r}: remove "
                    "it, or take another --out."
                )
        self.rows = kept.pop("rows")
        self.known = kept

    def use(self, system: str, what: dict[str, Any]) -> None:
        """Note a system's weights; rows of other weights are dropped."""
        if self.known["systems"].get(system) != what:
            self.rows = [r for r in self.rows if r["system"] != system]
            self.known["systems"][system] = what

    def drop(self, system: str) -> None:
        """Drop a system's rows that another commit of the code made."""
        # Local changes (+) do not make it another commit.
        now = self.commit.rstrip("+")
        self.rows = [
            r
            for r in self.rows
            if r["system"] != system or r.get("commit", "").rstrip("+") == now
        ]

    def find(self, system: str, index: int) -> dict[str, Any] | None:
        """The row of a system and PDF, where there is one."""
        for r in self.rows:
            if r["system"] == system and r["index"] == index:
                return r
        return None

    def put(self, new: dict[str, Any]) -> None:
        """Take a row in, in place of an earlier one, and write all."""
        old = self.find(new["system"], new["index"])
        if old is not None:
            self.rows.remove(old)
        self.rows.append({"commit": self.commit} | new)
        order = {name: i for i, name in enumerate(SYSTEMS)}
        # The order does not depend on which run made a row.
        self.rows.sort(key=lambda r: (r["index"], order[r["system"]]))
        commits = {r["commit"] for r in self.rows if "commit" in r}
        # Rows of old files do not say their commit: the file does for all.
        if not all("commit" in r for r in self.rows):
            commits |= set(self.known["commits"])
        state = {
            "schema": "cbldm-compare/1",
            "settings": self.settings,
            "machine": machine(),
            "systems": self.known["systems"],
            "commits": sorted(commits),
        }
        head = json.dumps(state, indent=1)[:-2]
        lines = ",\n".join("  " + json.dumps(r) for r in self.rows)
        # A row a line: what changes shows in the history of the file.
        write_atomic(self.path, f'{head},\n "rows": [\n{lines}\n ]\n}}\n')
