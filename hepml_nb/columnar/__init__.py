"""Events to histograms, cutflows and arrays: coffea processors, one way to run them, and skims of jets."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
