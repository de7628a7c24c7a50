"""Are NPLM's p-values uniform when there is no signal, whatever the nuisance parameters are, and does it see one?"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from hepml_nb.anomaly.nplm import CONFIGS, NPLM
from hepml_nb.anomaly.nuisances import Nuisances, learn_shape
from hepml_nb.anomaly.pseudo import Null, pseudo_tests, uniform
from hepml_nb.core import InputError, derive_seed
from hepml_nb.simulate.exponential import ExponentialToy

__all__ = ["calibrated", "exponential_test", "joined"]


def exponential_test(toy: ExponentialToy, point: Mapping[str, Any], seed: int = 0) -> NPLM:
    """Return NPLM for the exponential toy.

    point: "config" ("small"; a name of `nplm.CONFIGS`), "settings" (changes to it), "reference" (20000 events),
    "treatment" ("profiled": scale and yield are nuisance parameters, the scale's learnt from "simulated" (100000)
    events at each of -2, -1, 1 and 2 standard deviations; "ignored": the reference is taken as exact).
    Raises InputError for another treatment.
    """
    treatment = str(point.get("treatment", "profiled"))
    if treatment not in ("profiled", "ignored"):
        raise InputError(f"treatment={treatment!r}; expected 'profiled' or 'ignored'.")
    config = replace(CONFIGS[str(point.get("config", "small"))], **point.get("settings", {}))
    reference = toy.background(int(point.get("reference", 20_000)), derive_seed(seed, "reference"))
    nuisances = None
    if treatment == "profiled":
        n = int(point.get("simulated", 100_000))
        shifted = {nu: toy.background(n, derive_seed(seed, "shifted", nu), scale=nu) for nu in (-2.0, -1.0, 1.0, 2.0)}
        central = toy.background(n, derive_seed(seed, "central"))
        nuisances = Nuisances({"scale": learn_shape(central, shifted, seed=seed)}, {"yield": toy.yield_error})
    return NPLM(reference, toy.expected, config, nuisances=nuisances, seed=seed)


def calibrated(point: Mapping[str, Any]) -> dict[str, Any]:
    """Calibrate NPLM with toys without shift and signal, then test experiments that have them.

    point: that of `exponential_test` and "shift" (0; true value of the scale in standard deviations), "signal" (0;
    expected events of the bump), "toys" (300), "experiments" (100), "seed" (0). Auxiliary measurements fluctuate around
    the truth in toys and experiments.
    The row: t of toys and experiments, p-values from the toys, how uniform they are (Kolmogorov-Smirnov p-value), the
    fitted degrees of freedom, the agreement with that chi2, the number of parameters, and the seconds.
    """
    seed, start = int(point.get("seed", 0)), time.perf_counter()
    toy = ExponentialToy()
    made = exponential_test(toy, point, derive_seed(seed, "calibrated"))

    def tested(shift: float, signal: float) -> Any:
        def one(generator: np.random.Generator) -> float:
            auxiliary = generator.normal([shift, 0.0])
            events = toy.data(generator, scale=shift, signal=signal)
            return made.test(events, auxiliary if made.nuisances else None).t

        return one

    shift, signal = float(point.get("shift", 0)), float(point.get("signal", 0))
    null = pseudo_tests(tested(0.0, 0.0), int(point.get("toys", 300)), derive_seed(seed, "null"))
    found = pseudo_tests(tested(shift, signal), int(point.get("experiments", 100)), derive_seed(seed, "experiments"))
    p = [null.p_value(t).value for t in found.values]
    return {
        "null": null.values.round(4).tolist(),
        "t": found.values.round(4).tolist(),
        "p": np.round(p, 6).tolist(),
        "uniform": uniform(p),
        "dof": null.dof(),
        "chi2_agreement": null.agreement(),
        "parameters": made.family.size,
        "seconds": round(time.perf_counter() - start, 2),
    }


def joined(rows: Iterable[Mapping[str, Any]]) -> tuple[Null, np.ndarray[Any, np.dtype[np.float64]]]:
    """Return the toys of all rows together, and the p-values of all their experiments, each from its own row's toys.

    Raises InputError for no rows.
    """
    found = list(rows)
    if not found:
        raise InputError("there are no rows to join; run the sweep, or use fewer conditions.")
    return Null(np.concatenate([row["null"] for row in found])), np.concatenate([row["p"] for row in found])
