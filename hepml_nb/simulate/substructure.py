"""Observables of a jet's inside: soft drop, N-subjettiness, energy correlations, the Lund plane.

Constituents are massless; positions are relative to the jet axis or absolute, as only differences matter.
"""

from __future__ import annotations

from typing import Any

import awkward as ak
import numpy as np

from hepml_nb.core import InputError

__all__ = [
    "ALGORITHMS",
    "cluster_sequence",
    "correlations",
    "describe",
    "lund",
    "momenta",
    "n_subjettiness",
    "soft_drop",
]

ALGORITHMS = ("antikt", "cambridge", "kt")
_TINY = 1e-12


def momenta(pt: Any, eta: Any, phi: Any) -> Any:
    """Return massless four-momenta {px, py, pz, E} of jets or events * var, as FastJet takes them (GeV, rad)."""
    import vector

    vector.register_awkward()
    counts = ak.num(pt)
    flat = [np.asarray(ak.to_numpy(ak.flatten(column)), dtype=np.float64) for column in (pt, eta, phi)]
    pt, eta, phi = flat
    columns = {"px": pt * np.cos(phi), "py": pt * np.sin(phi), "pz": pt * np.sinh(eta), "E": pt * np.cosh(eta)}
    return ak.unflatten(ak.zip(columns, with_name="Momentum4D"), counts)


def cluster_sequence(particles: Any, algorithm: str = "antikt", radius: float = 0.8) -> Any:
    """Return FastJet's cluster sequence (arXiv:1111.6097) of every event in `particles`: events * var * {px, ...}."""
    import fastjet

    if algorithm not in ALGORITHMS:
        raise InputError(f"algorithm={algorithm!r} is unknown; expected one of {', '.join(ALGORITHMS)}.")
    if not 0 < radius <= 100:
        raise InputError(f"radius={radius} is out of range; expected 0 < radius <= 100.")
    fastjet.ClusterSequenceArea.set_fastjet_banner_stream(None)  # no banner amid a notebook
    definition = fastjet.JetDefinition(getattr(fastjet, f"{algorithm}_algorithm"), float(radius))
    return fastjet.ClusterSequence(particles, definition)


def soft_drop(jets: Any, z: float = 0.1, beta: float = 0.0, radius: float = 0.8, sequence: Any = None) -> Any:
    """Groom jets by soft drop (arXiv:1402.2657) on their Cambridge-Aachen tree.

    `jets` are jets in the schema, or jets * var * {px, py, pz, E} in GeV. Returns one record per jet: `mass`, `pt`
    (GeV), `delta_r` and `z` of the splitting that passed, and `constituents` * {px, py, pz, E}; a jet in which nothing
    passes keeps its last branch and has mass 0. `sequence` saves clustering again. Raises InputError for z outside
    (0, 0.5].
    """
    if not 0 < z <= 0.5:
        raise InputError(f"z={z} is out of range; expected 0 < z <= 0.5.")
    sequence = sequence if sequence is not None else _tree(jets)
    groomed = sequence.exclusive_jets_softdrop_grooming(njets=1, beta=beta, symmetry_cut=z, R0=radius)
    columns = {"mass": "msoftdrop", "pt": "ptsoftdrop", "delta_r": "deltaRsoftdrop", "z": "symmetrysoftdrop"}
    return ak.zip({**{to: groomed[name] for to, name in columns.items()}, "constituents": groomed.constituents},
                  depth_limit=1)  # fmt: skip


def _tree(jets: Any) -> Any:
    """Return the Cambridge-Aachen sequence that clusters every jet whole."""
    if "constituents" in ak.fields(jets):
        inside = jets.constituents
        jets = momenta(inside.pt, inside.deta, inside.dphi)
    return cluster_sequence(jets, "cambridge", 10.0)


def n_subjettiness(particles: Any, radius: float = 0.8, sequence: Any = None) -> np.ndarray:
    """Return tau1 to tau4 (arXiv:1011.2268) with beta = 1 and winner-take-all kT axes: (jets, 4)."""
    sequence = sequence if sequence is not None else _tree(particles)
    taus = sequence.njettiness(axes_definition="WTA_KT_Axes", njets=[1, 2, 3, 4], beta=1.0, R0=radius)
    return np.asarray(ak.to_numpy(taus), dtype=np.float64).reshape(-1, 4)


