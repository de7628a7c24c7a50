"""The recipe "z_pole": event shapes of e+e- -> hadrons at the Z mass over shower and string parameters."""

from __future__ import annotations

from typing import Any

import awkward as ak
import numpy as np

from hepml_nb.core import InputError, derive_seed, rng
from hepml_nb.simulate import eventshapes
from hepml_nb.simulate.jets import round_bits
from hepml_nb.simulate.pythia import Pythia
from hepml_nb.simulate.recipe import Recipe

__all__ = ["ECM", "MONASH", "PARAMETERS", "RECIPE", "XI_EDGES", "particles", "z_pole_sample"]

ECM = 91.19
"""Collision energy in GeV."""

PARAMETERS = {"alpha_s": "TimeShower:alphaSvalue", "a_lund": "StringZ:aLund", "b_lund": "StringZ:bLund"}
"""The parameters and what Pythia calls them: coupling of the shower at the Z mass, a and b (GeV^-2) of the string."""

MONASH = (0.1365, 0.68, 0.98)
"""Their values in the tune of arXiv:1404.5630, Pythia's default."""

XI_EDGES = np.arange(0.0, 6.01, 0.5)
"""Edges of the spectrum in xi = ln(1/x_p), x_p = 2 p / ECM; the last bin takes all that is softer."""

PROCESS = (
    "Beams:idA = 11",
    "Beams:idB = -11",
    "PDF:lepton = off",
    "WeakSingleBoson:ffbar2gmZ = on",
    "23:onMode = off",
    "23:onIfAny = 1 2 3 4 5",
)
_CHARGED = (11, 13, 211, 321, 2212, 3112, 3222, 3312, 3334)
_BATCH = 1000
"""Events per read-out at most; part of what a seed means, so it is fixed."""


def z_pole_sample(
    n: int, seed: int, *, low: tuple[float, ...], high: tuple[float, ...], block: int
) -> tuple[Any, dict[str, float]]:
    """Return `n` events in the schema z_pole and counters.

    The parameters (alpha_s, a_lund, b_lund) are drawn evenly between `low` and `high` for every `block` of events,
    since Pythia takes a new value only when it starts again (0.17 s, as long as 600 events). Events of a block share
    event // 1000. There is no initial-state radiation and no detector. Raises InputError for a range that is empty or
    block outside 1 to 1000.
    """
    if len(low) != 3 or len(high) != 3 or any(a > b for a, b in zip(low, high, strict=True)):
        raise InputError(f"low={low}, high={high}: expected three values each, for {', '.join(PARAMETERS)}.")
    if not 1 <= block <= 1000:
        raise InputError(f"block={block}: expected 1 to 1000 events per parameter point.")
    blocks = -(-n // block)
    draws = rng(seed, "parameters").uniform(low, high, (max(blocks, 1), 3))
    theta = round_bits(draws, 16) if low != high else draws  # what is stored is what was used
    generator = Pythia(PROCESS, seed=seed, ecm=ECM, pthat=None, tune=None, settings=_lines(theta[0]))
    parts: list[dict[str, Any]] = []
    for i in range(blocks):
        if i and low != high:
            generator.restart(derive_seed(seed, "block", i), _lines(theta[i]))
        parts.append(_block(generator, min(block, n - i * block), theta[i], i))
    if not parts:
        return _table(_block(generator, 1, theta[0], 0))[:0], {"events": 0, "points": 0}
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return _table(columns), {"events": n, "points": blocks if low != high else 1}


def _lines(theta: Any) -> tuple[str, ...]:
    return tuple(f"{name} = {float(value):.9g}" for name, value in zip(PARAMETERS.values(), theta, strict=True))


def _block(generator: Pythia, n: int, theta: Any, number: int) -> dict[str, Any]:
    parts: list[dict[str, Any]] = []
    made = 0
    while made < n:
        records = generator.events(min(n - made, _BATCH))
        found = particles(records)
        shapes = eventshapes.describe(found, len(records))
        parts.append({**shapes, **_charged(found, len(records))})
        made += len(records)
    columns = {name: np.concatenate([part[name] for part in parts])[:n] for name in parts[0]}
    columns["event"] = number * 1000 + np.arange(n)
    return {**columns, **{name: np.full(n, value) for name, value in zip(PARAMETERS, theta, strict=True)}}


def particles(records: Any) -> dict[str, np.ndarray]:
    """Return all final particles, neutrinos too, as flat columns: `event`, `id`, and `px, py, pz, e` in GeV.

    Pythia lets everything decay that lives less than c tau = 1 m, K0S and Lambda among it, as LEP counted.
    """
    flat = ak.flatten(records.prt)
    keep = ak.to_numpy(flat.status) > 0
    event = np.repeat(np.arange(len(records)), ak.to_numpy(ak.num(records.prt)))
    columns = {name: ak.to_numpy(flat.p[name])[keep] for name in ("px", "py", "pz", "e")}
    return {"event": event[keep], "id": ak.to_numpy(flat.id)[keep], **columns}


def _charged(found: dict[str, np.ndarray], n: int) -> dict[str, np.ndarray]:
    """Return the number of charged particles and their spectrum in xi: (n,) and (n, bins)."""
    charged = np.isin(np.abs(found["id"]), _CHARGED)
    event = found["event"][charged]
    p = np.sqrt(sum(found[name][charged] ** 2 for name in ("px", "py", "pz")))
    xi = np.log(ECM / (2 * np.maximum(p, 1e-9)))
    bins = len(XI_EDGES) - 1
    place = np.clip(np.digitize(xi, XI_EDGES) - 1, 0, bins - 1)
    spectrum = np.bincount(event * bins + place, minlength=n * bins).reshape(n, bins)
    return {"n_charged": spectrum.sum(axis=1), "xi": spectrum}


def _table(columns: dict[str, Any]) -> Any:
    kinds = {"event": np.int64, "n_charged": np.int16, "xi": np.uint8}
    table = {name: np.asarray(values).astype(kinds[name]) for name, values in columns.items() if name in kinds}
    table |= {name: round_bits(columns[name], 16) for name in PARAMETERS}
    table |= {name: round_bits(columns[name], 12) for name in eventshapes.SHAPES}
    return ak.zip({name: ak.Array(values) for name, values in table.items()}, depth_limit=1)


RECIPE = Recipe(
    "z_pole",
    1,
    z_pole_sample,
    {"low": MONASH, "high": MONASH, "block": 50},
    libraries=("pythia8mc", "fastjet"),
    detected=False,
)
