"""The prose of the page.

Figures are not typed here: they stand in braces, and `figures` reads them
from the files of the comparison, the records of the weights and the settings
of the code that made both.
"""

from __future__ import annotations

import re
import textwrap
from typing import Any

from diffpy_cbldm.search.by_model import LAPLACIANS
from training.baselines import LEARNED
from training.baselines.generators import record
from training.baselines.networks import TRUNKS
from training.baselines.outputs import CONVOLVED
from training.baselines.pool import BATCH, PART
from training.evaluation.cases import SOLVED
from training.evaluation.systems import EXAMPLES, TRAINED
from training.report.rows import ABLATIONS, TUNING

NUMBERS = "no one two three four five six seven eight nine ten".split()
"""Small numbers as prose spells them."""


def wrapped(words: str) -> str:
    """A paragraph or item of a list in lines of 79."""
    indent = "  " if words.startswith("- ") else ""
    return textwrap.fill(
        words,
        79,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def prose(words: str, known: dict[str, Any] | None = None) -> str:
    """One of the texts below with its figures, in lines of 79.

    Parameters
    ----------
    words : str
        Paragraphs, or the items of a list.
    known : dict, optional
        What stands in braces, from `figures`.
    """
    parts = re.split(r"\n\s*\n|\n(?=- )", words.strip().format(**known or {}))
    # Figures change the length of lines: all are filled again.
    filled = [_filled(re.sub(r"\n *", " ", part)) for part in parts]
    return ("\n" if words.strip().startswith("- ") else "\n\n").join(filled)


def _filled(part: str) -> str:
    # A command that is broken over two lines could not be found by a search.
    whole = re.sub(r"`[^`]+`", lambda m: m[0].replace(" ", "\0"), part)
    return wrapped(whole).replace("\0", " ")


def figures(files: dict[str, Any]) -> dict[str, Any]:
    """The figures of the texts.

    Parameters
    ----------
    files : dict
        From `training.report.rows.load`.

    Returns
    -------
    dict
        By the names that stand in braces; those of files that are not there
        are left out.
    """
    from diffpy_cbldm.polishing.front import SHORTEST

    records = {system: record(system) for system in LEARNED}
    minutes = {r["minutes"] for r in records.values()}
    (pool,) = {r["pool_size"] for r in records.values() if "pool_size" in r}
    known = {
        "candidates": files["geometry.json"]["settings"]["count"],
        "solved": SOLVED,
        "shortest": SHORTEST,
        "examples": NUMBERS[len(EXAMPLES)].capitalize(),
        "regressors": NUMBERS[len(TRUNKS)],
        "learned": NUMBERS[len(LEARNED)],
        "budget": " or ".join(f"{m:g}" for m in sorted(minutes)),
        "rounds": records["mining"]["rounds"],
        "pool": f"{pool:,}",
        "file": f"{BATCH * PART:,}",
        "laplacians": LAPLACIANS,
        "channels": CONVOLVED.decoder_width,
    }
    if TUNING.name in files:
        known["trial"] = files[TUNING.name]["settings"]["seconds"]
    if ABLATIONS in files:
        settings = files[ABLATIONS]["settings"]
        known["draws"] = settings["draws"]
        known["ablated"] = settings["structures"]
    if TRAINED in files:
        settings, rows = (files[TRAINED][k] for k in ("settings", "rows"))
        batches = {r["output"]: r["batch"] for r in rows}
        known["each"] = settings["minutes"]
        known["files"], known["told"] = (
            settings["parts"],
            settings["structures"],
        )
        known["small"] = batches["convolutions"]
        known["large"] = max(batches.values())
    return known


TITLES = {
    "geometry": "Held-out geometries",
    "nolibrary": "Clusters that no library holds",
    "training": "Geometries that were trained on",
    "paper": "The paper's random split",
}
"""Headings of the splits, in the order of the page."""

_ORDER = """
Candidates are ranked by a fit in which widths and damping are free, while Rwp
takes the widths and the damping of the simulation.  So the candidate ranked
first need not have the lowest Rwp.
"""

WHY = {
    "geometry": _ORDER,
    "nolibrary": _ORDER,
    "training": """
These structures are what `library` holds and what `mining` tells apart, so
that both can give them back exactly.  The model makes its own, strained and
relaxed ones among them, and now and then such a one comes first.
""",
    "paper": """
Most of these geometries are what `library` holds and `mining` tells apart, at
other bond lengths.
""",
}
"""Why CbLDM is not the best where it is not."""

INTRODUCTION = """
The systems that are compared:
"""

SYSTEMS = """
- `cbldm`: the model that ships.
- `library`: fits every ideal cluster that is known (cluster mining).
- `screen`: fits many random plausible clusters (brute force).
- `cbldm-paper`: CbLDM with the paper's own network, trained as far as the
  section on it says; it has {laplacians} candidates, which take long to
  recover.
- All others: the systems of the paper's Table 2, our own implementations in
  `training.baselines`, trained by us on the same stream of PDFs. They are
  {regressors} regressors from G(r) to the Laplacian, a conditional VAE of
  coordinates like DeepStruc, and boosted trees like MLstructureMining. They
  are not part of the package.
"""

METHOD = """
This trains the systems that have no weights yet, solves the same PDFs with
all of them, and writes this page.  Started again after a stop, it goes on
where it was.  What the tables say:
"""

COLUMNS = """
- Rwp is the paper's measure: the first candidate against the noise-free PDF,
  with the Biso and Qdamp of the simulation.  Nothing is fitted, not even the
  scale.  (All generators stretch their candidates to the PDF. All but the
  regressors and the classifier also rank them by a fit.)
- Rw is that of the best of {candidates} candidates (a regressor has one) after
  SrFit has refined scale, stretch, Uiso, delta2 and Qdamp, this between the
  ends from which the simulation drew it.
- Solved means the right N and an RMSD below {solved} A.
- Neither `library` nor `mining` knows a held-out geometry.
- The conditions of the simulation are those of the paper's Table 1.
"""

PAPER_WORDS = """
For comparison, the paper's own Table 2.  It was measured on the training
structures of the paper, with networks that are not ours:
"""

POLISHED_WORDS = """
The best candidate of each system was also polished
({{doc}}`/explanation/polishing`), on the first PDFs of the split.  The table
gives the lowest Rw of its front.  Structures with bonds shorter than
{shortest} of the usual length are left out: they are no crystals that could
be edited.
"""

EXAMPLE_WORDS = """
{examples} held-out geometries.  Each picture shows the simulated curve with
the fit of a system's best candidate, and the atoms of the candidate beside
those of the truth.
"""

TRAINING_WORDS = """
Seconds are processor time of one thread, on a machine that had other work.
The {learned} learned systems were trained for {budget} minutes each (the
trees for {rounds} rounds at most, which bounds the size of their file), from a
pool of {pool} PDFs of the stream that is drawn once.  For `cbldm` the table
gives the minutes of its last run alone; that run went on from weights that
earlier runs had trained ({{doc}}`/reference/model_card`).  So `cbldm` had far
longer than the others. The curves show what more time would bring.
"""

ABLATION_WORDS = """
Latents of the shipped model were drawn in several ways: {draws} for each of
{ablated} held-out PDFs, each decoded to one structure with only the scale
fitted (`python -m training.evaluation.ablate`).  The generator's search over
sizes, facets and surfaces is left out, because it would hide the differences.
"""

OUTPUT_WORDS = """
The trunk of `mlp` was given several outputs.  Each was trained for {each:g}
min of processor time on the same PDFs ({files} files of {file}; the row
without random cuts: as many of ideal clusters).  Each was then asked for one
structure for {told} PDFs of held-out geometries and as many of random cuts
(`python -m training.evaluation.ablate --trained`).  Structures are stretched
to the PDF, as all candidates are, and only the scale is fitted.  RMSD (A) is
that of structures with the right N.  Laplacians and distances become
coordinates by `diffpy_cbldm.model.recover`.
"""

OUTPUT_NOTES = """
The convolutions have {channels} channels at all pixels (the paper gives no
number) and batches of {small} in place of {large}, because a CPU takes few
steps of wider ones.  None
of these networks is a generative model, and none searches: the table compares
outputs, not systems.  The network of sites is given the lattices, also those
of held-out clusters; all others must learn where atoms can be.  The machine
had other work, which slows training: the two rows of sites differ in steps,
too.
"""

TUNING_WORDS = """
Learning rates and batch sizes were tried for {trial:g} s of processor time
each (`python -m training.baselines.tune`).  The table gives the loss on PDFs
that are not trained on.  Losses can be compared within a row only:
"""

TUNED_WORDS = """
The trees were not tuned: their rounds are bounded by the size of the file.
"""

NOT_DONE = """
- Every learned system but `cbldm` was trained for {budget} minutes, once, with
  one seed, at the learning rate and batch that were best in the trials above
  (the trees with one setting).  Other hyperparameters were not tried.
- The trained ablations were short (above) and had one seed: enough for orders
  of magnitude, not for small differences.
- `cbldm-paper`, the paper's own network, was not trained to the end of its
  curve (above).
- Where a PDF may be of a larger particle, `cbldm` and `cbldm-brief` ask the
  network for these, too; `cbldm-paper` answers alone.
- `cbldm-brief`, CbLDM with no more training than the others had, was run on
  held-out geometries and on clusters of no library alone.
- The weights of the published systems are not used: all are our own
  implementations, on our structures.
- Robustness is shown for the systems that emit crystals; the others do not
  fit clean data.
"""
