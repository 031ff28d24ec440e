"""What may become the power model: a baseline to beat and three kinds of estimators with the settings that are tried.

Each estimator is fitted on (features, watts) and answers predict(features); unknown values are NaN. The baseline sees the printer
model and the state only.
"""

from dataclasses import dataclass

import numpy as np

from .models import predict_scaled, xgboost

THREADS = 2

# Small enough to explain a range of a week in some ten milliseconds; more trees gained less than a tenth of a watt.
SETTINGS = {
    "linear": ({"alpha": 1.0}, {"alpha": 100.0}),
    "random_forest": ({"trees": 30, "leaf": 5}, {"trees": 30, "leaf": 20}),
    "xgboost": (
        {"trees": 120, "depth": 4, "eta": 0.15}, {"trees": 120, "depth": 6, "eta": 0.1}, {"trees": 120, "depth": 7, "eta": 0.1},
    ),
}  # fmt: skip


@dataclass
class Fitted:
    """A fitted candidate: `estimator` and `scaler` as a model file keeps them."""

    kind: str
    settings: dict
    estimator: object
    scaler: dict | None

    def predict(self, values):
        """Watts per row."""
        if self.kind == "xgboost":
            return self.estimator.inplace_predict(values, validate_features=False).astype(float)
        return predict_scaled(self.estimator, self.scaler, values)


def fit(kind, settings, values, watts, seed):
    """A Fitted candidate."""
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
        return Fitted(
            kind, settings, xgboost().train(options, xgboost().DMatrix(values, watts), settings["trees"]), None
        )
    scaler = _scaler(values)
    known = (np.where(np.isnan(values), scaler["mean"], values) - scaler["mean"]) / scaler["scale"]
    if kind == "linear":
        from sklearn.linear_model import Ridge

        estimator = Ridge(alpha=settings["alpha"])
    else:
        from sklearn.ensemble import RandomForestRegressor

        estimator = RandomForestRegressor(
            settings["trees"],
            min_samples_leaf=settings["leaf"],
            max_features=0.5,
            max_samples=0.5,
            n_jobs=THREADS,
            random_state=seed,
        )
    return Fitted(kind, settings, estimator.fit(known, watts), scaler)


def _scaler(values):
    known = ~np.isnan(values)
    count = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, values, 0).sum(axis=0, dtype=float) / count
    scale = np.sqrt((np.where(known, values - mean, 0) ** 2).sum(axis=0, dtype=float) / count)
    return {"mean": mean, "scale": np.where(scale > 0, scale, 1.0)}


class MeanByState:
    """The baseline: the mean power of the same printer model in the same state; without such rows that of the state, then of all."""

    def __init__(self, states, models, watts):
        self._all = float(watts.mean())
        self._by_state = _means(states, watts)
        self._by_both = _means([*zip(models, states)], watts)

    def predict(self, states, models):
        """Watts per row."""
        return np.array(
            [
                self._by_both.get((model, state), self._by_state.get(state, self._all))
                for model, state in zip(models, states)
            ]
        )


def _means(keys, watts):
    sums, counts = {}, {}
    for key, value in zip(keys, watts):
        sums[key] = sums.get(key, 0.0) + value
        counts[key] = counts.get(key, 0) + 1
    return {key: sums[key] / counts[key] for key in sums}
