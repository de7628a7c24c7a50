"""The recipe "atlas_top": large-radius jets of tops and dijets over a wide range of pt, with training weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import awkward as ak
import numpy as np

from hepml_nb.core import NotFound, rng, suggest
from hepml_nb.simulate import detector, jets
from hepml_nb.simulate.pythia import Preselection, Pythia, decay_quarks, visible
from hepml_nb.simulate.recipe import Recipe

__all__ = ["RECIPE", "VARIATIONS", "atlas_top_sample"]

_BATCH, _FEW = 250, 50
"""Events per read-out, also of small samples; part of what a seed means, so they are fixed."""

VARIATIONS = ("nominal", "esup", "esdown", "cer", "cpos")
"""The detector as it is; cluster energies 2 % up and down; their energy smeared by 5 %, their place by 5 mrad."""

_SCALE = {"esup": 1.02, "esdown": 0.98}
_RATIO = (-0.032, 1.445, -2.196, 0.928)
"""Logarithm of the ratio of spectra, tops to QCD, in powers of ln(pt / 500 GeV): fitted to 1850 jets of each class."""
_FITTED = (350.0, 1850.0)  # GeV


def atlas_top_sample(
    n: int, seed: int, *, process: str, label: int, pt: tuple[float, float], variation: str, mpi: bool
) -> tuple[Any, dict[str, float]]:
    """Return `n` jets of "top" or "qcd" at 13 TeV in the jets schema with `weight`, and counters.

    Anti-kT R = 1.0 jets among the two hardest of their event with `pt` in the window (GeV), |eta| < 2 and a mass above
    40 GeV; those of tops have the top and all its quarks within 0.75 (arXiv:2407.20127). Scatterings are drawn with a
    bias of pTHat^4, so that the spectra fall gently. `variation` is one of VARIATIONS. Raises NotFound for an unknown
    process or variation.
    """
    for word, known in ((process, ("qcd", "top")), (variation, VARIATIONS)):
        if word not in known:
            raise NotFound(f"there is no {word!r} here{suggest(word, known)}")
    bias = ("PhaseSpace:bias2Selection = on", "PhaseSpace:bias2SelectionPow = 4", "PhaseSpace:bias2SelectionRef = 500")
    early = Preselection((0.95 * pt[0], 1e5), 1.0, holds=6 if process == "top" else 0)
    generator = Pythia(process, seed=seed, pthat=(0.55 * pt[0], 6500.0), ecm=13000.0, mpi=mpi, settings=bias,
                       preselect=early)  # fmt: skip
    response, noise, varied = detector.Detector(), rng(seed, "detector"), rng(seed, "variation")
    kept: list[Any] = []
    counters: dict[str, float] = {"events": 0, "jets_in_window": 0, "kept": 0}
    while counters["kept"] < n or not kept:
        records = generator.events(_BATCH if n >= _BATCH else _FEW)
        candidates = _varied(response.candidates(visible(records), noise), variation, varied)
        found = jets.find(candidates, len(records), pt, radius=1.0, eta_max=2.0)
        found["event"] = ak.values_astype(found.row, np.int64) + int(counters["events"])
        counters["events"] += len(records)
        counters["jets_in_window"] += len(found)
        inside = np.ones(len(found), dtype=bool)
        if process == "top":
            inside = jets.match(found, decay_quarks(records, process), radius=0.75)[1]
        found = found[inside]
        if len(found):
            found = _table(found, process, label)
            kept.append(found[found.mass > 40.0])
            counters["kept"] += len(kept[-1])
    counters["tried"] = generator.tried
    return ak.concatenate(kept)[:n], counters


def _varied(candidates: Mapping[str, np.ndarray], variation: str, noise: np.random.Generator) -> dict[str, np.ndarray]:
    """Return candidates with those of the calorimeters moved; the nominal ones draw no random number."""
    moved = dict(candidates)
    cells = np.isin(candidates["pdg"], (22, 130))
    if variation in _SCALE:
        moved["pt"] = np.where(cells, _SCALE[variation], 1.0) * candidates["pt"]
    elif variation == "cer":
        moved["pt"] = np.where(cells, np.exp(0.05 * noise.standard_normal(len(cells))), 1.0) * candidates["pt"]
    elif variation == "cpos":
        for name in ("eta", "phi"):
            moved[name] = candidates[name] + np.where(cells, 0.005 * noise.standard_normal(len(cells)), 0.0)
        moved["phi"] = jets.delta_phi(moved["phi"], 0.0)
    return moved


def _table(found: Any, process: str, label: int) -> Any:
    weight = np.ones(len(found))
    if process == "qcd":  # so that QCD has the spectrum of tops
        away = np.log(np.clip(ak.to_numpy(found.pt), *_FITTED) / 500.0)
        weight = jets.round_bits(np.exp(np.polynomial.polynomial.polyval(away, _RATIO)), 8)
    return jets.from_constituents(
        found.pt, found.eta, found.phi, found.constituents, radius=1.0, label=np.full(len(found), label),
        matched=np.ones(len(found)), rank=found["rank"], event=found.event, extra={"weight": weight.astype(np.float32)},
    )  # fmt: skip


RECIPE = Recipe(
    "atlas_top",
    1,
    atlas_top_sample,
    {"process": "qcd", "label": 0, "pt": (350.0, 3150.0), "variation": "nominal", "mpi": True},
    ("pythia8mc", "fastjet"),
)
