"""The index page of a report: a card per notebook, and the scoreboard of the committed results below."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

from hepml_nb.runtime.notebooks import Info
from hepml_nb.runtime.report_numbers import tally
from hepml_nb.runtime.report_page import Fact, Page, duration, render, topic_title
from hepml_nb.runtime.scoreboard import Board

__all__ = ["Card", "card", "index_page", "thumbnail"]

_NUMBERS = 5  # how many numbers a card shows
_ORDER = ("start", "tagging", "unfolding", "anomaly", "calo", "sbi", "reports")


@dataclass
class Card:
    """One notebook on the index page."""

    title: str
    topic: str
    href: str
    summary: str
    picture: str
    alt: str
    numbers: list[tuple[str, str]]
    verdict: str
    mark: str
    css: str
    time: str
    banded: int = 0
    outside: int = 0

    @property
    def topic_title(self) -> str:
        """The topic's name for readers."""
        return topic_title(self.topic)

    @property
    def initials(self) -> str:
        """What stands where there is no picture."""
        return "".join(word[0] for word in self.title.split()[:2]).upper() or "?"


@dataclass
class _Site:
    lede: str
    facts: list[Fact]
    cards: list[Card]
    boards: list[Board]
    footer: str


def card(about: Info, page: Page, href: str, seconds: float | None) -> Card:
    """Return the card of a notebook from its finished page."""
    words, mark, css = tally(page.verdicts)
    if page.failure:
        words, mark, css = "run failed", "✗", "bad"
    elif page.verdicts:
        inside = sum(band.css != "bad" for band in page.verdicts.values())
        words = f"{inside} of {len(page.verdicts)} in band"
    first = page.figures[0] if page.figures else None
    times = [f"ran in {duration(seconds)}"] if seconds is not None else []
    if minutes := about.minutes.get("tutorial"):
        times.append(f"tutorial about {minutes:g} min")
    return Card(
        title=page.title,
        topic=about.topic,
        href=href,
        summary=page.summary,
        picture=thumbnail(first.src) if first else "",
        alt=first.alt if first else "",
        numbers=[(row.name.rstrip(" ↑↓→"), row.value) for row in page.headlines[:_NUMBERS]],
        verdict=words,
        mark=mark,
        css=css,
        time=" · ".join(times),
        banded=len(page.verdicts),
        outside=sum(band.css == "bad" for band in page.verdicts.values()),
    )


def index_page(
    cards: Sequence[Card], boards: Sequence[Board], *, profile: str, revision: str, made: str, seconds: float
) -> str:
    """Return the index page as HTML; boards link to the page of their notebook where the report has one."""
    links = {one.href.removesuffix(".html"): one.href for one in cards}
    for board in boards:
        board.href = links.get(board.notebook)
    order = sorted(cards, key=lambda one: (_ORDER.index(one.topic) if one.topic in _ORDER else len(_ORDER), one.href))
    banded, outside = sum(one.banded for one in cards), sum(one.outside for one in cards)
    failed = sum(one.verdict == "run failed" for one in cards)
    facts = [Fact("notebooks", str(len(cards))), Fact("profile", profile), Fact("made in", duration(seconds))]
    if banded:
        word = "✓ all inside" if not outside else f"✗ {outside} outside"
        facts.append(Fact("numbers in golden bands", f"{banded - outside} of {banded}, {word}", _good(not outside)))
    if failed:
        facts.append(Fact("failed runs", f"✗ {failed}", "bad"))
    lede = (
        "Each card is a notebook that was executed from its first cell to its last. Its numbers carry errors, and "
        "those with a golden band were compared with it."
    )
    footer = (
        f"Made by hepml-nb from revision {_short(revision)}, {made}. This page needs no network and runs no script."
    )
    return render("index.html", site=_Site(lede, facts, order, list(boards), footer))


def thumbnail(src: str, width: int = 640, height: int = 400) -> str:
    """Return a small version of a PNG or JPEG data URI; other pictures as they are."""
    head, _, payload = src.partition(";base64,")
    if head not in ("data:image/png", "data:image/jpeg"):
        return src
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(base64.b64decode(payload))) as picture:
            small = picture.convert("RGBA")
    except (UnidentifiedImageError, OSError, ValueError):
        return ""
    flat = Image.new("RGB", small.size, "white")
    flat.paste(small, mask=small.getchannel("A"))
    flat.thumbnail((width, height), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    flat.quantize(64).save(buffer, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _short(revision: str) -> str:
    commit, plus, changes = revision.partition("+")
    return f"{commit[:12]}{plus}{changes}"


def _good(good: bool) -> str:
    return "good" if good else "bad"
