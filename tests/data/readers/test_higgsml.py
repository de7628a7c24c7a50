"""The public HiggsML layout is read into the schema of the twin, and derived features are computed again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hepml_nb.core import InputError
from hepml_nb.data.manifest import manifest
from hepml_nb.data.readers import higgsml
from hepml_nb.simulate.higgsml import DERIVED, PRIMARY


def columns(n: int = 40) -> dict[str, Any]:
    """Return the 31 columns of the public file; every third event has no jet, every third one jet."""
    generator = np.random.default_rng(5)
    table: dict[str, Any] = {}
    jets = np.arange(n) % 3
    for name in PRIMARY:
        if name.endswith("pt") or name == "PRI_met":
            table[name] = generator.uniform(27, 90, n).round(3)
        elif name.endswith("phi"):
            table[name] = generator.uniform(-3.1, 3.1, n).round(3)
        else:
            table[name] = generator.uniform(-2.4, 2.4, n).round(3)
    for name in ("pt", "eta", "phi"):
        table[f"PRI_jet_leading_{name}"][jets < 1] = -25
        table[f"PRI_jet_subleading_{name}"][jets < 2] = -25
    table["PRI_n_jets"] = jets
    table["PRI_jet_all_pt"] = np.maximum(table["PRI_jet_leading_pt"], 0) + np.maximum(table["PRI_jet_subleading_pt"], 0)
    table |= {name: np.full(n, -7.0) for name in DERIVED}
    table["weights"] = np.linspace(0.1, 1500, n)
    table["detailed_labels"] = np.array(["htautau", "ztautau", "ttbar", "diboson"])[np.arange(n) % 4]
    table["labels"] = (np.arange(n) % 4 == 0).astype(float)
    return table


def write(path: Path, table: dict[str, Any]) -> Path:
    pq.write_table(pa.table(table), path, row_group_size=16)
    return path


def test_events_come_out_in_the_schema(tmp_path: Path) -> None:
    table = columns()
    path = write(tmp_path / "a.parquet", table)
    assert len(table) == 31
    assert higgsml.count(path) == 40
    read = higgsml.read(path, 0, 40)
    about = manifest("higgsml")
    assert set(read.fields) == set(about.columns)
    for name, column in about.columns.items():
        assert str(ak.to_numpy(read[name]).dtype) == column.dtype
    for name in PRIMARY:
        assert ak.to_numpy(read[name]) == pytest.approx(table[name], rel=1e-6)
    assert ak.to_list(read.label[:4]) == [about.classes[name] for name in table["detailed_labels"][:4]]
    assert np.array_equal(ak.to_numpy(read.label) == about.classes["htautau"], table["labels"] == 1)
    assert ak.all(read.DER_mass_vis > 0)  # computed again, not taken from the file
    assert ak.all((read.DER_mass_jet_jet == -25) == (read.PRI_n_jets < 2))
    part = higgsml.read(path, 14, 34)  # across row groups
    assert ak.array_equal(part, read[14:34])
    assert ak.to_list(part.event)[:2] == [14, 15]


def test_damage_is_named(tmp_path: Path) -> None:
    table = columns(6)
    path = tmp_path / "a.parquet"
    for name, value, message in (
        ("PRI_met", np.full(6, np.nan), "row 0 has no finite PRI_met"),
        ("weights", np.array([1, 1, np.inf, 1, 1, 1]), "row 2 has no finite weights"),
        ("PRI_lep_pt", np.array(["a"] * 6), "expected numbers"),
        ("detailed_labels", np.array(["qcd"] * 6), "detailed_labels has 'qcd'"),
    ):
        with pytest.raises(InputError, match=message):
            higgsml.read(write(path, {**table, name: value}), 0, 6)
    del table["PRI_had_eta"]
    with pytest.raises(InputError, match="no column 'PRI_had_eta'"):
        higgsml.read(write(path, table), 0, 6)
    with pytest.raises(InputError, match="nothing lies between"):
        higgsml.read(write(path, columns(6)), 6, 9)
    with pytest.raises(InputError, match="nothing lies between"):
        higgsml.read(write(path, columns(0)), 0, 9)
    path.write_bytes(b"")
    with pytest.raises(InputError, match="no Parquet file"):
        higgsml.count(path)
