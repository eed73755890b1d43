"""What people see: tables, files, pages, plots, databases."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "plots": ["plot"],
        "writers": ["write"],
    },
)
