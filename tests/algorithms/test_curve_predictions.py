"""Predictions of curves in values: warps backwards, intervals that cover, joint draws that agree with them."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from honed.algorithms.curve_own import OwnCurves
from honed.algorithms.curve_predictions import joint_draws, noise_near, pooled, predicted, probability_below
from honed.algorithms.curve_warps import curve_warps
from honed.domains import Float, Scalar
from honed.freeze_thaw.insight import Insight
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
    inside, above, widths, n_better, chances = list[bool](), list[bool](), list[float](), 0, 0.0
    for task in (power_law(2), power_law(4), _bowl(0.0), _bowl(0.01)):
        for seed in range(3):
            history = simulate(task, Random(), ASHA(), seed=seed, budget_steps=6 * 27).history
            insight = Insight.of(history)
            assert insight is not None
            rows = np.flatnonzero((insight.data.at > 0) & (insight.data.at < 27))
            found = insight.finals(rows)
            true = np.array([task.curve(history[n].params, Stream(seed, n))[-1] for n in rows.tolist()])
            inside += ((true >= found.low) & (true <= found.high)).tolist()
            above += (true > found.high).tolist()
            known = insight.data.last_values()[rows]
            widths += ((found.high - found.low) / np.ptp(np.concatenate([known, true]))).tolist()
            chances += float(insight.chances(rows).sum())
            n_better += int((true < insight.best).sum())
    assert len(inside) >= 200
    assert np.mean(inside) >= 0.85
    assert np.median(widths) < 0.5  # of all values now and at the end: the intervals say something
    assert np.mean(above) < 0.1  # the model alone expects too much of what a search has left behind
    assert abs(chances - n_better) < 0.05 * len(inside)


def test_what_a_curve_says_by_itself() -> None:
    numbers, steps = np.array([0, 0, 0, 0, 2, 2]), np.array([1, 2, 3, 4, 1, 2])
    y = np.array([1.0, 0.9, 0.85, 0.8, 0.5, 0.7])
    own = OwnCurves.of(numbers, steps, y, 3)
    assert own.rate[0] == pytest.approx(0.1 / math.log(2))  # from step 2 to step 4
    values = own.values(np.array([0, 1, 2]), np.array([16, 16, 16]), 100)
    assert (values[0] > 0.6).all()  # at that rate it falls by .2 more
    assert values[0].min() < 0.61
    assert 0.8 < values[0].max() < 0.83
    assert np.isnan(values[1]).all()
    assert values[2].min() < 0.7 < 1.0 < values[2].max()
    assert own.ceilings(np.array([0, 2])).tolist() == pytest.approx([1.0 + 0.3, 0.7 + 0.2])


def test_a_trial_without_a_value_is_predicted_by_the_model_alone() -> None:
    places = np.random.default_rng(1).random(12)
    history = history_of(*(Curve(x, falling((x - 0.4) ** 2, 3 + n % 4)) for n, x in enumerate(places.tolist())))
    model = model_of(seen(history, None))
    assert model is not None
    nothing = OwnCurves.of(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0), 12)
    rows, steps = np.arange(12), np.full(12, 27)
    alone, without = predicted(model, rows, steps), predicted(model, rows, steps, nothing)
    assert np.allclose(alone.low, without.low)
    assert np.allclose(alone.high, without.high)


def test_members_are_pooled_by_their_odds() -> None:
    assert pooled(np.array([[0.5], [0.5]]))[0] == pytest.approx(0.5)
    assert pooled(np.array([[0.2], [0.8]]))[0] == pytest.approx(0.5)
    assert pooled(np.array([[0.0], [0.0]]))[0] == 0.0
    assert pooled(np.array([[0.0], [0.9]]), 0.01)[0] == pytest.approx(1 / (1 + math.sqrt(99 / 9)))


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
    values = np.concatenate(joint_draws(model, rows, new, np.full(6, 27), 500, np.random.default_rng(0)))
    assert values.shape == (500 * len(model.members), 6)
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
