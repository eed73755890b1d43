"""Many PDFs of one sample: an engine, a store, neighbours, a folder."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "many": ["Series", "solve_many"],
        "store": ["Store"],
    },
)
