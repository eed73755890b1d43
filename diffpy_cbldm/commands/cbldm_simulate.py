"""The ``cbldm-simulate`` command: xyz and cif files in, .gr files out."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from diffpy_cbldm import settings
from diffpy_cbldm.commands import common, inputs, reference
from diffpy_cbldm.commands.common import FINE, LEVELS
from diffpy_cbldm.debye.world import World, read_world
from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.output import writers

if TYPE_CHECKING:
    import pathlib


PROG = "cbldm-simulate"

TABLES = {
    "inputs": settings.Inputs,
    "simulation": settings.Simulation,
    "surroundings": settings.Surroundings,
    "output": settings.Files,
    "other": settings.Manual,
}
"""The groups of options, in the order of the help."""

IN_FILES: dict[str, type] = {"fields of the file of --world": World}
"""What the file of an option holds, as the manual lists it."""


def make_parser() -> common.Parser:
    """The options of the command line, from the tables of settings."""
    return common.Parser(
        PROG,
        TABLES,
        inputs="Cluster as xyz, or boxed as cif; a pattern with --find, or - "
        "for xyz on standard input.",
        description="Simulate the pair distribution functions of clusters.",
        epilog="Example: cbldm-simulate cluster.xyz --qmax 22 -o out/@b",
    )


def main(words: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code.

    Parameters
    ----------
    words : sequence of str, optional
        The arguments; those of the process where left out.
    """
    return common.guarded(PROG, _main, words)


def _main(words: Sequence[str]) -> int:
    given = make_parser().given(words)
    if reference.shown(PROG, given, TABLES, IN_FILES):
        return FINE
    return _Run(given).run()


class _Run:
    """One call of the command: each file by itself."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        tables = common.fill(TABLES, given)
        self.simulation = dataclasses.asdict(tables["simulation"])
        world: settings.Surroundings = tables["surroundings"]
        # Read before any input: what it lacks is said once.
        self.simulation["world"] = world.world and read_world(world.world)
        self.output: settings.Files = tables["output"]
        files: settings.Inputs = tables["inputs"]
        self.listing = files.list
        self.inputs = inputs.resolve(
            given["inputs"], files.datapath, files.find
        )
        self.written: set[pathlib.Path] = set()
        if not self.inputs:
            raise CbldmError(
                f"no input files; expected a cluster: {PROG} cluster.xyz"
            )
        self.level = common.level(self.output.verbose)
        self.account = common.Account(
            PROG, len(self.inputs), debug=self.level >= LEVELS["debug"]
        )

    def run(self) -> int:
        """Simulate what can be read, or print where it is."""
        work = self.show_input if self.listing else self.simulate
        for name, folders in self.inputs:
            self.account.attempt(name, partial(work, name, folders))
        return self.account.close()

    def show_input(self, name: str, folders: Sequence[str]) -> None:
        """Print an input where it was found."""
        common.say(inputs.locate(name, folders))

    def simulate(self, name: str, folders: Sequence[str]) -> None:
        """Simulate the cluster of an input and write its PDF."""
        from diffpy_cbldm import pdfdata
        from diffpy_cbldm import simulate as simulate_pdfs
        from diffpy_cbldm.clusterfile import read_cluster

        name = inputs.locate(name, folders)
        stream = self.output.output == "-"
        source = inputs.output_source(name)
        path = writers.output_name(self.output.output, source, "gr")
        if not stream:
            (whole,) = writers.check_outputs(
                [path], self.output.force, self.written
            )
        cluster = read_cluster(name)
        try:
            (pdf,) = simulate_pdfs([cluster], **self.simulation)
        except CbldmError as error:
            raise CbldmError(f"{name}: {error}") from None
        if stream:
            common.say(pdfdata.gr_text(pdf), end="")
            return
        try:
            pdfdata.write_gr(path, pdf)
        except CbldmError as error:
            self.account.lost(name, str(path), error)
            return
        self.written.add(whole)
        if not self.output.quiet and self.level >= LEVELS["info"]:
            common.say(f"wrote {path}")
