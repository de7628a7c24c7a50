"""Runs a notebook with checked parameters under limits, keeps the executed copy, and says well what went wrong."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hepml_nb.core import InputError, RunError, atomic_write, cache_dir
from hepml_nb.runtime import cache as runs
from hepml_nb.runtime.notebooks import Info, NotebookLike, info, nbformat, read
from hepml_nb.runtime.parameters import read_parameters, validate
from hepml_nb.runtime.provenance import hide_paths, revision, scrub, versions
from hepml_nb.runtime.session import PROFILES, extract
from hepml_nb.runtime.watchdog import Limits, Watchdog

if TYPE_CHECKING:
    from nbformat import NotebookNode

    from hepml_nb.runtime.kernel import Execution

__all__ = ["PROFILES", "NotebookError", "Run", "run"]

Reason = Literal["error", "timeout", "memory", "dead", "start"]

# seconds per cell and in all; generous, since they are there to end what hangs, not to hold a budget
_TIMEOUTS = {"smoke": (300.0, 900.0), "tutorial": (1_800.0, 5_400.0)}
_LINES = 20
_MACHINERY = ("/IPython/", "/ipykernel/", "ipykernel_launcher", "/tornado/", "/asyncio/", "/traitlets/", "<frozen ")
_COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


@dataclass(frozen=True)
class Run:
    """A finished run: the executed notebook, its sidecar (file and content), what it took, whether it was kept."""

    notebook: str
    profile: str
    executed: Path
    sidecar: Path
    metrics: dict[str, Any]
    seconds: float
    peak_mib: float
    cached: bool


class NotebookError(RunError):
    """A notebook that did not run to its end: why, in which cell, and where the executed copy lies.

    reason: "error" (a cell raised), "timeout", "memory", "dead" (the kernel died) or "start" (it never came up);
    cell: its number in the notebook, from 1, None where no cell was reached.
    """

    def __init__(
        self, text: str, *, reason: Reason, cell: int | None, source: str, traceback: str, executed: Path
    ) -> None:
        super().__init__(text)
        self.reason, self.cell, self.source, self.traceback, self.executed = reason, cell, source, traceback, executed


def run(
    notebook: NotebookLike,
    parameters: Mapping[str, Any] | None = None,
    *,
    profile: str | None = None,
    seed: int | None = None,
    out: str | Path | None = None,
    cell_timeout: float | None = None,
    total_timeout: float | None = None,
    memory_mib: float | None = None,
    cache: bool = True,
    env: Mapping[str, str] | None = None,
) -> Run:
    """Execute a notebook (id, unique prefix, path or node) and return its run; an unchanged one is read from the cache.

    profile: this, else parameters["profile"], else $HEPML_NB_PROFILE, else the notebook's default. out: folder for
    `<slug>.<profile>.ipynb` and `<slug>.<profile>.metrics.json`; None leaves them in the cache. Timeouts in seconds
    (smoke 300 per cell and 900 in all, tutorial 1800 and 5400, else none); memory_mib: kernel and children together.
    cache=False executes in any case. env: more of the kernel's environment.
    The kernel works in an empty scratch folder with HEPML_NB_BATCH=1.
    Raises InputError or NotFound for parameters that do not fit, NotebookError for a run that did not end well.
    """
    node, about = read(notebook), info(notebook)
    values, profile = _resolve(node, dict(parameters or {}), profile, seed)
    node.metadata.setdefault("hepml", {})["id"] = about.id  # the executed copy knows what it is, wherever it lies
    key = runs.cache_key(node, values, profile, env)
    limits = Limits(*_timeouts(profile, cell_timeout, total_timeout), memory_mib)
    place = _Place(about, profile, Path(out) if out is not None else None)
    with runs.holding(about.id, key):
        found = runs.entry(about.id, key) if cache else None
        entry = found or _execute(node, values, key, limits, place, dict(env or {}))
        return place.publish(entry, cached=found is not None)


@dataclass(frozen=True)
class _Place:
    """Where a run's files go."""

    about: Info
    profile: str
    out: Path | None

    @property
    def failed(self) -> Path:
        """The copy kept of a run that did not end well."""
        folder = self.out or cache_dir() / "failed" / self.about.topic
        return folder / f"{self.about.slug}.{self.profile}.failed.ipynb"

    def publish(self, entry: runs.Entry, cached: bool) -> Run:
        executed, sidecar, metrics = entry.executed, entry.sidecar, entry.metrics()
        if self.out is not None:
            executed = self.out / f"{self.about.slug}.{self.profile}.ipynb"
            sidecar = executed.with_suffix(".metrics.json")
            for source, target in ((entry.executed, executed), (entry.sidecar, sidecar)):
                with atomic_write(target, "wb") as stream:
                    stream.write(source.read_bytes())
        if not cached:
            self.failed.unlink(missing_ok=True)
        return Run(
            self.about.id, self.profile, executed, sidecar, metrics, metrics["seconds"], metrics["peak_mib"], cached
        )


