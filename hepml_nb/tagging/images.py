"""Jets as pictures: particles turned into one frame, and their momentum added up in pixels."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from hepml_nb.core import InputError
from hepml_nb.tagging.base import Particles
from hepml_nb.tagging.particles import ParticleTagger, particles

__all__ = ["ImageTagger", "Pixels", "aligned", "images", "pixelate"]

Array = npt.NDArray[Any]


def aligned(jets: Any, dtype: Any = np.float32) -> Particles:
    """Return z, x, y (rad) of every particle with the jet centred, rotated and reflected (arXiv:1803.00107).

    The pt-weighted centroid lies at 0, the principal axis (of largest pt-weighted spread) along y, and more pt on the
    right than on the left, and above than below. z: share of the scalar pt sum. values (sum of lengths, 3).
    """
    values, lengths = particles(jets, ("z", "deta", "dphi"), None, np.float64)
    z, x, y = values.T
    starts, owner = np.cumsum(lengths) - lengths, np.repeat(np.arange(len(lengths)), lengths)

    def total(a: Array) -> Array:
        out: Array = np.add.reduceat(z * a, starts)
        return out

    angle = (np.pi / 2 - np.arctan2(2 * total(x * y), total(x * x) - total(y * y)) / 2)[owner]
    x, y = x * np.cos(angle) - y * np.sin(angle), x * np.sin(angle) + y * np.cos(angle)
    x, y = (a * np.where(total(np.sign(a)) < 0, -1.0, 1.0)[owner] for a in (x, y))
    return Particles(np.stack([z, x, y], axis=1, dtype=dtype, casting="unsafe"), lengths)


def pixelate(values: Tensor, lengths: Tensor, size: int, half_width: float) -> Tensor:
    """Return images (jets, size, size): the z of the particles in each pixel, rows along y from below, columns along x.

    values (sum of lengths, 3) of z, x, y (rad); lengths (jets,). The image reaches from -half_width to half_width;
    particles outside are lost, as they are in a detector's window.
    """
    z, x, y = values.unbind(1)
    column, row = ((a + half_width) * (size / (2 * half_width)) for a in (x, y))
    inside = (column >= 0) & (column < size) & (row >= 0) & (row < size)
    jet = torch.repeat_interleave(lengths, output_size=len(values))
    pixel = (jet * size + row.long()) * size + column.long()
    flat = values.new_zeros(len(lengths) * size * size)
    return flat.index_add(0, pixel[inside], z[inside]).view(len(lengths), size, size)


def images(jets: Any, size: int = 40, half_width: float = 0.8) -> Array:
    """Return the aligned images (jets, size, size) of jets as numpy; each adds up to 1 but for particles outside.

    Raises InputError for a size below 2 or a half_width (rad) that is not positive.
    """
    if size < 2 or not half_width > 0:
        raise InputError(f"size={size!r}, half_width={half_width!r}; expected at least 2 pixels and a positive width.")
    found = aligned(jets)
    out: Array = pixelate(torch.from_numpy(found.values), torch.from_numpy(found.lengths), size, half_width).numpy()
    return out


class Pixels(nn.Module):
    """Aligned particles -> standardised images (jets, 1, size, size).

    Every pixel is centred and divided by its spread over the training jets plus that of the average pixel, which keeps
    pixels that are almost always empty from counting as much as the others (after arXiv:1511.05190, 1612.01551).
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, size: int, half_width: float) -> None:
        super().__init__()
        self.size, self.half_width = size, half_width
        self.register_buffer("mean", torch.zeros(size, size))
        self.register_buffer("scale", torch.ones(size, size))

    def fit(self, x: Particles, most: int = 10_000) -> None:
        """Measure mean and spread of the pixels on the first `most` jets."""
        lengths = torch.from_numpy(np.asarray(x.lengths[:most]))
        values = torch.from_numpy(np.asarray(x.values[: int(lengths.sum())]))
        pictures = pixelate(values, lengths, self.size, self.half_width)
        spread = pictures.std(0, correction=0)
        self.mean.copy_(pictures.mean(0))
        self.scale.copy_((spread + spread.mean()).clamp_min(1e-6))

    def forward(self, values: Tensor, lengths: Tensor) -> Tensor:
        """Return the standardised images of particles z, x, y, shape (sum of lengths, 3)."""
        return ((pixelate(values, lengths, self.size, self.half_width) - self.mean) / self.scale)[:, None]


class ImageTagger(ParticleTagger):
    """Fits a network whose first layer, `pixels`, is Pixels: aligned particles are kept, images are made per batch."""

    columns: ClassVar[tuple[str, ...]] = ("constituents",)
    bucket: ClassVar[bool] = False

    def _standardise(self, model: Any, x: Any) -> None:
        model.pixels.fit(x)

    def _inputs(self, jets: Any) -> Particles:
        return aligned(jets, self.dtype)

    def _input_names(self) -> list[str]:
        return ["z", "x aligned", "y aligned"]
