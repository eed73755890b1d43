"""From atoms to G(r): the Debye equation, alone and in batches."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "mixed": ["mixed_pdf"],
        "pure": ["debye_pdf"],
        "qgrid": ["r_grid"],
        "simulation": ["simulate"],
        "world": ["World"],
    },
)
