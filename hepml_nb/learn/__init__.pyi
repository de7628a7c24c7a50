"""The public names of learn and the modules that define them; read by the type checker and, lazily, at run time."""

from .batches import RowBatches as RowBatches
from .batches import SetBatches as SetBatches
from .batches import jagged_batches as jagged_batches
from .config import FitConfig as FitConfig
from .config import learning_rate as learning_rate
from .history import Epoch as Epoch
from .history import History as History
from .layers import Standardise as Standardise
from .layers import mlp as mlp
from .layers import n_parameters as n_parameters
from .loop import fit as fit
from .loop import predict as predict
from .padded import BucketBatches as BucketBatches
from .padded import pad as pad
from .padded import unpad as unpad
from .pairs import ChannelNorm as ChannelNorm
from .pairs import dense as dense
from .pairs import others as others
from .sets import DeepSet as DeepSet
from .sets import set_pool as set_pool
