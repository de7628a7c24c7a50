"""The jet display: one event in eta and phi, clustered as you choose, and the Lund plane of its leading jet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np
import numpy.typing as npt
from matplotlib.colors import to_rgb

from hepml_nb.core import InputError, suggest
from hepml_nb.widgets.palette import COLOURS, GREY, INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from hepml_nb.widgets.explorer import Panel

__all__ = [
    "ALGORITHMS",
    "JetState",
    "JetView",
    "compute_jets",
    "describe_jets",
    "draw_event",
    "draw_lund",
    "jet_display",
]

Floats = npt.NDArray[np.float64]
Cluster = Callable[[Any, str, float, float], Any]
"""(events * var * {pt, eta, phi}, algorithm, radius, min_pt) -> events * var * {pt, eta, phi, mass, index}."""

ALGORITHMS = {"anti-kT": "antikt", "Cambridge/Aachen": "cambridge", "kT": "kt"}
_SHOWN = {behind: shown for shown, behind in ALGORITHMS.items()}
_ETA = 3.0
_CELLS = (72, 76)
_Z_CUT = 0.1


@dataclass(frozen=True)
class JetState:
    """What the controls say: the event's number, the algorithm, its radius, the smallest jet pt (GeV)."""

    event: int = 0
    algorithm: str = "antikt"
    radius: float = 0.8
    min_pt: float = 50.0

    def __post_init__(self) -> None:
        if self.algorithm not in _SHOWN:
            raise InputError(f"algorithm={self.algorithm!r} is unknown{suggest(self.algorithm, _SHOWN)}")
        if not (self.event >= 0 and 0 < self.radius <= 3 and self.min_pt > 0):
            raise InputError(f"{self}: expected event >= 0, 0 < radius <= 3 and min_pt > 0 GeV.")


@dataclass(frozen=True)
class JetView:
    """What there is to see: particles (n,), jets hardest first (m,), and which jet owns what (-1: none).

    pt, eta, phi: particles (GeV, rad). owner: (n,). jets: (m, 4) of pt, eta, phi, mass. sizes: (m,) particles.
    area: (eta cells, phi cells), the jet that would swallow a vanishingly soft particle there.
    lund: (k, 3) of delta, kt (GeV), z of the leading jet's declusterings. truth: (q, 2) of eta, phi.
    """

    state: JetState
    pt: Floats
    eta: Floats
    phi: Floats
    owner: npt.NDArray[np.int64]
    jets: Floats
    sizes: npt.NDArray[np.int64]
    area: npt.NDArray[np.int64]
    lund: Floats = field(default_factory=lambda: np.zeros((0, 3)))
    truth: Floats = field(default_factory=lambda: np.zeros((0, 2)))
    name: str = ""


def compute_jets(
    state: JetState,
    events: Any,
    cluster: Cluster,
    lund: Callable[[Any], Any] | None = None,
    truth: Any = None,
    names: Sequence[str] = (),
) -> JetView:
    """Cluster one event as `state` says. `events`: events * var * {pt, eta, phi}; `truth`: events * var * {eta, phi}.

    cluster, lund: as `simulate.cluster` and `simulate.lund`. The areas come from a grid of particles too soft to
    change any jet ("ghosts", arXiv:0802.1188). Raises InputError for an event that is not there.
    """
    if state.event >= len(events):
        raise InputError(f"event={state.event} is not there; the events are numbered 0 to {len(events) - 1}.")
    event = events[state.event]
    pt, eta, phi = (np.asarray(ak.to_numpy(event[name]), dtype=np.float64) for name in ("pt", "eta", "phi"))
    n = len(pt)
    ghosts = _ghosts()
    columns = (np.append(pt, np.full(len(ghosts), 1e-30)), np.append(eta, ghosts[:, 0]), np.append(phi, ghosts[:, 1]))
    particles = ak.zip(dict(zip(("pt", "eta", "phi"), columns, strict=True)))[np.newaxis]
    found = cluster(particles, state.algorithm, state.radius, state.min_pt)[0]
    owner = np.full(len(columns[0]), -1)
    for number, members in enumerate(found.index):
        owner[ak.to_numpy(members)] = number
    jets = np.stack([ak.to_numpy(found[name]) for name in ("pt", "eta", "phi", "mass")], axis=-1)
    return JetView(
        state,
        pt,
        eta,
        phi,
        owner[:n],
        jets.astype(np.float64).reshape(-1, 4),
        np.bincount(owner[:n][owner[:n] >= 0], minlength=len(jets)),
        owner[n:].reshape(_CELLS),
        _lund(lund, pt, eta, phi, owner[:n] == 0, jets),
        _truth(truth, state.event),
        names[state.event] if len(names) else "",
    )


