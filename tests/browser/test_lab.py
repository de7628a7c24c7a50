"""Widgets in a real JupyterLab, moved by keyboard."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from hepml_nb.core import notebooks_dir
from hepml_nb.runtime.notebooks import nbformat as quick_nbformat

pytestmark = pytest.mark.browser

TINY = """import ipywidgets

field = ipywidgets.BoundedFloatText(description="radius", min=0.1, max=3.0, step=0.1, value=0.8)
slider = ipywidgets.FloatSlider(min=0.1, max=3.0, step=0.1, value=0.8, readout=False)
ipywidgets.link((slider, "value"), (field, "value"))
said = ipywidgets.HTML('<div role="status">radius 0.8</div>')
field.observe(lambda change: setattr(said, "value", f'<div role="status">radius {change["new"]:.1f}</div>'), "value")
ipywidgets.VBox([field, slider, said])"""


@pytest.fixture
def page(chromium: Any, lab: Any) -> Iterator[Any]:
    """A fresh window of the browser."""
    context = chromium.new_context(viewport={"width": 1280, "height": 1000})
    yield context.new_page()
    context.close()


def said(page: Any) -> Any:
    return page.locator(".jp-OutputArea [role=status]").first


def wait_for_another_text(page: Any, before: str) -> str:
    page.wait_for_function(
        "before => document.querySelector('.jp-OutputArea [role=status]').textContent !== before",
        arg=before,
        timeout=30_000,
    )
    return str(said(page).inner_text())


def test_a_widget_answers_the_keyboard(page: Any, lab: Any) -> None:
    v4 = quick_nbformat().v4
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    node = v4.new_notebook(metadata=kernel, cells=[v4.new_code_cell(TINY)])
    (lab.folder / "tiny.ipynb").write_text(quick_nbformat().writes(node), encoding="utf-8")
    lab.run_all(lab.open(page, "tiny.ipynb"))
    said(page).wait_for(timeout=60_000)
    page.locator(".jp-OutputArea [role=slider]").first.press("ArrowRight")
    assert wait_for_another_text(page, "radius 0.8") == "radius 0.9"
    page.get_by_role("spinbutton", name="radius").press("ArrowUp")
    assert wait_for_another_text(page, "radius 0.9") == "radius 1.0"


def test_the_jet_display_answers_the_keyboard(page: Any, lab: Any) -> None:
    name = "01_jets_from_collisions.ipynb"
    node = quick_nbformat().read(notebooks_dir() / "tagging" / name, 4)
    last = next(i for i, cell in enumerate(node.cells) if "widget" in cell.metadata.get("tags", ()))
    node.cells = node.cells[: last + 1]  # the rest is run by the notebook's own tests
    (lab.folder / name).write_text(quick_nbformat().writes(node), encoding="utf-8")
    lab.run_all(lab.open(page, name))
    row = page.locator(".jp-OutputArea .widget-inline-hbox", has_text="radius").first
    row.wait_for(state="attached", timeout=180_000)
    row.evaluate("row => row.scrollIntoView({block: 'center'})")
    field = page.get_by_role("spinbutton", name="radius").first
    field.wait_for(timeout=30_000)
    before = said(page).inner_text()
    field.press("ArrowUp")
    assert wait_for_another_text(page, before) != before
    picture = page.locator(".jp-OutputArea img.widget-image").first
    picture.wait_for(timeout=10_000)
    assert picture.evaluate("picture => picture.naturalWidth") > 300
    assert page.get_by_text("javascript error").count() == 0
