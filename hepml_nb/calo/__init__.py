"""Showers without simulating every particle: generators of calorimeter showers and the measures that judge them."""

import lazy_loader

# The names and their modules stand in __init__.pyi; torch and scikit-learn are imported when first needed.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
