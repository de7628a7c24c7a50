"""The public packages; read by the type checker and, lazily, at run time."""

from . import core as core
from . import data as data
from . import learn as learn
from . import plots as plots
from . import runtime as runtime
from . import simulate as simulate
from . import stats as stats
from . import tagging as tagging
from . import testing as testing
from . import widgets as widgets

__version__: str
