"""What every unfolding starts from: simulated events before and after the detector, and the measured ones."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from hepml_nb.core import InputError, suggest
from hepml_nb.unfolding.sets import check_sets

__all__ = ["Floats", "Measured", "Simulation", "place"]

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Simulation:
    """Simulated events, one per row, as they were before the detector (gen) and as they are after it (sim).

    gen: (n, k) or (n,); sim: (n, l) or (n,), with names of their columns. weights: (n,), of the generator, finite,
    zero or negative where the generator says so, in events of the measured luminosity. pass_gen, pass_sim: (n,) bool,
    whether the event is selected on that side: not pass_sim is an inefficiency, not pass_gen a fake. Values on a side
    where an event does not pass become NaN, so that no method can look at them.
    gen_sets, sim_sets: particles of the same events, `sets.Sets`, for methods that look at them.
    Raises InputError for unequal lengths, NaN where an event passes, NaN or infinite weights, no event on both sides.
    """

    gen: Any
    sim: Any
    weights: Any = None
    pass_gen: Any = None
    pass_sim: Any = None
    names: tuple[str, ...] = ()
    sim_names: tuple[str, ...] = field(default=())
    gen_sets: Any = None
    sim_sets: Any = None

    def __post_init__(self) -> None:
        gen, sim = _table(self.gen, "gen"), _table(self.sim, "sim")
        n = _equal_lengths({"gen": gen, "sim": sim, "weights": self.weights, "pass_gen": self.pass_gen,
                            "pass_sim": self.pass_sim})  # fmt: skip
        passes = {side: _mask(getattr(self, side), n, side) for side in ("pass_gen", "pass_sim")}
        values = {"gen": _hidden(gen, passes["pass_gen"], "gen"), "sim": _hidden(sim, passes["pass_sim"], "sim")}
        weights = _weights(self.weights, n, "weights")
        if not (passes["pass_gen"] & passes["pass_sim"]).any():
            raise InputError(
                f"none of the {n} simulated events passes both before and after the detector: the efficiency is 0 "
                "everywhere, and nothing can be unfolded. Look at pass_gen and pass_sim."
            )
        names = _names(self.names, gen.shape[1], "names")
        sim_names = _names(self.sim_names or (names if gen.shape[1] == sim.shape[1] else ()), sim.shape[1], "sim_names")
        for name in ("gen_sets", "sim_sets"):
            object.__setattr__(self, name, check_sets(getattr(self, name), n, name))
        for name, value in (values | passes | {"weights": weights, "names": names, "sim_names": sim_names}).items():
            object.__setattr__(self, name, value)

    def __len__(self) -> int:
        return len(self.gen)

    def column(self, observable: str | int, side: str = "gen") -> Floats:
        """Return one observable (n,) of a side, "gen" or "sim", NaN where the event does not pass there."""
        values: Floats = getattr(self, side)
        return values[:, place(observable, self.names if side == "gen" else self.sim_names)]


@dataclass(frozen=True, eq=False)
class Measured:
    """Measured events, one per row: sim (m, l) or (m,) in the columns of `Simulation.sim`, with weights (m,).

    background: (b, l), simulated events of other processes that the selection lets through, with background_weights
    (b,) in events of the measured luminosity; methods subtract them. sets, background_sets: particles of the same
    events, as in `Simulation`. Raises InputError as `Simulation` does.
    """

    sim: Any
    weights: Any = None
    background: Any = None
    background_weights: Any = None
    sets: Any = None
    background_sets: Any = None

    def __post_init__(self) -> None:
        sim = _table(self.sim, "sim")
        background = np.zeros((0, sim.shape[1])) if self.background is None else _table(self.background, "background")
        if background.shape[1] != sim.shape[1]:
            raise InputError(f"background has {background.shape[1]} columns, the measured events have {sim.shape[1]}.")
        _equal_lengths({"sim": sim, "weights": self.weights})
        _equal_lengths({"background": background, "background_weights": self.background_weights})
        for name, value in (("sim", sim), ("background", background)):
            object.__setattr__(self, name, _hidden(value, np.ones(len(value), bool), name))
        for name, n in (("sets", len(sim)), ("background_sets", len(background))):
            object.__setattr__(self, name, check_sets(getattr(self, name), n, name))
        for name, n in (("weights", len(sim)), ("background_weights", len(background))):
            object.__setattr__(self, name, _weights(getattr(self, name), n, name))

    def __len__(self) -> int:
        return len(self.sim)


def _table(values: Any, name: str) -> Floats:
    array = np.asarray(values, dtype=np.float64)
    array = array[:, None] if array.ndim == 1 else array
    if array.ndim != 2 or array.shape[1] < 1 or (len(array) < 1 and name != "background"):
        raise InputError(f"{name} has shape {array.shape}; expected one row per event, (n, observables) or (n,).")
    return array


def _equal_lengths(columns: dict[str, Any]) -> int:
    lengths = {name: len(value) for name, value in columns.items() if value is not None}
    if len(set(lengths.values())) > 1:
        said = ", ".join(f"{name} {n}" for name, n in lengths.items())
        raise InputError(f"the columns have unequal lengths ({said}); row i of each must be the same event.")
    return next(iter(lengths.values()))


def _mask(given: Any, n: int, name: str) -> Bools:
    if given is None:
        return np.ones(n, bool)
    mask = np.asarray(given)
    if mask.dtype != bool:
        raise InputError(f"{name} has dtype {mask.dtype}; expected bool, True where the event is selected.")
    return mask


def _hidden(values: Floats, passes: Bools, name: str) -> Floats:
    bad = passes & ~np.isfinite(values).all(axis=1)
    if bad.any():
        raise InputError(
            f"{name} is NaN or infinite in {int(bad.sum())} of {int(passes.sum())} selected events (first in row "
            f"{int(np.argmax(bad))}); mark events that are not selected with pass_gen and pass_sim."
        )
    return np.where(passes[:, None], values, np.nan)


def _weights(given: Any, n: int, name: str) -> Floats:
    if given is None:
        return np.ones(n)
    weights = np.asarray(given, dtype=np.float64)
    if weights.shape != (n,):
        raise InputError(f"{name} has shape {weights.shape}; expected one number per event, ({n},).")
    if not np.isfinite(weights).all():
        bad = ~np.isfinite(weights)
        raise InputError(f"{name} is NaN or infinite in {int(bad.sum())} of {n} events (first {int(np.argmax(bad))}).")
    if n and weights.sum() <= 0:
        raise InputError(f"{name} sum to {weights.sum():g}; negative weights are fine, a sample of no events is not.")
    return weights


def _names(given: tuple[str, ...], n: int, name: str) -> tuple[str, ...]:
    names = tuple(given) or tuple(f"x{i}" for i in range(n))
    if len(names) != n or len(set(names)) != n:
        raise InputError(f"{name}={names!r} must be {n} different names, one per column.")
    return names


def place(observable: str | int, names: tuple[str, ...]) -> int:
    """Return the column of an observable, by its name or number; raise InputError with the nearest name."""
    if isinstance(observable, str):
        if observable not in names:
            raise InputError(f"there is no observable {observable!r}{suggest(observable, names)}")
        return names.index(observable)
    if not 0 <= observable < len(names):
        raise InputError(f"observable={observable!r}; expected a name, or a column from 0 to {len(names) - 1}.")
    return observable
