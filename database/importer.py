"""Brings history into ENMS: ``python -m database.importer FILE.csv [FILE.csv …]`` or ``import_file(dsn, path)``.

The header decides the kind (names as in the database):

* readings: ``device_id`` or ``meter_id``, ``timestamp`` and any of ``power_watts``, ``energy_total_wh`` (the counter)
  and ``energy_wh`` (the energy of the interval that ends then; its length is ``interval_s``, else the meter's) (+
  voltage, current_amps, power_factor, frequency_hz, plug_temp_c),
* jobs: ``device_id, filename, start_time, end_time, status`` (+ other columns of print_jobs that a person can know);
  one that still runs has no end_time, the status printing or paused, and where known last_seen,
* statuses: ``device_id, timestamp, state`` (+ other columns of printer_status).

A time without an offset is one of the factory of its device; a meter's device is the one to which it is assigned, and
what has none belongs to the default factory.

Readings go through ``ingest_energy``, the accounting of live readings, so a file may be repeated without doubling
anything. A bad line is counted with its number and reason and recorded in ingest_rejects; the other lines are imported.
"""

import argparse
import csv
import io
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TextIO
from zoneinfo import ZoneInfo

import psycopg2
import psycopg2.extras

from common.errors import EnmsError
from database.migrate import Cursor, dsn_from_environment, first_row

Kind = Literal["readings", "statuses", "jobs"]

CHUNK_ROWS = 20_000
JSON_CHUNK_ROWS = 2_000
READING_VALUES = (
    "power_watts",
    "energy_total_wh",
    "energy_wh",
    "interval_s",
    "voltage",
    "current_amps",
    "power_factor",
    "frequency_hz",
    "plug_temp_c",
)
JOB_TEXTS = {
    "device_id",
    "filename",
    "status",
    "status_reason",
    "source_job_id",
    "simplyprint_job_id",
    "material",
    "thumbnail_url",
    "preview_url",
    "job_id",
}
JOB_NUMBERS = {
    "paused_seconds",
    "filament_used_g",
    "filament_used_mm",
    "nozzle_diameter",
    "filament_diameter",
    "progress_percent",
}
JOB_TIMES = {"start_time", "end_time", "last_seen"}


class ImportProblem(Exception):
    """The file as a whole can't be imported; the text says why."""


class BadLine(Exception):
    """One line can't be used; the text says why."""


@dataclass(slots=True)
class Report:
    """Counts of one import, and the reasons for lines that could not be used."""

    kind: Kind
    lines: int = 0
    accepted: int = 0
    repeated: int = 0
    bad: int = 0
    seconds: float = 0.0
    reasons: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[int]] = field(default_factory=dict)  # the first line numbers of each reason
    waiting: list[tuple[str, str]] = field(default_factory=list)  # (line, reason) for ingest_rejects

    def reject(self, number: int, text: str, reason: str) -> None:
        """Counts a line that can't be used."""
        self.bad += 1
        self.reasons[reason] += 1
        if len(self.examples) < 200:
            self.examples.setdefault(reason, [])
        if len(self.examples.get(reason, range(5))) < 5:
            self.examples[reason].append(number)
        if len(self.waiting) < 10_000:
            self.waiting.append((f"line {number}: {text}".replace("\0", "\\0"), reason))

    def store_rejects(self, cursor: Cursor, topic: str) -> None:
        """Records the lines that could not be used in ingest_rejects."""
        if self.waiting:
            payloads, reasons = zip(*self.waiting)
            n = len(payloads)
            cursor.execute(
                "SELECT record_rejects(%s, %s, %s, %s)", (["import"] * n, [topic] * n, list(payloads), list(reasons))
            )
            self.waiting = []

    def text(self) -> str:
        """The counts in a line, then a line per reason."""
        rate = self.lines / self.seconds if self.seconds else 0
        out = [
            f"{self.kind}: {self.lines} lines in {self.seconds:.1f} s ({rate:,.0f} lines/s): "
            f"{self.accepted} new, {self.repeated} known already, {self.bad} refused"
        ]
        for reason, count in self.reasons.most_common(20):
            numbers = ", ".join(map(str, self.examples.get(reason, [])))
            out.append(f"  {count} × {reason}" + (f" (line {numbers}{', …' if count > 5 else ''})" if numbers else ""))
        return "\n".join(out)


