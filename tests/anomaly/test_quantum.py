"""The simulated circuit is what Kronecker products give, and its kernel what a kernel must be."""

from __future__ import annotations

from functools import reduce
from itertools import pairwise

import numpy as np
import pytest

from hepml_nb.anomaly import make
from hepml_nb.anomaly.latent_kernel import LatentConfig
from hepml_nb.anomaly.quantum import MOST_QUBITS, Circuit, Complex, entanglement, fidelity, rotation
from hepml_nb.anomaly.sample import Events, Floats
from hepml_nb.core import InputError, rng

NOT = np.array([[0, 1], [1, 0]], complex)
ZERO, ONE = np.diag([1.0 + 0j, 0]), np.diag([0, 1.0 + 0j])


def angles(n: int, qubits: int, width: float = 1.0) -> Floats:
    return rng(0, "angles", qubits).uniform(-width, width, (n, 2 * qubits))


def gate(theta: float, phi: float, lam: float) -> Complex:
    """U as a product of rotations about the axes, up to the phase that makes its first entry real."""

    def about_z(angle: float) -> Complex:
        return np.diag([1, np.exp(1j * angle)])

    c, s = np.cos(theta / 2), np.sin(theta / 2)
    return about_z(phi) @ np.array([[c, -s], [s, c]]) @ about_z(lam)


def on(qubits: int, placed: dict[int, Complex]) -> Complex:
    """A matrix (2^n, 2^n) of matrices on some qubits, the first one leftmost."""
    return reduce(np.kron, [placed.get(q, np.eye(2)) for q in range(qubits)])


def slowly(circuit: Circuit, x: Floats) -> Complex:
    n, unitary = circuit.qubits, np.eye(2**circuit.qubits, dtype=complex)
    for _ in range(circuit.layers):
        unitary = on(n, {q: gate(np.pi / 2, x[2 * q], x[2 * q + 1]) for q in range(n)}) @ unitary
        for control, target in circuit.pairs:
            unitary = (on(n, {control: ZERO}) + on(n, {control: ONE, target: NOT})) @ unitary
        unitary = on(n, {q: gate(x[2 * q], x[2 * q + 1], 0) for q in range(n)}) @ unitary
    return unitary[:, 0]


@pytest.mark.parametrize("entangled", ["chain", "all", "none"])
@pytest.mark.parametrize("qubits", [1, 2, 3, 5])
def test_states_are_those_of_kronecker_products(qubits: int, entangled: str):
    circuit = Circuit(qubits, 2, entangled)  # type: ignore[arg-type]
    x = angles(4, qubits, 3.0)
    assert np.abs(circuit.states(x) - np.array([slowly(circuit, one) for one in x])).max() < 1e-12


def test_rotations_are_unitary_and_keep_the_length_of_states():
    u = rotation(*rng(1, "three").uniform(-4, 4, (3, 50)))
    assert np.allclose(u @ u.conj().transpose(0, 2, 1), np.eye(2), atol=1e-14)
    states = Circuit(MOST_QUBITS).states(angles(20, MOST_QUBITS, 5.0))
    assert states.shape == (20, 2**MOST_QUBITS)
    assert Circuit(2).states(np.zeros((0, 4))).shape == (0, 4)
    assert np.allclose((np.abs(states) ** 2).sum(axis=1), 1, atol=1e-12)


@pytest.mark.parametrize("qubits", [1, 3, 6])
def test_the_kernel_is_a_kernel(qubits: int):
    states = Circuit(qubits).states(angles(60, qubits, 2.0))
    gram = fidelity(states, states)
    assert np.allclose(np.diag(gram), 1, atol=1e-12)
    assert np.allclose(gram, gram.T, atol=1e-12)
    assert gram.min() >= 0
    assert gram.max() <= 1 + 1e-12
    assert np.linalg.eigvalsh(gram).min() > -1e-10
    assert np.linalg.matrix_rank(gram) <= 4**qubits  # density matrices have no more dimensions


def test_one_turn_of_one_qubit_has_a_closed_form():
    theta = rng(2, "theta").uniform(-3, 3, 30)
    states = rotation(theta, 0.0, 0.0)[:, :, 0]
    assert np.allclose(fidelity(states, states), np.cos((theta[:, None] - theta) / 2) ** 2, atol=1e-14)


