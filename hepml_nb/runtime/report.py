"""Reports: notebooks are run, side by side where there are cores, and leave a folder of pages that open from a file.

Two recipes are for a reader's own work: `report_one` (one notebook, my parameters) and `report_scores` (my scores).
"""

from __future__ import annotations

import datetime
import json
import os
import posixpath
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hepml_nb.core import HepmlError, InputError, NotFound, atomic_dir, cores
from hepml_nb.runtime.notebooks import discover, find, info
from hepml_nb.runtime.parameters import read_parameters
from hepml_nb.runtime.provenance import revision
from hepml_nb.runtime.report_index import Card, card, index_page
from hepml_nb.runtime.report_numbers import applicable_golden
from hepml_nb.runtime.report_page import Failure, Page, make_page
from hepml_nb.runtime.runner import NotebookError, run
from hepml_nb.runtime.scoreboard import boards

__all__ = ["Made", "Report", "build_report", "report_one", "report_scores"]

SCORES = "reports/01_your_scores"
_MARKER = "report.json"  # what tells a report's folder from any other


@dataclass(frozen=True)
class Made:
    """One notebook of a report: its page, the names of numbers outside their bands, and why it failed, if it did."""

    notebook: str
    href: str
    card: Card = field(repr=False)
    html: str = field(repr=False)
    sidecar: Mapping[str, Any] = field(repr=False)
    outside: tuple[str, ...] = ()
    failure: str = ""

    def __str__(self) -> str:
        state = self.failure.partition("\n")[0] or f"{self.card.mark} {self.card.verdict}"
        return f"{self.notebook}: {state} ({self.card.time})" if self.card.time else f"{self.notebook}: {state}"


@dataclass(frozen=True)
class Report:
    """A finished report: the page to open, one `Made` per notebook, and the seconds it took."""

    index: Path
    pages: tuple[Made, ...]
    seconds: float

    @property
    def failed(self) -> tuple[Made, ...]:
        """The notebooks that did not run to their end."""
        return tuple(one for one in self.pages if one.failure)

    @property
    def outside(self) -> tuple[str, ...]:
        """The numbers outside their golden bands, as "notebook: metric"."""
        return tuple(f"{one.notebook}: {name}" for one in self.pages for name in one.outside)

    def to_dict(self) -> dict[str, Any]:
        """Return what a machine reads of the report (also in report.json)."""
        notebooks = [
            {
                "notebook": one.notebook,
                "page": one.href,
                "title": one.card.title,
                "banded": one.card.banded,
                "outside": list(one.outside),
                "failure": one.failure,
            }
            for one in self.pages
        ]
        return {"schema": 1, "generator": "hepml-nb", "seconds": round(self.seconds, 1), "notebooks": notebooks}


@dataclass(frozen=True)
class _Job:
    """What a worker needs to make one page."""

    notebook: str
    href: str
    parameters: Mapping[str, Any]
    profile: str
    seed: int | None
    pages: tuple[str, ...]  # ids of all notebooks of the report, for links between pages
    options: Mapping[str, Any]


def build_report(
    notebooks: Sequence[str] | None = None,
    *,
    profile: str = "smoke",
    seed: int | None = None,
    out: str | Path = "report",
    jobs: int | None = None,
    say: Callable[[str], Any] | None = None,
    parameters: Mapping[str, Any] | None = None,
    **options: Any,
) -> Report:
    """Run the notebooks (all but indexes by default) and write their pages, the index and the scoreboard to `out`.

    `out` is replaced as a whole when everything is ready; it must be new, empty or an earlier report (InputError).
    jobs: how many run side by side, one per core by default, each with its share of the threads. say: told of each
    notebook as it ends. parameters: given to all of them. options: more of `run`'s. A notebook that fails gets a page
    that says so; see `Report.failed`.
    """
    start, target = time.monotonic(), Path(out)
    _check_target(target)
    ids = _lessons() if notebooks is None else list(dict.fromkeys(_id(name) for name in notebooks))
    if not ids:
        raise NotFound("there is no notebook to report on; notebooks/ is empty.")
    ids.sort(key=lambda name: -info(name).minutes.get(profile, 0.0))  # the longest first fills the cores best
    work = [_Job(name, f"{name}.html", parameters or {}, profile, seed, tuple(ids), options) for name in ids]
    made = {}
    for number, one in enumerate(_make_all(work, jobs or min(cores(), len(work))), start=1):
        made[one.notebook] = one
        if say is not None:
            say(f"[{number}/{len(work)}] {one}")
    pages = tuple(made[name] for name in sorted(ids))
    report = Report(target / "index.html", pages, time.monotonic() - start)
    index = index_page(
        [one.card for one in pages],
        boards(),
        profile=profile,
        revision=revision(),
        made=datetime.datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
        seconds=report.seconds,
    )
    _write(report, {"index.html": index, **{one.href: one.html for one in pages}})
    return report


def report_one(
    notebook: str | Path,
    parameters: Mapping[str, Any] | None = None,
    *,
    profile: str | None = None,
    seed: int | None = None,
    out: str | Path = "my_report",
    **options: Any,
) -> Report:
    """Run one notebook with the reader's parameters; `out`/index.html is its page, complete in one file.

    Raises InputError or NotFound, before anything runs, for parameters that do not fit. A run that fails leaves a
    page that says so; see `Report.failed`.
    """
    from hepml_nb.runtime.parameters import validate

    start, target = time.monotonic(), Path(out)
    _check_target(target)
    name = _id(notebook)
    given = dict(parameters or {})
    chosen = profile or str(given.get("profile") or os.environ.get("HEPML_NB_PROFILE") or "smoke")
    known = read_parameters(name)
    beside = {"profile": chosen, **({} if seed is None else {"seed": seed})}
    validate(name, {**given, **{k: v for k, v in beside.items() if k in known and k not in given}})
    made = _make(_Job(str(notebook), "index.html", given, chosen, seed, (), options))
    report = Report(target / "index.html", (made,), time.monotonic() - start)
    _write(report, {"index.html": made.html})
    return report


