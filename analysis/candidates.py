"""What may become the power model: a baseline to beat and three kinds of estimators with the settings that are tried.

Each estimator is fitted on (features, watts) and has predict(features); unknown values are NaN. The baseline sees the
printer model and the state only.
"""

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .models import Kind, Scaler, estimate, scaled, xgboost

THREADS = 2

# Small enough to explain a range of a week in some ten milliseconds; more trees gained less than a tenth of a watt.
SETTINGS: dict[Kind, tuple[dict[str, Any], ...]] = {
    "linear": ({"alpha": 1.0}, {"alpha": 100.0}),
    "random_forest": ({"trees": 30, "leaf": 5}, {"trees": 30, "leaf": 20}),
    "xgboost": (
        {"trees": 120, "depth": 4, "eta": 0.15}, {"trees": 120, "depth": 6, "eta": 0.1},
        {"trees": 120, "depth": 7, "eta": 0.1},
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Fitted:
    """A fitted candidate: `estimator` is xgboost's Booster or scikit-learn's."""

    kind: Kind
    settings: Mapping[str, Any]
    estimator: Any
    scaler: Scaler | None

    def predict(self, values: NDArray[np.float32]) -> NDArray[np.float64]:
        """W for each row, never below zero; values have the shape (rows, features)."""
        return np.maximum(estimate(self.estimator, self.scaler, values), 0)

    def in_file(self) -> Any:
        """The estimator as a model file has it."""
        return bytes(self.estimator.save_raw("ubj")) if self.kind == "xgboost" else self.estimator


def fit(
    kind: Kind, settings: Mapping[str, Any], values: NDArray[np.floating], watts: NDArray[np.float64], seed: int
) -> Fitted:
    """A Fitted candidate, learnt from values of shape (rows, features) and the power of each row in W."""
    if kind == "xgboost":
        options = {
            "objective": "reg:squarederror",
            "tree_method": "hist",
            "max_depth": settings["depth"],
            "eta": settings["eta"],
            "min_child_weight": 10,
            "subsample": 0.8,
            "colsample_bytree": 0.8,
            "lambda": 1.0,
            "seed": seed,
            "nthread": THREADS,
            "verbosity": 0,
        }
        booster = xgboost().train(options, xgboost().DMatrix(values, watts), settings["trees"])
        return Fitted(kind, settings, booster, None)
    scaler = _scaler(values)
    known = scaled(scaler, values)
    if kind == "linear":
        from sklearn.linear_model import Ridge

        return Fitted(kind, settings, Ridge(alpha=settings["alpha"]).fit(known, watts), scaler)
    from sklearn.ensemble import RandomForestRegressor

    forest = RandomForestRegressor(
        settings["trees"],
        min_samples_leaf=settings["leaf"],
        max_features=0.5,
        max_samples=0.5,
        n_jobs=THREADS,
        random_state=seed,
    )
    return Fitted(kind, settings, reproducible(forest.fit(known, watts)), scaler)


def reproducible(forest: Any) -> Any:
    """The forest, changed so that the same data give the same file and predictions, to the last bit."""
    # Threads add the trees' predictions in any order, and a sum of floats depends on it.
    forest.n_jobs = 1
    for tree in forest.estimators_:
        # A node is a C struct; the bytes after its last field are whatever was in memory.
        nodes = tree.tree_.__getstate__()["nodes"]
        used = max(kind.itemsize + offset for kind, offset, *_ in nodes.dtype.fields.values())
        nodes.view(np.uint8).reshape(len(nodes), -1)[:, used:] = 0
    return forest


def _scaler(values: NDArray[np.floating]) -> Scaler:
    known = ~np.isnan(values)
    count = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, values, 0).sum(axis=0, dtype=float) / count
    scale = np.sqrt((np.where(known, values - mean, 0) ** 2).sum(axis=0, dtype=float) / count)
    return {"mean": mean, "scale": np.where(scale > 0, scale, 1.0)}


class MeanByState:
    """The baseline: the mean power of the same printer model in the same state.

    Where there are no such rows it is that of the state, then that of all.
    """

    def __init__(self, states: NDArray[Any], models: NDArray[Any], watts: NDArray[np.float64]) -> None:
        self._all = float(watts.mean())
        self._by_state = _means(states, watts)
        self._by_both = _means(zip(models, states), watts)

    def predict(self, states: Iterable[Any], models: Iterable[Any]) -> NDArray[np.float64]:
        """W for each row."""
        return np.array(
            [
                self._by_both.get((model, state), self._by_state.get(state, self._all))
                for model, state in zip(models, states)
            ]
        )


def _means(keys: Iterable[Hashable], watts: Iterable[float]) -> dict[Hashable, float]:
    sums: dict[Hashable, float] = {}
    counts: dict[Hashable, int] = {}
    for key, value in zip(keys, watts):
        sums[key] = sums.get(key, 0.0) + value
        counts[key] = counts.get(key, 0) + 1
    return {key: sums[key] / counts[key] for key in sums}
