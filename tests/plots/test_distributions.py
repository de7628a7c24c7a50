"""Histograms hold what was filled, reliability diagrams the intervals, tables the numbers."""

from __future__ import annotations

import hist
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.patches import StepPatch

from hepml_nb import plots, stats
from hepml_nb.core import InputError, Result

RNG = np.random.default_rng(3)
MASS = {"QCD": RNG.exponential(40, 5000), "top": RNG.normal(172, 15, 3000)}


def steps(ax):
    return [patch for patch in ax.patches if isinstance(patch, StepPatch) and not patch.get_fill()]


def test_histograms_have_area_one_a_legend_and_units():
    ax = plots.histograms(MASS, label="jet mass [GeV]")
    assert ax.get_xlabel() == "jet mass [GeV]"
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["QCD", "top"]
    for patch, values in zip(steps(ax), MASS.values(), strict=True):
        contents, edges, _ = patch.get_data()
        assert np.sum(contents * np.diff(edges)) == pytest.approx(1)
        expected = np.histogram(values, edges, density=True)[0]
        np.testing.assert_allclose(contents, expected)
    assert "QCD 2" in plots.description(ax)  # median of an exponential of mean 40: 28
    assert "top 17" in plots.description(ax)


def test_histogram_errors_follow_the_weights():
    weights = RNG.exponential(size=5000)
    ax = plots.histograms({"a": MASS["QCD"]}, weights={"a": weights}, density=False, bins=10, range=(0, 100))
    band = next(patch for patch in ax.patches if isinstance(patch, StepPatch) and patch.get_fill())
    top, edges, bottom = band.get_data()
    squares = np.histogram(MASS["QCD"], edges, weights=weights**2)[0]
    np.testing.assert_allclose((top - bottom) / 2, np.sqrt(squares))


def test_whole_numbers_get_bins_of_whole_width():
    ax = plots.histograms({"n": RNG.poisson(40, 1000)}, bins=30)
    _, edges, _ = steps(ax)[0].get_data()
    assert (edges % 1 == 0.5).all()
    assert (np.diff(edges) == np.diff(edges)[0]).all()
    constant = plots.histograms({"n": np.full(10, 3.25)})
    assert constant.get_xlim() == (2.75, 3.75)


def test_filled_hists_and_given_axes_are_drawn_as_they_are():
    filled = hist.Hist.new.Reg(4, 0, 4, label="x [mm]").Weight()
    filled.fill([0.5, 1.5, 1.5])
    fig, ax = plt.subplots()
    assert plots.histograms({"a": filled}, ax=ax, density=False) is ax
    assert ax.get_xlabel() == "x [mm]"
    assert steps(ax)[0].get_data().values.tolist() == [1, 2, 0, 0]
    ax.set_yscale("log")  # as a reader may do afterwards
    plots.png(fig)
    plt.close(fig)


def test_values_that_cannot_be_drawn_are_named():
    with pytest.raises(InputError, match="'QCD' has 3 values, 1 of them not finite"):
        plots.histograms({"QCD": [1.0, np.nan, 2.0]})
    with pytest.raises(InputError, match="'QCD' has 0 values"):
        plots.histograms({"QCD": []})
    with pytest.raises(InputError, match="samples is empty"):
        plots.histograms({})


def test_score_histograms_split_the_classes(scores):
    labels, trainings = scores
    ax = plots.score_histograms(labels, 1 / (1 + np.exp(-trainings["cut"][0])))
    assert ax.get_yscale() == "log"
    assert ax.get_xlim() == (0, 1)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["background", "signal"]
    assert ax.get_figure() is not None
    plots.png(ax)
    with pytest.raises(InputError, match="shapes"):
        plots.score_histograms(labels, [0.5])


def test_reliability_diagram_shows_each_interval(scores):
    labels, trainings = scores
    curve = stats.reliability(labels, 1 / (1 + np.exp(-2 * trainings["network"][0] + 2)))
    ax = plots.reliability_diagram({"network": curve})
    (bars,) = ax.containers
    np.testing.assert_array_equal(bars.lines[0].get_xdata(), curve.predicted)
    segments = bars.lines[2][0].get_segments()
    np.testing.assert_allclose([s[0][1] for s in segments], curve.low)
    np.testing.assert_allclose([s[1][1] for s in segments], curve.high)
    assert "farthest from the diagonal: network" in plots.description(ax)
    assert len(plots.reliability_diagram(curve).containers) == 1
    with pytest.raises(InputError, match="curves is empty"):
        plots.reliability_diagram({})


def test_table_of_results_shows_itself_and_escapes():
    results = {
        "pfn.auc": Result(0.9432, 0.0011, 20000, floor=0.99),
        "<b>|": Result(3.0, 0.5, 10, better="lower", seeds=0),
    }
    table = plots.results_table(results)
    assert "| pfn.auc ↑ | 0.9432 ± 0.0011 | 20,000 | 1 | 0.99 | – |" in table._repr_markdown_()
    assert "<b>\\| ↓" in str(table)
    assert '<th scope="row">&lt;b&gt;| ↓</th>' in table._repr_html_()
    crossed = plots.results_table({"pfn": {"auc": results["pfn.auc"]}, "cut": {}})
    assert crossed.header == ("method", "auc ↑")
    assert crossed.rows == (("pfn", "0.9432 ± 0.0011"), ("cut", "–"))
    with pytest.raises(InputError, match="results is empty"):
        plots.results_table({})
    with pytest.raises(InputError, match="mixes"):
        plots.results_table({"a": results["pfn.auc"], "b": {}})
