"""Numbers with errors: each figure of merit has its sample size, its floor and a definition that is fixed here."""

import lazy_loader

# The names and their modules stand in __init__.pyi; scikit-learn is imported when first needed.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
