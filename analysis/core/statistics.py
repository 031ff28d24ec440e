"""Correlation and least squares, honest about what repeated readings can prove.

Readings ten seconds apart are nearly the same, so the usual formulas promise far too much: standard errors are
Newey–West (heteroskedasticity and autocorrelation consistent), and correlations have an effective number of
observations next to n.

Rows are in time order. Columns are float64 of shape (n,).

Sources: [NW87] Newey & West, Econometrica 55 (1987) 703. [NW94] Newey & West, Review of Economic Studies 61 (1994) 631.
[BR99] Bretherton et al., Journal of Climate 12 (1999) 1990, after Bartlett, Journal of the Royal Statistical Society 98
(1935) 536. [BKW80] Belsley, Kuh & Welsch, Regression Diagnostics (1980). The tests compare with statsmodels and scipy.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

# A column of which the columns before it explain all but this share is no new information.
COLLINEAR = 1e-9
MIN_ROWS = 10
LAG_S = 600  # readings so far apart may still have the same error


def p_value(t: ArrayLike, freedom: float) -> NDArray[np.float64]:
    """Two-sided p of t statistics (any shape) with this many degrees of freedom; NaN where t is NaN."""
    from scipy.special import stdtr

    return 2 * stdtr(float(freedom), -np.abs(t))


def ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks from 1 of at least one known value; equal values share their mean rank."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    first = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    counts = np.diff(np.append(first, len(values)))
    result = np.empty(len(values))
    result[order] = np.repeat(first + (counts + 1) / 2, counts)
    return result


def is_constant(values: NDArray[np.float64]) -> bool:
    """Whether all of at least one value are the same; their mean may be off by a rounding error and can't show it."""
    return bool(values[0] == values[-1] and np.all(values == values[0]))


def _pearson(x: NDArray[np.float64], y: NDArray[np.float64]) -> float | None:
    if is_constant(x) or is_constant(y):
        return None
    x, y = x - x.mean(), y - y.mean()
    spread = np.sqrt((x @ x) * (y @ y))
    return float(np.clip(x @ y / spread, -1, 1)) if spread > 0 else None


def _lag_one(values: NDArray[np.float64]) -> float:
    centred = values - values.mean()
    spread = centred @ centred
    return float(centred[1:] @ centred[:-1] / spread) if spread > 0 else 0.0


def _p_of_r(r: float | None, n: float) -> float | None:
    if r is None or (abs(r) < 1 and n <= 2):
        return None
    return float(p_value(r * np.sqrt((n - 2) / (1 - r * r)), n - 2)) if abs(r) < 1 else 0.0


@dataclass(frozen=True, slots=True)
class Correlation:
    """Of two columns: Pearson's r and Spearman's rank correlation, each with its two-sided p for n pairs.

    `n`: pairs in which both are known. `n_effective`: how many independent pairs they are worth. `p_effective`:
    Pearson's p for that many. A figure is None where a column is constant or there are too few pairs for it.
    """

    pearson: float | None
    pearson_p: float | None
    spearman: float | None
    spearman_p: float | None
    n: int
    n_effective: float | None
    p_effective: float | None


