"""Recipes: pure functions of (parameters, seed, n) that make data; a change of what they make raises their version."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from hepml_nb.core import InputError, NotFound, suggest

__all__ = ["Recipe", "recipe", "recipe_names"]


@dataclass(frozen=True)
class Recipe:
    """A named, versioned function `make(n, seed=..., **parameters) -> (arrays, counters)`.

    `libraries` are the distributions whose version is part of the identity of what is made, and `detected` says that
    the version of our detector is.
    """

    name: str
    version: int
    make: Callable[..., tuple[Any, dict[str, float]]]
    defaults: Mapping[str, Any]
    libraries: tuple[str, ...] = ()
    detected: bool = True

    def parameters(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the defaults updated by `given`; raise InputError for a name that the recipe does not have."""
        for name in given:
            if name not in self.defaults:
                raise InputError(f"recipe {self.name!r} has no parameter {name!r}{suggest(name, self.defaults)}")
        return {name: _like(default, given.get(name, default)) for name, default in self.defaults.items()}

    def identity(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return everything that fixes what is made, but for seed and number."""
        versions: dict[str, Any] = {name: _version(name) for name in self.libraries}
        if self.detected:
            from hepml_nb.simulate.detector import VERSION

            versions["detector"] = VERSION
        return {"recipe": self.name, "version": self.version, "parameters": self.parameters(given), "uses": versions}

    def __call__(self, n: int, seed: int = 0, **parameters: Any) -> tuple[Any, dict[str, float]]:
        """Make `n` records; the same arguments give the same content."""
        if n < 0:
            raise InputError(f"n={n} is negative.")
        return self.make(n, seed, **self.parameters(parameters))


_version = cache(version)


def _like(default: Any, value: Any) -> Any:
    """Return `value` in the type of `default`, so that 550 and 550.0 name the same data."""
    return tuple(map(float, value)) if isinstance(default, tuple) else type(default)(value)


def recipe_names() -> list[str]:
    """Return the names of all recipes."""
    folder = Path(__file__).parent / "recipes"  # not imported: a result hangs on the recipes that it uses, not on all
    return sorted(module.name for module in pkgutil.iter_modules([str(folder)]))


def recipe(name: str) -> Recipe:
    """Return the recipe called `name`; raise NotFound with the nearest one."""
    if name not in recipe_names():
        raise NotFound(f"there is no recipe {name!r}{suggest(name, recipe_names())}")
    found: Recipe = importlib.import_module(f"hepml_nb.simulate.recipes.{name}").RECIPE
    return found
