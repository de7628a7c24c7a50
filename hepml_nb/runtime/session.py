"""What a notebook calls: start a run, record results with errors, judge claims; all of it leaves in one MIME bundle."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hepml_nb.core import Claim, InputError, Result, seed_everything, suggest, threads, tune_allocator
from hepml_nb.runtime.datasets import loaded
from hepml_nb.runtime.tables import html_table, markdown_table

if TYPE_CHECKING:
    from nbformat import NotebookNode

__all__ = ["MIME", "PROFILES", "Session", "claim", "current", "extract", "record", "start"]

MIME = "application/vnd.hepml.metrics+json"
PROFILES = ("smoke", "tutorial", "full", "long")

_NAME = re.compile(r"[a-z][a-z0-9_]*(\.[a-z0-9][a-z0-9_+-]*)+")
_TRAININGS = 3  # what a claim about two trained methods needs


class _Table:
    """What the session shows of itself as the last line of a cell."""

    def __init__(self, metrics: Sequence[Mapping[str, Any]], claims: Sequence[Mapping[str, Any]]) -> None:
        self.metrics, self.claims = metrics, claims

    def __repr__(self) -> str:
        return markdown_table(self.metrics, self.claims)

    def _repr_markdown_(self) -> str:
        return markdown_table(self.metrics, self.claims)

    def _repr_html_(self) -> str:
        return html_table(self.metrics, self.claims)


@dataclass
class Session:
    """One run of a notebook: its profile, its seed and everything recorded so far."""

    profile: str
    seed: int
    metrics: dict[str, dict[str, Any]] = field(default_factory=dict)
    claims: dict[str, dict[str, Any]] = field(default_factory=dict)
    _cell: int | None = field(default=None, repr=False)  # the execution count of the cell shown in `_shown`
    _names: list[str] = field(default_factory=list, repr=False)  # recorded by that cell
    _texts: list[str] = field(default_factory=list, repr=False)
    _shown: Any = field(default=None, repr=False)

    def table(self) -> _Table:
        """Return everything recorded so far as one table."""
        return _Table(list(self.metrics.values()), list(self.claims.values()))

    def _enter_cell(self) -> None:
        cell = _execution_count()
        if cell is None or cell != self._cell:
            self._cell, self._names, self._texts, self._shown = cell, [], [], None

    def _show(self) -> None:
        """Show what this cell recorded as one table, made anew with each record."""
        if _execution_count() is None:
            return
        from IPython.display import display

        metrics = [self.metrics[name] for name in self._names]
        claims = [self.claims[text] for text in self._texts]
        bundle = {
            MIME: {"schema": 1, "metrics": metrics, "claims": claims, "dataset": loaded()},
            "text/markdown": markdown_table(metrics, claims),
            "text/html": html_table(metrics, claims),
            "text/plain": markdown_table(metrics, claims),
        }
        if self._shown is None:
            self._shown = display(bundle, raw=True, display_id=True)  # type: ignore[no-untyped-call]
        else:
            self._shown.update(bundle, raw=True)


_session: Session | None = None


def start(profile: str, seed: int) -> Session:
    """Begin a run: seeds everything, sets threads and the allocator; use the returned `.profile` and `.seed`.

    $HEPML_NB_PROFILE replaces the profile (Binder sets it to smoke); `hepml-nb run` sets it to the one it was
    given, so an explicit choice wins. Raises InputError for an unknown profile or a seed that is no integer.
    """
    global _session
    chosen = os.environ.get("HEPML_NB_PROFILE") or profile
    if chosen not in PROFILES:
        raise InputError(f"profile={chosen!r} does not exist{suggest(str(chosen), PROFILES)}")
    if chosen != profile:
        sys.stdout.write(f"profile {chosen!r}, from HEPML_NB_PROFILE (the parameters cell says {profile!r})\n")
    seed_everything(seed)
    if "torch" in sys.modules:  # otherwise nothing to set, and 1.4 s to lose
        threads()
    tune_allocator()
    _session = Session(chosen, int(seed))
    return _session


def current() -> Session:
    """Return the running session; raises InputError before `start`."""
    if _session is None:
        raise InputError("nothing was started: call `run = runtime.start(profile, seed)` in the first code cell.")
    return _session


def record(name: str, result: Result, published: str | None = None) -> Result:
    """Show a result, with the published value beside it, and leave it for bands, reports and the scoreboard.

    name: "method.metric" or "method.metric.place", lower case. published: "table:row:column" of
    data_manifests/published/. Raises InputError for a bare number, an unfit or a used name.
    """
    session = current()
    if not _NAME.fullmatch(name):
        raise InputError(
            f"metric name {name!r}: use lower case parts joined by dots, method first, as in 'pfn.auc' or "
            "'pfn.rejection.eff30'."
        )
    if not isinstance(result, Result):
        raise InputError(
            f"record({name!r}, ...) got {result!r}, a {type(result).__name__}; it takes a Result, a number with its "
            "error: one of hepml_nb.stats makes it, or write Result(value, error, n) from hepml_nb.core."
        )
    session._enter_cell()
    _refuse_twice(name in session.metrics, name in session._names, f"metric {name!r}")
    entry = {"name": name, **result.to_dict(), "published": _published(published)}
    session.metrics[name] = {key: value for key, value in entry.items() if key != "pairing"}
    session._names.append(name)
    session._show()
    return result


def claim(text: str, a: Result, b: Result, **options: Any) -> Claim | None:
    """Judge "a is better than b" with `stats.claim`, show the outcome and record it.

    In the smoke profile, where one training must do, a claim about too few trainings is shown as not judged and
    None is returned; in every other profile that is the InputError of `stats.claim`.
    """
    session = current()
    judged = a.seeds == b.seeds == 0 or max(a.seeds, b.seeds) >= _TRAININGS
    if session.profile == "smoke" and not judged:
        sys.stdout.write(f"not judged at smoke size (a claim needs {_TRAININGS} trainings): {text}\n")
        return None
    from hepml_nb import stats

    judge: Callable[..., Claim] = stats.claim
    outcome = judge(text, a, b, **options)
    session._enter_cell()
    _refuse_twice(text in session.claims, text in session._texts, f"claim {text!r}")
    session.claims[text] = outcome.to_dict()
    session._texts.append(text)
    session._show()
    return outcome


def extract(node: NotebookNode) -> dict[str, list[dict[str, Any]]]:
    """Return what an executed notebook recorded: {"metrics": [...], "claims": [...], "dataset": [...]}."""
    found: dict[str, dict[str, dict[str, Any]]] = {"metrics": {}, "claims": {}, "dataset": {}}
    keys = {"metrics": "name", "claims": "text", "dataset": "identity"}
    for cell in node.cells:
        for output in cell.get("outputs", []):
            bundle = output.get("data", {}).get(MIME, {})
            for part, key in keys.items():
                for entry in bundle.get(part, []):
                    found[part][str(entry.get(key, entry))] = dict(entry)
    return {part: list(entries.values()) for part, entries in found.items()}


def _refuse_twice(known: bool, in_this_cell: bool, what: str) -> None:
    # a person may run a cell again; a batch run that records a name twice has a mistake in it
    again = _execution_count() is not None and os.environ.get("HEPML_NB_BATCH") != "1"
    if known and (in_this_cell or not again):
        raise InputError(f"{what} was recorded before; every name stands for one number.")


def _published(reference: str | None) -> dict[str, Any] | None:
    if reference is None:
        return None
    if reference.count(":") != 2:
        raise InputError(f"published={reference!r}; expected 'table:row:column' of data_manifests/published/.")
    from hepml_nb import data

    value, error, source = data.published(reference)
    return {"ref": reference, "value": value, "error": error, "source": source}


def _execution_count() -> int | None:
    if "IPython" not in sys.modules:
        return None
    from IPython.core.getipython import get_ipython

    shell = get_ipython()
    return None if shell is None else int(shell.execution_count)
