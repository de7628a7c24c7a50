"""The public names of unfolding and the modules that define them; read by the type checker and, lazily, at run time."""

from .base import Events as Events
from .base import Unfolder as Unfolder
from .registry import make as make
from .registry import method as method
from .registry import methods as methods
from .sample import Measured as Measured
from .sample import Simulation as Simulation
from .sets import Sets as Sets
from .sets import jet_sets as jet_sets
from .spectrum import Spectrum as Spectrum
from .spectrum import histogram as histogram
from .uncertainty import bootstrap as bootstrap
from .uncertainty import spectra as spectra
from .weights_file import UnfoldedWeights as UnfoldedWeights
from .weights_file import provenance_of as provenance_of
from .weights_file import read_weights as read_weights
from .weights_file import write_weights as write_weights
