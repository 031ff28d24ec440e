"""Cost and CO2 of a range, as the database counts them: Σ energy × the rate of its time."""

from dataclasses import dataclass

from .core.database import Row


@dataclass(frozen=True, slots=True)
class Account:
    """Cost and CO2 (g) of a range; None where a part of the energy has no rate.

    `price_per_kwh` is the mean price of the energy in the range, for hints.
    """

    cost: float | None = None
    currency: str | None = None
    co2_g: float | None = None
    price_per_kwh: float | None = None


def account(row: Row) -> Account:
    """The Account of a row of cost.sql."""
    wh, cost = row["energy_wh"], row["cost"]
    price = cost / (wh / 1000) if wh and cost is not None else None
    return Account(cost, row["currency"], row["co2_g"], price)
