"""The main job: propose, refine, polish, rank, and say what is doubtful."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "solution": ["Solution"],
        "solver": ["solve"],
    },
)
