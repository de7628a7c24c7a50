"""A registry: the methods of a topic by name, imported when they are asked for, and made from their configurations."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

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

    @property
    def default(self) -> Any:
        """The published configuration."""
        return self.cls.configs["paper"]

    @property
    def small(self) -> Any:
        """The configuration that two cores train within a tutorial."""
        return self.cls.configs["small"]


_M = TypeVar("_M", bound=Method)


class Registry(Generic[_M]):
    """The methods of a topic by name, in their order; `kind` is what one of them is called in messages."""

    def __init__(self, kind: str, methods: Iterable[_M]) -> None:
        self.kind, self.methods = kind, {method.name: method for method in methods}

    def method(self, name: str) -> _M:
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
        if isinstance(config, str):
            if config not in cls.configs:
                raise InputError(f"{name} has no configuration {config!r}{suggest(config, cls.configs)}")
            config = cls.configs[config]
        elif isinstance(config, Mapping):
            config = _configure(cls.configs["small"], config)
        elif not isinstance(config, type(cls.configs["paper"])):
            wanted = type(cls.configs["paper"]).__name__
            raise InputError(f"config is a {type(config).__name__}; expected 'small', 'paper', a dict or a {wanted}.")
        return cls(_configure(config, overrides))


def _configure(config: Any, changes: Mapping[str, Any]) -> Any:
    """Return the frozen configuration with changes; a setting of the training (epochs, lr, ...) may be named directly.

    Raises InputError for an unknown name, with the nearest that exists.
    """
    own = {f.name for f in dataclasses.fields(config)}
    inner = {f.name for f in dataclasses.fields(config.fit)} if "fit" in own else set[str]()
    direct: dict[str, Any] = {}
    nested: dict[str, Any] = {}
    for name, value in changes.items():
        if name == "fit" and isinstance(value, Mapping):
            nested.update(value)
        elif name in own:
            direct[name] = tuple(value) if isinstance(value, list) else value
        elif name in inner:
            nested[name] = value
        else:
            raise InputError(f"{type(config).__name__} has no setting {name!r}{suggest(name, own | inner)}")
    if nested:
        if unknown := sorted(set(nested) - inner):
            raise InputError(f"FitConfig has no setting {unknown[0]!r}{suggest(unknown[0], inner)}")
        direct["fit"] = dataclasses.replace(direct.get("fit", config.fit), **nested)
    return dataclasses.replace(config, **direct)
