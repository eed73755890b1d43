#!/usr/bin/env bash
# adan-pytorch 0.1.0 (torch 2.13.0, numpy 2.4.6)
#
# Guess: like Adam's, whose second moment it keeps as well, a step of Adan moves
#   no weight by much more than the learning rate.
# Instead: the first step moves nothing, and the second one some of 100,000
#   weights by up to 82 learning rates: the second moment is of one sum of
#   gradient and difference alone, which may be near zero where neither is.
#   From the third step on all is as guessed.
# Why it matters: a network that starts from known weights (principal
#   components, a layer that was fitted) loses them at once without a warm-up,
#   and a test that takes one step sees no change.
#
# Output seen:
#   Adan, learning rates moved at most in steps 1, 2, 3, 10: 0.0, 82.5, 1.3, 0.8
#   AdamW, the same: 1.0, 1.0, 1.0, 1.0
set -euo pipefail
unset PYTHONPATH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3.11 -m venv --without-pip "$work/env"
python3.11 -m pip --python "$work/env/bin/python" -qq install \
    --no-compile adan-pytorch==0.1.0 torch==2.13.0 numpy==2.4.6
"$work/env/bin/python" - <<'PY'
import sys

import torch
from adan_pytorch import Adan

RATE = 0.001


def largest(make):
    """Learning rates by which each of ten steps moves a weight at most."""
    draw = torch.Generator().manual_seed(0)
    weights = torch.zeros(100_000, requires_grad=True)
    optimizer = make([weights])
    moved = []
    for _ in range(10):
        before = weights.detach().clone()
        weights.grad = torch.randn(weights.shape, generator=draw)
        optimizer.step()
        step = (weights.detach() - before).abs().max()
        moved.append(float(step) / RATE)
    return [moved[k - 1] for k in (1, 2, 3, 10)]


def told(moved):
    return ", ".join(f"{value:.1f}" for value in moved)


adan = largest(lambda p: Adan(p, lr=RATE))
adamw = largest(lambda p: torch.optim.AdamW(p, lr=RATE))
print("Adan, learning rates moved at most in steps 1, 2, 3, 10:", told(adan))
print("AdamW, the same:", told(adamw))
if adan[0] != 0 or not 50 < adan[1] < 120 or max(adan[2:] + adamw) > 2:
    sys.exit("changed")
PY
