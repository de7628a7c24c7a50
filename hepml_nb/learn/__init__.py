"""Training without surprises: one loop that stops early and resumes exactly, and networks on sets without padding."""

import lazy_loader

# The names and their modules stand in __init__.pyi; torch is imported when first needed.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
