"""A quantum circuit that encodes numbers into the state of a few qubits, simulated exactly, and the kernel it gives."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from hepml_nb.anomaly.sample import Floats
from hepml_nb.core import InputError, suggest

__all__ = ["MOST_QUBITS", "Circuit", "Complex", "Entangled", "entanglement", "fidelity", "rotation"]

MOST_QUBITS = 8
"""More of them would fill the memory with state vectors: 2^n complex amplitudes per event."""

Complex = npt.NDArray[np.complex128]
Entangled = Literal["chain", "all", "none"]


def rotation(theta: Any, phi: Any, lam: Any) -> Complex:
    """Return the general rotation U(theta, phi, lambda) of one qubit, (n, 2, 2), of angles (n,) or scalars, in rad.

    U = ((cos(theta/2), -e^{i lambda} sin(theta/2)), (e^{i phi} sin(theta/2), e^{i (phi + lambda)} cos(theta/2))).
    """
    theta, phi, lam = np.broadcast_arrays(*(np.atleast_1d(np.asarray(one, np.float64)) for one in (theta, phi, lam)))
    c, s = np.cos(theta / 2), np.sin(theta / 2)
    rows = [[c + 0j, -np.exp(1j * lam) * s], [np.exp(1j * phi) * s, np.exp(1j * (phi + lam)) * c]]
    return np.moveaxis(np.array(rows), -1, 0)


@dataclass(frozen=True)
class Circuit:
    """The data-encoding circuit of arXiv:2301.10780: two numbers per qubit, encoded again in every layer.

    A layer turns qubit q by U(pi/2, x_2q, x_2q+1), entangles neighbours by controlled NOTs (0 -> 1, 1 -> 2 ...; "all":
    every pair; "none": no gate, qubits stay independent), and turns q by U(x_2q, x_2q+1, 0). layers: 3 as published.
    Raises InputError for no qubit, more than `MOST_QUBITS`, no layer, an unknown pattern.
    """

    qubits: int
    layers: int = 3
    entangled: Entangled = "chain"

    def __post_init__(self) -> None:
        if not 1 <= self.qubits <= MOST_QUBITS or self.layers < 1:
            raise InputError(
                f"a circuit with {self.qubits!r} qubits and {self.layers!r} layers; expected 1 to {MOST_QUBITS} "
                "qubits (2^n amplitudes are simulated) and at least 1 layer."
            )
        if self.entangled not in get_args(Entangled):
            hint = suggest(str(self.entangled), get_args(Entangled))
            raise InputError(f"entangled={self.entangled!r} is unknown{hint}")

    @property
    def numbers(self) -> int:
        """Numbers that an event has: two per qubit."""
        return 2 * self.qubits

    @property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """Return (control, target) of the controlled NOTs of a layer, in order."""
        qubits = range(self.qubits)
        return {"chain": tuple(pairwise(qubits)), "all": tuple(combinations(qubits, 2)), "none": ()}[self.entangled]

    def states(self, x: npt.ArrayLike) -> Complex:
        """Return the state vectors (n, 2^qubits) after the circuit of x (n, 2 qubits), angles in rad; from |0...0>.

        Qubit 0 is the most significant digit of the index. Raises InputError for another shape, NaN or infinite angles.
        """
        angles = np.asarray(x, np.float64)
        if angles.ndim != 2 or angles.shape[1] != self.numbers or not np.isfinite(angles).all():
            raise InputError(
                f"x has shape {angles.shape}; expected finite angles (n, {self.numbers}) for {self.qubits} qubits."
            )
        ground = np.zeros((len(angles), 2**self.qubits), np.complex128)
        ground[:, 0] = 1
        state = ground.reshape(len(angles), *[2] * self.qubits)
        first, second = angles[:, ::2], angles[:, 1::2]
        for _ in range(self.layers):
            for q in range(self.qubits):
                state = _turned(state, rotation(np.pi / 2, first[:, q], second[:, q]), q)
            for control, target in self.pairs:
                state = _flipped(state, control, target)
            for q in range(self.qubits):
                state = _turned(state, rotation(first[:, q], second[:, q], 0), q)
        return state.reshape(len(angles), 2**self.qubits)


def fidelity(a: Complex, b: Complex) -> Floats:
    """Return the kernel |<a|b>|^2 (n, m) of states (n, d) and (m, d): what a quantum computer estimates by counting.

    On one, each entry comes from repeated measurements and has a statistical error of sqrt(k (1 - k) / shots); here it
    is exact. Between 0 (orthogonal) and 1 (the same state up to a phase).
    """
    overlap = a.conj() @ b.T
    return np.asarray(overlap.real**2 + overlap.imag**2)


def entanglement(states: Complex) -> Floats:
    """Return the measure of Meyer and Wallach (n,) of states (n, 2^qubits), quant-ph/0108104.

    2 (1 - mean over qubits of the purity Tr rho_q^2): 0 for a product of single qubits, 1 where every qubit by itself
    is fully mixed. One qubit has nothing to be entangled with: 0.
    """
    n, size = states.shape
    qubits = size.bit_length() - 1
    purity = np.zeros(n)
    for q in range(qubits):
        apart = np.moveaxis(states.reshape(n, *[2] * qubits), q + 1, 1).reshape(n, 2, size // 2)
        rho = apart @ apart.conj().transpose(0, 2, 1)
        purity += (np.abs(rho) ** 2).sum(axis=(1, 2))
    return np.asarray(2 * (1 - purity / qubits))


def _turned(state: Complex, gate: Complex, q: int) -> Complex:
    """Return states (n, 2, ..., 2) with each event's gate (n, 2, 2) applied to qubit q."""
    moved = np.moveaxis(state, q + 1, 1)
    turned = gate @ moved.reshape(len(state), 2, 2 ** (state.ndim - 2))
    return np.moveaxis(turned.reshape(moved.shape), 1, q + 1)


def _flipped(state: Complex, control: int, target: int) -> Complex:
    """Return states with qubit `target` flipped where `control` is 1."""
    flipped = np.flip(state, target + 1)
    shape = [1] * state.ndim
    shape[control + 1] = 2
    return np.where(np.array([False, True]).reshape(shape), flipped, state)
