"""Copies the rows of 0.1.0 from the schema `before` (text ids) into the tables of the schema `series` (keys), and
removes the old tables when every row is found again.

* Rows go by month, then by meter, device, place or sensor, in pieces of at most PIECE rows. Each piece is one
  transaction together with its entry in `before.copied`, so that a kill at any moment neither loses nor doubles a row:
  the next run goes on behind the last piece.
* Then both sides are compared per table and id: number of rows, first and last time, and a checksum over every column
  of every row. Ids are compared as texts, so that a wrong key is found, too. Only when all agree is `before` dropped.
* Nothing else may write meanwhile: the services start after the migration.
"""

import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg2.extensions

from common.errors import EnmsError

Cursor = psycopg2.extensions.cursor
Say = Callable[[str], object]

HERE = Path(__file__).resolve().parent
PREFIX = "old rows: "  # of every line that is told: `./enms up` shows these
PIECE = 200_000
EVERY = 3.0  # seconds between two lines of progress
# {text id: (its registry, key in the series)}
REGISTRIES = {
    "meter_id": ("meters", "meter_key"),
    "device_id": ("devices", "device_key"),
    "location_id": ("locations", "location_key"),
    "sensor_id": ("sensors", "sensor_key"),
}
NUMBERS = ("double precision", "real", "integer", "bigint", "smallint")
# Measured with 5,000,000 rows: the new ones with their indexes take 0.62 of the old ones' room.
NEW_SHARE = 0.75


class MigrationError(EnmsError):
    """A migration that can't be applied; the text says why and what to do."""


@dataclass(frozen=True)
class Table:
    """One table of 0.1.0 and the series that its rows go to; `renamed` are columns with another name there."""

    before: str
    series: str
    key: str
    time: str = "timestamp"
    renamed: tuple[tuple[str, str], ...] = ()

    @property
    def registry(self) -> str:
        """The table that has the ids of the rows."""
        return REGISTRIES[self.key][0]

    @property
    def key_column(self) -> str:
        """The key that stands for the id in the series."""
        return REGISTRIES[self.key][1]

    @property
    def is_rollup(self) -> bool:
        """True where a row always has a device: '' before, 0 now, when there was none."""
        return self.before.startswith("energy_rollup")


TABLES = (
    # Small ones first: what is wrong with them shows before the long copies.
    Table("ml_predictions", "prediction", "device_id"),
    Table("printer_phase_1hour", "device_state_1hour", "device_id", "bucket"),
    Table(
        "environment_data",
        "environmental",
        "location_id",
        renamed=(("temperature_c", "indoor_temp_c"), ("humidity_pct", "humidity_percent")),
    ),
    Table("smartplug_data", "smartplug", "meter_id"),
    Table("max6675_temperature_data", "max6675_temperature", "sensor_id"),
    Table("mpu6050_accelerometer_data", "mpu6050_accelerometer", "sensor_id"),
    Table("mpu6050_gyroscope_data", "mpu6050_gyroscope", "sensor_id"),
    Table("energy_rollup_1day", "energy_1day", "meter_id", "bucket"),
    Table("energy_rollup_1hour", "energy_1hour", "meter_id", "bucket"),
    Table("energy_rollup_15min", "energy_15min", "meter_id", "bucket"),
    Table("energy_rollup_1min", "energy_1min", "meter_id", "bucket"),
    Table("printer_status", "device_status", "device_id"),
    Table("energy_data", "energy", "meter_id", renamed=(("energy_total_wh", "reading_wh"),)),
)


def pending(cursor: Cursor) -> bool:
    """Whether rows of 0.1.0 wait to be copied, or the old tables to be removed."""
    return _one(cursor, "SELECT to_regnamespace('before') IS NOT NULL")


