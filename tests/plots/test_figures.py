"""Figures carry their words, are shown once and closed, and change nothing outside."""

from __future__ import annotations

import base64
import io
import itertools
import subprocess
import sys
from html.parser import HTMLParser

import matplotlib as mpl
import matplotlib.pyplot as plt
import nbformat
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from hepml_nb import plots
from hepml_nb.core import InputError


@pytest.fixture
def shown(monkeypatch):
    calls = []
    monkeypatch.setattr("IPython.display.display", lambda data, **options: calls.append((data, options)))
    return calls


def figure():
    with plots.style():
        fig, ax = plt.subplots(layout="constrained")
        ax.plot([1, 2], [3, 4])
    return fig


def test_style_is_undone_and_importing_changes_nothing():
    before = dict(mpl.rcParams)
    with plots.style():
        assert mpl.rcParams["axes.prop_cycle"].by_key()["color"] == list(plots.COLOURS)
        assert dict(mpl.rcParams) != before
    assert dict(mpl.rcParams) == before
    with pytest.raises(RuntimeError, match="inside"), plots.style():
        raise RuntimeError("inside")
    assert dict(mpl.rcParams) == before


def test_importing_plots_loads_no_matplotlib():
    code = "import sys, hepml_nb.plots; sys.exit(any(m in sys.modules for m in ('matplotlib', 'mplhep', 'hist')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_colours_and_line_styles_are_all_different():
    assert len(set(plots.COLOURS)) == len(set(map(str, plots.LINES))) == 10
    grey = sorted(0.299 * r + 0.587 * g + 0.114 * b for r, g, b in map(to_rgb, plots.COLOURS[:4]))
    assert min(b - a for a, b in itertools.pairwise(grey)) > 0.02  # the first four differ in print, too


def test_show_displays_a_png_with_its_words_and_closes_the_figure(shown):
    fig = figure()
    number = fig.number
    plots.show(fig, alt="a rising line")
    ((data, options),) = shown
    with Image.open(io.BytesIO(base64.b64decode(data["image/png"]))) as picture:
        assert picture.format == "PNG"
        assert picture.width > options["metadata"]["image/png"]["width"] == 620  # sharp on dense screens
    assert options["metadata"]["image/png"]["alt"] == data["text/plain"] == "a rising line"
    assert not plt.fignum_exists(number)


def test_nbconvert_finds_the_alternative_text_in_the_metadata(shown):
    plots.show(figure(), alt='a "rising" <line>')
    ((data, options),) = shown
    output = nbformat.v4.new_output("display_data", data=data, metadata=options["metadata"])
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("x", outputs=[output])])
    nbformat.validate(notebook)
    from nbconvert import HTMLExporter

    html, _ = HTMLExporter(template_name="classic").from_notebook_node(notebook)  # the template "lab" knows no alt
    found = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attributes: found.append(dict(attributes).get("alt")) if tag == "img" else None
    parser.feed(html)
    assert found == ['a "rising" <line>']


def test_descriptions_gather_and_serve_as_alternative_text(shown):
    fig = figure()
    plots.describe(fig, "First. ")
    plots.describe(fig.axes[0], "Second.")
    assert plots.description(fig) == "First. Second."
    plots.show(fig.axes[0])
    assert shown[0][0]["text/plain"] == "First. Second."


def test_a_figure_without_words_is_not_shown(shown):
    fig = figure()
    with pytest.raises(InputError, match='pass alt="what the figure shows'):
        plots.show(fig)
    assert not shown
    plt.close(fig)


def test_axes_that_were_removed_are_told():
    fig = figure()
    ax = fig.axes[0]
    ax.remove()
    with pytest.raises(InputError, match="no figure"):
        plots.describe(ax, "gone")
    plt.close(fig)
