"""The data set of an analysis: one energy reading per row, with the latest status at or before it and the nearest climate.

A status holds for five minutes, a climate reading counts within fifteen. Ranges of up to eight days are read reading by
reading; longer ones from the stored rollups (one row is then the mean of one bucket) with readings wherever the rollups are
not current or the range cuts a bucket, so that sums stay the same.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
from psycopg2.extensions import AsIs

from .core.database import NO_TIME
from .core.energy import (
    BACK,
    GAP,
    INTEGRATED,
    JUMP,
    RESET,
    US,
    EnergyLine,
    Segments,
    clipped,
    joined,
    segments_of_readings,
    segments_of_rollup,
    summed,
)
from .core.states import PHASE_OF_STATE, phases_of_statuses

STATUS_HOLDS_US = 5 * 60 * US
CLIMATE_COUNTS_US = 15 * 60 * US
CLIMATE_ROWS = 60_000  # more than that of one range are thinned
DAY_US = 86_400 * US
READINGS_UP_TO_US = 8 * DAY_US
# Coarser buckets for longer ranges: (longest range, bucket in s, table).
LEVELS = (
    (62 * DAY_US, 60, "energy_rollup_1min"),
    (800 * DAY_US, 900, "energy_rollup_15min"),
    (None, 3600, "energy_rollup_1hour"),
)
KEPT_1MIN_US = 700 * DAY_US
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
CLIMATE_VALUES = ("temperature_c", "humidity_pct")


def micros(instant):
    """A datetime as microseconds since 1970."""
    return (instant - EPOCH) // timedelta(microseconds=1)


def instant(us):
    """Microseconds since 1970 as a datetime in UTC."""
    return EPOCH + timedelta(microseconds=int(us))


@dataclass
class Dataset:
    """What is known of one device in [start, end) (µs).

    `rows`: equally long arrays: at (µs), power_w, status (index into `statuses`, −1 none), and the climate columns.
    `statuses`: the columns of statuses.sql plus phase, nozzle_rate and bed_rate (°C per minute since the status before).
    `flags`: counts of gaps, resets, jumps, backs and integrated readings, None where rollups were read.
    `frozen`: {phase: (seconds, Wh)} of the whole hours in `frozen_span` (begin, end in µs), whose statuses are gone or about to go.
    """

    device: dict
    start: int
    end: int
    line: EnergyLine
    rows: dict
    statuses: dict
    materials: dict
    flags: dict
    resolution_s: int
    frozen: dict
    frozen_span: tuple
    meters: list

    def status_values(self, name):
        """A status column at each row, NaN where no status holds."""
        found = self.rows["status"]
        if not len(self.statuses[name]):
            return np.full(len(found), np.nan)
        return np.where(found >= 0, self.statuses[name][found], np.nan)


def build(snapshot, device, start, end):
    """The Dataset of a device (a row of device.sql) from `start` (µs; None: everything known) to `end` (µs)."""
    meters = snapshot.rows("meters", device=device["device_id"])
    if start is None:
        start = _first_moment(device, meters, end)
    arriving = snapshot.columns_beside("statuses", device=device["device_id"], **_range(start, end))
    level = _level(device, start, end)
    pieces, flags, at, power = [], dict.fromkeys(("gaps", "resets", "jumps", "backs", "integrated"), 0), [], []
    for meter in meters:
        # ±infinity: an assignment without begin or end
        begin, finish = (int(np.clip(meter[name], 0, 9e9) * US) for name in ("valid_from", "valid_to"))
        begin, finish = max(begin, start), min(finish, end)
        if begin >= finish:
            continue
        if level is None:
            rows = snapshot.columns("readings", meter=meter["meter_id"], **_range(begin, finish))
            pieces.append(clipped(segments_of_readings(rows), begin, finish))
            _count_flags(flags, rows, begin, finish)
            inside = (rows["at"] > begin) & (rows["at"] <= finish)
            at.append(rows["at"][inside])
            power.append(_power_of_rows(rows)[inside])
        else:
            pieces.append(_from_rollups(snapshot, device, meter, begin, finish, *level))
    statuses = with_phases(arriving())
    segments = (
        summed(pieces)
        if pieces
        else Segments(*(np.empty(0, kind) for kind in (np.int64, np.int64, float, float, bool)))
    )
    line = EnergyLine(segments)
    rows = _rows_of_readings(at, power, segments) if level is None else _rows_of_buckets(line, start, end, level[0])
    _join_statuses(rows, statuses)
    _join_climate(snapshot, device, rows, start, end)
    return Dataset(
        device,
        start,
        end,
        line,
        rows,
        statuses,
        _material_names(snapshot, device["device_id"], statuses),
        flags if level is None else dict.fromkeys(flags),
        level[0] if level else 0,
        *_frozen_phases(snapshot, device, start, end),
        meters,
    )


def with_phases(statuses):
    """The columns of statuses.sql, with phases and heating rates."""
    statuses["phase"] = phases_of_statuses(statuses)
    statuses["nozzle_rate"] = rates(statuses["at"], statuses["nozzle_temp_actual"])
    statuses["bed_rate"] = rates(statuses["at"], statuses["bed_temp_actual"])
    return statuses


def rates(at, temperature):
    """°C per minute since the status before; NaN for the first and after a hole of more than five minutes."""
    change = np.full(len(at), np.nan, np.float32)
    passed = np.diff(at)
    near = passed <= STATUS_HOLDS_US
    change[1:][near] = np.diff(temperature)[near] / (passed[near] / (60 * US))
    return change


def _range(start, end):
    return {"from": instant(start), "to": instant(end)}


def _first_moment(device, meters, end):
    known = [
        device["first_status"],
        *(max(m["first_reading"], m["valid_from"]) for m in meters if m["first_reading"] is not None),
    ]
    known = [int(moment * US) for moment in known if moment is not None and moment * US < end]
    return min(known, default=end - DAY_US)


def _level(device, start, end):
    """None for readings, else (bucket seconds, table)."""
    frozen = device["frozen_before"] * US > start
    if end - start <= READINGS_UP_TO_US and not frozen:
        return None
    minutes_gone = micros(datetime.now(UTC)) - start > KEPT_1MIN_US
    return next(
        (bucket_s, table)
        for longest, bucket_s, table in LEVELS
        if longest is None or (end - start <= longest and not (bucket_s == 60 and minutes_gone))
    )


def _count_flags(flags, rows, start, end):
    quality = rows["quality"]
    if not quality.any():
        return
    quality = quality[(rows["at"] > start) & (rows["at"] <= end)]
    for name, bit in (("gaps", GAP), ("resets", RESET), ("jumps", JUMP), ("backs", BACK), ("integrated", INTEGRATED)):
        flags[name] += int(np.count_nonzero(quality & bit))


def _power_of_rows(rows):
    """Power at each reading; where only the counter spoke, the mean of the interval that ends there."""
    power = rows["power_w"]
    silent = np.isnan(power)
    if silent.any():
        seconds = (rows["at"] - rows["interval_start"]) / US
        mean = np.where(
            rows["interval_start"] != NO_TIME, rows["delta_wh"] * 3600 / np.where(seconds > 0, seconds, np.nan), np.nan
        )
        power = np.where(silent & ((rows["quality"] & GAP) == 0), mean, power)
    return power


def _from_rollups(snapshot, device, meter, start, end, bucket_s, table):
    """Segments of [start, end): stored buckets where they are current and whole, readings elsewhere."""
    bucket = bucket_s * US
    frozen = device["frozen_before"] * US
    first, last = -(-start // bucket) * bucket, end // bucket * bucket
    if start < frozen:
        # The readings are gone: buckets are the finest that is left, the one at the edge is cut in proportion to time.
        first = start // bucket * bucket
    if end < frozen:
        last = -(-end // bucket) * bucket
    dirty = [(int(t0) * US // bucket * bucket, -(-int(t1) * US // bucket) * bucket) for t0, t1 in meter["dirty"]]
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
            rows = snapshot.columns(
                "rollup", table=AsIs(table), meter=meter["meter_id"], device=device["device_id"], **_range(t0, t1)
            )
            found.append(clipped(segments_of_rollup(rows, bucket_s), start, end))
        else:
            rows = snapshot.columns("readings", meter=meter["meter_id"], **_range(t0, t1))
            found.append(clipped(segments_of_readings(rows), t0, t1))
    return joined(found)


def _rows_of_readings(at, power, segments):
    at = np.concatenate(at) if at else np.empty(0, np.int64)
    if len(power) > 1:
        # Every reading of any meter is a row, and shows what the whole device draws then.
        at = np.unique(at)
        if not len(segments.start):
            return {"at": at, "power_w": np.full(len(at), np.nan)}
        place = np.clip(np.searchsorted(segments.start, at, "right") - 1, 0, None)
        inside = (segments.start[place] <= at) & (at < segments.end[place])
        return {"at": at, "power_w": np.where(inside, segments.power_w[place], np.nan)}
    return {"at": at, "power_w": power[0] if power else np.empty(0)}


def _rows_of_buckets(line, start, end, bucket_s):
    """One row a whole bucket that readings cover at least by half, in its middle."""
    bucket = bucket_s * US
    edges = np.arange(-(-start // bucket) * bucket, end + 1, bucket)
    if len(edges) < 2:
        return {"at": np.empty(0, np.int64), "power_w": np.empty(0)}
    energy, covered = np.diff(line.wh_until(edges)), np.diff(line.covered_s_until(edges))
    known = covered >= bucket_s / 2
    return {"at": (edges[:-1] + bucket // 2)[known], "power_w": energy[known] * 3600 / covered[known]}


def _join_statuses(rows, statuses):
    """The latest status at or before each row, not older than five minutes."""
    found = np.searchsorted(statuses["at"], rows["at"], "right") - 1
    if len(statuses["at"]):
        found = np.where((found >= 0) & (rows["at"] - statuses["at"][found] <= STATUS_HOLDS_US), found, -1)
    rows["status"] = found


def _join_climate(snapshot, device, rows, start, end):
    """The nearest known value of each climate column within ±15 minutes of each row; of two equally near the earlier."""
    place = (
        snapshot.row("environment_place", device=device["device_id"], location=device["location"] or "")["location_id"]
        if len(rows["at"])
        else None
    )
    if place is None:
        rows.update({name: np.full(len(rows["at"]), np.nan) for name in CLIMATE_VALUES})
        return
    # A range may reach back over years from which no row is known.
    start, end = int(rows["at"][0]), int(rows["at"][-1])
    hourly = snapshot.row("environment_density", place=place, **_range(start, end))["hourly"]
    if hourly * (end - start) / (3600 * US) <= CLIMATE_ROWS:
        climate = snapshot.columns("environment", place=place, **_range(start, end))
    else:
        climate = snapshot.columns(
            "environment_thinned",
            place=place,
            step_min=5 if end - start <= READINGS_UP_TO_US else 15,
            **_range(start, end),
        )
    for name in CLIMATE_VALUES:
        known = ~np.isnan(climate[name])
        rows[name] = nearest(rows["at"], climate["at"][known], climate[name][known])


def nearest(at, times, values):
    """values at the nearest of `times` (ascending) within ±15 minutes of each moment, else NaN; the earlier of two equally near."""
    if not len(times):
        return np.full(len(at), np.nan)
    after = np.searchsorted(times, at, "left")
    before = np.clip(after - 1, 0, None)
    after = np.clip(after, None, len(times) - 1)
    choice = np.where(np.abs(at - times[before]) <= np.abs(times[after] - at), before, after)
    return np.where(np.abs(times[choice] - at) <= CLIMATE_COUNTS_US, values[choice].astype(float), np.nan)


def _material_names(snapshot, device_id, statuses):
    """{hash: material} of the hashes that occur."""
    codes, first = np.unique(statuses["material"], return_index=True)
    if not np.any(codes != 0):
        return {}
    times = [instant(us) for us in statuses["at"][first[codes != 0]]]
    return {row["code"]: row["name"] for row in snapshot.rows("materials", device=device_id, times=times)}


def _frozen_phases(snapshot, device, start, end):
    hour = 3600 * US
    first, last = -(-start // hour) * hour, min(end, int(np.clip(device["frozen_before"], 0, 9e9) * US)) // hour * hour
    if first >= last:
        return {}, (start, start)
    found = {}
    for row in snapshot.rows("phases_frozen", device=device["device_id"], **_range(first, last)):
        seconds, energy = found.get(PHASE_OF_STATE[row["state"]], (0.0, 0.0))
        found[PHASE_OF_STATE[row["state"]]] = (seconds + row["seconds"], energy + (row["energy_wh"] or 0.0))
    return found, (first, last) if found else (start, start)
