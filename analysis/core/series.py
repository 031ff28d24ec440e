"""What is drawn: at most a thousand points, each the mean of the rows that it stands for, so that no energy hides between them."""

from math import isnan

import numpy as np

from .states import PHASES

MAX_POINTS = 1_000


def thin(rows_at, actual, predicted, phase):
    """{timestamps, actual, predicted, phase} of at most MAX_POINTS: means of neighbouring rows, the phase of the middle one.

    `predicted` is None or an array (NaN where nothing was predicted).
    """
    n = len(rows_at)
    points = min(n, MAX_POINTS)
    edges = np.linspace(0, n, points + 1).astype(int)
    middle = (edges[:-1] + edges[1:]) // 2
    return {
        "timestamps": [
            f"{text}Z" for text in np.datetime_as_string(rows_at[middle].astype("datetime64[us]"), unit="ms")
        ],
        "actual": _means(actual, edges),
        "predicted": _means(predicted, edges) if predicted is not None else [None] * points,
        "phase": [PHASES[index] for index in phase[middle]],
    }


def _means(values, edges):
    if len(edges) < 2:
        return []
    known = ~np.isnan(values)
    starts = edges[:-1]
    total = np.add.reduceat(np.where(known, values, 0.0), starts)
    count = np.add.reduceat(known.astype(float), starts)
    means = np.round(total / np.where(count > 0, count, np.nan), 2).tolist()
    return [None if isnan(mean) else mean for mean in means]
