"""The look of the explorers: colours that colour-blind readers tell apart, and settings applied while painting."""

from __future__ import annotations

from typing import Any

__all__ = ["COLOURS", "GREY", "INK", "LOOK"]

COLOURS = ("#3f90da", "#bd1f01", "#ffa90e", "#832db6", "#1a7a3a", "#e76300", "#b9ac70", "#717581", "#92dadd", "#a96b59")
"""The ten-colour cycle of arXiv:2107.02270, one of its greys a green; the same as in `hepml_nb.plots`."""

GREY, INK = "#9a9ea4", "#22262b"

LOOK: Any = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 10.0,
    "axes.titlesize": 10.5,
    "axes.titlelocation": "left",
    "axes.titley": 1.0,  # fixed: finding room above hidden artists would send the title off the page
    "axes.linewidth": 0.9,
    "xtick.direction": "in",
    "ytick.direction": "in",
    "xtick.top": True,
    "ytick.right": True,
    "legend.fontsize": 9.0,
    "legend.framealpha": 0.9,
    "legend.edgecolor": "0.85",
    "savefig.facecolor": "white",
}
"""matplotlib settings of the explorers, whatever the notebook's own are."""
