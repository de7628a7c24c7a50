"""The public names of testing and the modules that define them; read by the type checker and, lazily, at run time."""

from .detectors import DETECTOR_CHECKS as DETECTOR_CHECKS
from .detectors import check_detector as check_detector
from .jet_outliers import JET_OUTLIER_CHECKS as JET_OUTLIER_CHECKS
from .jet_outliers import check_jet_outlier as check_jet_outlier
from .multi import MULTI_CHECKS as MULTI_CHECKS
from .promises import ConformanceError as ConformanceError
from .safety import EMISSIONS as EMISSIONS
from .safety import SIZES as SIZES
from .safety import emit as emit
from .safety import score_changes as score_changes
from .safety import untruncated as untruncated
from .symmetries import beam_transforms as beam_transforms
from .symmetries import boost as boost
from .symmetries import check_invariance as check_invariance
from .symmetries import lorentz_transforms as lorentz_transforms
from .symmetries import rotation as rotation
from .symmetries import score_change as score_change
from .symmetries import transform as transform
from .taggers import TAGGER_CHECKS as TAGGER_CHECKS
from .taggers import check_tagger as check_tagger
from .toys import toy_jets as toy_jets
from .toys import without as without
from .unfolders import UNFOLDER_CHECKS as UNFOLDER_CHECKS
from .unfolders import check_unfolder as check_unfolder
