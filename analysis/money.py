"""Cost and CO2 of a range: Σ energy × the rate of that time."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .core.energy import EnergyLine
from .core.times import US


@dataclass(frozen=True, slots=True)
class Rate:
    """A row of rates.sql: what holds from t0 to t1 (seconds since 1970); None where nothing does."""

    t0: float
    t1: float
    price_per_kwh: float | None
    currency: str | None
    g_co2_per_kwh: float | None


@dataclass(frozen=True, slots=True)
class Account:
    """Cost and CO2 (g) of a range; None where a part of the energy has no rate.

    `price_per_kwh` is the mean price of the energy in the range, for hints.
    """

    cost: float | None
    currency: str | None
    co2_g: float | None
    price_per_kwh: float | None


def account(line: EnergyLine, rates: Sequence[Rate]) -> Account:
    """The Account of the energy in the time that the rates cover. Prices in several currencies have no sum."""
    edges = np.array([[rate.t0 * US, rate.t1 * US] for rate in rates])
    kwh = np.diff(line.wh_until(edges), axis=1)[:, 0] / 1000 if len(rates) else np.zeros(0)
    used = [(amount, rate) for amount, rate in zip(kwh, rates) if amount > 0]
    prices = [(amount, rate.price_per_kwh) for amount, rate in used if rate.price_per_kwh is not None]
    factors = [(amount, rate.g_co2_per_kwh) for amount, rate in used if rate.g_co2_per_kwh is not None]
    currencies = {rate.currency for _, rate in used}
    cost = currency = price = co2_g = None
    if used and len(prices) == len(used) and len(currencies) == 1:
        cost = sum(amount * each for amount, each in prices)
        currency = currencies.pop()
        price = cost / sum(amount for amount, _ in used)
    if used and len(factors) == len(used):
        co2_g = sum(amount * each for amount, each in factors)
    return Account(cost, currency, co2_g, price)
