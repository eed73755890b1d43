"""The systems that CbLDM is compared with."""

from pathlib import Path

LEARNED = ("mlp", "cnn", "resnet", "transformer", "deepstruc", "mining")
"""Systems with weights of their own."""

WEIGHTS = Path(__file__).parent / "weights"
"""Where these weights lie."""