def _resolve(
    node: NotebookNode, given: dict[str, Any], profile: str | None, seed: int | None
) -> tuple[dict[str, Any], str]:
    """Return all parameters, checked, and the profile they amount to ("default" for a notebook without profiles)."""
    known = read_parameters(node)
    if not known and not given:  # an index
        return {}, profile or "default"
    for name, value in (("profile", profile), ("seed", seed)):
        if value is not None and given.setdefault(name, value) != value:
            raise InputError(f"{name} was given twice: {given[name]!r} as a parameter, {value!r} beside it.")
    if "profile" in known and (chosen := os.environ.get("HEPML_NB_PROFILE")):
        given.setdefault("profile", chosen)
    values = validate(node, given)
    return values, str(values.get("profile", "default"))


def _timeouts(profile: str, cell: float | None, total: float | None) -> tuple[float | None, float | None]:
    usual = _TIMEOUTS.get(profile, (None, None))
    return cell or usual[0], total or usual[1]


def _execute(
    node: NotebookNode, values: dict[str, Any], key: runs.Key, limits: Limits, place: _Place, env: dict[str, str]
) -> runs.Entry:
    """Run the notebook, twice only when the first kernel's port was taken; keep what came of it."""
    from hepml_nb.runtime.kernel import is_bind_error

    execution, error = _attempt(node, values, limits, place, env)
    if error is not None and is_bind_error(error, execution.kernel_log):
        execution, error = _attempt(node, values, limits, place, env)
    scrub(execution.node, *execution.folders)
    if error is not None:
        raise _failure(execution, error, place) from error
    sidecar = _sidecar(execution, values, key, place)
    return runs.store(place.about.id, key, execution.node, hide_paths(sidecar, *execution.folders))


def _attempt(
    node: NotebookNode, values: dict[str, Any], limits: Limits, place: _Place, env: dict[str, str]
) -> tuple[Execution, Exception | None]:
    """Execute once in a fresh scratch folder; return how far it came and the exception that stopped it."""
    import zmq
    from nbclient.exceptions import DeadKernelError
    from papermill.exceptions import PapermillException

    from hepml_nb.runtime import kernel

    def keep(partial: NotebookNode) -> None:
        _write(scrub(read(partial), *execution.folders), place.failed)

    scratch = Path(tempfile.mkdtemp(prefix="hepml-nb-"))
    profile = "" if place.profile == "default" else place.profile
    with Watchdog(limits) as watchdog:
        execution = kernel.Execution(
            kernel.inject(read(node), values),
            watchdog,
            scratch,
            kernel.environment(profile, scratch, env),
            keep,
            place.about.id,
        )
        try:
            kernel.execute(execution)
        except KeyboardInterrupt:
            keep(execution.node)
            raise
        except (PapermillException, DeadKernelError, zmq.ZMQError, RuntimeError, TimeoutError, OSError) as error:
            return execution, error
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    return execution, None


