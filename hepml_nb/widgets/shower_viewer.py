"""The shower viewer: one shower in 3D, of the simulator and energy that you choose, and its profile in depth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hepml_nb.core import InputError, NotFound, suggest
from hepml_nb.widgets.palette import COLOURS, GREY, INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from hepml_nb.widgets.explorer import Panel

__all__ = ["ShowerData", "ShowerState", "ShowerView", "compute_shower", "describe_shower", "draw_depth", "draw_shower",
           "shower_viewer"]  # fmt: skip

Floats = npt.NDArray[np.float64]

_NEAR = 1.25
"""Showers within this factor in energy make up the mean profile."""
_TILT = np.radians(20)


@dataclass(frozen=True)
class ShowerState:
    """What the controls say: whose shower, of about which energy (GeV), seen from which side (degrees)."""

    simulator: str
    energy: float = 20.0
    turn: int = 30


@dataclass(frozen=True)
class ShowerData:
    """Showers by simulator, (energies (n,), deposits (n, voxels)) in MeV; centres (voxels, 3) of x, y, z in mm, z along
    the particle; layer_of (voxels,), the number of each voxel's layer.
    """

    showers: Mapping[str, tuple[npt.ArrayLike, npt.ArrayLike]]
    centres: npt.ArrayLike
    layer_of: npt.ArrayLike


@dataclass(frozen=True)
class ShowerView:
    """What there is to see: energy (MeV), where its voxels with energy lie and what they hold, the profiles in depth.

    across, up: (k,) mm on the picture, values: (k,) MeV, those in front last. frame: lines (2, m) round all voxels.
    depth: (layers,) mm; profile, mean: (layers,) MeV of this shower and the mean of `alike` ones, scaled to its energy.
    """

    state: ShowerState
    energy: float
    across: Floats
    up: Floats
    values: Floats
    frame: tuple[Floats, ...]
    depth: Floats
    profile: Floats
    mean: Floats
    alike: int


def compute_shower(state: ShowerState, data: ShowerData) -> ShowerView:
    """Take the shower that is nearest in energy, and turn it; raise NotFound for an unknown simulator."""
    if state.simulator not in data.showers:
        raise NotFound(f"there are no showers of {state.simulator!r}{suggest(state.simulator, data.showers)}")
    energies, deposits = (np.asarray(x) for x in data.showers[state.simulator])
    centres, layer_of = np.asarray(data.centres, np.float64), np.asarray(data.layer_of)
    if deposits.shape != (len(energies), len(centres)) or layer_of.shape != centres.shape[:1] or not len(energies):
        raise InputError(f"deposits of shape {deposits.shape} for {len(energies)} energies and {len(centres)} voxels.")
    wanted = np.log(1000 * state.energy)
    at = int(np.argmin(np.abs(np.log(energies) - wanted)))
    near = np.abs(np.log(energies / energies[at])) < np.log(_NEAR)
    profile = np.bincount(layer_of, deposits[at]).astype(np.float64)
    mean = np.bincount(layer_of, (deposits[near] / energies[near, None]).mean(axis=0)) * energies[at]
    hit = np.flatnonzero(deposits[at])
    middle = float(centres[:, 2].max()) / 2
    across, up, ahead = _seen(centres[hit], state.turn, middle)
    order = np.argsort(ahead)
    count = np.bincount(layer_of)
    return ShowerView(state, float(energies[at]), across[order], up[order], deposits[at, hit][order].astype(np.float64),
                      _frame(centres, state.turn), np.bincount(layer_of, centres[:, 2]) / count, profile, mean,
                      int(near.sum()))  # fmt: skip


def draw_shower(ax: Axes, view: ShowerView) -> None:
    """Draw the voxels as dots with area and colour by energy, and the outline of the calorimeter."""
    from matplotlib import colormaps
    from matplotlib.colors import LogNorm

    for line in view.frame:
        ax.plot(*line, color=GREY, lw=0.8, ls="-", zorder=1)
    scale, colours = LogNorm(0.02, 300, clip=True), colormaps["viridis_r"]
    ax.scatter(view.across, view.up, _area(view.values), c=colours(scale(view.values)), alpha=0.8, lw=0, zorder=2)
    for value in (0.1, 3.0, 100.0):
        ax.scatter([], [], _area(np.array([value])), color=colours(scale(value)), label=f"{value:g} MeV")
    reach = 1.1 * max(float(np.hypot(*line).max()) for line in view.frame)
    ax.set(xlim=(-reach, reach), ylim=(-0.55 * reach, 0.55 * reach), xlabel="mm", ylabel="mm")
    ax.set_title(f"{view.state.simulator}, {view.energy / 1000:.3g} GeV: {len(view.values)} voxels")
    ax.legend(loc="upper left", ncols=3, fontsize=8.5, handletextpad=0.2, columnspacing=1)


def draw_depth(ax: Axes, view: ShowerView) -> None:
    """Draw the energy in the layers, and the mean of showers alike."""
    ax.step(view.depth, view.profile, where="mid", color=COLOURS[0], ls="-", lw=1.8, label="this shower")
    ax.plot(view.depth, view.mean, color=INK, ls="--", lw=1.4, label=f"mean of {view.alike}")
    ax.set(xlim=(0, float(view.depth[-1])), ylim=(0, 1.25 * max(view.profile.max(), view.mean.max(), 1e-9)),
           xlabel="depth [mm]", ylabel="MeV in a layer")  # fmt: skip
    ax.set_title("energy in the layers")
    ax.legend()


def describe_shower(view: ShowerView) -> str:
    """Return the summary: simulator, energy in and seen, voxels, the layer of most energy."""
    seen = view.profile.sum() / view.energy
    return (
        f"{view.state.simulator}: a particle of {view.energy / 1000:.3g} GeV, {len(view.values)} voxels with "
        f"{100 * seen:.1f} % of its energy; most of it in layer {int(np.argmax(view.profile))} of {len(view.profile)}, "
        f"on average in layer {int(np.argmax(view.mean))}."
    )


def shower_viewer(
    showers: Mapping[str, tuple[npt.ArrayLike, npt.ArrayLike]],
    centres: npt.ArrayLike,
    layer_of: npt.ArrayLike,
    *,
    simulator: str | None = None,
    energy: float = 20.0,
    turn: int = 30,
) -> Panel:
    """Return the panel with the controls `simulator`, `energy` (GeV, the nearest shower is taken) and `turn` (degrees).

    showers: {simulator: (energies (n,), deposits (n, voxels))} in MeV; centres, layer_of: as `simulate.calorimeter`
    gives them. Raises InputError for none or for shapes that do not fit, NotFound for an unknown simulator.
    """
    from hepml_nb.widgets.controls import choice, number
    from hepml_nb.widgets.explorer import explore

    if not showers:
        raise InputError("give the showers of at least one simulator.")
    data = ShowerData(dict(showers), centres, layer_of)
    every = np.concatenate([np.asarray(energies, np.float64) for energies, _ in showers.values()]) / 1000
    low, high = float(np.floor(every.min())), float(np.ceil(every.max()))
    state = ShowerState(simulator or next(iter(showers)), float(np.clip(energy, low, high)), turn)
    for name in showers:
        compute_shower(ShowerState(name, state.energy, turn), data)
    controls: dict[str, Any] = {
        "simulator": choice("simulator", list(showers), state.simulator),
        "energy": number("energy [GeV]", state.energy, low, max(high, low + 1), 0.5),
        "turn": number("turn [°]", turn, 0, 360, 5),
    }
    return explore(state, controls, lambda now: compute_shower(now, data), (draw_shower, draw_depth),
                   describe_shower, size=(11.0, 4.6), widths=(1.9, 1.0))  # fmt: skip


def _seen(points: Floats, turn: float, middle: float) -> tuple[Floats, Floats, Floats]:
    """Return (across, up, towards the viewer) of points (n, 3): turned about the vertical at `middle`, then tilted."""
    x, y, z = points.T
    z = z - middle
    angle = np.radians(turn)
    across, ahead = z * np.cos(angle) + x * np.sin(angle), x * np.cos(angle) - z * np.sin(angle)
    return across, y * np.cos(_TILT) - ahead * np.sin(_TILT), y * np.sin(_TILT) + ahead * np.cos(_TILT)


def _frame(centres: Floats, turn: float) -> tuple[Floats, ...]:
    """Return the lines of a cylinder around the voxels: both ends, and four lines along it."""
    radius, ends = float(np.hypot(*centres[:, :2].T).max()), (0.0, float(centres[:, 2].max()))
    around = np.linspace(0, 2 * np.pi, 49)
    lines = [np.stack([radius * np.cos(around), radius * np.sin(around), np.full(49, z)], axis=1) for z in ends]
    lines += [np.array([[radius * np.cos(a), radius * np.sin(a), z] for z in ends]) for a in np.arange(4) * np.pi / 2]
    lines.append(np.array([[0, 0, -0.3 * ends[1]], [0, 0, 0]]))  # the particle comes in
    return tuple(np.stack(_seen(line, turn, ends[1] / 2)[:2]) for line in lines)


def _area(values: Floats) -> Floats:
    return np.asarray((2 + 4 * np.log10(np.maximum(values, 0.015) / 0.015)) ** 1.3)
