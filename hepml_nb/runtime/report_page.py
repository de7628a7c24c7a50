"""One executed notebook and its sidecar become one self-contained HTML page: no script, no network, light and dark."""

from __future__ import annotations

import functools
import json
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from hepml_nb.runtime.notebooks import info, read
from hepml_nb.runtime.report_cells import Figure, render_cells
from hepml_nb.runtime.report_numbers import Band, ClaimRow, Row, bands, claim_rows, rows, tally
from hepml_nb.runtime.report_text import Heading, Markdown, highlight_css, plain_text

__all__ = ["Fact", "Failure", "Page", "make_page", "render", "topic_title"]

_TOPICS = {
    "": "Front door",
    "start": "Start here",
    "tagging": "Jet tagging",
    "unfolding": "Unfolding",
    "anomaly": "Anomaly detection",
    "calo": "Calorimeter simulation",
    "sbi": "Simulation-based inference",
    "reports": "Reports",
}
_HEADLINES = 6
_VERSIONS = 16  # how many package versions a page lists


@dataclass(frozen=True)
class Fact:
    """A short labelled value in a page's header."""

    what: str
    value: str
    css: str = ""


@dataclass(frozen=True)
class Failure:
    """Why a run ended early: one sentence and the end of its traceback."""

    summary: str
    detail: str = ""


@dataclass
class Table:
    """A dataset's provenance: (name, value) pairs, and the nested rest as indented JSON."""

    name: str
    entries: list[tuple[str, str]]
    rest: str = ""


@dataclass
class Page:
    """Everything that the page template shows, as plain text except `body`, which is cleaned HTML."""

    notebook: str
    title: str
    topic: str
    body: str
    summary: str = ""
    facts: list[Fact] = field(default_factory=list)
    contents: list[Heading] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    claims: list[ClaimRow] = field(default_factory=list)
    verdicts: dict[str, Band] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    caption: str = ""
    own: list[tuple[str, str]] = field(default_factory=list)
    parameters: list[tuple[str, str]] = field(default_factory=list)
    datasets: list[Table] = field(default_factory=list)
    versions: list[tuple[str, str]] = field(default_factory=list)
    revision: str = "unknown"
    home: str | None = None
    again: str = ""
    failure: Failure | None = None
    figures: list[Figure] = field(default_factory=list)

    @property
    def any_floor(self) -> bool:
        """Whether any number has a floor; empty columns are left out."""
        return any(row.floor != "–" for row in self.rows)

    @property
    def any_baseline(self) -> bool:
        """Whether any number has a baseline."""
        return any(row.baseline != "–" for row in self.rows)

    @property
    def any_published(self) -> bool:
        """Whether any number has a published value beside it."""
        return any(row.published for row in self.rows)

    @property
    def any_band(self) -> bool:
        """Whether any number has a golden band."""
        return bool(self.verdicts)

    @property
    def headlines(self) -> list[Row]:
        """The numbers shown at once: those outside their bands, then the first of each method, at most six in all."""
        outside = [row for row in self.rows if row.band is not None and row.band.css == "bad"]
        firsts = {row.name.partition(".")[0]: row for row in reversed(self.rows)}
        ordered = [*outside, *firsts.values(), *self.rows]
        chosen = list(dict.fromkeys(row.name for row in ordered))[: max(_HEADLINES, len(outside))]
        return [row for row in self.rows if row.name in chosen]

    @property
    def others(self) -> list[Row]:
        """The numbers that unfold below."""
        shown = {row.name for row in self.headlines}
        return [row for row in self.rows if row.name not in shown]

    def html(self) -> str:
        """Return the page as one HTML document."""
        return render("page.html", page=self)


def make_page(
    executed: Path,
    sidecar: Mapping[str, Any],
    *,
    golden: Mapping[str, Any] | None = None,
    defaults: Mapping[str, Any] | None = None,
    link: Callable[[str], str | None] | None = None,
    home: str | None = None,
    failure: Failure | None = None,
) -> Page:
    """Return the page of an executed notebook.

    sidecar: its metrics, parameters and provenance (may lack keys when the run failed). golden: the bands, where they
    apply to these parameters. defaults: the notebook's own parameter values, to say which the reader changed.
    link: maps a relative link to another page of the report. home: relative link to the index page.
    """
    node = read(executed)
    about = info(node)
    notebook = str(sidecar.get("notebook") or about.id)
    source = _source_folder(notebook)
    markdown = Markdown(source, link)
    body = render_cells(node, markdown)
    verdicts = bands(sidecar, golden)
    topic = about.topic or notebook.partition("/")[0]
    page = Page(
        notebook=notebook,
        title=markdown.title or about.title,
        topic=topic_title(topic) if "/" in notebook or about.topic else "",
        body=body.html,
        summary=_summary(body.html),
        facts=_facts(sidecar, verdicts),
        contents=[heading for heading in markdown.headings if heading.level == 2],
        rows=rows(sidecar, verdicts),
        claims=claim_rows(sidecar.get("claims", ())),
        verdicts=verdicts,
        notes=_notes(sidecar, golden, verdicts),
        caption=_caption(sidecar, verdicts),
        parameters=[(str(k), _shown(v)) for k, v in sidecar.get("parameters", {}).items()],
        datasets=[_dataset(one) for one in sidecar.get("dataset") or ()],
        versions=[(str(k), str(v)) for k, v in list(sidecar.get("versions", {}).items())[:_VERSIONS]],
        revision=str(sidecar.get("revision", "unknown")),
        home=home,
        failure=failure,
        figures=body.figures,
    )
    if defaults is not None:
        changed = {k: v for k, v in sidecar.get("parameters", {}).items() if k != "profile" and v != defaults.get(k)}
        page.own = [(k, _shown(v)) for k, v in changed.items()]
        page.again = _again(notebook, str(sidecar.get("profile", "smoke")), changed)
    return page