def _ghosts() -> Floats:
    """Return (cells, 2) of eta, phi: a grid, shaken a little so that no two distances are equal."""
    eta = (np.arange(_CELLS[0]) + 0.5) / _CELLS[0] * 2 * _ETA - _ETA
    phi = (np.arange(_CELLS[1]) + 0.5) / _CELLS[1] * 2 * np.pi - np.pi
    grid = np.stack(np.meshgrid(eta, phi, indexing="ij"), axis=-1).reshape(-1, 2)
    return np.asarray(grid + np.random.default_rng(0).uniform(-0.01, 0.01, grid.shape))


def _lund(lund: Any, pt: Floats, eta: Floats, phi: Floats, mine: npt.NDArray[np.bool_], jets: Floats) -> Floats:
    if lund is None or mine.sum() < 2:
        return np.zeros((0, 3))
    around = (phi[mine] - jets[0][2] + np.pi) % (2 * np.pi) - np.pi
    inside = ak.zip({"pt": pt[mine], "deta": eta[mine] - jets[0][1], "dphi": around})
    plane = lund(ak.zip({"constituents": inside[np.newaxis]}, depth_limit=1))[0]
    return np.stack([ak.to_numpy(plane[name]) for name in ("delta", "kt", "z")], axis=-1).astype(np.float64)


def _truth(truth: Any, event: int) -> Floats:
    if truth is None:
        return np.zeros((0, 2))
    return np.stack([np.asarray(ak.to_numpy(truth[event][name]), np.float64) for name in ("eta", "phi")], axis=-1)


def draw_event(ax: Axes, view: JetView) -> None:
    """Draw the event: circles of area ~ pt, coloured by jet; tinted ground: the area from which a jet collects."""
    tint = np.ones((len(view.jets) + 1, 3))
    for number in range(len(view.jets)):
        tint[number] = 1 - 0.22 * (1 - np.array(to_rgb(_colour(number))))
    ax.imshow(
        tint[view.area].transpose(1, 0, 2), extent=(-_ETA, _ETA, -np.pi, np.pi), origin="lower", interpolation="nearest"
    )
    order = np.argsort(view.owner)
    colours = [_colour(view.owner[particle]) for particle in order]
    size = 260 * view.pt[order] / 100
    ax.scatter(view.eta[order], view.phi[order], s=np.clip(size, 2, 900), c=colours, lw=0.4, ec="white", alpha=0.85)
    circle = np.stack([np.cos(np.linspace(0, 2 * np.pi, 60)), np.sin(np.linspace(0, 2 * np.pi, 60))])
    for number, (pt, eta, phi, _) in enumerate(view.jets):
        x, y = eta + view.state.radius * circle[0], phi + view.state.radius * circle[1]
        for turn in (-2 * np.pi, 0, 2 * np.pi):  # phi is an angle: a circle cut at the top goes on at the bottom
            ax.plot(x, y + turn, color=_colour(number), ls="--", lw=1.2)
        if number < 4:
            high = phi + view.state.radius + 0.08 < np.pi - 0.25
            where = phi + (view.state.radius + 0.08) * (1 if high else -1)
            ax.text(eta, where, f"{number + 1}: {pt:.0f} GeV", ha="center", va="bottom" if high else "top", fontsize=9,
                    color=INK, bbox={"fc": "white", "ec": _colour(number), "alpha": 0.85, "pad": 1.5})  # fmt: skip
    if len(view.truth):
        ax.plot(*view.truth.T, "x", color=INK, ms=8, mew=1.8, label="decay quarks")
        ax.legend(loc="lower left", handletextpad=0.2, borderpad=0.3)
    if not ax.get_xlabel():  # the frame never changes
        ax.set(xlim=(-_ETA, _ETA), ylim=(-np.pi, np.pi), xlabel="pseudorapidity η", ylabel="azimuth φ [rad]")
        ax.set_yticks(np.pi * np.arange(-2, 3) / 2, ["−π", "−π/2", "0", "π/2", "π"])
    ax.set_title(view.name or f"event {view.state.event}")


