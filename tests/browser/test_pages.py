"""Report pages in a real browser: quiet, self-contained, usable by keyboard, readable when narrow or dark."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from hepml_nb.runtime.notebooks import info
from hepml_nb.runtime.notebooks import nbformat as quick_nbformat
from hepml_nb.runtime.report_index import card, index_page
from hepml_nb.runtime.report_page import make_page

pytestmark = pytest.mark.browser

HOSTILE = "<script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">"
TEXT = r"""# A page

Where $p_\mathrm{T} > 550\,\mathrm{GeV}$ and

$$\tau_{32} = \frac{\tau_3}{\tau_2}, \qquad L = -\frac{1}{n}\sum_j \log p_j.$$

## First part

[Elsewhere](https://arxiv.org/abs/1902.09914) and ![outside](https://example.org/a.png)

## Second part
"""


def _picture() -> str:
    import base64

    buffer = io.BytesIO()
    Image.linear_gradient("L").save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


@pytest.fixture
def page_file(tmp_path: Path) -> Path:
    """A page of an executed notebook that holds one of everything, beside its index."""
    v4 = quick_nbformat().v4
    wide = "<table><tr>" + "".join(f"<td>observable_{i}</td>" for i in range(40)) + "</tr></table>"
    outputs = [
        v4.new_output("display_data", {"image/png": _picture()}, metadata={"image/png": {"alt": "a gradient"}}),
        v4.new_output("display_data", {"text/html": wide + HOSTILE}),
        v4.new_output("stream", name="stdout", text="long " * 200),
        v4.new_output("display_data", {"text/html": '<script src="https://evil.example/x.js"></script>'}),
    ]
    cells = [v4.new_markdown_cell(TEXT), v4.new_code_cell(f"title = {HOSTILE!r}", outputs=outputs)]
    node = v4.new_notebook(metadata={"hepml": {"id": "toys/01_toy", "title": HOSTILE}}, cells=cells)
    executed = tmp_path / "executed.ipynb"
    executed.write_text(quick_nbformat().writes(node), encoding="utf-8")
    number = {"name": "toy.auc", "value": 0.94, "error": 0.01, "n": 1000, "seeds": 3, "better": "higher"}
    sidecar = {
        "notebook": "toys/01_toy",
        "profile": "smoke",
        "seed": 0,
        "parameters": {"title": HOSTILE},
        "dataset": [{"name": HOSTILE, "identity": HOSTILE}],
        "revision": HOSTILE,
        "metrics": [{**number, "definition": HOSTILE, "published": None}],
        "claims": [{"text": HOSTILE, "outcome": "holds", "sigma": 3.0}],
    }
    golden = {"metrics": {"toy.auc": {"value": 0.9, "low": 0.95, "high": 0.99}}}
    page = make_page(executed, sidecar, golden=golden, defaults={"title": ""}, home="../index.html")
    target = tmp_path / "toys" / "01_toy.html"
    target.parent.mkdir()
    target.write_text(page.html(), encoding="utf-8")
    one = card(info(node), page, "toys/01_toy.html", 3.0)
    index = index_page([one], [], profile="smoke", revision=HOSTILE, made="today", seconds=3.0)
    (tmp_path / "index.html").write_text(index, encoding="utf-8")
    return target


def test_pages_are_quiet_and_fetch_nothing(open_page: Callable[..., Any], page_file: Path) -> None:
    for path in (page_file, page_file.parents[1] / "index.html"):
        seen = open_page(path)
        assert seen.console == []
        assert [url for url in seen.requests if not url.startswith("data:")] == [path.resolve().as_uri()]


def test_a_hostile_parameter_is_text(open_page: Callable[..., Any], page_file: Path) -> None:
    page = open_page(page_file).page
    assert page.title() == "A page · hepml-nb"
    assert page.locator("script").count() == 0
    assert page.locator("img[src='x']").count() == 0
    assert page.locator(".own code").inner_text() == f"title = {HOSTILE}"


def test_code_unfolds_by_keyboard(open_page: Callable[..., Any], page_file: Path) -> None:
    page = open_page(page_file).page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    code = page.locator("#cell-2 pre.code")
    assert not code.is_visible()
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.matches('#cell-2 summary')"):
            break
    page.keyboard.press("Enter")
    assert code.is_visible()
    page.keyboard.press("Space")
    assert not code.is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_pages_fit_every_width_and_scheme(
    open_page: Callable[..., Any], page_file: Path, width: int, scheme: str
) -> None:
    for path in (page_file, page_file.parents[1] / "index.html"):
        page = open_page(path, viewport={"width": width, "height": 800}, color_scheme=scheme).page
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (paper == "rgb(255, 255, 255)") == (scheme == "light")
        assert page.locator("h1").count() == 1


def test_a_screen_reader_finds_its_way(open_page: Callable[..., Any], page_file: Path) -> None:
    page = open_page(page_file, viewport={"width": 1280, "height": 800}).page
    assert page.get_by_role("main").count() == 1
    assert page.get_by_role("navigation", name="On this page").get_by_role("link", name="Second part").count() == 1
    assert page.get_by_role("img", name="a gradient").count() == 1
    assert "outside" in page.get_by_role("row", name="toy.auc").inner_text()
    assert page.get_by_role("math").count() == 2
    narrow = open_page(page_file, viewport={"width": 390, "height": 800}).page
    assert narrow.get_by_role("row", name="toy.auc").count() == 1  # stacked, but still a table


def test_the_index_leads_to_the_page_and_back(open_page: Callable[..., Any], page_file: Path) -> None:
    page = open_page(page_file.parents[1] / "index.html").page
    page.get_by_role("link", name="A page").click()
    assert page.url == page_file.resolve().as_uri()
    page.get_by_role("link", name="All notebooks").click()
    assert page.url.endswith("index.html")


def test_a_printed_page_has_its_pictures_and_no_navigation(open_page: Callable[..., Any], page_file: Path) -> None:
    page = open_page(page_file).page
    page.emulate_media(media="print")
    assert not page.locator(".site").is_visible()
    assert page.get_by_role("img", name="a gradient").is_visible()
