"""Which registered methods a notebook or a sweep names, so that its results hang on their code and on no other's."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterable

__all__ = ["method_modules", "registered"]


def registered(topic: str) -> dict[str, dict[str, str]]:
    """Return {function of the registry that lists methods: {method: module}}; none where a topic has no registry."""
    if not topic or importlib.util.find_spec(f"hepml_nb.{topic}") is None:
        return {}
    if importlib.util.find_spec(f"hepml_nb.{topic}.registry") is None:
        return {}
    registry = importlib.import_module(f"hepml_nb.{topic}.registry")
    lists = {name: getattr(registry, name)() for name in registry.__all__ if name.endswith("methods")}
    return {
        name: {one: method.entry.partition(":")[0] for one, method in found.items()} for name, found in lists.items()
    }


def method_modules(topic: str, words: Iterable[object]) -> set[str]:
    """Return the modules of those methods of the topic whose names are among the words."""
    known = {one: module for listed in registered(topic).values() for one, module in listed.items()}
    return {known[word] for word in words if isinstance(word, str) and word in known}
