"""The unfolding methods there are: one line each."""

from __future__ import annotations

from typing import Any

from hepml_nb.core import Method, Registry
from hepml_nb.unfolding.base import Unfolder

__all__ = ["make", "method", "methods"]

_U = "hepml_nb.unfolding."
_METHODS: tuple[Method, ...] = ()
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
