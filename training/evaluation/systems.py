"""What is compared, on which PDFs, and the files of the figures."""

from __future__ import annotations

from pathlib import Path

from training import pieces
from training.baselines import LEARNED

SYSTEMS = (
    *("cbldm", "cbldm-brief", "cbldm-paper"),
    *("library", "screen", *LEARNED),
)
"""All that are compared.  `cbldm-brief` is CbLDM with no more training than
the others had; its weights are not kept.  `cbldm-paper` has the paper's own
network, whose decoder emits the Laplacian."""

PAPER = Path("training/weights/paper.safetensors")
"""Weights of `cbldm-paper`; `paper_weights` makes them of their pieces."""

NETWORK = "paper-network.json"
"""Figures of `training.evaluation.paper_network`."""


BRIEF = Path("runs/brief/small.safetensors")
"""Where `cbldm-brief` lies."""

SPLITS = {
    "geometry": "geometry",
    "paper": "paper",
    "training": "training",
    "nolibrary": "cuts",
}
"""Splits of the comparison, and those of `training.evaluation.cases`."""

STRUCTURES = {"geometry": 35, "paper": 35, "training": 35, "nolibrary": 21}
"""PDFs of a split: five of each type, or three of each kind of cut."""

WORSE = (
    *("noise 1 %", "noise 2 %"),
    *("header Qmax 10 % low", "header Qmax 10 % high"),
)
"""Of `training.evaluation.cases.ROBUST`: what ``--robust`` repeats."""

EXAMPLES = (0, 1, 3, 4)
"""PDFs of a split whose structures are kept, to be shown."""

RESULTS = Path("docs/benchmarks")
"""Where the figures go."""

TRAINED = "ablations-trained.json"
"""Figures of the trained ablations."""


def paper_weights() -> Path:
    """`PAPER`, whose pieces alone are kept: the whole is too large."""
    return pieces.join(PAPER)


def file_name(split: str, condition: str) -> str:
    """Of the figures of a split under a condition."""
    if condition == "as in the paper":
        return f"{split}.json"
    words = condition.replace("%", "").replace("Qmax", "qmax").split()
    return "-".join([split, *words]) + ".json"
