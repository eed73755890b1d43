#!/usr/bin/env bash
# torch 2.13.0 (numpy 2.4.6)
#
# Guess: a generator of PyTorch that is seeded by a number of 64 bits has a
#   stream of its own, and the first numbers of a stream do not depend on how
#   many are drawn at once.
# Instead: on a CPU only the lowest 32 bits count, while initial_seed() gives
#   all of them back; and randn of 16 or more float32 numbers pairs them within
#   blocks of 16, of fewer in turn, and draws the last block anew where the
#   count is no multiple of 16.
# Why it matters: seeds of candidates that are mixed into 64 bits, as a hash
#   of (seed, number) is, repeat a stream after some 10^5 of them; and a sample
#   of the noise changes with the size of the batch.
#
# Output seen:
#   seeds 1 and 1 + 2^32: the same numbers, initial_seed 1 and 4294967297
#   first numbers of 15, 16 and 17: 0.6614, -1.5256, -1.5256
#   first 15 of 17 and of 32 that agree: 1
set -euo pipefail
unset PYTHONPATH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3.11 -m venv --without-pip "$work/env"
python3.11 -m pip --python "$work/env/bin/python" -qq install \
    --no-compile torch==2.13.0 numpy==2.4.6
"$work/env/bin/python" - <<'PY'
import sys

import torch


def drawn(seed, count):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, generator=generator), generator.initial_seed()


(one, first), (other, second) = drawn(1, 20), drawn(1 + 2**32, 20)
same = torch.equal(one, other)
word = "the same" if same else "other"
print(
    f"seeds 1 and 1 + 2^32: {word} numbers, "
    f"initial_seed {first} and {second}"
)
firsts = [f"{float(drawn(1, n)[0][0]):.4f}" for n in (15, 16, 17)]
print("first numbers of 15, 16 and 17:", ", ".join(firsts))
agree = int((drawn(1, 17)[0][:15] == drawn(1, 32)[0][:15]).sum())
print("first 15 of 17 and of 32 that agree:", agree)
if not same or firsts != ["0.6614", "-1.5256", "-1.5256"] or agree != 1:
    sys.exit("changed")
PY
