"""Published numbers are found by reference, with error and source, or missed with the nearest name."""

from __future__ import annotations

import csv

import pytest

from hepml_nb.core import InputError, NotFound, manifests_dir
from hepml_nb.data import published, published_tables


@pytest.mark.parametrize(
    ("reference", "value", "error", "source"),
    [
        ("top_tagging:ParticleNet:auc", 0.9858, None, "arXiv:2405.14806 Table 1"),
        ("top_tagging:PFN:rejection_at_eff50", 247, 3, "arXiv:2405.14806 Table 1"),
        ("zjets_triangular_discriminator:IBU:mass", 9.74, None, "Tools for Unbinned Unfolding"),
        ("lhco_max_sic:shifted features:CATHODE", 10.18, None, "arXiv:2109.00546"),
        ("calochallenge_results:ds1_photons/CaloDiffusion:auc_low", 0.6346, 0.0028, "arXiv:2410.21611"),
        ("sbibm_c2st:bernoulli_glm/1000/NPE:c2st_mean", 0.863, 0.0378, "arXiv:2101.04653"),
    ],
)
def test_references_are_found(reference: str, value: float, error: float | None, source: str) -> None:
    found = published(reference)
    assert (found.value, found.error) == (value, error)
    assert source in found.source


def test_every_cell_of_every_table_is_a_number_with_a_source() -> None:
    folder = manifests_dir() / "published"
    assert set(published_tables()) == {path.stem for path in folder.glob("*.csv")}
    for table, keys in published_tables().items():
        with (folder / f"{table}.csv").open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
        assert len(keys) == len(rows), f"{table}: rows of the same name"
        for key, row in zip(keys, rows, strict=True):
            found = 0
            for column, cell in row.items():
                try:
                    value = published(f"{table}:{key}:{column}")
                except (InputError, NotFound):
                    continue  # a key, an error, a remark, or nothing published
                assert value.value == float(cell)
                assert any(word in value.source for word in ("arXiv:", "JINST", "Phys. Rev."))
                found += 1
            assert found, f"{table}:{key}"


@pytest.mark.parametrize(
    ("reference", "kind", "message"),
    [
        ("top_tagging:PFN", InputError, "expected 'table:row:column'"),
        ("top_taging:PFN:auc", NotFound, "did you mean 'top_tagging'"),
        ("top_tagging:PNF:auc", NotFound, "did you mean 'PFN'"),
        ("top_tagging:PFN:auk", NotFound, "did you mean 'auc'"),
        ("top_tagging:PFN:rejection_at_eff50_err", NotFound, "no column"),
        ("top_tagging:TopoDNN:rejection_at_eff50", InputError, "no value was published"),
    ],
)
def test_misses_name_the_nearest(reference: str, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        published(reference)
