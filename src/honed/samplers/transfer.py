"""Past studies as the prior mean of a Gaussian process, and how much each of them counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import numpy as np
import numpy.typing as npt

from honed.algorithms.gp import Posterior
from honed.algorithms.transfer import informed, source_posterior
from honed.algorithms.warps import is_constant
from honed.encode import coordinate
from honed.history import History
from honed.samplers.base import Stream
from honed.samplers.coordinates import Coordinates, within
from honed.samplers.surrogate import LEAST_DATA, Model, data_of, memo, model_of
from honed.transfer import DEFAULTS, Source, default_value, sources_of

Floats = npt.NDArray[np.float64]

_MOST_TRIALS = 200  # own ones; then a study knows itself
_MOST_SOURCE_TRIALS = 100
_LEAST_SOURCE_TRIALS = 5


def with_past(history: History, model: Model) -> tuple[Model, dict[str, float]]:
    """The model that knows past studies, as far as they help, and the weight of each."""
    sources = [source for source in sources_of(history) if len(source.params) >= _LEAST_SOURCE_TRIALS]
    xs, y = model.xs[model.learned], model.y[model.learned]
    if not sources or len(y) > _MOST_TRIALS or is_constant(y):
        return model, {}
    keyed = [(_key(source, model.coordinates, history), source) for source in sources]
    posteriors = [memo.get(key, partial(_posterior, source, model.coordinates, history)) for key, source in keyed]
    key = ("informed", tuple(key for key, _ in keyed), xs.tobytes(), y.tobytes(), model.coordinates.layout)
    hyper, omega = memo.get(key, partial(informed, model.hyper, xs, y, posteriors))
    weights = {source.name: float(weight) for source, weight in zip(sources, omega, strict=True)}
    if not omega.any():
        return model, weights
    return replace(model, hyper=hyper, key=model.key + repr(key[1]).encode()), weights


def weights(history: History) -> Mapping[str, float]:
    """How much each past study counts in the model: its name -> a share of 1; what is missing to 1 is this study's own.

    Empty while there is no model, or no past study with at least five trials.
    """
    if not len(history.space) or len(history.study.directions) > 1:
        return {}
    data = data_of(history, Stream(history.study.seed, len(history)))
    if len(data.y) < LEAST_DATA or is_constant(data.y):
        return {}
    return with_past(history, model_of(history, data, history.space.domains, None))[1]


def _key(source: Source, coordinates: Coordinates, history: History) -> tuple[object, ...]:
    defaults = history.study.attributes.get(DEFAULTS) or {}
    domains = tuple((name, str(domain)) for name, domain in coordinates.domains.items())
    return ("source", source.name, source.losses.tobytes(), repr(source.params), repr(defaults), domains)


def _posterior(source: Source, coordinates: Coordinates, history: History) -> Posterior:
    """The source's process over this study's coordinates; a parameter that it lacks has its default everywhere."""
    n = len(source.params)
    kept = np.unique(np.linspace(0, n - 1, min(n, _MOST_SOURCE_TRIALS)).astype(np.int64)).tolist()
    names, defaults = source.names, history.study.attributes.get(DEFAULTS) or {}
    xs = np.full((len(kept), len(coordinates.domains)), np.nan)
    for j, (name, domain) in enumerate(coordinates.domains.items()):
        for i, row in enumerate(kept):
            params = source.params[row]
            if name in params:
                xs[i, j] = coordinate(domain, params[name])
            elif name not in names:
                xs[i, j] = coordinate(domain, default_value(domain, name, defaults))
    return source_posterior(coordinates.layout, within(xs, coordinates.layout), source.losses[kept])
