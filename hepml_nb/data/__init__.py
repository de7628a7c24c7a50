"""From a manifest to a Dataset: public files where they were fetched, else their simulated twin, cached."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
