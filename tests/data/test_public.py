"""The public top-tagging layout is read into the schema of the twin; files are checked before they are used."""

from __future__ import annotations

from pathlib import Path

import awkward as ak
import numpy as np
import pytest

from hepml_nb import data
from hepml_nb.core import InputError, NotFound, RunError
from hepml_nb.data.readers import top_tagging

pd = pytest.importorskip("pandas")
pytest.importorskip("tables", reason="the public reader needs PyTables (extra 'public')")


def write(path: Path, jets: ak.Array, most: int = 200, key: str = "table", **damage: float) -> Path:
    """Write jets in exactly the public layout: E_0, PX_0 ... _199, truthE ..., ttv, is_signal_new."""
    columns = {}
    eta = jets.constituents.deta + jets.eta
    phi = jets.constituents.dphi + jets.phi
    pt = jets.constituents.pt
    momenta = {"E": pt * np.cosh(eta), "PX": pt * np.cos(phi), "PY": pt * np.sin(phi), "PZ": pt * np.sinh(eta)}
    padded = {name: ak.to_numpy(ak.fill_none(ak.pad_none(x, most, clip=True), 0)) for name, x in momenta.items()}
    for i in range(most):
        for name in ("E", "PX", "PY", "PZ"):
            columns[f"{name}_{i}"] = padded[name][:, i].astype(np.float32)
    for name in ("E", "PX", "PY", "PZ"):
        columns[f"truth{name}"] = np.zeros(len(jets), np.float32)
    columns["ttv"] = np.full(len(jets), 1)
    columns["is_signal_new"] = ak.to_numpy(jets.label).astype(int)
    table = pd.DataFrame(columns)
    for name, value in damage.items():
        table.loc[1, name] = value
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_hdf(path, key=key, format="table")
    return path


@pytest.fixture(scope="module")
def jets() -> ak.Array:
    return data.load("top-tagging").split("val")[:40]


def test_reading_back_gives_the_same_jets(tmp_path: Path, jets: ak.Array) -> None:
    read = top_tagging.read(write(tmp_path / "val.h5", jets), 0, 40)
    assert read.fields == jets.fields
    assert ak.to_list(read.label) == ak.to_list(jets.label)
    assert ak.to_list(ak.num(read.constituents)) == ak.to_list(ak.num(jets.constituents))
    for name, tolerance in (("pt", 2e-3), ("mass", 5e-3), ("tau2", 2e-2), ("d2", 3e-2)):
        assert ak.to_numpy(read[name]) == pytest.approx(ak.to_numpy(jets[name]), rel=tolerance, abs=1e-3), name
    assert ak.all(read.constituents.pdg == 0)
    part = top_tagging.read(tmp_path / "val.h5", 10, 15)
    assert ak.to_list(part.event) == [10, 11, 12, 13, 14]
    assert top_tagging.count(tmp_path / "val.h5") == 40


def test_other_layouts_are_named(tmp_path: Path, jets: ak.Array) -> None:
    with pytest.raises(InputError, match="no pandas table 'table'"):
        top_tagging.read(write(tmp_path / "a.h5", jets[:3], key="jets"), 0, 3)
    with pytest.raises(InputError, match="row 1 holds NaN"):
        top_tagging.read(write(tmp_path / "b.h5", jets[:3], PX_2=np.nan), 0, 3)
    with pytest.raises(InputError, match="row 1 has no constituents"):
        top_tagging.read(write(tmp_path / "c.h5", jets[:3], **{f"E_{i}": 0.0 for i in range(200)}), 0, 3)
    path = tmp_path / "d.h5"
    pd.DataFrame({"E_0": [1.0], "is_signal_new": [1]}).to_hdf(path, key="table", format="table")
    with pytest.raises(InputError, match="PX_0"):
        top_tagging.read(path, 0, 1)
    with pytest.raises(InputError, match="nothing lies between"):
        top_tagging.read(write(tmp_path / "e.h5", jets[:3]), 5, 9)


def test_fetched_files_are_preferred_checked_and_cached(
    tmp_path: Path, jets: ak.Array, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEPML_NB_DATA", str(tmp_path / "mine"))
    folder = tmp_path / "mine" / "top-tagging"
    for split, part in (("train", jets[:20]), ("val", jets[20:30]), ("test", jets[30:])):
        write(folder / f"{split}.h5", part)
    public = data.load("top-tagging", "tutorial", make=False)
    assert public.provenance["source"] == "public"
    assert len(public) == 40
    assert len(public.split("train")) == 20
    kept = list(cache.glob("public-converted/top-tagging/*.parquet"))
    assert len(kept) == 3
    assert data.load("top-tagging", "tutorial").identity == public.identity
    # the smoke profile still is the sample that ships
    assert data.load("top-tagging").provenance["source"] == "sample"

    # nothing is downloaded when the files are here; the checksum of the first time holds
    paths = data.fetch("top-tagging")
    assert [path.name for path in paths] == ["train.h5", "val.h5", "test.h5"]
    assert {state for path, state in data.verify("top-tagging").items() if str(folder) in path} == {"ok"}
    content = bytearray(paths[0].read_bytes())
    content[-10] ^= 1
    paths[0].write_bytes(content)
    assert data.verify("top-tagging")[str(paths[0])] == "damaged"
    with pytest.raises(RunError, match="does not match its checksum"):
        data.fetch("top-tagging")


def test_what_is_not_public_cannot_be_fetched(cache: Path) -> None:
    with pytest.raises(InputError, match="made by its recipe"):
        data.fetch("boosted-jets")
    with pytest.raises(NotFound, match="hepml-nb data fetch top-tagging"):
        data.load("top-tagging", "full", "public")