def import_file(dsn: str, path: str | Path, progress: Callable[[int], object] | None = None) -> Report:
    """Imports one CSV file; returns a Report. Raises ImportProblem, OSError or psycopg2.Error.

    ``progress`` is called with the number of lines read so far after each chunk.
    """
    began = time.monotonic()
    path = Path(path)
    connection = psycopg2.connect(dsn)
    connection.autocommit = True
    try:
        with connection.cursor() as cursor, open(path, encoding="utf-8-sig", errors="replace", newline=None) as file:
            cursor.execute("SET synchronous_commit = off; SET client_min_messages = warning")
            lines = _Lines(file)
            kind = _kind(lines.header)
            report = Report(kind)
            times = _Times(cursor)
            notify = progress or (lambda count: None)
            {"readings": _readings, "statuses": _statuses, "jobs": _jobs}[kind](cursor, lines, times, report, notify)
            report.store_rejects(cursor, path.name)
    finally:
        connection.close()
    report.seconds = time.monotonic() - began
    return report


class _Lines:
    """The lines of a CSV file, one physical line each, so that a stray quote spoils one line only."""

    def __init__(self, file: TextIO) -> None:
        self.file = file
        self.number = 0
        first = self._next_text()
        if first is None:
            raise ImportProblem("the file is empty")
        self.separator = max(",;\t", key=first.count)
        self.header = [name.strip().lower() for name in self._split(first)]
        self.decimal_comma = self.separator != ","

    def _next_text(self) -> str | None:
        for text in self.file:
            self.number += 1
            text = text.rstrip("\n")
            if text.strip():
                return text
        return None

    def _split(self, text: str) -> list[str]:
        if '"' not in text:
            return text.split(self.separator)
        return next(csv.reader([text], delimiter=self.separator, strict=True, skipinitialspace=True))

    def rows(self, report: Report) -> Iterator[tuple[int, str, list[str]]]:
        """Yields (line number, line, fields by header position); what can't be split is rejected."""
        width = len(self.header)
        while (text := self._next_text()) is not None:
            report.lines += 1
            try:
                fields = self._split(text)
            except csv.Error as error:
                report.reject(self.number, text, f"quotes don't match ({error})")
                continue
            if len(fields) != width:
                report.reject(self.number, text, f"{len(fields)} fields where the header has {width}")
            elif "\0" in text:
                report.reject(self.number, text, "holds a NUL byte")
            else:
                yield self.number, text, fields

    def number_of(self, name: str, text: str) -> float | None:
        """The number in a field, None when it is empty. Raises BadLine."""
        text = text.strip()
        if not text or text.lower() in ("null", "none"):
            return None
        try:
            return float(text.replace(",", ".") if self.decimal_comma else text)
        except ValueError:
            raise BadLine(f"{name} is not a number") from None


class _Times:
    """Reads ISO 8601 times; those without an offset are in the zone of the factory of a device."""

    def __init__(self, cursor: Cursor) -> None:
        self.cursor = cursor
        self.zones: dict[str | None, ZoneInfo] = {}

    def of(self, device: str | None, name: str, text: str) -> datetime:
        """The time in the field `name` of a line about `device`; None: that of the default factory. Raises BadLine."""
        try:
            moment = datetime.fromisoformat(text.strip())
        except ValueError:
            raise BadLine(f"{name} is not an ISO 8601 time") from None
        if moment.tzinfo:
            return moment
        if device not in self.zones:
            self.zones[device] = ZoneInfo(first_row(self.cursor, "SELECT device_zone(%s)", device)[0])
        return moment.replace(tzinfo=self.zones[device])


def _kind(header: Sequence[str]) -> Kind:
    names = set(header)
    if len(names) != len(header):
        raise ImportProblem("the header names a column twice")
    if {"device_id", "start_time", "end_time", "status"} <= names:
        return "jobs"
    if {"device_id", "timestamp", "state"} <= names:
        return "statuses"
    told = names & {"power_watts", "energy_total_wh", "energy_wh"}
    if "timestamp" in names and names & {"device_id", "meter_id"} and told:
        return "readings"
    raise ImportProblem(
        "the header tells no known kind: readings need device_id or meter_id, timestamp and power_watts, "
        "energy_total_wh or energy_wh; statuses device_id, timestamp, state; jobs device_id, filename, start_time, "
        "end_time, status"
    )


def _known_devices(cursor: Cursor) -> set[str]:
    cursor.execute("SELECT device_id FROM devices")
    return {name for (name,) in cursor.fetchall()}


def _unknown_device(device: str | None) -> str:
    return f"unknown device {device}: add it first (./enms device add --id {device} …)"


