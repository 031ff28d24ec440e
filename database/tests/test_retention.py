"""Thirty days through rollup, compression and retention: the account of a day does not change when its rows go.

What goes are whole months of UTC: the thirty days lie on both sides of the turn of one.
"""

import json
from datetime import UTC, datetime, timedelta

import psycopg2
import pytest

DAYS, RAW_DAYS, STATUS_DAYS = 30, 10, 8
LEVELS = ("1min", "15min", "1hour", "1day")
TURN = (datetime.now(UTC) - timedelta(days=RAW_DAYS)).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
BEGIN = TURN + timedelta(days=RAW_DAYS - DAYS)
DEVICES = ("ret-press", "ret-mill")


def day_of(number, **more):
    return BEGIN + timedelta(days=number, **more)


def books(db):
    """The account of the thirty days: energy per device and day at each level, with cost and CO2, states, prints."""
    account = {
        level: db.all(
            "SELECT device_id, meter_id, date_trunc('day', bucket, 'UTC') AS day, count(*), sum(energy_wh), "
            "sum(coverage_s), sum(reading_count), max(max_power_w) "
            f"FROM energy_readings_{level} WHERE meter_id LIKE 'ret-%%' GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
        )
        for level in LEVELS
    }
    account["cost"] = [
        (
            device,
            number,
            *db.all(
                "SELECT energy_wh, cost, co2_g FROM device_energy_cost(%s, %s, %s)",
                device,
                day_of(number),
                day_of(number + 1),
            )[0],
        )
        for device in DEVICES
        for number in range(0, DAYS, 3)
    ]
    account["states"] = db.all(
        "SELECT device_id, state, date_trunc('day', bucket, 'UTC'), sum(seconds), sum(energy_wh) "
        "FROM printer_phase_1hour WHERE device_id LIKE 'ret-%%' GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
    )
    account["prints"] = db.all(
        "SELECT job_id, session_energy_wh, cost, co2_g FROM print_jobs WHERE device_id LIKE 'ret-%%' ORDER BY 1"
    )
    return account


def assert_same(after, before):
    assert after.keys() == before.keys()
    for name, rows in before.items():
        assert len(after[name]) == len(rows), name
        for one, other in zip(after[name], rows):
            assert one == tuple(
                pytest.approx(value, abs=1e-6) if isinstance(value, float) else value for value in other
            ), name


def live(db, number, counters):
    """One day: both meters every hour, a print on the press, and in the first days its statuses."""
    times = [day_of(number, hours=i) for i in range(24)]
    for meter, watts in (("ret-a", lambda hour: 400.0 if 8 <= hour < 18 else 20.0), ("ret-b", lambda hour: 120.0)):
        rows = []
        for at in times:
            counters[meter] += watts(at.hour)
            rows.append((at + timedelta(seconds=7), counters[meter], watts(at.hour)))
        db.ingest(meter, rows)
    if number < STATUS_DAYS:
        db.one(
            "SELECT record_status_rows(%s)",
            json.dumps(
                [
                    {
                        "device_id": "ret-press",
                        "timestamp": (day_of(number, minutes=4 * i)).isoformat(),
                        "state": "printing" if 120 <= i < 270 else "idle",
                    }
                    for i in range(360)
                ]
            ),
        )
    db.one(
        "SELECT import_job(%s)",
        json.dumps(
            {
                "device_id": "ret-press",
                "source_job_id": str(number),
                "filename": "part.gcode",
                "status": "done",
                "start_time": day_of(number, hours=8).isoformat(),
                "end_time": day_of(number, hours=18).isoformat(),
            }
        ),
    )


def counter_before(db, meter, at):
    return db.one(
        "SELECT energy_total_wh FROM energy_data WHERE meter_id = %s AND timestamp < %s "
        "ORDER BY timestamp DESC LIMIT 1",
        meter,
        at,
    )


def housekeeping(db, now):
    """What the flow Housekeeping does, and the database's own compression."""
    while db.one("SELECT refresh_rollups(60)")["remaining"]:
        pass
    while db.one("SELECT refresh_phases(%s, 60)", now)["remaining"]:
        pass
    db.one("SELECT finalize_jobs(%s)", now)
    if db.engine == "timescale":
        for (job,) in db.all("SELECT job_id FROM timescaledb_information.jobs WHERE proc_name = 'policy_compression'"):
            db.all(f"CALL run_job({job})")


