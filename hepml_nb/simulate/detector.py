"""A parametrised detector of the CMS kind: what tracker and calorimeters would make of the final particles.

Each particle is tracked or deposits its energy in a cell; cells are smeared as a whole. The forms and most numbers are
those of public fast-simulation cards (Delphes 3, arXiv:1307.6346), rounded; `Detector` says which.
It is idealised particle flow: no magnetic bending, no confusion between tracks and deposits, no pile-up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

__all__ = ["VERSION", "Calorimeter", "Detector"]

VERSION = 1
"""Goes up with every change that alters the candidates; it is part of the identity of made data."""

_STABLE_CHARGED_HADRONS = (211, 321, 2212, 3112, 3222, 3312, 3334)


@dataclass(frozen=True)
class Calorimeter:
    """Square cells in eta and phi, `cells` of them around phi, with sigma(E)/E = stochastic / sqrt(E) (+) constant.

    Cells below `threshold` (GeV, transverse energy) are dropped and `response` brings that energy back on average.
    With `centroid` a candidate sits at the energy-weighted mean of its cell (crystals share a shower), else at a
    random place inside it, as Delphes does, so that no lattice shows. `pdg` is the class of its candidates.
    """

    cells: int
    stochastic: float
    constant: float
    threshold: float
    pdg: int
    centroid: bool
    response: float = 1.0


@dataclass(frozen=True)
class Detector:
    """The response; energies in GeV, angles in rad.

    Attributes:
        eta_track, eta_calo: acceptance of the tracker and of the calorimeters.
        pt_track: softer charged particles curl up in the field and are lost.
        efficiency: tracking efficiency of hadrons at |eta| < 1.5 and beyond, for pt above 1 GeV (Delphes CMS card).
        efficiency_soft: the same below 1 GeV.
        lepton_efficiency: the same of electrons and muons.
        track_constant, track_slope: sigma(pt)/pt = constant (+) slope * pt for |eta| < 0.5; the two factors
            `track_forward` multiply it for 0.5-1.5 and beyond (Delphes CMS card: 1 %, 1.5 %, 2.5 %).
        ecal, hcal: the calorimeters; cells as in CMS (0.0175 and 0.087), resolutions rounded from its test beams.
    """

    eta_track: float = 2.5
    eta_calo: float = 3.0
    pt_track: float = 0.5
    efficiency: tuple[float, float] = (0.95, 0.85)
    efficiency_soft: tuple[float, float] = (0.70, 0.60)
    lepton_efficiency: float = 0.97
    track_constant: float = 0.01
    track_slope: float = 1e-4
    track_forward: tuple[float, float] = (1.5, 2.5)
    ecal: Calorimeter = Calorimeter(360, 0.05, 0.005, 0.3, pdg=22, centroid=True)
    hcal: Calorimeter = Calorimeter(72, 1.0, 0.05, 0.7, pdg=130, centroid=False)

    def candidates(
        self, particles: Mapping[str, np.ndarray], rng: np.random.Generator, *, sources: bool = False
    ) -> dict[str, np.ndarray]:
        """Return massless candidates, flat and sorted by event: `event`, `pt` (GeV), `eta`, `phi` (rad), `pdg`.

        `particles` are flat columns `event`, `id`, `px`, `py`, `pz`, `e` (GeV), as `pythia.visible` gives them. The
        class `pdg` is +-211 (charged hadron), 22 (photon), 130 (neutral hadron), +-11 or +-13. With `sources`, `source`
        is the row of the particle that left a track, and -1 for a cell.
        """
        px, py = particles["px"], particles["py"]
        pt = np.hypot(px, py)
        eta = np.arcsinh(particles["pz"] / np.maximum(pt, 1e-12))
        seen = np.abs(eta) < self.eta_calo
        event, pdg, pt, eta = particles["event"][seen], particles["id"][seen], pt[seen], eta[seen]
        phi, energy = np.arctan2(py[seen], px[seen]), particles["e"][seen]
        kind = np.abs(pdg)
        charged = np.isin(kind, _STABLE_CHARGED_HADRONS)
        track = (charged | (kind == 11) | (kind == 13)) & (np.abs(eta) < self.eta_track) & (pt > self.pt_track)
        found = track & (rng.random(len(pt)) < self._efficiency(pt, eta, charged))
        curled = charged & ~found & (pt < self.pt_track)
        electromagnetic = ((kind == 22) | (kind == 11)) & ~found
        hadronic = ~electromagnetic & (kind != 13) & ~found & ~curled
        sign = np.sign(pdg)
        tracks = (
            event[found],
            pt[found] * self._smear(self._track_resolution(pt, eta)[found], rng),
            eta[found],
            phi[found],
            np.where(charged, 211 * sign, pdg)[found],
        )
        photons = self._cells(event, energy, eta, phi, electromagnetic, self.ecal, rng)
        neutrals = self._cells(event, energy, eta, phi, hadronic, self.hcal, rng)
        parts = [np.concatenate(columns) for columns in zip(tracks, photons, neutrals, strict=True)]
        order = np.argsort(parts[0], kind="stable")
        columns = dict(zip(("event", "pt", "eta", "phi", "pdg"), (part[order] for part in parts), strict=True))
        if sources:
            rows = np.full(len(order), -1)
            rows[: found.sum()] = np.flatnonzero(seen)[found]
            columns["source"] = rows[order]
        return columns

    def _efficiency(self, pt: np.ndarray, eta: np.ndarray, hadron: np.ndarray) -> np.ndarray:
        forward = np.abs(eta) > 1.5
        hard = np.where(forward, self.efficiency[1], self.efficiency[0])
        soft = np.where(forward, self.efficiency_soft[1], self.efficiency_soft[0])
        return np.where(hadron, np.where(pt > 1.0, hard, soft), self.lepton_efficiency)

    def _track_resolution(self, pt: np.ndarray, eta: np.ndarray) -> np.ndarray:
        forward = np.select([np.abs(eta) < 0.5, np.abs(eta) < 1.5], [1.0, self.track_forward[0]], self.track_forward[1])
        return np.asarray(forward * np.hypot(self.track_constant, self.track_slope * pt))

    @staticmethod
    def _smear(relative: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw positive factors of mean one and the given relative width (log-normal, as Delphes does)."""
        width = np.sqrt(np.log1p(relative**2))
        return np.asarray(np.exp(width * rng.standard_normal(len(relative)) - width**2 / 2))

    def _cells(
        self,
        event: np.ndarray,
        energy: np.ndarray,
        eta: np.ndarray,
        phi: np.ndarray,
        chosen: np.ndarray,
        calorimeter: Calorimeter,
        rng: np.random.Generator,
    ) -> tuple[np.ndarray, ...]:
        """Merge the chosen particles cell by cell, smear each cell's energy, drop what stays below threshold."""
        event, energy, eta, phi = event[chosen], energy[chosen], eta[chosen], phi[chosen]
        size = 2 * np.pi / calorimeter.cells
        column = np.floor((eta + self.eta_calo) / size).astype(np.int64)
        row = np.floor((phi + np.pi) / size).astype(np.int64) % calorimeter.cells
        key = (event.astype(np.int64) * 10_000 + column) * calorimeter.cells + row
        unique, first, inverse = np.unique(key, return_index=True, return_inverse=True)
        total = np.bincount(inverse, energy, minlength=len(unique))
        resolution = np.hypot(calorimeter.stochastic / np.sqrt(np.maximum(total, 0.1)), calorimeter.constant)
        measured = total * self._smear(resolution, rng) * calorimeter.response
        if calorimeter.centroid:
            eta_cell = np.bincount(inverse, energy * eta, minlength=len(unique)) / total
            phi_cell = np.bincount(inverse, energy * phi, minlength=len(unique)) / total
        else:
            eta_cell = (column[first] + rng.random(len(unique))) * size - self.eta_calo
            phi_cell = (row[first] + rng.random(len(unique))) * size - np.pi
        pt = measured / np.cosh(eta_cell)
        keep = pt > calorimeter.threshold
        return event[first][keep], pt[keep], eta_cell[keep], phi_cell[keep], np.full(keep.sum(), calorimeter.pdg)
