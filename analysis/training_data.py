"""Rows to learn from: times with a known status and a measured power, and the print (or rest) that each belongs to.

Neighbouring rows of one print are near copies of each other, so a validation that puts some of them on both sides
measures memory, not knowledge. Every row therefore has its group: one print, or the time between two prints of one
device.
"""

import csv
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import features
from .core.columns import Columns
from .core.database import Database, Snapshot
from .core.errors import AnalysisError
from .core.states import IN_PRINT, States, phases_of_statuses
from .core.times import US, micros
from .dataset import LAST_S, build, device_of, heating_rates, states_of

CHUNK = timedelta(days=7)
NUMBERS = (*features.MEASURED, *features.DEVICE_NUMBERS, "temperature_c", "power_w")
# Of a CSV file: heating rates are computed from its temperatures.
CSV_NUMBERS = tuple(name for name in NUMBERS if not name.endswith("_rate"))
# A file has no database beside it: these are the states of printers as a new database has them, and for how long a
# status of a printer holds that is asked often. Tests hold them equal to the tables.
FILE_STATES = States(
    (
        (0, "offline", "off", "No data"),
        (1, "idle", "ready", "Idle"),
        (2, "ready", "ready", "Idle"),
        (3, "heating", "productive", "Heating"),
        (4, "printing", "productive", "Printing"),
        (5, "paused", "ready", "Paused"),
        (6, "attention", "down", "Paused"),
        (7, "finished", "ready", "Idle"),
        (8, "cancelled", "ready", "Idle"),
        (9, "error", "down", "Active"),
        (10, "unknown", None, "No data"),
    )
)
FILE_HOLDS_US = 5 * 60 * US
# A material or printer model of fewer rows than this share is too rare to learn.
RARE = 0.002


class NoTrainingData(AnalysisError):
    """There is nothing, or too little, to learn from."""


@dataclass(frozen=True, slots=True)
class Job:
    """A row of training_jobs.sql: begin and end of a print in seconds since 1970, infinity while it runs."""

    t0: float
    t1: float


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """Rows in order of time, and where they are from.

    `columns`: `at` (µs), `state` (places in `states`), `phase` (index into PHASES), NUMBERS (float, NaN unknown), and
    `device_id`, `device_model`, `material`, `group` (text or None).
    """

    columns: Columns
    source: str
    states: States

    def __len__(self) -> int:
        return len(self.columns["at"])

    def thinned(self, most: int) -> "TrainingSet":
        """At most `most` rows, evenly spread over time and devices."""
        if len(self) <= most:
            return self
        chosen = np.linspace(0, len(self) - 1, most).astype(int)
        return TrainingSet({name: values[chosen] for name, values in self.columns.items()}, self.source, self.states)

    def categories(self) -> features.Categories:
        """The materials and printer models that are frequent enough to be features."""

        def frequent(name: str) -> tuple[str, ...]:
            known = [value for value in self.columns[name] if value is not None]
            names, counts = np.unique(np.array(known, str), return_counts=True)
            return tuple(str(item) for item, count in zip(names, counts) if count >= RARE * len(self))

        return features.Categories(frequent("material"), frequent("device_model"))

    def features(self, categories: features.Categories) -> features.Features:
        """The Features of all rows."""
        c = self.columns
        return features.build(
            {name: c[name] for name in (*features.MEASURED, "state")},
            c["material"],
            c["temperature_c"],
            {name: c[name] for name in features.DEVICE_COLUMNS},
            categories,
            self.states,
        )

    def fingerprint(self) -> str:
        """SHA-256 of the rows: the same data have the same text."""
        digest = hashlib.sha256()
        for name in sorted(self.columns):
            values = self.columns[name]
            digest.update(name.encode())
            digest.update(
                "\x1f".join(map(str, values)).encode()
                if values.dtype == object
                else np.ascontiguousarray(values).tobytes()
            )
        return digest.hexdigest()