def _sidecar(execution: Execution, values: dict[str, Any], key: runs.Key, place: _Place) -> dict[str, Any]:
    watchdog, found, rests_on = execution.watchdog, extract(execution.node), key.results()
    return {
        "schema": 1,
        "notebook": place.about.id,
        "profile": place.profile,
        "seed": values.get("seed"),
        "parameters": values,
        "seconds": round(watchdog.seconds, 2),
        "cpu_seconds": round(watchdog.cpu_seconds, 2),
        "peak_mib": round(watchdog.peak_mib, 1),
        "versions": versions(),
        "revision": revision(),
        "key": rests_on.hex,
        "key_parts": rests_on.parts,
        **found,
    }


def _failure(execution: Execution, error: Exception, place: _Place) -> NotebookError:
    """Return the one message that says what happened, and keep the executed copy with it on top."""
    reason, what = _diagnosis(execution, error)
    index = execution.watchdog.cell
    cell = execution.node.cells[index] if index is not None and reason != "start" else None
    source = str(cell.source).rstrip() if cell is not None else ""
    number = _number(execution.node, index) if cell is not None and index is not None else None
    traceback = _tail(_traceback(cell) or _crash(execution.kernel_log))
    where = f"in cell {number} (id {cell.get('id', '?')!r})" if cell is not None else "before its first cell"
    lines = [f"{place.about.id} ({place.profile}) stopped {where}: {what}."]
    lines += ["the cell:", textwrap.indent(source, "    ")] if source else []
    lines += [f"last {_LINES} lines of the traceback:", textwrap.indent(traceback, "    ")] if traceback else []
    text = str(hide_paths("\n".join(lines), *execution.folders))
    note = nbformat().v4.new_markdown_cell(
        "**This run did not end well.**\n\n" + textwrap.indent(text, "    "), metadata={"tags": ["hepml-failure"]}
    )
    execution.node.cells.insert(0, note)
    _write(execution.node, place.failed)
    text += f"\nthe executed notebook so far: {place.failed}"
    return NotebookError(text, reason=reason, cell=number, source=source, traceback=traceback, executed=place.failed)


def _diagnosis(execution: Execution, error: Exception) -> tuple[Reason, str]:
    from nbclient.exceptions import DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    stop = execution.watchdog.stop
    if stop is not None:
        return stop.reason, f"it {stop.text}"
    if isinstance(error, PapermillExecutionError):
        last = f"{error.ename}: {error.evalue}".strip().rstrip(".")
        return "error", last if len(last) < 2_000 else last[:2_000] + " ..."
    peak = f"it had taken up to {execution.watchdog.peak_mib:.0f} MiB"
    if isinstance(error, DeadKernelError) and execution.watchdog.cell is not None:
        code = execution.exit_code
        if code == -9:
            return "dead", f"the kernel was killed (signal 9); {peak}, and signal 9 is how a system out of memory kills"
        how = f"by signal {-code}" if code is not None and code < 0 else f"with exit code {code}"
        return "dead", f"the kernel died {how}; {peak}"
    return "start", f"the kernel did not come up ({type(error).__name__}: {error})"


def _number(node: NotebookNode, index: int) -> int:
    """Return the cell's number in the notebook as committed, without the injected parameters."""
    added = [c for c in node.cells[:index] if "injected-parameters" in c.metadata.get("tags", [])]
    return index + 1 - len(added)


def _traceback(cell: NotebookNode | None) -> str:
    outputs = [] if cell is None else cell.get("outputs", [])
    return "\n".join(line for o in outputs if o.output_type == "error" for line in o.traceback)


def _crash(log: str) -> str:
    """Return what the kernel process itself said last; of faulthandler's account, the notebook's own frames."""
    start = log.find("Fatal Python error")
    if start < 0:
        return log
    account = log[start:].split("Current thread")
    if len(account) < 2:
        return log[start:]
    frames = account[1].split("\n\n")[0].splitlines()[1:]
    own = [line for line in frames if not any(name in line for name in _MACHINERY)]
    return "\n".join([account[0].splitlines()[0], *own[: _LINES - 1]])


def _tail(text: str) -> str:
    return "\n".join(_COLOURS.sub("", text).rstrip().splitlines()[-_LINES:])


def _write(node: NotebookNode, path: Path) -> None:
    with atomic_write(path) as stream:
        stream.write(nbformat().writes(node) + "\n")
