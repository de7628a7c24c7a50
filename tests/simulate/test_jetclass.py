"""The ten classes of JetClass have the masses of what decayed, and displaced tracks where b and c quarks are."""

from __future__ import annotations

from typing import Any

import awkward as ak
import numpy as np
import pytest

from hepml_nb.core import NotFound
from hepml_nb.simulate import Pythia, recipe
from hepml_nb.simulate.recipes.jetclass import _CLASSES, decay_partons

N = 60
# Soft-drop medians. The Higgs has 125 GeV, less what neutrinos take of b decays; a jet of N = 60 is known to 2 GeV.
MASSES = {"Hbb": (111, 126), "Hcc": (116, 129), "H4q": (108, 129), "Zqq": (85, 95), "Wqq": (74, 84), "Tbqq": (162, 179)}


@pytest.fixture(scope="module")
def jets() -> dict[str, Any]:
    return {name: recipe("jetclass")(N, seed=5, process=name)[0] for name in (*MASSES, "QCD")}


def displaced(found: Any) -> float:
    """Return the median over jets of the third largest |d0| / sigma of tracks that no K_S or Lambda left."""
    inside = found.constituents
    tracks = inside[(inside.charge != 0) & (inside.pt > 1) & (np.abs(inside.d0val) < 2) & (np.abs(inside.dzval) < 10)]
    ordered = ak.sort(np.abs(tracks.d0val / tracks.d0err), axis=1, ascending=False)
    return float(np.median(ak.fill_none(ak.pad_none(ordered, 3), 0)[:, 2]))


def test_jets_have_the_mass_of_what_decayed(jets: dict[str, Any]) -> None:
    for name, (low, high) in MASSES.items():
        assert low < np.median(jets[name].msoftdrop) < high, name
    assert np.median(jets["QCD"].msoftdrop) < 50


def test_tracks_are_displaced_in_the_order_of_flavour(jets: dict[str, Any]) -> None:
    assert displaced(jets["Hbb"]) > 2 * displaced(jets["Hcc"]) > 2 * 1.2 * displaced(jets["QCD"])
    assert displaced(jets["Tbqq"]) > 2 * displaced(jets["QCD"])
    far = ak.to_numpy(ak.flatten(np.abs(jets["QCD"].constituents.d0val)))
    assert (far > 2).sum() > N / 4  # K_S and Lambda decay centimetres away, once or twice a jet


def test_jets_are_in_schema_and_window(jets: dict[str, Any]) -> None:
    for found in jets.values():
        inside = found.constituents
        assert len(found) == N
        assert ak.all((found.pt > 499.9) & (found.pt < 1000.1) & (np.abs(found.eta) < 2.0001) & found.matched)
        neutral = inside.charge == 0
        assert ak.all(neutral == ((inside.pdg == 22) | (inside.pdg == 130)))
        for name in ("d0val", "d0err", "dzval", "dzerr"):
            assert ak.all(inside[name][neutral] == 0)
            assert np.isfinite(ak.to_numpy(ak.flatten(inside[name]))).all()
        assert ak.all((inside.d0err > 0) == ~neutral)


@pytest.mark.parametrize("name", ["Hqql", "Tbl", "Hgg"])
def test_decay_products_are_those_of_the_class(name: str) -> None:
    kind = _CLASSES[name]
    for lines in kind.lines:
        records = Pythia(lines, seed=1, ecm=13000, pthat=(400, 1000)).events(10)
        momenta = decay_partons(records, kind.parent, kind.parents, kind.partons)
        assert momenta.shape == (10, kind.parents, kind.partons, 4)
        total = momenta.sum(axis=2)
        mass = np.sqrt(np.maximum(total[..., 3] ** 2 - (total[..., :3] ** 2).sum(axis=-1), 0))
        if name == "Hgg":
            assert mass == pytest.approx(125, abs=0.5)
        else:  # a neutrino is missing; now and then a top is far off its mass shell
            assert np.quantile(mass, 0.9) < {"Hqql": 125.5, "Tbl": 173}[name]
            assert np.median(mass) > {"Hqql": 40, "Tbl": 70}[name]


def test_leptons_of_both_charges_are_in_the_semileptonic_class() -> None:
    found, counters = recipe("jetclass")(40, seed=2, process="Hqql")
    inside = found.constituents
    hard = inside.pdg[(np.abs(inside.pdg) < 14) & (inside.pt > 20)]
    assert {-1, 1} == set(np.sign(ak.to_numpy(ak.flatten(hard))).tolist())
    assert np.mean(ak.num(hard) > 0) > 0.8
    assert counters["matched"] <= counters["near"] <= counters["jets_in_window"]


def test_unknown_classes_are_refused() -> None:
    with pytest.raises(NotFound, match="did you mean 'Hbb'"):
        recipe("jetclass")(1, process="hbb")
