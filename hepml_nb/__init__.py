"""Executable notebooks for machine learning in particle physics, and the thin package behind them."""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
