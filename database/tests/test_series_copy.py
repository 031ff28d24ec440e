"""The rows of 0.1.0 in the tables of now: all of them, once, whatever happens on the way."""

import contextlib
import os
import random
import re
import subprocess
import sys
import time
import uuid
from collections import namedtuple
from collections.abc import Iterator

import psycopg2
import pytest

from common.files import ROOT
from database import migrate, series_copy
from tests.plugin.database import SEED, Database
from tests.plugin.database import wasm_server as wasm
from tests.support import old_database

# The same values by the words of both versions: {table of 0.1.0: (columns, what they are now)}.
SAME = {
    "energy_data": (
        "meter_id, timestamp, device_id, power_watts, energy_total_wh, energy_delta_wh, interval_start, base_wh, "
        "base_at, alt_wh, alt_at, voltage, current_amps, power_factor, frequency_hz, plug_temp_c, quality",
        "SELECT m.meter_id, e.timestamp, a.device_id, power_watts, reading_wh, energy_delta_wh, interval_start, "
        "base_wh, base_at, alt_wh, alt_at, voltage, current_amps, power_factor, frequency_hz, plug_temp_c, quality "
        "FROM series.energy e JOIN meters m USING (meter_key) LEFT JOIN meter_assignments a ON a.meter_id = m.meter_id "
        "AND a.valid_from <= e.timestamp AND e.timestamp < a.valid_to",
    ),
    "printer_status": (
        "device_id, timestamp, state, state_text, is_operational, is_printing, is_paused, is_error, is_busy, "
        "is_sd_ready, nozzle_temp_actual, nozzle_temp_target, bed_temp_actual, bed_temp_target, z_height_mm, "
        "speed_multiplier_percent, fan_rpm, material, filename, source_job_id, progress_percent, time_left_seconds",
        "",
    ),
    "environment_data": ("location_id, timestamp, device_id, temperature_c, humidity_pct, pressure_hpa, source", ""),
    "smartplug_data": (
        "meter_id, timestamp, device_id, power_w, energy_total_kwh, voltage_v, current_a, power_factor, "
        "apparent_power_va, reactive_power_var",
        "",
    ),
    "max6675_temperature_data": ("sensor_id, timestamp, device_id, temperature_c", ""),
    "mpu6050_accelerometer_data": (
        "sensor_id, timestamp, device_id, accel_x_ms2, accel_y_ms2, accel_z_ms2, temperature_c",
        "",
    ),
    "mpu6050_gyroscope_data": ("sensor_id, timestamp, device_id, gyro_x_rads, gyro_y_rads, gyro_z_rads", ""),
    "ml_predictions": ("device_id, timestamp, predicted_power_watts, model_version", ""),
    "printer_phase_1hour": (
        "device_id, bucket, state, seconds, energy_wh",
        "SELECT d.device_id, p.bucket, s.state, p.seconds, p.energy_wh FROM series.device_state_1hour p "
        "JOIN devices d USING (device_key) JOIN states s USING (state_key)",
    ),
    **{
        f"energy_rollup_{level}": (
            "meter_id, bucket, device_id, energy_wh, avg_power_w, min_power_w, max_power_w, coverage_s, reading_count",
            f"SELECT m.meter_id, bucket, coalesce(d.device_id, ''), energy_wh, avg_power_w, min_power_w, "
            f"r.max_power_w, coverage_s, reading_count FROM series.energy_{level} r JOIN meters m USING (meter_key) "
            "LEFT JOIN devices d USING (device_key)",
        )
        for level in ("1min", "15min", "1hour", "1day")
    },
}
DiskUsage = namedtuple("DiskUsage", "total used free")


def contents(db, after=False):
    """{table: (rows, a sum over all of them)}; afterwards through the views that have the old names and columns."""
    found = {}
    for table, (columns, now) in SAME.items():
        statement = now if after and now else f"SELECT {columns} FROM {table}"
        found[table] = db.one(
            "SELECT count(*), coalesce(sum(('x' || left(md5(t::text), 15))::bit(60)::int8::numeric), 0) "
            f"FROM ({statement}) t"
        )
    return found


