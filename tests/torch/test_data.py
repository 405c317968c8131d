from __future__ import annotations

import numpy as np
import pytest
import torch

from honed.torch import Batches, Standardizer, split


def arrays(n=100, n_classes=4, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(3.0, 2.0, (n, 5)), rng.permutation(np.arange(n) % n_classes)


def test_parts_share_no_example_and_leave_none_out():
    parts = split(*arrays())
    rows = [part.index.tolist() for part in (parts.train, parts.validation, parts.test)]
    assert sorted(row for part in rows for row in part) == list(range(100))
    assert [len(row) for row in rows] == [60, 20, 20]


def test_standardisation_knows_the_training_part_only():
    x, y = arrays()
    parts = split(x, y)
    held_out = np.concatenate([parts.validation.index.numpy(), parts.test.index.numpy()])
    spoilt = x.copy()
    spoilt[held_out] *= 1000
    again = split(spoilt, y)
    torch.testing.assert_close(again.train.x, parts.train.x)
    torch.testing.assert_close(parts.train.x.mean(0), torch.zeros(5), atol=1e-5, rtol=0)
    torch.testing.assert_close(parts.train.x.std(0, unbiased=False), torch.ones(5))
    assert parts.validation.x.mean().abs() > 1e-3


def test_examples_keep_their_targets():
    x = np.arange(40.0)[:, None] * [1.0, 2.0]
    parts = split(x, np.arange(40.0))
    for part in (parts.train, parts.validation, parts.test):
        assert part.y.tolist() == part.index.tolist()
        raw = part.x * parts.standardizer.scale + parts.standardizer.mean
        torch.testing.assert_close(raw[:, 0], part.y)


def test_classes_keep_their_shares():
    x, y = arrays(n=200)
    parts = split(x, y, validation=0.3, test=0.2)
    assert torch.bincount(parts.train.y).tolist() == [25] * 4
    assert torch.bincount(parts.validation.y).tolist() == [15] * 4
    assert parts.train.y.dtype == torch.int64
    assert parts.train.x.dtype == torch.float32


def test_the_seed_fixes_the_split():
    one, same, other = (split(*arrays(), seed=seed) for seed in (1, 1, 2))
    assert one.train.index.tolist() == same.train.index.tolist()
    assert one.train.index.tolist() != other.train.index.tolist()


def test_constant_features_become_zero():
    assert Standardizer.fit(torch.full((4, 2), 7.0))(torch.full((4, 2), 7.0)).abs().max() == 0


def test_parts_add_up():
    parts = split(*arrays())
    both = parts.train + parts.validation
    assert len(both) == 80
    assert both.index.tolist() == parts.train.index.tolist() + parts.validation.index.tolist()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"validation": 0.0}, "must be above 0"),
        ({"validation": 0.5, "test": 0.5}, "leave something to train on"),
    ],
)
def test_wrong_shares_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        split(*arrays(), **settings)


def test_too_little_data_is_refused():
    with pytest.raises(ValueError, match="too few for three parts"):
        split(np.zeros((2, 1)), np.zeros(2))
    with pytest.raises(ValueError, match="x has 3 examples and y has 2"):
        split(np.zeros((3, 1)), np.zeros(2))


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("batch_size", [1, 7, 8, 33, 100])
def test_batches_bring_every_example_once(batch_size, shuffle):
    x = torch.arange(33)
    batches = Batches(x, -x, batch_size, shuffle=shuffle)
    for _ in range(2):
        seen = list(batches)
        sizes = [len(part) for part, _ in seen]
        assert len(sizes) == len(batches) == -(-33 // batch_size)
        assert max(sizes) <= batch_size
        assert max(sizes) - min(sizes) <= 1
        assert all(torch.equal(part, -targets) for part, targets in seen)
        assert sorted(torch.cat([part for part, _ in seen]).tolist()) == list(range(33))


def order(batches):
    return torch.cat([part for part, _ in batches]).tolist()


def test_batches_are_shuffled_anew_each_epoch_and_reproducibly():
    x = torch.arange(20)
    one, same, other = (Batches(x, x, 5, seed=seed, shuffle=True) for seed in (0, 0, 1))
    first, second = order(one), order(one)
    assert first != second
    assert [order(same), order(same)] == [first, second]
    assert order(other) != first


def test_batches_go_on_where_a_checkpoint_left_them():
    x = torch.arange(20)
    one, resumed = (Batches(x, x, 5, shuffle=True) for _ in range(2))
    order(one)
    resumed.load_state_dict(one.state_dict())
    assert order(resumed) == order(one)


@pytest.mark.parametrize(
    ("x", "y", "batch_size", "message"),
    [
        (torch.zeros(3), torch.zeros(2), 1, "x has 3 examples and y has 2"),
        (torch.zeros(0), torch.zeros(0), 1, "no example"),
        (torch.zeros(3), torch.zeros(3), 0, "batch_size=0 must be at least 1"),
    ],
)
def test_wrong_batches_are_refused(x, y, batch_size, message):
    with pytest.raises(ValueError, match=message):
        Batches(x, y, batch_size)
