"""Correlation and least squares, honest about what repeated readings can prove.

Readings ten seconds apart say nearly the same, so the usual formulas promise far too much: standard errors are Newey–West
(heteroskedasticity and autocorrelation consistent), and correlations carry an effective number of observations beside n.
"""

import numpy as np

# A column of which the columns before it explain all but this share says nothing new.
COLLINEAR = 1e-9
MIN_ROWS = 10


def p_value(t, freedom):
    """Two-sided p of a t statistic."""
    from scipy.special import stdtr

    return 2 * stdtr(np.asarray(freedom, float), -np.abs(t))


def ranks(values):
    """Ranks from 1, equal values share their mean rank."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    first = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    counts = np.diff(np.append(first, len(values)))
    result = np.empty(len(values))
    result[order] = np.repeat(first + (counts + 1) / 2, counts)
    return result


def _pearson(x, y):
    x, y = x - x.mean(), y - y.mean()
    spread = np.sqrt((x @ x) * (y @ y))
    return float(np.clip(x @ y / spread, -1, 1)) if spread > 0 else None


def _lag_one(values):
    centred = values - values.mean()
    spread = centred @ centred
    return float(centred[1:] @ centred[:-1] / spread) if spread > 0 else 0.0


def _p_of_r(r, n):
    if abs(r) >= 1 or n <= 2:
        return 0.0 if abs(r) >= 1 else None
    return float(p_value(r * np.sqrt((n - 2) / (1 - r * r)), n - 2))


class Correlation:
    """Correlations of one column with others; what concerns that column alone is reckoned once."""

    def __init__(self, y):
        self._known = ~np.isnan(y)
        self._y = y[self._known]
        self._ranks = self._lag = None

    def of(self, x):
        """Pearson and Spearman with n and p; None where a column is constant or fewer than three pairs are known.

        `n_effective` = n (1 − r₁ˣ r₁ʸ) / (1 + r₁ˣ r₁ʸ) with the lag-one autocorrelations r₁; `p_effective` is Pearson's p with it.
        """
        x = x[self._known]
        y, known = self._y, ~np.isnan(x)
        whole = bool(known.all())
        if not whole:
            x, y = x[known], y[known]
        n = len(x)
        if n < 3 or (r := _pearson(x, y)) is None:
            return {
                "pearson": None,
                "pearson_p": None,
                "spearman": None,
                "spearman_p": None,
                "n": n,
                "n_effective": None,
                "p_effective": None,
            }
        if whole and self._ranks is None:
            self._ranks, self._lag = ranks(y), _lag_one(y)
        y_ranks, y_lag = (self._ranks, self._lag) if whole else (ranks(y), _lag_one(y))
        rho = _pearson(ranks(x), y_ranks)
        both = max(0.0, _lag_one(x) * y_lag)
        effective = max(2.0, min(n, n * (1 - both) / (1 + both)))
        return {
            "pearson": r, "pearson_p": _p_of_r(r, n), "spearman": rho, "spearman_p": _p_of_r(rho, n),
            "n": n, "n_effective": effective, "p_effective": _p_of_r(r, effective),
        }  # fmt: skip


def newey_west_lag(n, seconds_per_row):
    """Lags that the errors may be correlated over: ten minutes of rows, at least Newey and West's rule, at most a quarter of them."""
    rule = int(4 * (n / 100) ** (2 / 9))
    minutes = int(600 / seconds_per_row) if seconds_per_row > 0 else 0
    return max(0, min(max(rule, minutes), n // 4))


def ols(y, columns, lags):
    """Least squares of y on {name: column} with an intercept.

    Returns {"drivers", "coefficients", "standard_errors", "p_values", "vif", "intercept", "intercept_standard_error", "r_squared",
    "adjusted_r_squared", "n_samples", "hac_lags", "residual_std", "dropped": {name: reason}}; all rows must be known.
    Constant columns, and those that the columns before them explain, are dropped and named. Errors are Newey–West with a
    Bartlett kernel over `lags` rows and the small-sample factor n ÷ (n − k).
    """
    n = len(y)
    kept, scaled, dropped = [], [], {}
    basis = []
    for name, column in columns.items():
        centred = column - column.mean()
        size = np.sqrt(centred @ centred)
        if size <= 1e-12 * max(1.0, np.abs(column).max(initial=0)) * np.sqrt(max(n, 1)):
            dropped[name] = "constant"
            continue
        unit = centred / size
        rest = unit.copy()
        for direction in basis:
            rest -= direction * (direction @ rest)
        left = np.sqrt(rest @ rest)
        if left * left < COLLINEAR:
            dropped[name] = "collinear with " + ", ".join(kept)
            continue
        basis.append(rest / left)
        kept.append(name)
        scaled.append((unit, size, column.mean()))
    answer = {"drivers": kept, "dropped": dropped, "n_samples": n, "hac_lags": lags}
    freedom = n - len(kept) - 1
    if not kept or n < MIN_ROWS or freedom < 1:
        return {
            **answer,
            "coefficients": {},
            "standard_errors": {},
            "p_values": {},
            "vif": {},
            "intercept": None,
            "intercept_standard_error": None,
            "r_squared": None,
            "adjusted_r_squared": None,
            "residual_std": None,
        }
    units = np.column_stack([unit for unit, _, _ in scaled])
    sizes = np.array([size for _, size, _ in scaled])
    means = np.array([mean for _, _, mean in scaled])
    # Centred and of unit length, the columns are as well-conditioned as they can be; the Q of their QR does the rest.
    q, r = np.linalg.qr(units)
    y_mean = y.mean()
    centred_y = y - y_mean
    unit_coefficients = np.linalg.solve(r, q.T @ centred_y)
    residuals = centred_y - units @ unit_coefficients
    coefficients = unit_coefficients / sizes
    r_inverse = np.linalg.inv(r)
    total, unexplained = centred_y @ centred_y, residuals @ residuals
    # In the orthonormal basis (1/√n, Q) the bread of the sandwich is the identity.
    scores = np.column_stack([np.full(n, 1 / np.sqrt(n)), q]) * residuals[:, None]
    meat = _bartlett(scores, lags) * n / freedom
    to_parameters = np.zeros((len(kept) + 1, len(kept) + 1))
    to_parameters[1:, 1:] = r_inverse / sizes[:, None]
    to_parameters[0, 0] = 1 / np.sqrt(n)
    to_parameters[0, 1:] = -means @ to_parameters[1:, 1:]
    errors = np.sqrt(np.maximum(np.diag(to_parameters @ meat @ to_parameters.T), 0))
    with np.errstate(divide="ignore", invalid="ignore"):
        p = p_value(coefficients / errors[1:], freedom)
    r_squared = 1 - unexplained / total if total > 0 else None
    named = lambda values: dict(zip(kept, (float(value) for value in values)))
    return {
        **answer,
        "coefficients": named(coefficients),
        "standard_errors": named(errors[1:]),
        "p_values": named(p),
        "vif": named(np.sum(r_inverse**2, axis=1)),
        "intercept": float(y_mean - means @ coefficients),
        "intercept_standard_error": float(errors[0]),
        "r_squared": r_squared,
        "adjusted_r_squared": 1 - (1 - r_squared) * (n - 1) / freedom if r_squared is not None else None,
        "residual_std": float(np.sqrt(unexplained / freedom)),
    }


def _bartlett(scores, lags):
    """Σ over lags of w_l (Γ_l + Γ_l') with w_l = 1 − l / (lags + 1).

    The triangle of weights is a box folded with itself, so all lags together are one product of sums over lags + 1 rows.
    """
    width = lags + 1
    padding = np.zeros((width, scores.shape[1]))
    total = np.cumsum(np.concatenate([padding, scores, padding[:-1]]), axis=0)
    windows = total[width:] - total[:-width]
    return windows.T @ windows / width
