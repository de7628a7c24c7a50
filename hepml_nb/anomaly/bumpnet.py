"""BumpNet: a convolutional network that reads a falling histogram and says how significant an excess is in each bin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import torch
from scipy.signal import savgol_filter
from torch import Tensor, nn

from hepml_nb.anomaly.histograms import HistogramConfig, simulate
from hepml_nb.anomaly.spectrum import Floats, MassSpectrum
from hepml_nb.core import InputError, RunError, derive_seed
from hepml_nb.learn import FitConfig, History, RowBatches, fit, mlp, predict

__all__ = ["BumpNet", "BumpNetConfig", "BumpNetwork", "channels", "resolution_edges"]

_HELD_OUT, _ROWS = 0.1, 500
_EVEN = 1.25  # largest ratio of the widths of neighbouring bins
_BEYOND = 1.5  # counts may exceed the fullest bin of the training by this, as signal and noise do
_CLIP, _UNIT = 30.0, 3.0  # of the deviations, and what they are measured in: inputs of the order of one


@dataclass(frozen=True)
class BumpNetConfig:
    """kernels: bins of the convolutions of each stack. layers, channels: of a stack. head: hidden units, bin by bin.

    scales: (bins, degree) of local polynomials; the deviation from each is an input. histograms, examples: what it
    learns from, and how many of them.
    """

    kernels: tuple[int, ...] = (3, 7, 15, 31)
    channels: int = 32
    layers: int = 3
    head: tuple[int, ...] = (64, 64)
    scales: tuple[tuple[int, int], ...] = ()
    histograms: HistogramConfig = field(default_factory=HistogramConfig)
    examples: int = 300_000
    fit: FitConfig = field(default_factory=lambda: FitConfig(epochs=50, lr=2e-3, batch_size=256, patience=None, clip=1))

    def __post_init__(self) -> None:
        if not self.kernels or any(k < 1 or k % 2 == 0 for k in self.kernels):
            raise InputError(f"kernels={self.kernels!r}; expected odd numbers of bins, at least one.")
        if min(self.channels, self.layers, self.examples // 10) < 1 or min(self.head, default=1) < 1:
            raise InputError(f"{self} is no network; expected positive sizes and at least ten examples.")
        fewest = self.histograms.bins[0]
        for bins, degree in self.scales:
            if bins % 2 == 0 or not 0 <= degree < bins <= fewest:
                raise InputError(f"scales has {(bins, degree)!r}; expected odd bins, at most {fewest}, above a degree.")


class BumpNetwork(nn.Module):
    """Stacks of convolutions of different kernels side by side, then one perceptron for all bins with one output."""

    def __init__(self, config: BumpNetConfig) -> None:
        super().__init__()
        inputs = 2 + len(config.scales)
        widths = [inputs, *[config.channels] * config.layers]
        self.stacks = nn.ModuleList(
            nn.ModuleList(nn.Conv1d(i, o, k, padding=k // 2) for i, o in pairwise(widths)) for k in config.kernels
        )
        self.head = mlp([inputs + config.channels * len(config.kernels), *config.head, 1])

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        """Return Z (n, b) of inputs (n, c, b); valid (n, b): 1.0 for bins that exist. Padding changes nothing."""
        seen = [x]
        for stack in self.stacks:
            y = x
            for layer in stack:  # type: ignore[attr-defined]  # a ModuleList of ModuleLists
                y = torch.relu(layer(y)) * valid[:, None]
            seen.append(y)
        z: Tensor = self.head(torch.cat(seen, 1).transpose(1, 2))[..., 0]
        return z * valid

    def loss(self, x: Tensor, valid: Tensor, z: Tensor) -> Tensor:
        """Return the mean squared error of Z over the bins that exist, a scalar."""
        error: Tensor = ((self(x, valid) - z).square() * valid).sum() / valid.sum()
        return error


def channels(counts: npt.ArrayLike, valid: npt.ArrayLike, scales: tuple[tuple[int, int], ...] = ()) -> Floats:
    """Return the inputs (n, 2 + scales, b) of counts (n, b): their logarithm, which bins exist, and deviations.

    A deviation is that of the logarithm from a polynomial fitted to the bins around (Savitzky-Golay), in standard
    deviations of the smoothed counts, the same for a spectrum of any content.
    """
    exists = np.asarray(valid, bool)
    logs = np.log(np.asarray(counts, float) + 0.5) * exists
    found = [logs / 5, exists.astype(float)]
    bins = exists.sum(axis=1)
    for window, degree in scales:
        smooth = np.zeros_like(logs)
        for b in np.unique(bins):
            rows = bins == b
            smooth[rows, :b] = savgol_filter(logs[rows, :b], window, degree, axis=1, mode="interp")
        off = (logs - smooth) * np.exp(np.clip(smooth, -20, 40) / 2) * exists
        found.append(np.clip(off, -_CLIP, _CLIP) / _UNIT)
    return np.stack(found, axis=1)


class BumpNet:
    """BumpNet (arXiv:2501.05603): significance by regression, with no background estimated and no function chosen.

    Learns from simulated histograms that fall in many ways, with Gaussian bumps injected. The target in every bin is
    the ideal significance (`histograms.ideal_z`: likelihood ratio, background known), the loss the squared error.
    The convention is the paper's: bins as wide as the mass resolution (`resolution_edges`), so that a narrow resonance
    is as many bins wide everywhere. What differs: all histograms here come from functions (the paper adds smoothed
    simulated spectra), negative Z of deficits are learnt too, and numbers of layers and channels are ours.
    "small" is also given deviations from local polynomials as inputs, which the paper's network finds by itself with
    far more training. history: of the last training.
    """

    name = "bumpnet"
    history: History
    configs: ClassVar[Mapping[str, BumpNetConfig]] = {
        "paper": BumpNetConfig(),
        "small": BumpNetConfig(
            kernels=(3, 7, 15),
            channels=16,
            layers=2,
            head=(32, 32),
            scales=((9, 1), (15, 2), (31, 3)),
            examples=30_000,
            fit=FitConfig(epochs=5, lr=4e-3, batch_size=64, patience=None, clip=1.0, threads=1),
        ),
    }

    def __init__(self, config: BumpNetConfig | None = None) -> None:
        self.config = self.configs["paper"] if config is None else config
        self.model: BumpNetwork | None = None

    def fit(self, *, seed: int = 0, untrained: bool = False) -> Self:
        """Simulate the histograms and learn from them; return self. untrained=True takes no step."""
        c = self.config
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(seed, self.name, "weights"))
            self.model = BumpNetwork(c)
        self.history = History()
        if untrained:
            return self
        made = simulate(c.examples, c.histograms, derive_seed(seed, self.name, "examples"))
        parts = channels(made.counts, made.valid, c.scales), made.valid, made.z
        rows = [torch.from_numpy(part.astype(np.float32)) for part in parts]
        held = max(int(_HELD_OUT * c.examples), 1)
        train = RowBatches(*(r[held:] for r in rows), batch_size=c.fit.batch_size, seed=derive_seed(seed, "order"))
        val = RowBatches(*(r[:held] for r in rows), batch_size=_ROWS, shuffle=False)
        self.history = fit(self.model, _loss, train, val, c.fit, seed=seed, desc=self.name)
        return self

    def significance(self, spectrum: MassSpectrum) -> Floats:
        """Return Z (b,) of an excess in each bin of a spectrum whose bins are as wide as the resolution.

        Raises RunError before the fit, and InputError for a spectrum unlike all it has learnt from: another number of
        bins, bins that suddenly change their width, more or far fewer events than the fullest bin of any example.
        """
        ratio = spectrum.widths[1:] / spectrum.widths[:-1]
        if len(ratio) and max(ratio.max(), 1 / ratio.min()) > _EVEN:
            at = int(np.argmax(np.abs(np.log(ratio))))
            raise InputError(
                f"bin {at + 1} is {ratio[at]:.2f} times as wide as bin {at}; {self.name} needs bins as wide as the "
                f"resolution, neighbours alike within {_EVEN:g}. resolution_edges(low, high, resolution) makes them."
            )
        found: Floats = self.significances(spectrum.counts[None])[0]
        return found

    def significances(self, counts: npt.ArrayLike) -> Floats:
        """Return Z (n, b) of n spectra of counts (n, b) at once. Raises as `significance`, and for negative counts."""
        if self.model is None:
            raise RunError(f"a significance needs a fitted {self.name}; call .fit() first.")
        n, made = np.asarray(counts, float), self.config.histograms
        if n.ndim != 2 or not np.isfinite(n).all() or (n < 0).any():
            raise InputError(f"counts have shape {n.shape}; expected (spectra, bins), finite and at least 0.")
        if not made.bins[0] <= n.shape[1] <= made.bins[1]:
            raise InputError(
                f"{n.shape[1]} bins; {self.name} has learnt from {made.bins[0]} to {made.bins[1]} of them."
            )
        if not len(n):
            return np.zeros(n.shape)
        fullest = n.max(axis=1)
        low, high = made.top[0] / _BEYOND, made.top[1] * _BEYOND
        if fullest.min() < low or fullest.max() > high:
            bad = fullest[np.argmax((fullest < low) | (fullest > high))]
            raise InputError(
                f"the fullest bin counts {bad:g} events; {self.name} has learnt from spectra with {made.top[0]:g} to "
                f"{made.top[1]:g} in it. Take a range of masses that fits, or a configuration with another `top`."
            )
        valid = np.ones(n.shape)
        inputs = [torch.from_numpy(x.astype(np.float32)) for x in (channels(n, valid, self.config.scales), valid)]
        batches = RowBatches(*inputs, batch_size=_ROWS, shuffle=False)
        z: Floats = predict(self.model, batches, lambda net, batch: net(*batch)).double().numpy()
        return z


def resolution_edges(low: float, high: float, resolution: float) -> Floats:
    """Return edges (b + 1,) from low to at least high in TeV; each bin is `resolution` times its mass wide.

    Raises InputError for masses that do not rise or a resolution outside of 0 to 1.
    """
    if not 0 < low < high < np.inf or not 0 < resolution < 1:
        raise InputError(f"low={low!r}, high={high!r}, resolution={resolution!r}; expected 0 < low < high, a share.")
    step = np.log((1 + resolution / 2) / (1 - resolution / 2))
    return np.asarray(low * np.exp(step * np.arange(int(np.ceil(np.log(high / low) / step - 1e-9)) + 1)))


def _loss(model: Any, batch: Any) -> Tensor:
    loss: Tensor = model.loss(*batch)
    return loss
