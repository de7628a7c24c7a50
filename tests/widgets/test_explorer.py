"""The parts that every explorer is made of: paired controls, the generic panel, one look with the plots."""

from __future__ import annotations

import subprocess
import sys
import threading
from dataclasses import dataclass

import ipywidgets
import pytest

from hepml_nb import plots, widgets
from hepml_nb.core import InputError
from hepml_nb.widgets import palette


@dataclass(frozen=True)
class State:
    slope: float = 1.0
    kind: str = "line"


def explorer(**controls):
    return widgets.explore(
        State(),
        controls,
        lambda state: state.slope,
        [lambda ax, slope: ax.plot([0, 1], [0, slope])],
        lambda slope: f"slope <{slope:g}>",
        widths=(1.0,),
        size=(3.0, 2.0),
    )


def test_number_pairs_slider_and_named_field():
    control = widgets.number("cut [GeV]", 20.0, 0.0, 100.0, 5.0)
    control.slider.value = 35.0
    assert control.field.value == 35.0
    control.field.value = 10.0
    assert control.slider.value == 10.0
    assert control.field.description == "cut [GeV]"
    assert isinstance(control.field, ipywidgets.BoundedFloatText)
    assert isinstance(widgets.number("n", 1, 0, 5, 1).field, ipywidgets.BoundedIntText)


@pytest.mark.parametrize("bounds", [(5.0, 0.0, 1.0, 0.1), (0.5, 1.0, 0.0, 0.1), (0.5, 0.0, 1.0, 0.0)])
def test_number_refuses_impossible_bounds(bounds):
    with pytest.raises(InputError, match="expected low <= value <= high"):
        widgets.number("x", *bounds)


def test_choice_refuses_a_value_that_is_not_offered():
    assert widgets.choice("kind", {"a line": "line"}, "line").value == "line"
    with pytest.raises(InputError, match="none of"):
        widgets.choice("kind", ["a", "b"], "c")


def test_panel_escapes_words_and_names_its_handles():
    panel = explorer(slope=widgets.number("slope", 1.0, 0.0, 2.0, 0.1))
    assert "slope &lt;1&gt;" in panel.status.value
    panel.slope.field.value = 1.5
    assert (panel.state, panel.result) == (State(slope=1.5), 1.5)
    assert panel.picture.tooltip == "slope <1.5>"
    assert "<1>" in panel.static().alt


def test_panel_refuses_controls_of_unknown_fields():
    with pytest.raises(InputError, match="State has no such field"):
        explorer(offset=widgets.number("offset", 1.0, 0.0, 2.0, 0.1))


def test_colours_are_those_of_the_plots():
    assert (palette.COLOURS, palette.GREY, palette.INK) == (plots.COLOURS, plots.looks.GREY, plots.looks.INK)


def test_computing_and_drawing_load_no_ipywidgets():
    code = (
        "import sys; from hepml_nb import widgets; widgets.compute_jets, widgets.draw_lund, widgets.compute_cut;"
        "assert 'ipywidgets' not in sys.modules and 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_a_slider_snaps_to_becomes_a_round_number():
    control = widgets.number("radius R", 0.8, 0.1, 1.5, 0.05)
    control.slider.value = 0.1 + 13 * 0.05  # 0.7500000000000001
    assert control.field.value == 0.75


def test_controls_that_move_in_several_threads_leave_one_whole_picture():
    panel = explorer(
        slope=widgets.number("slope", 1.0, 0.0, 2.0, 0.1), kind=widgets.choice("kind", ["line", "dot"], "line")
    )
    moves = [
        (panel.slope.field, (0.5, 0.7, 1.9)),
        (panel.kind, ("dot", "line", "dot")),
        (panel.slope.slider, (0.2, 1.2)),
    ]

    def move(handle, values):
        for value in values:
            handle.value = value

    threads = [threading.Thread(target=move, args=one) for one in moves]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    panel.slope.field.value = 1.0
    panel.kind.value = "line"
    assert bytes(panel.picture.value) == panel.static().png
    assert panel.state == State()
