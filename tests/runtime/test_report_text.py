"""Markdown, formulas and foreign HTML become fragments that ask for nothing and run nothing."""

from __future__ import annotations

import base64
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

from hepml_nb.runtime.report_clean import clean
from hepml_nb.runtime.report_text import Markdown, ansi, highlight, highlight_css, mathml, plain_text

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


@pytest.mark.parametrize(
    "hostile",
    [
        "<script>alert(1)</script>",
        "<SCRIPT src=https://evil.example/x.js></SCRIPT>",
        "<img src=x onerror=alert(1)>",
        '<img src="https://evil.example/pixel.png">',
        "<svg onload=alert(1)><script>alert(1)</script></svg>",
        '<a href="javascript:alert(1)">x</a>',
        '<a href="javascript:1">x</a>',
        '<a href="data:text/html,<script>alert(1)</script>">x</a>',
        "<iframe src=https://evil.example></iframe>",
        '<link rel=stylesheet href="https://evil.example/x.css">',
        "<style>@import url(https://evil.example/x.css)</style>",
        '<p style="background:url(https://evil.example/x.png)">x</p>',
        '<svg><rect fill="url(https://evil.example/#x)"/></svg>',
        '<meta http-equiv="refresh" content="0;url=https://evil.example">',
        '<base href="https://evil.example/">',
        "<form action=https://evil.example><button>x</button></form>",
        "<math><mtext><script>alert(1)</script></mtext></math>",
        "<math href='javascript:alert(1)'><mi>x</mi></math>",
        "<scr<script>ipt>alert(1)</scr</script>ipt>",
        "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>",
    ],
)
def test_hostile_html_loses_what_acts(hostile: str) -> None:
    for html in (clean(hostile), Markdown()(hostile), Markdown()(f"text {hostile} text")):
        found = _Tags()
        found.feed(html)
        assert not found.tags & {"script", "style", "iframe", "link", "meta", "base", "form", "button", "object", "img"}
        for name, value in found.attributes:
            assert not name.startswith("on"), html
            assert name not in ("href", "src", "action"), html
            assert "evil" not in value, html


