"""Expected improvement of the dominated volume, for two and three objectives: its log, exact, with gradients.

Noisy expected hypervolume improvement (NEHVI: Daulton, Balandat, Bakshy 2021, arXiv 2105.08195) in logs (Ament et al. 2023,
arXiv 2310.20708): the front is not known but drawn, jointly at all configurations tried and under way, so that a lucky
measurement freezes nothing. What no point of a front dominates, below the reference, is cut into boxes without overlap; the
lengths that a new point gains in them multiply.

Departure: given the losses at those configurations the losses at a new one are independent normals, so the expectation over
them is taken in closed form (as by Emmerich et al. 2011, doi 10.1109/CEC.2011.5949880) and only fronts are drawn; nothing is
smoothed, and few draws do. With psi(a) = E (a - f)_+ = sd h((a - mean) / sd), a box (l, u) gains psi(u) - psi(l) in each
objective. Boxes: a staircase for two objectives; for three the sweep of ``hypervolume`` with every step of its staircase
kept as one box for as long as it stands: at most 2 n + 1 of them (as by Lacour, Klamroth, Fonseca 2017).

    F  [n, m]       a front: losses, smaller is better      r  [m]  the reference
    low, high  [k, m]  the corners of boxes
    mean  [c, s, m], variance  [c, m]    of c new points, given the losses that the fronts are of
    B  [b, d]       configurations tried or under way       eps  [b, s]  standard normals
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from honed.algorithms.acquisition import log_h
from honed.algorithms.gp import Posterior, condition
from honed.algorithms.hypervolume import front_of

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_NUGGET = 1e-5  # of draws, whose values have no noise; larger than rounding, far below any noise that matters
_NOWHERE = -1e9  # standard deviations below the mean: a box without lower end
_LEAST_REST = 1e-15  # boxes thinner than rounding

# ------------------------------------------------------------------------------------------------------------- boxes


def boxes(F: Floats, r: Floats) -> tuple[Floats, Floats]:
    """Lower and upper corners [k, m] of boxes that fill what F does not dominate below r; -inf where there is no end.

    Raises:
        ValueError: other than two or three objectives.
    """
    if len(r) not in (2, 3):
        raise ValueError(f"ehvi: {len(r)} objectives; boxes are cut for 2 and 3")
    F = front_of(F[(r > F).all(axis=1)])
    return _strips(F, r) if len(r) == 2 else _slabs(F, r)


def _strips(F: Floats, r: Floats) -> tuple[Floats, Floats]:
    n = len(F)  # sorted by the first objective, so that the second descends
    low, high = np.full((n + 1, 2), -np.inf), np.empty((n + 1, 2))
    low[1:, 0] = F[:, 0]
    high[:, 0] = np.append(F[:, 0], r[0])
    high[:, 1] = np.append(r[1], F[:, 1])
    return low, high


def _slabs(F: Floats, r: Floats) -> tuple[Floats, Floats]:
    """The strips of the staircase of the first two objectives, each from the third at which it came to where it ends."""
    F = F[np.lexsort((F[:, 1], F[:, 0], F[:, 2]))]
    xs, ys, begun = [-np.inf], [float(r[1])], [-np.inf]  # of each strip: where it begins, its height, since when
    found: list[tuple[float, ...]] = []

    def end(i: int, z: float) -> None:
        right = xs[i + 1] if i + 1 < len(xs) else float(r[0])
        if z > begun[i] and right > xs[i]:
            found.append((xs[i], -np.inf, begun[i], right, ys[i], z))

    for x, y, z in F.tolist():
        first = bisect_right(xs, x) - 1
        last = first
        while last + 1 < len(xs) and ys[last + 1] > y:
            last += 1
        if ys[first] <= y:
            continue  # the strip is as low already: an equal height at another third
        for i in range(first, last + 1):
            end(i, z)
        is_left = xs[first] < x
        kept = ([xs[first]], [ys[first]], [z]) if is_left else ([], [], [])
        xs[first : last + 1] = [*kept[0], x]
        ys[first : last + 1] = [*kept[1], y]
        begun[first : last + 1] = [*kept[2], z]
    for i in range(len(xs)):
        end(i, float(r[2]))
    corners = np.array(found).reshape(-1, 6)
    return corners[:, :3], corners[:, 3:]


@dataclass(frozen=True, slots=True, eq=False)
class Fronts:
    """The boxes below several fronts. What is expected depends on their ends, which many of them share.

    Attributes:
        ends: for each objective [s, e] where boxes end; the first of them is -inf.
        low, high: for each objective [s, k] the place of each box's ends; the same where a front has fewer boxes.
    """

    ends: tuple[Floats, ...]
    low: tuple[Ints, ...]
    high: tuple[Ints, ...]

    def __len__(self) -> int:
        return len(self.ends[0])

    @staticmethod
    def of(fronts: Sequence[Floats], r: Floats) -> Fronts:
        """For fronts [n, m] of any lengths; dominated points among them do no harm."""
        cut = [boxes(F, r) for F in fronts]
        k, columns = max(len(low) for low, _ in cut), []
        for j in range(len(r)):
            found = [np.unique(np.concatenate([low[:, j], high[:, j]])) for low, high in cut]
            ends = np.zeros((len(cut), 1 + max(map(len, found))))
            places = np.zeros((2, len(cut), k), dtype=np.int64)
            ends[:, 0] = -np.inf
            for i, ((low, high), edges) in enumerate(zip(cut, found, strict=True)):
                edges = edges[np.isfinite(edges)]
                ends[i, 1 : 1 + len(edges)] = edges
                places[0, i, : len(low)] = np.where(np.isfinite(low[:, j]), 1 + np.searchsorted(edges, low[:, j]), 0)
                places[1, i, : len(high)] = 1 + np.searchsorted(edges, high[:, j])
            columns.append((ends, places[0], places[1]))
        ends_of, low_of, high_of = zip(*columns, strict=True)
        return Fronts(ends_of, low_of, high_of)


# -------------------------------------------------------------------------------------------------------- the integral


def log_ehvi(mean: Floats, variance: Floats, fronts: Fronts) -> Floats:
    """The log of the mean over fronts of the expected gain [c]."""
    parts = (_log_lengths(mean[:, :, j], variance[:, j], fronts, j)[0] for j in range(mean.shape[2]))
    value: Floats = _log_sum(_total(parts))[0] - np.log(len(fronts))
    return value


def log_ehvi_slopes(mean: Floats, variance: Floats, fronts: Fronts) -> tuple[Floats, Floats, Floats]:
    """As ``log_ehvi``, and its derivatives by mean [c, s, m] and by variance [c, m]."""
    parts = [_log_lengths(mean[:, :, j], variance[:, j], fronts, j) for j in range(mean.shape[2])]
    value, shares = _log_sum(_total(part[0] for part in parts))
    by_mean = np.stack([np.einsum("csk,csk->cs", shares, part[1]) for part in parts], axis=2)
    by_variance = np.stack([np.einsum("csk,csk->c", shares, part[2]) for part in parts], axis=1)
    return value - np.log(len(fronts)), by_mean, by_variance


def _total(parts: Iterable[Floats]) -> Floats:
    first, *others = parts
    for part in others:
        first = first + part
    return first


def _log_lengths(mean: Floats, variance: Floats, fronts: Fronts, j: int) -> tuple[Floats, Floats, Floats]:
    """Logs of what is gained within the boxes in objective j [c, s, k], and derivatives by mean and by variance."""
    ends, low, high = fronts.ends[j], fronts.low[j], fronts.high[j]
    sd, rows = np.sqrt(variance)[:, None, None], np.arange(len(fronts))[:, None]
    log_psi, Phi, phi = log_h(np.maximum((ends - mean[..., None]) / sd, _NOWHERE))
    log_psi += np.log(sd)
    value, Phi_high, phi_high = log_psi[:, rows, high], Phi[:, rows, high], phi[:, rows, high]
    if low.any():
        share = np.exp(log_psi[:, rows, low] - value)  # psi(l) / psi(u)
        rest = np.maximum(1.0 - share, _LEAST_REST)
        value += np.log(rest)
        Phi_high = (Phi_high - share * Phi[:, rows, low]) / rest
        phi_high = (phi_high - share * phi[:, rows, low]) / rest
    value[:, high == low] = -np.inf
    return value, -Phi_high / sd, phi_high / (2.0 * sd * sd)


def _log_sum(values: Floats) -> tuple[Floats, Floats]:
    """The log of the sum of exponentials over the last two axes [c], and the share of each [c, s, k]."""
    top = values.max(axis=(1, 2), keepdims=True)
    powers = np.exp(values - top)
    total = powers.sum(axis=(1, 2))
    return top[:, 0, 0] + np.log(total), powers / total[:, None, None]


# ------------------------------------------------------------------------------------------------------ drawn functions


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """Functions that a process might be, known at B, and what is then to be expected elsewhere.

    Attributes:
        values: [b, s] the functions at B.
        quiet: a process without noise that has seen them: its alpha is [b, s].
    """

    values: Floats
    quiet: Posterior

    @staticmethod
    def at(posterior: Posterior, B: Floats, eps: Floats) -> Drawn:
        """Draws from the joint posterior at B."""
        mean, covariance = posterior.predict_joint(B)
        spread, vectors = np.linalg.eigh(covariance)
        values = mean[:, None] + (vectors * np.sqrt(np.maximum(spread, 0.0))) @ (vectors.T @ eps)
        theta = np.append(posterior.theta[:-1], np.log(_NUGGET))
        return Drawn(values, condition(posterior.covariance, theta, B, values))

    def predict(self, X: Floats) -> tuple[Floats, Floats]:
        """Means [c, s] and the variance [c], which they share."""
        return self.quiet.predict(X)


def normals(b: int, s: int, draw: np.random.Generator) -> Floats:
    """Standard normals [b, s] in opposite pairs: with few of them, their mean is right."""
    half = draw.standard_normal((b, -(-s // 2)))
    return np.concatenate([half, -half], axis=1)[:, :s]