class CorrelationsWith:
    """Correlations of one column, shape (n,), with others; what concerns that column alone is computed once."""

    def __init__(self, y: NDArray[np.float64]) -> None:
        self._known = ~np.isnan(y)
        self._y = y[self._known]
        self._of_all_y: tuple[NDArray[np.float64], float] | None = None

    def of(self, x: NDArray[np.float64]) -> Correlation:
        """The Correlation with another column, shape (n,); rows in which either is NaN are left out.

        p is that of t = r √((n − 2) / (1 − r²)) with n − 2 degrees of freedom. n_effective is
        n (1 − r₁ˣ r₁ʸ) / (1 + r₁ˣ r₁ʸ) with the lag-one autocorrelations r₁ [BR99, for two first-order autoregressive
        series], at least 2 and at most n: autocorrelations of opposite sign don't raise it.
        """
        x = x[self._known]
        y, known = self._y, ~np.isnan(x)
        whole = bool(known.all())
        if not whole:
            x, y = x[known], y[known]
        n = len(x)
        if n < 3 or (r := _pearson(x, y)) is None:
            return Correlation(None, None, None, None, n, None, None)
        y_ranks, y_lag = self._ranks_and_lag() if whole else (ranks(y), _lag_one(y))
        rho = _pearson(ranks(x), y_ranks)
        both = max(0.0, _lag_one(x) * y_lag)
        effective = max(2.0, min(n, n * (1 - both) / (1 + both)))
        return Correlation(r, _p_of_r(r, n), rho, _p_of_r(rho, n), n, effective, _p_of_r(r, effective))

    def _ranks_and_lag(self) -> tuple[NDArray[np.float64], float]:
        if self._of_all_y is None:
            self._of_all_y = ranks(self._y), _lag_one(self._y)
        return self._of_all_y