@pytest.fixture
def plant(db):
    """Two devices with a meter each; afterwards their rows are removed and nothing is frozen."""
    db.all("UPDATE settings SET value = '90 days' WHERE name = 'retention_raw'")
    for device, meter in zip(DEVICES, ("ret-a", "ret-b")):
        db.meter(meter, device=device)
    yield db
    for table in ("energy", *(f"energy_{level}" for level in LEVELS)):
        db.all(
            f"DELETE FROM series.{table} WHERE meter_key IN (SELECT meter_key FROM meters WHERE meter_id LIKE 'ret-%%')"
        )
    for table in ("device_status", "device_state_1hour"):
        db.all(
            f"DELETE FROM series.{table} "
            "WHERE device_key IN (SELECT device_key FROM devices WHERE device_id LIKE 'ret-%%')"
        )
    for table, key in (
        ("meter_state", "meter_id"),
        ("meters", "meter_id"),
        ("rollup_dirty", "meter_id"),
        ("device_latest", "device_id"),
        ("devices", "device_id"),
    ):
        db.all(f"DELETE FROM {table} WHERE {key} LIKE 'ret-%%'")
    db.all(
        "UPDATE settings SET value = '6 months' WHERE name = 'retention_raw'; "
        "UPDATE settings SET value = '-infinity' WHERE name = 'frozen_before'"
    )


def test_thirty_days_through_rollup_compression_and_retention(plant):
    db, counters = plant, {"ret-a": 1000.0, "ret-b": 5000.0}
    for number in range(DAYS):
        live(db, number, counters)
        if number == 15:  # the mill's meter is moved to the press at noon; its past stays with the mill
            db.one("SELECT meter_assign('ret-b', 'ret-press', 'main', %s, 'test')", day_of(number, hours=12))
        if number == 20:  # a reading of a day that is compressed already comes late, between two stored ones
            at = day_of(2, hours=12, minutes=30)
            assert db.ingest("ret-a", [(at, counter_before(db, "ret-a", at) + 150, 400.0)])["accepted"] == 1
        if number % 2:
            housekeeping(db, day_of(number + 1))
    raw = db.one("SELECT count(*) FROM energy_data WHERE meter_id LIKE 'ret-%%'")
    assert raw == DAYS * 24 * 2 + 1
    if db.engine == "timescale":
        compressed = db.one(
            "SELECT count(*) FROM timescaledb_information.chunks "
            "WHERE hypertable_schema = 'series' AND hypertable_name = 'energy' AND is_compressed"
        )
        assert compressed >= 3
    before = books(db)
    total = {
        meter: db.one("SELECT sum(energy_delta_wh) FROM energy_data WHERE meter_id = %s", meter) for meter in counters
    }

    # Simulated time continues: on the first nine of ten days the month is still needed, then it goes as a whole.
    now = day_of(DAYS)
    db.all("UPDATE settings SET value = %s WHERE name = 'retention_raw'", f"{RAW_DAYS} days")
    for number in range(DAYS - 10, DAYS):
        db.one("SELECT apply_retention(%s)", day_of(number))
        assert db.one("SELECT count(*) FROM energy_data WHERE meter_id LIKE 'ret-%%'") == raw
    removed = db.one("SELECT apply_retention(%s)", now)
    assert removed["energy"] >= 1 and removed["device_status"] >= 1
    cut = now - timedelta(days=RAW_DAYS)
    assert cut == TURN and datetime.fromisoformat(db.one("SELECT setting('frozen_before')")) == cut
    db.all("UPDATE settings SET value = '90 days' WHERE name = 'retention_raw'")  # the frozen stays frozen
    left = db.one("SELECT count(*) FROM energy_data WHERE meter_id LIKE 'ret-%%'")
    oldest = db.one("SELECT min(timestamp) FROM energy_data WHERE meter_id LIKE 'ret-%%'")
    if db.engine == "plain":
        assert left == RAW_DAYS * 24 * 2 and oldest >= cut
    else:  # whole chunks of a week go
        assert left < (RAW_DAYS + 7) * 24 * 2 and oldest >= cut - timedelta(days=7)
    assert db.one("SELECT count(*) FROM printer_status WHERE device_id = 'ret-press'") == 0

    assert_same(books(db), before)
    for meter, wh in total.items():
        assert db.one("SELECT sum(energy_wh) FROM energy_readings_1day WHERE meter_id = %s", meter) == pytest.approx(wh)
        assert db.one("SELECT meter_energy(%s, %s, %s)", meter, BEGIN, now) == pytest.approx(wh)
    # What is frozen stays: a late row for it is a reject, one for a day that is kept is not; all levels still agree.
    assert db.ingest("ret-a", [(cut - timedelta(hours=1), 1.0, 1.0)])["rejected"] == 1
    at = cut + timedelta(days=2, hours=12, minutes=20)
    assert db.ingest("ret-b", [(at, counter_before(db, "ret-b", at) + 1.5, 120.0)])["accepted"] == 1
    housekeeping(db, now)
    sums = {
        level: db.one(f"SELECT sum(energy_wh) FROM energy_readings_{level} WHERE meter_id LIKE 'ret-%%'")
        for level in LEVELS
    }
    assert all(wh == pytest.approx(sum(total.values())) for wh in sums.values())