def from_database(database: Database, start: datetime, end: datetime, device_model: str | None = None) -> TrainingSet:
    """The TrainingSet of all printers (or one model's) in [start, end); raises NoTrainingData.

    A row is a reading with a status that held.
    """
    parts = []
    with database.snapshot() as snapshot:
        devices = [row["device_id"] for row in snapshot.rows("training_devices", device_model=device_model)]
        states = states_of(snapshot)
    for device_id in devices:
        with database.snapshot() as snapshot:
            rows = snapshot.rows("training_jobs", device=device_id, **{"from": start, "to": end})
        jobs = [Job(**row) for row in rows]
        at = start
        while at < end:
            until = min(at + CHUNK, end)
            with database.snapshot() as snapshot:
                parts.append(_of_device(snapshot, device_id, jobs, at, until, states))
            at = until
    parts = [part for part in parts if part is not None]
    if not parts:
        what = f"printer of model {device_model}" if device_model else "printer"
        raise NoTrainingData(
            f"No {what} has readings with a status between {start:%Y-%m-%d %H:%M} and {end:%Y-%m-%d %H:%M} UTC."
        )
    return _in_order(parts, "database", states)


def _of_device(
    snapshot: Snapshot, device_id: str, jobs: Sequence[Job], start: datetime, end: datetime, states: States
) -> Columns | None:
    """The columns of one device, None when it has no row."""
    device = device_of(snapshot, device_id)
    data = build(snapshot, device, micros(start), micros(end), states)
    rows = np.flatnonzero((data.rows["status"] >= 0) & ~np.isnan(data.rows["power_w"]))
    if len(rows):
        rows = rows[~states.off[data.statuses["state"][data.rows["status"][rows]]]]
    if not len(rows):
        return None
    found = data.rows["status"][rows]
    at = data.rows["at"][rows]
    numbers = {name: getattr(device, name) for name in features.DEVICE_NUMBERS}
    return {
        **{name: data.statuses[name][found].astype(float) for name in features.MEASURED},
        "at": at,
        "state": data.statuses["state"][found].astype(np.int64),
        "phase": data.statuses["phase"][found].astype(np.int64),
        "temperature_c": data.rows["temperature_c"][rows],
        "power_w": data.rows["power_w"][rows],
        "group": groups_of_jobs(device_id, at, jobs),
        **{name: np.full(len(rows), np.nan if value is None else float(value)) for name, value in numbers.items()},
        "device_id": np.full(len(rows), device_id, object),
        "device_model": np.full(len(rows), device.device_model, object),
        "material": features.material_of_rows(data, rows),
    }


def groups_of_jobs(device_id: str, at: NDArray[np.int64], jobs: Sequence[Job]) -> NDArray[np.object_]:
    """The group at each time (µs): the print around it, or the time after the last print before it.

    `jobs` are the device's, in order of time.
    """
    names = np.empty(len(at), object)
    begins = np.array([int(job.t0 * US) for job in jobs], np.int64)
    ends = np.array([int(min(job.t1, LAST_S) * US) for job in jobs], np.int64)
    place = np.searchsorted(begins, at, "right") - 1
    for index in np.unique(place):
        rows = place == index
        if index < 0:
            names[rows] = f"{device_id} before {begins[0] if len(begins) else 'all'}"
            continue
        inside = rows & (at < ends[index])
        names[rows] = f"{device_id} after {begins[index]}"
        names[inside] = f"{device_id} print {begins[index]}"
    return names


