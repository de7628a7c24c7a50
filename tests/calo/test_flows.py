"""Flows of showers: maps that can be undone, densities that are those of the maps, turns, and layers that are kept."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from hepml_nb.calo import make
from hepml_nb.calo.caloflow_student import StudentFlow, student_losses
from hepml_nb.calo.couplings import CouplingFlow
from hepml_nb.calo.masked import MaskedBlock, MaskedFlow
from hepml_nb.calo.rows import GappedRatios, TurnedBatches, VoxelLogs, turns
from hepml_nb.calo.splines import RingSplines
from hepml_nb.calo.training import flow_loss
from hepml_nb.core import InputError
from hepml_nb.learn import FitConfig, RowBatches, fit
from hepml_nb.simulate.calorimeter import geometry
from hepml_nb.testing import toy_showers

GROUPS = np.array([0, 0, 1, 2, 2, 2])


def shaken(module: torch.nn.Module, by: float = 0.3) -> torch.nn.Module:
    """Return the module in double precision with random weights, since new flows are the identity."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += by * torch.randn_like(parameter)
    return module.double()


def jacobian(function, x: torch.Tensor) -> torch.Tensor:
    return torch.stack([torch.autograd.functional.jacobian(lambda r: function(r[None])[0], row) for row in x])


@pytest.fixture(scope="module")
def splines():
    return shaken(RingSplines(GROUPS, 2, bins=6, hidden=(8,)))


@pytest.fixture(scope="module", params=[CouplingFlow, MaskedFlow])
def flow(request):
    return shaken(request.param(GROUPS, 2, blocks=3, hidden=(8, 7), bins=6))


def test_splines_are_undone_and_know_their_slopes(splines) -> None:
    x, context = 4 * torch.randn(40, 6).double(), torch.randn(40, 2).double()
    y, log_det = splines(x, context)
    torch.testing.assert_close(splines.inverse(y, context), x)
    for i in range(5):
        slopes = jacobian(lambda r, i=i: splines(r, context[i : i + 1])[0], x[i : i + 1])
        torch.testing.assert_close(slopes.det().log()[0], log_det[i])
        assert (slopes[0].diagonal() > 0).all()


def test_a_group_shares_its_spline_and_outside_nothing_is_bent(splines) -> None:
    same, context = torch.linspace(-6, 6, 30).double()[:, None].expand(-1, 6), torch.zeros(30, 2).double()
    y, _ = splines(same, context)
    assert torch.equal(y[:, 3], y[:, 5])
    assert not torch.allclose(y[:, 0], y[:, 2])
    outside = same[:, 0].abs() > 5
    assert torch.equal(y[outside], same[outside])


def test_new_splines_and_couplings_change_nothing() -> None:
    x, context = torch.randn(20, 6), torch.randn(20, 2)
    y, log_det = RingSplines(GROUPS, 2, bins=5)(x, context)
    torch.testing.assert_close(y, x, atol=1e-5, rtol=0)
    torch.testing.assert_close(log_det, torch.zeros(20), atol=1e-4, rtol=0)
    normal = torch.distributions.Normal(0.0, 1.0).log_prob(x).sum(1)
    torch.testing.assert_close(CouplingFlow(GROUPS, 2, bins=0).log_prob(x, context), normal)


def test_a_flow_is_undone_and_its_density_has_the_determinant(flow) -> None:
    x, context = 2 * torch.randn(8, 6).double(), torch.randn(8, 2).double()
    flow.standardise(3 + 2 * x, context)
    z, log_det = flow.encode(x, context)
    torch.testing.assert_close(flow.decode(z, context), x)
    for i in range(4):
        whole = jacobian(lambda r, i=i: flow.encode(r, context[i : i + 1])[0], x[i : i + 1])
        torch.testing.assert_close(whole.det().abs().log()[0], log_det[i])
    normal = -0.5 * (z**2).sum(1) - 3 * math.log(2 * math.pi)
    torch.testing.assert_close(flow.log_prob(x, context), normal + log_det)


