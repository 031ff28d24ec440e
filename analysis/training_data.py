"""Rows to learn from: moments with a known status and a measured power, and the print (or rest) that each belongs to.

Neighbouring rows of one print are near copies of each other, so a validation that puts some of them on both sides measures
memory, not knowledge. Every row therefore carries its group: one print, or the time between two prints of one device.
"""

import csv
import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone

import numpy as np

from . import features
from .core.energy import US
from .core.errors import AnalysisError
from .core.states import STATES, phases_of_statuses
from .dataset import STATUS_HOLDS_US, build, micros, rates

CHUNK = timedelta(days=7)
WORDS = ("device_id", "device_model", "material", "group")
DEVICE_NUMBERS = ("rated_power_w", "idle_power_w", "bed_width", "bed_depth")
NUMBERS = (*features.MEASURED, *DEVICE_NUMBERS, "temperature_c", "power_w")
# A material or printer model of fewer rows than this share is too rare to learn.
RARE = 0.002


class NoTrainingData(AnalysisError):
    """There is nothing, or too little, to learn from."""


@dataclass
class TrainingSet:
    """`columns`: equally long arrays: at (µs), state (index into STATES), phase, NUMBERS (float), WORDS (text or None); in order of time."""

    columns: dict
    source: str

    def __len__(self):
        return len(self.columns["at"])

    def thinned(self, most):
        """At most `most` rows, evenly spread over time and devices."""
        if len(self) <= most:
            return self
        chosen = np.linspace(0, len(self) - 1, most).astype(int)
        return TrainingSet({name: values[chosen] for name, values in self.columns.items()}, self.source)

    def categories(self):
        """The materials and printer models that are frequent enough to be features."""

        def frequent(name):
            known = [value for value in self.columns[name] if value is not None]
            names, counts = np.unique(np.array(known, str), return_counts=True)
            return tuple(str(item) for item, count in zip(names, counts) if count >= RARE * len(self))

        return features.Categories(frequent("material"), frequent("device_model"))

    def features(self, categories):
        """The Features of all rows."""
        c = self.columns
        statuses = {name: c[name] for name in (*features.MEASURED, "state")}
        return features.build(
            statuses,
            c["material"],
            c["temperature_c"],
            {name: c[name] for name in (*DEVICE_NUMBERS, "device_model")},
            categories,
        )

    def fingerprint(self):
        """SHA-256 of the rows: the same data give the same text."""
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


def from_database(database, start, end, device_model=None):
    """The TrainingSet of all printers (or one model's) in [start, end); a row is a reading with a status of the last five minutes."""
    parts = []
    with database.snapshot() as snapshot:
        devices = [row["device_id"] for row in snapshot.rows("training_devices", device_model=device_model)]
    for device_id in devices:
        with database.snapshot() as snapshot:
            jobs = snapshot.rows("training_jobs", device=device_id, **{"from": start, "to": end})
        at = start
        while at < end:
            until = min(at + CHUNK, end)
            with database.snapshot() as snapshot:
                parts.append(_of_device(snapshot, device_id, jobs, at, until))
            at = until
    parts = [part for part in parts if part is not None]
    if not parts:
        what = f"printer of model {device_model}" if device_model else "printer"
        raise NoTrainingData(
            f"No {what} has readings with a status between {start:%Y-%m-%d %H:%M} and {end:%Y-%m-%d %H:%M} UTC."
        )
    return _in_order(parts, "database")


def _of_device(snapshot, device_id, jobs, start, end):
    device = snapshot.row("device", device=device_id)
    data = build(snapshot, device, micros(start), micros(end))
    rows = np.flatnonzero((data.rows["status"] >= 0) & ~np.isnan(data.rows["power_w"]))
    found = data.rows["status"][rows]
    answering = data.statuses["state"][found] != STATES.index("offline") if len(rows) else np.empty(0, bool)
    rows, found = rows[answering], found[answering]
    if not len(rows):
        return None
    at = data.rows["at"][rows]
    columns = {name: data.statuses[name][found].astype(float) for name in features.MEASURED}
    columns |= {
        "at": at,
        "state": data.statuses["state"][found].astype(np.int64),
        "phase": data.statuses["phase"][found].astype(np.int64),
        "temperature_c": data.rows["temperature_c"][rows],
        "power_w": data.rows["power_w"][rows],
        "group": groups_of_jobs(device_id, at, jobs),
    }
    columns |= {
        name: np.full(len(rows), np.nan if device[name] is None else float(device[name])) for name in DEVICE_NUMBERS
    }
    columns |= {
        "device_id": _repeated(device_id, len(rows)),
        "device_model": _repeated(device["device_model"], len(rows)),
    }
    codes = data.statuses["material"][found]
    material = _repeated(None, len(rows))
    for code, name in data.materials.items():
        material[codes == code] = name
    return columns | {"material": material}


