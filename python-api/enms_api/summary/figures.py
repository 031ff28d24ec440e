"""How figures are rounded and combined when some of them may be unknown (None)."""

from datetime import UTC, datetime
from typing import TypeVar, overload

Value = TypeVar("Value")


def first(*values: Value | None) -> Value | None:
    """The first value that is known."""
    return next((value for value in values if value is not None), None)


def ratio(above: float | None, below: float | None, scale: float = 1.0) -> float | None:
    """scale · above / below; unknown when one of them is, or when the divisor is 0."""
    return scale * above / below if above is not None and below else None


def difference_percent(value: float | None, usual: float | None) -> float | None:
    """How much more (or, negative, less) than usual."""
    return round(100 * (value / usual - 1), 1) + 0.0 if value is not None and usual else None  # + 0.0: never "-0.0"


def rounded(value: float | None, digits: int) -> float | None:
    """The value with so many decimals."""
    return None if value is None else round(value, digits)


def money(value: float | None) -> float | None:
    """An amount with four decimals."""
    return rounded(value, 4)


def kwh(wh: float | None) -> float | None:
    """kWh with a tenth of a watt-hour, from Wh."""
    return None if wh is None else round(wh / 1000, 4)


@overload
def iso(ts: float) -> str: ...
@overload
def iso(ts: None) -> None: ...
def iso(ts: float | None) -> str | None:
    """ISO 8601 in UTC to the second, from seconds since 1970."""
    return None if ts is None else datetime.fromtimestamp(ts, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
