"""Nearest neighbours in N-body phase space, with the distance of its own geometry: a simplex times a hypersphere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import awkward as ak
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from hepml_nb.core import InputError, threads
from hepml_nb.simulate.substructure import cluster_sequence, momenta
from hepml_nb.tagging.base import Arrays, Scores, Tagger

__all__ = ["PhaseSpaceConfig", "PhaseSpaceKNN", "coordinates", "phase_space_distance", "subjet_momenta"]

Array = npt.NDArray[np.float64]
_ROWS = 256


@dataclass(frozen=True)
class PhaseSpaceConfig:
    """bodies: exclusive kt subjets that stand for a jet. neighbours: k. references: training jets kept (None: all).

    simplex: weight of the simplex beside the hypersphere in the squared distance. The geometry is the paper's; how many
    bodies, neighbours and references, and the weight in "small", are ours.
    """

    bodies: int = 8
    neighbours: int = 50
    references: int | None = None
    simplex: float = 1.0

    def __post_init__(self) -> None:
        if self.bodies < 2 or self.neighbours < 1 or (self.references is not None and self.references < 2):
            raise InputError(
                f"bodies={self.bodies}, neighbours={self.neighbours}, references={self.references}; expected at least "
                "2 bodies, 1 neighbour and 2 references (None: all)."
            )


def subjet_momenta(jets: Any, bodies: int) -> Array:
    """Return momenta (jets, bodies, 3) (GeV) relative to the jet's frame in (eta, phi): exclusive kt subjets.

    A jet of fewer constituents keeps them as they are; missing bodies are zero.
    """
    parts = momenta(jets.constituents.pt, jets.constituents.deta, jets.constituents.dphi)
    out = np.zeros((len(jets), bodies, 3))
    many = ak.to_numpy(ak.num(parts) > bodies)
    if many.any():
        inside = cluster_sequence(parts[many], "kt", 1.0).exclusive_jets_constituent_index(njets=bodies)
        sizes = ak.to_numpy(ak.flatten(ak.num(inside, axis=2)))
        members = parts[many][ak.flatten(inside, axis=2)]
        flat = np.stack([ak.to_numpy(ak.flatten(members[c])) for c in ("px", "py", "pz")], axis=-1)
        out[many] = np.add.reduceat(flat, np.cumsum(sizes) - sizes).reshape(-1, bodies, 3)
    few = parts[~many]
    padded = [ak.to_numpy(ak.fill_none(ak.pad_none(few[c], bodies, clip=True), 0.0)) for c in ("px", "py", "pz")]
    out[~many] = np.stack(padded, axis=-1)
    return out


def coordinates(p: Array) -> Array:
    """Return the place in phase space of massless bodies p (events, N, 3): rho (N), then Re v' and Im v' (N - 1 each).

    In the rest frame of all, with z along their flight in the given frame, write every momentum as a spinor (u_i, v_i)
    with u_i real: |u_i|^2 = E + p_z, |v_i|^2 = E - p_z, u_i v_i = p_x + i p_y. Momentum conservation makes
    rho_i = u_i^2 / Q a point of the simplex, and v / sqrt(Q) a unit vector orthogonal to u; turning u into the last
    axis leaves v' on a sphere in N - 1 complex dimensions (arXiv:2008.06508, 2405.16698). Bodies are ordered by rho,
    largest first. Scale and boosts along the flight drop out, so the mass is not seen. Bodies that all fly one way have
    no v': zeros.
    """
    energy = np.linalg.norm(p, axis=2)
    total = p.sum(axis=1)
    axis = total / np.linalg.norm(total, axis=1, keepdims=True)
    along = np.einsum("eni,ei->en", p, axis)
    plus = energy + along  # a boost along the axis scales all of these alike, and leaves what is across
    order = np.argsort(-plus, axis=1, kind="stable")
    rho = plus / plus.sum(axis=1, keepdims=True)
    first = np.cross(axis, _least_aligned(axis))
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    second = np.cross(axis, first)
    across = np.einsum("eni,ei->en", p, first) + 1j * np.einsum("eni,ei->en", p, second)
    rho, across, plus = (np.take_along_axis(a, order, axis=1) for a in (rho, across, plus))
    v = np.divide(across, np.sqrt(plus), out=np.zeros_like(across), where=plus > 0)
    size = np.linalg.norm(v, axis=1, keepdims=True)
    v = np.divide(v, size, out=np.zeros_like(v), where=size > 1e-7 * np.sqrt(plus.sum(axis=1, keepdims=True)))
    u = np.sqrt(rho)
    turned = v[:, :-1] - u[:, :-1] * (v[:, -1:] / (1 + u[:, -1:]))
    return np.concatenate([rho, turned.real, turned.imag], axis=1)


def _least_aligned(axis: Array) -> Array:
    """Return the unit vector of the coordinate in which each axis (n, 3) is smallest."""
    out: Array = np.eye(3)[np.argmin(np.abs(axis), axis=1)]
    return out


def phase_space_distance(a: Tensor, b: Tensor, bodies: int, simplex: float = 1.0) -> Tensor:
    """Return the squared distances (len(a), len(b)) of `coordinates`: flat on the simplex plus arc on the hypersphere.

    d^2 = simplex |rho - rho'|^2 + arccos^2 |<v', w'>|. Turning an event about its axis multiplies all of v' by a phase,
    and its mirror image has v' conjugated; a jet has no preferred azimuth or handedness, so the least arc is taken.
    """
    flat = torch.cdist(a[:, :bodies], b[:, :bodies]).square_().mul_(simplex)
    re_a, im_a = a[:, bodies:].chunk(2, dim=1)
    re_b, im_b = b[:, bodies:].chunk(2, dim=1)
    rr, ii, ri, ir = re_a @ re_b.T, im_a @ im_b.T, re_a @ im_b.T, im_a @ re_b.T
    overlap = torch.maximum(torch.hypot(rr + ii, ri - ir), torch.hypot(rr - ii, ri + ir))
    return flat.add_(overlap.clamp_(max=1.0).acos_().square_())


class PhaseSpaceKNN(Tagger):
    """k nearest training jets in phase space vote (arXiv:2405.16698, seed row S0/3); nothing is fitted."""

    name = "phase-space"
    configs = {  # noqa: RUF012 - a Mapping, never changed
        "paper": PhaseSpaceConfig(),
        "small": PhaseSpaceConfig(references=10_000, simplex=4.0),
    }
    columns: ClassVar[tuple[str, ...]] = ("constituents",)
    inputs = "phase space"
    deterministic = True
    chunk = 20_000

    @property
    def n_parameters(self) -> int:
        """Numbers kept of the training jets."""
        return int(self.references.size)

    def _learn(self, x: Any, y: npt.NDArray[Any], x_val: Any, y_val: npt.NDArray[Any], seed: int) -> None:
        most = len(x) if self.config.references is None else min(self.config.references, len(x))
        rows = np.linspace(0, len(x) - 1, most).round().astype(np.int64)
        self.references, self.labels = np.asarray(x[rows]), np.asarray(y[rows], dtype=np.float32)

    def _start(self, x: Any, y: npt.NDArray[Any], seed: int) -> None:
        self.references, self.labels = np.asarray(x[:2]), np.full(2, 0.5, np.float32)

    def _score(self, x: Any) -> Scores:
        threads()
        known, labels = torch.from_numpy(self.references), torch.from_numpy(self.labels)
        k = min(self.config.neighbours, len(known))
        out = np.empty(len(x))
        for i in range(0, len(x), _ROWS):
            rows = torch.from_numpy(np.array(x[i : i + _ROWS]))
            squared = phase_space_distance(rows, known, self.config.bodies, self.config.simplex)
            near = squared.topk(k, largest=False, sorted=False).indices
            out[i : i + _ROWS] = ((labels[near].sum(1) + 1) / (k + 2)).numpy()
        return out

    def _state(self) -> Arrays:
        return {"references": self.references, "labels": self.labels}

    def _restore(self, state: Arrays) -> None:
        self.references, self.labels = state["references"], state["labels"]

    def _inputs(self, jets: Any) -> npt.NDArray[np.float32]:
        return coordinates(subjet_momenta(jets, self.config.bodies)).astype(np.float32)

    def _input_names(self) -> list[str]:
        return [f"phase space of {self.config.bodies} bodies"]
