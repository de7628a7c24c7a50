"""The public names of plots and the modules that define them; read by the type checker and, lazily, at run time."""

from .curves import roc_curves as roc_curves
from .curves import size_curve as size_curve
from .curves import training as training
from .distributions import histograms as histograms
from .distributions import reliability_diagram as reliability_diagram
from .distributions import score_histograms as score_histograms
from .figures import describe as describe
from .figures import description as description
from .figures import png as png
from .figures import show as show
from .jetviews import constituents as constituents
from .jetviews import event_display as event_display
from .jetviews import jet_image as jet_image
from .jetviews import lund_plane as lund_plane
from .looks import COLOURS as COLOURS
from .looks import LINES as LINES
from .looks import style as style
from .tables import ResultsTable as ResultsTable
from .tables import results_table as results_table
