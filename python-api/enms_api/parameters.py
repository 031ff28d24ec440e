"""Query parameters, read by the rules of the OpenAPI description. Whatever is not as described raises BadRequest.

``arguments`` are those of a request; a parameter that is not there is None or its default.
"""

import re
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

MAX_LIMIT = 200
MAX_OFFSET = 1_000_000
DEVICE_ID = r"^[A-Za-z0-9][A-Za-z0-9._\-]{0,63}$"
MAX_WORDS = 200
JOB_SORTS = ("started", "ended", "printer", "file", "status", "duration", "energy", "cost", "co2")
ORDERS = ("asc", "desc")
JOB_STATUSES = ("printing", "paused", "done", "cancelled", "error", "unknown")


class BadRequest(Exception):
    """Input that can't be answered; the sentence says what would do."""


def integer(arguments: Mapping[str, str], name: str, default: int, low: int, high: int) -> int:
    """A whole number from ``low`` to ``high``."""
    value = arguments.get(name)
    if value is None:
        return default
    # Neither int()'s underscores and spaces nor other scripts' digits.
    if re.fullmatch(r"-?[0-9]{1,9}", value) and low <= int(value) <= high:
        return int(value)
    raise BadRequest(f"{name} must be a whole number from {low} to {high}.")


def limit(arguments: Mapping[str, str]) -> int:
    """How many at most."""
    return integer(arguments, "limit", 50, 1, MAX_LIMIT)


def choice(arguments: Mapping[str, str], name: str, known: Sequence[str], default: str | None = None) -> str | None:
    """One of some words."""
    value = arguments.get(name, default)
    if value is None or value in known:
        return value
    raise BadRequest(f"There is no {name} of that name; known are: {', '.join(known)}.")


def words(arguments: Mapping[str, str], name: str) -> str | None:
    """A text to look for; an empty one looks for nothing."""
    value = arguments.get(name)
    if not value:
        return None
    if len(value) > MAX_WORDS or "\0" in value:
        raise BadRequest(f"{name} must be at most {MAX_WORDS} characters of text.")
    return value


def device_id(arguments: Mapping[str, str]) -> str | None:
    """The id of a device, which need not be there."""
    value = arguments.get("deviceId")
    if value is None or re.fullmatch(DEVICE_ID.strip("^$"), value):
        return value
    raise BadRequest(
        "deviceId must be 1 to 64 letters, digits, dots, dashes or underscores, beginning with a letter or digit."
    )


def instant(arguments: Mapping[str, str], name: str) -> datetime | None:
    """A time in UTC; without an offset it means UTC."""
    value = arguments.get(name)
    if value is None:
        return None
    try:
        # A plus that was not encoded arrives as a space.
        found = datetime.fromisoformat(value.strip().replace(" ", "+") if "T" in value else value)
        if found.tzinfo is None:
            found = found.replace(tzinfo=UTC)
        return found.astimezone(UTC)
    except (ValueError, OverflowError):
        raise BadRequest(f"{name} must be an instant like 2026-01-31T14:00:00Z.") from None


def job_id(value: str) -> str | None:
    """A UUID in its usual form, or None."""
    return str(uuid.UUID(value)) if re.fullmatch(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", value) else None
