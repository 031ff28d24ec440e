"""How figures are rounded and combined when some of them may be unknown (None)."""

from datetime import UTC, datetime


def first(*values):
    """The first value that is known."""
    return next((value for value in values if value is not None), None)


def plus(before, wh, per_kwh):
    """An amount plus that of some more energy; unknown when one of them is."""
    return None if before is None or per_kwh is None else before + wh / 1000 * per_kwh


def ratio(above, below, scale=1.0):
    return scale * above / below if above is not None and below else None


def difference_percent(value, usual):
    return round(100 * (value / usual - 1), 1) + 0.0 if value is not None and usual else None  # + 0.0: never "-0.0"


def rounded(value, digits):
    return None if value is None else round(value, digits)


def money(value):
    return rounded(value, 4)


def kwh(wh):
    """kWh with a tenth of a watt-hour, from Wh."""
    return None if wh is None else round(wh / 1000, 4)


def iso(ts):
    """ISO 8601 in UTC to the second, from seconds since 1970."""
    return None if ts is None else datetime.fromtimestamp(ts, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
