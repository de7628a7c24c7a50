"""An error worth reading says what was given, what was expected and the nearest right thing."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["HepmlError", "InputError", "NotFound", "RunError", "suggest"]


class HepmlError(Exception):
    """Base of every error that this package raises on purpose; the command line shows it as one line."""


class InputError(HepmlError, ValueError):
    """A value that cannot be used, with what was given and what was expected."""


class NotFound(HepmlError, LookupError):
    """A name that does not exist, with the nearest that does."""


class RunError(HepmlError, RuntimeError):
    """Something that was started and did not end well: a notebook, a farm chunk, a training."""


def suggest(word: str, options: Iterable[str], most: int = 20) -> str:
    """Return "; did you mean 'x'? Known: a, b, c." for a misspelt `word`, at most `most` names listed."""
    names = sorted(options)
    near = difflib.get_close_matches(word, names, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    if not names:
        return hint + " Nothing is known here."
    tail = f", ... ({len(names)} in all)" if len(names) > most else ""
    return f"{hint} Known: {', '.join(names[:most])}{tail}."
