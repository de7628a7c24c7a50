"""The public names of widgets and the modules that define them; read by the type checker and, lazily, at run time."""

from .controls import choice as choice
from .controls import number as number
from .cuts import CutData as CutData
from .cuts import CutState as CutState
from .cuts import CutView as CutView
from .cuts import compute_cut as compute_cut
from .cuts import cut_explorer as cut_explorer
from .cuts import describe_cut as describe_cut
from .cuts import draw_cut as draw_cut
from .cuts import draw_cut_roc as draw_cut_roc
from .display import JetState as JetState
from .display import JetView as JetView
from .display import compute_jets as compute_jets
from .display import describe_jets as describe_jets
from .display import draw_event as draw_event
from .display import draw_lund as draw_lund
from .display import jet_display as jet_display
from .explorer import Panel as Panel
from .explorer import explore as explore
from .still import Still as Still