class _Tags(HTMLParser):
    """Collects what a browser would act on."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]


def test_tables_svg_and_formulas_pass() -> None:
    html = clean('<table><tr><td colspan="2" style="text-align: right">1</td></tr></table>')
    assert '<td colspan="2" style="text-align: right;">1</td>' in html
    assert html.startswith('<div class="scroll"><table>')  # a wide table scrolls, the page does not
    assert 'viewBox="0 0 1 1"' in clean('<svg viewBox="0 0 1 1"><path d="M0 0L1 1"/></svg>')
    assert "<msup>" in clean("<math><msup><mi>x</mi><mn>2</mn></msup></math>")
    assert clean('<a href="https://arxiv.org/abs/1902.09914">x</a>').startswith('<a href="https://arxiv')


@pytest.mark.parametrize(
    "tex",
    [
        r"\tau_{32} = \tau_3/\tau_2",
        r"p_\mathrm{T} > 550\,\mathrm{GeV}",
        r"\begin{aligned} a &= b \\ c &= d \end{aligned}",
        r"\begin{cases} 1 & x > 0 \\ 0 & \text{else} \end{cases}",
        r"\mathcal{L} = -\frac{1}{n}\sum_{i=1}^n \log p_\theta(x_i | \theta)",
        r"f(\text{jet}) = F\Big(\sum_{i \in \text{jet}} \Phi(p_i)\Big)",
        r"w = \Sigma^{-1}(\mu_\text{top} - \mu_\text{QCD})",
        r"0.94 \pm 0.01, \quad x \sim p, \quad \varepsilon_S\!=\!0.5",
        r"d_{ij} = \min(p_{Ti}^{2p}, p_{Tj}^{2p}) \frac{\Delta R_{ij}^2}{R^2}",
        r"\operatorname{softmax}(Wx) \in [0, 1], \quad \{1, 2\}",
    ],
)
def test_formulas_become_wellformed_mathml(tex: str) -> None:
    html = mathml(tex, display=True)
    root = ElementTree.fromstring(html)  # noqa: S314 - our own output
    assert root.find("{http://www.w3.org/1998/Math/MathML}math") is not None, html
    assert "\\" not in "".join(root.itertext()), html


def test_units_stand_upright_and_aligned_lines_are_aligned() -> None:
    assert "<mtext>GeV</mtext>" in mathml(r"13\,\mathrm{GeV}")
    assert mathml(r"\begin{aligned} a &= b \\ c &= d \end{aligned}").count("<mtr>") == 2
    assert "<mo>±</mo>" in mathml(r"1 \pm 2")


def test_a_formula_that_cannot_be_read_stays_as_its_source() -> None:
    assert mathml(r"\frac{1") == '<code class="tex">\\frac{1</code>'
    assert mathml(r"\nosuch x") == '<code class="tex">\\nosuch x</code>'
    assert mathml(r"\left( <script>") == '<code class="tex">\\left( &lt;script&gt;</code>'


def test_inline_and_display_formulas_in_text() -> None:
    html = Markdown()("Energy $E = mc^2$ and\n\n$$\n\\int_0^1 x\\,dx\n$$\n\ncosts \\$5 and \\$6.")
    assert html.count("<math") == 2
    assert '<span class="formula">' in html
    assert "costs $5 and $6" in html


def test_headings_are_demoted_named_once_and_the_first_is_the_title() -> None:
    page = Markdown()
    html = page("# The title\n\n## A part\n\n# Another\n\n## A part")
    assert page.title == "The title"
    assert "The title" not in html
    assert [(h.level, h.anchor) for h in page.headings] == [(2, "s-a-part"), (2, "s-another"), (2, "s-a-part-1")]
    assert "<h1" not in html


def test_links_between_notebooks_become_links_between_pages() -> None:
    known = {"../tagging/01_jets.ipynb": "../tagging/01_jets.html"}
    page = Markdown(link=known.get)
    assert '<a href="../tagging/01_jets.html">jets</a>' in page("[jets](../tagging/01_jets.ipynb)")
    assert "<a" not in page("[elsewhere](gone.ipynb)")  # not a dead link
    assert '<a href="https://arxiv.org">a</a>' in page("[a](https://arxiv.org)")


def test_pictures_are_embedded_and_outside_ones_named(tmp_path: Path) -> None:
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "dot.png").write_bytes(PIXEL)
    (tmp_path.parent / "secret.png").write_bytes(PIXEL)
    page = Markdown(tmp_path / "notebooks")
    assert page("![a dot](dot.png)").count('<img src="data:image/png;base64,') == 1
    assert "picture not included: out" in page("![out](https://example.org/a.png)")
    assert "picture not included: up" in page("![up](../../secret.png)")
    attached = page("![at](attachment:a.png)", {"a.png": {"image/png": base64.b64encode(PIXEL).decode()}})
    assert "data:image/png;base64" in attached


def test_code_is_escaped_and_highlighted_and_unknown_languages_are_text() -> None:
    assert '<span class="k">def</span>' in highlight("def f(): return '<b>'")
    assert "<b>" not in highlight("'<b>'")
    assert "&lt;x&gt;" in highlight("<x>", "no-such-language")
    assert "prefers-color-scheme: dark" in highlight_css()


def test_terminal_text_is_escaped_coloured_and_cut_in_the_middle() -> None:
    assert ansi("\x1b[32mgood\x1b[0m <b>") == '<span class="ansi-green-fg">good</span> &lt;b&gt;'
    long = ansi("\n".join(f"line {i}" for i in range(1000)), most_lines=10)
    assert "990 lines left out" in long
    assert "line 999" in long
    assert "line 500" not in long


def test_plain_text_resolves_tags_and_entities() -> None:
    assert plain_text("<b>a</b> &lt; b") == "a < b"
