"""Which HTML a report page takes from a notebook: an allow-list for tables, SVG and formulas; nothing that acts."""

from __future__ import annotations

import functools
import re
from typing import Any

__all__ = ["clean"]


def _words(text: str) -> list[str]:
    return text.split()


_HTML_TAGS = _words(
    """a abbr b blockquote br caption code col colgroup dd del details div dl dt em figcaption figure h2 h3 h4
    h5 h6 hr i img input ins kbd li mark meter ol p pre progress q s samp small span strong sub summary sup table tbody
    td tfoot th thead tr u ul var wbr"""
)
_SVG_TAGS = _words(
    """svg g defs title desc path rect circle ellipse line polyline polygon text tspan clipPath linearGradient
    radialGradient stop use symbol marker pattern"""
)
_MATH_TAGS = _words(
    """math semantics mrow mi mo mn ms mtext mspace msub msup msubsup munder mover munderover mmultiscripts
    mfrac msqrt mroot mtable mtr mtd mstyle mpadded mphantom menclose merror"""
)
_MATH_ATTRIBUTES = _words(
    """display displaystyle scriptlevel mathvariant stretchy fence form accent accentunder columnalign
    columnspacing rowspacing minsize maxsize linethickness movablelimits separator lspace rspace width height depth
    notation"""
)
_SVG_ATTRIBUTES = _words(
    """viewBox width height x y x1 y1 x2 y2 cx cy r rx ry d points fill fill-opacity fill-rule stroke
    stroke-width stroke-opacity stroke-dasharray stroke-linecap stroke-linejoin opacity transform text-anchor
    dominant-baseline font-size font-family font-weight id clip-path offset stop-color stop-opacity preserveAspectRatio
    dx dy xmlns"""
)
_ANY = {"class", "title", "lang", "dir", "role", "style", "aria-label", "aria-hidden", "aria-describedby", "scope"}
_BY_TAG = {
    "a": {"href"},
    "img": {"src", "alt", "width", "height", "loading"},
    "td": {"colspan", "rowspan"},
    "th": {"colspan", "rowspan"},
    "ol": {"start"},
    "details": {"open"},
    "input": {"type", "checked", "disabled"},
    "meter": {"value", "min", "max", "low", "high", "optimum"},
    "progress": {"value", "max"},
    **{f"h{level}": {"id"} for level in range(2, 7)},
    **{tag: set(_MATH_ATTRIBUTES) for tag in _MATH_TAGS},
    **{tag: set(_SVG_ATTRIBUTES) for tag in _SVG_TAGS},
}
# What cannot be shown is dropped with its content; bleach alone would print a script's text on the page.
_DROPPED = re.compile(r"<(script|style|iframe|object|embed|template|noscript)\b.*?(</\1\s*>|\Z)", re.DOTALL | re.I)
_PAGE_LINK = re.compile(r"(#|[\w./-]+\.html(#|$))[\w./-]*")


def _allowed(tag: str, name: str, value: str) -> bool:
    if name not in _ANY and name not in _BY_TAG.get(tag, ()):
        return False
    if name == "href":
        return bool(re.match(r"(https?://|mailto:)", value.strip(), re.I) or _PAGE_LINK.fullmatch(value.strip()))
    if name == "src":
        return value.startswith("data:image/")
    return "url(" not in value.replace(" ", "").lower() or value.startswith("url(#")


@functools.cache
def _cleaner() -> Any:
    from bleach.css_sanitizer import ALLOWED_CSS_PROPERTIES, CSSSanitizer  # type: ignore[import-untyped]
    from bleach.sanitizer import Cleaner  # type: ignore[import-untyped]

    return Cleaner(
        tags={*_HTML_TAGS, *_SVG_TAGS, *_MATH_TAGS},
        attributes=_allowed,
        protocols={"http", "https", "mailto", "data"},
        strip=True,
        css_sanitizer=CSSSanitizer(
            allowed_css_properties={*ALLOWED_CSS_PROPERTIES, "margin", "padding", "max-width", "display", "border"}
        ),
    )


def clean(html: str) -> str:
    """Return `html` with what is not on the allow-list removed: no script, no style block, no outside source."""
    safe = str(_cleaner().clean(_DROPPED.sub("", html)))
    safe = re.sub(r"<img(?![^>]*\ssrc=)[^>]*>", "", safe)
    return re.sub(r"(<table[\s>].*?</table>)", r'<div class="scroll">\1</div>', safe, flags=re.DOTALL)
