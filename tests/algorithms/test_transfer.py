"""Past studies as a prior mean: related ones count, unlike ones do not, and gradients are right."""

from __future__ import annotations

import numpy as np
import pytest

from honed.algorithms.ensemble import Ensemble, learn
from honed.algorithms.gp import Posterior, condition
from honed.algorithms.kernels import Layout
from honed.algorithms.transfer import informed, source_posterior, weights_of

LAYOUT = Layout((0, 0), (False, False))


def bowl(X: np.ndarray, at: float = 0.4) -> np.ndarray:
    return ((X - at) ** 2).sum(axis=1)


def source(sign: float = 1.0, n: int = 40, seed: int = 5) -> Posterior:
    X = np.random.default_rng(seed).random((n, 2))
    order = np.argsort(sign * bowl(X, 0.45))
    return source_posterior(LAYOUT, X[order], np.linspace(0.0, 1.0, n))


def own(n: int = 7) -> tuple[np.ndarray, np.ndarray]:
    X = np.random.default_rng(1).random((n, 2))
    return X, 100.0 * bowl(X) + 3.0


def test_a_source_is_low_where_its_trials_were_good() -> None:
    mean = source().predict(np.array([[0.45, 0.45], [0.0, 1.0]]))[0]
    assert mean[0] < -1.0 < 0.5 < mean[1]


def test_a_related_source_counts_and_an_unlike_one_does_not() -> None:
    X, y = own()
    hyper, omega = informed(learn(LAYOUT, X, y), X, y, [source(), source(-1.0)])
    assert omega[0] > 0.3
    assert omega[1] == 0.0
    assert all(member.mean is not None for member in hyper.members)


def test_an_unlike_source_alone_changes_nothing() -> None:
    X, y = own()
    hyper = learn(LAYOUT, X, y)
    same, omega = informed(hyper, X, y, [source(-1.0)])
    assert same is hyper
    assert not omega.any()


def test_weights_go_to_who_orders_the_pairs_best() -> None:
    z = np.arange(10.0)
    noise = np.random.default_rng(0).permutation(10).astype(float)
    assert weights_of(noise, np.stack([z, -z]), z).tolist() == [pytest.approx(1.0, abs=0.05), 0.0]
    assert not weights_of(z, np.stack([z, noise]), z).any()  # ties are the study's own


def test_scores_with_a_prior_mean_have_the_gradient_of_differences() -> None:
    X, y = own()
    hyper, omega = informed(learn(LAYOUT, X, y), X, y, [source()])
    assert omega.any()
    ensemble = Ensemble.conditioned(hyper, X, y, np.array([[0.2, 0.9]]), None)
    Y = np.array([[0.35, 0.5], [0.8, 0.15]])
    value, gradient = ensemble.log_ei_and_gradient(Y)
    np.testing.assert_allclose(value, ensemble.log_ei(Y, is_quick=True), rtol=1e-9)
    for j, e in enumerate(np.eye(2) * 1e-6):
        expected = (ensemble.log_ei(Y + e, is_quick=True) - ensemble.log_ei(Y - e, is_quick=True)) / 2e-6
        np.testing.assert_allclose(gradient[:, j], expected, rtol=1e-3, atol=1e-3)


def test_a_process_with_a_prior_mean_gives_the_same_however_its_data_came() -> None:
    X, y = own(9)
    hyper, _ = informed(learn(LAYOUT, X, y), X, y, [source()])
    member = hyper.members[0]
    z = (y - y.mean()) / y.std()
    whole = condition(hyper.kernel, member.thetas[0], X, z, mean=member.mean)
    grown = condition(hyper.kernel, member.thetas[0], X[:5], z[:5], mean=member.mean).append(X[5:], z[5:])
    Y = np.array([[0.3, 0.3], [0.7, 0.1]])
    np.testing.assert_allclose(whole.predict(Y), grown.predict(Y), atol=1e-7)
    np.testing.assert_allclose(whole.predict_joint(Y)[0], whole.means(Y))
