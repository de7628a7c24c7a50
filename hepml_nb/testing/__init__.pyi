"""The public names of testing and the modules that define them; read by the type checker and, lazily, at run time."""

from .taggers import TAGGER_CHECKS as TAGGER_CHECKS
from .taggers import ConformanceError as ConformanceError
from .taggers import check_tagger as check_tagger
from .toys import toy_jets as toy_jets
from .toys import without as without
