"""Pictures of results: a function draws what it is given on the axes it is given, and says in words what is seen."""

import lazy_loader

# The names and their modules stand in __init__.pyi; mplhep is imported when a histogram is drawn.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
