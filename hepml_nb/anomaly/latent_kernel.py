"""One-class kernel machines in the latent space of an autoencoder, with a classical or a simulated quantum kernel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, get_args

import numpy as np

from hepml_nb.anomaly.latent import ROWS, SMALL_ENCODER, EncoderConfig, LatentOutlier
from hepml_nb.anomaly.quantum import Circuit, Entangled, fidelity
from hepml_nb.anomaly.sample import Events, Floats
from hepml_nb.core import InputError, suggest

__all__ = ["LatentConfig", "LatentKernel", "LatentQuantum"]

Kernel = Literal["rbf", "quantum"]


@dataclass(frozen=True)
class LatentConfig(EncoderConfig):
    """Of the encoder see `EncoderConfig`; a qubit takes two latent numbers, the cost grows with the square of events.

    kernel: "rbf", exp(-|z - z'|^2 / (latent * variance)), or "quantum". nu: bound on the share of events left outside.
    layers, entangled: of the circuit. bandwidth: angle in rad per unit of a latent number; a small one makes all events
    the same to the kernel, a large one makes every event unlike all others.
    """

    kernel: Kernel = "rbf"
    nu: float = 0.01
    layers: int = 3
    entangled: Entangled = "chain"
    bandwidth: float = 1.0

    def __post_init__(self) -> None:
        if self.kernel not in get_args(Kernel):
            raise InputError(f"kernel={self.kernel!r} is unknown{suggest(str(self.kernel), get_args(Kernel))}")
        if not 0 < self.nu <= 1 or self.events < 2 or not 0 < self.bandwidth < np.inf:
            raise InputError(
                f"nu={self.nu!r}, events={self.events!r}, bandwidth={self.bandwidth!r}; expected a share in (0, 1], "
                "at least 2 events, and a positive angle."
            )
        if self.kernel == "quantum":
            if self.latent % 2:
                raise InputError(f"latent={self.latent!r}; a qubit takes two numbers, so expected an even one.")
            self.circuit  # noqa: B018 - raises where the circuit cannot be

    @property
    def circuit(self) -> Circuit:
        """Return the circuit that encodes a latent vector."""
        return Circuit(self.latent // 2, self.layers, self.entangled)


class LatentKernel(LatentOutlier):
    """An encoder, then a one-class support vector machine in its latent space (arXiv:2301.10780).

    The machine (Schoelkopf et al. 2001) separates the events from the origin of the kernel's space; how far an event
    lies on the wrong side is the score. The classical twin has the Gaussian kernel. What the encoder drops it cannot
    see: an event that lands among usual ones is usual, however badly the decoder would reconstruct it.
    Not the paper's: a convolutional autoencoder of the 100 hardest particles of a jet, and the numbers of both jets in
    one machine; here a dense one of an event's features. As many latent numbers as features are allowed (unlike where
    the error is the score): then the encoder only bounds them. tanh and the width of the Gaussian are ours.
    Untrained: the encoder took no step, and the machine knows no event, so that all scores are zero.
    """

    name = "latent-kernel"
    configs: ClassVar[Mapping[str, Any]] = {
        "paper": LatentConfig(),
        "small": LatentConfig(**SMALL_ENCODER),
    }

    def _learn(self, events: Events, seed: int, untrained: bool) -> None:
        super()._learn(events, seed, untrained)
        z = self.latent(self._chosen(events, seed))
        self._spread = float(z.var()) or 1.0
        inner = self._mapped(z)
        gram = self._kernel(inner, inner)
        weights, self._offset = (np.zeros(len(gram)), 0.0) if untrained else _solved(gram, self.config.nu)
        self.support, self.weights = z[weights > 0], weights[weights > 0]
        self._inner = inner[weights > 0]

    def kernel(self, a: Floats, b: Floats) -> Floats:
        """Return the kernel (n, m) of latent vectors (n, latent) and (m, latent)."""
        return self._kernel(self._mapped(a), self._mapped(b))

    def _score(self, events: Events) -> Floats:
        z = self.latent(events)
        blocks = (self._mapped(z[start : start + ROWS]) for start in range(0, len(z), ROWS))
        return np.concatenate([self._offset - self._kernel(one, self._inner) @ self.weights for one in blocks])

    def _mapped(self, z: Floats) -> Any:
        """Return latent vectors as the kernel takes them: as they are, or as states of the qubits."""
        return self.config.circuit.states(self.config.bandwidth * z) if self.config.kernel == "quantum" else z

    def _kernel(self, a: Any, b: Any) -> Floats:
        if self.config.kernel == "quantum":
            return fidelity(a, b)
        apart = np.square(a).sum(1)[:, None] + np.square(b).sum(1) - 2 * a @ b.T
        return np.asarray(np.exp(-(self.config.bandwidth**2) * apart.clip(min=0) / (self.config.latent * self._spread)))


class LatentQuantum(LatentKernel):
    """The same machine with the fidelity of quantum states as kernel (arXiv:2301.10780), simulated without noise.

    Two latent numbers per qubit are the angles of the published circuit (`quantum.Circuit`); the kernel of two events
    is |<phi(z)|phi(z')>|^2.
    """

    name = "latent-quantum"
    configs: ClassVar[Mapping[str, Any]] = {
        name: replace(config, kernel="quantum") for name, config in LatentKernel.configs.items()
    }


def _solved(gram: Floats, nu: float) -> tuple[Floats, float]:
    """Return weights (n,) and offset of the one-class machine of a kernel matrix (n, n)."""
    from sklearn.svm import OneClassSVM  # a second to import, and only needed here

    machine = OneClassSVM(kernel="precomputed", nu=nu, tol=1e-6).fit(gram)
    weights = np.zeros(len(gram))
    weights[machine.support_] = machine.dual_coef_[0]
    return weights, float(-machine.intercept_[0])
