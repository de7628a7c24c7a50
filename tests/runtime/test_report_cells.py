"""Outputs of every kind become still, described HTML."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hepml_nb.runtime.notebooks import nbformat as quick_nbformat
from hepml_nb.runtime.report_cells import Body, render_cells
from hepml_nb.runtime.report_text import Markdown

v4 = quick_nbformat().v4
WIDGET = {"application/vnd.jupyter.widget-view+json": {"model_id": "x", "version_major": 2, "version_minor": 0}}


def png(pixels: int = 4, noise: bool = False) -> str:
    values = np.random.default_rng(0).integers(0, 255, (pixels, pixels, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(values if noise else np.zeros_like(values)).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def body_of(*outputs: Any, source: str = "1", tags: tuple[str, ...] = (), before: str = "") -> Body:
    cells = [v4.new_markdown_cell(before)] if before else []
    cells.append(v4.new_code_cell(source, outputs=list(outputs), metadata={"tags": list(tags)}))
    return render_cells(v4.new_notebook(cells=cells), Markdown())


def shown(data: dict[str, Any], **metadata: Any) -> Any:
    return v4.new_output("display_data", data, metadata=metadata)


def test_code_is_folded_under_a_summary_that_says_which_cell() -> None:
    html = body_of(source="x = '<b>'\ny = 2").html
    assert '<details class="fold"><summary>' in html
    assert "of cell 1" in html
    assert "2 lines" in html
    assert "<b>" not in html
    assert "<details open" not in html


def test_tags_name_the_fold() -> None:
    assert "parameters of this run" in body_of(tags=("injected-parameters",)).html
    assert "parameters, as committed" in body_of(tags=("parameters",)).html
    assert "solution (think first)" in body_of(tags=("solution",)).html


def test_a_picture_takes_its_words_from_the_metadata() -> None:
    body = body_of(
        shown({"image/png": png(), "text/plain": "ignored"}, **{"image/png": {"alt": 'a "dot"', "width": 5}})
    )
    assert 'alt="a &quot;dot&quot;"' in body.html
    assert 'width="5"' in body.html
    assert body.figures[0].alt == 'a "dot"'


def test_a_picture_without_words_takes_its_text_or_its_place() -> None:
    assert 'alt="a mass peak"' in body_of(shown({"image/png": png(), "text/plain": "a mass peak"})).html
    bare = {"image/png": png(), "text/plain": "<Figure size 640x480 with 1 Axes>"}
    assert 'alt="Figure 1 of section Masses"' in body_of(shown(bare), before="## Masses").html


def test_a_caption_is_shown_below() -> None:
    html = body_of(shown({"image/png": png()}, **{"image/png": {"alt": "a", "caption": "See <b>"}})).html
    assert "<figcaption>See &lt;b&gt;</figcaption>" in html


def test_svg_is_shown_as_a_picture_so_that_it_cannot_act() -> None:
    html = body_of(shown({"image/svg+xml": "<svg onload=alert(1)></svg>"}, alt="drawing")).html
    assert "onload" not in html
    assert 'src="data:image/svg+xml;base64,' in html


def test_a_heavy_picture_is_made_lighter() -> None:
    heavy = png(700, noise=True)
    light = body_of(shown({"image/png": heavy})).figures[0].src
    assert len(light) < 0.6 * len(heavy)


def test_a_widget_gives_way_to_its_static_twin() -> None:
    body = body_of(shown({**WIDGET, "image/png": png(), "text/plain": "VBox()"}, **{"image/png": {"alt": "twin"}}))
    assert body.widgets == 1
    assert "open the notebook in JupyterLab" in body.html
    assert 'alt="twin"' in body.html
    assert "VBox" not in body.html
    alone = body_of(shown({**WIDGET, "text/plain": "VBox()"})).html
    assert "open the notebook in JupyterLab" in alone
    assert "VBox" not in alone


def test_html_is_cleaned_and_preferred_to_text() -> None:
    html = body_of(
        shown({"text/html": "<table><tr><td>7</td></tr></table><script>x</script>", "text/plain": "seven"})
    ).html
    assert "<td>7</td>" in html
    assert "script" not in html
    assert "seven" not in html


def test_markdown_and_latex_outputs_are_rendered_without_entering_the_contents() -> None:
    page = Markdown()
    outputs = [shown({"text/markdown": "# Big\n\n**0.94**"}), shown({"text/latex": "$x^2$"})]
    node = v4.new_notebook(cells=[v4.new_code_cell("1", outputs=outputs)])
    html = render_cells(node, page).html
    assert "<strong>0.94</strong>" in html
    assert "<msup>" in html
    assert page.title is None
    assert page.headings == []


def test_streams_are_joined_and_progress_bars_show_their_end() -> None:
    parts = [v4.new_output("stream", name="stdout", text=text) for text in ("a\n", "10%\r", "100%\n")]
    html = body_of(*parts).html
    assert html.count("<pre>") == 1
    assert "100%" in html
    assert "10%\r" not in html
    assert "messages" in body_of(v4.new_output("stream", name="stderr", text="careful")).html


def test_an_error_is_shown_in_words() -> None:
    body = body_of(
        v4.new_output("error", ename="ValueError", evalue="no", traceback=["\x1b[31mValueError\x1b[0m: <no>"])
    )
    assert body.failed
    assert "This cell failed." in body.html
    assert "&lt;no&gt;" in body.html


@pytest.mark.parametrize("source", ["", "   \n"])
def test_empty_cells_leave_nothing(source: str) -> None:
    assert body_of(source=source).html == ""


def test_exercises_are_set_apart() -> None:
    node = v4.new_notebook(cells=[v4.new_markdown_cell("Do it.", metadata={"tags": ["exercise"]})])
    assert '<div class="note exercise">' in render_cells(node, Markdown()).html
