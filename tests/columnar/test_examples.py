"""What the documentation of the package shows works, and names every processor there is."""

from __future__ import annotations

import doctest

import awkward as ak

from hepml_nb import columnar
from hepml_nb.data import schema
from hepml_nb.simulate.dijets import features


def test_the_examples_run_and_give_what_they_say(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    example = doctest.DocTestParser().get_doctest(columnar.__doc__, {}, "columnar", None, None)
    failed, tried = doctest.DocTestRunner().run(example, clear_globs=False)
    assert (failed, tried) == (0, len(example.examples))
    made = example.globs
    assert len(made["jets"]) > 0
    assert ak.all(ak.num(made["jets"].constituents) > 2)
    assert features(made["dijets"]).shape == (len(made["dijets"]), 5)
    assert len(made["z"]) > 5
    assert made["spectrum"].sum().value > 5
    assert made["muons"]["events"]["mass window"]["events"] > 10
    for name, kind in (("jets", "jets"), ("dijets", "dijets"), ("pairs", "higgsml"), ("z", "zjets")):
        assert {*schema(kind).columns, *schema(kind).collections} <= set(made[name].fields)


def test_every_processor_is_in_the_table():
    processors = [name for name in columnar.__all__ if hasattr(getattr(columnar, name), "process")]
    assert len(processors) == 6
    for name in processors:
        assert columnar.__doc__.count(name) >= 2, name  # once in the table, once shown
