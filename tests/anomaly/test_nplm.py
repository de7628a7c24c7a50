"""NPLM: its loss, its null distribution, its power, and nuisance parameters that are profiled or ignored."""

import numpy as np
import pytest
from scipy.optimize import approx_fprime
from scipy.stats import ks_2samp

from hepml_nb.anomaly.functions import KernelConfig, NetworkConfig
from hepml_nb.anomaly.nplm import CONFIGS, NPLM, nplm_loss
from hepml_nb.anomaly.nplm_study import calibrated, exponential_test, joined
from hepml_nb.anomaly.nuisances import Nuisances, learn_shape
from hepml_nb.anomaly.pseudo import Null, drawn_from, power, pseudo_tests, uniform
from hepml_nb.core import InputError, RunError, rng
from hepml_nb.simulate.exponential import ExponentialToy

TOY = ExponentialToy(expected=500)
REFERENCE = TOY.background(5000, 1)
KERNEL = KernelConfig(centres=50, penalty=1e-7, loss="likelihood")
NETWORK = NetworkConfig(hidden=(3,), steps=60)


@pytest.fixture(scope="module")
def shape():
    shifted = {nu: TOY.background(40_000, 10 + int(nu), scale=nu) for nu in (-2.0, -1.0, 1.0, 2.0)}
    return learn_shape(TOY.background(40_000, 3), shifted)


@pytest.fixture(scope="module")
def plain():
    return NPLM(REFERENCE, TOY.expected, KERNEL)


@pytest.fixture(scope="module")
def profiled(shape):
    return NPLM(REFERENCE, TOY.expected, KERNEL, nuisances=Nuisances({"scale": shape}, {"yield": TOY.yield_error}))


def experiment(test, shift=0.0, signal=0.0):
    def one(generator):
        auxiliary = generator.normal([shift, 0.0])
        events = TOY.data(generator, scale=shift, signal=signal)
        return test.test(events, auxiliary if test.nuisances else None).t

    return one


def p_values(test, null, n=60, **truth):
    return [null.p_value(t).value for t in pseudo_tests(experiment(test, **truth), n, seed=99).values]


@pytest.fixture(scope="module")
def null(plain):
    return pseudo_tests(experiment(plain), 200)


def test_the_loss_is_minus_the_log_of_the_extended_likelihood_ratio():
    expected, bins = np.array([30.0, 12.0]), np.array([0] * 35 + [1] * 9)
    f = np.array([0.1, -0.2])
    raised = expected * np.exp(f)
    by_hand = -(raised.sum() - expected.sum()) + np.log(raised / expected)[bins].sum()
    reference = np.repeat(f, [300, 120])
    assert nplm_loss(reference, f[bins], 0.1) == pytest.approx(-by_hand)


@pytest.mark.parametrize("config", [KERNEL, NETWORK, KernelConfig(centres=50, penalty=1e-5)])
def test_gradients_are_those_of_the_loss_and_no_step_helps(config, shape):
    entropy = isinstance(config, KernelConfig) and config.loss == "cross-entropy"
    nuisances = None if entropy else Nuisances({"scale": shape}, {"yield": 0.05})
    test = NPLM(REFERENCE[:600], 100, config, nuisances=nuisances)
    events, q = TOY.data(5)[:100], 0 if entropy else 2
    terms = nuisances.terms(events) if nuisances else (np.zeros((100, 0)),) * 2
    loss = test._loss(test.family.prepare(events), terms, np.full(q, 0.3))
    at = np.concatenate([test.family.start(0), np.full(q, 0.2)]) + 0.05 * rng(1, "at").normal(size=test.family.size + q)
    assert loss(at)[1] == pytest.approx(approx_fprime(at, lambda one: loss(one)[0], 1e-6), rel=1e-3, abs=2e-3)


def test_t_is_that_of_the_learnt_function(plain):
    events = TOY.data(7)
    found = plain.test(events)
    loss = nplm_loss(plain.log_ratio(found, REFERENCE), plain.log_ratio(found, events), TOY.expected / len(REFERENCE))
    assert found.t == pytest.approx(-2 * loss)
    assert found.delta == 0
    assert plain.test(events).t == found.t


def test_a_network_keeps_its_weights_in_the_box_and_finds_as_much_as_the_kernels(plain):
    network = NPLM(REFERENCE, TOY.expected, NetworkConfig(clip=9.0, steps=150))
    found = network.test(TOY.data(7, signal=15))
    weights = [
        value for value, (low, _) in zip(found.parameters, network.family.bounds, strict=True) if low is not None
    ]
    assert np.abs(weights).max() <= 9.0
    assert network.family.size == 13
    assert found.t > plain.test(TOY.data(7)).t


def test_p_values_are_uniform_without_a_signal_and_a_chi2_describes_t(plain, null):
    assert uniform(p_values(plain, null)) > 0.01
    assert null.agreement() > 0.01
    t = float(np.quantile(null.values, 0.9))
    assert null.chi2_p(t) == pytest.approx(0.1, abs=0.06)


def test_a_bump_in_the_tail_is_seen_and_the_optimal_test_sees_more(plain, null):
    found = pseudo_tests(experiment(plain, signal=12), 30, seed=5)
    seen = power(null, found.values)
    assert seen.value > 0.6 > seen.baseline
    best = Null(np.array([TOY.optimal(TOY.data(i), 12) for i in range(200)]))
    optimal = power(best, [TOY.optimal(TOY.data(1000 + i, signal=12), 12) for i in range(30)])
    assert optimal.value >= seen.value - 2 * seen.error


