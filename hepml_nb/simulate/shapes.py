"""The shape of a jet in the observables that unfolding measures: mass, multiplicity, angularities and soft drop."""

from __future__ import annotations

from typing import Any

import awkward as ak
import numpy as np

from hepml_nb.simulate.substructure import cluster_sequence, soft_drop

__all__ = ["LN_RHO_MIN", "SHAPES", "ratios", "shapes"]

SHAPES = ("mass", "mult", "lha", "width", "ang2", "tau2", "sdm", "zg")
LN_RHO_MIN = -14.0
"""What stands for ln rho of a jet that soft drop leaves massless; the observable is shown above it."""


def shapes(jets: Any, radius: float = 0.4) -> dict[str, np.ndarray]:
    """Return the observables SHAPES of jets * var * {px, py, pz, E} in GeV, each of shape (jets,).

    `mass` in GeV; `mult`, the number of constituents; the angularities sum z (dR / R)^beta with beta = 1/2 (`lha`,
    arXiv:1408.3122), 1 (`width`) and 2 (`ang2`), where z is the share of the scalar sum of pt and dR the distance from
    the winner-take-all kT axis, so that `width` is tau1; `tau2` (beta = 1, arXiv:1011.2268); `sdm` in GeV and `zg`
    after soft drop with z = 0.1 and beta = 0 (arXiv:1402.2657), both 0 where no splitting passes. arXiv:1911.09107
    unfolds six of these and of `ratios`. Jets need at least one constituent.
    """
    if not len(jets):
        return {name: np.zeros(0) for name in SHAPES}
    total = [ak.to_numpy(ak.sum(jets[name], axis=1)) for name in ("px", "py", "pz", "E")]
    sequence = cluster_sequence(jets, "cambridge", 10.0)
    groomed = soft_drop(jets, radius=radius, sequence=sequence)
    tau = {
        (power, axes): np.asarray(
            ak.to_numpy(sequence.njettiness(axes_definition="WTA_KT_Axes", njets=[axes], beta=power, R0=radius))
        ).ravel()
        for power, axes in ((0.5, 1), (1.0, 1), (2.0, 1), (1.0, 2))
    }
    return {
        "mass": np.sqrt(np.maximum(total[3] ** 2 - total[0] ** 2 - total[1] ** 2 - total[2] ** 2, 0.0)),
        "mult": ak.to_numpy(ak.num(jets.px)),
        "lha": tau[0.5, 1],
        "width": tau[1.0, 1],
        "ang2": tau[2.0, 1],
        "tau2": tau[1.0, 2],
        "sdm": np.maximum(np.nan_to_num(ak.to_numpy(groomed.mass)), 0.0),
        "zg": np.clip(np.nan_to_num(ak.to_numpy(groomed.z)), 0.0, 0.5),
    }


def ratios(pt: Any, width: Any, tau2: Any, sdm: Any) -> dict[str, np.ndarray]:
    """Return `tau21` = tau2 / width (0 where the width is 0) and `ln_rho` = ln(sdm^2 / pt^2), at least LN_RHO_MIN."""
    pt, width, tau2, sdm = (np.asarray(column, dtype=np.float64) for column in (pt, width, tau2, sdm))
    rho = np.square(sdm / np.maximum(pt, 1e-12))
    return {
        "tau21": np.where(width > 0, tau2 / np.maximum(width, 1e-12), 0.0),
        "ln_rho": np.log(np.maximum(rho, np.exp(LN_RHO_MIN))),
    }
