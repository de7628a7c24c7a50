"""Unfolded weights are written whole, read back equal, and refused where they cannot be what they say."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from hepml_nb.core import InputError, NotFound
from hepml_nb.unfolding import Measured, Simulation
from hepml_nb.unfolding.multifold import MultiFold
from hepml_nb.unfolding.weights_file import UnfoldedWeights, provenance_of, read_weights, write_weights

ABOUT = {"method": "m", "config": {}, "seed": 1, "dataset": {"identity": "abc"}, "versions": {}}


@pytest.fixture
def weights():
    return UnfoldedWeights(
        [7, 3, 5], [1.0, -0.5, 2.0], ABOUT, replicas=np.arange(6.0).reshape(2, 3), systematics={"jes": [1, 2, 3]}
    )


def test_all_comes_back(tmp_path, weights):
    read = read_weights(write_weights(tmp_path / "w.parquet", weights), dataset="abc")
    for name in ("event", "nominal", "replicas"):
        assert np.array_equal(getattr(read, name), getattr(weights, name))
    assert read.systematics["jes"].tolist() == [1, 2, 3]
    assert read.provenance == ABOUT
    assert [path.name for path in tmp_path.iterdir()] == ["w.parquet"]


def test_weights_are_found_by_event_number(weights):
    assert weights.of([5, 7]).tolist() == [2, 1]
    assert weights.of(np.array([3]), "jes").tolist() == [2]
    with pytest.raises(NotFound, match=r"1 of 2 events have no weight here \(first 9\)"):
        weights.of([9, 7])
    with pytest.raises(NotFound, match="jes"):
        weights.of([7], "jer")


def test_a_fitted_method_says_where_its_weights_come_from(tmp_path):
    prior = MultiFold().fit(Simulation([0.0, 1.0], [0.0, 1.0]), Measured([0.0]), untrained=True)
    about = provenance_of(prior, 3, {"identity": "abc"})
    made = UnfoldedWeights([0, 1], prior.events().weights, about)
    read = read_weights(write_weights(tmp_path / "w", made))
    assert read.provenance["method"] == "multifold"
    assert read.provenance["config"]["iterations"] == MultiFold().config.iterations
    assert set(read.provenance["versions"]) >= {"hepml-nb", "scikit-learn"}
    assert len(read.replicas) == 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"event": [7, 7, 5]}, "1 of 3 event numbers stand there twice"),
        ({"event": [1.5, 2, 3]}, "whole numbers"),
        ({"nominal": [1.0, np.nan, 2]}, "nominal is NaN or infinite in 1 of 3"),
        ({"nominal": [1.0, 2]}, "nominal has shape"),
        ({"replicas": [[1.0, 2]]}, "replica 0 has shape"),
        ({"replicas": [1.0, 2, 3]}, "expected \\(replicas, 3\\)"),
        ({"systematics": {"jes": [np.inf, 1, 2]}}, "jes is NaN or infinite"),
        ({"provenance": {"method": "m"}}, "no config, seed, dataset, versions"),
    ],
)
def test_bad_weights_are_refused(change, words):
    with pytest.raises(InputError, match=words):
        UnfoldedWeights(**{"event": [7, 3, 5], "nominal": [1.0, 2, 3], "provenance": ABOUT} | change)


def test_files_that_are_something_else_are_refused(tmp_path, weights):
    with pytest.raises(NotFound, match="write_weights"):
        read_weights(tmp_path / "none")
    (tmp_path / "text").write_text("no parquet")
    with pytest.raises(InputError, match="cannot be read as unfolded weights"):
        read_weights(tmp_path / "text")
    path = write_weights(tmp_path / "w", weights)
    with pytest.raises(InputError, match="weights for the dataset abc, not xyz"):
        read_weights(path, dataset="xyz")
    table = pq.read_table(path)
    (key,) = table.schema.metadata
    pq.write_table(table.replace_schema_metadata(None), tmp_path / "bare")
    with pytest.raises(InputError, match="schema None"):
        read_weights(tmp_path / "bare")
    about = json.loads(table.schema.metadata[key]) | {"schema": 99}
    pq.write_table(table.replace_schema_metadata({key: json.dumps(about)}), tmp_path / "newer")
    with pytest.raises(InputError, match="schema 99"):
        read_weights(tmp_path / "newer")
    changed = table.set_column(1, "nominal", [np.array([1.0, -0.5, 2.5])])
    pq.write_table(changed, tmp_path / "changed")
    with pytest.raises(InputError, match="checksum"):
        read_weights(tmp_path / "changed")


def test_a_write_that_fails_leaves_nothing(tmp_path, weights, monkeypatch):
    def broken(*_, **__):
        raise OSError("disk full")

    monkeypatch.setattr(pq, "write_table", broken)
    with pytest.raises(OSError, match="disk full"):
        write_weights(tmp_path / "w", weights)
    assert list(tmp_path.iterdir()) == []
