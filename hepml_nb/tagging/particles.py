"""What networks on particles see of a jet, and the base class of those networks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import awkward as ak
import numpy as np
import numpy.typing as npt
import torch

from hepml_nb.core import InputError, suggest, threads
from hepml_nb.learn import BucketBatches, RowBatches, SetBatches, predict
from hepml_nb.tagging.base import Particles, Scores
from hepml_nb.tagging.networks import NetworkTagger

__all__ = ["MOMENTA", "PARTICLE_FEATURES", "TRACK_FEATURES", "ParticleTagger", "check_features", "particles"]

Columns = dict[str, npt.NDArray[Any]]

_HADRONS = (211, 321, 2212)  # charged; where a data set does not tell them apart, all are 211
_FLAGS = {"charged": _HADRONS, "photon": (22,), "neutral": (130, 2112), "electron": (11,), "muon": (13,)}
_IDENTITY = {"pion": (211,), "kaon": (321,), "proton": (2212,)}
_CENTRED = ("z", "deta", "dphi")
_AXIS = ("deta_axis", "dphi_axis", "dr", "log_pt", "log_e", "log_pt_rel", "log_e_rel")
MOMENTA = ("e", "px", "py", "pz")
PARTICLE_FEATURES: tuple[str, ...] = (*_CENTRED, *_AXIS, *MOMENTA, "charge", *_FLAGS, *_IDENTITY)
"""Columns that `particles` can make of any jets."""
TRACK_FEATURES = ("d0", "d0err", "dz", "dzerr", "d0sig", "dzsig")
"""Columns that it can make where constituents have impact parameters."""


def check_features(names: Sequence[str]) -> None:
    """Raise InputError with the nearest that exists unless all names are known features, none twice."""
    known = (*PARTICLE_FEATURES, *TRACK_FEATURES)
    for name in names:
        if name not in known:
            raise InputError(f"features={list(names)}: {name!r} is unknown{suggest(str(name), known)}")
    if len(set(names)) < len(names) or not names:
        raise InputError(f"features={list(names)}; expected at least one, none twice.")


def particles(jets: Any, names: Sequence[str], most: int | None = None, dtype: Any = np.float32) -> Particles:
    """Return columns (sum of lengths, len(names)) of each jet's `most` hardest particles (None: all), hardest first.

    z: share of the scalar pt sum of the particles taken; deta, dphi (rad): relative to their pt-weighted centroid, as
    for EFN and PFN (arXiv:1810.05165). deta_axis, dphi_axis, dr: relative to the jet axis; log_pt, log_e: of GeV;
    log_pt_rel, log_e_rel: of the share of the jet's pt and energy (ParticleNet's seven, arXiv:1902.08570).
    e, px, py, pz (GeV): massless, in the laboratory. charge: +-1 or 0; flags 0 or 1 for charged hadron, photon, neutral
    hadron, electron, muon, and for pion, kaon, proton where the data set tells them apart. d0, dz: tanh of the impact
    parameters in mm, d0err, dzerr: their errors, at most 1 mm (as arXiv:2202.03772); d0sig, dzsig: sign * log(1 +
    |value / error|), the sign of d0sig that of the flight along the jet axis; all 0 where there is no track. Jets are
    not checked here: `check_jets` does. Laboratory columns need the jet's eta and phi. Raises InputError where columns
    ask for impact parameters that the constituents do not have.
    dtype: of the values; float64 where small changes of a score are looked at.
    """
    parts = jets.constituents
    parts = parts[ak.argsort(parts.pt, axis=1, ascending=False, stable=True)]
    if most is not None:
        parts = parts[:, :most]
    lengths = ak.to_numpy(ak.num(parts)).astype(np.int64)
    wanted = set(names)
    flat = {name: ak.to_numpy(ak.flatten(parts[name])).astype(np.float64) for name in ("pt", "deta", "dphi")}
    pdg = ak.to_numpy(ak.flatten(parts.pdg))
    columns: Columns = {name: np.isin(np.abs(pdg), codes) for name, codes in (_FLAGS | _IDENTITY).items()}
    columns["charge"] = np.sign(pdg) * np.where(np.isin(np.abs(pdg), (11, 13)), -1, columns["charged"])
    if wanted & set(TRACK_FEATURES):
        columns |= _track(parts, flat["dphi"])
    if wanted & set(_CENTRED):
        columns |= _centred(flat, lengths)
    if wanted & {*_AXIS, *MOMENTA}:
        columns |= _absolute(jets, flat, lengths)
    return Particles(np.stack([columns[name] for name in names], axis=1, dtype=dtype, casting="unsafe"), lengths)


def _centred(flat: Columns, lengths: npt.NDArray[np.int64]) -> Columns:
    starts = np.cumsum(lengths) - lengths
    z = flat["pt"] / np.repeat(np.add.reduceat(flat["pt"], starts), lengths)
    out = {"z": z}
    for name in ("deta", "dphi"):
        out[name] = flat[name] - np.repeat(np.add.reduceat(z * flat[name], starts), lengths)
    return out


def _absolute(jets: Any, flat: Columns, lengths: npt.NDArray[np.int64]) -> Columns:
    eta0, phi0 = (np.repeat(ak.to_numpy(jets[name]).astype(np.float64), lengths) for name in ("eta", "phi"))
    pt, eta, phi = flat["pt"], flat["deta"] + eta0, flat["dphi"] + phi0
    e, px, py, pz = pt * np.cosh(eta), pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)
    starts = np.cumsum(lengths) - lengths
    total = {name: np.repeat(np.add.reduceat(p, starts), lengths) for name, p in (("e", e), ("px", px), ("py", py))}
    return {
        "e": e, "px": px, "py": py, "pz": pz,
        "deta_axis": flat["deta"], "dphi_axis": flat["dphi"], "dr": np.hypot(flat["deta"], flat["dphi"]),
        "log_pt": np.log(pt), "log_e": np.log(e), "log_e_rel": np.log(e / total["e"]),
        "log_pt_rel": np.log(pt / np.hypot(total["px"], total["py"])),
    }  # fmt: skip


def _track(parts: Any, dphi: npt.NDArray[Any]) -> Columns:
    if missing := [name for name in ("d0val", "d0err", "dzval", "dzerr") if name not in parts.fields]:
        raise InputError(f"constituents lack {missing}; jet-origin and jetclass have impact parameters.")
    out: Columns = {}
    for name in ("d0", "dz"):
        value, error = (ak.to_numpy(ak.flatten(parts[f"{name}{kind}"])).astype(np.float64) for kind in ("val", "err"))
        seen = error > 0
        out[name], out[f"{name}err"] = np.where(seen, np.tanh(value), 0), np.clip(error, 0, 1)
        size = np.log1p(np.abs(np.divide(value, error, out=np.zeros_like(value), where=seen)))
        # d0 = (x py - y px) / pt, so the point of closest approach lies along the jet axis where d0 sin(dphi) > 0
        out[f"{name}sig"] = size * np.sign(value * np.sin(dphi) if name == "d0" else value)
    return out


class ParticleTagger(NetworkTagger):
    """Fits a network model(values, lengths) -> logits on particles; the configuration has `features` and `most`.

    values (sum of lengths, features) and lengths (jets,) hold the jets of a batch one after another. Where `bucket` is
    set, jets of like length share a batch, so that a network that pads (learn.pad) pads little.
    """

    columns: ClassVar[tuple[str, ...]] = ("constituents", "eta", "phi")
    inputs = "particles"
    chunk = 20_000
    eval_batch = 256
    bucket: ClassVar[bool] = True

    def batches(
        self, x: Any, *targets: npt.NDArray[Any], batch_size: int, seed: int = 0, shuffle: bool = True
    ) -> RowBatches:
        """Return batches (values, lengths, *targets)."""
        kind = BucketBatches if self.bucket else SetBatches
        return kind(x.values, x.lengths, *targets, batch_size=batch_size, seed=seed, shuffle=shuffle)

    def _score(self, x: Any) -> Scores:
        if not self.bucket:
            return super()._score(x)
        threads(self.config.fit.threads)
        batches = BucketBatches(x.values, x.lengths, batch_size=self.eval_batch, shuffle=False)
        logits = predict(self._fitted(), batches, lambda model, batch: model(*batch))
        out = np.empty(len(x.lengths))
        out[batches.order()] = torch.sigmoid(logits.double()).numpy()
        return out

    def _standardise(self, model: Any, x: Any) -> None:
        if hasattr(model, "standardise"):
            model.standardise.fit(torch.as_tensor(x.values))

    def _inputs(self, jets: Any) -> Particles:
        return particles(jets, self.config.features, self.config.most, self.dtype)

    def _input_names(self) -> list[str]:
        return [*self.config.features, *([f"hardest {self.config.most}"] if self.config.most else [])]
