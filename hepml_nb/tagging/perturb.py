"""Jets as another detector or another frame would show them: pure functions jets -> jets, observables made anew."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import awkward as ak
import numpy as np
import numpy.typing as npt

from hepml_nb.core import InputError, rng
from hepml_nb.simulate import from_constituents
from hepml_nb.tagging.checks import check_jets

__all__ = ["boost", "drop_soft", "lose", "smear"]

Array = npt.NDArray[Any]
_KEPT = ("label", "matched", "rank", "event", "gen_pt", "gen_mass", "gen_msoftdrop")


def smear(jets: Any, pt: float = 0.1, angle: float = 0.0, seed: int = 0, *, radius: float = 0.8) -> Any:
    """Return jets whose particles have pt multiplied by exp(pt x normal) and eta, phi moved by angle (rad) x normal.

    pt: relative resolution that is added. All functions here sort the particles anew, move axis and pt of the jet as
    the particles' sum moves, compute mass and substructure (radius R) from what is left, and drop columns that are not
    in the jets schema, as those belong to the jet before. Nothing done gives the same jets back. Raise InputError for
    jets without constituents, NaN or a strength out of range.
    """
    _in_range("pt", pt, 0, math.inf)
    _in_range("angle", angle, 0, math.inf)
    generator = rng(seed, "smear", len(jets))

    def change(flat: dict[str, Array], _: Array) -> dict[str, Array]:
        draws = generator.normal(size=(3, len(flat["pt"])))
        moved = {"pt": flat["pt"] * np.exp(pt * draws[0])}
        return moved | {name: flat[name] + angle * draw for name, draw in zip(("eta", "phi"), draws[1:], strict=True)}

    return _changed(jets, change, None, radius)


def drop_soft(jets: Any, below: float = 1.0, *, radius: float = 0.8) -> Any:
    """Return jets without the particles whose pt is below `below` (GeV); the hardest always stays."""
    _in_range("below", below, 0, math.inf)
    return _changed(jets, None, lambda flat: flat["pt"] >= below, radius)


def lose(jets: Any, fraction: float = 0.1, seed: int = 0, *, radius: float = 0.8) -> Any:
    """Return jets that lost each particle with probability `fraction`; the hardest always stays."""
    _in_range("fraction", fraction, 0, 1)
    generator = rng(seed, "lose", len(jets))
    return _changed(jets, None, lambda flat: generator.random(len(flat["pt"])) >= fraction, radius)


def boost(jets: Any, rapidity: float, along: Literal["beam", "jet"] = "jet", *, radius: float = 0.8) -> Any:
    """Return jets seen from a frame that moves with -`rapidity` along the beam, or along each jet's own axis.

    Along the beam every particle's eta grows by the rapidity, and a jet's as its mass allows. Along the jet its
    momentum grows and it gets narrower while masses stay; a negative rapidity widens it (it is not clustered again).
    """
    if not math.isfinite(rapidity) or along not in ("beam", "jet"):
        raise InputError(f"rapidity={rapidity!r}, along={along!r}; expected a number, and 'beam' or 'jet'.")

    def change(flat: dict[str, Array], axis: Array) -> dict[str, Array]:
        if along == "beam":
            return {**flat, "eta": flat["eta"] + rapidity}
        energy, momentum = _momenta(flat)
        parallel = (axis * momentum).sum(0)
        grown = math.cosh(rapidity) * parallel + math.sinh(rapidity) * energy
        px, py, pz = momentum + (grown - parallel) * axis
        pt = np.hypot(px, py)
        return {"pt": pt, "eta": np.arcsinh(pz / pt), "phi": np.arctan2(py, px)}

    return _changed(jets, change, None, radius)


def _changed(
    jets: Any,
    change: Callable[[dict[str, Array], Array], dict[str, Array]] | None,
    keep: Callable[[dict[str, Array]], Array] | None,
    radius: float,
) -> Any:
    """Return jets after `change` of flat pt, eta, phi (given directions of the jets, (3, particles)) or `keep`."""
    check_jets(jets, ("constituents", "pt", "eta", "phi"), method="a perturbation")
    parts = jets.constituents
    lengths = ak.to_numpy(ak.num(parts))
    axis = {name: ak.to_numpy(jets[name]).astype(np.float64) for name in ("eta", "phi")}
    flat = {name: ak.to_numpy(ak.flatten(parts[name])).astype(np.float64) for name in ("pt", "deta", "dphi")}
    before = {"pt": flat["pt"], **{to: flat[of] + np.repeat(axis[to], lengths) for to, of in _AXES.items()}}
    owner, chosen = np.repeat(np.arange(len(jets)), lengths), np.ones(len(flat["pt"]), bool)
    after = before
    if change is not None:
        _, eta, phi = _axis(before, owner, len(jets))
        unit = np.stack([np.cos(phi), np.sin(phi), np.sinh(eta)]) / np.cosh(eta)
        after = change(before, np.repeat(unit, lengths, axis=1))
    if keep is not None:
        hardest = np.lexsort((-before["pt"], owner))[np.cumsum(lengths) - lengths]
        chosen = keep(before)
        chosen[hardest] = True
    after = {name: column[chosen] for name, column in after.items()}
    return _rebuilt(jets, parts, (before, after), (owner, owner[chosen]), chosen, radius)


def _rebuilt(jets: Any, parts: Any, flats: Any, owners: tuple[Array, Array], chosen: Array, radius: float) -> Any:
    """Return jets of the particles as they are now; axis and pt of a jet move by as much as those of the sum."""
    after = flats[1]
    old, new = (_axis(flat, owner, len(jets)) for flat, owner in zip(flats, owners, strict=True))
    pt = ak.to_numpy(jets.pt) * new[0] / old[0]
    eta, phi = ak.to_numpy(jets.eta) + new[1] - old[1], _wrapped(ak.to_numpy(jets.phi) + new[2] - old[2])
    order = np.lexsort((-after["pt"], owners[1]))
    owner, lengths = owners[1][order], np.bincount(owners[1], minlength=len(jets))
    inside = {name: ak.to_numpy(ak.flatten(parts[name]))[chosen][order] for name in parts.fields}
    shifts = {"deta": after["eta"][order] - eta[owner], "dphi": _wrapped(after["phi"][order] - phi[owner])}
    inside |= {name: column.astype(np.float32) for name, column in shifts.items()} | {
        "pt": after["pt"][order].astype(np.float32)
    }
    columns = {name: jets[name] for name in _KEPT if name in jets.fields}
    made = from_constituents(pt, eta, phi, ak.unflatten(ak.zip(inside), lengths), radius=radius, **columns)
    return made[[name for name in made.fields if name in jets.fields or name not in _KEPT]]


_AXES = {"eta": "deta", "phi": "dphi"}


def _momenta(flat: dict[str, Array]) -> tuple[Array, Array]:
    """Return energy (particles,) and momentum (3, particles) of massless particles."""
    pt, eta, phi = flat["pt"], flat["eta"], flat["phi"]
    return pt * np.cosh(eta), np.stack([pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)])


def _axis(flat: dict[str, Array], owner: Array, n: int) -> tuple[Array, Array, Array]:
    """Return pt, eta, phi of the sum of each jet's particles, each (jets,)."""
    px, py, pz = (np.bincount(owner, weights=p, minlength=n) for p in _momenta(flat)[1])
    pt = np.hypot(px, py)
    return pt, np.arcsinh(pz / pt), np.arctan2(py, px)


def _wrapped(angle: Array) -> Array:
    return (angle + np.pi) % (2 * np.pi) - np.pi


def _in_range(name: str, value: float, low: float, high: float) -> None:
    if not low <= value < high:
        raise InputError(f"{name}={value!r} is out of range; expected {low} <= {name} < {high}.")
