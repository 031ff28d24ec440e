"""What machines tell besides energy: signals with their rollups, and climate and process values."""

import json
import random
import uuid
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

LEVELS = {"1min": 60, "15min": 900, "1hour": 3600, "1day": 86400}


@pytest.fixture
def name():
    return f"sig-{uuid.uuid4().hex[:8]}"


def send(db, device, *rows):
    """Signals (time, name, value[, unit])."""
    records = [
        {"device_id": device, "timestamp": at.isoformat(), "name": signal, "value": value, "unit": (unit or [None])[0]}
        for at, signal, value, *unit in rows
    ]
    return db.one("SELECT record_signals(%s)", json.dumps(records))


def shown(db, device):
    return db.all(
        "SELECT name, unit, timestamp, value FROM signal_data WHERE device_id = %s ORDER BY name, timestamp", device
    )


def reasons(db, device):
    return dict(db.all("SELECT reason, count FROM ingest_rejects WHERE source = 'signal' AND topic = %s", device))


def refresh(db):
    while db.one("SELECT refresh_signals(60)")["remaining"]:
        pass


def test_signals_register_themselves_and_a_repetition_changes_nothing(db, name, at):
    db.device(name, device_type="pump")
    rows = [(at(0), "pressure_bar", 180.5, "bar"), (at(0), "load.percent", 0), (at(1), "pressure_bar", -3)]
    assert send(db, name, *rows) == {"stored": 3, "rejected": 0}
    assert send(db, name, *rows) == {"stored": 0, "rejected": 0}
    assert shown(db, name) == [
        ("load.percent", None, at(0), 0),
        ("pressure_bar", "bar", at(0), 180.5),
        ("pressure_bar", "bar", at(1), -3),
    ], "0 is a value"
    assert db.all("SELECT name, signal_id FROM signals WHERE device_id = %s ORDER BY 2", name) == [
        ("load.percent", 1),
        ("pressure_bar", 2),
    ]


def test_one_bad_signal_loses_itself(db, name, at):
    db.device(name)
    rows = [
        (at(0), "good", 1),
        (at(0), "", 1),
        (at(0), "9lives", 1),
        (at(0), "a b", 1),
        (at(0), "x" * 64, 1),
        (at(0), "null", None),
        (at(0), "huge", 1e300),
        (at(1e7), "future", 1),
        (at(-4e7), "past", 1),
    ]
    assert send(db, name, *rows) == {"stored": 1, "rejected": 8}
    assert [row[0] for row in shown(db, name)] == ["good"]
    found = reasons(db, name)
    assert sum(found.values()) == 8 and any("needs a name" in reason for reason in found)
    assert found["not a number, or beyond measure"] == 2
    assert found["time missing, in the future or older than the raw rows kept"] == 2
    nobody = name + "-nobody"
    assert send(db, nobody, (at(0), "good", 1)) == {"stored": 0, "rejected": 1}
    assert reasons(db, nobody) == {"unknown device": 1}
    assert send(db, nobody) == {"stored": 0, "rejected": 0}


def test_at_most_200_signals_of_a_device(db, name, at):
    """A flood of names is a counted reject; what is known goes on."""
    db.device(name)
    db.device(name + "-other")
    assert send(db, name, *((at(0), f"s{n:03}", n) for n in range(150)))["stored"] == 150
    assert send(db, name, *((at(1), f"s{n:03}", n) for n in range(100, 260))) == {"stored": 100, "rejected": 60}
    assert reasons(db, name) == {"more than 200 signals of one device": 60}
    assert db.one("SELECT count(*), max(signal_id) FROM signals WHERE device_id = %s", name) == (200, 200)
    assert send(db, name, (at(2), "s001", 5), (at(2), "s999", 5)) == {"stored": 1, "rejected": 1}
    assert send(db, name + "-other", (at(2), "s999", 5)) == {"stored": 1, "rejected": 0}


