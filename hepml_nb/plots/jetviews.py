"""Jets to look at: the particles of one, the average of many, the Lund plane, an event in eta and phi."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.patches import Circle
from matplotlib.ticker import MultipleLocator

from hepml_nb.core import InputError

from .figures import axes_or_new, describe, figure_of
from .looks import COLOURS, GREY, INK, style

__all__ = ["constituents", "event_display", "jet_image", "lund_plane"]

Floats = npt.NDArray[np.float64]

_KINDS = {211: "charged hadrons", 22: "photons", 130: "neutral hadrons", 11: "electrons", 13: "muons", 0: "particles"}


def constituents(jet: Any, *, radius: float = 0.8, title: str = "", ax: Axes | None = None) -> Axes:
    """Draw the particles of one jet around its axis: circles with area as pt, coloured by kind, and the jet's radius.

    jet: a record with `constituents` of pt (GeV), deta, dphi (rad) and, if known, pdg (particle-flow class).
    Returns the axes. Raises InputError for a jet without particles.
    """
    pt, x, y = (_column(jet.constituents, name) for name in ("pt", "deta", "dphi"))
    if not len(pt):
        raise InputError("the jet has no constituents; nothing to draw.")
    pdg = np.abs(_column(jet.constituents, "pdg")) if "pdg" in jet.constituents.fields else np.zeros(len(pt))
    with style():
        ax = axes_or_new(ax, (5.2, 4.8))
        for number, (code, name) in enumerate(_KINDS.items()):
            chosen = pdg == code
            if chosen.any():
                area = _areas(pt[chosen], pt.sum())
                ax.scatter(
                    x[chosen], y[chosen], area, color=COLOURS[number], alpha=0.65, ec="white", lw=0.5, label=name
                )
        ax.add_patch(Circle((0, 0), radius, fill=False, ec=INK, ls="--", lw=1))
        reach = max(1.12 * radius, 1.05 * float(np.abs(np.append(x, y)).max()))
        ax.set(xlim=(-reach, reach), ylim=(-reach, reach), xlabel=r"$\Delta\eta$", ylabel=r"$\Delta\phi$ [rad]")
        ax.set_aspect("equal")
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_locator(MultipleLocator(0.4 if reach < 1.3 else 0.5))
        ax.text(0.03, 0.97, title, transform=ax.transAxes, va="top")
        _even_legend(ax)
    share = np.sort(pt)[::-1][:10].sum() / pt.sum()
    describe(ax, f"{len(pt)} particles of a jet around its axis, the ten hardest with {share:.0%} of the momentum.")
    return ax


def jet_image(
    jets: Any,
    *,
    radius: float = 0.8,
    bins: int = 40,
    title: str = "",
    vmax: float | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the mean jet: share of a jet's pt in each cell around its axis (log colour), averaged over all jets.

    jets: an array with `constituents` of pt (GeV), deta, dphi (rad); vmax: end of the colour scale, for images
    beside each other. Returns the axes. Raises InputError for no jets.
    """
    import awkward as ak

    parts = jets.constituents
    if not len(jets) or not len(ak.flatten(parts.pt)):
        raise InputError(f"{len(jets)} jets without any constituents; nothing to draw.")
    share = _column(ak.flatten(parts.pt / ak.sum(parts.pt, axis=1)))
    x, y = _column(ak.flatten(parts.deta)), _column(ak.flatten(parts.dphi))
    edges = np.linspace(-1.1 * radius, 1.1 * radius, bins + 1)
    contents = np.histogram2d(x, y, [edges, edges], weights=share)[0] / len(jets)
    with style():
        ax = axes_or_new(ax, (5.6, 4.6))
        _plane(ax, contents, edges, edges, "mean share of the jet's $p_T$", log=True, vmax=vmax)
        ax.add_patch(Circle((0, 0), radius, fill=False, ec=COLOURS[1], ls="--", lw=1.2))
        ax.set(xlabel=r"$\Delta\eta$", ylabel=r"$\Delta\phi$ [rad]")
        ax.set_aspect("equal")
        ax.set_title(title)
    core = contents[np.hypot(*np.meshgrid(*2 * [0.5 * (edges[1:] + edges[:-1])])) < 0.25 * radius].sum()
    describe(ax, f"Mean image of {len(jets)} jets; {core:.0%} of the momentum lies within a quarter of the radius.")
    return ax