def check_disk(cursor: Cursor, folder: str | None, say: Say) -> None:
    """Tells how much room the copy needs and how much there is; `folder` is on the disk of the database's own data,
    None where that can't be seen from here.

    Works before and after the tables were moved to the schema `before`. Raises MigrationError when there is too little.
    """
    schema = "before" if pending(cursor) else "public"
    is_timescale = _one(cursor, "SELECT value FROM settings WHERE name = 'engine'") == "timescale"
    if not any(_one(cursor, f"SELECT EXISTS (SELECT 1 FROM {schema}.{table.before})") for table in TABLES):
        return
    old = sum(_bytes(cursor, is_timescale, schema, table.before) for table in TABLES)
    new = sum(_bytes(cursor, is_timescale, "series", table.series) for table in TABLES) if schema == "before" else 0
    needed = int(max(old * NEW_SHARE - new, 0))
    # The log of the changes is kept until the next checkpoint.
    needed += min(old, _one(cursor, "SELECT pg_size_bytes(current_setting('max_wal_size'))"))
    if is_timescale:
        needed += max(_open_month_bytes(cursor, schema, table.before) for table in TABLES)
    if folder is None:
        say(f"{PREFIX}the copy needs about {_size(needed)}; how much is free on the server can't be seen from here")
        return
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise MigrationError(
            f"the rows of the old version are copied into new tables, which needs about {_size(needed)}, and "
            f"{_size(free)} are free on the disk of {folder}: free some space and start again. "
            "The old rows are as they were."
        )
    say(f"{PREFIX}the copy needs about {_size(needed)}, {_size(free)} are free on the disk of {folder}")


def _bytes(cursor: Cursor, is_timescale: bool, schema: str, name: str) -> int:
    """Room of a table with its indexes and with all its partitions or chunks."""
    if is_timescale:
        size = "coalesce(hypertable_size(c.oid), pg_total_relation_size(c.oid))"
        is_hypertable = (
            "SELECT 1 FROM timescaledb_information.hypertables h "
            "WHERE h.hypertable_schema = n.nspname AND h.hypertable_name = c.relname"
        )
        size = f"CASE WHEN EXISTS ({is_hypertable}) THEN {size} ELSE pg_total_relation_size(c.oid) END"
    else:
        size = (
            "pg_total_relation_size(c.oid) + coalesce((SELECT sum(pg_total_relation_size(i.inhrelid)) "
            "FROM pg_inherits i WHERE i.inhparent = c.oid), 0)"
        )
    return int(
        _one(
            cursor,
            f"SELECT {size} FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
            "WHERE n.nspname = %s AND c.relname = %s",
            schema,
            name,
        )
    )


def _open_month_bytes(cursor: Cursor, schema: str, name: str) -> int:
    """Room that the biggest month of a hypertable takes before its chunks are compressed again."""
    return int(
        _one(
            cursor,
            "SELECT coalesce(sum(b), 0) FROM (SELECT s.before_compression_total_bytes AS b "
            "FROM timescaledb_information.hypertables h CROSS JOIN LATERAL "
            "chunk_compression_stats(format('%%I.%%I', h.hypertable_schema, h.hypertable_name)::regclass) s "
            "WHERE h.hypertable_schema = %s AND h.hypertable_name = %s AND h.compression_enabled "
            "AND s.before_compression_total_bytes IS NOT NULL ORDER BY 1 DESC LIMIT 6) biggest",
            schema,
            name,
        )
    )


def run(cursor: Cursor, say: Say) -> None:
    """Copies, compares and removes `before`. The connection is in autocommit mode, nothing derived exists.

    Raises MigrationError when a table differs from its copy: then nothing was removed.
    """
    # The months of the plain engine.
    cursor.execute((HERE / "functions" / "03_partitions.sql").read_text())
    cursor.execute("SET synchronous_commit = off")
    try:
        copies = [_Copy(cursor, table, say) for table in TABLES]
        total = sum(copy.count() for copy in copies)
        if total:
            progress = _Progress(total, sum(copy.done for copy in copies), say)
            for copy in copies:
                copy.run(progress)
            progress.copied()
            for copy in copies:
                copy.compare()
            say(f"{PREFIX}every row of {len(copies)} tables is in its new place")
            for copy in copies:
                cursor.execute(f"ANALYZE series.{copy.table.series}")
        _finish(cursor)
        if total:
            say(f"{PREFIX}the old tables were removed")
    finally:
        if not cursor.connection.closed:
            cursor.execute("RESET synchronous_commit")


