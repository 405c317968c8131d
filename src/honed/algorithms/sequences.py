"""Low-discrepancy sequences: points that fill the unit cube more evenly than random ones.

Sobol' points (Bratley, Fox 1988, doi 10.1145/42288.214271, with the direction numbers of Joe, Kuo 2008, doi
10.1137/070709359) and Halton points (Halton 1960). Each is scrambled dimension by dimension: nested uniform (Owen)
scrambling by hashing for Sobol' (Burley 2020, JCGT 9(4)), random permutations of digits for Halton. So a coordinate depends on
its seed, its dimension and the index only: more dimensions leave the earlier ones as they are.

Departure: the first 64 dimensions stand here, the others come from SciPy, whose import takes more than a second.

    n   points        d   dimensions        first   index of the first point
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Words = npt.NDArray[np.uint32]

MOST_SOBOL_DIMENSIONS = 21_201

_BITS = 32
_TO_UNIT = 2.0**-_BITS
_OWN_DIMENSIONS = 64

# For dimensions 1, 2, ...: the primitive polynomial as a binary number, then m_1, m_2, ... (Joe, Kuo 2008, set 6).
_JOE_KUO = """
3 1, 7 1 3, 11 1 3 1, 13 1 1 1, 19 1 1 3 3, 25 1 3 5 13, 37 1 1 5 5 17, 41 1 1 5 5 5, 47 1 1 7 11 19, 55 1 1
5 1 1, 59 1 1 1 3 11, 61 1 3 5 5 31, 67 1 3 3 9 7 49, 91 1 1 1 15 21 21, 97 1 3 1 13 27 49, 103 1 1 1 15 7
5, 109 1 3 1 15 13 25, 115 1 1 5 5 19 61, 131 1 3 7 11 23 15 103, 137 1 3 7 13 13 15 69, 143 1 1 3 13 7 35
63, 145 1 3 5 9 1 25 53, 157 1 3 1 13 9 35 107, 167 1 3 1 5 27 61 31, 171 1 1 5 11 19 41 61, 185 1 3 5 3 3
13 69, 191 1 1 7 13 1 19 1, 193 1 3 7 5 13 19 59, 203 1 1 3 9 25 29 41, 211 1 3 5 13 23 1 55, 213 1 3 7 3 13
59 17, 229 1 3 1 3 5 53 69, 239 1 1 5 5 23 33 13, 241 1 1 7 7 1 61 123, 247 1 1 7 9 13 61 49, 253 1 3 3 5 3
55 33, 285 1 3 1 15 31 13 49 245, 299 1 3 5 15 31 59 63 97, 301 1 3 1 11 11 11 77 249, 333 1 3 1 11 27 43 71
9, 351 1 1 7 15 21 11 81 45, 355 1 3 7 3 25 31 65 79, 357 1 3 1 1 19 11 3 205, 361 1 1 5 9 19 21 29 157, 369
1 3 7 11 1 33 89 185, 391 1 3 3 3 15 9 79 71, 397 1 3 7 11 15 39 119 27, 425 1 1 3 1 11 31 97 225, 451 1 1 1
3 23 43 57 177, 463 1 3 7 7 17 17 37 71, 487 1 3 1 5 27 63 123 213, 501 1 1 3 5 11 43 53 133, 529 1 3 5 5 29
17 47 173 479, 539 1 3 3 11 3 1 109 9 69, 545 1 1 1 5 17 39 23 5 343, 557 1 3 1 5 25 15 31 103 499, 563 1 1
1 11 11 17 63 105 183, 601 1 1 5 11 9 29 97 231 363, 607 1 1 5 15 19 45 41 7 383, 617 1 3 7 7 31 19 83 137
221, 623 1 1 1 3 23 15 111 223 83, 631 1 1 5 13 31 15 55 25 161, 637 1 1 3 13 25 47 39 87 257
"""


def sobol(first: int, n: int, d: int, seeds: Sequence[int] | None = None) -> Floats:
    """Sobol' points [n, d] in (0, 1), by Gray code order.

    Args:
        seeds: one 32-bit number for each dimension scrambles it; None gives the plain sequence.

    Raises:
        ValueError: more dimensions than direction numbers are known.
    """
    words = _plain_sobol(first, n, d)
    if seeds is not None:
        words = _owen_scrambled(words, np.asarray(seeds, dtype=np.uint32))
    return ((words + 0.5) * _TO_UNIT).astype(np.float64, copy=False)


def halton(first: int, n: int, d: int, seeds: Sequence[int] | None = None) -> Floats:
    """Halton points [n, d] in [0, 1): dimension j is the radical inverse in the j-th prime.

    Args:
        seeds: one number for each dimension permutes its digits; None gives the plain sequence.
    """
    index = np.arange(first, first + n, dtype=np.int64)
    points = np.empty((n, d))
    for j, base in enumerate(primes(d)):
        points[:, j] = _radical_inverse(index, base, None if seeds is None else seeds[j])
    return points


@lru_cache(maxsize=64)
def primes(n: int) -> tuple[int, ...]:
    """The first ``n`` primes."""
    found: list[int] = []
    candidate = 2
    while len(found) < n:
        if all(candidate % prime for prime in found if prime * prime <= candidate):
            found.append(candidate)
        candidate += 1
    return tuple(found)


def _plain_sobol(first: int, n: int, d: int) -> Words:
    if d > MOST_SOBOL_DIMENSIONS:
        raise ValueError(f"Sobol' sequences have at most {MOST_SOBOL_DIMENSIONS:,} dimensions, not {d:,}; use Random")
    if d > _OWN_DIMENSIONS:
        from scipy.stats import qmc

        engine = qmc.Sobol(d, scramble=False, bits=_BITS)
        if first:
            engine.fast_forward(first)
        drawn: Words = np.round(engine.random(n) / _TO_UNIT).astype(np.uint32)
        return drawn
    directions = _directions()[:, :d]
    index = np.arange(first, first + n, dtype=np.uint32)
    gray = index ^ (index >> np.uint32(1))
    words = np.zeros((n, d), dtype=np.uint32)
    for bit in range(int(gray.max(initial=0)).bit_length()):
        words[(gray >> np.uint32(bit)) & np.uint32(1) == 1] ^= directions[bit]
    return words


@lru_cache(maxsize=1)
def _directions() -> Words:
    """Direction numbers [bits, d]: V_k = 2^(32-k) m_k, with the recurrence of Bratley, Fox 1988, eq. 3."""
    table = np.zeros((_BITS, _OWN_DIMENSIONS), dtype=np.uint32)
    table[:, 0] = [1 << (_BITS - 1 - k) for k in range(_BITS)]
    for j, line in enumerate(_JOE_KUO.replace("\n", " ").split(","), start=1):
        polynomial, *m = map(int, line.split())
        s = len(m)
        for k in range(s, _BITS):
            new = m[k - s] ^ (m[k - s] << s)
            for i in range(1, s):
                if polynomial >> (s - i) & 1:
                    new ^= m[k - i] << i
            m.append(new)
        table[:, j] = [number << (_BITS - 1 - k) for k, number in enumerate(m)]
    return table


def _owen_scrambled(words: Words, seeds: Words) -> Words:
    """Each bit flipped by a hash of the bits above it (Burley 2020, listing 3, constants of Laine and Karras)."""
    x = _reversed_bits(words)
    x = x + seeds
    for constant in (0x6C50B47C, 0xB82F1E52, 0xC7AFE638, 0x8D22F6E6):
        x ^= x * np.uint32(constant)
    return _reversed_bits(x)


def _reversed_bits(x: Words) -> Words:
    for shift, mask in ((1, 0x55555555), (2, 0x33333333), (4, 0x0F0F0F0F), (8, 0x00FF00FF)):
        x = (x >> np.uint32(shift)) & np.uint32(mask) | (x & np.uint32(mask)) << np.uint32(shift)
    return x >> np.uint32(16) | x << np.uint32(16)


def _radical_inverse(index: npt.NDArray[np.int64], base: int, seed: int | None) -> Floats:
    n_digits = int(np.ceil(53 / np.log2(base)))
    if seed is None:
        permutations = np.tile(np.arange(base), (n_digits, 1))
    else:
        permutations = np.random.default_rng(seed).permuted(np.tile(np.arange(base), (n_digits, 1)), axis=1)
    value, scale, rest = np.zeros(len(index)), 1.0, index
    for permutation in permutations:
        scale /= base
        value += permutation[rest % base] * scale
        rest = rest // base
    return np.minimum(value, np.nextafter(1.0, 0.0))
