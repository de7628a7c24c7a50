"""Explorers with controls: a frozen state, a pure computation, a pure drawing, and a panel that knows ipywidgets."""

import lazy_loader

# The names and their modules stand in __init__.pyi; ipywidgets is imported when the first panel is built.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
