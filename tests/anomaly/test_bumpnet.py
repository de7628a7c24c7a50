from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from scipy.stats import poisson

from hepml_nb.anomaly.bumpnet import BumpNet, BumpNetConfig, channels, resolution_edges
from hepml_nb.anomaly.bumps import gaussian_template
from hepml_nb.anomaly.histograms import FAMILIES, LEARNT, HistogramConfig, bumps_in_bins, ideal_z, shapes, simulate
from hepml_nb.anomaly.spectrum import MassSpectrum
from hepml_nb.core import InputError, RunError

SMALL = BumpNet.configs["small"]
QUICK = replace(SMALL, examples=4000, fit=replace(SMALL.fit, epochs=3, batch_size=32, lr=6e-3))
TINY = replace(SMALL, examples=60, fit=replace(SMALL.fit, epochs=1))
UNSEEN = tuple(name for name in FAMILIES if name not in LEARNT)


@pytest.fixture(scope="module")
def net():
    return BumpNet(QUICK).fit(seed=1)


def at_bump(found, z):
    return z[np.arange(len(z)), found.place.astype(int)]


def of_length(config, bins, n, seed):
    return simulate(n, replace(config, bins=(bins, bins)), seed)


@pytest.mark.parametrize("level", [0.3, 4.0, 500.0])
def test_the_ideal_significance_is_that_of_the_best_strength(level):
    generator = np.random.default_rng(1)
    background = level * np.exp(-np.linspace(0, 2, 40))
    counts = generator.poisson(background + 2 * level * (np.arange(40) == 20)).astype(float)
    z = ideal_z(counts, background)[0]
    for i in (0, 5, 19, 20, 37):
        t = bumps_in_bins(i + 0.5, 1.0, 40)[0] * (np.abs(np.arange(40) - i) <= 4)
        used = t > 0
        low = -(background[used] / t[used]).min() * 0.999

        def loss(s, t=t, used=used):
            return -poisson.logpmf(counts[used], background[used] + s * t[used]).sum()

        best = minimize_scalar(loss, bounds=(low, 50 * level + 50), method="bounded", options={"xatol": 1e-7})
        by_hand = np.sign(best.x) * np.sqrt(2 * max(loss(0.0) - best.fun, 0.0))
        assert z[i] == pytest.approx(by_hand, abs=2e-3)


def test_noise_has_a_normal_ideal_significance_and_bumps_that_of_their_strength():
    quiet = simulate(800, HistogramConfig(signals=0.0, top=(1e3, 1e4), fall=(1.0, 2.0)), 3)
    z = quiet.z[quiet.valid]
    assert abs(z.mean()) < 0.05
    assert z.std() == pytest.approx(1, abs=0.03)
    assert not quiet.signal.any()
    loud = simulate(800, HistogramConfig(signals=1.0, strength=(5.0, 5.0), width=(1.0, 1.0), top=(1e3, 1e4)), 3)
    middle = bumps_in_bins(loud.place.astype(int) + 0.5, loud.width, loud.counts.shape[1])
    asimov = ideal_z(loud.background + loud.signal[:, None] * middle, loud.background, loud.valid)
    assert np.median(at_bump(loud, asimov)) == pytest.approx(5, abs=0.1)
    assert np.mean(at_bump(loud, loud.z)) == pytest.approx(4.9, abs=0.2)  # most bumps stand beside the middle of a bin


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_falls_by_one_and_its_members_differ(family):
    u = np.tile((np.arange(50) + 0.5) / 50, (30, 1))
    h = shapes(family, u, 1)
    assert (np.diff(h, axis=1) <= 0).all()
    assert np.allclose(h[:, 0], 0)
    assert np.allclose(h[:, -1], -1)
    assert family == "exponential" or h[:, 25].std() > 0.01
    assert np.array_equal(h, shapes(family, u, 1))
    assert family == "exponential" or not np.array_equal(h, shapes(family, u, 2))


def test_histograms_keep_to_what_was_asked_for():
    asked = HistogramConfig(bins=(20, 30), top=(100.0, 200.0), fall=(3.0, 4.0), signals=0.5, width=(1.0, 1.2))
    made = simulate(500, asked, 5)
    bins = made.valid.sum(axis=1)
    assert (bins.min(), bins.max()) == (20, 30)
    first, last = made.background[:, 0], made.background[np.arange(500), bins - 1]
    assert ((first >= 100) & (first <= 200)).all()
    assert (np.log(first / last) > 2.5).all()
    assert (np.log(first / last) <= 4.0).all()
    assert (made.signal > 0).mean() == pytest.approx(0.5, abs=0.1)
    assert not made.counts[~made.valid].any()
    assert not made.z[~made.valid].any()
    assert all(np.array_equal(a, b) for a, b in zip(made, simulate(500, asked, 5), strict=True))


def test_closure_on_families_that_it_has_not_seen(net):
    found = of_length(HistogramConfig(families=UNSEEN, signals=1.0, strength=(2.0, 10.0)), 60, 600, 11)
    z, true = at_bump(found, net.significances(found.counts)), at_bump(found, found.z)
    off = z - true
    assert np.corrcoef(z, true)[0, 1] > 0.85
    assert abs(off.mean()) < 1.0
    assert off.std() < 0.6 * true.std()
    strongest = net.significances(found.counts).argmax(axis=1)
    clear = true > 6
    assert (np.abs(strongest - found.place.astype(int))[clear] <= 2).mean() > 0.9


