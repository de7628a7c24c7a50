"""Which registered methods a notebook or a sweep names, so that its results hang on their code and on no other's."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterable

__all__ = ["method_modules", "registered"]


def registered(topic: str) -> dict[str, str]:
    """Return {method: module} of the registry of a topic; none where the topic has no registry."""
    if not topic or importlib.util.find_spec(f"hepml_nb.{topic}") is None:
        return {}
    if importlib.util.find_spec(f"hepml_nb.{topic}.registry") is None:
        return {}
    methods = importlib.import_module(f"hepml_nb.{topic}.registry").methods()
    return {name: method.entry.partition(":")[0] for name, method in methods.items()}


def method_modules(topic: str, words: Iterable[object]) -> set[str]:
    """Return the modules of those methods of the topic whose names are among the words."""
    known = registered(topic)
    return {known[word] for word in words if isinstance(word, str) and word in known}
