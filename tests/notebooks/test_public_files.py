"""Files in the layout of the public top-tagging set drive every notebook that works on such jets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest

from hepml_nb import data, runtime

pd = pytest.importorskip("pandas")
pytest.importorskip("tables", reason="the public reader needs PyTables (extra 'public')")

NAME = "public-top"
SIZES = {"train": 1500, "val": 300, "test": 1200}
MANIFEST = f"""
name: {NAME}
title: A part of the public set
topic: tagging
schema: jets
licence: CC-BY-4.0
citation: arXiv:1902.09914
about: Jets in the public layout.
classes: {{qcd: 0, top: 1}}
public:
  base: https://zenodo.org/records/2603256/files/
  reader: top_tagging
  files: [{", ".join(f"{{name: {split}.h5, split: {split}}}" for split in SIZES)}]
profiles:
  smoke: {{{", ".join(f"{split}: {{qcd: {n // 2}, top: {n // 2}}}" for split, n in SIZES.items())}}}
"""

DEFAULTS = {n: dict(runtime.read_parameters(n)).get("dataset") for n in runtime.discover()}
TAGGING = {name: dataset for name, dataset in DEFAULTS.items() if name.startswith("tagging/") and dataset}
DRIVEN = [name for name, dataset in TAGGING.items() if dataset.default == "top-tagging"]


def write(path: Path, jets: Any, most: int = 200) -> Path:
    """Write jets as the public set has them: E_0, PX_0, PY_0, PZ_0 ... _199, padded with zeros, and the label."""
    parts = jets.constituents
    eta, phi = parts.deta + jets.eta, parts.dphi + jets.phi
    momenta = {"E": parts.pt * np.cosh(eta), "PX": parts.pt * np.cos(phi), "PY": parts.pt * np.sin(phi),
               "PZ": parts.pt * np.sinh(eta)}  # fmt: skip
    padded = {name: ak.to_numpy(ak.fill_none(ak.pad_none(x, most, clip=True), 0)) for name, x in momenta.items()}
    columns = {f"{name}_{i}": padded[name][:, i].astype(np.float32) for i in range(most) for name in momenta}
    columns |= {f"truth{name}": np.zeros(len(jets), np.float32) for name in momenta}
    columns |= {"ttv": np.ones(len(jets), int), "is_signal_new": ak.to_numpy(jets.label).astype(int)}
    pd.DataFrame(columns).to_hdf(path, key="table", format="table")
    return path


@pytest.fixture(scope="module", autouse=True)
def public(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A user's folder of data with three public files, known by a manifest of theirs."""
    folder = tmp_path_factory.mktemp("public")
    sample = data.load("top-tagging")
    files = [write(folder / f"{split}.h5", sample.split(split)[:n]) for split, n in SIZES.items()]
    (folder / f"{NAME}.yaml").write_text(MANIFEST, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEPML_NB_CACHE", str(folder / "cache"))
        patch.setenv("HEPML_NB_DATA", str(folder / "mine"))
        data.add(folder / f"{NAME}.yaml")
        data.add(NAME, files)
        yield


def test_the_files_are_read_as_public():
    dataset = data.load(NAME)
    assert dataset.provenance["source"] == "public"
    assert len(dataset.split("test")) == SIZES["test"]


@pytest.mark.notebook
@pytest.mark.parametrize("driven", DRIVEN)
def test_public_files_drive(driven: str):
    run = runtime.run(driven, {"dataset": NAME, "train": False}, profile="smoke")
    assert NAME in str(run.metrics["dataset"])
    assert run.metrics["metrics"]
