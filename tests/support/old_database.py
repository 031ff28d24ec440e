"""Databases of version 0.1.0, before anything of a later version is done to them."""

import csv
import io
import re
import subprocess
from pathlib import Path

from backup import archive, stack
from common.postgres import program
from database import migrate
from tests.plugin.database import Database

ARCHIVE = Path(__file__).parents[1] / "upgrade/enms-0.1.0.zip"
MIGRATIONS = ("0001_tables.sql", "0002_gcode_queue.sql")


def made(dsn: str, engine: str) -> Database:
    """An empty database with the tables of 0.1.0, without its functions and views."""
    migrate.prepare(dsn)
    db = Database(dsn, engine)
    if engine == "timescale":
        db.all("CREATE EXTENSION IF NOT EXISTS timescaledb")
    db.all("SET ROLE enms_owner")
    for name in MIGRATIONS:
        path = migrate.HERE / "migrations" / name
        db.all(path.read_text())
        if name == MIGRATIONS[0]:
            db.all((migrate.HERE / "engines" / f"{engine}.sql").read_text())
        db.all("INSERT INTO schema_migrations VALUES (%s, %s)", name, migrate.checksum(path))
    db.all("INSERT INTO settings VALUES ('engine', %s, ''), ('compress_after', '7 days', '')", engine)
    db.all("INSERT INTO settings VALUES ('frozen_before', '-infinity', ''), ('seeded', 'yes', '')")
    db.all("RESET ROLE")
    return db


def fill(db: Database, place: Path) -> None:
    """Puts the rows of the committed archive into the tables; unpacks it in `place`."""
    for name in (stack.DUMP, stack.REGISTRY):
        archive.extract(ARCHIVE, name, place / name.replace("/", "-"))
    head, *devices = csv.reader((place / stack.REGISTRY.replace("/", "-")).open())
    db.all("DELETE FROM settings")
    for table, columns, text in archived(place / stack.DUMP):
        if table != "schema_migrations":
            copy(db, table, columns, text)
        if table == "factories":
            insert(db, "devices", ", ".join(head), [[value or None for value in row] for row in devices])
    db.all("UPDATE settings SET value = %s WHERE name = 'engine'", db.engine)


def archived(dump: Path) -> list[tuple[str, str, str]]:
    """(table, columns, rows in COPY's text format) of a dump, registries first."""
    command = [program("pg_restore"), "--data-only", "-f", "-", str(dump)]
    text = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    found = []
    for part in text.split("\nCOPY public.")[1:]:
        head, _, rest = part.partition(" FROM stdin;\n")
        table, _, columns = head.partition(" ")
        found.append((table, columns.strip("()"), rest[: rest.index("\\.\n")]))
    return sorted(found, key=lambda part: {"factories": 0, "meters": 1}.get(part[0], 2))


def copy(db: Database, table: str, columns: str, text: str) -> None:
    """Adds rows in COPY's text format."""
    if db.engine == "plain":
        with db.connection.cursor() as cursor:
            cursor.copy_expert(f"COPY {table} ({columns}) FROM STDIN", io.StringIO(text))
        return
    # The WASM server knows no COPY.
    escapes = {"n": "\n", "t": "\t", "r": "\r"}
    unescape = lambda found: escapes.get(found[1], found[1]) or ""
    value = lambda word: None if word == "\\N" else re.sub(r"\\(.)", unescape, word) if "\\" in word else word
    insert(db, table, columns, [[value(word) for word in line.split("\t")] for line in text.splitlines()])


def insert(db: Database, table: str, columns: str, rows: list[list[str | None]]) -> None:
    """Adds rows of texts, None for NULL."""
    literal = lambda value: "NULL" if value is None else "'" + value.replace("'", "''") + "'"
    for i in range(0, len(rows), 200):  # the WASM server ends at a long statement
        values = ", ".join(f"({', '.join(map(literal, row))})" for row in rows[i : i + 200])
        db.all(f"INSERT INTO {table} ({columns}) OVERRIDING SYSTEM VALUE VALUES {values}")


def generate(db: Database, rows: int, meters: int = 50) -> None:
    """Fills the tables with about that many rows, in the order in which a running system would have written them: six
    tenths of them are readings, the rest minute rollups and states.
    """
    steps = rows // meters // 10
    with db.connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO factories (slug, name, timezone) VALUES ('main', 'Main', 'Europe/Berlin');
            INSERT INTO devices (device_id, factory_id, friendly_name)
                SELECT 'device-' || n, factory_id, 'Device ' || n FROM factories, generate_series(1, %(meters)s) n;
            INSERT INTO meters (meter_id, protocol)
                SELECT 'meter-' || n || '/switch:0', 'shelly_gen2' FROM generate_series(1, %(meters)s) n;
            INSERT INTO meter_assignments (meter_id, device_id, valid_from)
                SELECT 'meter-' || n || '/switch:0', 'device-' || n, '-infinity' FROM generate_series(1, %(meters)s) n;
            INSERT INTO energy_data (meter_id, device_id, timestamp, power_watts, energy_total_wh, energy_delta_wh,
                                     interval_start, base_wh, base_at, voltage, current_amps, quality)
                SELECT 'meter-' || m || '/switch:0', 'device-' || m, t, 60 + n %% 97 * 1.7, n * 0.1, 0.1,
                       t - interval '10 s', (n - 1) * 0.1, t - interval '10 s', 230 + n %% 7, 0.26,
                       CASE WHEN n %% 50 = 0 THEN 'gap' END
                FROM generate_series(1, 6 * %(steps)s) n, generate_series(1, %(meters)s) m,
                     LATERAL (SELECT timestamptz '2026-08-05 07:00Z' + n * interval '10 s' AS t) at;
            INSERT INTO energy_rollup_1min (meter_id, device_id, bucket, energy_wh, avg_power_w, min_power_w,
                                            max_power_w, coverage_s, reading_count)
                SELECT 'meter-' || m || '/switch:0', CASE WHEN n %% 100 > 0 THEN 'device-' || m ELSE '' END,
                       timestamptz '2026-08-05 07:00Z' + n * interval '1 min', 0.6, 60.5, 60 + n %% 3, 70, 60, 6
                FROM generate_series(1, 2 * %(steps)s) n, generate_series(1, %(meters)s) m;
            INSERT INTO printer_status (device_id, timestamp, state, nozzle_temp_actual, bed_temp_actual,
                                        progress_percent, filename)
                SELECT 'device-' || m, timestamptz '2026-08-05 07:00Z' + n * interval '30 s',
                       (ARRAY['printing', 'idle', 'heating'])[1 + n / 100 %% 3], 210 + n %% 5, 60, n %% 100, 'part'
                FROM generate_series(1, 2 * %(steps)s) n, generate_series(1, %(meters)s) m
            """,
            {"steps": steps, "meters": meters},
        )
        cursor.execute("ANALYZE")