def report_scores(
    scores: str | Path, parameters: Mapping[str, Any] | None = None, *, out: str | Path = "my_report", **options: Any
) -> Report:
    """Compare the taggers whose labels and scores stand in a Parquet file; `out`/index.html is the page.

    parameters: of the notebook `reports/01_your_scores`, such as label="is_top". Raises NotFound for a missing file,
    InputError for one that is no Parquet.
    """
    path = Path(scores).expanduser().resolve()
    if not path.is_file():
        raise NotFound(f"there is no file {str(scores)!r}; give a Parquet file with columns of labels and scores.")
    with path.open("rb") as stream:
        if stream.read(4) != b"PAR1":
            raise InputError(
                f"{path.name} is no Parquet file; write one with pandas: "
                "DataFrame({'label': y, 'my_score': s}).to_parquet('scores.parquet')."
            )
    return report_one(SCORES, {**(parameters or {}), "scores_file": str(path)}, out=out, **options)


def _id(notebook: str | Path) -> str:
    path = find(notebook)
    name = info(path).id
    return name if name in discover() else str(path)


def _lessons() -> list[str]:
    return [name for name in discover() if info(name).kind != "index"]


def _make_all(work: Sequence[_Job], jobs: int) -> Iterator[Made]:
    """Yield finished pages; several processes, since each run watches its own kernel."""
    if jobs <= 1 or len(work) == 1:
        yield from map(_make, work)
        return
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor, as_completed

    share = max(1, cores() // jobs)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=_share_cores, initargs=(share,)) as pool:
        futures = [pool.submit(_make, job) for job in work]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _share_cores(threads: int) -> None:
    os.environ.setdefault("HEPML_NB_THREADS", str(threads))


def _make(job: _Job) -> Made:
    """Run one notebook and render its page; every error of ours becomes a page that says what happened."""
    about = info(job.notebook)
    failure: HepmlError | None = None
    sidecar: dict[str, Any] = {}
    seconds: float | None = None
    try:
        done = run(job.notebook, job.parameters, profile=job.profile, seed=job.seed, **job.options)
        executed, sidecar, seconds = done.executed, done.metrics, done.seconds
    except NotebookError as error:
        executed, failure = error.executed, error
    except HepmlError as error:
        executed, failure = find(job.notebook), error
    home = "" if job.href == "index.html" else posixpath.relpath("index.html", posixpath.dirname(job.href) or ".")
    page = make_page(
        executed,
        sidecar or {"notebook": about.id, "profile": job.profile, "parameters": dict(job.parameters)},
        golden=applicable_golden(job.notebook, sidecar) if sidecar else None,
        defaults=_defaults(job.notebook),
        link=_linker(job),
        home=home or None,
        failure=_reason(failure),
    )
    return Made(
        notebook=about.id,
        href=job.href,
        card=card(about, page, job.href, seconds),
        html=page.html(),
        sidecar=sidecar,
        outside=_outside(page),
        failure=str(failure) if failure else "",
    )


def _reason(error: HepmlError | None) -> Failure | None:
    if error is None:
        return None
    summary, _, rest = str(error).partition("\n")
    return Failure(summary, "" if isinstance(error, NotebookError) else rest)


def _outside(page: Page) -> tuple[str, ...]:
    return tuple(name for name, band in page.verdicts.items() if band.css == "bad")


def _defaults(notebook: str) -> dict[str, Any]:
    try:
        return {name: parameter.default for name, parameter in read_parameters(notebook).items()}
    except HepmlError:
        return {}


def _linker(job: _Job) -> Callable[[str], str | None]:
    """Return the map from a link between notebooks to one between pages; None for what the report does not have."""
    folder = posixpath.dirname(job.notebook)

    def link(target: str) -> str | None:
        path, _, anchor = target.partition("#")
        if not path.endswith(".ipynb"):
            return None
        name = posixpath.normpath(posixpath.join(folder, path)).removesuffix(".ipynb")
        page = f"{name}.html" if name in job.pages else "index.html" if name == "index" and job.pages else None
        if page is None:
            return None
        relative = posixpath.relpath(page, posixpath.dirname(job.href) or ".")
        return f"{relative}#s-{anchor.lower()}" if anchor else relative

    return link


def _check_target(target: Path) -> None:
    if target.exists() and not target.is_dir():
        raise InputError(f"out={str(target)!r} is a file; a report is a folder.")
    if target.is_dir() and any(target.iterdir()) and not (target / _MARKER).is_file():
        raise InputError(
            f"out={str(target)!r} holds other files and would be replaced; name a new folder or an earlier report."
        )


def _write(report: Report, files: Mapping[str, str]) -> None:
    """Write the whole folder aside and put it in place at once: a reader sees the old report or the new one."""
    with atomic_dir(report.index.parent.resolve()) as aside:
        for name, text in files.items():
            path = aside / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        for one in report.pages:
            if one.sidecar:
                path = aside / f"{one.notebook.lstrip('/')}.{one.sidecar['profile']}.metrics.json"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(json.dumps(one.sidecar, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        (aside / _MARKER).write_text(
            json.dumps(report.to_dict(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
        )
