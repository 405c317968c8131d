"""Beliefs as densities, and the wrapper that draws a share of trials from them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from honed.beliefs import Belief, LogNormal, Normal, Prior, Weights, checked_prior, far_off, prior_of, trust
from honed.domains import Categorical, Domain, Float, Int, Ordinal
from honed.encode import coordinate
from honed.history import History
from honed.records import StudyRecord, Suggestion
from honed.samplers.base import Sampler, Stream
from honed.samplers.cmaes import CMAES
from honed.samplers.combine import fit_for_use
from honed.samplers.grid import Grid
from honed.samplers.quasirandom import Sobol
from honed.samplers.random import Random
from honed.samplers.tpe import TPE
from honed.space import Space
from honed.testing import strategies as honed_st
from honed.testing.driver import Driver
from honed.transfer import gathered, warm_start_text

UNITS = (np.arange(1024) + 0.5) / 1024
NETWORK = Space(
    lr=Float(1e-5, 1, log=True), wd=Float(1e-6, 0.1, log=True), dropout=Float(0, 0.8), units=Int(16, 512, log=True),
    act=Categorical(["relu", "tanh", "gelu"]),
)  # fmt: skip
GOOD: Mapping[str, Any] = {"lr": LogNormal(5e-3, 3), "dropout": Normal(0.25, 0.12), "act": {"relu": 3, "tanh": 1}}
WRONG: Mapping[str, Any] = {"lr": LogNormal(3e-5, 3), "dropout": Normal(0.75, 0.08), "act": {"tanh": 1}}

BELIEFS: st.SearchStrategy[Belief] = st.one_of(
    st.builds(Normal, st.floats(-1e6, 1e6), st.floats(1e-3, 1e6)),
    st.builds(LogNormal, st.floats(1e-6, 1e6), st.floats(1.01, 1e3)),
    st.dictionaries(st.sampled_from(["a", "b", 1, 2, 0.5, True]), st.floats(0.1, 10.0), min_size=1).map(Weights),
)


def bowl(ask) -> float:
    """Best at lr .003, wd .001, dropout .24, 181 units, relu."""
    lr, wd = (math.log10(ask("lr", NETWORK["lr"])) + 5) / 5, (math.log10(ask("wd", NETWORK["wd"])) + 6) / 5
    dropout, units = ask("dropout", NETWORK["dropout"]) / 0.8, math.log(ask("units", NETWORK["units"]) / 16, 32)
    act = {"relu": 0.0, "tanh": 0.1, "gelu": 0.05}[ask("act", NETWORK["act"])]
    return float(4 * (lr - 0.5) ** 2 + (wd - 0.6) ** 2 + (dropout - 0.3) ** 2 + 2 * (units - 0.7) ** 2 + act)


def driver_of(
    sampler: Sampler,
    prior: Mapping[str, Any] | None,
    objective: Any = bowl,
    space: Space | None = NETWORK,
    seed: int = 0,
) -> Driver:
    driver = Driver(fit_for_use(sampler), objective, space=space, seed=seed)
    if prior is not None:
        attributes = {"prior": checked_prior(prior, {} if space is None else space.domains)}
        driver.study = replace(driver.study, attributes=attributes)
        driver.history = History.empty(driver.study, space)
    return driver


def log_regrets(sampler: Sampler, prior: Mapping[str, Any] | None, n: int, n_seeds: int = 20) -> np.ndarray:
    """[n] the mean over seeds of log10 of the best value so far."""
    curves = []
    for seed in range(n_seeds):
        driver = driver_of(sampler, prior, seed=seed)
        driver.run(n)
        curves.append(np.minimum.accumulate([record.value or 0.0 for record in driver.history]))
    mean: np.ndarray = np.log10(np.maximum(curves, 1e-9)).mean(axis=0)
    return mean


# ---------------------------------------------------------------------------------------------------------- densities


def values_at(prior: Prior, domain: Domain, *, drawn: bool) -> np.ndarray:
    values = [prior.draw(domain, "x", u) if drawn else domain.decode(u) for u in UNITS.tolist()]
    assert all(map(domain.contains, values))
    at = np.array([[coordinate(domain, value)] for value in values])
    return np.exp(prior.log_density({"x": domain}, at))


@settings(max_examples=25, deadline=None)
@given(honed_st.domains(), BELIEFS)
def test_a_density_has_mean_one_on_every_domain_and_is_nowhere_zero(domain: Domain, belief: Belief):
    density = values_at(Prior({"x": belief}), domain, drawn=False)
    assert density.min() >= 0.05 * (1 - 1e-9)
    assert density.mean() == pytest.approx(1.0, abs=0.05)


@settings(max_examples=25, deadline=None)
@given(honed_st.domains(), BELIEFS)
def test_draws_follow_the_density(domain: Domain, belief: Belief):
    """Under the density p, the mean of 1 / p is the volume of the domain, 1."""
    density = values_at(Prior({"x": belief}), domain, drawn=True)
    assert (1.0 / density).mean() == pytest.approx(1.0, abs=0.1)


def test_a_belief_on_a_log_scale_has_its_median_and_factor():
    prior, lr = Prior({"lr": LogNormal(3e-4, 3)}), Float(1e-7, 1, log=True)
    drawn = np.log([float(prior.draw(lr, "lr", u) or 0.0) for u in UNITS.tolist()])
    assert np.exp(np.median(drawn)) == pytest.approx(3e-4, rel=0.02)
    share = np.mean(np.abs(drawn - math.log(3e-4)) < math.log(3))
    assert share == pytest.approx(0.68 * 0.95, abs=0.02)


def test_even_units_stay_even():
    drawn: list[Any] = [Prior({"x": Normal(0.3, 0.1)}).draw(Float(0, 1), "x", u) for u in UNITS.tolist()]
    assert drawn == sorted(drawn)


def test_a_belief_outside_the_range_is_held_at_the_nearest_end():
    low, high = (Prior({"x": Normal(mean, 1.0)}) for mean in (-1e4, 1e4))
    assert np.median([low.draw(Float(0, 1), "x", u) for u in UNITS.tolist()]) < 0.01
    assert np.median([high.draw(Float(0, 1), "x", u) for u in UNITS.tolist()]) > 0.99
    told = far_off(checked_prior({"x": Normal(7, 1)}, {"x": Float(0, 1)}), {"x": Float(0, 1)})
    assert told == ["Belief: x around 7 lies outside Float(0..1); its nearest end is believed in."]


def test_inactive_unknown_and_unmentioned_parameters():
    prior = Prior({"act": Weights({"a": 3, "b": 1}), "gone": Normal(0, 1)})
    domains = {"act": Categorical(["a", "b"]), "other": Float(0, 1)}
    at = np.array([[0.0, 0.5], [1.0, 0.1], [np.nan, 0.5], [-1.0, 0.5]])
    assert np.exp(prior.log_density(domains, at)) == pytest.approx([0.95 * 1.5 + 0.05, 0.95 * 0.5 + 0.05, 1.0, 0.05])


def test_numbers_are_believed_of_ordinals_too():
    prior, batch = Prior({"batch": LogNormal(64, 1.5)}), Ordinal([32, 64, 128, 256])
    drawn = [prior.draw(batch, "batch", u) for u in UNITS.tolist()]
    assert max(set(drawn), key=drawn.count) == 64


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Normal(0, 0), "Normal: sd=0 must be above 0"),
        (lambda: Normal(math.nan, 1), "Normal: mean=nan must be finite"),
        (lambda: LogNormal(-1, 3), "LogNormal: median=-1 must be above 0"),
        (lambda: LogNormal(1, 1), "LogNormal: factor=1 must be above 1"),
        (lambda: Weights({"a": -1}), "'a' has weight -1; it must be a number of at least 0"),
        (lambda: Weights({"a": 0}), "no weight above 0"),
        (lambda: checked_prior({"lrr": Normal(0, 1)}, NETWORK.domains), "'lrr' is not in the space. Did you mean 'lr'"),
        (lambda: checked_prior({"act": {"rellu": 1}}, NETWORK.domains), "'rellu' is not in Categorical"),
        (
            lambda: checked_prior({"act": Normal(0, 1)}, NETWORK.domains),
            "is for numbers, and .* has none; write {choice",
        ),
        (lambda: checked_prior({"lr": {"a": 1}}, NETWORK.domains), "has no choices; write Normal"),
    ],
)
def test_what_cannot_be_believed_is_refused(make, message: str):
    with pytest.raises(ValueError, match=message):
        make()


def test_what_is_no_belief_is_refused():
    with pytest.raises(TypeError, match=r"lr=0\.1 is no belief; write Normal, LogNormal"):
        checked_prior({"lr": 0.1}, {})  # type: ignore[dict-item]
    with pytest.raises(TypeError, match="must be the label of a choice"):
        checked_prior({"act": {max: 1}}, {})


# ------------------------------------------------------------------------------------------------------- the wrapper


@pytest.mark.parametrize("sampler", [Random(), Sobol(), TPE()], ids=str)
def test_without_beliefs_nothing_changes(sampler: Sampler):
    plain = driver_of(sampler, None)
    plain.run(15)
    for n, record in enumerate(plain.history):
        before = History.empty(plain.study, NETWORK)
        for delta in plain.deltas:
            if len(before) < n or before.n_finished < n:
                before = before.extend(delta)
        own = sampler.suggest(before, before.space, Stream(0, n), {})
        assert isinstance(own, Suggestion)
        assert record.params == own.params


@pytest.mark.parametrize(("sampler", "gain"), [(Random(), 0.3), (TPE(), 0.2)], ids=str)
def test_a_good_belief_speeds_up(sampler: Sampler, gain: float):
    plain, helped = (log_regrets(sampler, prior, 20) for prior in (None, GOOD))
    assert helped[9] < plain[9] - gain
    assert helped[19] < plain[19] - gain


@pytest.mark.parametrize(("sampler", "margin"), [(Random(), 0.03), (TPE(), 0.3)], ids=str)
def test_a_wrong_belief_costs_at_most_every_tenth_trial(sampler: Sampler, margin: float):
    """As good after 60 trials as after 54 without it; the margin is some two standard errors of the difference."""
    plain, hindered = (log_regrets(sampler, prior, 60) for prior in (None, WRONG))
    assert hindered[59] < plain[53] + margin


def test_a_wrong_belief_is_followed_less_and_less():
    counts = {}
    for name, prior in (("good", GOOD), ("wrong", WRONG)):
        driver = driver_of(Random(), prior)
        driver.run(60)
        counts[name] = sum(record.note.get("from") == "prior" for record in driver.history)
        found = prior_of(driver.history)
        assert found is not None
        assert trust(driver.history, found) == (1.0 if name == "good" else 0.0)
    assert counts["good"] >= 12
    assert counts["wrong"] <= 7


def test_parameters_that_are_asked_for_one_by_one_are_drawn_from_the_beliefs():
    def objective(ask) -> float:
        lr = ask("lr", Float(1e-6, 1, log=True))
        return float(lr if ask("opt", Categorical(["sgd", "adam"])) == "sgd" else ask("beta", Float(0, 1)))

    belief = {"lr": LogNormal(1e-3, 1.2), "opt": {"adam": 1}, "beta": Normal(0.9, 0.01)}
    first = []
    for seed in range(20):
        driver = driver_of(Random(), belief, objective, None, seed)
        driver.run(1)
        first.append(driver.params[0])
    assert sum(5e-4 < params["lr"] < 2e-3 for params in first) >= 16
    assert sum(params["opt"] == "adam" for params in first) >= 16
    assert sum(0.85 < params["beta"] < 0.95 for params in first if "beta" in params) >= 14


@pytest.mark.parametrize("sampler", [Random(), Sobol(), CMAES(), Grid(3)], ids=str)
def test_beliefs_respect_rules_conditions_and_what_was_tried(sampler: Sampler):
    space = Space(
        opt=Categorical(["sgd", "adam"]), momentum=Int(0, 9).when(opt="sgd"), beta=Int(0, 3).when(opt="adam")
    ).forbid(lambda p: p["momentum"] > 7)
    driver = driver_of(sampler, {"opt": {"sgd": 9, "adam": 1}, "momentum": Normal(7, 1)}, None, space)
    driver.run(14)
    seen = [tuple(params.items()) for params in driver.params]
    assert len(set(seen)) == len(seen)
    assert all(space.is_allowed(params) and space.active(params) == params for params in driver.params)
    if not isinstance(sampler, Grid):
        assert len(seen) == 12


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_any_history_is_survived(data: st.DataObject):
    space = data.draw(honed_st.spaces())
    past, now = data.draw(honed_st.delta_lists(space)), data.draw(honed_st.delta_lists(space))
    known = gathered(History.empty(StudyRecord(name="past"), space).extend(honed_st.merged(past)), "past")
    beliefs = {name: _as_json(data.draw(BELIEFS)) for name in space.domains if data.draw(st.booleans())}
    attributes = {"prior": beliefs, "sources": [known] if known else [], "defaults": {}}
    history = History.empty(StudyRecord(name="now", attributes=attributes), space).extend(honed_st.merged(now))
    for number in (len(history), len(history) + 7):
        answer = fit_for_use(Random()).suggest(history, history.space, Stream(3, number), {})
        assert answer == fit_for_use(Random()).suggest(history, history.space, Stream(3, number), {})
        if isinstance(answer, Suggestion):
            assert all(history.space[name].contains(value) for name, value in answer.params.items())
            json.dumps(dict(answer.note))
    assert (warm_start_text(history) is None) is (known is None)


def _as_json(belief: Belief) -> Any:
    return checked_prior({"x": belief}, {})["x"]


def test_it_does_not_matter_how_the_history_was_read():
    steady, torn = (driver_of(TPE(n_startup=5), GOOD, seed=3) for _ in range(2))
    for n in range(1, 26):
        steady.run(n)
        torn.restart()
        torn.run(n)
    assert steady.params == torn.params