@dataclass(frozen=True, slots=True)
class _Meter:
    meter_id: str
    reports_intervals: bool
    device: str | None  # whose time it is in


class _Meters:
    """The meter of a line: by meter_id, or the one main meter of its device."""

    def __init__(self, cursor: Cursor) -> None:
        self.cursor = cursor
        self.by_device: dict[str | None, _Meter | BadLine] = {}
        self.by_id: dict[tuple[str, str | None], _Meter] = {}
        self.devices = _known_devices(cursor)

    def of(self, device: str | None, meter: str | None, kind: str) -> _Meter:
        """The meter, registered when it is new: of the kind of its first line. Raises BadLine."""
        if meter:
            found = self.by_id.get((meter, device))
            if found is None:
                found = self.by_id[meter, device] = self._registered(meter, device, kind)
            return found
        known = self.by_device.get(device)
        if known is None:
            known = self.by_device[device] = self._meter_of_device(device, kind)
        if isinstance(known, BadLine):
            raise known
        return known

    def _registered(self, meter: str, device: str | None, kind: str) -> _Meter:
        if device and device not in self.devices:
            raise BadLine(_unknown_device(device))
        protocol = "shelly_gen2" if any(part in meter for part in ("/switch:", "/pm1:", "/em:")) else "import"
        self.cursor.execute("SELECT register_meters(ARRAY[%s], ARRAY[%s], NULL, ARRAY[%s])", (meter, protocol, kind))
        if device:
            self.cursor.execute(
                "SELECT set_assignment(%(meter)s, %(device)s, 'main', NULL) WHERE EXISTS (SELECT 1 FROM meters WHERE "
                "meter_id = %(meter)s) AND NOT EXISTS (SELECT 1 FROM meter_assignments WHERE meter_id = %(meter)s)",
                {"meter": meter, "device": device},
            )
        return self._known(meter)

    def _known(self, meter: str) -> _Meter:
        self.cursor.execute(
            "SELECT m.reading_kind = 'interval', a.device_id "
            "FROM meters m LEFT JOIN meter_assignments a USING (meter_id) WHERE m.meter_id = %s "
            "ORDER BY a.valid_from DESC NULLS LAST LIMIT 1",
            (meter,),
        )
        # One that could not be registered is refused by the accounting, which says why.
        reports_intervals, device = self.cursor.fetchone() or (False, None)
        return _Meter(meter, bool(reports_intervals), device)

    def _meter_of_device(self, device: str | None, kind: str) -> _Meter | BadLine:
        if device not in self.devices:
            return BadLine(_unknown_device(device) if device else "neither device_id nor meter_id")
        metered = "SELECT EXISTS (SELECT 1 FROM meter_assignments WHERE device_id = %s AND valid_to = 'infinity')"
        if kind == "interval" and not first_row(self.cursor, metered, device)[0]:
            return self._registered(f"import/{device}", device, kind)
        try:
            return self._known(first_row(self.cursor, "SELECT meter_for_import(%s)", device)[0])
        except psycopg2.DataError as error:
            return BadLine(error.diag.message_primary)


