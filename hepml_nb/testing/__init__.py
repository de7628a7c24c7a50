"""Checks that hold for every method of a topic, and toy data to run them on."""

import lazy_loader

# The names and their modules stand in __init__.pyi; awkward and torch are imported when first needed.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
