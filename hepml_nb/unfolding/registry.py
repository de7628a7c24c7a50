"""The unfolding methods there are: one line each."""

from __future__ import annotations

from typing import Any

from hepml_nb.core import Method, Registry
from hepml_nb.unfolding.base import Unfolder

__all__ = ["make", "method", "methods"]

_U = "hepml_nb.unfolding."
_METHODS: tuple[Method, ...] = (
    Method("inversion", _U + "inversion:Inversion", "1611.01927", ("S2/33",), "Matrix inversion, least squares"),
    Method("ibu", _U + "ibu:Ibu", "1105.1160", ("S0/66", "S2/33"), "D'Agostini's iterative Bayesian unfolding"),
    Method(
        "tikhonov", _U + "tikhonov:Tikhonov", "hep-ph/9509307", ("S2/33",), "Least squares, curvature has a price"
    ),
    Method("likelihood", _U + "likelihood:Likelihood", "1611.01927", ("S2/33",), "Poisson likelihood through pyhf"),
    Method("unifold", _U + "multifold:UniFold", "1911.09107", ("S0/66",), "OmniFold on one observable, with trees"),
    Method("multifold", _U + "multifold:MultiFold", "1911.09107", ("S0/66", "S1/54"), "OmniFold on all, with trees"),
    Method("multifold-net", _U + "network:MultiFoldNet", "1911.09107", ("S0/66",), "OmniFold on all, with networks"),
    Method("omnifold", _U + "omnifold:OmniFold", "1911.09107", ("S0/36", "S1/54"), "OmniFold on the particles"),
)
_REGISTRY = Registry("unfolding method", _METHODS)


def methods() -> dict[str, Method]:
    """Return every registered method by name, simple ones first."""
    return dict(_REGISTRY.methods)


def method(name: str) -> Method:
    """Return one registered method; raise NotFound with the nearest name."""
    return _REGISTRY.method(name)


def make(name: str, config: Any = "small", **overrides: Any) -> Unfolder:
    """Return a new, unfitted method: `core.Registry.make`."""
    made: Unfolder = _REGISTRY.make(name, config, **overrides)
    return made