def _readings(cursor: Cursor, lines: _Lines, times: _Times, report: Report, notify: Callable[[int], object]) -> None:
    at = {name: lines.header.index(name) for name in lines.header}
    values = [(name, at.get(name)) for name in READING_VALUES]
    device_at, meter_at, time_at = at.get("device_id"), at.get("meter_id"), at["timestamp"]
    kind_of_file = "interval" if "energy_wh" in at and "energy_total_wh" not in at else "counter"
    meters = _Meters(cursor)
    touched = set()
    cursor.execute(
        "CREATE TEMP TABLE import_readings (meter_id text, at timestamptz, power float8, energy float8, "
        "seconds float8, voltage float8, amps float8, pf float8, hz float8, temp float8)"
    )
    rows: list[str] = []
    span_of_file: list[datetime] = []

    def flush() -> None:
        if not rows:
            return
        buffer = io.StringIO("".join(rows))
        rows.clear()
        cursor.execute("TRUNCATE import_readings")
        cursor.copy_expert("COPY import_readings FROM STDIN", buffer)
        counts, *times_of_rows = first_row(
            cursor,
            "SELECT ingest_energy(array_agg(meter_id), array_agg(at), array_agg(power), array_agg(energy), "
            "array_agg(voltage), array_agg(amps), array_agg(pf), array_agg(hz), array_agg(temp), "
            "p_interval_s => array_agg(seconds)), min(at), max(at) FROM import_readings",
        )
        span_of_file.extend(times_of_rows)
        report.accepted += counts["accepted"]
        report.repeated += counts["repeated"]
        if counts["rejected"]:
            report.bad += counts["rejected"]
            report.reasons[
                "refused by the accounting (see ingest_rejects): unknown meter, or a time or value that can't be"
            ] += counts["rejected"]
        notify(report.lines)

    for number, text, fields in lines.rows(report):
        try:
            device = fields[device_at].strip() if device_at is not None else None
            power, counter, span, *rest = [
                None if i is None else lines.number_of(name, fields[i]) for name, i in values
            ]
            kind = kind_of_file if counter is None and span is None else "interval" if counter is None else "counter"
            meter = meters.of(device, fields[meter_at].strip() if meter_at is not None else None, kind)
            energy = span if meter.reports_intervals else counter
            if energy is None and not (counter is None and span is None):
                raise BadLine(_wrong_kind(meter))
            moment = times.of(meter.device, "timestamp", fields[time_at])
        except BadLine as problem:
            report.reject(number, text, str(problem))
            continue
        touched.add(meter.meter_id)
        rows.append(
            "\t".join(
                [
                    meter.meter_id.replace("\\", "\\\\").replace("\t", "\\t"),
                    moment.isoformat(),
                    *("\\N" if value is None else repr(value) for value in (power, energy, *rest)),
                ]
            )
            + "\n"
        )
        if len(rows) >= CHUNK_ROWS:
            flush()
    flush()
    if span_of_file:
        _settle(cursor, sorted(touched), min(span_of_file), max(span_of_file))


def _wrong_kind(meter: _Meter) -> str:
    if meter.reports_intervals:
        return f"meter {meter.meter_id} reports intervals: give energy_wh, a counter alone is none"
    return f"meter {meter.meter_id} counts: give energy_total_wh, the energy of an interval is no counter"


def _settle(cursor: Cursor, meters: list[str], first: datetime, last: datetime) -> None:
    """Makes rollups, phases and jobs of what was imported current; each step is a transaction of its own."""
    cursor.execute("SELECT learn_reporting_intervals(%s)", (meters,))
    # Of a partitioned series only the months of the file: the others are as they were.
    cursor.execute(
        "SELECT relid::regclass::text FROM pg_partition_tree('series.energy') "
        "WHERE isleaf AND right(relid::regclass::text, 7) BETWEEN %s AND %s",
        (f"{first.astimezone(UTC):%Y_%m}", f"{last.astimezone(UTC):%Y_%m}"),
    )
    tables = [name for (name,) in cursor.fetchall()] or ["series.energy"]
    for table in (*tables, "meter_state"):
        if _may_analyze(cursor, table):
            cursor.execute("ANALYZE " + table)
    for meter in meters:
        cursor.execute("SELECT refresh_rollups(0, ARRAY[%s])", (meter,))
    cursor.execute("SELECT finalize_jobs()")
    _phases(cursor)


def _may_analyze(cursor: Cursor, table: str) -> bool:
    owned = "SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = %s::regclass"
    return first_row(cursor, owned, table)[0]


def _phases(cursor: Cursor) -> None:
    remaining = 1
    while remaining:
        (done,) = first_row(cursor, "SELECT refresh_phases()")
        remaining = done["remaining"] if done["devices"] else 0


