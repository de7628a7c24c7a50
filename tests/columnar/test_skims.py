"""Skims: one whole Parquet file per chunk, the same records as in memory, and nothing left over of an earlier one."""

from __future__ import annotations

import json

import awkward as ak
import numpy as np
import pyarrow.parquet as pq
import pytest

from hepml_nb.columnar import Dimuon, JetSkim, pieces, run, skim
from hepml_nb.core import InputError, NotFound, RunError

from .conftest import pfnano_file, some_jets


@pytest.fixture(scope="module")
def path(folder):
    return pfnano_file(folder / "skim.root", some_jets())


def test_pieces_hold_what_a_run_gives_in_its_order(path, tmp_path):
    whole = run({"jets": path}, JetSkim(), schema="pfnano", chunksize=15)
    made = skim({"jets": path}, JetSkim(), tmp_path / "out", schema="pfnano", chunksize=15)
    assert [piece.relative_to(tmp_path / "out").as_posix().rsplit("-", 2)[1:] for piece in made.pieces] == [
        [f"{start:09d}", f"{stop:09d}.parquet"] for start, stop in ((0, 14), (14, 28), (28, 40))
    ]
    assert made.rows == [pq.read_metadata(piece).num_rows for piece in made.pieces]
    assert sum(made.rows) == len(whole["jets"])
    back = made.load()
    assert back.fields == whole["jets"].fields
    assert ak.to_list(back.constituents) == ak.to_list(whole["jets"].constituents)
    np.testing.assert_array_equal(back.tau2, whole["jets"].tau2)
    assert made.output["cutflow"] == whole["cutflow"]
    assert pieces(tmp_path / "out") == made.pieces


def test_a_skim_is_the_same_from_a_dask_cluster(path, tmp_path, dask_client):
    given = {"schema": "pfnano", "chunksize": 15}
    here = skim(path, JetSkim(), tmp_path / "here", **given)
    there = skim(path, JetSkim(), tmp_path / "there", **given, executor="dask", client=dask_client)
    assert [p.relative_to(here.folder) for p in here.pieces] == [p.relative_to(there.folder) for p in there.pieces]
    assert [p.read_bytes() for p in here.pieces] == [p.read_bytes() for p in there.pieces]


def test_a_new_skim_replaces_the_old_one_and_nothing_else(path, tmp_path):
    out = tmp_path / "again"
    first = skim(path, JetSkim(), out, schema="pfnano", chunksize=15)
    (out / "events" / "notes.parquet").write_text("mine")
    second = skim(path, JetSkim(hardest=1), out, schema="pfnano", chunksize=100)
    assert len(second.pieces) == 1
    assert not any(piece.exists() for piece in first.pieces)
    assert (out / "events" / "notes.parquet").exists()
    assert "hardest=1" in json.loads((out / "_skim.json").read_text())["processor"]
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.tex").write_text("")
    with pytest.raises(InputError, match=r"holds thesis\.tex and no skim"):
        skim(path, JetSkim(), other, schema="pfnano")


def test_an_interrupted_skim_is_not_taken_for_a_whole_one(path, tmp_path):
    def fails(events):
        if events.metadata["entrystart"] > 0:
            raise RuntimeError("disk full")
        return {"jets": ak.zip({"n": np.arange(3)})}

    with pytest.raises(RunError, match="disk full"):
        skim(path, fails, tmp_path / "half", schema="pfnano", chunksize=15)
    with pytest.raises(NotFound, match="holds no finished skim"):
        pieces(tmp_path / "half")
    with pytest.raises(NotFound, match="holds no finished skim"):
        pieces(tmp_path / "nowhere")
    with pytest.raises(RunError, match="gives 0 arrays; a skim is made of exactly one"):
        skim(path, lambda events: {"n": 1}, tmp_path / "none", schema="pfnano")


def test_a_processor_of_histograms_alone_is_no_skim(files, tmp_path):
    with pytest.raises(RunError, match="gives 0 arrays"):
        skim(files, Dimuon(), tmp_path / "h")
