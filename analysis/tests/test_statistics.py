"""Statistics against independent implementations and against data whose coefficients are known."""

import numpy as np
import pytest
import scipy.stats
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.outliers_influence import variance_inflation_factor

from analysis.core.statistics import Correlation, CorrelationsWith, newey_west_lag, ols, ranks


def near(value):
    """Equal but for rounding."""
    return pytest.approx(value, rel=1e-8, abs=1e-8)


def sample(n, seed=1, noise=5.0):
    """Autocorrelated columns and a power that depends on them."""
    dice = np.random.default_rng(seed)
    walk = np.cumsum(dice.normal(size=(n, 3)), axis=0)
    columns = {
        "nozzle": 200 + walk[:, 0],
        "bed": 60 + 0.5 * walk[:, 1] + 0.3 * walk[:, 0],
        "printing": (walk[:, 2] > 0).astype(float),
    }
    shock = dice.normal(size=n)
    for i in range(1, n):
        shock[i] += 0.8 * shock[i - 1]
    return columns, 12 + 0.4 * columns["nozzle"] + 1.5 * columns["bed"] - 20 * columns["printing"] + noise * shock


@pytest.mark.parametrize(("n", "lags"), [(30, 0), (200, 3), (5_000, 60)])
def test_ols_is_that_of_statsmodels(n, lags):
    columns, power = sample(n)
    ours = ols(power, columns, lags)
    matrix = sm.add_constant(np.column_stack(list(columns.values())))
    plain = sm.OLS(power, matrix).fit()
    theirs = plain.get_robustcov_results("HAC", maxlags=lags, use_correction=True, use_t=True)
    for i, name in enumerate(columns, 1):
        assert ours.coefficients[name] == near(theirs.params[i])
        assert ours.standard_errors[name] == near(theirs.bse[i])
        assert ours.p_values[name] == near(theirs.pvalues[i])
        assert ours.vif[name] == near(variance_inflation_factor(matrix, i))
    assert ours.intercept == near(theirs.params[0])
    assert ours.intercept_standard_error == near(theirs.bse[0])
    assert ours.r_squared == near(plain.rsquared)
    assert ours.adjusted_r_squared == near(plain.rsquared_adj)
    assert ours.residual_std == near(np.sqrt(plain.mse_resid))


def test_known_coefficients_come_back():
    columns, power = sample(20_000, noise=0.0)
    found = ols(power, columns, 20)
    assert found.coefficients == pytest.approx({"nozzle": 0.4, "bed": 1.5, "printing": -20}, rel=1e-8)
    assert found.intercept == pytest.approx(12, abs=1e-6)
    assert found.r_squared == pytest.approx(1)


def test_constant_and_collinear_drivers_are_dropped_and_named():
    columns, power = sample(500)
    columns = {
        "speed": np.full(500, 100.0),
        **columns,
        "bed in °F": columns["bed"] * 1.8 + 32,
        "all together": columns["nozzle"] + columns["bed"],
    }
    found = ols(power, columns, 3)
    assert found.drivers == ["nozzle", "bed", "printing"]
    assert found.dropped["speed"] == "constant"
    assert found.dropped["bed in °F"].startswith("collinear")
    assert "all together" in found.dropped
    assert np.isfinite(list(found.coefficients.values())).all()


@pytest.mark.parametrize("n", [0, 1, 5, 9])
def test_too_few_rows_have_no_fit(n):
    columns, power = sample(max(n, 2))
    found = ols(power[:n], {name: column[:n] for name, column in columns.items()}, 0) if n else ols(power[:0], {}, 0)
    assert found.r_squared is None and found.n_samples == n


def test_autocorrelation_widens_the_errors():
    """Why the errors are Newey–West: the usual ones are several times too small here."""
    columns, power = sample(5_000)
    assert ols(power, columns, 60).standard_errors["nozzle"] > 2 * ols(power, columns, 0).standard_errors["nozzle"]


def test_lags_cover_ten_minutes():
    assert newey_west_lag(60_000, 10) == 60
    assert newey_west_lag(1_000_000, 3600) == int(4 * 10_000 ** (2 / 9))
    assert newey_west_lag(12, 10) == 3


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(-3, 3), min_size=1, max_size=30))
def test_ranks_share_ties(values):
    assert ranks(np.array(values, float)) == pytest.approx(scipy.stats.rankdata(values))


@pytest.mark.parametrize("n", [3, 50, 4_000])
def test_correlations_are_those_of_scipy(n):
    dice = np.random.default_rng(n)
    x = np.round(dice.normal(size=n), 1)
    y = 0.3 * x + dice.normal(size=n)
    x[::7], y[::11] = (np.nan, np.nan) if n > 3 else (x[::7], y[::11])
    known = ~(np.isnan(x) | np.isnan(y))
    found = CorrelationsWith(y).of(x)
    r, p = scipy.stats.pearsonr(x[known], y[known])
    rho, p_rho = scipy.stats.spearmanr(x[known], y[known])
    assert found.n == known.sum()
    assert (found.pearson, found.pearson_p) == near((r, p))
    assert (found.spearman, found.spearman_p) == near((rho, p_rho))
    assert found.n_effective is not None and 2 <= found.n_effective <= n


# The mean of 7.3 repeated is not exactly 7.3, that of 1 is 1.
@pytest.mark.parametrize("value", [0.0, 1.0, 7.3, 0.1])
@pytest.mark.parametrize("n", [9, 361])
def test_a_constant_has_no_correlation_and_no_r_squared(n, value):
    constant, rising = np.full(n, value), np.arange(float(n))
    unknown = Correlation(None, None, None, None, n, None, None)
    assert CorrelationsWith(rising).of(constant) == CorrelationsWith(constant).of(rising) == unknown
    found = ols(constant, {"rising": rising}, 2)
    assert found.r_squared is None and found.intercept in (None, value)


def test_correlation_with_nothing_known_is_unknown():
    assert CorrelationsWith(np.arange(9.0)).of(np.full(9, np.nan)).n == 0