def lund(jets: Any) -> Any:
    """Return the primary Lund plane (arXiv:1807.04758) of jets in the schema: jets * var * {delta, kt, z}.

    Declusterings come wide to narrow along the harder branch; `kt` in GeV is the softer branch's pt times `delta`, and
    `z` is its share of the pt that is left when the branches before it are taken off. Particles at the very same place
    (positions are stored on a grid) have no angle and so no place in the plane: they are left out.
    """
    inside = jets.constituents
    sequence = _tree(jets)
    plane = sequence.exclusive_jets_lund_declusterings(1)
    plane = plane[:, 0] if plane.ndim > 2 else plane
    plane = plane[plane.Delta > 0]
    soft = plane.kt / plane.Delta
    counts = ak.to_numpy(ak.num(soft))
    flat = ak.to_numpy(ak.flatten(soft))
    total = np.repeat(ak.to_numpy(ak.sum(inside.pt, axis=1)).astype(np.float64), counts)
    running = np.cumsum(flat) - flat
    before = running - np.repeat(running[np.minimum(np.cumsum(counts) - counts, max(len(flat) - 1, 0))], counts)
    z = ak.unflatten(flat / np.maximum(total - before, _TINY), counts)
    return ak.zip({"delta": plane.Delta, "kt": plane.kt, "z": z})


def correlations(sequence: Any, *, angles: int = -1) -> tuple[np.ndarray, np.ndarray]:
    """Return the correlators e2 and e3 with beta = 1 of the jets of a cluster sequence, each (jets,).

    `angles=-1` multiplies all three angles of a triple (arXiv:1305.0007), 2 and 1 only the smallest (arXiv:1609.07483).
    """
    if angles == -1:
        kinds: tuple[tuple[str, int, int], ...] = (("generic", 2, -1), ("generic", 3, -1))
    else:
        kinds = (("generalized", 2, 1), ("generalized", 3, angles))
    two, three = (
        sequence.exclusive_jets_energy_correlator(
            njets=1, beta=1, func=func, npoint=points, angles=number, normalized=True
        )
        for func, points, number in kinds
    )
    return np.asarray(ak.to_numpy(two)), np.asarray(ak.to_numpy(three))


def describe(pt: Any, deta: Any, dphi: Any, radius: float = 0.8) -> dict[str, np.ndarray]:
    """Return the observables of jets * var constituents (pt in GeV), each of shape (jets,).

    `mass`, `msoftdrop` (z = 0.1, beta = 0) in GeV; `tau1` to `tau4` (beta = 1); `c2` and `d2` of the jet
    (arXiv:1305.0007, 1409.6298); `n2` and `m2` (arXiv:1609.07483) of the groomed jet, as CMS takes them. Jets need at
    least one constituent; where a ratio has no denominator it is 0.
    """
    counts = ak.to_numpy(ak.num(pt))
    if len(counts) and counts.min() < 1:
        raise InputError(f"jet {int(np.argmin(counts))} has no constituents; drop empty jets before.")
    for name, column in (("pt", pt), ("deta", deta), ("dphi", dphi)):
        bad = ~np.isfinite(ak.to_numpy(ak.flatten(column)))
        if bad.any():
            jet = int(np.repeat(np.arange(len(counts)), counts)[np.argmax(bad)])
            raise InputError(
                f"{int(bad.sum())} constituents have a {name} that is NaN or infinite, first in jet {jet}."
            )
    names = ("mass", "msoftdrop", "tau1", "tau2", "tau3", "tau4", "c2", "d2", "n2", "m2")
    if not len(counts):
        return {name: np.zeros(0) for name in names}
    particles = momenta(pt, deta, dphi)
    total = [ak.to_numpy(ak.sum(particles[name], axis=1)) for name in ("px", "py", "pz", "E")]
    mass = np.sqrt(np.maximum(total[3] ** 2 - total[0] ** 2 - total[1] ** 2 - total[2] ** 2, 0.0))
    sequence = cluster_sequence(particles, "cambridge", 10.0)
    groomed = soft_drop(particles, radius=radius, sequence=sequence)
    tau = n_subjettiness(particles, radius, sequence)
    e2, e3 = correlations(sequence)
    inside = ak.zip({name: groomed.constituents[name] for name in ("px", "py", "pz", "E")}, with_name="Momentum4D")
    groomed_sequence = cluster_sequence(inside, "cambridge", 10.0)
    g2, g3_two = correlations(groomed_sequence, angles=2)
    g3_one = correlations(groomed_sequence, angles=1)[1]
    msoftdrop = np.maximum(np.nan_to_num(ak.to_numpy(groomed.mass)), 0.0)
    ratios = (_ratio(e3, e2**2), _ratio(e3, e2**3), _ratio(g3_two, g2**2), _ratio(g3_one, g2))
    return dict(zip(names, (mass, msoftdrop, *tau.T, *ratios), strict=True))


def _ratio(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.where(b > _TINY, a / np.maximum(b, _TINY), 0.0)
