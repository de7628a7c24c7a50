"""The training loop: it repeats, resumes bitwise, stops early, keeps the best weights, and says why it failed."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hepml_nb.core import InputError, RunError, rng
from hepml_nb.learn import FitConfig, History, RowBatches, SetBatches, fit, learning_rate, mlp, predict

CONFIG = FitConfig(epochs=6, lr=5e-3, batch_size=64, patience=None, device="cpu")


def problem(seed: int = 0, n: int = 512) -> tuple[RowBatches, RowBatches]:
    x = rng(seed, "x").normal(size=(2 * n, 4)).astype("f4")
    y = (x[:, 0] * x[:, 1] > 0).astype("f4")
    return RowBatches(x[:n], y[:n], batch_size=64, seed=seed), RowBatches(x[n:], y[n:], batch_size=256, shuffle=False)


def network(seed: int = 0, dropout: float = 0.1) -> nn.Module:
    torch.manual_seed(seed)
    return mlp([4, 32, 1], dropout=dropout)


def loss_fn(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    x, y = batch
    return nn.functional.binary_cross_entropy_with_logits(model(x)[:, 0], y)


def same(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def test_training_lowers_the_loss_and_repeats_bitwise():
    train, val = problem()
    a, b = network(), network()
    history = fit(a, loss_fn, train, val, dataclasses.replace(CONFIG, epochs=12))
    assert history.best_val_loss < 0.6 < history.val_loss[0]
    torch.manual_seed(123)  # the caller's generator does not matter ...
    drawn = torch.get_rng_state()
    again = fit(b, loss_fn, train, val, dataclasses.replace(CONFIG, epochs=12))
    assert torch.equal(torch.get_rng_state(), drawn)  # ... and is left alone
    assert same(a, b)
    np.testing.assert_array_equal(again.val_loss, history.val_loss)


def test_another_seed_gives_another_dropout():
    train, val = problem()
    a, b = network(), network()
    fit(a, loss_fn, train, val, CONFIG, seed=0)
    fit(b, loss_fn, train, val, CONFIG, seed=1)
    assert not same(a, b)


@pytest.mark.parametrize("schedule", ["one-cycle", "cosine", "constant"])
def test_an_interrupted_training_resumes_bitwise(tmp_path: Path, schedule: str):
    train, val = problem()
    config = dataclasses.replace(CONFIG, schedule=schedule, weight_decay=0.01, clip=1.0, patience=3)
    whole = network()
    expected = fit(whole, loss_fn, train, val, config, seed=3)

    calls = 0

    def interrupted(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        nonlocal calls
        calls += 1
        if calls == 8 * 3 + 2 * 2 + 5:  # in the middle of the third or fourth epoch
            raise KeyboardInterrupt
        return loss_fn(model, batch)

    path = tmp_path / "run.safetensors"
    with pytest.raises(KeyboardInterrupt):
        fit(network(), interrupted, train, val, config, seed=3, checkpoint=path)
    resumed = network(seed=99)  # other weights: everything must come from the file
    history = fit(resumed, loss_fn, train, val, config, seed=3, checkpoint=path)
    assert same(whole, resumed)
    np.testing.assert_array_equal(history.val_loss, expected.val_loss)
    np.testing.assert_array_equal(history.train_loss, expected.train_loss)
    finished = network(seed=5)
    assert len(fit(finished, loss_fn, train, val, config, seed=3, checkpoint=path)) == len(expected)
    assert same(whole, finished)


def test_a_checkpoint_refuses_other_settings_networks_and_files(tmp_path: Path):
    train, val = problem()
    path = tmp_path / "run.safetensors"
    fit(network(), loss_fn, train, val, dataclasses.replace(CONFIG, epochs=1), checkpoint=path)
    with pytest.raises(InputError, match=r"other settings: lr 0\.005 \(now 0\.1\)"):
        fit(network(), loss_fn, train, val, dataclasses.replace(CONFIG, epochs=1, lr=0.1), checkpoint=path)
    with pytest.raises(InputError, match="another network"):
        fit(mlp([4, 8, 1]), loss_fn, train, val, dataclasses.replace(CONFIG, epochs=1), checkpoint=path)
    path.write_bytes(b"not a checkpoint")
    with pytest.raises(InputError, match="cannot be read as a checkpoint"):
        fit(network(), loss_fn, train, val, CONFIG, checkpoint=path)


def test_it_stops_early_with_the_best_weights():
    train, _ = problem(n=64)
    x = rng(0, "noise").normal(size=(256, 4)).astype("f4")
    val = RowBatches(x, (x[:, 0] * x[:, 1] > 0).astype("f4"), batch_size=256, shuffle=False)
    model = network(dropout=0.0)
    config = FitConfig(epochs=400, lr=0.05, schedule="constant", patience=4, device="cpu")
    history = fit(model, loss_fn, train, val, config)
    assert history.stopped_early
    assert len(history) == history.best_epoch + 4 < 400
    (batch,) = val.epoch(0)
    assert loss_fn(model, batch).item() == pytest.approx(history.val_loss.min(), rel=1e-6)


def test_zero_epochs_leave_the_model_untrained():
    train, val = problem()
    model = network()
    history = fit(model, loss_fn, train, val, dataclasses.replace(CONFIG, epochs=0))
    assert same(model, network())
    assert repr(history) == "History(untrained)"


def test_a_diverging_training_says_where_and_what_to_try():
    train, val = problem()

    def exploding(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        return loss_fn(model, batch) * float("inf")

    with pytest.raises(RunError, match=r"the training loss is inf at step 1 of 48 \(epoch 1.*try lr=0\.0005 or clip"):
        fit(network(), exploding, train, val, CONFIG)

    def rooted(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        return (model(batch[0]) * 0).sum().sqrt() + loss_fn(model, batch)  # finite, with an infinite slope

    with pytest.raises(RunError, match="the gradient norm is nan"):
        fit(network(), rooted, train, val, dataclasses.replace(CONFIG, clip=1.0))
    with pytest.raises(RunError, match="the weights are not finite any more"):
        fit(network(), rooted, train, val, CONFIG)


def test_nan_in_the_inputs_is_named_as_the_cause():
    x = np.zeros((10, 4), "f4")
    x[3, 2] = np.nan
    bad = RowBatches(x, np.zeros(10, "f4"))
    with pytest.raises(RunError, match=r"tensor\(s\) \[0\] of the batch hold nan"):
        fit(network(), loss_fn, bad, problem()[1], CONFIG)


def test_sources_that_cannot_be_read_twice_are_refused():
    train, val = problem()
    with pytest.raises(InputError, match="a generator can be read only once"):
        fit(network(), loss_fn, (b for b in train.epoch(0)), val, CONFIG)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="val has no batches"):
        fit(network(), loss_fn, train, [], CONFIG)


def test_a_list_of_batches_and_a_data_loader_are_taken_too():
    train, val = problem()
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(*train.tensors), batch_size=64, shuffle=True)
    a, b = network(), network()
    fit(a, loss_fn, loader, list(val.epoch(0)), CONFIG, seed=4)
    fit(b, loss_fn, loader, list(val.epoch(0)), CONFIG, seed=4)
    assert same(a, b)


def test_loss_functions_must_return_a_scalar():
    train, val = problem()
    with pytest.raises(InputError, match=r"shape \(64, 4\); expected the batch's mean"):
        fit(network(), lambda model, batch: batch[0], train, val, CONFIG)


def test_predictions_come_back_in_order():
    values = torch.arange(10.0)[:, None]
    batches = SetBatches(values, [3, 0, 4, 3], batch_size=3, shuffle=False)
    model = nn.Linear(1, 1)
    sums = predict(model, batches, lambda m, b: torch.stack([p.sum() for p in b[0].split(b[1].tolist())]))
    assert sums.tolist() == [3.0, 0.0, 18.0, 24.0]


def test_learning_rates_rise_and_fall_as_named():
    cycle = [learning_rate(i, 100, FitConfig(lr=1.0)) for i in range(100)]
    assert cycle[0] == pytest.approx(0.04)
    assert int(np.argmax(cycle)) == 30
    assert cycle[30] == pytest.approx(1.0)
    assert cycle[-1] == pytest.approx(1e-4)
    cosine = [learning_rate(i, 100, FitConfig(lr=1.0, schedule="cosine")) for i in range(100)]
    assert cosine == sorted(cosine, reverse=True)
    assert learning_rate(7, 100, FitConfig(lr=0.3, schedule="constant")) == 0.3


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"schedule": "onecycle"}, "did you mean 'one-cycle'"),
        ({"lr": 0.0}, "lr=0.0 cannot be used; expected positive"),
        ({"lr": float("nan")}, "lr=nan"),
        ({"epochs": -1}, "at least 0"),
        ({"batch_size": 0}, "at least 1"),
        ({"patience": 0}, "or None"),
    ],
)
def test_configurations_that_make_no_sense_are_refused(bad: dict[str, object], message: str):
    with pytest.raises(InputError, match=message):
        FitConfig(**bad)  # type: ignore[arg-type]


def test_a_history_shows_itself_and_survives_a_round_trip():
    train, val = problem()
    history = fit(network(), loss_fn, train, val, CONFIG)
    assert History.from_dict(history.to_dict()) == history
    assert repr(history).startswith("History(6 epochs, best ")
    assert history._repr_markdown_().count("★") == 1
    assert history.speed > 0
