"""Query parameters, read by the rules that the OpenAPI description states. Whatever is not as described is a BadRequest."""

import re
import uuid
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


def integer(arguments, name, default, low, high):
    value = arguments.get(name)
    if value is None:
        return default
    # Neither int()'s underscores and spaces nor other scripts' digits.
    if re.fullmatch(r"-?[0-9]{1,9}", value) and low <= int(value) <= high:
        return int(value)
    raise BadRequest(f"{name} must be a whole number from {low} to {high}.")


def limit(arguments):
    return integer(arguments, "limit", 50, 1, MAX_LIMIT)


def choice(arguments, name, known, default=None):
    value = arguments.get(name, default)
    if value is None or value in known:
        return value
    raise BadRequest(f"There is no {name} of that name; known are: {', '.join(known)}.")


def words(arguments, name):
    """A text to look for; an empty one looks for nothing."""
    value = arguments.get(name)
    if not value:
        return None
    if len(value) > MAX_WORDS or "\0" in value:
        raise BadRequest(f"{name} must be at most {MAX_WORDS} characters of text.")
    return value


def device_id(arguments, name="deviceId"):
    value = arguments.get(name)
    if value is None or re.fullmatch(DEVICE_ID.strip("^$"), value):
        return value
    raise BadRequest(
        f"{name} must be 1 to 64 letters, digits, dots, dashes or underscores, beginning with a letter or digit."
    )


def instant(arguments, name):
    """An aware datetime; without an offset it means UTC."""
    value = arguments.get(name)
    if value is None:
        return None
    try:
        # A plus that was not encoded arrives as a space.
        moment = datetime.fromisoformat(value.strip().replace(" ", "+") if "T" in value else value)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise BadRequest(f"{name} must be an instant like 2026-01-31T14:00:00Z.") from None


def job_id(value):
    """A UUID in its usual form, or None."""
    return str(uuid.UUID(value)) if re.fullmatch(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", value) else None
