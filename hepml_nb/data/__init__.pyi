"""The public names of data and the modules that define them; read by the type checker and, lazily, at run time."""

from .comparison import Comparison as Comparison
from .comparison import compare as compare
from .dataset import Dataset as Dataset
from .manifest import Manifest as Manifest
from .manifest import Schema as Schema
from .manifest import manifest as manifest
from .manifest import schema as schema
from .packing import pack as pack
from .packing import unpack as unpack
from .published import Published as Published
from .published import published as published
from .published import published_tables as published_tables
from .store import add as add
from .store import estimate as estimate
from .store import fetch as fetch
from .store import identity as identity
from .store import list as list
from .store import load as load
from .store import make as make
from .store import verify as verify
