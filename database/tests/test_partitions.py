"""The plain engine's series by month: made when the first row comes, dropped as a whole; what an energy row costs."""

import contextlib
import json
import threading
from datetime import UTC, datetime, timedelta

import psycopg2
import pytest

from tests.plugin.database import Database

PARTITIONED = {
    "energy",
    "phase",
    "device_status",
    "environmental",
    "production",
    "signal",
    "smartplug",
    "max6675_temperature",
    "mpu6050_accelerometer",
    "mpu6050_gyroscope",
    "prediction",
    "energy_1min",
    "signal_1min",
}
MONTH = datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


@pytest.fixture
def own(migrated):
    """A database of its own, because a freeze holds for all meters."""
    with migrated() as dsn, contextlib.closing(Database(dsn)) as db:
        yield db


def months(db, table):
    return [
        name
        for (name,) in db.all(
            "SELECT relname FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid WHERE inhparent = "
            "%s::regclass ORDER BY 1",
            f"series.{table}",
        )
    ]


def name_of(table, moment):
    return f"{table}_{moment:%Y_%m}"


def back(count):
    """The first of the month `count` months ago."""
    number = MONTH.year * 12 + MONTH.month - 1 - count
    return MONTH.replace(year=number // 12, month=number % 12 + 1)


def test_every_raw_series_is_partitioned_and_no_rollup_that_stays(plain):
    parents = "SELECT relname FROM pg_class WHERE relnamespace = 'series'::regnamespace AND relkind = 'p'"
    assert {name for (name,) in plain.all(parents)} == PARTITIONED


def test_the_months_of_rows_are_made_and_retention_drops_whole_ones(own):
    """Rows of three months, on both sides of their turns to the microsecond."""
    meter = own.meter(device="by-month")
    own.device("by-month", source="prusalink")
    begin, end = back(2) - timedelta(microseconds=1), back(1) + timedelta(hours=1)
    own.ingest(
        meter,
        [
            (begin, 100.0),
            (back(2), 101.0),
            (back(1) - timedelta(microseconds=1), 900.0),
            (back(1), 901.0),
            (end, 902.0),
        ],
    )
    rows = [{"device_id": "by-month", "timestamp": at.isoformat(), "state": "idle"} for at in (begin, back(2), end)]
    own.one("SELECT record_status(%s)", json.dumps(rows))
    three = [back(3), back(2), back(1)]
    assert months(own, "energy") == [name_of("energy", at) for at in three]
    assert months(own, "device_status") == [name_of("device_status", at) for at in three]
    assert months(own, "signal") == [], "made when the first row comes"
    own.refresh()
    assert months(own, "energy_1min") == [name_of("energy_1min", at) for at in three]
    counted = own.all(
        "SELECT tableoid::regclass::text, count(*) FROM series.energy GROUP BY 1 ORDER BY 1",
    )
    assert counted == [("series." + name_of("energy", at), n) for at, n in zip(three, (1, 2, 2))]
    before = own.one("SELECT meter_energy(%s, %s, %s)", meter, begin, end)

    own.all("UPDATE settings SET value = '31 days' WHERE name = 'retention_raw'")
    answer = own.one("SELECT apply_retention(%s)", back(2) + timedelta(days=31))
    assert (answer["energy"], answer["device_status"], answer["energy_1min"], answer["signal"]) == (1, 1, 0, 0)
    assert months(own, "energy") == [name_of("energy", at) for at in three[1:]]
    assert own.one("SELECT apply_retention(%s)", back(2) + timedelta(days=40))["energy"] == 0
    assert own.one("SELECT min(timestamp) FROM energy_data") == back(2)
    assert own.one("SELECT meter_energy(%s, %s, %s)", meter, begin, end) == pytest.approx(before)
    # minutes are kept for longer, and go by whole months too
    own.all("UPDATE settings SET value = '62 days' WHERE name = 'retention_1min'")
    own.one("SELECT apply_retention(%s)", back(1) + timedelta(days=62))
    assert months(own, "energy_1min") == [name_of("energy_1min", back(1))] and months(own, "energy") == []
    assert own.one("SELECT sum(energy_wh) FROM energy_readings_15min") == pytest.approx(802), "for ever"


@pytest.mark.parametrize("begin, end", [(None, None), ("2026-01-01", None), (None, "2026-01-01")])
def test_no_range_makes_no_month(own, begin, end):
    """Before: all of 1970 to a hundred years from now, with every batch of which each row was refused."""
    assert not own.one("SELECT ensure_months('energy', %s, %s)", begin, end)
    meter = own.meter()
    assert own.ingest(meter, [(back(40), 5.0)])["rejected"] == 1
    own.one(
        "SELECT record_signals(%s)",
        json.dumps([{"device_id": "x", "name": "a", "timestamp": "1999-01-01", "value": 1}]),
    )
    own.one("SELECT record_production(%s)", json.dumps([{"device_id": "x", "timestamp": "1999-01-01"}]))
    own.one("SELECT record_environmental(%s)", json.dumps([{"device_id": "x", "timestamp": "1999-01-01"}]))
    assert {name: months(own, name) for name in PARTITIONED} == {name: [] for name in PARTITIONED}


def test_a_new_month_waits_neither_for_a_writer_nor_for_a_backup(own):
    """On the first of a month a row of the new one comes while another writer, and pg_dump, have the table open."""
    meters = [own.meter(), own.meter()]
    own.ingest(meters[0], [(back(1), 1.0)])
    ingest = "SELECT ingest_energy(ARRAY[%s], ARRAY[%s::timestamptz], ARRAY[NULL::float8], ARRAY[1.0])"
    with (
        contextlib.closing(psycopg2.connect(own.dsn)) as writer,
        contextlib.closing(psycopg2.connect(own.dsn)) as backup,
    ):
        writer.cursor().execute(ingest, (meters[0], back(1) + timedelta(seconds=10)))
        backup.cursor().execute("LOCK TABLE series.energy IN ACCESS SHARE MODE")
        own.all("SET lock_timeout = '2s'")
        assert own.one(ingest, meters[1], back(2))["accepted"] == 1
        writer.rollback()
        backup.rollback()
    assert months(own, "energy") == [name_of("energy", back(2)), name_of("energy", back(1))]


def test_two_writers_of_the_same_new_month(own):
    meters, errors = [own.meter() for _ in range(4)], []

    def write(meter):
        with contextlib.closing(Database(own.dsn)) as db:
            try:
                for count in (1, 2, 3):
                    db.ingest(meter, [(back(count) + timedelta(hours=n), 10.0 + n) for n in range(5)])
            except psycopg2.Error as error:
                errors.append(error)

    threads = [threading.Thread(target=write, args=(meter,)) for meter in meters]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not errors and own.one("SELECT count(*) FROM energy_data") == 60


ROWS, METERS = 200_000, 20


def test_an_energy_row_with_its_index_takes_at_most_140_bytes(own):
    """What a plug tells each 10 s: power and counter. Before: 207 bytes."""
    names = [f"plug-{n:02}/switch:0" for n in range(METERS)]
    own.all("INSERT INTO meters (meter_id, protocol) SELECT unnest(%s), 'shelly_gen2'", names)
    own.all("INSERT INTO meter_state (meter_id) SELECT unnest(%s)", names)
    begin = back(1) + timedelta(days=1)
    each = 500  # readings of a meter in one call; 20 meters
    for place in range(0, ROWS // METERS, each):
        own.one(
            "SELECT ingest_energy(array_agg(m), array_agg(at), array_agg(power), array_agg(wh)) FROM (SELECT m, "
            "%s::timestamptz + make_interval(secs => 10 * i + 0.137) AS at, 90 + i %% 17 + 0.3 AS "
            "power, 1000 + i * 0.27 AS wh "
            "FROM generate_series(%s, %s) i CROSS JOIN unnest(%s) m ORDER BY i, m) rows",
            begin,
            place,
            place + each - 1,
            names,
        )
    assert own.one("SELECT count(*) FROM series.energy") == ROWS
    parts = (
        "SELECT sum(pg_relation_size(relid)), sum(pg_indexes_size(relid)) "
        "FROM pg_partition_tree('series.energy') WHERE isleaf"
    )
    rows, indexes = (float(size) / ROWS for size in own.one(parts))
    print(f"{rows:.1f} bytes and {indexes:.1f} of indexes")
    assert rows + indexes <= 140, f"{rows:.1f} bytes and {indexes:.1f} of indexes"
