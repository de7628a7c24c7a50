"""One progress bar for all long work: shown to a person, silent in batch."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import Any

__all__ = ["progress", "quiet"]


def quiet() -> bool:
    """Say whether bars would only fill a log: HEPML_NB_BATCH=1, or neither a terminal nor a notebook kernel."""
    if os.environ.get("HEPML_NB_BATCH", "") not in ("", "0"):
        return True
    return "ipykernel" not in sys.modules and not sys.stderr.isatty()


def progress(
    iterable: Iterable[Any] | None = None, total: float | None = None, desc: str = "", unit: str = "it"
) -> Any:
    """Return a tqdm bar over `iterable` (or a manual one of `total`); it writes nothing where `quiet()`.

    Usable as an iterator or as a context manager with `.update(n)` and `.set_postfix_str(text)`.
    """
    if quiet():
        from tqdm import tqdm

        return tqdm(iterable, total=total, desc=desc, unit=unit, disable=True)
    from tqdm.auto import tqdm as auto

    return auto(iterable, total=total, desc=desc, unit=unit, dynamic_ncols=True, leave=False)
