"""Cells become the body of a report page: lesson text, folded code, and outputs that need no script and no network.

Of each output the richest kind that a still page can show is taken. A widget is represented by its static twin: the
picture beside it in the same cell, or the cell tagged `static` that the notebook contract asks for; the live view is
replaced by one line that says where to move the controls.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from typing import Any

from hepml_nb.runtime.report_clean import clean
from hepml_nb.runtime.report_text import Markdown, ansi, highlight, mathml

__all__ = ["Body", "Figure", "render_cells"]

WIDGET = "application/vnd.jupyter.widget-view+json"
_PICTURES = ("image/svg+xml", "image/png", "image/jpeg", "image/gif")
_FIGURE_REPR = re.compile(r"<Figure size .*>|<IPython\.core\.display\..*>|<matplotlib\..*>|Figure\(.*\)", re.DOTALL)
_LABELS = {
    "solution": "solution (think first)",
    "injected-parameters": "parameters of this run",
    "parameters": "parameters, as committed",
}
_COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_HEAVY = 300_000  # base64 characters above which a PNG is reduced to a palette


@dataclass(frozen=True)
class Figure:
    """One picture of the page: its data URI and what it shows in words."""

    src: str
    alt: str


@dataclass
class Body:
    """What `render_cells` found: HTML of the cells in order, the pictures, and whether a cell failed."""

    html: str = ""
    figures: list[Figure] = field(default_factory=list)
    failed: bool = False
    widgets: int = 0


def render_cells(nb: Mapping[str, Any], markdown: Markdown) -> Body:
    """Return the page body of an executed notebook (nbformat 4); the first level-1 heading is left to the header."""
    body = Body()
    parts = []
    for number, cell in enumerate(nb["cells"], start=1):
        tags = set(cell.get("metadata", {}).get("tags", ()))
        if "hepml-failure" in tags:  # the page's header says it
            continue
        if cell["cell_type"] == "markdown":
            kind = "note exercise" if "exercise" in tags else "text"
            parts.append(f'<div class="{kind}">{markdown(_text(cell["source"]), cell.get("attachments"))}</div>')
        elif cell["cell_type"] == "code" and (_text(cell["source"]).strip() or cell.get("outputs")):
            parts.append(_code_cell(cell, number, tags, markdown, body))
    body.html = "\n".join(parts)
    return body


def _code_cell(cell: Mapping[str, Any], number: int, tags: set[str], markdown: Markdown, body: Body) -> str:
    source = _text(cell["source"])
    shown = [_output(output, markdown, body) for output in _joined_streams(cell.get("outputs", ()))]
    words = next((label for tag, label in _LABELS.items() if tag in tags), "code")
    lines = source.count("\n") + 1
    extent = f'<span class="extent">· {lines} line{"s" if lines > 1 else ""}</span>'
    name = f'<span class="unseen"> of cell {number}</span>'
    fold = (
        f'<details class="fold"><summary><span class="label">{words}</span>{name} {extent}</summary>'
        f"{highlight(source.rstrip())}</details>"
    )
    return f'<div class="cell" id="cell-{number}">{fold}{"".join(shown)}</div>'


def _joined_streams(outputs: Any) -> list[Mapping[str, Any]]:
    """Consecutive pieces of the same stream are one text; the kernel cuts them at will."""
    joined: list[Mapping[str, Any]] = []
    for output in outputs:
        before = joined[-1] if joined else {}
        if output["output_type"] == "stream" == before.get("output_type") and output["name"] == before["name"]:
            joined[-1] = {**before, "text": _text(before["text"]) + _text(output["text"])}
        else:
            joined.append(output)
    return joined


def _output(output: Mapping[str, Any], markdown: Markdown, body: Body) -> str:
    kind = output["output_type"]
    if kind == "stream":
        text = _after_returns(_text(output["text"])).strip("\n")
        label = '<span class="label">messages</span>' if output["name"] == "stderr" else ""
        return f'<div class="output {output["name"]}">{label}<pre>{ansi(text)}</pre></div>' if text.strip() else ""
    if kind == "error":
        body.failed = True
        # without its colours: they are meant for one terminal, and unreadable on some pages
        lines = output.get("traceback") or [f"{output['ename']}: {output['evalue']}"]
        trace = ansi(_COLOURS.sub("", "\n".join(lines)), most_lines=60)
        return (
            f'<div class="output error" role="note"><p><strong>This cell failed.</strong></p><pre>{trace}</pre></div>'
        )
    return _rich(output["data"], output.get("metadata", {}), markdown, body)


def _after_returns(text: str) -> str:
    """Keep what a terminal would show: a progress bar rewrites its line after each carriage return."""
    return "\n".join(line.rstrip("\r").rsplit("\r", 1)[-1] for line in text.split("\n"))


def _rich(data: Mapping[str, Any], metadata: Mapping[str, Any], markdown: Markdown, body: Body) -> str:
    live = ""
    if WIDGET in data:
        body.widgets += 1
        live = '<p class="live">Interactive here: open the notebook in JupyterLab and move the controls.</p>'
        data = {key: value for key, value in data.items() if key not in (WIDGET, "text/plain")}
    for mime in _PICTURES:
        if mime in data:
            return live + _picture(mime, _text(data[mime]), data, metadata, markdown, body)
    if "text/html" in data:
        return f'{live}<div class="output html">{clean(_text(data["text/html"]))}</div>'
    if "text/markdown" in data:
        return f'{live}<div class="output html">{_inner_markdown(_text(data["text/markdown"]))}</div>'
    if "text/latex" in data:
        return (
            f'{live}<div class="output html">{mathml(_text(data["text/latex"]).strip().strip("$"), display=True)}</div>'
        )
    text = _text(data.get("text/plain", ""))
    return live + (f'<div class="output"><pre>{ansi(text)}</pre></div>' if text.strip() else "")


def _inner_markdown(source: str) -> str:
    """An output's headings are no part of the lesson's contents list, so they get a renderer of their own."""
    inner = Markdown()
    inner.title = ""
    return re.sub(r'(<h\d) id="[^"]*"', r"\1", inner(source))


def _picture(
    mime: str, payload: str, data: Mapping[str, Any], metadata: Mapping[str, Any], markdown: Markdown, body: Body
) -> str:
    alt, caption = _words(mime, data, metadata)
    if not alt:
        section = next((h.text for h in reversed(markdown.headings) if h.level <= 3), "")
        alt = f"Figure {len(body.figures) + 1}" + (f" of section {section}" if section else "")
    if mime == "image/svg+xml":
        encoded = base64.b64encode(payload.encode()).decode()
    else:
        encoded = "".join(payload.split())
        mime, encoded = _lighter(mime, encoded)
    figure = Figure(f"data:{mime};base64,{encoded}", alt)
    body.figures.append(figure)
    size = metadata.get(mime, {}) if isinstance(metadata.get(mime), Mapping) else {}
    width = f' width="{int(size["width"])}"' if str(size.get("width", "")).isdigit() else ""
    below = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return f'<figure class="picture"><img src="{escape(figure.src)}" alt="{escape(alt)}"{width}>{below}</figure>'


def _words(mime: str, data: Mapping[str, Any], metadata: Mapping[str, Any]) -> tuple[str, str]:
    """Return (alternative text, caption) from the display metadata, else from a text/plain that is no bare repr."""
    own = metadata.get(mime)
    places = [place for place in (own, metadata.get("hepml"), metadata) if isinstance(place, Mapping)]
    alt, caption = (next((str(p[key]) for p in places if p.get(key)), "") for key in ("alt", "caption"))
    plain = _text(data.get("text/plain", "")).strip()
    if not alt and plain and not _FIGURE_REPR.fullmatch(plain):
        alt = plain
    return alt or caption, caption


def _lighter(mime: str, encoded: str) -> tuple[str, str]:
    """Return a large PNG with 256 colours and at most 1800 pixels across; plots lose nothing that an eye sees."""
    if mime != "image/png" or len(encoded) < _HEAVY:
        return mime, encoded
    import io

    from PIL import Image

    with Image.open(io.BytesIO(base64.b64decode(encoded))) as picture:
        flat = Image.new("RGB", picture.size, "white")
        flat.paste(picture, mask=picture.getchannel("A") if "A" in picture.getbands() else None)
    flat.thumbnail((1800, 1800))
    buffer = io.BytesIO()
    flat.quantize(256).save(buffer, "PNG", optimize=True)
    smaller = base64.b64encode(buffer.getvalue()).decode()
    return mime, min(smaller, encoded, key=len)


def _text(value: Any) -> str:
    """nbformat allows text as one string or as a list of lines."""
    return value if isinstance(value, str) else "".join(value)
