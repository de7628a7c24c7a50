"""NPLM: the likelihood ratio of data and reference, with the alternative learnt from the data themselves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from hepml_nb.anomaly.functions import Family, Floats, KernelConfig, Kernels, Network, NetworkConfig, lowest
from hepml_nb.anomaly.nuisances import Nuisances
from hepml_nb.core import InputError, RunError
from hepml_nb.stats.checks import table

__all__ = ["CONFIGS", "NPLM", "Found", "nplm_loss"]

CONFIGS: dict[str, NetworkConfig | KernelConfig] = {
    "network": NetworkConfig(),
    "kernel": KernelConfig(),
    "small": KernelConfig(centres=200, penalty=1e-7, loss="likelihood"),
}
"""By name: "network" (arXiv:2111.13633), "kernel" (arXiv:2204.02317), and "small", cheap enough for many toys."""


def nplm_loss(f_reference: npt.ArrayLike, f_data: npt.ArrayLike, weight: float) -> float:
    """Return  weight sum_reference (e^f - 1) - sum_data f, the loss whose minimum is -t / 2.

    f: (n,), (m,), the model's log n(x | alternative) / n(x | reference). weight: expected data events per reference
    event. It is minus the log of the extended likelihood ratio of the data. Source: arXiv:1806.02350.
    """
    return float(weight * np.expm1(np.asarray(f_reference)).sum() - np.sum(f_data))


@dataclass(frozen=True, eq=False)
class Found:
    """What a test gave. t: the statistic, tau - delta; without nuisance parameters delta is 0.

    tau: twice the log likelihood ratio at the best function and best nuisance parameters; delta: at f = 0 and the best
    nuisance parameters of the reference alone. nu: (q,), those of tau; nu_reference: those of delta, in standard
    deviations. parameters: (p,) of the function.
    """

    t: float
    tau: float
    delta: float
    nu: Floats
    nu_reference: Floats
    parameters: Floats


class NPLM:
    """The New Physics Learning Machine: tests data against a reference without a signal in mind.

    reference: (n, d) simulated events, at least as many as expected; expected: data events that the reference expects
    (its luminosity relative to the data is n / expected). config: a name of `CONFIGS` or a configuration. nuisances:
    what is uncertain about the reference.

    The alternative is n(x | f) = e^f(x) n(x | reference, nu). The statistic is
        t = tau - delta,  tau = 2 max_{f, nu} log L(f, nu) / L(0, 0),  delta = 2 max_nu log L(0, nu) / L(0, 0),
    where L includes the Gaussian constraint of nu by the auxiliary measurements (arXiv:2111.13633); without nuisance
    parameters it is that of arXiv:1806.02350. With a network f is found by L-BFGS within the box |weights| <= clip,
    instead of hundreds of thousands of steps of Adam with clipping: it is the same maximum, found in a thousandth of
    the time. With kernels (arXiv:2204.02317) it is convex and takes a few dozen steps; there f minimises the weighted
    cross-entropy or the likelihood, and t is twice the log likelihood ratio in either case. Centres are drawn from the
    reference and the same for all tests, so that toys of one reference share the kernel matrix. The cross-entropy
    charges a reference event far from all data only in proportion to f, the likelihood for e^f: with the paper's small
    penalty it needs that paper's hundred reference events for each expected one.
    Raises InputError for fewer reference than expected events, nuisance parameters with the cross-entropy, a constant
    column, and an unknown name.
    """

    def __init__(
        self,
        reference: npt.ArrayLike,
        expected: float,
        config: str | NetworkConfig | KernelConfig = "small",
        *,
        nuisances: Nuisances | None = None,
        seed: int = 0,
    ) -> None:
        events = table(reference, "reference")
        if isinstance(config, str) and config not in CONFIGS:
            raise InputError(f"config={config!r}; expected {', '.join(CONFIGS)}, or a configuration.")
        if not 0 < expected <= len(events):
            raise InputError(
                f"expected={expected:g} data events with {len(events)} reference events; expected a positive number, "
                "and at least as many reference events."
            )
        spread = events.std(axis=0)
        if not spread.all():
            raise InputError(f"column {int(np.argmin(spread))} of the reference is constant; leave it out.")
        self.config = CONFIGS[config] if isinstance(config, str) else config
        entropy = isinstance(self.config, KernelConfig) and self.config.loss == "cross-entropy"
        if nuisances is not None and entropy:
            raise InputError("the cross-entropy knows no nuisance parameters; use KernelConfig(loss='likelihood').")
        self.expected, self.nuisances, self.columns = float(expected), nuisances, events.shape[1]
        self.weight, self._entropy = expected / len(events), entropy
        family = Network if isinstance(self.config, NetworkConfig) else Kernels
        self.family: Family = family(events, self.config, seed)  # type: ignore[arg-type]
        self._reference = self.family.prepare(events)
        self._terms = nuisances.terms(events) if nuisances else (np.zeros((len(events), 0)),) * 2
        self._hessian = self._curvature()

    def test(self, data: npt.ArrayLike, auxiliary: npt.ArrayLike | None = None) -> Found:
        """Return the test of data (m, d); auxiliary: (q,) what the auxiliary measurements found for nu (default: 0).

        In toys the auxiliary measurement fluctuates by one standard deviation around the true nu, as data do.
        Raises InputError for other columns, no event, NaN, or another number of auxiliary measurements; RunError where
        the minimum of the cross-entropy is less likely than no alternative at all.
        """
        events = table(data, "data")
        if events.shape[1] != self.columns:
            raise InputError(f"data have {events.shape[1]} columns; the reference has {self.columns}.")
        q = self._terms[0].shape[1]
        measured = np.zeros(q) if auxiliary is None else np.atleast_1d(np.asarray(auxiliary, np.float64))
        if measured.shape != (q,) or not np.isfinite(measured).all():
            raise InputError(f"auxiliary={measured.tolist()}; expected one finite number for each of {q} nuisances.")
        prepared = self.family.prepare(events)
        terms = self.nuisances.terms(events) if self.nuisances else (np.zeros((len(events), 0)),) * 2
        best_nu, least = np.zeros(q), 0.0
        if self.nuisances:
            best_nu, least = lowest(self._loss(None, terms, measured), np.zeros(q), 200, hessian=self._nu_curvature())
        function, nu, lowest_loss = self._best(prepared, terms, measured, best_nu)
        tau, delta = -2 * lowest_loss, -2 * least
        if self._entropy and tau < -1:
            raise RunError(
                f"t = {tau:.1f}: some reference event far from all data has a large f, which the cross-entropy hardly "
                f"sees; expected about 100 reference events for each data event (here {1 / self.weight:.0f}), a larger "
                "penalty, or loss='likelihood'."
            )
        return Found(tau - delta, tau, delta, nu, best_nu, function)

    def log_ratio(self, found: Found, x: npt.ArrayLike, *, nuisances: bool = False) -> Floats:
        """Return the learnt f at events (n, d), or f + log r with the best nuisance parameters."""
        events = table(x, "x")
        f = self.family.evaluate(found.parameters, self.family.prepare(events))[0]
        return f + self.nuisances.log_ratio(events, found.nu) if nuisances and self.nuisances else f

    def _best(
        self, prepared: Floats, terms: tuple[Floats, Floats], measured: Floats, nu: Floats
    ) -> tuple[Floats, Floats, float]:
        """Return parameters (p,), nuisance parameters (q,) and the likelihood's loss at the best function."""
        p, bounds = self.family.size, self.family.bounds
        loss = self._loss(prepared, terms, measured)
        if bounds is not None:
            bounds = [*bounds, *[(None, None)] * len(nu)]
        tries = self.config.starts if isinstance(self.config, NetworkConfig) else 1
        found = [
            lowest(loss, np.concatenate([self.family.start(i), nu]), self.config.steps, bounds=bounds,
                   hessian=self._hessian)
            for i in range(tries)
        ]  # fmt: skip
        best = min(found, key=lambda one: one[1])[0]
        function, nu = best[:p], best[p:]
        shift = [linear @ nu + quadratic @ nu**2 for linear, quadratic in (self._terms, terms)]
        f = [self.family.evaluate(function, x)[0] for x in (self._reference, prepared)]
        return function, nu, nplm_loss(f[0] + shift[0], f[1] + shift[1], self.weight) + _constraint(nu, measured)

    def _loss(
        self, prepared: Floats | None, terms: tuple[Floats, Floats], measured: Floats
    ) -> Callable[[Floats], tuple[float, Floats]]:
        """Return the loss of (function's parameters, nu); of nu alone where no data are prepared."""
        p = 0 if prepared is None else self.family.size
        strength = self._penalty(len(terms[0])) if p else 0.0

        def loss(parameters: Floats) -> tuple[float, Floats]:
            function, nu = parameters[:p], parameters[p:]
            value = _constraint(nu, measured) + strength * float(function @ function)
            slope = nu - measured
            gradient = 2 * strength * function
            for x, (linear, quadratic), is_data in ((self._reference, self._terms, False), (prepared, terms, True)):
                f = linear @ nu + quadratic @ nu**2
                if x is not None and p:
                    learnt, backward = self.family.evaluate(function, x)
                    f = f + learnt
                part, slopes = self._part(f, is_data)
                value += part
                slope = slope + linear.T @ slopes + 2 * nu * (quadratic.T @ slopes)
                if p:
                    gradient = gradient + backward(slopes)
            return float(value), np.concatenate([gradient, slope])

        return loss

    def _part(self, f: Floats, is_data: bool) -> tuple[float, Floats]:
        """Return the loss of the data, or of the reference, and its slope in f (n,)."""
        if self._entropy:
            sign, weight = (-1.0, 1.0) if is_data else (1.0, self.weight)
            return weight * float(np.logaddexp(0, sign * f).sum()), weight * sign * expit(sign * f)
        if is_data:
            return -float(f.sum()), -np.ones(len(f))
        raised = np.exp(np.minimum(f, 50.0))
        return self.weight * float((raised - 1).sum()), self.weight * raised

    def _penalty(self, n_data: int) -> float:
        return self.config.penalty * (len(self._reference) + n_data) if isinstance(self.config, KernelConfig) else 0.0

    def _curvature(self) -> Floats | None:
        """Return the Hessian (p + q, p + q) of the expected loss at f = 0; None for a network."""
        if self.family.bounds is not None:
            return None
        everything = np.column_stack([self._reference, self._terms[0]])
        curved = everything.T @ everything * self.weight * (0.5 if self._entropy else 1.0)
        p = self.family.size
        strength = np.r_[np.full(p, 2 * self._penalty(int(self.expected))), np.ones(len(curved) - p)]
        return np.asarray(curved + np.diag(strength + 1e-9 * np.trace(curved) / len(curved)))

    def _nu_curvature(self) -> Floats:
        linear = self._terms[0]
        return np.asarray(self.weight * linear.T @ linear + np.eye(linear.shape[1]))


def _constraint(nu: Floats, measured: Floats) -> float:
    """Return -log of L(nu | auxiliary) / L(0 | auxiliary), Gaussian with unit width."""
    return float((nu - measured) @ (nu - measured) - measured @ measured) / 2
