"""Times: int64 microseconds since 1970-01-01 UTC in arrays, datetimes with UTC elsewhere."""

from datetime import UTC, datetime, timedelta

import numpy as np

NO_TIME = int(np.iinfo(np.int64).max)  # an unknown time in an array; NULL, which queries send as infinity
US = 1_000_000  # microseconds in a second
HOUR_US = 3600 * US
DAY_US = 24 * HOUR_US
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def micros(time: datetime) -> int:
    """Microseconds since 1970 of a datetime with a time zone."""
    return (time - EPOCH) // timedelta(microseconds=1)


def instant(us: int) -> datetime:
    """The datetime (UTC) of microseconds since 1970."""
    return EPOCH + timedelta(microseconds=int(us))


def iso(time: datetime) -> str:
    """A datetime in UTC as ISO 8601 with milliseconds and Z, as answers write it."""
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")