@pytest.mark.parametrize("kind", [CouplingFlow, MaskedFlow])
def test_a_density_integrates_to_one(kind) -> None:
    """Of two features on a grid, for two contexts; twice the units have a quarter of the density."""
    flow = shaken(kind(np.array([0, 1]), 1, blocks=3, hidden=(8,), bins=6), 0.1)
    edge = torch.linspace(-10, 10, 401).double()
    grid, near = torch.cartesian_prod(edge, edge), slice(len(edge) ** 2 // 2, len(edge) ** 2 // 2 + 1)
    for told in (-1.0, 2.0):
        context = torch.full((len(grid), 1), told).double()
        with torch.no_grad():
            density = flow.log_prob(grid, context).exp()
            flow.x_scale.scale *= 2
            assert float(flow.log_prob(2 * grid[near], context[near]).exp() / density[near]) == pytest.approx(0.25)
            flow.x_scale.scale /= 2
        assert float(density.sum() * (edge[1] - edge[0]) ** 2) == pytest.approx(1, abs=1e-3)
        unbent = (-0.5 * grid.square().sum(1)).exp() / (2 * math.pi)
        assert float((density - unbent).abs().max()) > 0.1 * float(unbent.max())


@pytest.mark.parametrize("kind", [CouplingFlow, MaskedFlow])
def test_a_trained_flow_finds_a_known_density(kind) -> None:
    """A normal distribution whose mean and correlation follow the context: the exact density is known."""
    torch.manual_seed(4)
    told, noise = 2 * torch.rand(6000, 1) - 1, torch.randn(6000, 2)
    second = told[:, 0] * noise[:, 0] + 0.5 * noise[:, 1]
    x = torch.stack([noise[:, 0] + told[:, 0], second], 1)
    normal = torch.distributions.Normal
    exact = normal(told[:, 0], 1.0).log_prob(x[:, 0])
    exact = exact + normal(told[:, 0] * noise[:, 0], 0.5).log_prob(x[:, 1])
    flow = kind(np.array([0, 1]), 1, blocks=4, hidden=(24,), bins=0).standardise(x[:4000], told[:4000])
    missing = [float((exact - flow.log_prob(x, told))[4000:].mean().detach())]
    batches = (RowBatches(x[part], told[part], batch_size=200, seed=1) for part in (slice(0, 4000), slice(4000, None)))
    fit(flow, flow_loss, *batches, FitConfig(epochs=12, lr=5e-3, patience=None), seed=1)
    missing.append(float((exact - flow.log_prob(x, told))[4000:].mean().detach()))
    assert missing[0] > 0.2  # nats, the divergence of truth and flow
    assert -0.02 < missing[1] < 0.04


def test_scales_are_bounded(flow) -> None:
    block = flow.blocks[0]
    half = block.kept if hasattr(block, "kept") else 6
    scale, _ = block.terms(1e3 * torch.randn(50, half).double(), torch.randn(50, 2).double())
    assert 1.5 < float(scale.abs().max().detach()) <= 2


def test_a_masked_block_knows_only_what_came_before() -> None:
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    block = shaken(MaskedBlock(6, 2, (9, 5), 2.0, order))
    x, context = torch.randn(1, 6).double(), torch.randn(1, 2).double()
    slopes = jacobian(lambda r: block(r, context)[0], x)[0][:, order]
    assert (slopes.triu(1) == 0).all()
    assert (slopes.diagonal() > 0).all()
    assert (slopes.tril(-1) != 0).sum() > 10  # and what came before counts


def test_a_student_that_undoes_the_teacher_loses_nothing() -> None:
    """An affine teacher whose scales and shifts are constant has an inverse that a student can write down."""
    torch.manual_seed(1)
    teacher = MaskedFlow(GROUPS, 2, blocks=2, hidden=(8,), bins=0)
    student = StudentFlow(teacher, 2, (8,), 2.0)
    x, context, z = torch.randn(50, 6), torch.randn(50, 2), torch.randn(50, 6)
    assert sum(student_losses(student, teacher, x, context, z)) == 0  # both change nothing
    with torch.no_grad():
        for taught, block in zip(teacher.blocks, student.blocks, strict=True):
            taught.maps[-1].bias.copy_(torch.randn(12))
            assert sum(student_losses(student, teacher, x, context, z)) > 0.01
            block.maps[-1].bias.copy_(taught.maps[-1].bias)
    x_loss, z_loss = student_losses(student, teacher, x, context, z)
    assert float((x_loss + z_loss).detach()) < 1e-10
    torch.testing.assert_close(student(z, context, teacher), teacher.decode(z, context))


def test_wrong_flows_are_refused() -> None:
    with pytest.raises(InputError, match="at least 2"):
        RingSplines(GROUPS, 2, bins=1)
    with pytest.raises(InputError, match="clamp"):
        CouplingFlow(GROUPS, 2, clamp=0)
    with pytest.raises(InputError, match="affine"):
        make("caloinn", coupling="afine")
    with pytest.raises(InputError, match="affine"):
        make("caloflow", transform="afine")
    with pytest.raises(InputError, match="affine teacher"):
        make("caloflow-student", transform="spline")
    with pytest.raises(InputError, match="fitted teacher"):
        make("caloflow-student").learn_from(make("caloflow"))


def test_voxels_come_back_from_their_logarithms() -> None:
    some = toy_showers(300)
    rows = VoxelLogs(some.geometry).rows(torch.from_numpy(some.deposits)).numpy()
    back = VoxelLogs(some.geometry).deposits(rows, some.layers)
    np.testing.assert_allclose(back, some.deposits, rtol=1e-4, atol=1e-6)
    assert rows[some.deposits == 0].max() < -0.2 < rows[some.deposits > 0].min()


def test_empty_layers_lie_apart_and_others_come_back() -> None:
    some = toy_showers(300)
    coordinates = GappedRatios(some.geometry).fit(some)
    back = coordinates.layers(coordinates.ratios(some, seed=1), some.energies)
    empty = some.layers == 0
    assert back[empty].max() < 0.6 * some.geometry.threshold
    np.testing.assert_allclose(back[~empty], some.layers[~empty], rtol=2e-3, atol=0.02)


def test_layers_keep_the_energy_that_they_should_have() -> None:
    some = toy_showers(300)
    wild = 3 * np.random.default_rng(0).normal(size=some.deposits.shape) - 3  # many layers without any hit
    made = VoxelLogs(some.geometry).deposits(wild, some.layers)
    layers = np.add.reduceat(made, some.geometry.offsets[:-1], axis=1)
    np.testing.assert_allclose(layers, np.where(some.layers < some.geometry.threshold, 0, some.layers), rtol=1e-5)
    assert made[made > 0].min() >= some.geometry.threshold
    faint = np.full((1, 4), 1.2 * some.geometry.threshold)  # too little for two hits, though two are asked for
    shared = VoxelLogs(some.geometry).deposits(np.tile([1.0, 0.9, *7 * [-2.0]], 4)[None], faint)
    np.testing.assert_allclose(shared[shared > 0], faint[0], rtol=1e-5)


@pytest.mark.parametrize("name", ["calochallenge-1-photons", "calochallenge-2"])
def test_turns_are_turns(name: str) -> None:
    detector = geometry(name)
    tables = turns(detector)
    bins = max(layer.n_alpha for layer in detector.layers)
    assert tables.shape == (2 * bins, detector.voxels)
    assert (np.sort(tables, axis=1) == np.arange(detector.voxels)).all()
    assert len(np.unique(tables, axis=0)) == 2 * bins
    place, radius = detector.centres(), np.hypot(*detector.centres()[:, :2].T)
    for table in tables:
        assert (detector.layer_of[table] == detector.layer_of).all()
        np.testing.assert_allclose(radius[table], radius)
    wide = np.array([layer.n_alpha for layer in detector.layers])[detector.layer_of] > 1
    angle = 2 * np.pi / bins
    turned = place[wide, :2] @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    np.testing.assert_allclose(place[tables[1]][wide, :2], turned, atol=1e-9)


def test_batches_repeat_by_epoch_and_turn_showers_of_one_energy() -> None:
    some = toy_showers(100)
    context = torch.arange(100.0)[:, None]
    batches = TurnedBatches(some, context, batch_size=30, seed=2)
    first, again, other = (list(batches.epoch(i)) for i in (0, 0, 1))
    assert all(torch.equal(a[0], b[0]) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0][0], other[0][0])
    for rows, number in first:
        layers = torch.where(rows > -0.8, rows.exp() * some.geometry.threshold, 0.0).numpy()
        kept = np.add.reduceat(layers, some.geometry.offsets[:-1], axis=1)
        np.testing.assert_allclose(kept, some.layers[number[:, 0].long()], rtol=1e-4, atol=1e-6)


