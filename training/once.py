"""What stages learn from in which the encoders learn no more: coded once."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from training.decoding import Drawn, Known, known
from training.losses import STAGES
from training.reading import RENEWED, Coded, Codes, coded


class Once:
    """PDFs and clusters as the networks of a trainer code them.

    Attributes
    ----------
    codes : Codes or None
        The PDFs, once they are asked for.
    known : Known or None
        The clusters.
    """

    def __init__(self) -> None:
        self.codes: Codes | None = None
        self.known: Known | None = None

    def forget(self) -> None:
        """The encoders have learned since."""
        self.codes = self.known = None

    def batch(
        self, trainer: Any, rng: np.random.Generator
    ) -> Coded | Drawn | None:
        """What a step of a trainer takes; None where it takes new PDFs.

        Parameters
        ----------
        trainer : training.trainer.Trainer
        rng : numpy.random.Generator
            Of this step.
        """
        stage, t = STAGES[trainer.stage], trainer.training
        if stage == "decoder":
            return self._clusters(trainer).some(rng, t.batch)
        if stage == "prior" or (stage == "denoiser" and t.codes > 0):
            codes = self._pdfs(trainer)
            size = t.prior_batch if stage == "prior" else t.batch
            chosen = rng.integers(len(codes.c_0), size=size)
            return codes.some(torch.as_tensor(chosen).to(trainer.device))
        return None

    def _clusters(self, trainer: Any) -> Known:
        if self.known is None:
            rng = np.random.default_rng([trainer.seed, trainer.rank])
            alike = trainer.training.alike
            self.known = known(trainer.model, trainer.stream, rng, alike)
        return self.known

    def _pdfs(self, trainer: Any) -> Codes:
        """PDFs, and others after many steps."""
        turn = trainer.step // RENEWED
        if self.codes is None or self.codes.turn != turn:
            rng = np.random.default_rng([trainer.seed, trainer.rank, turn])
            t, given = trainer.training, (trainer.model, trainer.stream)
            self.codes = coded(*given, t.codes, rng, turn, t.alike)
        return self.codes
