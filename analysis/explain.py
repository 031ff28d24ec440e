"""What the model makes of a range: how well it predicts, which groups of features matter, and what drives the power."""

from dataclasses import dataclass
from typing import Protocol, TypedDict

import numpy as np
from numpy.typing import NDArray

from .features import Features, group_of
from .models import Model

# Evenly spread over the range; more rows would cost time and change the second digit at most.
PREDICTED_ROWS = 3_000
PERMUTED_ROWS = 400
EXPLAINED_ROWS = 16
SEED = 7
TOP_DRIVERS = 8


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Errors of n predictions in W; bias is predicted − actual, r2 None when the actual power is constant."""

    mae_w: float
    rmse_w: float
    r2: float | None
    bias_w: float
    n: int


class Importance(TypedDict):
    """A group of features in the answer and the card; `share` of all groups' importance."""

    feature: str
    importance_w: float
    share: float


class TopDriver(TypedDict):
    """A feature in the answer, by SHAP values."""

    feature: str
    group: str
    mean_contribution_w: float
    mean_absolute_contribution_w: float


class Predicts(Protocol):
    """Anything that predicts W for each row of Features."""

    def predict(self, features: Features, /) -> NDArray[np.float64]:
        """W, shape (rows,)."""
        ...


def spread(indices: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """At most `count` of the indices, evenly spread."""
    if len(indices) <= count:
        return indices
    return indices[np.linspace(0, len(indices) - 1, count).astype(int)]


def evaluation(actual: NDArray[np.float64], predicted: NDArray[np.float64]) -> Evaluation:
    """The Evaluation of at least one prediction."""
    error = predicted - actual
    # The mean of a constant may be off by a rounding error, and R² would be of that.
    total = np.sum((actual - actual.mean()) ** 2) if actual.min() < actual.max() else 0.0
    return Evaluation(
        mae_w=float(np.mean(np.abs(error))),
        rmse_w=float(np.sqrt(np.mean(error**2))),
        r2=float(1 - np.sum(error**2) / total) if total > 0 else None,
        bias_w=float(error.mean()),
        n=len(actual),
    )


def permutation_importance(model: Predicts, features: Features, actual: NDArray[np.float64]) -> list[Importance]:
    """By how many watts the mean absolute error grows when a group's values are shuffled; largest first.

    All features of a group are shuffled together, because they carry the same information in several ways (Breiman,
    Machine Learning 45 (2001) 5, by groups). Groups that are constant in these rows are left out.
    """
    dice = np.random.default_rng(SEED)
    groups = np.array([group_of(name) for name in features.names])
    varying = [group for group in dict.fromkeys(groups.tolist()) if not _constant(features.values[:, groups == group])]
    # All mixtures are predicted in one call, after the values as they are.
    mixtures = np.repeat(features.values[None], 1 + len(varying), axis=0)
    for mixed, group in zip(mixtures[1:], varying):
        mixed[:, groups == group] = mixed[dice.permutation(len(mixed))][:, groups == group]
    predicted = model.predict(Features(features.names, mixtures.reshape(-1, len(groups)))).reshape(len(mixtures), -1)
    before, *after = np.abs(predicted - actual).mean(axis=1)
    grown = [float(error - before) for error in after]
    whole = sum(max(watts, 0) for watts in grown)
    found: list[Importance] = [
        {"feature": group, "importance_w": watts, "share": max(watts, 0) / whole if whole > 0 else 0.0}
        for group, watts in zip(varying, grown)
    ]
    return sorted(found, key=lambda item: -item["importance_w"])


def _constant(values: NDArray[np.float32]) -> bool:
    first = values[:1]
    return bool(np.all((values == first) | (np.isnan(values) & np.isnan(first))))


def top_drivers(model: Model, features: Features) -> list[TopDriver]:
    """The TOP_DRIVERS features with the largest mean absolute SHAP values (Lundberg & Lee, 2017), largest first.

    Contributions are in W, relative to the mean of the training. [] when the kind of model has none.
    """
    if model.kind != "xgboost":
        return []
    shares = model.contributions(features)[:, :-1]
    mean, size = shares.mean(axis=0), np.abs(shares).mean(axis=0)
    order = np.argsort(-size)[:TOP_DRIVERS]
    return [
        {"feature": model.features[i], "group": group_of(model.features[i]),
         "mean_contribution_w": float(mean[i]), "mean_absolute_contribution_w": float(size[i])}
        for i in order if size[i] > 0
    ]  # fmt: skip