def from_csv(path: str | Path, device_model: str | None = None) -> TrainingSet:
    """The TrainingSet of a CSV file (or one model's part of it); raises NoTrainingData with the line that is wrong.

    Needed columns: timestamp (ISO 8601 with offset), power_watts, state. Known too: device_id, device_model, material,
    job, temperature_c, the columns of printer_status, rated_power_w, idle_power_w, bed_width, bed_depth. Empty is
    unknown.
    """
    rows = [row for row in _csv_rows(path) if device_model is None or row["device_model"] == device_model]
    if not rows:
        raise NoTrainingData(
            f"{path}: no row with a power and a state" + (f" of model {device_model}." if device_model else ".")
        )
    parts = []
    for device_id in sorted({row["device_id"] for row in rows}):
        mine = sorted((row for row in rows if row["device_id"] == device_id), key=lambda row: row["at"])
        columns: Columns = {name: np.array([row[name] for row in mine], float) for name in CSV_NUMBERS}
        columns |= {
            name: np.array([row[name] for row in mine] + [None], object)[:-1]
            for name in ("device_id", "device_model", "material")
        }
        columns |= {name: np.array([row[name] for row in mine], np.int64) for name in ("at", "state")}
        for part in ("nozzle", "bed"):
            columns[f"{part}_rate"] = heating_rates(columns["at"], columns[f"{part}_temp_actual"], FILE_HOLDS_US)
        columns["phase"] = phases_of_statuses(columns, FILE_STATES).astype(np.int64)
        columns["group"] = _groups_of_rows(device_id, mine)
        parts.append(columns)
    return _in_order(parts, str(path), FILE_STATES)


def _csv_rows(path: str | Path) -> list[dict[str, Any]]:
    """The rows of a CSV file that have a power and a state; raises NoTrainingData."""
    rows = []
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            missing = {"timestamp", "power_watts", "state"} - set(reader.fieldnames or ())
            if missing:
                raise NoTrainingData(
                    f"{path}: the column {min(missing)} is missing; needed are timestamp, power_watts and state."
                )
            for line, row in enumerate(reader, 2):
                try:
                    rows.append(_csv_row(row))
                except ValueError as error:
                    raise NoTrainingData(f"{path}, line {line}: {error}") from None
    except OSError as error:
        raise NoTrainingData(f"{path} can't be read: {error.strerror}.") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise NoTrainingData(f"{path} is no CSV file in UTF-8: {error}.") from None
    return [row for row in rows if row is not None]


def _csv_row(row: Mapping[str, str | None]) -> dict[str, Any] | None:
    """A line's values, None when it has no power or no state; raises ValueError when it can't be understood."""
    power = _csv_number(row, "power_watts")
    state = (row["state"] or "").strip().lower()
    if state and state not in FILE_STATES.names:
        raise ValueError(f"unknown state {state[:40]!r}; known are {', '.join(FILE_STATES.names)}")
    if power is None or not state or state == "offline":
        return None
    time = row["timestamp"]
    try:
        at = datetime.fromisoformat(time or "")
    except ValueError:
        raise ValueError(f"timestamp {str(time)[:40]!r} is no ISO 8601 time") from None
    if at.tzinfo is None:
        raise ValueError("timestamp needs an offset or Z")
    values = {name: _csv_number(row, name) for name in CSV_NUMBERS if name != "power_w"}
    words = {name: (row.get(name) or "").strip() or None for name in ("device_id", "device_model", "material", "job")}
    return {
        **{name: np.nan if value is None else value for name, value in values.items()},
        **words,
        "device_id": words["device_id"] or "printer",
        "at": micros(at.astimezone(UTC)),
        "state": FILE_STATES.names.index(state),
        "power_w": power,
    }


def _csv_number(row: Mapping[str, str | None], name: str) -> float | None:
    text = (row.get(name) or "").strip()
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"{name} {text[:40]!r} is no number") from None
    if not np.isfinite(value):
        raise ValueError(f"{name} is not finite")
    return value


def _groups_of_rows(device_id: str, rows: Sequence[Mapping[str, Any]]) -> NDArray[np.object_]:
    """Groups from the column job; without it a print is a stretch of printing, heating or pausing."""
    names, number, last = np.empty(len(rows), object), 0, None
    for place, row in enumerate(rows):
        key = row["job"] if row["job"] is not None else FILE_STATES.phase[row["state"]] in IN_PRINT
        hole = place and row["at"] - rows[place - 1]["at"] > 12 * FILE_HOLDS_US
        if key != last or hole:
            number, last = number + 1, key
        names[place] = f"{device_id} {number}"
    return names


def _in_order(parts: Sequence[Columns], source: str, states: States) -> TrainingSet:
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    order = np.argsort(columns["at"], kind="stable")
    return TrainingSet({name: values[order] for name, values in columns.items()}, source, states)
