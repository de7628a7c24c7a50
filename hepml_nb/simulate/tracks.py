"""Impact parameters of tracks: where a particle was made, on its helix, and how well a tracker of the CMS kind sees it.

Lengths in mm, momenta in GeV. The beam spot is the origin and has no width; neither have the events pile-up.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

__all__ = ["FIELD", "impact", "measured", "resolution"]

FIELD = 3.8
"""Magnetic field along z, in tesla: that of CMS."""

_BEND = 1e3 / 0.299792458
"""Radius of curvature is this times pt / (charge * field): mm, GeV, tesla."""

_PT = (0.2, 0.45, 0.67, 1.0, 1.5, 2.2, 3.3, 5.0, 10.0, 20.0, 50.0, 100.0)
_SIGMA: Mapping[str, tuple[tuple[float, ...], ...]] = {
    "d0": (
        (0.354, 0.174, 0.106, 0.075, 0.058, 0.045, 0.035, 0.0283, 0.0211, 0.0143, 0.0116, 0.0104),
        (0.456, 0.203, 0.138, 0.093, 0.066, 0.049, 0.040, 0.0313, 0.0221, 0.0141, 0.0108, 0.0102),
        (0.697, 0.340, 0.239, 0.156, 0.101, 0.077, 0.054, 0.0425, 0.0278, 0.0196, 0.0150, 0.0130),
    ),
    "dz": (
        (0.369, 0.222, 0.169, 0.111, 0.088, 0.068, 0.055, 0.0484, 0.0416, 0.0316, 0.0316, 0.0300),
        (0.706, 0.388, 0.265, 0.198, 0.140, 0.103, 0.081, 0.0707, 0.0541, 0.0408, 0.0377, 0.0343),
        (2.172, 1.439, 0.980, 0.670, 0.437, 0.332, 0.244, 0.1816, 0.1317, 0.0983, 0.0784, 0.0820),
    ),
}
"""Resolution (mm) at these pt, for |eta| up to 0.9, up to 1.4 and beyond: CMS, arXiv:1405.6569, figure 15, in the
binned values that the CMS card of Delphes 3 (arXiv:1307.6346) has of it; a line in log pt joins them."""


def impact(
    momentum: np.ndarray, vertex: np.ndarray, charge: np.ndarray, field: float = FIELD
) -> tuple[np.ndarray, np.ndarray]:
    """Return the true `d0` and `dz` (mm) of particles: transverse and longitudinal distance from the beam spot.

    `momentum` is (n, 3) in GeV at the `vertex` (n, 3) in mm where the particle was made; `charge` is +-1. The particle
    is followed along its helix to its closest approach to the z axis. There `dz` is its z, and `d0` is signed as
    (x py - y px) / pt, the convention of Delphes.
    """
    px, py, pz = momentum.T
    x, y, z = vertex.T
    pt = np.maximum(np.hypot(px, py), 1e-9)
    radius = _BEND * pt / (charge * field)  # signed: positive particles turn clockwise
    centre_x, centre_y = x + radius * py / pt, y - radius * px / pt
    away = np.hypot(centre_x, centre_y)
    d0 = np.sign(radius) * (away - np.abs(radius))
    # Direction at the closest approach: it is at right angles to the line from the axis to the centre.
    phi = np.arctan2(centre_x * np.sign(radius), -centre_y * np.sign(radius))
    turned = (phi - np.arctan2(py, px) + np.pi) % (2 * np.pi) - np.pi
    return d0, z - radius * turned * pz / pt


def resolution(name: str, pt: np.ndarray, eta: np.ndarray) -> np.ndarray:
    """Return the standard deviation (mm) of "d0" or "dz" for tracks of this pt (GeV) and eta."""
    region = np.digitize(np.abs(eta), (0.9, 1.4))
    rows = [np.interp(np.log(np.maximum(pt, 1e-9)), np.log(_PT), row) for row in _SIGMA[name]]
    return np.asarray(np.choose(region, rows))


def measured(
    candidates: Mapping[str, np.ndarray], particles: Mapping[str, np.ndarray], rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Return `d0val`, `d0err`, `dzval`, `dzerr` (mm) and `charge` of every candidate, all 0 where there is no track.

    `candidates` are those of `Detector.candidates(..., sources=True)`, `particles` as it took them with `x, y, z` (mm).
    """
    source = candidates["source"]
    track = source >= 0
    mine = source[track]
    momentum, vertex = (np.stack([particles[name][mine] for name in names], axis=1)
                        for names in (("px", "py", "pz"), ("x", "y", "z")))  # fmt: skip
    pdg = candidates["pdg"][track]
    charge = np.where(np.isin(np.abs(pdg), (11, 13)), -np.sign(pdg), np.sign(pdg))
    columns = {name: np.zeros(len(source)) for name in ("d0val", "d0err", "dzval", "dzerr", "charge")}
    columns["charge"][track] = charge
    for name, true in zip(("d0", "dz"), impact(momentum, vertex, charge), strict=True):
        error = resolution(name, candidates["pt"][track], candidates["eta"][track])
        columns[f"{name}val"][track] = true + error * rng.standard_normal(len(error))
        columns[f"{name}err"][track] = error
    return columns