def test_learnt_log_ratio_of_the_scale_is_the_exact_one(shape):
    nuisances = Nuisances({"scale": shape}, {"yield": TOY.yield_error})
    x = np.linspace(0.1, 6, 20)[:, None]
    for nu in (-2.0, 1.0, 2.0):
        assert nuisances.log_ratio(x, [nu, 1.0]) == pytest.approx(TOY.log_ratio(x, nu, 1.0), abs=0.08)


def test_a_scale_shifted_by_two_sigma_is_profiled_away_and_rejected_where_it_is_ignored(plain, null, profiled):
    calibration = pseudo_tests(experiment(profiled), 200)
    for shift in (-2.0, 2.0):
        moved = pseudo_tests(experiment(profiled, shift=shift), 80, seed=99)  # two finite samples of t
        assert ks_2samp(calibration.values, moved.values).pvalue > 0.01
        assert uniform(p_values(plain, null, 80, shift=shift)) < 0.01
    seen = pseudo_tests(experiment(profiled, shift=2.0, signal=15), 20, seed=5)
    assert power(calibration, seen.values).value > 0.5


def test_nuisance_parameters_are_found_and_tau_is_at_least_delta(profiled):
    found = [profiled.test(TOY.data(i, scale=2.0, luminosity=-1.0), [2.0, -1.0]) for i in range(10)]
    assert np.mean([one.nu_reference for one in found], axis=0) == pytest.approx([2.0, -1.0], abs=0.5)
    assert min(one.t for one in found) >= 0
    assert all(one.tau == pytest.approx(one.t + one.delta) for one in found)


def test_cross_entropy_and_likelihood_agree_where_there_is_little_to_learn():
    entropy = NPLM(REFERENCE, TOY.expected, KernelConfig(centres=50, penalty=1e-6))
    likelihood = NPLM(REFERENCE, TOY.expected, KernelConfig(centres=50, penalty=1e-6, loss="likelihood"))
    t = np.array([[one.test(TOY.data(i)).t for one in (entropy, likelihood)] for i in range(12)])
    assert np.corrcoef(t.T)[0, 1] > 0.9


def test_a_cross_entropy_whose_minimum_is_no_likelihood_ratio_is_an_error():
    """The last reference event lies alone beyond all data: e^f runs away where the cross-entropy hardly feels it."""
    toy = ExponentialToy()
    test = NPLM(toy.background(20_000, 1), toy.expected, KernelConfig(centres=500), seed=1)
    with pytest.raises(RunError, match="100 reference events"):
        test.test(toy.data(rng(3, 0), signal=20))


def test_pseudo_data_are_drawn_without_repetition():
    pool = np.arange(3000.0)[:, None]
    draws = [drawn_from(pool, 100)(rng(i, "draw")) for i in range(200)]
    assert all(len(np.unique(one)) == len(one) for one in draws)
    counts = np.array([len(one) for one in draws])
    assert counts.var() / counts.mean() == pytest.approx(1, abs=0.35)


def test_the_sweeps_entry_gives_a_row():
    point = {"toys": 20, "experiments": 10, "reference": 4000, "simulated": 4000, "treatment": "ignored", "shift": 2.0}
    row = calibrated(point)
    assert len(row["null"]) == 20
    assert len(row["p"]) == 10
    assert row["parameters"] > 3
    assert calibrated(point)["t"] == row["t"]
    together, p = joined([row, row])
    assert len(together.values) == 40
    assert len(p) == 20


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: NPLM(REFERENCE, 6000), "at least as many reference events"),
        (lambda: NPLM(np.ones((10, 2)), 5), "constant"),
        (lambda: NPLM(REFERENCE, 100, "large"), "network, kernel, small"),
        (lambda: NPLM(REFERENCE, 100, "kernel", nuisances=Nuisances({}, {"yield": 0.1})), "cross-entropy"),
        (lambda: NPLM(REFERENCE[:300], 100, KERNEL).test(np.ones((10, 2))), "columns"),
        (lambda: NPLM(REFERENCE[:300], 100, KERNEL).test([[1.0], [np.nan]]), "nan"),
        (lambda: NPLM(REFERENCE[:300], 100, KERNEL).test(REFERENCE[:50], [1.0]), "auxiliary"),
        (lambda: Nuisances({}, {}), "no nuisance parameter"),
        (lambda: Nuisances({}, {"yield": -0.1}), "positive"),
        (lambda: learn_shape(REFERENCE, {1.0: REFERENCE}), "at least two values"),
        (lambda: learn_shape(REFERENCE, {1.0: REFERENCE, -1.0: np.ones((9, 2))}), "columns"),
        (lambda: KernelConfig(loss="hinge"), "cross-entropy"),
        (lambda: NetworkConfig(hidden=()), "no network"),
        (lambda: Null(np.array([1.0])), "at least two"),
        (lambda: power(Null(np.arange(5.0)), [1.0], 0.01), "level"),
        (lambda: drawn_from(REFERENCE[:100], 80), "twice as many"),
        (lambda: ExponentialToy(width=0), "positive"),
        (lambda: exponential_test(TOY, {"treatment": "forgotten"}), "profiled"),
        (lambda: joined([]), "no rows"),
    ],
)
def test_bad_input_is_one_clear_error(call, message):
    with pytest.raises(InputError, match=message):
        call()


def test_named_configurations_are_those_of_the_papers():
    assert CONFIGS["network"].hidden == (4,)
    assert CONFIGS["network"].clip == 9.0
    assert CONFIGS["kernel"].loss == "cross-entropy"