def _finish(cursor: Cursor) -> None:
    """Removes the old tables; what was copied is on the disk from here on."""
    cursor.execute("BEGIN")
    try:
        cursor.execute("SET LOCAL synchronous_commit = on")
        # Days of 0.1.0 were those of one zone, whatever factory a meter was in.
        cursor.execute("""
            INSERT INTO rollup_dirty (meter_id, from_ts, to_ts, step)
            SELECT m.meter_id, min(x.t0), max(x.t1), 86400
            FROM (SELECT meter_key, min(bucket) AS t0, max(bucket) + interval '15 minutes' AS t1
                  FROM series.energy_15min GROUP BY 1
                  UNION ALL SELECT meter_key, min(bucket), max(bucket) + interval '25 hours'
                  FROM series.energy_1day GROUP BY 1) x
            JOIN meters m USING (meter_key)
            WHERE (SELECT count(DISTINCT timezone) FROM factories) > 1 GROUP BY 1 ORDER BY 1""")
        cursor.execute("DROP SCHEMA before CASCADE")
        cursor.execute("COMMIT")
    except BaseException:
        if not cursor.connection.closed:
            cursor.execute("ROLLBACK")
        raise


class _Progress:
    """Tells how far the copy is, every few seconds."""

    def __init__(self, total: int, done: int, say: Say) -> None:
        self.total, self.done, self.say = total, done, say
        self.began = self.told = time.monotonic()
        self.first = done
        say(f"{PREFIX}{total:,} to copy" + (f", {done:,} of them are copied already" if done else ""))

    def add(self, rows: int) -> None:
        self.done += rows
        now = time.monotonic()
        if now - self.told >= EVERY:
            self.told = now
            rate = max(self._rate(now), 1.0)
            left = max(self.total - self.done, 0) / rate
            self.say(
                f"{PREFIX}{self.done:,} of {self.total:,} copied ({100 * self.done / self.total:.0f} %), "
                f"{rate:,.0f} a second, {_clock(left)} left"
            )

    def copied(self) -> None:
        now = time.monotonic()
        rows = self.done - self.first
        self.say(
            f"{PREFIX}{rows:,} copied in {_clock(now - self.began)}"
            + (f", {self._rate(now):,.0f} a second" if rows else "")
            + "; comparing"
        )

    def _rate(self, now: float) -> float:
        return (self.done - self.first) / max(now - self.began, 1e-3)


