"""What `solve` found, and how it says so."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from diffpy_cbldm.cluster import Candidate
from diffpy_cbldm.crystals.bonds import shortest_bond
from diffpy_cbldm.crystals.crystal import Crystal
from diffpy_cbldm.fitting.agreement import EXPLAINED
from diffpy_cbldm.fitting.attenuated import AttenuatedCrystal
from diffpy_cbldm.fitting.distribution import SizeDistribution
from diffpy_cbldm.fitting.ligands import LigandShell
from diffpy_cbldm.fitting.two_phases import TwoPhases
from diffpy_cbldm.pdfdata import UNCERTAINTIES, PDFData
from diffpy_cbldm.protocols import Displayed, Stored
from diffpy_cbldm.search.by_cutting import CrystalTried
from diffpy_cbldm.solving.atom_range import AtomRange
from diffpy_cbldm.solving.groups import Group
from diffpy_cbldm.solving.other_ranges import BondRange
from diffpy_cbldm.solving.second_phase import Beside
from diffpy_cbldm.solving.sizes import SizeAtQdamp, by_qdamp
from diffpy_cbldm.solving.verdict import Verdict, headline

if TYPE_CHECKING:
    import pandas


@dataclasses.dataclass(frozen=True)
class FrontPoint(Stored):
    """One structure of the front of Rw against roughness.

    Attributes
    ----------
    generator, structure_type : str
        Of the candidate that was edited, and what it is called.
    n_atoms : int
    rw : float
        After the fit of five parameters and of the moves.
    roughness, ratio : float
        Missing bonds per N^(2/3), and over that of the most compact cluster.
    edits : tuple of str
        Kinds of edits; empty for the candidate itself.
    parameters : float
        Effective number of parameters beyond five.
    knee : bool
        Whether this is what the data support, by the criterion.
    """

    generator: str
    structure_type: str
    n_atoms: int
    rw: float
    roughness: float
    ratio: float
    edits: tuple[str, ...]
    parameters: float
    knee: bool


@dataclasses.dataclass(frozen=True)
class Solution(Stored, Displayed):
    """What `solve` found.

    Attributes
    ----------
    candidates : list of Candidate
        The refined ones by Rw, then the others by `rw_quick`.
    rw_quick : list of float
        Rw of the quick five-parameter fit that chose what to refine, in the
        order of `candidates`.
    settings : dict
        Every setting as it was used, read from the header or resolved.
    timings : dict
        Wall time of each step, seconds.
    warnings : tuple of str
        Why the answer may be in doubt.
    pdf : PDFData
        The measured data, with the Qmin that was used.
    front : tuple of FrontPoint
        From ideal to rough: what none beats in both Rw and roughness.
        Empty without polishing.
    groups : tuple of Group
        The refined candidates, those together that the data do not tell
        apart; the simplest of each first.
    atoms : AtomRange or None
        The range of the number of atoms that holds it for nine of ten
        simulated particles.  None without polishing, and where the range
        of r is too short to tell a size.
    crystal : AttenuatedCrystal or None
        The baseline: what a spherical piece of fcc, bcc, hcp or sc crystal,
        or of a compound's own, explains without any atoms.  None in results
        of older versions.
    sizes : tuple of SizeAtQdamp
        The number of atoms at the Qdamp of common instruments; empty where
        Qdamp is known.
    distribution : SizeDistribution or None
        Of sizes, where it was asked for.
    ligands : LigandShell or None
        Light atoms about the best structure, where they were asked for.
    phases : TwoPhases or None
        The best structure and a second one, where that was asked for.
    together : tuple of PDFData
        Other PDFs that were refined together with `pdf`.
    verdict : Verdict or None
        How far the answer can be trusted, and whether there is one.  None in
        results of older versions.
    crystals : tuple of CrystalTried
        The crystals that particles were cut from, the best first; empty for
        metals.
    unit_cell : Crystal or None
        The crystal of `crystal` at the lattice parameters that fit; None for
        metals.
    beside : Beside or None
        The particle that fits best beside a crystal of a second phase; None
        where none explains what single particles leave.
    bond : BondRange or None
        The range of the first-neighbour distance; of metals whose range of
        atoms is that of powders.
    type_probability : float or None
        How often the first type of such answers is the right one.
    """

    candidates: list[Candidate]
    rw_quick: list[float]
    settings: dict[str, Any]
    timings: dict[str, float]
    warnings: tuple[str, ...]
    pdf: PDFData
    front: tuple[FrontPoint, ...] = ()
    groups: tuple[Group, ...] = ()
    atoms: AtomRange | None = None
    crystal: AttenuatedCrystal | None = None
    sizes: tuple[SizeAtQdamp, ...] = ()
    distribution: SizeDistribution | None = None
    ligands: LigandShell | None = None
    phases: TwoPhases | None = None
    together: tuple[PDFData, ...] = ()
    verdict: Verdict | None = None
    crystals: tuple[CrystalTried, ...] = ()
    unit_cell: Crystal | None = None
    beside: Beside | None = None
    bond: BondRange | None = None
    type_probability: float | None = None

    @property
    def headline(self) -> str:
        """The answer in at most four lines: type, size, fit, doubts."""
        rmax = self.settings.get("rmax", float(self.pdf.r[-1]))
        return headline(
            self.candidates[0],
            self.verdict,
            self.atoms,
            rmax,
            len(self.warnings),
        )

    @property
    def refined(self) -> list[Candidate]:
        """The candidates that were refined, best first."""
        return [c for c in self.candidates if c.rw is not None]

    @property
    def uncertainties(self) -> str:
        """Where those of the parameters come from: "misfit" or "dG"."""
        return self.pdf.uncertainties

    @classmethod
    def from_dict(cls, d: Mapping[str, Any]) -> Self:
        """Return the solution that `as_dict` wrote; see `Stored`."""
        read = super().from_dict(d)
        return dataclasses.replace(
            read,
            candidates=list(read.candidates),
            rw_quick=list(read.rw_quick),
        )

    def to_dataframe(self) -> pandas.DataFrame:
        """Return the candidates as a table, one row each, the best first.

        Returns
        -------
        pandas.DataFrame
            With the index ``rank``, from 1, as in file names, and the columns

            - ``group``: the number of its group in `groups`, from 1; missing
              for what was not refined;
            - ``structure_type``, ``n_atoms``, ``composition``, ``diameter``
              (the longest distance of two atoms, A), ``generator``, and
              ``edits``: kinds of edits, with commas;
            - ``rw``, ``rw_heldout``, ``rw_raw``, ``rw_quick``: as in
              `Candidate` and `rw_quick`; ``rw_1``, ``rw_2``, ... of each
              PDF where several were refined together;
            - each refined parameter by its name, and its standard
              uncertainty as ``NAME_esd``: ``scale``, ``zoomscale``,
              ``<El>_Uiso`` (A^2), ``delta2`` (A^2), ``qdamp`` (1/A), moves;
            - ``flags``, with semicolons.

            Numbers that are not known are NaN.  ``attrs["units"]`` holds the
            units by column.
        """
        from diffpy_cbldm.solving.dataframe import dataframe

        return dataframe(self.candidates, self.rw_quick, self.groups)

    def explain(self, warnings: bool = True, headline: bool = True) -> str:
        """Say in a few sentences what was found and how far to trust it.

        Parameters
        ----------
        warnings : bool
            Whether `warnings` follow, one a line; default True.
        headline : bool
            Whether `headline` comes first; default True.
        """
        best = self.candidates[0]
        used = self.settings
        lines = [
            *(self.headline.splitlines() if headline else ()),
            f"{used['composition']}, r from {used['rmin']:g} to "
            f"{used['rmax']:g} A, Q from {used['qmin']:g} to "
            f"{used['qmax']:g} 1/A: {len(self.candidates)} distinct "
            f"candidates, {len(self.refined)} refined.",
        ]
        if best.rw is None:
            lines.append(
                f"None was refined; the first is {_describe(best)} with Rw "
                f"{best.rw_raw:.3f} (only the scale fitted)."
            )
        else:
            heldout = (
                ""
                if best.rw_heldout is None
                else f", held-out {best.rw_heldout:.3f}"
            )
            lines.append(
                f"The best is {_described(best)} from {best.generator}: Rw "
                f"{best.rw:.3f} ({best.rw_raw:.3f} before the refinement)"
                f"{heldout}."
            )
            lines += self._of_each() + self._sources()
            lines += self._about_crystals()
            if self.groups and len(self.groups[0].members) > 1:
                first = self.groups[0]
                lines.append(
                    f"The data do not tell {len(first.members)} candidates "
                    f"apart ({first}); the simplest is "
                    f"{_describe(self.candidates[first.members[0]])}."
                )
        if self.crystal is not None:
            lines.append(f"{self._baseline()}.")
        unknown = self.verdict is not None and self.verdict.state == "none"
        if self.atoms is not None and not unknown:
            lines.append(self._about_range(self.atoms))
        if self.bond is not None and not unknown:
            lines.append(self._about_bond(self.bond))
        lines += self._about_sizes()
        if self.beside is not None:
            lines.append(f"A second phase: {self.beside}.")
        if self.ligands is not None:
            lines.append(f"Ligands: {self.ligands}.")
        if self.phases is not None:
            lines.append(f"Two particles: {self.phases}.")
        if self.refined:
            lines.append(
                f"Uncertainties of the parameters: "
                f"{UNCERTAINTIES[self.uncertainties]}."
            )
        if warnings:
            lines.extend(f"Warning: {text}" for text in self.warnings)
        return "\n".join(lines)

    def _of_each(self) -> list[str]:
        """Rw of each PDF where several were refined together."""
        rws = self.candidates[0].rw_of_each
        if not rws:
            return []
        words = {"X": "X-rays", "N": "neutrons"}
        each = [
            f"{rw:.3f} ({words[pdf.stype]})"
            for rw, pdf in zip(rws, (self.pdf, *self.together), strict=True)
        ]
        return [f"That is the mean of several PDFs: {', '.join(each)}."]

    def _about_range(self, atoms: AtomRange) -> str:
        """What the range of the number of atoms is worth."""
        if self.crystals:
            counted = "how many compounds lie in such a range was not counted"
            if atoms.evidence is not None:
                counted = f"widened as of metals; {counted}"
            elif (self.candidates[0].rw or 0.0) >= EXPLAINED:
                counted = (
                    f"widened until they held {atoms.share:.0%} of simulated "
                    f"powders of compounds"
                )
            text = (
                f"The particle has {atoms}: those that the data do not tell "
                f"apart; {counted}"
            )
            if atoms.doubted:
                known = self.pdf.qdamp is not None
                text += ", and " + (
                    "the warnings say what is in doubt"
                    if known
                    else "Qdamp, which moves them, is not known"
                )
            return f"{text}."
        text = (
            f"The particle has {atoms}: a range made so holds "
            f"{atoms.share:.0%} of simulated metal particles and powders"
        )
        if atoms.doubted:
            text += ", but the warnings say that this one is not like them"
        return f"{text}."

    def _about_bond(self, bond: BondRange) -> str:
        """First neighbours and type, as far as powders tell them."""
        text = (
            f"First neighbours are {bond} apart, a range that holds "
            f"{bond.share:.0%} of simulated powders"
        )
        if self.type_probability is not None:
            best = self.candidates[0].structure_type
            kind = self.verdict.types[0] if self.verdict else best
            text += (
                f"; of such answers {self.type_probability:.0%} have the "
                f"right type first, here {kind}"
            )
        if self.atoms is not None and self.atoms.doubted:
            text += "; the warnings say that this one is not like them"
        return f"{text}."

    def _about_crystals(self) -> list[str]:
        """Which crystals were tried, and the shortest bond of the answer."""
        if not self.crystals:
            return []
        each = [
            f"{c.name} {_least(c):.3f}"
            + ("" if c.rw is not None else " (as a sphere)")
            for c in self.crystals
        ]
        best = self.candidates[0]
        return [
            f"Crystals that were tried, with the least Rw of the quick fit: "
            f"{', '.join(each)}.",
            f"The shortest distance of two atoms of the best is "
            f"{shortest_bond(best.positions):.2f} A.",
        ]

    def _baseline(self) -> str:
        """How the attenuated crystal does beside the best structure."""
        crystal, best = self.crystal, self.candidates[0].rw_of_first
        assert crystal is not None
        text = (
            f"The baseline, a crystal that ends at a sphere ({crystal}, as "
            f"large as {crystal.n_atoms} atoms), has Rw {crystal.rw:.3f}"
        )
        if best is not None and crystal.rw < best:
            text += ", lower than the best structure"
        return text

    def _about_sizes(self) -> list[str]:
        """What is told of the size beyond the best structure."""
        lines: list[str] = []
        if self.verdict is not None and self.verdict.state == "none":
            return lines
        if self.sizes:
            edited = any(c.edits for c in self.candidates[:1])
            lines.append(by_qdamp(self.sizes, edited))
        if self.distribution is not None:
            lines.append(f"Sizes: {self.distribution}.")
        elif self.atoms is not None and not self.crystals:
            lines.append(
                "Of particles of many sizes the number of atoms is the weight "
                "mean; --distribution (distribution=True) asks for both means."
            )
        return lines

    def _sources(self) -> list[str]:
        """Which generator gave what, and what came without edits."""
        by_name: dict[str, list[Candidate]] = {}
        for c in self.refined:
            for name in c.proposed_by:
                by_name.setdefault(name, []).append(c)
        lines = []
        if len(by_name) > 1:
            each = [f"{n} {_best_rw(cs)}" for n, cs in by_name.items()]
            lines.append(f"Best Rw by generator: {', '.join(each)}.")
        # Edits add freedom: the reader may prefer what fits without any.
        plain = [c for c in self.refined if not c.edits]
        if plain and self.candidates[0].edits:
            best = min(plain, key=lambda c: _number(c.rw))
            lines.append(
                f"The best without edits is {_describe(best)} from "
                f"{best.generator}: Rw {best.rw:.3f}."
            )
        return lines


def _best_rw(candidates: Sequence[Candidate]) -> str:
    """The least Rw as text, with what was edited for it."""
    best = min(candidates, key=lambda c: _number(c.rw))
    edits = best.edits
    note = f" (edited: {', '.join(edits)})" if edits else ""
    return f"{best.rw:.3f}{note}"


def _least(crystal: CrystalTried) -> float:
    return crystal.rw_sphere if crystal.rw is None else crystal.rw


def _describe(candidate: Candidate) -> str:
    text = f"{candidate.structure_type} with {len(candidate.positions)} atoms"
    if len(set(candidate.elements)) > 1:
        text += f" ({candidate.composition})"
    return text


def _described(candidate: Candidate) -> str:
    """With what it was before its edits."""
    text = _describe(candidate)
    if candidate.edited_from is None:
        return text
    kind, atoms = candidate.edited_from
    edits = ", ".join(candidate.edits)
    return f"{text} ({kind} with {atoms} atoms before edits: {edits})"


def _number(value: float | None) -> float:
    """A key to sort by: what is missing or not a number comes last."""
    return float("inf") if value is None or value != value else value