def lund_plane(
    declusterings: Any,
    *,
    bins: int = 30,
    title: str = "",
    vmax: float | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the primary Lund plane: emissions per jet against ln(1/Δ) and ln(kt / GeV), arXiv:1807.04758.

    declusterings: jets * var * {delta (rad), kt (GeV)}, as `simulate.lund` gives them; vmax: end of the colour scale,
    for planes beside each other. Returns the axes. Raises InputError for none.
    """
    import awkward as ak

    delta, kt = _column(ak.flatten(declusterings.delta)), _column(ak.flatten(declusterings.kt))
    good = (delta > 0) & (kt > 0)
    if not good.any():
        raise InputError(f"{len(declusterings)} jets without any declustering; nothing to draw.")
    x_edges, y_edges = np.linspace(-0.2, 6.0, bins + 1), np.linspace(-4.0, 6.0, bins + 1)
    contents = np.histogram2d(-np.log(delta[good]), np.log(kt[good]), [x_edges, y_edges])[0]
    cell = (x_edges[1] - x_edges[0]) * (y_edges[1] - y_edges[0])
    contents = contents / len(declusterings) / cell
    with style():
        ax = axes_or_new(ax, (5.8, 4.4))
        _plane(ax, contents, x_edges, y_edges, "emissions per jet and unit area", log=False, vmax=vmax)
        ax.set(xlabel=r"$\ln(1/\Delta)$", ylabel=r"$\ln(k_t / \mathrm{GeV})$")
        ax.set_title(title)
    mean = good.sum() / len(declusterings)
    describe(ax, f"Primary Lund plane of {len(declusterings)} jets, {mean:.1f} emissions per jet.")
    return ax


def event_display(
    particles: Any,
    *,
    owner: npt.ArrayLike | None = None,
    jets: Any = None,
    radius: float = 0.8,
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw one event unrolled in eta and phi: circles with area as pt, coloured by the jet that owns the particle.

    particles: record of arrays pt (GeV), eta, phi (rad); owner: (n,) number of the jet, -1 for none; jets: record of
    arrays pt, eta, phi, drawn as circles of `radius` with their pt. Returns the axes.
    Raises InputError for no particles.
    """
    pt, eta, phi = (_column(particles, name) for name in ("pt", "eta", "phi"))
    owned = np.full(len(pt), -1) if owner is None else np.asarray(owner)
    if not len(pt) or owned.shape != pt.shape:
        raise InputError(f"{len(pt)} particles and owner of shape {owned.shape}; expected at least one, and one each.")
    with style():
        ax = axes_or_new(ax, (5.6, 5.6))
        colours = [GREY if number < 0 else COLOURS[number % len(COLOURS)] for number in owned]
        ax.scatter(eta, phi, _areas(pt, max(pt.sum(), 1e-9)), color=colours, alpha=0.65, ec="white", lw=0.4)
        found = () if jets is None else zip(*(_column(jets, name) for name in ("pt", "eta", "phi")), strict=True)
        for number, (jet_pt, jet_eta, jet_phi) in enumerate(found):
            for turn in (-2 * np.pi, 0, 2 * np.pi):  # phi is an angle: a circle cut at the top goes on at the bottom
                edge = COLOURS[number % len(COLOURS)]
                ax.add_patch(Circle((jet_eta, jet_phi + turn), radius, fill=False, ec=edge, ls="--", lw=1.2))
            up = jet_phi + radius + 0.35 < np.pi
            at = jet_phi + (radius + 0.06 if up else -radius - 0.06)
            ax.text(jet_eta, at, f"{jet_pt:.0f} GeV", ha="center", va="bottom" if up else "top", fontsize=9, color=INK)
        reach = max(3.0, 1.05 * float(np.abs(eta).max()))
        ax.set(xlim=(-reach, reach), ylim=(-np.pi, np.pi), xlabel=r"$\eta$", ylabel=r"$\phi$ [rad]")
        ax.set_yticks(np.pi * np.arange(-2, 3) / 2, ["−π", "−π/2", "0", "π/2", "π"], minor=False)
        ax.yaxis.minorticks_off()
        ax.set_aspect("equal")
        ax.set_title(title)
    count = 0 if jets is None else len(_column(jets, "pt"))
    describe(ax, f"{len(pt)} particles of an event in eta and phi, {count} jets marked.")
    return ax


def _column(array: Any, name: str | None = None) -> Floats:
    import awkward as ak

    return np.asarray(ak.to_numpy(array[name] if name else array), dtype=np.float64)


def _areas(pt: Floats, total: float) -> Floats:
    return np.asarray(np.clip(2600 * pt / total, 3, 1200))


def _even_legend(ax: Axes) -> None:
    """Circles in the legend have one size, whatever the momenta."""
    above: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (0, 1.0), "borderaxespad": 0.2}
    legend = ax.legend(ncols=3, fontsize=8.5, handletextpad=0.1, columnspacing=1, **above)
    for handle in legend.legend_handles:
        if handle is not None:
            getattr(handle, "set_sizes", lambda _: None)([40])


def _plane(
    ax: Axes, contents: Floats, x: Floats, y: Floats, text: str, *, log: bool, vmax: float | None = None
) -> None:
    shown = np.ma.masked_less_equal(contents.T, 0)
    top = float(contents.max()) if vmax is None else vmax
    scale: dict[str, Any] = {"norm": LogNorm(top * 1e-4, top)} if log else {"vmin": 0, "vmax": top}
    mesh = ax.pcolormesh(x, y, shown, cmap="viridis", rasterized=True, **scale)
    ax.set_facecolor("white")
    figure_of(ax).colorbar(mesh, ax=ax, label=text, pad=0.02, extend="max" if contents.max() > top else "neither")