class _Copy:
    """The copy of one table."""

    def __init__(self, cursor: Cursor, table: Table, say: Say) -> None:
        self.cursor, self.table, self.say = cursor, table, say
        cursor.execute(
            "SELECT attname, format_type(atttypid, NULL) FROM pg_attribute WHERE attrelid = %s::regclass "
            "AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
            (f"before.{table.before}",),
        )
        types: dict[str, str] = dict(cursor.fetchall())
        renamed: dict[str, str] = dict(table.renamed)
        self.has_state = "state" in types
        # the device of a reading follows from its meter's assignments
        self.has_device = "device_id" in types and table.key != "device_id" and table.series != "energy"
        # {old: new} of the columns whose values stay as they are.
        special = {table.key, "device_id", "state"}
        self.columns = {name: renamed.get(name, name) for name in types if name not in special}
        self.numbers = [name for name in self.columns if types[name] in NUMBERS]
        self.done = 0
        self.months: dict[datetime, dict[str, int]] = {}  # {month: {id: rows to copy}}, ids in the order of their keys
        self.behind: dict[str, datetime] = {}  # {id: time of the last copied row}

    # Statements ---------------------------------------------------------------------------------------------------

    def old_rows(self, *conditions: str) -> str:
        """FROM and WHERE of the old rows that can be copied: o, with k the id's registry, d the device, s the state."""
        table = self.table
        joins = f"before.{table.before} o JOIN {table.registry} k ON k.{table.key} = o.{table.key}"
        if self.has_device:
            joins += " LEFT JOIN devices d ON d.device_id = o.device_id"
            if table.is_rollup:
                conditions = (*conditions, f"({_ROLLUP_DEVICE})")
        if self.has_state:
            joins += " LEFT JOIN states s ON s.state = o.state"
        return f"FROM {joins}" + (f" WHERE {' AND '.join(conditions)}" if conditions else "")

    def new_rows(self) -> str:
        """FROM of their copies: n, with the same names for what the keys stand for."""
        table = self.table
        joins = f"series.{table.series} n JOIN {table.registry} k USING ({table.key_column})"
        if self.has_device:
            joins += " LEFT JOIN devices d ON d.device_key = n.device_key"
        if self.has_state:
            joins += " LEFT JOIN states s ON s.state_key = n.state_key"
        return f"FROM {joins}"

    def insert(self) -> str:
        table = self.table
        values = {table.key_column: f"k.{table.key_column}"}
        if self.has_device:
            values["device_key"] = "coalesce(d.device_key, 0)" if table.is_rollup else "d.device_key"
        if self.has_state:
            values["state_key"] = "s.state_key"
        values |= {new: f"o.{old}" for old, new in self.columns.items()}
        piece = (f"o.{table.key} = %(id)s", f"o.{table.time} > %(behind)s", f"o.{table.time} <= %(upto)s")
        return (
            f"INSERT INTO series.{table.series} ({', '.join(values)}) SELECT {', '.join(values.values())} "
            f"{self.old_rows(*piece)} ORDER BY o.{table.time}"
        )

    def sums(self, is_new: bool) -> str:
        """Per id: number of rows, first and last time, and the sum of a checksum of each row's columns.

        It is exact where a sum of floats depends on the order in which they are added, and finds what sums can't:
        values of two rows exchanged, another text.
        """
        name = "n" if is_new else "o"
        parts = [f"{name}.{new if is_new else old}" for old, new in self.columns.items()]
        if self.has_device:
            parts.append("coalesce(d.device_id, '')" if self.table.is_rollup else "d.device_id")
        if self.has_state:
            parts.append("s.state" if is_new else "o.state")
        at = f"{name}.{self.table.time}"
        return (
            f"SELECT k.{self.table.key}, count(*), min({at}), max({at}), "
            f"sum(hash_record_extended(ROW({', '.join(parts)}), 0)) "
            f"{self.new_rows() if is_new else self.old_rows()} GROUP BY 1"
        )

    # Steps --------------------------------------------------------------------------------------------------------

    def count(self) -> int:
        """Finds out what is to be copied and how much of it is done; returns the number of rows to have at the end."""
        table = self.table
        joins, kept = "", "true"
        if table.is_rollup:
            joins, kept = "LEFT JOIN devices d ON d.device_id = o.device_id", f"({_ROLLUP_DEVICE})"
        self.cursor.execute(
            f"SELECT o.{table.key}, date_trunc('month', o.{table.time}, 'UTC'), count(*), "
            f"count(*) FILTER (WHERE {kept}) FROM before.{table.before} o {joins} GROUP BY 1, 2"
        )
        found = self.cursor.fetchall()
        keys = self.register({name for name, *_ in found})
        for name, month, _, rows in sorted(found, key=lambda row: keys.get(row[0], 0)):
            if name in keys:
                self.months.setdefault(month, {})[name] = rows
        total = sum(sum(rows.values()) for rows in self.months.values())
        self.tell_left_out(sum(rows for _, _, rows, _ in found) - total)
        self.cursor.execute("SELECT key, rows FROM before.copied WHERE table_name = %s", (table.before,))
        for name, copied in self.cursor.fetchall():
            self.done += copied
            # Pieces of an id follow each other in time.
            for month in sorted(self.months):
                known = self.months[month].get(name, 0)
                self.months[month][name] = known - min(copied, known)
                copied -= min(copied, known)
            newest = f"SELECT max(n.{table.time}) {self.new_rows()} WHERE k.{table.key} = %s"
            self.behind[name] = _one(self.cursor, newest, name) or _EARLIEST
        return total

    def register(self, names: set[str]) -> dict[str, int]:
        """{id: key} of these ids; meters, places and sensors that only rows name are registered."""
        table = self.table
        if table.key != "device_id":
            columns, values = (", protocol", ", 'unknown'") if table.key == "meter_id" else ("", "")
            self.cursor.execute(
                f"INSERT INTO {table.registry} ({table.key}{columns}) "
                f"SELECT u.id{values} FROM unnest(%s::text[]) AS u (id) "
                f"WHERE u.id NOT IN (SELECT {table.key} FROM {table.registry}) ORDER BY 1 RETURNING {table.key}",
                (list(names),),
            )
            new = [name for (name,) in self.cursor.fetchall()]
            if table.key == "meter_id" and new:
                self.cursor.execute(
                    "INSERT INTO meter_state (meter_id) SELECT unnest(%s::text[]) ON CONFLICT DO NOTHING", (new,)
                )
                self.say(f"{PREFIX}meters that only {table.before} knew are registered now: {_some(new)}")
        self.cursor.execute(
            f"SELECT {table.key}, {table.key_column} FROM {table.registry} WHERE {table.key} = ANY (%s::text[])",
            (list(names),),
        )
        return dict(self.cursor.fetchall())

    def tell_left_out(self, rows: int) -> None:
        """Tells of rows that have no place in the series: there, a row has a device of the registry."""
        if not rows:
            return
        self.cursor.execute(
            f"SELECT DISTINCT o.device_id FROM before.{self.table.before} o WHERE o.device_id <> '' "
            "AND NOT EXISTS (SELECT 1 FROM devices d WHERE d.device_id = o.device_id) ORDER BY 1"
        )
        names = _some([name for (name,) in self.cursor.fetchall()])
        self.say(f"{PREFIX}{rows:,} rows of {self.table.before} are left out, no such device is registered: {names}")

    def run(self, progress: _Progress) -> None:
        """Copies what is left."""
        for month in sorted(self.months):
            end = _next_month(month)
            rows = {name: left for name, left in self.months[month].items() if left}
            if rows:
                self.cursor.execute("SELECT ensure_months(%s, %s, %s)", (self.table.series, month, end - _TICK))
            for name in rows:
                for behind, upto in self.pieces(name, rows[name], month, end):
                    progress.add(self.copy(name, behind, upto))
            self.compress(end)
        self.compress(_LATEST)

    def pieces(self, name: str, rows: int, month: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
        """(after, up to) of the pieces of an id in a month."""
        table = self.table
        behind = max(self.behind.get(name, _EARLIEST), month - _TICK)
        while rows > 0:
            upto = None
            if rows > PIECE:
                self.cursor.execute(
                    f"SELECT o.{table.time} FROM before.{table.before} o WHERE o.{table.key} = %s "
                    f"AND o.{table.time} > %s AND o.{table.time} < %s ORDER BY 1 OFFSET %s LIMIT 1",
                    (name, behind, end, PIECE - 1),
                )
                found = self.cursor.fetchone()
                upto = found[0] if found else None
            yield behind, upto or end - _TICK
            if upto is None:
                return
            behind, rows = upto, rows - PIECE

    def copy(self, name: str, behind: datetime, upto: datetime) -> int:
        """Copies one piece; returns its rows."""
        self.cursor.execute("BEGIN")
        try:
            self.cursor.execute(self.insert(), {"id": name, "behind": behind, "upto": upto})
            rows = self.cursor.rowcount
            self.cursor.execute(
                "INSERT INTO before.copied AS c (table_name, key, rows) VALUES (%s, %s, %s) "
                "ON CONFLICT (table_name, key) DO UPDATE SET rows = c.rows + excluded.rows",
                (self.table.before, name, rows),
            )
            self.cursor.execute("COMMIT")
        except BaseException:
            if not self.cursor.connection.closed:
                self.cursor.execute("ROLLBACK")
            raise
        return rows

    def compress(self, until: datetime) -> None:
        """TimescaleDB: compresses chunks that got all their rows and are as old as those that are compressed usually.

        The old ones were compressed, and the disk may have no room for all of them as they are.
        """
        if _one(self.cursor, "SELECT value FROM settings WHERE name = 'engine'") != "timescale":
            return
        self.cursor.execute(
            """SELECT format('%%I.%%I', c.chunk_schema, c.chunk_name)
               FROM timescaledb_information.chunks c
               JOIN timescaledb_information.hypertables h USING (hypertable_schema, hypertable_name)
               WHERE c.hypertable_schema = 'series' AND c.hypertable_name = %s AND h.compression_enabled
                 AND NOT c.is_compressed AND c.range_end <= least(%s, now() - (
                     SELECT value::interval FROM settings WHERE name = 'compress_after')) ORDER BY c.range_start""",
            (self.table.series, until),
        )
        for (chunk,) in self.cursor.fetchall():
            self.cursor.execute("SELECT compress_chunk(%s::regclass)", (chunk,))

    def compare(self) -> None:
        """Raises MigrationError where the copy is not what was copied."""
        sides: list[dict[str, tuple[Any, ...]]] = []
        for is_new in (False, True):
            self.cursor.execute(self.sums(is_new))
            sides.append({row[0]: row[1:] for row in self.cursor.fetchall()})
        old, new = sides
        for name in sorted(old.keys() | new.keys()):
            if old.get(name) != new.get(name):
                raise MigrationError(self.difference(name))

    def difference(self, name: str) -> str:
        """A sentence about an id whose rows differ: the first figure that does."""
        table = self.table
        names = ["number of rows", "first time", "last time", *(f"sum of {column}" for column in self.numbers)]
        figures = []
        for letter, rows in (
            ("o", self.old_rows(f"k.{table.key} = %s")),
            ("n", f"{self.new_rows()} WHERE k.{table.key} = %s"),
        ):
            at = f"{letter}.{table.time}"
            sums = [f"sum({letter}.{self.columns[x] if letter == 'n' else x}::numeric)" for x in self.numbers]
            self.cursor.execute(f"SELECT {', '.join(['count(*)', f'min({at})', f'max({at})', *sums])} {rows}", (name,))
            figures.append(self.cursor.fetchall()[0])
        what = next(
            (f"the {title} is {a} there and {b} here" for title, a, b in zip(names, *figures) if a != b),
            "the sums agree, but not every row",
        )
        quoted = name.replace("'", "''")
        (key,) = _row(self.cursor, f"SELECT {table.key_column} FROM {table.registry} WHERE {table.key} = %s", name)
        return (
            f"the copy of before.{table.before} in series.{table.series} differs for {table.key} {name}: {what}. "
            "The old rows are kept, nothing was removed. To copy this one again: "
            f"DELETE FROM series.{table.series} WHERE {table.key_column} = {key}; "
            f"DELETE FROM before.copied WHERE table_name = '{table.before}' AND key = '{quoted}'; then start again."
        )


# A rollup without device is kept, one of a device that nobody knows isn't.
_ROLLUP_DEVICE = "d.device_key IS NOT NULL OR o.device_id = ''"
_TICK = timedelta(microseconds=1)
_EARLIEST = datetime(1, 1, 1, tzinfo=UTC)
_LATEST = datetime(9999, 1, 1, tzinfo=UTC)


def _next_month(month: datetime) -> datetime:
    return (month + timedelta(days=32)).replace(day=1)


def _row(cursor: Cursor, statement: str, *values: object) -> tuple[Any, ...]:
    cursor.execute(statement, values or None)
    return cursor.fetchall()[0]


def _one(cursor: Cursor, statement: str, *values: object) -> Any:
    return _row(cursor, statement, *values)[0]


def _some(names: list[str]) -> str:
    return ", ".join(names[:10]) + (" …" if len(names) > 10 else "")


def _size(number: int) -> str:
    return f"{number / 1e9:.1f} GB" if number >= 1e9 else f"{number / 1e6:.0f} MB"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}" if minutes >= 60 else f"{minutes}:{rest:02}"
