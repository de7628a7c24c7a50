"""The one list of jet observables that cut, Fisher, trees and the dense network share."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt

from hepml_nb.core import NotFound, suggest
from hepml_nb.tagging.checks import check_jets

__all__ = ["OBSERVABLES", "Observable", "columns_of", "compute", "observables"]

Array = npt.NDArray[np.float32]

_R = 0.8  # the jet radius that angularities are measured in


@dataclass(frozen=True)
class Observable:
    """One number per jet: its LaTeX label with unit, what it is, the columns it needs and how it is computed."""

    name: str
    label: str
    meaning: str
    needs: tuple[str, ...]
    compute: Callable[[Any], npt.NDArray[Any]]


def _column(name: str) -> Callable[[Any], npt.NDArray[Any]]:
    return lambda jets: np.asarray(ak.to_numpy(jets[name]))


def _ratio(top: str, bottom: str) -> Callable[[Any], npt.NDArray[Any]]:
    """A ratio of columns; 0 where the denominator is (a jet with too few constituents has no substructure)."""

    def compute(jets: Any) -> npt.NDArray[Any]:
        upper, lower = _column(top)(jets), _column(bottom)(jets)
        return np.asarray(np.divide(upper, lower, out=np.zeros_like(upper), where=lower > 0))

    return compute


def _angularity(kappa: float, beta: float) -> Callable[[Any], npt.NDArray[Any]]:
    """Sum over constituents of z^kappa (dR / R)^beta with z the share of the scalar pt sum (arXiv:1408.3122)."""

    def compute(jets: Any) -> npt.NDArray[Any]:
        parts = jets.constituents
        counts = ak.to_numpy(ak.num(parts))
        starts = np.cumsum(counts) - counts
        pt = ak.to_numpy(ak.flatten(parts.pt)).astype(np.float64)
        z = pt / np.repeat(np.add.reduceat(pt, starts), counts)
        term = z**kappa
        if beta:
            term *= (np.hypot(*(ak.to_numpy(ak.flatten(parts[c])) for c in ("deta", "dphi"))) / _R) ** beta
        total: npt.NDArray[Any] = np.add.reduceat(term, starts)
        return total

    return compute


def _ptd(jets: Any) -> npt.NDArray[Any]:
    return np.asarray(np.sqrt(_angularity(2, 0)(jets)))


def _multiplicity(jets: Any) -> npt.NDArray[Any]:
    return np.asarray(ak.to_numpy(ak.num(jets.constituents)))


_PARTS = ("constituents",)
_ALL = (
    Observable("mass", r"$m$ [GeV]", "jet mass", ("mass",), _column("mass")),
    Observable("msoftdrop", r"$m_\mathrm{SD}$ [GeV]", "soft drop mass, z = 0.1, beta = 0 (arXiv:1402.2657)",
               ("msoftdrop",), _column("msoftdrop")),
    Observable("tau21", r"$\tau_{21}$", "two prongs or one (arXiv:1011.2268)",
               ("tau1", "tau2"), _ratio("tau2", "tau1")),
    Observable("tau32", r"$\tau_{32}$", "three prongs or two (arXiv:1011.2268)",
               ("tau2", "tau3"), _ratio("tau3", "tau2")),
    Observable("tau43", r"$\tau_{43}$", "four prongs or three", ("tau3", "tau4"), _ratio("tau4", "tau3")),
    Observable("c2", r"$C_2$", "energy correlations, two prongs (arXiv:1305.0007)", ("c2",), _column("c2")),
    Observable("d2", r"$D_2$", "energy correlations, two prongs (arXiv:1409.6298)", ("d2",), _column("d2")),
    Observable("n2", r"$N_2$", "generalised correlations, two prongs (arXiv:1609.07483)", ("n2",), _column("n2")),
    Observable("width", r"$\lambda^1_1$", "mean distance to the axis over R", _PARTS, _angularity(1, 1)),
    Observable("lha", r"$\lambda^1_{0.5}$", "Les Houches angularity", _PARTS, _angularity(1, 0.5)),
    Observable("ptd", r"$p_T^D$", "how unevenly pt is shared (CMS PAS JME-13-002)", _PARTS, _ptd),
    Observable("multiplicity", r"$n$", "number of constituents", _PARTS, _multiplicity),
)  # fmt: skip

OBSERVABLES: dict[str, Observable] = {o.name: o for o in _ALL}


def columns_of(names: Iterable[str] | None = None) -> tuple[str, ...]:
    """Return the columns that the named observables need (None: all), each once, in the order of first use."""
    chosen = [_observable(name) for name in (OBSERVABLES if names is None else names)]
    return tuple(dict.fromkeys(column for o in chosen for column in o.needs))


def observables(jets: Any, names: Iterable[str] | None = None) -> Array:
    """Return the named observables (None: all of OBSERVABLES) of every jet, shape (n, k), float32.

    Masses in GeV, the others dimensionless. Raises InputError for missing columns, NaN or empty jets, NotFound for
    an unknown name.
    """
    chosen = [_observable(name) for name in (OBSERVABLES if names is None else names)]
    check_jets(jets, columns_of(o.name for o in chosen), method=", ".join(o.name for o in chosen))
    return compute(jets, [o.name for o in chosen])


def compute(jets: Any, names: Iterable[str] | None = None) -> Array:
    """Return what `observables` returns, of jets that were checked already."""
    chosen = [_observable(name) for name in (OBSERVABLES if names is None else names)]
    return np.stack([o.compute(jets) for o in chosen], axis=1).astype(np.float32)


def _observable(name: str) -> Observable:
    if name not in OBSERVABLES:
        raise NotFound(f"there is no observable {name!r}{suggest(name, OBSERVABLES)}")
    return OBSERVABLES[name]
