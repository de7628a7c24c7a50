"""The public names of tagging and the modules that define them; read by the type checker and, lazily, at run time."""

from .base import Particles as Particles
from .base import Tagger as Tagger
from .checks import check_jets as check_jets
from .checks import labels_of as labels_of
from .known_optimum import Optimum as Optimum
from .known_optimum import gap as gap
from .multi import MultiTagger as MultiTagger
from .observables import OBSERVABLES as OBSERVABLES
from .observables import Observable as Observable
from .observables import observables as observables
from .registry import Method as Method
from .registry import make as make
from .registry import methods as methods
from .registry import multi_methods as multi_methods