def test_without_a_bump_it_is_no_more_excited_than_the_ideal(net):
    found = of_length(HistogramConfig(families=UNSEEN, signals=0.0), 60, 600, 12)
    z = net.significances(found.counts)
    assert abs(z.mean()) < 0.15
    assert 0.5 < z.std() < 1.1
    assert np.corrcoef(z.ravel(), found.z.ravel())[0, 1] > 0.7
    assert np.quantile(z.max(axis=1), 0.95) < np.quantile(found.z.max(axis=1), 0.95) + 0.5


def test_untrained_it_knows_nothing_and_a_seed_is_a_network(net):
    found = of_length(HistogramConfig(signals=1.0), 50, 200, 13)
    true = at_bump(found, found.z)
    raw = BumpNet(QUICK).fit(seed=1, untrained=True)
    error, untrained = (np.mean((at_bump(found, n.significances(found.counts)) - true) ** 2) for n in (net, raw))
    assert error < 0.2 * untrained
    one, same, other = (BumpNet(TINY).fit(seed=s).significances(found.counts) for s in (3, 3, 4))
    assert np.array_equal(one, same)
    assert not np.allclose(one, other)


def test_a_shifted_spectrum_has_a_shifted_significance_far_from_its_ends(net):
    counts = of_length(HistogramConfig(signals=1.0), 100, 5, 14).counts
    left, right = net.significances(counts[:, :95]), net.significances(counts[:, 5:])
    reach = 15 + 14  # half of the longest polynomial, and two convolutions of 15 bins
    assert np.allclose(left[:, reach + 5 : 95 - reach], right[:, reach : 90 - reach], atol=1e-3)
    assert not np.allclose(left[:, reach : 90 - reach], right[:, reach : 90 - reach], atol=1e-1)


def test_padding_changes_nothing(net):
    made = simulate(20, HistogramConfig(), 15)
    rows = [
        torch.from_numpy(x.astype(np.float32)) for x in (channels(made.counts, made.valid, QUICK.scales), made.valid)
    ]
    with torch.inference_mode():
        padded = net.model(*rows).numpy()
    for i, bins in enumerate(made.valid.sum(axis=1)):
        if made.counts[i].max() > 30:
            assert np.allclose(net.significances(made.counts[[i], :bins])[0], padded[i, :bins], atol=1e-4)
            assert not padded[i, bins:].any()


def test_a_dijet_spectrum_with_a_bump(net, falling, edges):
    bump = gaussian_template(4.0, 0.1, edges)
    z = net.significance(MassSpectrum(falling(2e5) + 700 * bump, edges))
    true = ideal_z(falling(2e5) + 700 * bump, falling(2e5))[0]
    assert abs(int(z.argmax()) - int(true.argmax())) <= 1
    assert z.max() == pytest.approx(true.max(), abs=2.0)


def test_bins_of_the_resolution():
    edges = resolution_edges(2.0, 6.0, 0.03)
    assert edges[0] == 2
    assert 6 <= edges[-1] < 6 * 1.031
    assert np.allclose(np.diff(edges) / ((edges[1:] + edges[:-1]) / 2), 0.03)
    with pytest.raises(InputError, match="0 < low < high"):
        resolution_edges(3.0, 2.0, 0.1)


def test_what_it_refuses(net):
    edges = resolution_edges(1.0, 4.0, 0.03)
    counts = np.full(len(edges) - 1, 100.0)
    with pytest.raises(RunError, match="fit"):
        BumpNet(QUICK).significance(MassSpectrum(counts, edges))
    with pytest.raises(InputError, match="40 to 100"):
        net.significance(MassSpectrum(counts[:20], edges[:21]))
    with pytest.raises(InputError, match="fullest bin"):
        net.significance(MassSpectrum(counts / 50, edges))
    with pytest.raises(InputError, match="fullest bin"):
        net.significances(1e5 * counts[None])
    with pytest.raises(InputError, match="as wide as bin 29"):
        net.significance(MassSpectrum(counts[:-1], np.delete(edges, 31)))
    with pytest.raises(InputError, match="at least 0"):
        net.significances(-counts[None])
    with pytest.raises(InputError, match="spectra, bins"):
        net.significances(counts)
    assert net.significances(np.zeros((0, 50))).shape == (0, 50)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"families": ("exponental",)}, "exponential"),
        ({"bins": (5, 20)}, "bins"),
        ({"fall": (4.0, 2.0)}, "fall"),
        ({"signals": 1.5}, "signals"),
    ],
)
def test_histograms_that_cannot_be(change, words):
    with pytest.raises(InputError, match=words):
        HistogramConfig(**change)


def test_networks_that_cannot_be():
    for change, words in (({"kernels": (4,)}, "odd"), ({"scales": ((51, 2),)}, "scales"), ({"layers": 0}, "sizes")):
        with pytest.raises(InputError, match=words):
            BumpNetConfig(**change)
    with pytest.raises(InputError, match="do not fit"):
        ideal_z(np.ones((2, 20)), np.ones((2, 30)))
    with pytest.raises(InputError, match="above 0"):
        ideal_z(np.ones((2, 20)), np.zeros((2, 20)))
    with pytest.raises(InputError, match="family"):
        shapes("parabola", np.zeros((1, 5)))