def test_a_frozen_bucket_of_two_devices_goes_to_the_one_that_has_the_meter_afterwards(plant):
    """Moved within a quarter of an hour that is frozen later; then it is said to have been the mill's all the time."""
    db, begin = plant, TURN - timedelta(days=2)
    db.ingest("ret-a", [(begin + timedelta(minutes=10 * i), 100.0 + i, 6.0) for i in range(400)])
    db.one("SELECT meter_assign('ret-a', 'ret-mill', 'main', %s, 'test')", begin + timedelta(hours=12, minutes=21))
    db.refresh()
    per_device = {
        level: dict(
            db.all(f"SELECT device_id, sum(energy_wh) FROM energy_readings_{level} WHERE meter_id = 'ret-a' GROUP BY 1")
        )
        for level in LEVELS
    }
    press = 74.1  # 12 h 21 min of 400 times 10 minutes at 1 Wh
    assert all(
        one == {"ret-press": pytest.approx(press), "ret-mill": pytest.approx(399 - press)}
        for one in per_device.values()
    )
    db.one("SELECT apply_retention(%s + interval '90 days')", TURN)
    assert db.one("SELECT meter_assign('ret-a', 'ret-mill', 'main', '-infinity', 'test')")["from"] is None
    for refreshed in (False, True):
        if refreshed:
            db.refresh()
        for level in LEVELS:
            assert db.all(
                "SELECT device_id, sum(energy_wh), sum(reading_count), count(*) - count(DISTINCT bucket) "
                f"FROM energy_readings_{level} WHERE meter_id = 'ret-a' GROUP BY 1"
            ) == [("ret-mill", pytest.approx(399), 400, 0)], (level, refreshed)


def test_settings_that_people_may_change(db):
    try:
        assert db.one("SELECT change_setting('retention_raw', '12 months', 'tester')") == "12 months"
        assert db.one("SELECT change_setting('compress_after', '14 days', 'tester')") == "14 days"
        assert db.one("SELECT setting('retention_raw')") == "12 months"
        assert db.all(
            "SELECT actor, before #>> '{}', after #>> '{}' FROM audit_log "
            "WHERE object = 'retention_raw' ORDER BY audit_id DESC LIMIT 1"
        ) == [("tester", "6 months", "12 months")]
        if db.engine == "timescale":
            ages = (
                "SELECT DISTINCT (config ->> 'compress_after')::interval FROM timescaledb_information.jobs "
                "WHERE proc_name = 'policy_compression'"
            )
            assert db.all(ages) == [(timedelta(days=14),)]
        for name, value, sentence in (
            ("retention_raw", "3 years", "kept at least as long as the raw rows"),
            ("retention_raw", "1 day", "at least 7 days"),
            ("retention_1min", "6 moons", "is an interval, for instance 6 months"),
            ("compress_after", "1 hour", "at least 1 day"),
            ("engine", "plain", "not for people to change"),
            ("nothing", "1", "there is no setting nothing"),
            ("plant_full_kwh", "much", "is a number, for instance 0.4"),
            ("database_budget_gb", "0", "is a number, for instance 100"),
        ):
            with pytest.raises(psycopg2.errors.InvalidParameterValue, match=sentence):
                db.one("SELECT change_setting(%s, %s, 'tester')", name, value)
    finally:
        db.one("SELECT change_setting('retention_raw', '6 months', 'tester')")
        db.one("SELECT change_setting('compress_after', '7 days', 'tester')")


def test_compression_after_seven_days_also_where_it_was_fourteen(timescale):
    """A database of an older version: the next migration with anything new in functions or seed updates it."""
    ages = (
        "SELECT hypertable_name, (config ->> 'compress_after')::interval FROM timescaledb_information.jobs "
        "WHERE hypertable_schema = 'series' AND proc_name = 'policy_compression' ORDER BY 1"
    )
    found = dict(timescale.all(ages))
    assert {"energy", "device_status", "smartplug", "signal", "production", "energy_1min", "signal_1min"} <= set(found)
    assert set(found.values()) == {timedelta(days=7)}
    timescale.all(
        "SELECT remove_compression_policy('series.energy'); "
        "SELECT add_compression_policy('series.energy', interval '14 days')"
    )
    assert timescale.one("SELECT apply_compression()") == 1 and timescale.one("SELECT apply_compression()") == 0
    assert dict(timescale.all(ages)) == found


def test_retention_does_not_wait_for_a_backup(plain):
    """pg_dump's lock on a table makes it give up for this hour; ingest would wait behind it."""
    assert any(
        setting == "lock_timeout=10s"
        for setting in plain.one("SELECT proconfig FROM pg_proc WHERE proname = 'apply_retention'")
    )