def oracle(readings, zone):
    """{level: {bucket: (mean, lowest, highest, covered s, count)}} of {time: value}.

    A minute is the mean of its readings, and what is coarser weighs minutes alike.
    """
    minutes = defaultdict(list)
    for at, value in readings.items():
        minutes[at.replace(second=0, microsecond=0)].append(value)
    found = {}
    for level, step in LEVELS.items():
        groups = defaultdict(list)
        for minute, values in minutes.items():
            if level == "1day":
                bucket = minute.astimezone(ZoneInfo(zone)).replace(hour=0, minute=0).astimezone(UTC)
            else:
                bucket = datetime.fromtimestamp(minute.timestamp() // step * step, UTC)
            groups[bucket].append(values)
        found[level] = {
            bucket: (
                pytest.approx(sum(sum(one) / len(one) for one in values) / len(values), rel=1e-5, abs=1e-5),
                pytest.approx(min(map(min, values)), rel=1e-6),
                pytest.approx(max(map(max, values)), rel=1e-6),
                60 * len(values),
                sum(map(len, values)),
            )
            for bucket, values in groups.items()
        }
    return found


def rollups(db, device, signal):
    return {
        level: {
            row[0]: row[1:]
            for row in db.all(
                f"SELECT bucket, avg_value, min_value, max_value, coverage_s, reading_count FROM signal_data_{level} "
                "WHERE device_id = %s AND name = %s",
                device,
                signal,
            )
        }
        for level in LEVELS
    }


@pytest.mark.parametrize("zone", ["Europe/Berlin", "Asia/Kathmandu", "Australia/Lord_Howe"])
def test_rollups_of_all_levels(db, name, zone):
    """Three deliveries of two signals over two days, in any order, each followed by a refresh."""
    chance = random.Random(3)
    db.device(name, factory_id=db.factory(name, zone))
    begin = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(days=3)
    readings = {
        signal: {
            begin + timedelta(seconds=chance.randrange(0, 2 * 86400, 7)): round(chance.uniform(-50, 50), 2)
            for _ in range(120)
        }
        for signal in ("flow", "temperature")
    }
    rows = [(at, signal, value) for signal, values in readings.items() for at, value in values.items()]
    chance.shuffle(rows)
    for part in range(3):
        send(db, name, *rows[part::3])
        refresh(db)
    for signal, values in readings.items():
        assert rollups(db, name, signal) == oracle(values, zone), signal


def test_the_days_of_signals_follow_the_zone(db, name):
    """As those of energy do."""
    factory = db.factory(name, "Europe/Berlin")
    db.device(name, factory_id=factory)
    begin = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(days=3)
    values = {begin + timedelta(minutes=17 * n): float(n) for n in range(150)}
    send(db, name, *((at, "flow", value) for at, value in values.items()))
    refresh(db)
    db.all("UPDATE factories SET timezone = 'Asia/Tokyo' WHERE factory_id = %s", factory)
    refresh(db)
    assert rollups(db, name, "flow") == oracle(values, "Asia/Tokyo")
    db.device(name, factory_id=db.factory(name + "-2", "America/St_Johns"))
    refresh(db)
    assert rollups(db, name, "flow") == oracle(values, "America/St_Johns")


# Climate and process values ------------------------------------------------------------------------------------------


def environmental(db, *rows):
    return db.one("SELECT record_environmental(%s)", json.dumps(rows))


def test_climate_and_process_values(db, name, at):
    db.device(name, device_type="hvac")
    row = {
        "device_id": name,
        "timestamp": at(0).isoformat(),
        "cop": 3.2,
        "chilled_water_supply_temp_c": 7,
        "source": "mqtt",
    }
    room = {"location_id": name + "-hall", "timestamp": at(0).isoformat(), "indoor_temp_c": 0, "humidity_percent": 40}
    assert environmental(db, row, room) == 2 and environmental(db, row, room) == 0
    found = "SELECT location_id, device_id, cop, chilled_water_supply_temp_c, indoor_temp_c, humidity_percent FROM "
    assert db.all(found + "environmental_data WHERE location_id LIKE %s ORDER BY 1", name + "%") == [
        (name, name, pytest.approx(3.2), 7, None, None),
        (name + "-hall", None, None, None, 0, 40),
    ]
    assert db.all(
        "SELECT location_id, temperature_c, humidity_pct FROM environment_data WHERE location_id LIKE %s", name + "%"
    ) == [(name + "-hall", 0, 40)], "the older view has rooms and printers alone"


def test_one_bad_climate_value_loses_itself(db, name, at):
    db.device(name)
    rows = [
        {"device_id": name, "timestamp": at(0).isoformat(), "cop": 1e300, "pressure_bar": 7},
        {"device_id": name, "timestamp": at(1e7).isoformat(), "cop": 1},
        {"device_id": name, "timestamp": at(60).isoformat(), "cop": 2},
    ]
    assert environmental(db, *rows) == 2
    found = "SELECT timestamp, cop, pressure_bar FROM environmental_data WHERE device_id = %s ORDER BY 1"
    assert db.all(found, name) == [(at(0), None, 7), (at(60), 2, None)]
