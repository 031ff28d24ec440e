"""What is drawn: at most a thousand points, each the mean of its rows, so that no energy hides between them."""

from math import isnan
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from .states import PHASES

MAX_POINTS = 1_000


class Series(TypedDict):
    """Equally long lists: ISO 8601 times in UTC, W (None: unknown), names of phases."""

    timestamps: list[str]
    actual: list[float | None]
    predicted: list[float | None]
    phase: list[str]


def thin(
    at: NDArray[np.int64],
    actual: NDArray[np.float64],
    predicted: NDArray[np.float64] | None,
    phase: NDArray[np.integer],
) -> Series:
    """The Series of at most MAX_POINTS points: means of neighbouring rows, with the time and phase of the middle one.

    at: µs since 1970, shape (n,), ascending. actual, predicted: W, shape (n,), NaN unknown; `predicted` is None when
    nothing was predicted. phase: indices into PHASES, shape (n,). Unknown rows don't count in a mean; a point without
    any known row is None.
    """
    n = len(at)
    points = min(n, MAX_POINTS)
    edges = np.linspace(0, n, points + 1).astype(int)
    middle = (edges[:-1] + edges[1:]) // 2
    return {
        "timestamps": [f"{text}Z" for text in np.datetime_as_string(at[middle].astype("datetime64[us]"), unit="ms")],
        "actual": _means(actual, edges),
        "predicted": _means(predicted, edges) if predicted is not None else [None] * points,
        "phase": [PHASES[index] for index in phase[middle]],
    }


def _means(values: NDArray[np.float64], edges: NDArray[np.int64]) -> list[float | None]:
    if len(edges) < 2:
        return []
    known = ~np.isnan(values)
    starts = edges[:-1]
    total = np.add.reduceat(np.where(known, values, 0.0), starts)
    count = np.add.reduceat(known.astype(float), starts)
    means = np.round(total / np.where(count > 0, count, np.nan), 2).tolist()
    return [None if isnan(mean) else mean for mean in means]
