"""The public names of calo and the modules that define them; read by the type checker and, lazily, at run time."""

from .base import ShowerModel as ShowerModel
from .coordinates import LayerCoordinates as LayerCoordinates
from .files import write_showers as write_showers
from .registry import make as make
from .registry import method as method
from .registry import methods as methods
from .sample import Showers as Showers