def _statuses(cursor: Cursor, lines: _Lines, times: _Times, report: Report, notify: Callable[[int], object]) -> None:
    cursor.execute(
        "SELECT attname, format_type(atttypid, NULL) FROM pg_attribute "
        "WHERE attrelid = 'series.device_status'::regclass AND attnum > 0 AND NOT attisdropped "
        "AND attname NOT IN ('device_key', 'state_key')"
    )
    kinds = {"device_id": "text", "state": "text", **dict(cursor.fetchall())}
    cursor.execute("SELECT state FROM states ORDER BY state_key")
    states = [state for (state,) in cursor.fetchall()]
    unknown = [name for name in lines.header if name not in kinds]
    if unknown:
        raise ImportProblem(f"statuses have no column {', '.join(unknown)}")
    devices = _known_devices(cursor)
    rows: list[tuple[int, str, dict[str, Any]]] = []

    def flush() -> None:
        if not rows:
            return
        try:
            (new,) = first_row(
                cursor, "SELECT record_status_rows(%s)", psycopg2.extras.Json([row for _, _, row in rows])
            )
            report.accepted += new
            report.repeated += len(rows) - new
        except (psycopg2.DataError, psycopg2.IntegrityError):
            for number, text, row in rows:  # one of them is bad: find it
                (counts,) = first_row(cursor, "SELECT record_status(%s)", psycopg2.extras.Json([row]))
                report.accepted += counts["stored"]
                report.repeated += counts["repeated"]
                if counts["rejected"]:
                    report.reject(number, text, "a value is not allowed (see ingest_rejects)")
        rows.clear()
        notify(report.lines)

    for number, text, fields in lines.rows(report):
        try:
            row = _typed(lines, times, kinds, fields)
            if row.get("device_id") not in devices:
                raise BadLine(_unknown_device(row.get("device_id")))
            if row["state"] not in states:
                raise BadLine(f"there is no state {row['state'][:40]}: use one of {', '.join(states)}")
            rows.append((number, text, row))
        except BadLine as problem:
            report.reject(number, text, str(problem))
        if len(rows) >= JSON_CHUNK_ROWS:
            flush()
    flush()
    _phases(cursor)


def _typed(lines: _Lines, times: _Times, kinds: Mapping[str, str], fields: Sequence[str]) -> dict[str, Any]:
    """A status line as JSON values by the types of their columns; empty fields are left out. Raises BadLine."""
    row: dict[str, Any] = {}
    for name, text in zip(lines.header, fields):
        text = text.strip()
        if not text:
            continue
        kind = kinds[name]
        if kind == "text":
            row[name] = text
        elif kind == "boolean":
            if text.lower() not in ("true", "false", "1", "0", "t", "f", "yes", "no"):
                raise BadLine(f"{name} is not true or false")
            row[name] = text.lower() in ("true", "1", "t", "yes")
        elif kind.startswith("timestamp"):
            row[name] = times.of(fields[lines.header.index("device_id")].strip(), name, text).isoformat()
        else:
            number = row[name] = lines.number_of(name, text)
            if number is not None and not abs(number) < 1e30:
                raise BadLine(f"{name} is not a finite number")
    if "timestamp" not in row or "state" not in row:
        raise BadLine("timestamp or state is missing")
    return row


def _jobs(cursor: Cursor, lines: _Lines, times: _Times, report: Report, notify: Callable[[int], object]) -> None:
    unknown = [name for name in lines.header if name not in JOB_TEXTS | JOB_NUMBERS | JOB_TIMES]
    if unknown:
        raise ImportProblem(
            f"jobs can't be imported with the column {', '.join(unknown)}; known: "
            + ", ".join(sorted(JOB_TEXTS | JOB_NUMBERS | JOB_TIMES))
        )
    devices = _known_devices(cursor)
    device_at = lines.header.index("device_id")
    for number, text, fields in lines.rows(report):
        row: dict[str, Any] = {}
        try:
            for name, value in zip(lines.header, fields):
                if not value.strip():
                    continue
                if name in JOB_TIMES:
                    row[name] = times.of(fields[device_at].strip(), name, value).isoformat()
                elif name in JOB_NUMBERS:
                    row[name] = lines.number_of(name, value)
                else:
                    row[name] = value.strip()
            if row.get("device_id") not in devices:
                raise BadLine(_unknown_device(row.get("device_id")))
            if first_row(cursor, "SELECT import_job(%s)", json.dumps(row))[0]:
                report.accepted += 1
            else:
                report.repeated += 1
        except BadLine as problem:
            report.reject(number, text, str(problem))
        except (psycopg2.DataError, psycopg2.IntegrityError) as error:
            report.reject(number, text, error.diag.message_primary or str(error))
        if report.lines % 1000 == 0:
            notify(report.lines)
    cursor.execute("SELECT finalize_jobs()")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m database.importer", description="Imports history from CSV files.")
    parser.add_argument("files", nargs="+", metavar="FILE.csv")
    parser.add_argument("--dsn", help="connection string; default: from the ENMS_* environment variables")
    options = parser.parse_args(arguments)
    failed = 0
    for name in options.files:
        try:
            print(f"{name}: " + import_file(options.dsn or dsn_from_environment(), name).text(), flush=True)
        except (ImportProblem, EnmsError, OSError, psycopg2.Error) as error:
            print(f"{name}: not imported: {str(error).strip()}", file=sys.stderr)
            failed = 1
    return failed


if __name__ == "__main__":
    sys.exit(main())
