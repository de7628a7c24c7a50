"""What rotations and boosts do to the score of a network on four-momenta, measured once and reused by every test."""

from __future__ import annotations

import copy
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from hepml_nb.core import InputError, rng
from hepml_nb.testing.promises import ConformanceError

__all__ = [
    "beam_transforms",
    "boost",
    "check_invariance",
    "lorentz_transforms",
    "rotation",
    "score_change",
    "transform",
]

Array = npt.NDArray[np.float64]

BEAM = (0.0, 0.0, 1.0)


def rotation(axis: npt.ArrayLike, angle: float) -> Array:
    """Return the rotation of (e, px, py, pz) about an axis, shape (3,), by an angle in rad, as a matrix (4, 4)."""
    x, y, z = _unit(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    out = np.eye(4)
    out[1:, 1:] += np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    return out


def boost(axis: npt.ArrayLike, rapidity: float) -> Array:
    """Return the boost along an axis, shape (3,), which adds `rapidity` to rapidities along it, as a matrix (4, 4)."""
    n = _unit(axis)
    out = np.eye(4)
    out[0, 0] = np.cosh(rapidity)
    out[0, 1:] = out[1:, 0] = np.sinh(rapidity) * n
    out[1:, 1:] += (np.cosh(rapidity) - 1) * np.outer(n, n)
    return out


def lorentz_transforms(n: int, seed: int = 0, rapidity: float = 2.0) -> list[Array]:
    """Return n random rotations, each followed by a boost of that rapidity in a random direction."""
    generator = rng(seed, "lorentz transforms")
    out = []
    for _ in range(n):
        turned = rotation(generator.normal(size=3), generator.uniform(-np.pi, np.pi))
        out.append(boost(generator.normal(size=3), rapidity) @ turned)
    return out


def beam_transforms(n: int, seed: int = 0, rapidity: float = 2.0) -> list[Array]:
    """Return n random rotations about the beam, each followed by a boost along it, forwards or backwards.

    rapidity=0 leaves the rotations, all that a network with beams and a time as fixed references respects.
    """
    generator = rng(seed, "beam transforms")
    signs = generator.choice([-1.0, 1.0], size=n)
    angles = generator.uniform(-np.pi, np.pi, size=n)
    return [boost(BEAM, rapidity * s) @ rotation(BEAM, a) for s, a in zip(signs, angles, strict=True)]


def transform(values: Tensor, matrix: npt.ArrayLike) -> Tensor:
    """Return values (..., 4 + scalars) with the matrix (4, 4) applied to the momenta, in their own precision."""
    moved = values[..., :4] @ torch.as_tensor(np.asarray(matrix)).to(values).T
    return torch.cat([moved, values[..., 4:]], dim=-1)


def score_change(
    network: nn.Module,
    values: Tensor,
    lengths: Tensor,
    matrix: npt.ArrayLike,
    *,
    references: bool = True,
    dtype: torch.dtype = torch.float64,
) -> Tensor:
    """Return |score after - score before|, shape (jets,) float64, of transforming the particles with a matrix (4, 4).

    network: model(values, lengths) -> logits, values (sum of lengths, 4 + scalars). references: whether the network's
    buffer `references` (r, 4), if it has one, is transformed too. dtype: the precision of all of it.
    """
    before = copy.deepcopy(network).eval().to(dtype)
    after = copy.deepcopy(before)
    own = getattr(after, "references", None)
    if references and own is not None:
        after.references = transform(own, matrix)
    values = values.to(dtype)
    with torch.inference_mode():
        scores = [torch.sigmoid(model(v, lengths).double()) for model, v in _both(before, after, values, matrix)]
    return (scores[1] - scores[0]).abs()


def check_invariance(
    network: nn.Module,
    values: Tensor,
    lengths: Tensor,
    matrices: Iterable[npt.ArrayLike],
    *,
    references: bool = True,
    tolerance: float = 1e-6,
) -> float:
    """Return the largest change of a score under the transforms in float64; raise ConformanceError above the tolerance.

    A network whose scores hardly differ between jets would pass whatever it is; it raises ConformanceError too.
    """
    with torch.inference_mode():
        scores = torch.sigmoid(copy.deepcopy(network).eval().double()(values.double(), lengths))
    name = type(network).__name__
    if float(scores.std()) < 1e3 * tolerance:
        raise ConformanceError(f"{name}: scores differ by {float(scores.std()):.1e} between jets; train it a little.")
    changes = [score_change(network, values, lengths, m, references=references) for m in matrices]
    worst = max(float(change.max()) for change in changes)
    if not worst < tolerance:
        raise ConformanceError(f"{name}: a transform changes a score by {worst:.1e}; at most {tolerance:g} is allowed.")
    return worst


def _both(
    before: nn.Module, after: nn.Module, values: Tensor, matrix: npt.ArrayLike
) -> tuple[tuple[nn.Module, Tensor], tuple[nn.Module, Tensor]]:
    return (before, values), (after, transform(values, matrix))


def _unit(axis: npt.ArrayLike) -> Array:
    vector = np.asarray(axis, dtype=np.float64)
    length = np.linalg.norm(vector)
    if vector.shape != (3,) or not length > 0:
        raise InputError(f"axis={axis!r}; expected three numbers, not all zero.")
    unit: Array = vector / length
    return unit
