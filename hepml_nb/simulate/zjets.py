"""A Z and the hardest jet beside it, before and after the detector: one event record out of the particles of both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import awkward as ak
import numpy as np

from hepml_nb.simulate.jets import cluster, delta_phi, round_bits
from hepml_nb.simulate.shapes import SHAPES, ratios, shapes

__all__ = ["Flat", "Side", "massless", "of_events", "of_z", "part", "records", "total"]

_CONE, _RADIUS = 0.1, 0.4
_MUON_PT, _MUON_ETA, _JET_PT, _JET_Y = 25.0, 2.4, 100.0, 2.1
"""What passes where losses are on (GeV): both muons and the jet well inside the detector."""

Flat = dict[str, np.ndarray]
"""Particles of all events, sorted by event: {event, id, px, py, pz, e} in GeV."""


@dataclass(frozen=True)
class Side:
    """The particles of events before or after the detector: what the Z left, and all others."""

    z: Flat
    others: Flat


def records(
    gen: Side | None, sim: Side, event: np.ndarray, *, low: float, losses: bool, particles: bool = False,
    found: np.ndarray | None = None,
) -> tuple[Any, dict[str, np.ndarray]]:  # fmt: skip
    """Return records in the zjets schema (but for the label) of the events that are kept, and masks of all events.

    `event` are the events' numbers, (events,). Kept are events with a jet on both sides and, with `losses`, those that
    pass on one of them: the Z above `low` (GeV), both muons (25 GeV, |eta| < 2.4) and the jet (100 GeV, |y| < 2.1)
    inside the detector, and after it also the mask `found`. The masks are `jet` (on both sides), `pass_gen`, `pass_sim`
    and `kept`. `particles` adds the constituents of the jets. Where there is no side before the detector (collisions:
    `gen` is None), its columns are NaN, its multiplicity 0 and its `pass_gen` False. Clustered is what is in `others`.
    """
    count = len(event)
    sides = {"gen": gen, "sim": sim}
    jets = {name: hardest_jet(side.others, count) for name, side in sides.items() if side is not None}
    masks = {"jet": np.all([~np.asarray(ak.is_none(jet)) for jet in jets.values()], axis=0)}
    columns: dict[str, Any] = {}
    for name, side in sides.items():
        columns |= _z(name, np.zeros((4, count)) if side is None else total(side.z, count))
    for name, side in sides.items():
        passed = np.full(count, side is not None)
        if losses and side is not None:
            passed = _inside(side.z, count, columns[f"{name}_z_pt"], jets[name], low)
        columns[f"pass_{name}"] = passed if found is None or name == "gen" else passed & found
    masks |= {name: columns[name] for name in ("pass_gen", "pass_sim")}
    masks["kept"] = good = masks["jet"] & (masks["pass_gen"] | masks["pass_sim"])
    columns["event"] = event
    columns = {name: column[good] for name, column in columns.items()}
    for name, side in sides.items():
        if side is None:
            columns |= _blank(name, int(good.sum()), particles)
        else:
            columns |= _side(name, side.others, ak.drop_none(jets[name][good]), count, particles)
    return ak.zip(columns, depth_limit=1), masks


def of_events(flat: Flat, keep: np.ndarray) -> Flat:
    """Return the particles of the events of a mask (events,), which are numbered anew."""
    here = keep[flat["event"]]
    return {**part(flat, here), "event": (np.cumsum(keep) - 1)[flat["event"][here]]}


def part(flat: Flat, mask: np.ndarray) -> Flat:
    """Return the particles of a mask."""
    return {name: column[mask] for name, column in flat.items()}


def massless(candidates: Mapping[str, np.ndarray]) -> Flat:
    """Return massless candidates {event, pt, eta, phi, pdg} as flat particles {event, id, px, py, pz, e}."""
    pt, eta, phi = (candidates[name] for name in ("pt", "eta", "phi"))
    columns = {"px": pt * np.cos(phi), "py": pt * np.sin(phi), "pz": pt * np.sinh(eta), "e": pt * np.cosh(eta)}
    return {"event": candidates["event"], "id": candidates["pdg"], **columns}


def total(flat: Flat, count: int) -> np.ndarray:
    """Return the summed (px, py, pz, e) of every event: (4, count)."""
    return np.stack([np.bincount(flat["event"], flat[name], minlength=count) for name in ("px", "py", "pz", "e")])


def of_z(flat: Flat, count: int) -> np.ndarray:
    """Return a mask of what the Z of each of `count` events left: the hardest muon of each sign and photons at them.

    These are the photons within 0.1 of one of the two ("dressed" muons). Events without both muons have no Z.
    """
    pt = np.hypot(flat["px"], flat["py"])
    eta, phi = np.arcsinh(flat["pz"] / np.maximum(pt, 1e-12)), np.arctan2(flat["py"], flat["px"])
    pair = np.full((count, 2), -1)
    for column, pdg in enumerate((13, -13)):
        places = np.flatnonzero(flat["id"] == pdg)
        places = places[np.argsort(pt[places], kind="stable")]
        pair[flat["event"][places], column] = places  # the last one written, the hardest, stays
    pair[(pair < 0).any(axis=1)] = -1
    out = np.zeros(len(pt), dtype=bool)
    photon = np.flatnonzero(flat["id"] == 22)
    for column in range(2):
        mine = pair[flat["event"][photon], column]
        away = np.hypot(eta[photon] - eta[mine], delta_phi(phi[photon], phi[mine]))
        out[photon[(away < _CONE) & (mine >= 0)]] = True
    out[pair[pair >= 0]] = True
    return out


def _z(side: str, momentum: np.ndarray) -> dict[str, np.ndarray]:
    """Return the columns of the Z of summed momenta (4, count), NaN where there is none."""
    px, py, pz, energy = np.where(momentum[3] > 0, momentum, np.nan)
    pt = np.hypot(px, py)
    mass = np.sqrt(np.maximum(energy**2 - pt**2 - pz**2, 0.0))
    rapidity = np.arcsinh(pz / np.hypot(pt, mass))
    return {
        f"{side}_z_pt": round_bits(pt, 10),
        f"{side}_z_y": _grid(rapidity, 7),
        f"{side}_z_phi": _grid(np.arctan2(py, px), 7),
        f"{side}_z_mass": round_bits(mass, 11),
    }


def _blank(side: str, count: int, particles: bool) -> dict[str, Any]:
    """Return the columns of jets of a side that is unknown."""
    names = ("pt", "y", "phi", *SHAPES, "tau21", "ln_rho")
    columns: dict[str, Any] = {f"{side}_{name}": np.full(count, np.nan, np.float32) for name in names}
    columns[f"{side}_mult"] = np.zeros(count, np.int16)
    if particles:
        kinds = {"pt": np.float32, "dy": np.float32, "dphi": np.float32, "pdg": np.int16}
        none = ak.zip({name: np.zeros(0, kind) for name, kind in kinds.items()})
        columns[f"{side}_particles"] = ak.unflatten(none, np.zeros(count, np.int64))
    return columns


def _grid(values: Any, bits: int) -> np.ndarray:
    """Round to multiples of 2^-bits, so that columns compress."""
    return np.asarray(np.ldexp(np.rint(np.ldexp(np.asarray(values, dtype=np.float64), bits)), -bits), dtype=np.float32)


def hardest_jet(flat: Flat, count: int) -> Any:
    """Return each event's hardest jet above 10 GeV with |y| < 2.5, None where there is none: count * ?{pt, ..., index}.

    `index` lists its particles by their place in the event.
    """
    jets = cluster(_events(flat, count), "antikt", _RADIUS, min_pt=10.0)
    jets["y"] = np.arcsinh(jets.pt * np.sinh(jets.eta) / np.hypot(jets.pt, jets.mass))
    jets["event"] = ak.broadcast_arrays(np.arange(count), jets.pt)[0]
    return ak.firsts(jets[abs(jets.y) < 2.5])


def _events(flat: Flat, count: int) -> Any:
    names = {"px": "px", "py": "py", "pz": "pz", "E": "e"}
    momenta = ak.zip({to: flat[name] for to, name in names.items()}, with_name="Momentum4D")
    return ak.unflatten(momenta, np.bincount(flat["event"], minlength=count))


def _inside(muons: Flat, count: int, z_pt: np.ndarray, jets: Any, low: float) -> np.ndarray:
    """Say which events have Z, both muons and the jet where the detector measures well."""
    pt = np.hypot(muons["px"], muons["py"])
    good = (np.abs(muons["id"]) == 13) & (pt > _MUON_PT) & (np.abs(muons["pz"]) < np.sinh(_MUON_ETA) * pt)
    jet = ak.to_numpy(ak.fill_none((jets.pt > _JET_PT) & (abs(jets.y) < _JET_Y), False))
    return np.asarray((np.bincount(muons["event"], good, minlength=count) == 2) & jet & (z_pt > low))


def _side(side: str, flat: Flat, jets: Any, count: int, particles: bool) -> dict[str, Any]:
    """Return the columns of the jets of one side; `jets` has `event` and `index` of particles in `flat`."""
    counts = np.bincount(flat["event"], minlength=count)
    sizes = ak.to_numpy(ak.num(jets.index))
    places = ak.to_numpy(ak.flatten(jets.index)) + np.repeat(
        (np.cumsum(counts) - counts)[ak.to_numpy(jets.event)], sizes
    )
    pt = np.hypot(flat["px"][places], flat["py"][places])
    order = np.lexsort((-pt, np.repeat(np.arange(len(sizes)), sizes)))
    inside = part(flat, places[order])
    momenta = ak.unflatten(ak.zip({"px": inside["px"], "py": inside["py"], "pz": inside["pz"], "E": inside["e"]},
                                  with_name="Momentum4D"), sizes)  # fmt: skip
    found = shapes(momenta, _RADIUS)
    columns: dict[str, Any] = {"pt": round_bits(jets.pt, 9), "y": _grid(jets.y, 7), "phi": _grid(jets.phi, 7)}
    columns |= {name: round_bits(found[name], 8) for name in SHAPES}
    columns["mult"] = found["mult"].astype(np.int16)
    derived = ratios(columns["pt"], columns["width"], columns["tau2"], columns["sdm"])
    columns |= {"tau21": round_bits(derived["tau21"], 8), "ln_rho": _grid(derived["ln_rho"], 5)}
    columns = {f"{side}_{name}": column for name, column in columns.items()}
    if particles:
        pt = pt[order]
        rapidity = np.arctanh(np.clip(inside["pz"] / inside["e"], -1 + 1e-12, 1 - 1e-12))
        axis = {name: np.repeat(ak.to_numpy(jets[name]), sizes) for name in ("y", "phi")}
        things = {
            "pt": round_bits(pt, 8),
            "dy": _grid(rapidity - axis["y"], 10),
            "dphi": _grid(delta_phi(np.arctan2(inside["py"], inside["px"]), axis["phi"]), 10),
            "pdg": inside["id"].astype(np.int16),
        }
        columns[f"{side}_particles"] = ak.unflatten(ak.zip(things), sizes)
    return columns
