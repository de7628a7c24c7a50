"""Features of the HiggsML uncertainty challenge (arXiv:2410.02867): derived from the primary ones, and shifted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import awkward as ak
import numpy as np

from hepml_nb.core import InputError, rng

__all__ = ["CLASSES", "DERIVED", "PRIMARY", "UNDEFINED", "derived", "normalise", "primary", "shifted",
           "table"]  # fmt: skip

CLASSES: Mapping[str, int] = {"htautau": 0, "ztautau": 1, "ttbar": 2, "diboson": 3}
"""The processes, of which the first is the signal."""

UNDEFINED = -25.0
"""What stands for features of jets that an event does not have."""

PRIMARY = (
    *(
        f"PRI_{what}_{name}"
        for what in ("lep", "had", "jet_leading", "jet_subleading")
        for name in ("pt", "eta", "phi")
    ),
    *("PRI_n_jets", "PRI_jet_all_pt", "PRI_met", "PRI_met_phi"),
)
"""Primary features; PRI_n_jets is a count."""

DERIVED = (
    *(f"DER_{name}" for name in ("mass_transverse_met_lep", "mass_vis", "pt_h", "deltaeta_jet_jet", "mass_jet_jet")),
    *(f"DER_{name}" for name in ("prodeta_jet_jet", "deltar_had_lep", "pt_tot", "sum_pt", "pt_ratio_lep_had")),
    *(f"DER_{name}" for name in ("met_phi_centrality", "lep_eta_centrality")),
)
"""Features that follow from the primary ones."""

_THRESHOLD = 26.0
"""Where hadronic taus and jets begin to count, in GeV, once they were shifted."""

_Columns = Mapping[str, np.ndarray]


def primary(lepton: Any, tau: Any, jets: Any, met: np.ndarray) -> dict[str, np.ndarray]:
    """Return the features PRIMARY of events, each (events,), in GeV and rad.

    `lepton` and `tau` are {pt, eta, phi} of each event, zeros standing for None; `jets` is events * var * {pt, eta,
    phi} without these two, hardest first, and `met` the components of the missing momentum, (events, 2).
    """
    columns: dict[str, np.ndarray] = {}
    for what, thing in (("lep", lepton), ("had", tau)):
        for name in ("pt", "eta", "phi"):
            columns[f"PRI_{what}_{name}"] = ak.to_numpy(ak.fill_none(thing[name], 0.0))
    padded = ak.pad_none(jets, 2, axis=1)
    for i, which in enumerate(("leading", "subleading")):
        for name in ("pt", "eta", "phi"):
            columns[f"PRI_jet_{which}_{name}"] = ak.to_numpy(ak.fill_none(padded[name][:, i], UNDEFINED))
    columns["PRI_n_jets"] = ak.to_numpy(ak.num(jets))
    columns["PRI_jet_all_pt"] = ak.to_numpy(ak.sum(jets.pt, axis=1))
    columns["PRI_met"], columns["PRI_met_phi"] = np.hypot(*met.T), np.arctan2(met[:, 1], met[:, 0])
    return {name: columns[name] for name in PRIMARY}


def _momentum(columns: _Columns, what: str) -> np.ndarray:
    """Return massless (px, py, pz, e), zeros where the thing is undefined: (n, 4)."""
    pt, eta, phi = (np.asarray(columns[f"PRI_{what}_{name}"], dtype=np.float64) for name in ("pt", "eta", "phi"))
    there = pt > 0
    eta = np.where(there, eta, 0.0)
    direction = np.stack([np.cos(phi), np.sin(phi), np.sinh(eta), np.cosh(eta)], axis=1)
    return np.asarray(np.where(there, pt, 0.0)[:, None] * direction)


def _mass(p: np.ndarray) -> np.ndarray:
    return np.asarray(np.sqrt(np.maximum(p[:, 3] ** 2 - (p[:, :3] ** 2).sum(axis=1), 0.0)))


def derived(columns: _Columns) -> dict[str, np.ndarray]:
    """Return the features DERIVED of the primary ones, each (n,), in GeV and rad; UNDEFINED where jets are lacking.

    Masses are those of massless leptons, taus and jets. The centrality of the missing momentum is sqrt(2) in the middle
    between lepton and hadronic tau, 1 at either and less outside; that of the lepton's eta is 1 in the middle between
    the two jets and 1/e at either.
    """
    lep, had, jet1, jet2 = (_momentum(columns, what) for what in ("lep", "had", "jet_leading", "jet_subleading"))
    get = {name: np.asarray(columns[name], dtype=np.float64) for name in PRIMARY}
    met = get["PRI_met"][:, None] * np.stack([np.cos(get["PRI_met_phi"]), np.sin(get["PRI_met_phi"])], axis=1)
    two = get["PRI_n_jets"] >= 2
    eta1, eta2 = (np.where(two, get[f"PRI_jet_{which}_eta"], 0.0) for which in ("leading", "subleading"))
    gap = np.where(two & (eta1 != eta2), eta1 - eta2, 1.0)
    lepton_phi, had_phi = get["PRI_lep_phi"], get["PRI_had_phi"]
    apart = (lepton_phi - had_phi + np.pi) % (2 * np.pi) - np.pi
    a = np.sin(get["PRI_met_phi"] - lepton_phi) * np.sign(np.sin(had_phi - lepton_phi))
    b = np.sin(had_phi - get["PRI_met_phi"]) * np.sign(np.sin(had_phi - lepton_phi))
    length = np.hypot(a, b)
    transverse = lep[:, :2] + had[:, :2] + met
    squared = (get["PRI_met"] + get["PRI_lep_pt"]) ** 2 - ((met + lep[:, :2]) ** 2).sum(axis=1)

    def pair(values: np.ndarray) -> np.ndarray:
        return np.where(two, values, UNDEFINED)

    found = (
        np.sqrt(np.maximum(squared, 0.0)),
        _mass(lep + had),
        np.linalg.norm(transverse, axis=1),
        pair(np.abs(eta1 - eta2)),
        pair(_mass(jet1 + jet2)),
        pair(eta1 * eta2),
        np.hypot(get["PRI_lep_eta"] - get["PRI_had_eta"], apart),
        np.linalg.norm(transverse + jet1[:, :2] + jet2[:, :2], axis=1),
        get["PRI_lep_pt"] + get["PRI_had_pt"] + get["PRI_jet_all_pt"],
        get["PRI_lep_pt"] / get["PRI_had_pt"],
        np.where(length > 0, (a + b) / np.where(length > 0, length, 1.0), UNDEFINED),
        pair(np.exp(-4 * ((get["PRI_lep_eta"] - (eta1 + eta2) / 2) / gap) ** 2)),
    )
    return dict(zip(DERIVED, found, strict=True))


def table(features: _Columns, **others: Any) -> Any:
    """Return records in the schema higgsml of primary `features` and the other columns, with the derived features."""
    kept = {
        name: np.asarray(features[name]).astype(np.int8 if name == "PRI_n_jets" else np.float32) for name in PRIMARY
    }
    made = {name: values.astype(np.float32) for name, values in derived(kept).items()}
    return ak.zip({**kept, **made, **others}, depth_limit=1)


def shifted(
    records: Any, *, tes: float = 1.0, jes: float = 1.0, soft_met: float = 0.0, ttbar_scale: float = 1.0,
    diboson_scale: float = 1.0, bkg_scale: float = 1.0, seed: int = 0,
) -> Any:  # fmt: skip
    """Return records as they would be under shifted nuisance parameters, selected anew and with derived features.

    `tes` and `jes` scale the hadronic tau and the jets, and the missing momentum takes up the difference (of the two
    jets whose directions are known); `soft_met` (GeV) is the width of noise added to each of its components. The scales
    multiply weights: `bkg_scale` those of all backgrounds. Then taus below 26 GeV lose their event and jets below
    26 GeV are forgotten, as in the challenge, also where nothing is shifted. Raises InputError for a scale that is not
    positive or negative noise.
    """
    for name, value in (("tes", tes), ("jes", jes), ("ttbar_scale", ttbar_scale), ("diboson_scale", diboson_scale),
                        ("bkg_scale", bkg_scale)):  # fmt: skip
        if not value > 0:
            raise InputError(f"{name}={value}: expected a positive factor.")
    if not soft_met >= 0:
        raise InputError(f"soft_met={soft_met} GeV: expected a width of zero or more.")
    new = {name: ak.to_numpy(records[name]).astype(np.float64) for name in PRIMARY}
    met = new["PRI_met"][:, None] * np.stack([np.cos(new["PRI_met_phi"]), np.sin(new["PRI_met_phi"])], axis=1)
    for what, scale in (("had", tes), ("jet_leading", jes), ("jet_subleading", jes)):
        met -= (scale - 1) * _momentum(new, what)[:, :2]
        pt = new[f"PRI_{what}_pt"]
        new[f"PRI_{what}_pt"] = np.where(pt > 0, pt * scale, pt)
    new["PRI_jet_all_pt"] = new["PRI_jet_all_pt"] * jes
    met += soft_met * rng(seed, "soft_met").standard_normal(met.shape)
    new["PRI_met"], new["PRI_met_phi"] = np.hypot(*met.T), np.arctan2(met[:, 1], met[:, 0])
    for which in ("subleading", "leading"):
        pt = new[f"PRI_jet_{which}_pt"]
        gone = (pt > 0) & (pt < _THRESHOLD)
        new["PRI_jet_all_pt"] = new["PRI_jet_all_pt"] - np.where(gone, pt, 0.0)
        new["PRI_n_jets"] = new["PRI_n_jets"] - gone
        for name in ("pt", "eta", "phi"):
            new[f"PRI_jet_{which}_{name}"] = np.where(gone, UNDEFINED, new[f"PRI_jet_{which}_{name}"])
    label = ak.to_numpy(records.label)
    factor = np.where(label != CLASSES["htautau"], bkg_scale, 1.0)
    factor *= np.select([label == CLASSES["ttbar"], label == CLASSES["diboson"]], [ttbar_scale, diboson_scale], 1.0)
    keep = new["PRI_had_pt"] >= _THRESHOLD
    others = {name: records[name][keep] for name in records.fields if name not in (*PRIMARY, *DERIVED, "weights")}
    weights = (ak.to_numpy(records.weights) * factor)[keep].astype(np.float32)
    return table({name: values[keep] for name, values in new.items()}, weights=weights, **others)


def normalise(records: Any, yields: Mapping[str, float]) -> Any:
    """Return records whose weights sum to the expected number of events of each class, {class: events}.

    Any part of a dataset needs this, as its weights are those of the whole. Raises InputError for an unknown class.
    """
    label, weights = ak.to_numpy(records.label), ak.to_numpy(records.weights).astype(np.float64)
    for name, value in yields.items():
        if name not in CLASSES:
            raise InputError(f"class {name!r} is unknown; expected some of {', '.join(CLASSES)}.")
        mine = label == CLASSES[name]
        weights[mine] *= value / weights[mine].sum() if mine.any() else 1.0
    return ak.with_field(records, weights.astype(np.float32), "weights")
