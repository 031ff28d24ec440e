"""What the model makes of a range: how well it predicts, which groups of features matter, and what drives the power."""

import numpy as np

from .features import Features, group_of

# Evenly spread over the range; more rows would cost time and change the second digit at most.
PREDICTED_ROWS = 3_000
PERMUTED_ROWS = 400
EXPLAINED_ROWS = 16
SEED = 7


def spread(indices, count):
    """At most `count` of the indices, evenly spread."""
    if len(indices) <= count:
        return indices
    return indices[np.linspace(0, len(indices) - 1, count).astype(int)]


def evaluation(actual, predicted):
    """{mae_w, rmse_w, r2, bias_w, n} of predictions; bias is predicted − actual."""
    error = predicted - actual
    total = np.sum((actual - actual.mean()) ** 2)
    return {
        "mae_w": float(np.mean(np.abs(error))),
        "rmse_w": float(np.sqrt(np.mean(error**2))),
        "r2": float(1 - np.sum(error**2) / total) if total > 0 else None,
        "bias_w": float(error.mean()),
        "n": len(actual),
    }


def permutation_importance(model, features, actual):
    """[{"feature": group, "importance_w", "share"}]: by how many watts the mean error grows when a group's values are mixed up.

    All features of a group are mixed together, because they tell the same thing in several ways.
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
    found = [{"feature": group, "importance_w": float(error - before)} for group, error in zip(varying, after)]
    whole = sum(max(item["importance_w"], 0) for item in found)
    for item in found:
        item["share"] = max(item["importance_w"], 0) / whole if whole > 0 else 0.0
    return sorted(found, key=lambda item: -item["importance_w"])


def _constant(values):
    first = values[:1]
    return bool(np.all((values == first) | (np.isnan(values) & np.isnan(first))))


def top_drivers(model, features, count=8):
    """[{"feature", "group", "mean_contribution_w", "mean_absolute_contribution_w"}] by the model's own SHAP values; [] when the model has none."""
    if model.kind != "xgboost":
        return []
    shares = model.contributions(features)[:, :-1]
    mean, size = shares.mean(axis=0), np.abs(shares).mean(axis=0)
    order = np.argsort(-size)[:count]
    return [
        {"feature": model.features[i], "group": group_of(model.features[i]),
         "mean_contribution_w": float(mean[i]), "mean_absolute_contribution_w": float(size[i])}
        for i in order if size[i] > 0
    ]  # fmt: skip
