"""Sobol' and Halton points against SciPy, and the evenness that scrambling must keep."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from scipy.stats import qmc

from honed.algorithms.sequences import MOST_SOBOL_DIMENSIONS, halton, primes, sobol

SEEDS = [int(x) for x in np.random.default_rng(0).integers(2**32, size=70)]
HALF_STEP = 0.5 * 2.0**-32


@pytest.mark.parametrize("d", [1, 2, 17, 64, 65, 70])
def test_sobol_points_are_scipys(d: int):
    theirs = qmc.Sobol(d, scramble=False, bits=32).random(256)
    assert np.array_equal(sobol(0, 256, d) - HALF_STEP, theirs)
    assert np.array_equal(sobol(64, 64, d) - HALF_STEP, theirs[64:128])


def test_halton_points_are_scipys():
    theirs = qmc.Halton(20, scramble=False).random(300)
    assert halton(0, 300, 20) == pytest.approx(theirs, abs=1e-14)
    assert halton(100, 50, 20) == pytest.approx(theirs[100:150], abs=1e-14)


def test_primes():
    assert primes(10) == (2, 3, 5, 7, 11, 13, 17, 19, 23, 29)


@pytest.mark.parametrize("make", [sobol, halton])
def test_more_dimensions_and_blocks_leave_a_coordinate_as_it_is(make):
    whole = make(0, 128, 12, SEEDS[:12])
    assert np.array_equal(make(0, 128, 5, SEEDS[:5]), whole[:, :5])
    assert np.array_equal(make(64, 64, 12, SEEDS[:12]), whole[64:])
    assert ((whole >= 0) & (whole < 1)).all()


def test_scrambled_sobol_points_stay_a_net():
    """Every elementary interval of volume 1/64 holds one of 64 points, in each pair of the first two dimensions."""
    points = sobol(0, 64, 2, SEEDS[:2])
    for k in range(7):
        boxes = {(int(x * 2**k), int(y * 2 ** (6 - k))) for x, y in points}
        assert len(boxes) == 64


def test_scrambled_halton_points_are_even_in_each_dimension():
    points = halton(0, 3 * 5 * 7 * 11, 5, SEEDS[:5])
    for j, base in enumerate(primes(5)[1:], start=1):
        counts = np.bincount((points[:, j] * base).astype(int), minlength=base)
        assert counts.max() == counts.min()


@pytest.mark.parametrize("make", [sobol, halton])
@pytest.mark.parametrize("n", [16, 64, 100])
def test_discrepancy_is_below_random(make, n: int):
    ours = np.mean([qmc.discrepancy(make(0, n, 5, SEEDS[5 * i : 5 * i + 5])) for i in range(5)])
    rng = np.random.default_rng(1)
    theirs = np.mean([qmc.discrepancy(rng.random((n, 5))) for _ in range(20)])
    assert ours < 0.6 * theirs


def test_seeds_make_different_points():
    assert not np.isclose(sobol(0, 8, 2, [1, 2]), sobol(0, 8, 2, [3, 4])).any()
    assert not np.isclose(halton(0, 8, 2, [1, 2]), halton(0, 8, 2, [3, 4])).all()


def test_too_many_dimensions_are_refused():
    with pytest.raises(ValueError, match="Sobol' sequences have at most 21,201 dimensions, not 21,202; use Random"):
        sobol(0, 1, MOST_SOBOL_DIMENSIONS + 1)


def test_usual_dimensions_do_not_need_scipy():
    code = "import sys; from honed.algorithms.sequences import sobol; sobol(0, 64, 64); print('scipy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout == b"False\n"
