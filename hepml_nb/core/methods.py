"""A registry: the methods of a topic by name, imported when they are asked for, and made from their configurations."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from hepml_nb.core.errors import InputError, NotFound, suggest

__all__ = ["Method", "Registry"]


@dataclass(frozen=True)
class Method:
    """A registered method: its name, "module:Class", its arXiv number (or book), its seed rows and one sentence."""

    name: str
    entry: str
    arxiv: str
    seeds: tuple[str, ...]
    summary: str

    @property
    def cls(self) -> Any:
        """The class; its module is imported now."""
        module, _, attribute = self.entry.partition(":")
        return getattr(importlib.import_module(module), attribute)


class Registry:
    """The methods of a topic by name, in their order; `kind` is what one of them is called in messages."""

    def __init__(self, kind: str, methods: Iterable[Method]) -> None:
        self.kind, self.methods = kind, {method.name: method for method in methods}

    def method(self, name: str) -> Method:
        """Return one method; raise NotFound with the nearest name."""
        if name not in self.methods:
            raise NotFound(f"there is no {self.kind} {name!r}{suggest(str(name), self.methods)}")
        return self.methods[name]

    def make(self, name: str, config: Any = "small", **overrides: Any) -> Any:
        """Return a new, unfitted method.

        config: a name of its `configs` ("small", "paper"), a configuration object, or a dict of changes to "small".
        overrides: changed settings, those of the training (`fit`: epochs, lr, ...) included.
        Raises NotFound for an unknown name, InputError for an unknown configuration or setting.
        """
        cls = self.method(name).cls
        if isinstance(config, Mapping):
            config, overrides = "small", {**config, **overrides}
        if isinstance(config, str):
            if config not in cls.configs:
                raise InputError(f"{name} has no configuration {config!r}{suggest(config, cls.configs)}")
            config = cls.configs[config]
        return cls(_changed(config, overrides))


def _changed(config: Any, changes: Mapping[str, Any]) -> Any:
    """Return the frozen configuration with changes; a setting of its `fit` may be named directly."""
    own = {field.name for field in dataclasses.fields(config)}
    inner = {field.name for field in dataclasses.fields(config.fit)} if "fit" in own else set[str]()
    if unknown := [name for name in changes if name not in own | inner]:
        raise InputError(f"{type(config).__name__} has no setting {unknown[0]!r}{suggest(unknown[0], own | inner)}")
    direct = {
        name: tuple(value) if isinstance(value, list) else value for name, value in changes.items() if name in own
    }
    nested = {k: v for k, v in changes.items() if k not in own}
    if nested:
        direct["fit"] = dataclasses.replace(direct.get("fit", config.fit), **nested)
    return dataclasses.replace(config, **direct)
