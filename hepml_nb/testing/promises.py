"""How conformance checks say what was promised and not kept."""

from __future__ import annotations

from collections.abc import Callable

from hepml_nb.core import HepmlError, InputError

__all__ = ["ConformanceError", "refuses", "require"]


class ConformanceError(HepmlError, AssertionError):
    """A method breaks a promise that all methods make."""


def require(condition: bool, name: str, promise: str) -> None:
    """Raise ConformanceError with the method's name and the promise where the condition is false."""
    if not condition:
        raise ConformanceError(f"{name}: {promise}")


def refuses(name: str, words: str, call: Callable[[], object], kind: type[Exception] = InputError) -> None:
    """Raise ConformanceError unless the call raises an error of this kind whose message has the words."""
    try:
        call()
    except kind as error:
        require(words in str(error), name, f"the message names {words!r}: {error}")
    else:
        raise ConformanceError(f"{name}: bad input is refused ({words!r})")
