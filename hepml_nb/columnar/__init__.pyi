"""The public names of columnar and the modules that define them; read by the type checker and, lazily, at run time."""

from .adoption import adopt as adopt
from .dijets import DijetFeatures as DijetFeatures
from .dijets import Dijets as Dijets
from .dimuon import Dimuon as Dimuon
from .files import Reads as Reads
from .files import Seen as Seen
from .files import look as look
from .inspection import Survey as Survey
from .inspection import survey as survey
from .jets import JetSkim as JetSkim
from .mapping import Plan as Plan
from .proposing import propose as propose
from .runner import Output as Output
from .runner import run as run
from .skims import Skim as Skim
from .skims import pieces as pieces
from .skims import skim as skim
from .taupairs import TauPairs as TauPairs
from .zjets import ZJets as ZJets