def test_rings_are_numbered() -> None:
    rings = toy_showers(60).geometry.ring_of
    assert (np.bincount(rings) == 3).all()  # three bins in alpha
    assert len(np.unique(rings)) == 12


@pytest.fixture(scope="module")
def fitted():
    return make("caloinn", blocks=4, hidden=(32,)).fit(toy_showers(400), seed=1, untrained=True)


def test_voxels_follow_the_layers_that_they_are_told(fitted) -> None:
    some = toy_showers(200, 2)[5:]
    ratios = fitted._map.ratios(some)
    made = fitted.voxels(ratios, some.energies, seed=3)
    layers = np.add.reduceat(made, some.geometry.offsets[:-1], axis=1)
    told = fitted._map.layers(ratios, some.energies)
    np.testing.assert_allclose(layers, np.where(told < some.geometry.threshold, 0, told), rtol=1e-4)


def test_a_student_learns_the_map_of_its_teacher() -> None:
    """Of equal normal numbers it makes showers near the teacher's, far nearer than before its training."""
    some, sizes = toy_showers(800), {"blocks": 2, "hidden": (32,)}
    teacher = make("caloflow", **sizes).fit(some, seed=1)
    z, context = torch.randn(300, some.geometry.voxels), teacher.context(teacher._map.ratios(some), some.energies)[:300]
    taught = teacher.voxel_flow.decode(z, context)
    apart = []
    for untrained in (True, False):
        pupil = make("caloflow-student", **sizes).learn_from(teacher).fit(some, seed=1, untrained=untrained)
        with torch.no_grad():
            apart.append(float((pupil.student(z, context, teacher.voxel_flow) - taught).square().mean()))
    assert apart[1] < 0.2 * apart[0]
    ratios = pupil.layers(some.energies, 5)
    np.testing.assert_array_equal(ratios, teacher.layers(some.energies, 5))  # the layers are the teacher's
    both = [np.add.reduceat(one.voxels(ratios, some.energies, 6), some.geometry.offsets[:-1], 1)
            for one in (pupil, teacher)]  # fmt: skip
    np.testing.assert_allclose(*both, rtol=1e-4, atol=1e-3)


def test_layers_of_a_trained_flow_are_those_of_the_truth() -> None:
    """Mean and spread of each layer's share of the incident energy, of showers that the flow has not seen."""
    truth = toy_showers(3000, 1)[5:]
    flow = make("caloinn", blocks=1, hidden=(8,), layer_fit=FitConfig(epochs=20, lr=3e-3), fit=FitConfig(epochs=1))
    made = flow.fit(toy_showers(1500), seed=1).sample(truth.energies, seed=2)
    shares = [one.layers / one.energies[:, None] for one in (truth, made)]
    spread = shares[0].std(axis=0)
    assert (np.abs(shares[1].mean(axis=0) - shares[0].mean(axis=0)) < 0.15 * spread).all()
    np.testing.assert_allclose(shares[1].std(axis=0), spread, rtol=0.2)
