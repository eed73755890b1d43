"""Propose structures for a PDF, each generator in its own way."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "by_library": ["library_generator"],
        "by_model": ["cbldm_generator"],
        "by_screening": ["screen_generator"],
        "generators": ["propose"],
    },
)
