"""The public names of calo and the modules that define them; read by the type checker and, lazily, at run time."""

from .base import ShowerModel as ShowerModel
from .coordinates import LayerCoordinates as LayerCoordinates
from .features import Features as Features
from .features import features as features
from .files import write_showers as write_showers
from .measures import fpd as fpd
from .measures import kpd as kpd
from .measures import separation as separation
from .profiles import GammaProfile as GammaProfile
from .profiles import Response as Response
from .profiles import behind_middle as behind_middle
from .profiles import bootstrap as bootstrap
from .profiles import contained as contained
from .profiles import depth_edges as depth_edges
from .profiles import fit_profile as fit_profile
from .profiles import fit_response as fit_response
from .profiles import layer_shares as layer_shares
from .profiles import pdg_maximum as pdg_maximum
from .registry import make as make
from .registry import method as method
from .registry import methods as methods
from .sample import Showers as Showers
