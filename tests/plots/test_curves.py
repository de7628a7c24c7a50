"""ROC, size and loss curves: what is drawn is what was measured, the words say it."""

from __future__ import annotations

import numpy as np
import pytest

from hepml_nb import plots, stats
from hepml_nb.core import InputError, NotFound, Result


def test_roc_curves_draw_rejection_against_signal_efficiency_and_its_ratio(scores):
    labels, trainings = scores
    curves = {
        "cut": stats.roc(labels, trainings["cut"][0]),
        "network": [stats.roc(labels, s) for s in trainings["network"]],
    }
    fig = plots.roc_curves(curves)
    main, ratio = fig.axes
    assert main.get_yscale() == "log"
    assert "rejection" in main.get_ylabel()
    assert ratio.get_ylabel() == "ratio to\ncut"
    assert ratio.get_xlabel() == r"signal efficiency $\varepsilon_S$"
    x, y = main.lines[1].get_data()
    at = np.argmin(np.abs(x - 0.6))
    mean = np.mean([roc.rejection_at(float(x[at])) for roc in curves["network"]])
    assert y[at] == pytest.approx(mean)
    assert ratio.lines[1].get_ydata()[at] == pytest.approx(mean / curves["cut"].rejection_at(float(x[at])))
    texts = [text.get_text() for text in main.get_legend().get_texts()]
    assert texts[0] == f"cut (AUC {curves['cut'].auc:.4f})"
    assert main.lines[0].get_linestyle() != main.lines[1].get_linestyle()
    assert len(main.collections) == 2  # a band each
    assert "at signal efficiency 0.5: cut" in plots.description(fig)
    assert plots.png(fig)[:4] == b"\x89PNG"


def test_roc_band_is_wider_for_trainings_that_differ(scores):
    labels, trainings = scores
    eff = np.array([0.5])
    same = [stats.roc(labels, trainings["cut"][0])] * 3
    differ = [stats.roc(labels, trainings["cut"][0] * (1 + i) + trainings["network"][0]) for i in (0, 1, 9)]
    value, low, high = stats.rejection_band(same, eff)
    assert value == pytest.approx(same[0].rejection_at(0.5))
    assert (low[0], high[0]) == pytest.approx([float(e[0]) for e in same[0].interval_at(eff)])
    value, low, high = stats.rejection_band(differ, eff)
    alone = np.mean([value[0] - roc.interval_at(eff)[0][0] for roc in differ])
    assert value[0] - low[0] > alone
    with pytest.raises(InputError, match="curves is empty"):
        stats.rejection_band([], eff)


def test_roc_curves_survive_zero_background_and_refuse_unknown_references(scores):
    labels, trainings = scores
    perfect = stats.roc(labels, labels + 0.01 * np.random.default_rng(0).random(len(labels)))
    fig = plots.roc_curves({"perfect": perfect, "cut": stats.roc(labels, trainings["cut"][0])}, reference="cut")
    assert np.isfinite(fig.axes[0].get_ylim()).all()
    plots.png(fig)
    plots.png(plots.roc_curves({"perfect": perfect}))
    with pytest.raises(NotFound, match="did you mean 'cut'"):
        plots.roc_curves({"cut": perfect}, reference="cuts")
    with pytest.raises(InputError, match="curves is empty"):
        plots.roc_curves({})


def points(value, error):
    return {
        name: {size: Result(base, error, 500, seeds=3) for size in (10000, 30000)}
        for name, base in (("trees", value), ("pfn", 0.98 * value))
    }


def test_size_curve_draws_every_point_with_its_error():
    ax = plots.size_curve(points(0.951, 0.002), metric="auc")
    assert (ax.get_xscale(), ax.get_yscale(), ax.get_ylabel()) == ("log", "linear", "AUC")
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["trees", "pfn"]
    np.testing.assert_allclose(ax.containers[0].lines[0].get_xydata()[:, 1], [0.951, 0.951])
    assert "pfn 0.9320 ± 0.0020 with 30000 jets" in plots.description(ax)
    ax = plots.size_curve(points(41.0, 3.0), metric="rejection.eff30")
    assert ax.get_yscale() == "log"
    assert r"\varepsilon_S = 0.3" in ax.get_ylabel()
    plots.png(ax)
    with pytest.raises(InputError, match="points is empty"):
        plots.size_curve({})


class Losses:
    best_epoch = 2
    train_loss = np.array([0.7, 0.5, 0.4])
    val_loss = np.array([0.72, 0.6, 0.65])


def test_training_marks_the_epoch_that_was_kept():
    ax = plots.training(Losses())
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["training", "validation", "kept epoch"]
    np.testing.assert_array_equal(ax.lines[1].get_ydata(), Losses.val_loss)
    assert ax.lines[2].get_xydata().tolist() == [[2, 0.6]]
    assert "kept epoch 2 of 3" in plots.description(ax)
    several = plots.training([Losses(), Losses()])
    assert [text.get_text() for text in several.get_legend().get_texts()][:2] == ["seed 1", "seed 2"]
    assert plots.training({"pfn": Losses()}).get_legend().get_texts()[0].get_text() == "pfn"

    class Untrained(Losses):
        train_loss = val_loss = np.array([])

    with pytest.raises(InputError, match="without epochs"):
        plots.training(Untrained())