def test_without_entanglement_the_kernel_is_a_product_over_qubits():
    x = angles(20, 3)
    alone = [Circuit(1).states(x[:, 2 * q : 2 * q + 2]) for q in range(3)]
    states = Circuit(3, entangled="none").states(x)
    assert np.allclose(fidelity(states, states), np.prod([fidelity(one, one) for one in alone], axis=0), atol=1e-12)


def test_entanglement_knows_products_bell_and_ghz():
    bell, ghz = np.zeros((1, 4), complex), np.zeros((1, 8), complex)
    bell[0, [0, 3]] = ghz[0, [0, 7]] = np.sqrt(0.5)
    assert np.allclose([entanglement(bell), entanglement(ghz)], 1)
    half = np.kron(bell, [[1, 0]])  # a pair, and a third qubit by itself
    assert entanglement(half)[0] == pytest.approx(2 / 3)
    x = angles(200, 4)
    assert np.abs(entanglement(Circuit(4, entangled="none").states(x))).max() < 1e-12
    assert entanglement(Circuit(4).states(x)).mean() > 0.3


def test_random_angles_reach_what_random_states_do():
    # the mean entanglement of states drawn uniformly is (2^n - 2) / (2^n + 1), and of their fidelity 2^-n
    states = Circuit(4, 4).states(angles(2000, 4, np.pi))
    assert entanglement(states).mean() == pytest.approx(14 / 17, abs=0.06)
    gram = fidelity(states[:1000], states[1000:])
    assert gram.mean() == pytest.approx(1 / 16, rel=0.15)


def test_a_kernel_concentrates_with_qubits_unless_its_angles_shrink():
    def typical(qubits: int, width: float) -> float:
        states = Circuit(qubits).states(angles(200, qubits, width))
        return float(fidelity(states[:100], states[100:]).mean())

    wide = [typical(n, 2.0) for n in (1, 2, 4, 6, 8)]
    assert all(late < 0.75 * early for early, late in pairwise(wide))
    assert typical(8, 2.0) < 0.02 < 0.5 < typical(8, 0.1)


def made(name: str, **settings: object):
    x = rng(3, "events").standard_normal((400, 5))
    return make(name, "small", epochs=2, **settings).learn(Events(np.full(400, 3.5), x)), Events(np.full(400, 3.5), x)


@pytest.mark.parametrize("name", ["latent-kernel", "latent-quantum"])
def test_the_machine_leaves_a_share_nu_outside(name: str):
    from sklearn.svm import OneClassSVM

    method, events = made(name, nu=0.2, events=400)
    scores = method.score(events)
    assert (scores > 1e-4).mean() <= 0.2 <= len(method.support) / 400
    assert (scores > 1e-4).mean() == pytest.approx(0.2, abs=0.05)
    z = method.latent(events)
    assert np.abs(z).max() <= 1
    machine = OneClassSVM(kernel=method.kernel, nu=0.2, tol=1e-6).fit(z)
    apart = scores + machine.decision_function(z)
    assert np.abs(apart - apart.mean()).max() < 1e-3 * scores.std() + 1e-3


def test_a_gaussian_of_the_latent_variance():
    method, events = made("latent-kernel")
    z = method.latent(events)[:50]
    apart = np.square(z[:, None] - z).sum(axis=2)
    assert np.allclose(method.kernel(z, z), np.exp(-apart / (4 * method._spread)))
    assert len(method.support) < 400


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"latent": 3}, "even"),
        ({"latent": 2 * MOST_QUBITS + 2}, "qubits"),
        ({"nu": 0.0}, "nu"),
        ({"bandwidth": -1.0}, "bandwidth"),
        ({"entangled": "chains"}, "chain"),
        ({"layers": 0}, "layer"),
    ],
)
def test_what_cannot_be_is_refused(settings: dict[str, object], said: str):
    with pytest.raises(InputError, match=said):
        LatentConfig(kernel="quantum", **settings)  # type: ignore[arg-type]


def test_other_kernels_shapes_and_too_many_latents_are_refused():
    with pytest.raises(InputError, match="rbf"):
        LatentConfig(kernel="rbff")  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"\(n, 4\)"):
        Circuit(2).states(np.zeros((3, 3)))
    with pytest.raises(InputError, match="finite"):
        Circuit(1).states(np.full((3, 2), np.nan))
    with pytest.raises(InputError, match="5 features"):
        made("latent-kernel", latent=6)
