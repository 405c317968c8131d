"""Predictions of curves in values: warps backwards, intervals that cover, joint draws that agree with them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from honed.algorithms.curve_predictions import joint_draws, noise_near, predicted, probability_below
from honed.algorithms.curve_warps import curve_warps
from honed.domains import Float, Scalar
from honed.freeze_thaw.model import model_of
from honed.freeze_thaw.seen import seen
from honed.samplers.base import Stream
from honed.samplers.random import Random
from honed.schedulers.asha import ASHA
from honed.space import Space
from honed.testing.simulate import CurveTask, power_law, simulate
from tests.freeze_thaw.built import Curve, falling, history_of


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 1000), st.floats(-1e3, 1e3), st.floats(1e-3, 1e3))
def test_a_warp_is_undone_between_the_best_value_and_the_worst_tenth(seed: int, shift: float, scale: float) -> None:
    y = shift + scale * np.random.default_rng(seed).exponential(size=40)
    bests = np.sort(y)[::2]
    hi = np.quantile(bests, 0.9)
    inside = y[(y < hi) & (y >= bests.min())]
    for warp in curve_warps(y, bests):
        assert np.allclose(warp.invert(warp.apply(inside)), inside, atol=1e-7 * scale, rtol=1e-7)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.floats(-5, 5), min_size=3, max_size=40))
def test_the_way_back_never_falls_and_goes_on_beyond_the_data(values: list[float]) -> None:
    y = np.array(values)
    for warp in curve_warps(y, y):
        back = warp.invert(np.linspace(-8.0, 8.0, 400))
        assert np.isfinite(back).all()
        assert (np.diff(back) >= -1e-9 * max(1.0, float(np.ptp(y)))).all()
        assert back[0] < y.min()
        assert back[-1] > np.quantile(y, 0.9)


def test_better_than_the_best_is_undone_too() -> None:
    y = np.linspace(1.0, 2.0, 20)
    better = np.array([0.9, 0.95])
    for warp in curve_warps(y, y):
        assert np.allclose(warp.invert(warp.apply(better)), better, atol=1e-6)


def _bowl(noise: float) -> CurveTask:
    steps = np.arange(1, 28)

    def losses(params: Mapping[str, Scalar], rng: Stream) -> list[float]:
        x = np.array([float(str(value)) for value in params.values()])
        curve = float(((x - 0.3) ** 2).mean() / 0.49) + 0.5 * np.exp(-(0.2 + 0.6 * float(x[0])) * steps)
        return [float(value) for value in curve + rng.generator("noise").normal(0.0, noise, len(steps))]

    return CurveTask(name="bowl", space=Space(x=Float(0.0, 1.0), y=Float(0.0, 1.0)), total_steps=27, losses=losses)


def test_nine_of_ten_final_values_lie_in_their_intervals() -> None:
    inside, n_better, chances = list[bool](), 0, 0.0
    for task in (power_law(2), power_law(4), _bowl(0.0), _bowl(0.01)):
        for seed in range(3):
            history = simulate(task, Random(), ASHA(), seed=seed, budget_steps=6 * 27).history
            data = seen(history, None)
            model = model_of(data)
            assert model is not None
            rows = np.flatnonzero((data.at > 0) & (data.at < 27))
            found = predicted(model, rows, np.full(len(rows), 27))
            true = np.array([task.curve(history[n].params, Stream(seed, n))[-1] for n in rows.tolist()])
            inside += ((true >= found.low) & (true <= found.high)).tolist()
            best = min(report.values["value"] for record in history for report in record.reports)
            chances += float(probability_below(model, rows, np.full(len(rows), 27), best).sum())
            n_better += int((true < best).sum())
    assert len(inside) >= 200
    assert 0.75 <= np.mean(inside) <= 0.98
    assert abs(chances - n_better) < 0.2 * len(inside)


def test_probabilities_and_draws_agree_with_the_quantiles() -> None:
    places = np.random.default_rng(1).random(12)
    history = history_of(*(Curve(x, falling((x - 0.4) ** 2, 3 + n % 4)) for n, x in enumerate(places.tolist())))
    model = model_of(seen(history, None))
    assert model is not None
    rows, steps = np.arange(4), np.full(4, 27)
    found = predicted(model, rows, steps)
    assert (found.low < found.median).all()
    assert (found.median < found.high).all()
    for i in range(4):
        at = float(probability_below(model, rows[i : i + 1], steps[:1], float(found.median[i]))[0])
        assert at == pytest.approx(0.5, abs=0.05)
    new = np.array([[0.4, 0.5], [0.9, 0.5]])
    values = joint_draws(model, rows, new, np.full(6, 27), 500, np.random.default_rng(0))
    assert values.shape == (500, 6)
    drawn = np.median(values, axis=0)[:4]
    assert (np.abs(drawn - found.median) < 0.35 * (found.high - found.low)).all()
    assert 0.0 < noise_near(model, float(min(falling(0.0, 6)))) < 0.2


def test_longer_intervals_where_less_is_known() -> None:
    places = np.random.default_rng(2).random(12)
    curves = [Curve(x, falling((x - 0.4) ** 2, 20 if n % 2 else 3)) for n, x in enumerate(places.tolist())]
    model = model_of(seen(history_of(*curves), None))
    assert model is not None
    found = predicted(model, np.arange(12), np.full(12, 27))
    width = found.high - found.low
    assert width[1::2].mean() < width[::2].mean()
