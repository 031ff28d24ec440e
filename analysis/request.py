"""The request of POST /api/analyze, checked: every mistake is answered with a sentence."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from .core.errors import BadRequest

TIME_RANGES = {
    "1h": timedelta(hours=1),
    "6h": timedelta(hours=6),
    "24h": timedelta(hours=24),
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
    "all": None,
}
DRIVERS = (
    "nozzle_temp_actual",
    "bed_temp_actual",
    "nozzle_temp_target",
    "bed_temp_target",
    "is_printing",
    "z_height_mm",
    "speed_multiplier_percent",
    "progress_percent",
    "temperature_c",
    "humidity_pct",
    "material",
)
MAX_ID_LENGTH = 64


@dataclass(frozen=True, slots=True)
class Request:
    """What to analyze. `start` is None for everything that is known; `drivers` is None for all that have data."""

    device_id: str
    start: datetime | None
    end: datetime
    time_range: str | None
    drivers: tuple[str, ...] | None

    def key(self) -> str:
        """Equal for requests that ask for the same: a relative range moves with the data, not with the clock."""
        span = self.time_range or (self.start and self.start.isoformat(), self.end.isoformat())
        return repr((self.device_id, span, self.drivers))


def parse(body: object, now: datetime | None = None) -> Request:
    """The Request that `body` (decoded JSON) describes; raises BadRequest."""
    now = now or datetime.now(UTC)
    if not isinstance(body, dict):
        raise BadRequest("Send a JSON object with deviceId and timeRange.")
    device_id = body.get("deviceId")
    if not isinstance(device_id, str) or not device_id:
        raise BadRequest("deviceId is missing: name one device, as in GET /api/devices.")
    if len(device_id) > MAX_ID_LENGTH or not device_id.isprintable():
        raise BadRequest(f"deviceId can't be that of a device: at most {MAX_ID_LENGTH} printable characters.")
    time_range = body.get("timeRange")
    if body.get("from") is not None or body.get("to") is not None:
        if time_range is not None:
            raise BadRequest("Give either timeRange or from and to, not both.")
        start, end = _instant(body.get("from"), "from"), _instant(body.get("to"), "to")
        if start >= end:
            raise BadRequest("from must be before to.")
        if start >= now:
            raise BadRequest("from lies in the future.")
        return Request(device_id, start, min(end, now), None, _drivers(body.get("selectedDrivers")))
    if not isinstance(time_range, str) or time_range not in TIME_RANGES:
        raise BadRequest(f"timeRange must be one of {', '.join(TIME_RANGES)}; or give from and to.")
    length = TIME_RANGES[time_range]
    return Request(device_id, now - length if length else None, now, time_range, _drivers(body.get("selectedDrivers")))


def _instant(value: object, name: str) -> datetime:
    if value is None:
        raise BadRequest(f"{name} is missing: give from and to as ISO 8601, as in 2026-11-21T08:00:00Z.")
    try:
        instant = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        instant = None
    if instant is None:
        raise BadRequest(f"{name} is no time: give ISO 8601, as in 2026-11-21T08:00:00Z.")
    if instant.tzinfo is None:
        raise BadRequest(f"{name} needs an offset or Z, as in 2026-11-21T08:00:00Z.")
    if not 2000 <= instant.year <= 9000:
        raise BadRequest(f"{name} lies outside of any data: years from 2000 on.")
    return instant.astimezone(UTC)


def _drivers(value: object) -> tuple[str, ...] | None:
    if value is None:
        return None
    if not isinstance(value, dict) or not all(isinstance(chosen, bool) for chosen in value.values()):
        raise BadRequest('selectedDrivers must be an object of booleans, as in {"bed_temp_target": true}.')
    unknown = sorted(set(value) - set(DRIVERS))
    if unknown:
        raise BadRequest(f"Unknown driver {unknown[0][:60]}; known are {', '.join(DRIVERS)}.")
    return tuple(name for name in DRIVERS if value.get(name))
