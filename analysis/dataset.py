"""The data set of an analysis: one energy reading per row, with the latest status before it and the nearest climate.

A status at or before the row counts as long as it holds (the database's holds()), a climate reading within fifteen
minutes. Ranges of up to eight days are read reading by reading; longer ones from the stored rollups (one row is then
the mean of one bucket) with readings wherever the rollups are not current or the range cuts a bucket, so that sums stay
the same.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from psycopg2.extensions import AsIs

from .core.columns import Columns
from .core.database import Snapshot
from .core.energy import (
    BACK,
    GAP,
    INTEGRATED,
    JUMP,
    RESET,
    EnergyLine,
    Segments,
    clipped,
    joined,
    segments_of_readings,
    segments_of_rollup,
    summed,
    weighted,
)
from .core.errors import UnknownDevice
from .core.states import States, phase_of_name, phases_of_statuses
from .core.times import DAY_US, HOUR_US, NO_TIME, US, instant, micros

CLIMATE_COUNTS_US = 15 * 60 * US
CLIMATE_ROWS = 60_000  # more than that of one range are thinned
READINGS_UP_TO_US = 8 * DAY_US
KEPT_1MIN_US = 700 * DAY_US
LAST_S = 9e9  # later than any data; stands for infinity
CLIMATE = ("temperature_c", "humidity_pct")
FLAGS = {"gaps": GAP, "resets": RESET, "jumps": JUMP, "backs": BACK, "integrated": INTEGRATED}


class Level(NamedTuple):
    """Stored rollups: seconds per bucket, and their table."""

    bucket_s: int
    table: str


# Coarser buckets for longer ranges: the longest range (µs) that each is for.
LEVELS = (
    (62 * DAY_US, Level(60, "series.energy_1min")),
    (800 * DAY_US, Level(900, "series.energy_15min")),
    (math.inf, Level(3600, "series.energy_1hour")),
)


@dataclass(frozen=True, slots=True)
class Device:
    """A row of device.sql: times in seconds since 1970, power in W, the bed in mm; None is unknown.

    `holds_s`: for how many seconds one of its statuses says something.
    """

    device_id: str
    device_key: int
    device_type: str
    device_model: str | None
    friendly_name: str
    location: str | None
    source: str
    factory_id: str
    rated_power_w: float | None
    idle_power_w: float | None
    bed_width: float | None
    bed_depth: float | None
    holds_s: float
    frozen_before: float
    first_status: float | None

    @property
    def holds_us(self) -> int:
        """`holds_s` in µs."""
        return round(self.holds_s * US)


class Part(NamedTuple):
    """A meter that has readings, as a part of one that is assigned; `spans`: it reports intervals."""

    meter_key: int
    factor: float
    spans: bool


@dataclass(frozen=True, slots=True)
class Meter:
    """A row of meters.sql: times in seconds since 1970, ±infinity for an assignment without begin or end.

    `parts`: [key, factor, whether it reports intervals] of those whose readings it is the sum of; of all but virtual
    meters it is the meter itself. `dirty`: [begin, end] of the ranges whose stored rollups are not current.
    """

    meter_id: str
    meter_key: int
    valid_from: float
    valid_to: float
    first_reading: float | None
    last_reading: float | None
    parts: Sequence[tuple[int, float, bool]]
    dirty: Sequence[Sequence[float]]


@dataclass(frozen=True, slots=True)
class Dataset:
    """What is known of one device in [start, end) (µs since 1970).

    `rows`: `at` (µs), `power_w`, `status` (index into `statuses`, −1 none), and the columns CLIMATE.
    `statuses`: the columns of statuses.sql and those of `with_phases`; `state` is a place in `states`.
    `materials`: the names behind the hashes in `statuses`.
    `flags`: how many readings have each of FLAGS, None where rollups were read.
    `resolution_s`: seconds per row, 0 where a row is a reading.
    `frozen`: {phase: (seconds, Wh)} of the whole hours in `frozen_span` (begin, end in µs), whose statuses are gone or
    about to go.
    """

    device: Device
    start: int
    end: int
    line: EnergyLine
    rows: Columns
    statuses: Columns
    states: States
    materials: dict[int, str]
    flags: dict[str, int | None]
    resolution_s: int
    frozen: dict[int, tuple[float, float]]
    frozen_span: tuple[int, int]
    meters: list[Meter]

    def status_values(self, name: str) -> NDArray[Any]:
        """A status column at each row, NaN where no status holds."""
        found = self.rows["status"]
        if not len(self.statuses[name]):
            return np.full(len(found), np.nan)
        return np.where(found >= 0, self.statuses[name][found], np.nan)


def device_of(snapshot: Snapshot, device_id: str) -> Device:
    """The Device of this id; raises UnknownDevice."""
    row = snapshot.row("device", device=device_id)
    if row is None:
        raise UnknownDevice(device_id)
    return Device(**row)


def states_of(snapshot: Snapshot) -> States:
    """The states that there are."""
    return States((row["state_key"], row["state"], row["class"], row["phase"]) for row in snapshot.rows("states"))


def build(snapshot: Snapshot, device: Device, start: int | None, end: int, states: States | None = None) -> Dataset:
    """The Dataset of a device from `start` (µs; None: everything known) to `end` (µs).

    `states`: those to which its places refer; None for those of the snapshot.
    """
    meters = [Meter(**row) for row in snapshot.rows("meters", device=device.device_id)]
    if start is None:
        start = _first_known(device, meters, end)
    arriving = snapshot.columns_in_parallel(
        "statuses", device_key=device.device_key, holds_s=device.holds_s, **_range(start, end)
    )
    states = states or states_of(snapshot)
    level = _level(device, start, end)
    pieces, counts, at, power = [], dict.fromkeys(FLAGS, 0), [], []
    for meter in meters:
        begin, finish = (int(np.clip(seconds, 0, LAST_S) * US) for seconds in (meter.valid_from, meter.valid_to))
        begin, finish = max(begin, start), min(finish, end)
        if begin >= finish:
            continue
        if level is not None:
            pieces.append(_from_rollups(snapshot, device, meter, begin, finish, level))
            continue
        parts = []
        for part in map(Part._make, meter.parts):
            rows = snapshot.columns("readings", meter_key=part.meter_key, **_range(begin, finish))
            parts.append((clipped(segments_of_readings(rows, part.spans), begin, finish), part.factor))
            _count_flags(counts, rows, begin, finish)
            inside = (rows["at"] > begin) & (rows["at"] <= finish)
            at.append(rows["at"][inside])
            power.append(part.factor * _power_of_rows(rows, part.spans)[inside])
        pieces.append(weighted(parts))
    statuses = with_phases(arriving(), states, device.holds_us)
    segments = summed(pieces) if pieces else Segments.empty()
    line = EnergyLine(segments)
    rows = _rows_of_readings(at, power, segments) if level is None else _rows_of_buckets(line, start, end, level)
    _join_statuses(rows, statuses, device.holds_us)
    _join_climate(snapshot, device, rows)
    materials = _material_names(snapshot, device, statuses)
    frozen, frozen_span = _frozen_phases(snapshot, device, start, end)
    return Dataset(
        device=device,
        start=start,
        end=end,
        line=line,
        rows=rows,
        statuses=statuses,
        states=states,
        materials=materials,
        flags={name: None if level else count for name, count in counts.items()},
        resolution_s=level.bucket_s if level else 0,
        frozen=frozen,
        frozen_span=frozen_span,
        meters=meters,
    )


def with_phases(statuses: Columns, states: States, holds_us: int) -> Columns:
    """The columns of statuses.sql with `phase` and the heating rates `nozzle_rate` and `bed_rate`.

    `state` becomes a place in `states`.
    """
    statuses["state"] = states.places(statuses["state"])
    statuses["phase"] = phases_of_statuses(statuses, states)
    statuses["nozzle_rate"] = heating_rates(statuses["at"], statuses["nozzle_temp_actual"], holds_us)
    statuses["bed_rate"] = heating_rates(statuses["at"], statuses["bed_temp_actual"], holds_us)
    return statuses


def heating_rates(at: NDArray[np.int64], temperature: NDArray[np.floating], holds_us: int) -> NDArray[np.float32]:
    """°C per minute since the status before, at statuses of one device in time order (µs).

    NaN for the first, where the one before does not hold any more, and where both have the same time.
    """
    change = np.full(len(at), np.nan, np.float32)
    passed = np.diff(at)
    near = (passed > 0) & (passed <= holds_us)
    change[1:][near] = np.diff(temperature)[near] / (passed[near] / (60 * US))
    return change


def _range(start: int, end: int) -> dict[str, datetime]:
    return {"from": instant(start), "to": instant(end)}


def _first_known(device: Device, meters: Sequence[Meter], end: int) -> int:
    """The time (µs) of the first reading or status before `end`; a day before `end` when there is none."""
    known = [
        device.first_status,
        *(max(meter.first_reading, meter.valid_from) for meter in meters if meter.first_reading is not None),
    ]
    times = [int(seconds * US) for seconds in known if seconds is not None and seconds * US < end]
    return min(times, default=end - DAY_US)


def _level(device: Device, start: int, end: int) -> Level | None:
    """The rollups to read, None for readings."""
    frozen = device.frozen_before * US > start
    if end - start <= READINGS_UP_TO_US and not frozen:
        return None
    minutes_gone = micros(datetime.now(UTC)) - start > KEPT_1MIN_US
    return next(
        level for longest, level in LEVELS if end - start <= longest and not (level.bucket_s == 60 and minutes_gone)
    )


def _count_flags(counts: dict[str, int], rows: Columns, start: int, end: int) -> None:
    quality = rows["quality"]
    if not quality.any():
        return
    quality = quality[(rows["at"] > start) & (rows["at"] <= end)]
    for name, bit in FLAGS.items():
        counts[name] += int(np.count_nonzero(quality & bit))


def _power_of_rows(rows: Columns, spans: bool) -> NDArray[np.float64]:
    """Power at each reading; where only energy was reported, the mean of the interval that ends there.

    `spans`: the meter reports intervals, and a gap lies before them.
    """
    power = rows["power_w"]
    silent = np.isnan(power)
    if silent.any():
        seconds = (rows["at"] - rows["interval_start"]) / US
        mean = np.where(
            rows["interval_start"] != NO_TIME, rows["delta_wh"] * 3600 / np.where(seconds > 0, seconds, np.nan), np.nan
        )
        power = np.where(silent & (((rows["quality"] & GAP) == 0) | spans), mean, power)
    return power


def _from_rollups(snapshot: Snapshot, device: Device, meter: Meter, start: int, end: int, level: Level) -> Segments:
    """Segments of [start, end): stored buckets where they are current and whole, readings elsewhere."""
    bucket = level.bucket_s * US
    frozen = device.frozen_before * US
    first, last = -(-start // bucket) * bucket, end // bucket * bucket
    if start < frozen:
        # The readings are gone: buckets are the finest that is left, the one at the edge is cut in proportion to time.
        first = start // bucket * bucket
    if end < frozen:
        last = -(-end // bucket) * bucket
    dirty = [(int(t0) * US // bucket * bucket, -(-int(t1) * US // bucket) * bucket) for t0, t1 in meter.dirty]
    pieces, at = [], first
    for t0, t1 in [*dirty, (last, last)]:
        t0, t1 = max(at, min(t0, last)), max(at, min(t1, last))
        if at < t0:
            pieces.append((True, at, t0))
        if t0 < t1:
            pieces.append((False, t0, t1))
        at = t1
    pieces = [(False, start, min(first, end)), *pieces, (False, max(at, start, first), end)]
    found = []
    for stored, t0, t1 in pieces:
        if t0 >= t1:
            continue
        if stored:
            table = AsIs(level.table)
            rows = snapshot.columns(
                "rollup", table=table, meter_key=meter.meter_key, device_key=device.device_key, **_range(t0, t1)
            )
            found.append(clipped(segments_of_rollup(rows, level.bucket_s), start, end))
        else:
            parts = []
            for part in map(Part._make, meter.parts):
                rows = snapshot.columns("readings", meter_key=part.meter_key, **_range(t0, t1))
                parts.append((clipped(segments_of_readings(rows, part.spans), t0, t1), part.factor))
            found.append(weighted(parts))
    return joined(found)


def _rows_of_readings(
    at: Sequence[NDArray[np.int64]], power: Sequence[NDArray[np.float64]], segments: Segments
) -> Columns:
    """Every reading of any meter is a row; with several meters it shows what the whole device draws then."""
    if len(power) <= 1:
        return {"at": at[0], "power_w": power[0]} if power else {"at": np.empty(0, np.int64), "power_w": np.empty(0)}
    times = np.unique(np.concatenate(at))
    if not len(segments.start):
        return {"at": times, "power_w": np.full(len(times), np.nan)}
    place = np.clip(np.searchsorted(segments.start, times, "right") - 1, 0, None)
    inside = (segments.start[place] <= times) & (times < segments.end[place])
    return {"at": times, "power_w": np.where(inside, segments.power_w[place], np.nan)}


def _rows_of_buckets(line: EnergyLine, start: int, end: int, level: Level) -> Columns:
    """One row per whole bucket of which readings cover at least half, in its middle."""
    bucket = level.bucket_s * US
    edges = np.arange(-(-start // bucket) * bucket, end + 1, bucket)
    if len(edges) < 2:
        return {"at": np.empty(0, np.int64), "power_w": np.empty(0)}
    energy, covered = np.diff(line.wh_until(edges)), np.diff(line.covered_s_until(edges))
    known = covered >= level.bucket_s / 2
    return {"at": (edges[:-1] + bucket // 2)[known], "power_w": energy[known] * 3600 / covered[known]}


def _join_statuses(rows: Columns, statuses: Columns, holds_us: int) -> None:
    """Adds the latest status at or before each row that still holds there."""
    found = np.searchsorted(statuses["at"], rows["at"], "right") - 1
    if len(statuses["at"]):
        found = np.where((found >= 0) & (rows["at"] - statuses["at"][found] <= holds_us), found, -1)
    rows["status"] = found


def _join_climate(snapshot: Snapshot, device: Device, rows: Columns) -> None:
    """Adds the nearest known value of each climate column within ±15 minutes; of two equally near the earlier."""
    place = None
    if len(rows["at"]):
        found = snapshot.row("environment_place", device=device.device_id, location=device.location or "")
        place = found and found["location_key"]
    if place is None:
        rows.update({name: np.full(len(rows["at"]), np.nan) for name in CLIMATE})
        return
    # The range itself may reach back over years from which no row is known.
    start, end = int(rows["at"][0]), int(rows["at"][-1])
    (density,) = snapshot.rows("environment_density", place=place, **_range(start, end))
    if density["hourly"] * (end - start) / HOUR_US <= CLIMATE_ROWS:
        climate = snapshot.columns("environment", place=place, **_range(start, end))
    else:
        step_min = 5 if end - start <= READINGS_UP_TO_US else 15
        climate = snapshot.columns("environment_thinned", place=place, step_min=step_min, **_range(start, end))
    for name in CLIMATE:
        known = ~np.isnan(climate[name])
        rows[name] = nearest(rows["at"], climate["at"][known], climate[name][known])


def nearest(at: NDArray[np.int64], times: NDArray[np.int64], values: NDArray[np.floating]) -> NDArray[np.float64]:
    """The value at the nearest of `times` (µs, ascending) for each of `at`; the earlier of two equally near.

    NaN where there is none within ±15 minutes. Shapes: at (n,), times and values (m,), the result (n,).
    """
    if not len(times):
        return np.full(len(at), np.nan)
    after = np.searchsorted(times, at, "left")
    before = np.clip(after - 1, 0, None)
    after = np.clip(after, None, len(times) - 1)
    choice = np.where(np.abs(at - times[before]) <= np.abs(times[after] - at), before, after)
    return np.where(np.abs(times[choice] - at) <= CLIMATE_COUNTS_US, values[choice].astype(float), np.nan)


def _material_names(snapshot: Snapshot, device: Device, statuses: Columns) -> dict[int, str]:
    """{hash: material} of the hashes that occur."""
    codes, first = np.unique(statuses["material"], return_index=True)
    if not np.any(codes != 0):
        return {}
    times = [instant(us) for us in statuses["at"][first[codes != 0]]]
    return {row["code"]: row["name"] for row in snapshot.rows("materials", device_key=device.device_key, times=times)}


def _frozen_phases(
    snapshot: Snapshot, device: Device, start: int, end: int
) -> tuple[dict[int, tuple[float, float]], tuple[int, int]]:
    """`frozen` and `frozen_span` of the Dataset."""
    first = -(-start // HOUR_US) * HOUR_US
    last = min(end, int(np.clip(device.frozen_before, 0, LAST_S) * US)) // HOUR_US * HOUR_US
    if first >= last:
        return {}, (start, start)
    found: dict[int, tuple[float, float]] = {}
    for row in snapshot.rows("phases_frozen", device_key=device.device_key, **_range(first, last)):
        phase = phase_of_name(row["phase"])
        seconds, energy = found.get(phase, (0.0, 0.0))
        found[phase] = (seconds + row["seconds"], energy + (row["energy_wh"] or 0.0))
    return found, (first, last) if found else (start, start)