@contextlib.contextmanager
def plain_database(server: str) -> Iterator[str]:
    """The connection string of a new database, dropped afterwards."""
    name = f"enms_old_{uuid.uuid4().hex[:8]}"
    with contextlib.closing(psycopg2.connect(server)) as admin:
        admin.autocommit = True
        admin.cursor().execute(f"CREATE DATABASE {name}")
        try:
            yield psycopg2.extensions.make_dsn(server, dbname=name)
        finally:
            admin.cursor().execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@pytest.fixture
def old(server):
    """An empty database of 0.1.0 on the plain engine."""
    with plain_database(server) as dsn, contextlib.closing(old_database.made(dsn, "plain")) as db:
        yield db


@pytest.fixture(params=["plain", pytest.param("timescale", marks=pytest.mark.timescale)])
def archived(request, server, tmp_path):
    """(database, engine) with the rows of the committed archive; old chunks are compressed."""
    engine = request.param
    with plain_database(server) if engine == "plain" else wasm() as dsn:
        with contextlib.closing(old_database.made(dsn, engine)) as db:
            old_database.fill(db, tmp_path)
            yield db


def told(db, **env):
    """Migrates; returns what it said."""
    lines = []
    db.close()
    try:
        migrate.migrate(db.dsn, {**SEED, **env}, lines.append)
    finally:
        db.__init__(db.dsn, db.engine)
    return lines


def is_copied(db, before):
    """All rows are there and nothing is left of the old tables."""
    assert contents(db, after=True) == before
    assert db.one("SELECT to_regnamespace('before')") is None
    assert db.one("SELECT count(*) FROM schema_migrations WHERE name = 'derived'") == 1


def test_the_archive_of_0_1_0_is_copied(archived):
    db = archived
    if db.engine == "timescale":
        for table in ("energy_data", "printer_status", "energy_rollup_1min"):
            db.all(f"SELECT compress_chunk(c) FROM show_chunks('{table}', older_than => now() - interval '7 days') c")
            db.all(f"SELECT add_compression_policy('{table}', interval '7 days')")
        assert db.one("SELECT count(*) FROM timescaledb_information.chunks WHERE is_compressed") >= 5
    before = contents(db)
    assert before["energy_data"][0] == 75498 and min(rows for rows, _ in before.values()) > 0
    # What only rows know: a plug that nobody registered, devices that were removed.
    db.all("INSERT INTO smartplug_data (meter_id, timestamp, power_w) VALUES ('stray', '2026-11-02 10:00Z', 5)")
    db.all("INSERT INTO environment_data VALUES ('h', '2026-11-02 10:00Z', 'gone', 20)")
    db.all(
        "INSERT INTO ml_predictions VALUES ('gone', '2026-11-02 10:00Z', 5, 'v'), ('gone', '2026-11-02 11:00Z', 5, 'v')"
    )
    lines = told(db)
    assert f"{series_copy.PREFIX}2 rows of ml_predictions are left out, no such device is registered: gone" in lines
    assert f"{series_copy.PREFIX}meters that only smartplug_data knew are registered now: stray" in lines
    assert any("how much is free on the server can't be seen" in line for line in lines)
    stray = "FROM series.smartplug JOIN meters USING (meter_key) WHERE meter_id = 'stray'"
    assert db.all(f"SELECT power_w, device_key {stray}") == [(5, None)]
    assert db.all("SELECT device_id FROM environment_data WHERE location_id = 'h'") == [(None,)]
    db.all("DELETE FROM series.smartplug WHERE meter_key = meter_key('stray')")
    db.all("DELETE FROM series.environmental WHERE location_key = location_key('h')")
    is_copied(db, before)
    if db.engine == "timescale":
        chunks = db.all(
            "SELECT hypertable_name, count(*) FILTER (WHERE is_compressed), count(*) FILTER (WHERE NOT is_compressed "
            "AND range_end < now() - interval '7 days') FROM timescaledb_information.chunks "
            "WHERE hypertable_name IN ('energy', 'device_status') GROUP BY 1 ORDER BY 1"
        )
        assert [(name, left) for name, _, left in chunks] == [("device_status", 0), ("energy", 0)]
        assert all(compressed >= 2 for _, compressed, _ in chunks)
        schemas = db.all("SELECT DISTINCT hypertable_schema FROM timescaledb_information.hypertables")
        assert schemas == [("series",)]
    # nothing is left to do
    assert told(db) == []