def draw_lund(ax: Axes, view: JetView) -> None:
    """Draw the leading jet's primary Lund plane; full markers carry more than a tenth of the branch's pt."""
    ax.set_title("leading jet: Lund plane of its declusterings")
    if not ax.get_xlabel():
        ax.set(xlim=(-0.6, 6.0), ylim=(-3.5, 6.5), xlabel="ln(1/Δ)   (wide → collinear)",
               ylabel=r"ln($k_t$ / GeV)   (soft → hard)")  # fmt: skip
    if not len(view.lund):
        ax.text(0.5, 0.5, "no declusterings", transform=ax.transAxes, ha="center", color=GREY)
        return
    delta, kt, z = view.lund.T
    x, y = -np.log(delta), np.log(kt)
    line = np.array([-0.6, 6.0])
    pt = view.jets[0][0]
    ax.plot(line, np.log(0.5 * pt) - line, color=INK, lw=1, label="equal halves, z = 1/2")
    ax.plot(line, np.log(_Z_CUT * pt) - line, color=INK, lw=1, ls="--", label=f"soft-drop line, z = {_Z_CUT}")
    ax.axvline(-np.log(view.state.radius), color=GREY, lw=1, ls=":", label=f"jet radius {view.state.radius:.2f}")
    hard = z > _Z_CUT
    ax.plot(x, y, color=GREY, lw=0.7, zorder=1)
    ax.scatter(x[~hard], y[~hard], s=30, fc="white", ec=_colour(0), lw=1.2, zorder=2)
    ax.scatter(x[hard], y[hard], s=30 + 250 * z[hard], color=_colour(0), ec="white", zorder=3)
    if hard.any():
        first = int(np.argmax(hard))
        ax.annotate(f"first hard splitting\nΔ = {delta[first]:.2f}, z = {z[first]:.2f}", (x[first], y[first]),
                    (14, 16), textcoords="offset points", fontsize=8.5, color=INK,
                    arrowprops={"arrowstyle": "-", "color": INK, "lw": 0.7},
                    bbox={"fc": "white", "ec": "none", "alpha": 0.8, "pad": 1})  # fmt: skip
    ax.legend(loc="upper right")


def describe_jets(view: JetView) -> str:
    """Return the summary: how many jets, the leading one's pt, mass and particles."""
    state = view.state
    setting = f"{view.name or f'Event {state.event}'}, {_SHOWN[state.algorithm]}, R = {state.radius:.2f}: "
    count = f"{len(view.jets)} jet{'' if len(view.jets) == 1 else 's'} above {state.min_pt:.0f} GeV."
    if not len(view.jets):
        return setting + count
    pt, _, _, mass = view.jets[0]
    text = f"{setting}{count} Leading jet: pT = {pt:.1f} GeV, mass = {mass:.1f} GeV, {view.sizes[0]} particles"
    hard = view.lund[:, 2] > _Z_CUT if len(view.lund) else np.zeros(0, dtype=bool)
    return text + (f", {hard.sum()} of {len(hard)} splittings with z > {_Z_CUT}." if len(hard) else ".")


def jet_display(
    events: Any,
    *,
    cluster: Cluster,
    lund: Callable[[Any], Any] | None = None,
    truth: Any = None,
    names: Sequence[str] = (),
    state: JetState | None = None,
) -> Panel:
    """Return the panel over `events` (events * var * {pt, eta, phi}, GeV and rad), with the controls `event`,
    `algorithm`, `radius` and `min_pt`.

    cluster, lund: `simulate.cluster`, `simulate.lund` or your own; truth: events * var * {eta, phi}, drawn as crosses;
    names: one text per event. Raises InputError for no events, or as many names as there are not.
    """
    from hepml_nb.widgets.controls import choice, number
    from hepml_nb.widgets.explorer import explore

    if not len(events) or len(names) not in (0, len(events)):
        raise InputError(f"{len(events)} events with {len(names)} names; expected at least one event, a name for each.")
    state = state or JetState()
    controls = {
        "event": number("event", state.event, 0, max(len(events) - 1, 1), 1),
        "algorithm": choice("algorithm", ALGORITHMS, state.algorithm),
        "radius": number("radius R", state.radius, 0.1, 1.5, 0.05),
        "min_pt": number("minimum jet pT [GeV]", float(state.min_pt), 5.0, 500.0, 5.0),
    }
    columns = [2.0 * _ETA, 2.0 * np.pi]
    return explore(
        state,
        controls,
        lambda now: compute_jets(now, events, cluster, lund, truth, names),
        (draw_event, draw_lund),
        describe_jets,
        size=(10.4, 5.0),
        widths=columns,
    )


def _colour(number: int) -> str:
    """The hardest jets have colours of their own, all others and what is in no jet are grey."""
    return COLOURS[number] if 0 <= number < len(COLOURS) else GREY
