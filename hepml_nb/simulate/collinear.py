"""Toy jets of quarks and gluons: collinear branchings ordered in angle, with exactly known probabilities.

The toy of the analytic quark-gluon likelihood (arXiv:2112.09140): leading-order splitting functions with their hard
collinear parts and changes of flavour, the coupling running with kt, momentum shared exactly, angles falling strictly
along every branch. It has no soft large-angle radiation, no hadrons and nothing below the cut on kt.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from hepml_nb.core import InputError, rng

__all__ = ["CA", "CF", "FLAVOURS", "Shower", "collinear_jets", "coupling", "kernel", "no_emission"]

Array = npt.NDArray[np.float64]

CA, CF, TR = 3.0, 4.0 / 3.0, 0.5
FLAVOURS = ("gluon", "quark")
"""Numbered as in the quark-gluon data sets: 0 gluon, 1 quark."""
_PAIRS = ((0, 0, 0), (0, 1, 1), (1, 1, 0), (1, 0, 1))  # parent, harder, softer


@dataclass(frozen=True)
class Shower:
    """pt: of the jet (GeV); radius: the widest angle; kt_cut (GeV): branchings below it are not resolved.

    alpha_mz: coupling at the mass of the Z, run at one loop with `flavours` light quarks (fixed: it does not run).
    """

    pt: float = 525.0
    radius: float = 0.4
    kt_cut: float = 1.0
    alpha_mz: float = 0.118
    flavours: int = 5
    fixed: bool = False

    def __post_init__(self) -> None:
        if not 0.5 <= self.kt_cut < self.pt * self.radius:
            raise InputError(f"kt_cut={self.kt_cut}; expected at least 0.5 GeV, less than pt * radius.")
        if not 0 < self.alpha_mz < 0.5 or not 0 <= self.flavours <= 6:
            raise InputError(f"alpha_mz={self.alpha_mz}, flavours={self.flavours}; expected (0, 0.5) and 0 to 6.")


def coupling(kt: npt.ArrayLike, shower: Shower) -> Array:
    """Return alpha_s at kt (GeV), one loop; it is held constant below kt_cut."""
    k = np.maximum(np.asarray(kt, dtype=np.float64), shower.kt_cut)
    if shower.fixed:
        return np.full_like(k, shower.alpha_mz)
    b0 = (11 * CA - 2 * shower.flavours) / (12 * np.pi)
    return np.asarray(shower.alpha_mz / (1 + 2 * shower.alpha_mz * b0 * np.log(k / 91.1876)))


def kernel(parent: int, harder: int, softer: int, z: npt.ArrayLike, shower: Shower) -> Array:
    """Return the splitting function for z in (0, 1/2], the softer branch's share of the momentum.

    Branches are numbers of FLAVOURS; the probability per d ln(1/angle) dz is alpha_s / pi times this. Zero for a
    branching that does not exist.
    """
    x = np.asarray(z, dtype=np.float64)
    if (parent, harder, softer) == (0, 0, 0):
        return np.asarray(2 * CA * ((1 - x) / x + x / (1 - x) + x * (1 - x)))
    if (parent, harder, softer) == (0, 1, 1):
        return np.asarray(2 * TR * shower.flavours * (x**2 + (1 - x) ** 2))
    if (parent, harder, softer) == (1, 1, 0):
        return np.asarray(CF * (1 + (1 - x) ** 2) / x)
    if (parent, harder, softer) == (1, 0, 1):
        return np.asarray(CF * (1 + x**2) / (1 - x))
    return np.zeros_like(x)


def no_emission(flavour: int, pt: npt.ArrayLike, wide: npt.ArrayLike, narrow: npt.ArrayLike, shower: Shower) -> Array:
    """Return the logarithm of the probability that a parton of `pt` (GeV) has no branching between two angles.

    narrow = 0 goes down to where none is resolved. Branchings count where kt = z * pt * angle exceeds the cut.
    """
    table = _rates(shower)
    scale = np.asarray(pt, dtype=np.float64)
    top, bottom = (
        np.interp(np.log(np.maximum(scale * angle, 1e-9)), table[0], table[1 + flavour])
        for angle in (np.asarray(wide, dtype=np.float64), np.asarray(narrow, dtype=np.float64))
    )
    return np.asarray(bottom - top)


@cache
def _rates(shower: Shower) -> Array:
    """Return rows ln(pt * angle), and the mean number of branchings below it of a gluon and of a quark."""
    log_scale = np.linspace(np.log(2 * shower.kt_cut), np.log(4 * shower.pt), 1500)
    node, weight = np.polynomial.legendre.leggauss(48)
    low = np.log(shower.kt_cut) - log_scale  # z from kt_cut / scale to 1/2, in logarithms
    half = (np.log(0.5) - low) / 2
    z = np.exp(low[:, None] + half[:, None] * (1 + node))
    alpha = coupling(z * np.exp(log_scale)[:, None], shower) / np.pi
    rows = [log_scale]
    for parent in range(2):
        rate = sum(kernel(*pair, z, shower) for pair in _PAIRS if pair[0] == parent)
        per_log = (alpha * rate * z * weight).sum(1) * half
        step = np.diff(log_scale) * (per_log[1:] + per_log[:-1]) / 2
        rows.append(np.concatenate([[0.0], np.cumsum(step)]))
    return np.stack(rows)


def collinear_jets(
    n: int, flavour: int, seed: int = 0, shower: Shower | None = None
) -> dict[str, npt.NDArray[np.generic]]:
    """Return the declusterings of `n` toy jets started by a gluon (flavour 0) or a quark (1).

    Flat arrays, one jet after another and parents before children, as `tagging.lund.LundTrees` names them: lengths
    (n,); parent, soft, delta, z, kt, psi, mass, pt (sum of lengths,). Drawn by the veto algorithm, so probabilities are
    those of `kernel` and `no_emission` exactly. Raises InputError for n < 1 or an unknown flavour.
    """
    if n < 1 or flavour not in (0, 1):
        raise InputError(f"n={n}, flavour={flavour}; expected n of at least 1 and flavour 0 (gluon) or 1 (quark).")
    shower = shower or Shower()
    generator = rng(seed, "collinear jets", flavour)
    done: list[dict[str, npt.NDArray[np.generic]]] = []
    open_ = {
        "jet": np.arange(n), "flavour": np.full(n, flavour), "pt": np.full(n, shower.pt),
        "angle": np.full(n, shower.radius), "node": np.full(n, -1), "soft": np.zeros(n, bool),
    }  # fmt: skip
    count = 0
    while len(open_["jet"]):
        split = _branch(open_, generator, shower)
        made = {name: np.asarray(column)[split["row"]] for name, column in open_.items()}
        number = count + np.arange(len(split["row"]))
        count += len(number)
        done.append({"jet": made["jet"], "node": number, "parent": made["node"], "soft": made["soft"],
                     "delta": split["angle"], "z": split["z"], "pt": made["pt"]})  # fmt: skip
        sides = ((split["harder"], 1 - split["z"], False), (split["softer"], split["z"], True))
        open_ = {
            "jet": np.tile(made["jet"], 2), "flavour": np.concatenate([kind for kind, _, _ in sides]),
            "pt": np.concatenate([made["pt"] * share for _, share, _ in sides]),
            "angle": np.tile(split["angle"], 2), "node": np.tile(number, 2),
            "soft": np.repeat([side[2] for side in sides], len(number)),
        }  # fmt: skip
    return _ordered(done, n, generator)


def _branch(
    partons: dict[str, npt.NDArray[np.generic]], generator: np.random.Generator, shower: Shower
) -> dict[str, npt.NDArray[np.generic]]:
    """Return the next branching of every parton that has one: row, angle, z, harder, softer."""
    pt, flavour = np.asarray(partons["pt"], float), np.asarray(partons["flavour"], int)
    log_angle = np.log(np.asarray(partons["angle"], float))
    most = float(coupling(shower.kt_cut, shower)) / np.pi
    found: list[tuple[npt.NDArray[np.generic], ...]] = []
    row = np.arange(len(pt))
    while len(row):
        # Over-estimate: every kernel lies below ceiling / z, where z is above what the present angle resolves.
        span = np.log(0.5) - (np.log(shower.kt_cut) - np.log(pt[row]) - log_angle[row])
        row, span = row[span > 0], span[span > 0]
        ceiling = np.where(flavour[row] == 0, 2 * CA + TR * shower.flavours, 2 * CF + CF * 5 / 4)
        log_angle[row] -= generator.exponential(size=len(row)) / (most * ceiling * span)
        z = 0.5 * np.exp(-span * generator.random(len(row)))
        kt = z * pt[row] * np.exp(log_angle[row])
        kernels = np.zeros((2, len(row)))  # the two branchings that each parent has
        for parent in range(2):
            mine = flavour[row] == parent
            for slot, pair in enumerate(pair for pair in _PAIRS if pair[0] == parent):
                kernels[slot, mine] = kernel(*pair, z[mine], shower)
        accept = coupling(kt, shower) / np.pi * kernels.sum(0) * z / (most * ceiling)
        good = (kt > shower.kt_cut) & (generator.random(len(row)) < accept)
        second = generator.random(len(row)) * kernels.sum(0) > kernels[0]
        kind = flavour[row]
        harder, softer = np.where(second, 1 - kind, kind), np.where(second, 1, 0)
        found.append((row[good], np.exp(log_angle[row[good]]), z[good], harder[good], softer[good]))
        row = row[~good]
    columns = [np.concatenate([part[k] for part in found]) for k in range(5)]
    return dict(zip(("row", "angle", "z", "harder", "softer"), columns, strict=True))


def _ordered(
    done: list[dict[str, npt.NDArray[np.generic]]], n: int, generator: np.random.Generator
) -> dict[str, npt.NDArray[np.generic]]:
    """Sort by jet and angle, wide first, and number the parents within their jets."""
    flat = {name: np.concatenate([part[name] for part in done]) for name in done[0]}
    order = np.lexsort((-flat["delta"], flat["jet"]))
    place = np.empty(len(order), np.int64)
    place[flat["node"][order]] = np.arange(len(order))
    flat = {name: column[order] for name, column in flat.items()}
    lengths = np.bincount(flat["jet"], minlength=n)
    first = (np.cumsum(lengths) - lengths)[flat["jet"]]
    z, delta, pt = (np.asarray(flat[name], float) for name in ("z", "delta", "pt"))
    return {
        "lengths": lengths,
        "parent": np.where(flat["parent"] < 0, -1, place[flat["parent"]] - first),
        "soft": flat["soft"], "delta": delta, "z": z, "kt": z * pt * delta,
        "psi": generator.uniform(-np.pi, np.pi, len(z)),
        "mass": np.sqrt(z * (1 - z)) * pt * delta, "pt": pt,
    }  # fmt: skip
