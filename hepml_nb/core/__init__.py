"""What every other part stands on: results with errors, errors worth reading, seeds, files, progress, devices."""

import lazy_loader

# The names and their modules stand in __init__.pyi; torch, coffea or scikit-learn are imported when first needed.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
