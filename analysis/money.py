"""Cost and CO2 of a range: Σ energy × the rate that held at that time."""

import numpy as np

from .core.energy import US


def account(line, rates):
    """{"cost", "currency", "co2_g", "price_per_kwh"} from the pieces of rates.sql; None where a part of the energy has no rate.

    `price_per_kwh` is the mean price of the energy in the range, for hints.
    """
    edges = np.array([[rate["t0"] * US, rate["t1"] * US] for rate in rates])
    kwh = np.diff(line.wh_until(edges), axis=1)[:, 0] / 1000 if len(rates) else np.zeros(0)
    used = [(amount, rate) for amount, rate in zip(kwh, rates) if amount > 0]
    currencies = {rate["currency"] for _, rate in used}
    priced = bool(used) and len(currencies) == 1 and all(rate["price_per_kwh"] is not None for _, rate in used)
    clean = bool(used) and all(rate["g_co2_per_kwh"] is not None for _, rate in used)
    cost = sum(amount * rate["price_per_kwh"] for amount, rate in used) if priced else None
    return {
        "cost": cost,
        "currency": currencies.pop() if priced else None,
        "co2_g": sum(amount * rate["g_co2_per_kwh"] for amount, rate in used) if clean else None,
        "price_per_kwh": cost / sum(amount for amount, _ in used) if priced else None,
    }
