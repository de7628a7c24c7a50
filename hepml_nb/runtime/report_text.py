"""Text becomes HTML for a page without network or scripts: Markdown with formulas, highlighted code, terminal text.

Formulas are turned into MathML when the page is built (every current browser draws it), pictures become data URIs,
and all HTML that comes from a notebook passes `clean()`.
"""

from __future__ import annotations

import base64
import functools
import mimetypes
import re
import urllib.parse
from collections.abc import Callable, Mapping
from html import escape
from pathlib import Path
from typing import Any

from hepml_nb.runtime.report_clean import clean

__all__ = ["Heading", "Markdown", "ansi", "highlight", "highlight_css", "mathml", "plain_text"]


def plain_text(html: str) -> str:
    """Return the text of an HTML fragment (used for names and contents lists), tags and entities resolved."""
    import html as entities

    return entities.unescape(re.sub(r"<[^>]+>", "", html)).strip()


# --- formulas ---------------------------------------------------------------------------------------------------

# The converter knows no `aligned`, sets \mathrm{GeV} as three letters apart and has no negative space.
_TEX_FIXES: tuple[tuple[str, str], ...] = (
    (r"\\(begin|end)\{(aligned|alignedat|gathered|eqnarray\*?|align|gather\*?)\}(\[\w\])?", r"\\\1{split}"),
    (r"\\(begin|end)\{equation\*?\}", ""),
    (r"\\label\{[^}]*\}", ""),
    (r"\\(?:mathrm|textrm|rm)\s*\{([\w .,/+-]+)\}", r"\\text{\1}"),
    (r"\{\s*\\rm\s+([\w .,/+-]+)\}", r"{\\text{\1}}"),
    (r"\\operatorname\*?\{([\w ]+)\}", r"\\text{\1}\\,"),
    (r"\\href\{[^}]*\}", ""),
    (r"\\!|\\middle(?![a-zA-Z])", ""),
    (r"\\sim(?![a-zA-Z])", "∼"),
)
_OPERATORS = {"&#x000B1;": "±", "∼": "∼", "&#x027E8;": "⟨", "&#x027E9;": "⟩", "&#x02213;": "∓", "&#x000D7;": "×"}


def mathml(tex: str, *, display: bool = False) -> str:
    """Return the formula as MathML; one that the converter cannot read stays visible as its source in <code>."""
    from latex2mathml.converter import convert

    source = tex.strip()
    for pattern, replacement in _TEX_FIXES:
        source = re.sub(pattern, replacement, source)
    unreadable: tuple[type[Exception], ...] = (ValueError, LookupError, AttributeError, RecursionError, *_tex_errors())
    try:
        html = convert(source, display="block" if display else "inline") if _balanced(source) else "\\"
    except unreadable:
        html = "\\"
    if "\\" in html:  # the converter copies a command that it does not know
        return f'<code class="tex">{escape(tex.strip())}</code>'
    for entity, sign in _OPERATORS.items():
        html = html.replace(f"<mi>{entity}</mi>", f"<mo>{sign}</mo>")
    if not display:
        return html
    return f'<span class="formula">{html}</span>'


def _balanced(tex: str) -> bool:
    """The converter closes open braces silently, and so would show half a fraction."""
    plain = re.sub(r"\\.", "", tex)
    return plain.count("{") == plain.count("}")


@functools.cache
def _tex_errors() -> tuple[type[Exception], ...]:
    """The converter's own errors share no base class."""
    from latex2mathml import exceptions

    kinds: list[type[Exception]] = [k for k in vars(exceptions).values() if isinstance(k, type)]
    return tuple(kinds)


# --- Markdown ---------------------------------------------------------------------------------------------------


class Heading:
    """One heading of the page: level (2 to 6), text and the anchor that the contents list points at."""

    def __init__(self, level: int, text: str, anchor: str) -> None:
        self.level, self.text, self.anchor = level, text, anchor

    def __repr__(self) -> str:
        return f"Heading({self.level}, {self.text!r}, #{self.anchor})"