def _repeated(value, n):
    column = np.empty(n, object)
    column[:] = value
    return column


def groups_of_jobs(device_id, at, jobs):
    """The group of each moment: the print that it lies in, or the time after the last print before it."""
    names = np.empty(len(at), object)
    begins = np.array([int(job["t0"] * US) for job in jobs], np.int64)
    ends = np.array([int(min(job["t1"], 9e9) * US) for job in jobs], np.int64)
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


def from_csv(path, device_model=None):
    """The TrainingSet of a CSV file; raises NoTrainingData with the line that is wrong.

    Needed columns: timestamp (ISO 8601 with offset), power_watts, state. Known too: device_id, device_model, material, job,
    temperature_c, the columns of printer_status, rated_power_w, idle_power_w, bed_width, bed_depth. Empty is unknown.
    """
    rows = []
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            missing = {"timestamp", "power_watts", "state"} - set(reader.fieldnames or ())
            if missing:
                raise NoTrainingData(
                    f"{path}: the column {sorted(missing)[0]} is missing; needed are timestamp, power_watts and state."
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
    rows = [row for row in rows if row is not None and (device_model is None or row["device_model"] == device_model)]
    if not rows:
        raise NoTrainingData(
            f"{path}: no row with a power and a state" + (f" of model {device_model}." if device_model else ".")
        )
    parts = []
    for device_id in sorted({row["device_id"] for row in rows}):
        mine = sorted((row for row in rows if row["device_id"] == device_id), key=lambda row: row["at"])
        columns = {name: np.array([row[name] for row in mine], float) for name in NUMBERS if not name.endswith("_rate")}
        columns |= {
            name: np.array([row[name] for row in mine] + [None], object)[:-1]
            for name in ("device_id", "device_model", "material")
        }
        columns |= {name: np.array([row[name] for row in mine], np.int64) for name in ("at", "state")}
        for part in ("nozzle", "bed"):
            columns[f"{part}_rate"] = rates(columns["at"], columns[f"{part}_temp_actual"])
        columns["phase"] = phases_of_statuses(columns).astype(np.int64)
        columns["group"] = _groups_of_rows(device_id, mine)
        parts.append(columns)
    return _in_order(parts, str(path))


def _csv_row(row):
    power = _csv_number(row, "power_watts")
    state = (row["state"] or "").strip().lower()
    if state and state not in STATES:
        raise ValueError(f"unknown state {state[:40]!r}; known are {', '.join(STATES)}")
    if power is None or not state or state == "offline":
        return None
    try:
        at = datetime.fromisoformat(row["timestamp"])
    except (TypeError, ValueError):
        raise ValueError(f"timestamp {str(row['timestamp'])[:40]!r} is no ISO 8601 time") from None
    if at.tzinfo is None:
        raise ValueError("timestamp needs an offset or Z")
    values = {
        name: np.nan if (value := _csv_number(row, name)) is None else value
        for name in NUMBERS
        if name != "power_w" and not name.endswith("_rate")
    }
    words = {name: (row.get(name) or "").strip() or None for name in ("device_id", "device_model", "material", "job")}
    return {
        **values,
        **words,
        "device_id": words["device_id"] or "printer",
        "at": micros(at.astimezone(UTC)),
        "state": STATES.index(state),
        "power_w": power,
    }


def _csv_number(row, name):
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


def _groups_of_rows(device_id, rows):
    """Groups from the column job; without it a print is a stretch of printing, heating or pausing."""
    busy = {STATES.index(state) for state in ("heating", "printing", "paused", "attention")}
    names, number, last = np.empty(len(rows), object), 0, None
    for place, row in enumerate(rows):
        key = row["job"] if row["job"] is not None else row["state"] in busy
        hole = place and row["at"] - rows[place - 1]["at"] > 12 * STATUS_HOLDS_US
        if key != last or hole:
            number, last = number + 1, key
        names[place] = f"{device_id} {number}"
    return names


def _in_order(parts, source):
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    order = np.argsort(columns["at"], kind="stable")
    return TrainingSet({name: values[order] for name, values in columns.items()}, source)