def topic_title(topic: str) -> str:
    """Return a topic's name for readers."""
    return _TOPICS.get(topic, topic.replace("_", " ").capitalize())


def render(template: str, **values: Any) -> str:
    """Fill one of the package's templates; every value is escaped unless the template says otherwise."""
    return str(_environment().get_template(template).render(css=_css(), **values))


@functools.cache
def _environment() -> Any:
    import jinja2

    return jinja2.Environment(
        loader=jinja2.PackageLoader("hepml_nb.runtime", "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )


@functools.cache
def _css() -> Any:
    from markupsafe import Markup

    own = resources.files("hepml_nb.runtime").joinpath("templates/style.css").read_text(encoding="utf-8")
    return Markup(own + highlight_css())  # noqa: S704 - both are files of this package and of Pygments


def _source_folder(notebook: str) -> Path | None:
    """Pictures in Markdown are relative to the notebook's source, not to where its executed copy lies."""
    from hepml_nb.core import HepmlError, notebooks_dir

    try:
        return (notebooks_dir() / notebook).parent
    except HepmlError:
        return None


def _summary(body: str) -> str:
    """Return the first sentences of the first paragraph, at most 180 characters, for the index page."""
    first = re.search(r"<p>(.*?)</p>", body, re.DOTALL)
    text = " ".join(plain_text(first[1]).split()) if first else ""
    if len(text) <= 180:
        return text
    whole = re.match(r".{20,180}[.?!](?=\s)", text)
    return whole[0] if whole else text[:180].rsplit(" ", 1)[0] + " …"


def _facts(sidecar: Mapping[str, Any], verdicts: Mapping[str, Band]) -> list[Fact]:
    facts = [Fact(name, str(sidecar[name])) for name in ("profile", "seed") if sidecar.get(name) is not None]
    names = [str(one.get("name", one.get("dataset", "?"))) for one in sidecar.get("dataset") or ()]
    if names:
        facts.append(Fact("dataset" if len(names) == 1 else "datasets", ", ".join(names)))
    if (seconds := sidecar.get("seconds")) is not None:
        facts.append(Fact("time", duration(float(seconds))))
    if peak := sidecar.get("peak_mib"):
        facts.append(Fact("peak memory", f"{float(peak):,.0f} MiB"))
    if verdicts:
        words, mark, css = tally(verdicts)
        facts.append(Fact("golden bands", f"{mark} {words}", css))
    return facts


def duration(seconds: float) -> str:
    """Return 9.1 s, 2 min 5 s or 1 h 20 min."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _notes(sidecar: Mapping[str, Any], golden: Mapping[str, Any] | None, verdicts: Mapping[str, Band]) -> list[str]:
    recorded = {metric["name"] for metric in sidecar.get("metrics", ())}
    notes = [f"✗ {name} has a golden band, but was not recorded." for name in verdicts if name not in recorded]
    if any(metric.get("floor") is not None for metric in sidecar.get("metrics", ())):
        notes.append("Floor: what a perfect method would score on a sample of this size.")
    if golden:
        notes.append("Golden band: where this number must lie at smoke size, from runs with several seeds.")
    if sidecar.get("profile") == "smoke" and verdicts:
        notes.append(
            "Smoke size tests the code path in seconds; the physics is shown by the tutorial and long results."
        )
    return notes


def _caption(sidecar: Mapping[str, Any], verdicts: Mapping[str, Band]) -> str:
    count = len(sidecar.get("metrics", ()))
    words = f"{count} recorded number{'s' if count != 1 else ''}, error = one standard deviation"
    return f"{words}; {tally(verdicts)[0]}" if verdicts else words


def _dataset(provenance: Mapping[str, Any]) -> Table:
    name = str(provenance.get("name", provenance.get("dataset", "")))
    plain = {key: _short(value) for key, value in provenance.items() if key != "name"}
    entries = [(str(key).replace("_", " "), value) for key, value in plain.items() if value]
    rest = {key: provenance[key] for key, value in plain.items() if value is None}
    return Table(name, entries, json.dumps(rest, indent=1, ensure_ascii=False, default=str) if rest else "")


def _short(value: Any) -> str | None:
    """Return a value that fits a line: text, a number, or counts such as "train: qcd 2,000, top 2,000"; else None."""
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, bool | int | float):
        return str(value)
    if not isinstance(value, Mapping):
        return None
    if all(isinstance(n, int) for n in value.values()):
        return ", ".join(f"{name} {n:,}" for name, n in value.items())
    parts = {name: _short(inner) for name, inner in value.items() if isinstance(inner, Mapping)}
    if len(parts) == len(value) and all(part is not None and ":" not in part for part in parts.values()):
        return "; ".join(f"{name}: {part}" for name, part in parts.items())
    return None


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else repr(value)


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _again(notebook: str, profile: str, changed: Mapping[str, Any]) -> str:
    pairs: Sequence[str] = [f"{name}={_plain(value)}" for name, value in changed.items()]
    words = ["hepml-nb", "report", notebook, "--profile", profile, *(word for pair in pairs for word in ("-p", pair))]
    return shlex.join(words)
