"""Notebooks as programs: typed parameters, recorded results, checked runs, golden bands, committed results, reports."""

import lazy_loader

# The names and their modules stand in __init__.pyi; papermill, nbclient and psutil are imported when first needed.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
