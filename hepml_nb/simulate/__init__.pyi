"""The public names of simulate and the modules that define them; read by the type checker and, lazily, at run time."""

from .detector import Calorimeter as Calorimeter
from .detector import Detector as Detector
from .events import generate as generate
from .jets import FIELDS as FIELDS
from .jets import cluster as cluster
from .jets import from_constituents as from_constituents
from .pythia import PROCESSES as PROCESSES
from .pythia import Pythia as Pythia
from .recipe import Recipe as Recipe
from .recipe import recipe as recipe
from .recipe import recipe_names as recipe_names
from .substructure import describe as describe
from .substructure import lund as lund
from .substructure import momenta as momenta
from .substructure import soft_drop as soft_drop
