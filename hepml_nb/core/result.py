"""A result is a number that a referee would accept: value, error, sample size, floor, baseline and definition."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from hepml_nb.core.errors import InputError

__all__ = ["Better", "Claim", "Outcome", "Result"]

Better = Literal["higher", "lower", "target"]
Outcome = Literal["holds", "consistent", "reversed"]


def _finite(value: float | None) -> float | None:
    """JSON knows no nan and no inf: both become null."""
    return None if value is None or not math.isfinite(value) else float(value)


@dataclass(frozen=True)
class Result:
    """One figure of merit with everything needed to judge it.

    value: the number. error: one standard deviation, >= 0. low, high: optional asymmetric 68 % interval.
    n: how many jets, events or showers it rests on (the smaller class where two are compared).
    floor: what a perfect method would score on the same sample; baseline: what the simple method scores.
    better: which direction is good ("target": as near to the floor as can be).
    seeds: independent trainings behind it (0: the method has no randomness of its own).
    replicas: shape (trainings, bootstrap), the same resampled events for all results of equal `pairing`.
    """

    value: float
    error: float
    n: int
    floor: float | None = None
    baseline: float | None = None
    better: Better = "higher"
    definition: str = ""
    low: float | None = None
    high: float | None = None
    seeds: int = 1
    replicas: npt.NDArray[np.float64] | None = field(default=None, compare=False, repr=False)
    pairing: str | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        if self.better not in ("higher", "lower", "target"):
            raise InputError(f"better={self.better!r} is not a direction; use 'higher', 'lower' or 'target'.")
        if self.error < 0:
            raise InputError(f"error={self.error!r} is negative; an error is one standard deviation, at least 0.")
        if self.n < 0 or self.seeds < 0:
            raise InputError(f"n={self.n!r} and seeds={self.seeds!r} are counts; neither can be negative.")
        for name in ("value", "error", "floor", "baseline", "low", "high"):
            if getattr(self, name) is not None:  # numpy scalars would leak into JSON and reprs
                object.__setattr__(self, name, float(getattr(self, name)))

    def __str__(self) -> str:
        return f"{_rounded(self.value, self.error)}"

    def _repr_markdown_(self) -> str:
        extra = [f"n = {self.n}"]
        extra += [f"floor {self.floor:.4g}"] if self.floor is not None else []
        extra += [f"baseline {self.baseline:.4g}"] if self.baseline is not None else []
        return f"**{self}** ({', '.join(extra)})"

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-safe fields (nan and inf become null); replicas are left out, they are bulk."""
        raw = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "replicas"}
        return {k: _finite(v) if isinstance(v, float) else v for k, v in raw.items()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Result:
        """Rebuild a result from `to_dict()`; null values come back as nan, unknown keys are an error."""
        known = {f.name for f in fields(cls)}
        if unknown := set(data) - known:
            raise InputError(f"a result has no field {sorted(unknown)}; it has {sorted(known)}.")
        values = dict(data)
        for name in ("value", "error"):
            values[name] = math.nan if values.get(name) is None else values[name]
        return cls(**values)


@dataclass(frozen=True)
class Claim:
    """A sentence about two results, and whether the data bear it out.

    outcome: "holds" (difference above the required sigma in the claimed direction), "reversed" (the same in
    the other direction) or "consistent" (neither); difference and error are in the metric's own unit, positive
    when the claim is right.
    """

    text: str
    outcome: Outcome
    sigma: float
    difference: float
    error: float

    def __str__(self) -> str:
        return f"{self.outcome}: {self.text} (difference {_rounded(self.difference, self.error)}, {self.sigma:+.1f} σ)"

    def _repr_markdown_(self) -> str:
        mark = {"holds": "✔", "consistent": "≈", "reversed": "✘"}[self.outcome]
        return f"{mark} **{self.outcome}**: {self.text} ({self.sigma:+.1f} σ)"

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-safe fields."""
        raw = {f.name: getattr(self, f.name) for f in fields(self)}
        return {k: _finite(v) if isinstance(v, float) else v for k, v in raw.items()}


def _rounded(value: float, error: float) -> str:
    """Write "0.9432 ± 0.0011": the error with two significant digits, the value to the same place."""
    if not math.isfinite(error) or error == 0 or not math.isfinite(value):
        return f"{value:.4g} ± {error:.2g}"
    digits = min(max(1 - math.floor(math.log10(error)), 0), 12)
    return f"{value:.{digits}f} ± {error:.{digits}f}"
