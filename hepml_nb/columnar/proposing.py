"""A first mapping of a user's files, guessed from the names that the field uses and from the size of the numbers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np

from hepml_nb.columnar.inspection import Survey, values
from hepml_nb.columnar.mapping import FLAGS, Label, Plan, Take
from hepml_nb.columnar.tables import Field
from hepml_nb.core import InputError, suggest
from hepml_nb.data import schema
from hepml_nb.simulate.jets import delta_phi

__all__ = ["KINDS", "propose"]

KINDS: Mapping[str, tuple[str, ...]] = {
    "jets": ("jets",),
    "events": ("nanoaod", "dijets", "zjets"),
    "showers": ("showers",),
}
"""What the user may call his records, and the schemas that it may stand for."""

_WORDS: Mapping[str, tuple[str, ...]] = {
    "pt": ("pt", "ptt", "transverse_momentum"),
    "eta": ("eta",), "phi": ("phi",), "mass": ("mass", "m"), "energy": ("energy", "e"),
    "px": ("px",), "py": ("py",), "pz": ("pz",),
    "deta": ("deta", "etarel", "eta_rel"), "dphi": ("dphi", "phirel", "phi_rel"),
    "pdg": ("pdgid", "pdg", "pid", "pdg_id"), "charge": ("charge", "q"), "valid": ("valid", "mask"),
    "charged": ("ischargedhadron",), "neutral": ("isneutralhadron",), "photon": ("isphoton",),
    "electron": ("iselectron",), "muon": ("ismuon",),
    "msoftdrop": ("msoftdrop", "sdmass", "softdropmass", "soft_drop_mass", "softdrop_mass", "msd", "m_sd"),
    **{f"tau{i}": (f"tau{i}",) for i in (1, 2, 3, 4)},
    **{name: (name,) for name in ("c2", "d2", "n2", "m2")},
    "event": ("event", "eventnumber", "event_number", "evt", "event_id"),
    "gen_pt": ("gen_pt", "genjet_pt", "gen_jet_pt"), "gen_mass": ("gen_mass", "genjet_mass"),
}  # fmt: skip
_PARTS = re.compile(r"part|constit|const|cand|pfc|clus|tower|flow|track|particle", re.I)
_JETS = re.compile(r"jet|fj|ak8|ak10", re.I)
_NO_JETS = re.compile(r"(^|_)(gen|truth|true)|(^|_)(met|ele|electrons?|mu|muons?|taus?)(_|$)", re.I)
_LABELS = ("label", "labels", "is_signal_new", "is_signal", "issignal", "signal", "truth_label", "truth", "target",
           "class", "jet_label", "flavour", "flavor", "jet_flavour", "y")  # fmt: skip
_WEIGHTS = ("weight", "weights", "event_weight", "evt_weight", "eventweight", "genweight", "mcweight", "mceventweight",
            "jet_weight", "w", "wgt")  # fmt: skip
_VARIED = re.compile(r"(^|_)weights?_|_?weight$|(_|^)(\d?up|\d?down|syst?)(_|$)|(Up|Down)$", re.I)
_FILES = {"qcd": "qcd", "dijet": "qcd", "ttbar": "top", "top": "top", "tt": "top", "zprime": "top", "wjet": "w",
          "higgs": "h", "hbb": "h", "quark": "quark", "gluon": "gluon", "background": "background",
          "bkg": "background", "signal": "signal", "sig": "signal"}  # fmt: skip
_RADII = (0.4, 0.5, 0.6, 0.7, 0.8, 1.0, 1.2, 1.5)


def propose(seen: Survey, kind: str, radius: float | None = None) -> tuple[Plan, list[str]]:
    """Return a mapping of files to "jets", "events", "showers" or a schema, and what it rests on, line by line.

    Raises InputError where the files have nothing of that kind that we could recognise by name.
    """
    if seen.layout != "flat":
        return _of_events(seen, kind, radius)
    if kind == "jets":
        return _jets(seen, radius)
    if kind == "showers":
        return _showers(seen)
    names = [name for name in KINDS.get(kind, (kind,)) if name != "nanoaod"]
    shares = {name: {c: Take(c) for c in schema(name).columns if c in seen.fields} for name in names}
    best = max(shares, key=lambda name: len(shares[name]) / len(schema(name).columns))
    if not shares[best]:
        known = ", ".join(schema(best).columns)
        raise InputError(f"{seen.files[0]}: no column has a name of the schemas {', '.join(names)} ({known}); "
                         "write a mapping by hand for --mapping.")  # fmt: skip
    columns = {name: take for name, take in shares[best].items() if name not in ("label", "weight")}
    notes = [f"{len(columns)} columns by their names, in the units of the schema {best!r}: look at the ranges."]
    label, weight = _label(seen, notes), _weight(seen, notes)
    return Plan(best, "flat", columns, label=label, weight=weight, extra=_varied(seen, weight)), notes


def _of_events(seen: Survey, kind: str, radius: float | None) -> tuple[Plan, list[str]]:
    if kind == "showers" or (kind == "events" and seen.layout == "delphes"):
        raise InputError(f"{seen.files[0]} is {seen.layout}; give --as jets" + " or events" * (kind == "showers") + ".")
    if kind == "jets" and seen.layout == "nanoaod":
        raise InputError(f"{seen.files[0]} is NanoAOD without particle-flow candidates (PFCands_pt, FatJetPFCands_"
                         "pFCandsIdx): there are no constituents. Give --as events, or use PFNano.")  # fmt: skip
    notes = [f"{seen.layout}: units are GeV by definition."]
    label = _by_file(seen, notes)
    truth = any(name.startswith(("GenPart_pdgId", "Particle")) for name in seen.fields)
    if kind == "jets":
        if truth and not label.files:
            label = Label(truth=("qcd", "top"))
            notes.append("labels: jets are matched to generator particles, hadronic tops against jets of no heavy "
                         "parent; others (W, Z, H, part of a top) are left out; `truth` says which.")  # fmt: skip
        source = "clustered from particle flow" if seen.layout == "delphes" else "of the file (FatJet)"
        notes.append(f"jets are those {source}, R = {radius or 0.8}, the two hardest above 200 GeV within |eta| < 2.")
        window = {"pt": [200.0, float("inf")], "eta": 2.0, "hardest": 2, "matched_only": False}
        return Plan("jets", seen.layout, label=label, radius=radius or 0.8, jets=window), notes
    return Plan("nanoaod", seen.layout, label=label), notes


def _jets(seen: Survey, radius: float | None) -> tuple[Plan, list[str]]:
    notes: list[str] = []
    parts, jets = _objects(seen)
    inside = {name: parts[name] for name in _constituents(parts)}
    columns: dict[str, Take] = {}
    columns |= {name: Take(jets[name]) for name in ("pt", "eta", "phi", "event", "gen_pt", "gen_mass") if name in jets}
    exact = ("matched", "rank", "gen_msoftdrop")
    columns |= {name: Take(name) for name in exact if seen.fields.get(name, Field("", (1,))).shape == ()}
    described = ("mass", "msoftdrop", "tau1", "tau2", "tau3", "tau4", "c2", "d2", "n2", "m2")
    if inside:
        notes.append("constituents: " + ", ".join(inside.values()))
        if given := [jets[name] for name in described if name in jets]:
            notes.append(f"computed from the constituents, not taken from the file: what {', '.join(given)} say. Give "
                         "them below `columns` to take the file's.")  # fmt: skip
    else:
        columns |= {name: Take(jets[name]) for name in described if name in jets}
        notes.append("no constituents were recognised: substructure that the file lacks cannot be computed.")
    if not inside and "pt" not in columns:
        raise InputError(f"{seen.files[0]}: neither pt of jets nor constituents were recognised among "
                         f"{', '.join(seen.fields)}; write a mapping by hand and give it by --mapping.")  # fmt: skip
    columns, things = _in_units(seen, columns, {name: Take(column) for name, column in inside.items()}, notes)
    label, weight = _label(seen, notes), _weight(seen, notes)
    guess = radius or _radius(seen, columns, things, notes)
    collections = {"constituents": things} if things else {}
    return Plan("jets", "flat", columns, collections, label, weight, _varied(seen, weight), guess), notes


def _objects(seen: Survey) -> tuple[dict[str, str], dict[str, str]]:
    """Return {quantity: column} of the constituents and of the jets.

    Columns with a common beginning are an object; constituents are the deepest one with momenta whose name says so.
    """
    objects: dict[tuple[str, int], dict[str, str]] = {}
    for name, field in seen.fields.items():
        for stem, quantity, column, depth in _parsed(name, field):
            objects.setdefault((stem, depth), {}).setdefault(quantity, column)
    deep = [key for key in objects if key[1] > 0 and _constituents(objects[key])]
    named = [key for key in deep if _PARTS.search(key[0])]
    best = max(named or deep, default=None, key=lambda key: (len(_constituents(objects[key])), key[1], key[0]))
    level = best[1] - 1 if best else 0
    flat = [key for key in objects if key[1] == level and not _NO_JETS.search(key[0])]
    chief = max(flat, default=None, key=lambda key: (len({"pt", "eta", "phi"} & set(objects[key])),
                                                     bool(_JETS.search(key[0])), -len(key[0])))  # fmt: skip
    jets = {**objects.get(("", level), {}), **(objects[chief] if chief else {})}  # `mass` beside `jet_pt`
    for key in [("", 0), *((stem, depth) for stem, depth in objects if depth == 0)]:  # the event's number
        if "event" in objects.get(key, {}):
            jets.setdefault("event", objects[key]["event"])
    for key, found in objects.items():  # gen_pt, and tau1 where a stem hides it
        jets.update({name: column for name, column in found.items() if name.startswith("gen_") and key[1] == level})
    return (objects[best] if best else {}), jets


def _parsed(name: str, field: Field) -> list[tuple[str, str, str, int]]:
    """Return what a name may mean: (beginning, quantity, column, depth)."""
    depth = len(field.shape)
    if name.upper() == "X" and depth == 2 and field.shape[1] == 4:  # EnergyFlow's arrays (n, m, 4)
        order = ("pt", "eta", "phi", "pdg")
        return [("particles", quantity, f"{name}[{i}]", 1) for i, quantity in enumerate(order)]
    low = name.lower().removesuffix("*").rstrip("_")
    for quantity, words in _WORDS.items():
        for word in sorted(words, key=len, reverse=True):
            found = re.fullmatch(rf"(|.*[_./]){re.escape(word)}", low)
            if found:
                return [(found[1].rstrip("_./"), quantity, name, depth)]
    return []


def _constituents(names: Mapping[str, str]) -> list[str]:
    for momenta in (("px", "py", "pz"), ("pt", "eta", "phi"), ("pt", "deta", "dphi")):
        if set(momenta) <= set(names):
            kind = ["pdg"] if "pdg" in names else [n for n in (*FLAGS, "charge") if n in names]
            return [*momenta, *kind, *(["valid"] if "valid" in names else [])]
    return []


def _in_units(
    seen: Survey, columns: dict[str, Take], things: dict[str, Take], notes: list[str]
) -> tuple[dict[str, Take], dict[str, Take]]:
    """Say MeV where jets of the LHC would otherwise have more than its energy."""
    total = np.zeros(0)
    if things:
        names = ("px", "py") if "px" in things else ("pt",)
        parts = [seen.sample(things[name].column) for name in names]
        total = _flat(ak.sum(np.hypot(*parts) if len(parts) == 2 else parts[0], axis=-1))
    own = _flat(seen.sample(columns["pt"].column)) if "pt" in columns else np.zeros(0)
    units = {}
    for what, numbers in (("jets", own), ("constituents", total)):
        if len(numbers) and np.isfinite(numbers).any():
            middle = float(np.nanmedian(numbers))
            units[what] = "MeV" if middle > 7000 else "GeV"
            side = "above" if middle > 7000 else "below"
            notes.append(f"{what} are taken to be in {units[what]}: half of them have pt {side} {middle:.4g}.")
    if len(own) and len(total) and len(own) == len(total):
        scale = {"MeV": 1e-3, "GeV": 1.0}
        ratio = float(np.nanmedian(total * scale[units["constituents"]] / (own * scale[units["jets"]])))
        if not 0.5 < ratio < 2:
            notes.append(f"BEWARE: constituents add up to {ratio:.3g} of the jet's pt; are these the right columns?")

    def energies(takes: dict[str, Take], unit: str) -> dict[str, Take]:
        kinds = ("pt", "mass", "msoftdrop", "gen_pt", "gen_mass", "px", "py", "pz", "energy")
        return {name: Take(take.column, unit) if name in kinds else take for name, take in takes.items()}

    jets = energies(columns, units.get("jets", units.get("constituents", "GeV")))
    return jets, energies(things, units.get("constituents", "GeV"))


def _flat(column: Any) -> np.ndarray:
    return np.asarray(ak.to_numpy(ak.flatten(column, axis=None)), dtype=np.float64)


def _radius(seen: Survey, columns: Mapping[str, Take], things: Mapping[str, Take], notes: list[str]) -> float:
    """Guess R: constituents of an anti-kT jet reach to about R from the axis, and hardly farther."""
    away = None
    if {"deta", "dphi"} <= set(things):
        away = np.hypot(*(seen.sample(things[name].column) for name in ("deta", "dphi")))
        weight = seen.sample(things["pt"].column)
    elif {"pt", "eta", "phi"} <= set(things) and {"eta", "phi"} <= set(columns):
        eta, phi = (seen.sample(things[name].column) for name in ("eta", "phi"))
        away = np.hypot(eta - seen.sample(columns["eta"].column), delta_phi(phi, seen.sample(columns["phi"].column)))
        weight = seen.sample(things["pt"].column)
    elif {"px", "py", "pz"} <= set(things):
        px, py, pz = (seen.sample(things[name].column) for name in ("px", "py", "pz"))
        weight = np.hypot(px, py)
        sums = [ak.sum(x, axis=-1) for x in (px, py, pz)]
        axis = np.arcsinh(sums[2] / np.hypot(sums[0], sums[1])), np.arctan2(sums[1], sums[0])
        eta = np.arcsinh(pz / ak.where(weight > 0, weight, 1.0))
        away = np.hypot(eta - axis[0], delta_phi(np.arctan2(py, px), axis[1]))
    reach = _flat(ak.max(ak.mask(away, weight > 0), axis=-1)) if away is not None else np.zeros(0)
    reach = reach[np.isfinite(reach)]
    if not len(reach):
        notes.append("radius: nothing tells it, 0.8 is a guess; substructure depends on it.")
        return 0.8
    edge = float(np.quantile(reach, 0.9))
    guess = next((radius for radius in _RADII if radius >= 0.93 * edge), _RADII[-1])
    notes.append(f"radius: nine of ten jets reach no farther than {edge:.2f} from their axis, so R = {guess}.")
    return guess


def _label(seen: Survey, notes: list[str]) -> Label:
    hot = {name: field for name, field in seen.fields.items() if re.match(r"(jet_)?(label|is)_[A-Za-z]", name)}
    columns = {re.sub(r"^(jet_)?(label|is)_", "", name).lower(): name for name in hot
               if not hot[name].shape and np.isin(_flat(seen.head.get(name, [2])), (0, 1)).all()}  # fmt: skip
    if len(columns) > 1 and np.all(np.sum([_flat(seen.sample(name)) for name in columns.values()], axis=0) == 1):
        notes.append(f"labels: one column per class, {', '.join(columns.values())}.")
        return Label(columns=columns)
    names = {name.lower(): name for name in seen.fields if name in seen.head}
    for word in _LABELS:
        column = names.get(word, "")
        if not column or not np.isin(_flat(seen.sample(column)) % 1, (0,)).all():
            continue
        try:
            found = [int(value) for value in values(seen, column)]
        except InputError:
            continue
        if set(found) <= {0, 1}:
            classes = {"background": 0, "signal": 1}
        else:
            classes = {f"class_{value}".replace("-", "minus_"): value for value in found}
        notes.append(f"labels: column {column!r} with the values {', '.join(map(str, found))}; rename the classes.")
        return Label(column=column, classes=classes)
    return _by_file(seen, notes)


def _by_file(seen: Survey, notes: list[str]) -> Label:
    found: dict[str, str] = {}
    for path in seen.files:
        name = Path(path).name.lower()
        word = next((word for word in _FILES if re.search(rf"(^|[^a-z]){word}", name)), None)
        if word is None:
            break
        found.setdefault(_FILES[word], f"*{word}*")
    else:
        if len(found) > 1:
            ordered = sorted(found.items(), key=lambda item: item[0] not in ("qcd", "background"))
            notes.append(f"labels: by the names of the files, {', '.join(f'{k}: {v}' for k, v in ordered)}.")
            return Label(files=dict(ordered))
    if seen.layout == "flat":
        notes.append("labels: none were recognised; records get label -1, and nothing can be trained on them.")
    return Label()


def _weight(seen: Survey, notes: list[str]) -> Take | None:
    names = {name.lower(): name for name, field in seen.fields.items() if name in seen.head}
    column = next((names[word] for word in _WEIGHTS if word in names), None)
    if column is None:
        return None
    numbers = _flat(seen.sample(column))
    notes.append(f"weights: column {column!r}, {(numbers < 0).mean():.2g} of them negative (which is legal).")
    return Take(column)


def _varied(seen: Survey, weight: Take | None) -> dict[str, Take]:
    """Return columns of systematic variations, one number per record."""
    used = weight.column if weight else ""
    return {re.sub(r"\W", "_", name): Take(name) for name, field in seen.fields.items()
            if not field.shape and name != used and name in seen.head and _VARIED.search(name)}  # fmt: skip


def _showers(seen: Survey) -> tuple[Plan, list[str]]:
    known = {name.lower().split("/")[-1]: name for name in seen.fields}
    energy = next((known[word] for word in ("incident_energies", "incident_energy", "energy", "e", "true_energy")
                   if word in known and len(seen.fields[known[word]].shape) <= 1), None)  # fmt: skip
    dense = next((known[word] for word in ("showers", "shower", "voxels", "cells") if word in known), None)
    if energy is None or dense is None:
        raise InputError(f"{seen.files[0]}: expected columns incident_energies and showers (rows of voxels), found "
                         f"{', '.join(seen.fields)}{suggest('showers', seen.fields)}")  # fmt: skip
    middle = float(np.nanmedian(_flat(seen.sample(energy))))
    unit = "MeV" if middle > 1000 else "GeV"
    notes = [f"energies are taken to be in {unit}: half of the incident particles have less than {middle:.4g}."]
    takes = {"energy": Take(dense, unit)}
    return Plan("showers", "flat", {"energy": Take(energy, unit)}, {"hits": takes}), notes
