"""The public names of columnar and the modules that define them; read by the type checker and, lazily, at run time."""

from .dimuon import Dimuon as Dimuon
from .files import Reads as Reads
from .files import Seen as Seen
from .files import look as look
from .runner import Output as Output
from .runner import run as run
