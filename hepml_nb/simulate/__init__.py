"""Pure recipes that make data: Pythia 8 collisions, a parametrised detector, FastJet jets and what is inside them."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