class Markdown:
    """Renders the Markdown of one notebook; remembers its headings, so anchors stay unique over all cells.

    folder: where relative pictures lie. link: maps a relative link (a notebook) to a page, or to None when that
    page is not part of the report. The first level-1 heading is the page's title: kept in `.title`, not rendered.
    """

    def __init__(self, folder: Path | None = None, link: Callable[[str], str | None] | None = None) -> None:
        self.folder = folder
        self.link = link or (lambda target: None)
        self.title: str | None = None
        self.headings: list[Heading] = []

    def __call__(self, source: str, attachments: Mapping[str, Mapping[str, str]] | None = None) -> str:
        """Return the cleaned HTML of one Markdown cell or output."""
        from nbconvert.filters.markdown_mistune import MarkdownWithMath

        return clean(str(MarkdownWithMath(renderer=_renderer(self, dict(attachments or {}))).render(source)))

    def anchor(self, text: str) -> str:
        """Return an id for a heading that no earlier heading of the notebook has."""
        base = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "section"
        taken = {heading.anchor for heading in self.headings}
        return next(name for i in range(len(taken) + 1) if (name := f"s-{base}" + (f"-{i}" if i else "")) not in taken)

    def picture(self, src: str, attachments: Mapping[str, Mapping[str, str]]) -> str | None:
        """Return a data URI for an attachment or a file beside the notebook; None for anything from outside."""
        if src.startswith("data:image/"):
            return src
        if src.startswith("attachment:"):
            bundle = attachments.get(src.removeprefix("attachment:"), {})
            return next((f"data:{mime};base64,{''.join(data)}" for mime, data in bundle.items()), None)
        if self.folder is None or re.match(r"[a-z]+:", src, re.I):
            return None
        root = self.folder.resolve()
        file = (root / urllib.parse.unquote(src)).resolve()
        mime = mimetypes.guess_type(file.name)[0] or ""
        if not mime.startswith("image/") or not file.is_file() or not file.is_relative_to(root.parent):
            return None
        return f"data:{mime};base64,{base64.b64encode(file.read_bytes()).decode()}"


def _renderer(page: Markdown, attachments: dict[str, Mapping[str, str]]) -> Any:
    from nbconvert.filters.markdown_mistune import IPythonRenderer

    class Renderer(IPythonRenderer):
        """Jupyter's Markdown with MathML, demoted headings, embedded pictures and links between pages."""

        def heading(self, text: str, level: int, **attrs: Any) -> str:
            words = plain_text(text)
            if level == 1 and page.title is None:
                page.title = words
                return ""
            level = max(level, 2)
            mark = Heading(level, words, page.anchor(words))
            page.headings.append(mark)
            return f'<h{level} id="{mark.anchor}">{text}</h{level}>\n'

        def block_math(self, body: str) -> str:
            return mathml(body, display=True)

        def inline_math(self, body: str) -> str:
            return mathml(body)

        def latex_environment(self, name: str, body: str) -> str:
            return mathml(rf"\begin{{{name}}}{body}\end{{{name}}}", display=True)

        def block_code(self, code: str, info: str | None = None) -> str:
            return highlight(code, (info or "text").split()[0] if (info or "").strip() else "text")

        def image(self, text: str, url: str, title: str | None = None) -> str:
            alt = plain_text(text)
            src = page.picture(url, attachments)
            if src is None:
                return f'<span class="gone">[picture not included: {escape(alt or url)}]</span>'
            return f'<img src="{src}" alt="{escape(alt)}">'

        def link(self, text: str, url: str, title: str | None = None) -> str:
            if re.match(r"(https?://|mailto:|#)", url, re.I):
                return f'<a href="{escape(url)}">{text}</a>'
            target = page.link(url)
            return f'<a href="{escape(target)}">{text}</a>' if target else f"<span>{text}</span>"

    return Renderer(escape=False, exclude_anchor_links=True)


# --- code and terminal text -------------------------------------------------------------------------------------


def highlight(source: str, language: str = "python") -> str:
    """Return code as a scrollable, highlighted <pre> (plain text for a language that Pygments does not know)."""
    from pygments import highlight as pygmentize  # type: ignore[import-untyped]
    from pygments.formatters import HtmlFormatter  # type: ignore[import-untyped]
    from pygments.lexers import get_lexer_by_name  # type: ignore[import-untyped]
    from pygments.util import ClassNotFound  # type: ignore[import-untyped]

    try:
        lexer = get_lexer_by_name(language)
    except ClassNotFound:
        lexer = get_lexer_by_name("text")
    body = pygmentize(source, lexer, HtmlFormatter(nowrap=True))
    return f'<pre class="code"><code>{body}</code></pre>'


@functools.cache
def highlight_css() -> str:
    """Return the colours of highlighted code, light and dark, both with enough contrast (WCAG AA)."""
    from pygments.formatters import HtmlFormatter

    def rules(style: str) -> str:
        lines = HtmlFormatter(style=style).get_style_defs(".code").splitlines()
        return "\n".join(line for line in lines if line.startswith(".code .") and "linenos" not in line)

    return f"{rules('xcode')}\n@media (prefers-color-scheme: dark) {{\n{rules('github-dark')}\n}}"


def ansi(text: str, most_lines: int = 200) -> str:
    """Return terminal text as escaped HTML with its colours; beyond `most_lines` the middle is left out, and said."""
    from nbconvert.filters.ansi import ansi2html

    lines = text.split("\n")
    if (left_out := len(lines) - most_lines) > 0:
        half = most_lines // 2
        lines = [*lines[:half], f"… {left_out} lines left out …", *lines[-half:]]
    text = "\n".join(line[:2000] for line in lines)
    return str(ansi2html(text))  # type: ignore[no-untyped-call]
