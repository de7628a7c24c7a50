"""Resonances nobody has modelled: from weak supervision and learnt backgrounds to a p-value, behind one door."""

import lazy_loader

# The names and their modules stand in __init__.pyi; torch and scikit-learn are imported when first needed.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
