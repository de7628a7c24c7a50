"""Large-radius jets of tops and QCD: masses, the spectrum that the weights make equal, and what variations do."""

from __future__ import annotations

import awkward as ak
import numpy as np
import pytest

from hepml_nb.core import NotFound
from hepml_nb.simulate import recipe


@pytest.fixture(scope="module")
def jets() -> dict[str, ak.Array]:
    make = recipe("atlas_top")
    return {name: make(250, seed=2, process=name, label=i, mpi=False)[0] for i, name in enumerate(("qcd", "top"))}


def test_selection_and_masses(jets: dict[str, ak.Array]) -> None:
    for sample in jets.values():
        assert len(sample) == 250
        assert ak.all((sample.pt > 349.9) & (sample.pt < 3151) & (abs(sample.eta) < 2.001) & (sample.mass > 39.9))
    assert 160 < np.median(jets["top"].msoftdrop) < 182  # 172.5 GeV, less what soft drop and neutrinos of b take
    assert np.median(jets["qcd"].msoftdrop) < 80


def test_with_weights_both_classes_have_one_spectrum(jets: dict[str, ak.Array]) -> None:
    top, qcd = (np.log(ak.to_numpy(jets[name].pt).astype(float)) for name in ("top", "qcd"))
    weight = ak.to_numpy(jets["qcd"].weight).astype(float)
    assert ak.all(jets["top"].weight == 1)
    assert weight.mean() == pytest.approx(1, abs=0.1)
    error = np.hypot(top.std() / len(top) ** 0.5, qcd.std() / (weight.sum() ** 2 / (weight**2).sum()) ** 0.5)
    assert np.average(qcd, weights=weight) == pytest.approx(top.mean(), abs=3 * error)
    gap = abs(np.average(qcd, weights=weight) - top.mean())
    assert gap < abs(qcd.mean() - top.mean()) / 2  # without them tops are harder


def test_variations_move_energies_of_the_same_events() -> None:
    make = recipe("atlas_top")
    pt = {}
    for name in ("nominal", "esup", "esdown", "cpos"):
        sample = make(30, seed=3, mpi=False, variation=name)[0]
        pt[name] = {
            (e, r): p for e, r, p in zip(*(ak.to_list(sample[c]) for c in ("event", "rank", "pt")), strict=True)
        }
    common = [key for key in pt["nominal"] if all(key in other for other in pt.values())]
    assert len(common) > 15

    def ratio(name: str) -> float:
        return float(np.median([pt[name][key] / pt["nominal"][key] for key in common]))

    # Deposits of calorimeters carry some 40 % of a jet's energy, so 2 % of them moves its pt by 0.8 %.
    assert ratio("esup") == pytest.approx(1.008, abs=0.003)
    assert ratio("esdown") == pytest.approx(0.992, abs=0.003)
    assert ratio("cpos") == pytest.approx(1.0, abs=0.002)
    with pytest.raises(NotFound, match="no 'esupp'"):
        make(1, variation="esupp")
    with pytest.raises(NotFound, match="no 'w'"):
        make(1, process="w")
