"""A convolutional network on jet images (arXiv:1803.00107, after arXiv:1511.05190)."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from hepml_nb.core import InputError
from hepml_nb.learn import FitConfig, mlp
from hepml_nb.tagging.images import ImageTagger, Pixels

__all__ = ["CNNNetwork", "ImageCNN", "ImageCNNConfig"]


@dataclass(frozen=True)
class ImageCNNConfig:
    """size, half_width: pixels per side and half the image's width (rad). filters: of the convolutions, kernel wide.

    pool: convolutions before each 2 x 2 max pooling. dense: widths of the layers behind. fit: the training. The
    defaults are the paper's network, in grey: its colours (charged, neutral, counts) need what the public set lacks.
    """

    size: int = 40
    half_width: float = 0.8
    filters: tuple[int, ...] = (128, 64, 64, 64)
    kernel: int = 4
    pool: int = 2
    dense: tuple[int, ...] = (64, 256, 256)
    fit: FitConfig = field(default_factory=lambda: FitConfig(epochs=50, lr=1e-3, batch_size=128, patience=8))

    def __post_init__(self) -> None:
        if len(self.filters) % self.pool or self.size >> (len(self.filters) // self.pool) < 1:
            raise InputError(
                f"filters={self.filters} cannot be pooled after every {self.pool} in images of {self.size} pixels; "
                "expected whole groups, and fewer halvings than the image has pixels."
            )


class CNNNetwork(nn.Module):
    """Aligned particles -> image -> convolutions -> dense layers -> logits."""

    def __init__(self, config: ImageCNNConfig) -> None:
        super().__init__()
        self.pixels = Pixels(config.size, config.half_width)
        layers: list[nn.Module] = []
        side, channels = config.size, 1
        for i, width in enumerate(config.filters, start=1):
            before, after = (config.kernel - 1) // 2, config.kernel // 2  # an even kernel has no middle
            layers.append(nn.ZeroPad2d((before, after, before, after)))
            layers += [nn.Conv2d(channels, width, config.kernel), nn.ReLU(inplace=True)]
            if i % config.pool == 0:
                layers.append(nn.MaxPool2d(2))
                side //= 2
            channels = width
        self.convolutions = nn.Sequential(*layers)
        self.dense = mlp([channels * side * side, *config.dense, 1])

    def forward(self, values: Tensor, lengths: Tensor) -> Tensor:
        """Map aligned particles z, x, y (sum of lengths, 3) and lengths (n,) to logits (n,)."""
        return self.logits(self.pixels(values, lengths))

    def logits(self, pictures: Tensor) -> Tensor:
        """Map standardised images (n, 1, size, size) to logits (n,)."""
        maps = self.convolutions(pictures.contiguous(memory_format=torch.channels_last))
        out: Tensor = self.dense(maps.flatten(1))[:, 0]
        return out


_SMALL = ImageCNNConfig(
    size=32,
    filters=(8, 16, 32),
    kernel=3,
    pool=1,
    dense=(64,),
    fit=FitConfig(epochs=10, lr=4e-3, batch_size=128, patience=4),
)


class ImageCNN(ImageTagger):
    """Convolutions and pooling find patterns wherever they lie in the image, fine ones first."""

    name = "image-cnn"
    configs = {"paper": ImageCNNConfig(), "small": _SMALL}  # noqa: RUF012 - a Mapping, never changed

    def build(self) -> nn.Module:
        """Return the network with fresh weights."""
        return CNNNetwork(self.config)