def newey_west_lag(n: int, seconds_per_row: float) -> int:
    """Over how many of n rows errors may be correlated.

    Ten minutes of rows, at least the rule of thumb ⌊4 (n / 100)^(2/9)⌋ [NW94], at most a quarter of the rows.
    """
    rule = int(4 * (n / 100) ** (2 / 9))
    minutes = int(LAG_S / seconds_per_row) if seconds_per_row > 0 else 0
    return max(0, min(max(rule, minutes), n // 4))


@dataclass(frozen=True, slots=True)
class LeastSquares:
    """A regression of y on `drivers` with an intercept, over `n_samples` rows.

    Dictionaries have an entry for each driver: `coefficients` (units of y per unit of the driver), `standard_errors`
    (the same, Newey–West over `hac_lags` rows), `p_values` (two-sided, of coefficient ÷ error; NaN where both are 0)
    and `vif` (by how much the other drivers inflate the variance of the coefficient; 1 when they are unrelated).
    `residual_std` is in units of y. `dropped` has the reason for each column that was left out. Where no regression is
    possible, the dictionaries are empty and the figures None; `r_squared` is also None when y is constant.
    """

    drivers: list[str]
    dropped: dict[str, str]
    n_samples: int
    hac_lags: int
    coefficients: dict[str, float] = field(default_factory=dict)
    standard_errors: dict[str, float] = field(default_factory=dict)
    p_values: dict[str, float] = field(default_factory=dict)
    vif: dict[str, float] = field(default_factory=dict)
    intercept: float | None = None
    intercept_standard_error: float | None = None
    r_squared: float | None = None
    adjusted_r_squared: float | None = None
    residual_std: float | None = None


@dataclass(frozen=True, slots=True)
class _Centred:
    """The k columns that are kept: centred and of unit length (n, k), their lengths before that, their means (k,)."""

    units: NDArray[np.float64]
    sizes: NDArray[np.float64]
    means: NDArray[np.float64]


def ols(y: NDArray[np.float64], columns: Mapping[str, NDArray[np.float64]], lags: int) -> LeastSquares:
    """Least squares of y, shape (n,), on columns of shape (n,) with an intercept; no value may be NaN.

    Constant columns, and those that the columns before them explain (all but COLLINEAR of their variance), are dropped
    and named. It takes MIN_ROWS rows and at least two more than there are columns left. Standard errors are Newey–West
    with a Bartlett kernel over `lags` rows [NW87] and the small-sample factor n ÷ (n − k), p values those of Student's
    t with n − k degrees of freedom, k being the parameters with the intercept; VIF is 1 ÷ (1 − R²) of a driver on the
    others, the diagonal of the inverse of their correlation matrix [BKW80].
    """
    n = len(y)
    kept, scaled, dropped = _independent(columns, n)
    freedom = n - len(kept) - 1
    if scaled is None or n < MIN_ROWS or freedom < 1:
        return LeastSquares(kept, dropped, n, lags)
    # Centred and of unit length, the columns are as well-conditioned as they can be; the Q of their QR does the rest.
    q, r = np.linalg.qr(scaled.units)
    constant = is_constant(y)
    y_mean = y[0] if constant else y.mean()
    centred_y = y - y_mean
    unit_coefficients = np.linalg.solve(r, q.T @ centred_y)
    residuals = centred_y - scaled.units @ unit_coefficients
    coefficients = unit_coefficients / scaled.sizes
    r_inverse = np.linalg.inv(r)
    total, unexplained = centred_y @ centred_y, residuals @ residuals
    errors = _newey_west_errors(scaled, q, r_inverse, residuals, lags)
    with np.errstate(divide="ignore", invalid="ignore"):
        p = p_value(coefficients / errors[1:], freedom)
    r_squared = float(1 - unexplained / total) if total > 0 else None

    def named(values: NDArray[np.float64]) -> dict[str, float]:
        return dict(zip(kept, (float(value) for value in values)))

    return LeastSquares(
        kept,
        dropped,
        n,
        lags,
        coefficients=named(coefficients),
        standard_errors=named(errors[1:]),
        p_values=named(p),
        vif=named(np.sum(r_inverse**2, axis=1)),
        intercept=float(y_mean - scaled.means @ coefficients),
        intercept_standard_error=float(errors[0]),
        r_squared=r_squared,
        adjusted_r_squared=1 - (1 - r_squared) * (n - 1) / freedom if r_squared is not None else None,
        residual_std=float(np.sqrt(unexplained / freedom)),
    )


def _independent(
    columns: Mapping[str, NDArray[np.float64]], n: int
) -> tuple[list[str], _Centred | None, dict[str, str]]:
    """The names of the columns that vary by themselves, these columns, and why each other one is dropped."""
    kept, dropped = [], {}
    units, sizes, means, basis = [], [], [], []
    for name, column in columns.items():
        mean = column.mean() if n else 0.0
        centred = column - mean
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
        kept.append(name)
        units.append(unit)
        sizes.append(size)
        means.append(mean)
        basis.append(rest / left)
    if not kept:
        return kept, None, dropped
    return kept, _Centred(np.column_stack(units), np.array(sizes), np.array(means)), dropped


def _newey_west_errors(
    scaled: _Centred,
    q: NDArray[np.float64],
    r_inverse: NDArray[np.float64],
    residuals: NDArray[np.float64],
    lags: int,
) -> NDArray[np.float64]:
    """Standard errors of the intercept and the k coefficients, shape (k + 1,)."""
    n, k = scaled.units.shape
    # In the orthonormal basis (1/√n, Q) the bread of the sandwich is the identity.
    scores = np.column_stack([np.full(n, 1 / np.sqrt(n)), q]) * residuals[:, None]
    meat = _bartlett(scores, lags) * n / (n - k - 1)
    to_parameters = np.zeros((k + 1, k + 1))
    to_parameters[1:, 1:] = r_inverse / scaled.sizes[:, None]
    to_parameters[0, 0] = 1 / np.sqrt(n)
    to_parameters[0, 1:] = -scaled.means @ to_parameters[1:, 1:]
    return np.sqrt(np.maximum(np.diag(to_parameters @ meat @ to_parameters.T), 0))


def _bartlett(scores: NDArray[np.float64], lags: int) -> NDArray[np.float64]:
    """Σ over lags of w_l (Γ_l + Γ_l') with w_l = 1 − l / (lags + 1).

    The triangle of weights is a box folded with itself, so all lags together are one product of sums over lags + 1
    rows.
    """
    width = lags + 1
    padding = np.zeros((width, scores.shape[1]))
    total = np.cumsum(np.concatenate([padding, scores, padding[:-1]]), axis=0)
    windows = total[width:] - total[:-width]
    return windows.T @ windows / width
