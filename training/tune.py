"""Choose T1, T2 and the number of network calls (Algorithm 4).

    python -m training.tune --weights small

prints, for the tuning set (36 bcc and 19 sc clusters that are in no
library), Rw with the scale alone fitted against the network calls that a
candidate takes: for several intervals between T2 and T1, at the full 1000
steps and at fewer calls.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
from torch import Tensor

from diffpy_cbldm.crystals.table import TEMPLATE_OF
from diffpy_cbldm.model.cbldm import CbLDM
from diffpy_cbldm.model.weights import load_weights
from diffpy_cbldm.settings import Sampling
from training.datasets import tuning_set
from training.stream import Stream
from training.validate import FIRST, FIXED, curves, scaled_rw

INTERVALS = ((0, 1000), (200, 900), (400, 800), (600, 900), (0, 0))
"""T1 and T2: from the conditional prior alone to diffusion alone."""

CALLS = (1000, 50, 20, 10)


class Counter:
    """Counts the calls of a model's denoiser."""

    def __init__(self, model: CbLDM):
        self.calls = 0
        model.denoiser.register_forward_pre_hook(self._count)

    def _count(self, *_: object) -> None:
        self.calls += 1


@torch.no_grad()
def trade_off(
    model: CbLDM,
    stream: Stream,
    targets: Tensor,
    sampling: Sampling,
    draws: int,
) -> tuple[float, float]:
    """Mean Rw of one candidate and of the best of some, over PDFs."""
    # Below the first peak lies background alone.
    start = round(FIRST / model.settings.pdf_step)
    single, best = [], []
    for target in targets:
        z = model.sample(target, draws, 0, sampling)
        found = [row[0].positions for row in model.structures(z)]
        g = curves(stream, found)
        rw = scaled_rw(target[start:], g[:, start:])
        single.append(float(rw.mean()))
        best.append(float(rw.min()))
    return float(np.mean(single)), float(np.mean(best))


def main() -> None:
    """The command line; see the module's text."""
    parser = argparse.ArgumentParser(
        "python -m training.tune", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--weights", default="small")
    parser.add_argument("--draws", type=int, default=8)
    parser.add_argument("--sampler", default="dpm")
    parser.add_argument("--every", type=int, default=1)
    options = parser.parse_args()
    model = load_weights(options.weights)
    stream = Stream(model.settings, FIXED)
    structures = []
    for kind, members, _ in tuning_set(model.table)[:: options.every]:
        xyz = model.table.sites[TEMPLATE_OF[kind]][members]
        structures.append(xyz - xyz.mean(0))
    targets = curves(stream, structures)
    counter = Counter(model)
    print(f"{len(targets)} PDFs, {options.draws} candidates each")
    print("  T1    T2  sampler  steps  calls  Rw of one  best  s a PDF")
    for t1, t2 in INTERVALS:
        for calls in CALLS:
            way = Sampling(options.sampler, calls, t1, t2)
            counter.calls, begin = 0, time.perf_counter()
            one, best = trade_off(model, stream, targets, way, options.draws)
            seconds = (time.perf_counter() - begin) / len(targets)
            # Steps between T2 and T1 take no call: what counts is counted.
            used = counter.calls / len(targets)
            print(
                f"{t1:4d}  {t2:4d}  {options.sampler:7s}  {calls:5d}  "
                f"{used:5.0f}  {one:9.4f}  {best:.4f}  {seconds:6.2f}",
                flush=True,
            )
            # The prior alone takes no steps: their number changes nothing.
            if t1 == 0 and t2 == 1000:
                break


if __name__ == "__main__":
    main()
