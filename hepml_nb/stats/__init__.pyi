"""The public names of stats and the modules that define them; read by the type checker and, lazily, at run time."""

from .bootstrap import paired as paired
from .bootstrap import paired_summary as paired_summary
from .calibration import Reliability as Reliability
from .calibration import ece as ece
from .calibration import reliability as reliability
from .claims import claim as claim
from .classify import Roc as Roc
from .classify import accuracy as accuracy
from .classify import auc as auc
from .classify import rejection as rejection
from .classify import rejection_band as rejection_band
from .classify import roc as roc
from .compare import triangular as triangular
from .compare import wasserstein as wasserstein
from .intervals import clopper_pearson as clopper_pearson
from .samples import effective_size as effective_size
from .samples import floor as floor
from .sculpting import Dependence as Dependence
from .sculpting import dependence as dependence
from .sculpting import jensen_shannon as jensen_shannon
from .sculpting import sculpting as sculpting
from .twosample import c2st as c2st