def test_it_goes_on_behind_each_piece(archived, monkeypatch):
    """Small pieces, so that ids and rollups of several devices are cut; the copy ends after a few of them, again and
    again. On TimescaleDB some chunks are compressed by then.
    """
    old = archived
    before = contents(old)
    monkeypatch.setattr(series_copy, "PIECE", 997)
    chance, copy = random.Random(11), series_copy._Copy.copy
    left = 0

    def interrupted(self, *piece):
        nonlocal left
        left -= 1
        if left == 0:
            raise KeyboardInterrupt
        return copy(self, *piece)

    monkeypatch.setattr(series_copy._Copy, "copy", interrupted)
    rounds = 0
    while True:
        left, rounds = chance.randint(1, 90), rounds + 1
        try:
            told(old)
            break
        except KeyboardInterrupt:
            continue
    assert rounds > 5
    is_copied(old, before)


def copied(db):
    """Rows that the copy has told to be in their new place."""
    try:
        return db.one("SELECT coalesce(sum(rows), 0) FROM before.copied")
    except psycopg2.Error:  # not begun, or done
        return 0


@pytest.mark.parametrize("rows", [100_000, pytest.param(1_000_000, marks=pytest.mark.long)])
def test_a_kill_at_any_moment_loses_and_doubles_nothing(old, rows):
    """kill -9 of the migrating process; the server finishes or forgets what it was told."""
    old_database.generate(old, rows)
    before = contents(old)
    chance, found = random.Random(rows), set()
    command = [sys.executable, "-m", "database.migrate", "--dsn", old.dsn]
    goal = 0  # rows that may be copied before the next kill; none: while it prepares
    while True:
        with subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, **SEED}, stdout=subprocess.PIPE, text=True
        ) as child:
            while child.poll() is None and copied(old) < goal:
                time.sleep(0.002)
            time.sleep(chance.random() * (0.05 if goal else 0.8))
            if child.poll() is not None:
                assert child.returncode == 0
                break
            child.kill()
        found.add(copied(old))
        goal += chance.randint(1, rows // 5)
    assert len(found) > 3, found
    is_copied(old, before)


def ended_before_comparing(db, monkeypatch):
    """Copies everything and ends there."""

    def end(self):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(series_copy._Copy, "compare", end)
        with pytest.raises(KeyboardInterrupt):
            told(db)


@pytest.mark.parametrize(
    "change, sentence",
    [
        (
            "UPDATE series.energy SET energy_delta_wh = energy_delta_wh + 0.5 WHERE timestamp = '2026-08-05 07:01Z' "
            "AND meter_key = {key}",
            r"before.energy_data in series.energy differs for meter_id meter-3/switch:0: the sum of energy_delta_wh is "
            r"24\d.\d there and 24\d.\d here",
        ),
        (
            "UPDATE series.energy SET quality = 'reset' WHERE timestamp = '2026-08-05 07:01Z' AND meter_key = {key}",
            "differs for meter_id meter-3/switch:0: the sums agree, but not every row",
        ),
        (
            "DELETE FROM series.energy WHERE timestamp = '2026-08-05 07:01Z' AND meter_key = {key}",
            "differs for meter_id meter-3/switch:0: the number of rows is 2400 there and 2399 here",
        ),
        (
            "UPDATE series.energy_1min SET device_key = 0 WHERE bucket = '2026-08-05 07:01Z' AND meter_key = {key}",
            "before.energy_rollup_1min in series.energy_1min differs for meter_id meter-3/switch:0: "
            "the sums agree, but not every row",
        ),
    ],
    ids=["a sum", "a text", "a row", "a device"],
)
def test_what_differs_is_told_and_keeps_the_old_rows(old, monkeypatch, change, sentence):
    old_database.generate(old, 20_000, meters=5)
    before = contents(old)
    ended_before_comparing(old, monkeypatch)
    (key,) = old.all("SELECT meter_key FROM meters WHERE meter_id = 'meter-3/switch:0'")[0]
    old.all(change.format(key=key))
    with pytest.raises(migrate.MigrationError, match=sentence) as error:
        told(old)
    assert old.one("SELECT count(*) FROM before.energy_data") == before["energy_data"][0]
    assert old.one("SELECT count(*) FROM schema_migrations WHERE name = 'derived'") == 0
    # It says how to copy these rows once more.
    again = str(error.value).partition("To copy this one again: ")[2].partition("then start again.")[0]
    old.all(again)
    told(old)
    is_copied(old, before)


def test_a_full_disk_is_told_before_anything_is_changed(old, monkeypatch):
    old_database.generate(old, 20_000, meters=5)
    before = contents(old)
    with monkeypatch.context() as patched:
        patched.setattr(series_copy.shutil, "disk_usage", lambda folder: DiskUsage(9e9, 9e9 - 3e6, 3e6))
        with pytest.raises(
            migrate.MigrationError, match=r"needs about \d+ MB, and 3 MB are free on the disk of /data:"
        ):
            told(old, ENMS_DB_DIR="/data")
    assert contents(old) == before  # still where 0.1.0 looks for them
    assert old.one("SELECT count(*) FROM schema_migrations") == 2
    ended_before_comparing(old, monkeypatch)
    with monkeypatch.context() as patched:
        patched.setattr(series_copy.shutil, "disk_usage", lambda folder: DiskUsage(9e9, 9e9, 0))
        with pytest.raises(migrate.MigrationError, match="0 MB are free"):
            told(old, ENMS_DB_DIR="/data")
    lines = told(old, ENMS_DB_DIR="/")
    assert any("are free on the disk of /" in line for line in lines)
    assert any("20,000 of them are copied already" in line for line in lines)
    is_copied(old, before)


@pytest.mark.parametrize("zone, meters", [("Europe/Berlin", 0), ("America/New_York", 5)])
def test_days_of_several_zones_are_made_again(old, zone, meters):
    old_database.generate(old, 20_000, meters=5)
    old.all("INSERT INTO factories (slug, name, timezone) VALUES ('second', 'Second', %s)", zone)
    old.all("INSERT INTO energy_rollup_15min SELECT * FROM energy_rollup_1min WHERE bucket < '2026-08-05 07:02Z'")
    old.all(
        "INSERT INTO energy_rollup_1day (meter_id, bucket, coverage_s, reading_count) "
        "SELECT meter_id, '2026-08-04 22:00Z', 0, 0 FROM meters"
    )
    told(old)
    marks = old.all("SELECT meter_id, from_ts, to_ts FROM rollup_dirty WHERE step = 86400")
    assert len(marks) == meters
    if marks:
        # up to the end of the day that the zone of before had begun
        assert {(begin.isoformat(), end.isoformat()) for _, begin, end in marks} == {
            ("2026-08-04T22:00:00+00:00", "2026-08-05T23:00:00+00:00")
        }


def test_a_new_database_has_nothing_to_copy(server):
    with plain_database(server) as dsn:
        lines = []
        migrate.migrate(dsn, SEED, lines.append)
        assert not [line for line in lines if line.startswith(series_copy.PREFIX)]
        with contextlib.closing(Database(dsn)) as db:
            assert db.one("SELECT to_regnamespace('before')") is None


@pytest.mark.parametrize("rows", [200_000, pytest.param(5_000_000, marks=pytest.mark.long)])
def test_speed(old, rows, figures):
    old_database.generate(old, rows)
    old.close()
    lines = []
    began = time.monotonic()
    migrate.migrate(old.dsn, {**SEED, "ENMS_DB_DIR": "/"}, lines.append)
    seconds = time.monotonic() - began
    (copied,) = (line for line in lines if "copied in" in line)
    figures(
        "Upgrade of 0.1.0",
        copied.removeprefix(series_copy.PREFIX),
        f"{rows:,} rows in {seconds:.1f} s, {rows / seconds:,.0f} a second with comparing and everything else",
    )
    # What does not grow with the rows takes about a second.
    rate = rows / seconds if rows > 1_000_000 else int(re.findall(r"([\d,]+) a second", copied)[0].replace(",", ""))
    assert rate >= 50_000
    old.__init__(old.dsn)
