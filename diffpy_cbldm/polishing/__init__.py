"""Edits that lower Rw and keep a structure a plausible crystal."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "candidates": ["polish"],
        "crystal": ["Polished"],
        "front": ["front"],
    },
)
