"""Kinds of devices, sources, states and carriers are rows: a new one works everywhere as soon as it is inserted."""

import json
import uuid
from collections import defaultdict

import psycopg2
import pytest

HOUR = 3600


@pytest.fixture
def new():
    """A name that no other test uses: the rows stay, those of all tests of a folder are in one database."""
    return f"n{uuid.uuid4().hex[:8]}"


def statuses(db, device, *changes):
    """Statuses (time, state) by the way of live data."""
    return db.one(
        "SELECT record_status(%s)",
        json.dumps([{"device_id": device, "timestamp": at.isoformat(), "state": state} for at, state in changes]),
    )


def add_state(db, state, kind, phase="Active"):
    db.all(
        "INSERT INTO states (state_key, state, name, class, phase) SELECT max(state_key) + 1, %s, "
        "%s, %s, %s FROM states",
        state,
        state,
        kind,
        phase,
    )


def refresh_states(db, now):
    db.refresh()
    while db.one("SELECT refresh_phases(%s, 60)", now)["remaining"]:
        pass


def test_a_new_kind_and_a_new_source(db, new):
    known = ", ".join(kind for (kind,) in db.all("SELECT device_kind FROM device_kinds ORDER BY sort, device_kind"))
    sentence = db.refused("SELECT device_save(%s, 'test')", json.dumps({"device_id": new, "device_type": new}))
    assert sentence == f"device_type {new} is not allowed: {known}."
    assert known.startswith("printer, compressor, hvac, motor, pump, injection_molding, conveyor, boiler")
    sentence = db.refused("SELECT device_save(%s, 'test')", json.dumps({"device_id": new, "source": new}))
    assert sentence.startswith(f"source {new} is not allowed: prusalink, octoprint, moonraker, simplyprint, mqtt")

    db.all("INSERT INTO device_kinds (device_kind, name) VALUES (%s, 'Lathe')", new)
    db.all("INSERT INTO sources (source, name, polled) VALUES (%s, 'Asked', true)", new)
    db.all("INSERT INTO sources (source, name, polled) VALUES (%s, 'Comes by itself', false)", new + "_told")
    device = db.device(new, device_type=new, source=new, rated_power_w=7000)
    assert (device["device_type"], device["source"], device["created"]) == (new, new, True)
    db.device(new + "-told", device_type=new, source=new + "_told", data_interval_seconds=1)
    polled = {one["device_id"] for (one,) in db.all("SELECT devices_to_poll()")}
    assert new in polled and new + "-told" not in polled
    sentence = db.refused("SELECT device_save(%s, 'test')", json.dumps({"device_id": new, "data_interval_seconds": 1}))
    assert "is polled, every 2 seconds at most" in sentence
    for table, key in (("device_kinds", "device_kind"), ("sources", "source")):
        with pytest.raises(psycopg2.errors.ForeignKeyViolation):  # what is used can't go
            db.all(f"DELETE FROM {table} WHERE {key} = %s", new)


def test_a_new_state_is_stored_shown_and_counted(db, new, at):
    meter = db.meter(device=new, max_power_w=1e6)
    db.device(new, device_type="compressor", data_interval_seconds=1200)
    db.ingest(meter, [(at(60 * i), 100.0 + 10 * i, 600.0) for i in range(61)])
    answer = statuses(db, new, (at(0), "running"), (at(1200), new))
    assert (answer["stored"], answer["rejected"]) == (1, 1)
    reason = db.one("SELECT reason FROM ingest_rejects WHERE topic = %s", new)
    assert (
        reason.startswith(f"unknown state {new}: one of offline, idle, ready, heating") and "running, standby" in reason
    )
    rows = json.dumps([{"device_id": new, "timestamp": at(0).isoformat(), "state": new}])
    assert db.refused("SELECT record_status_rows(%s)", rows).startswith(f"unknown state {new}: one of offline, idle")

    add_state(db, new, "productive")
    assert statuses(db, new, (at(1200), new), (at(2400), "standby"), (at(3600), "standby"))["stored"] == 3
    assert db.one("SELECT state FROM device_latest WHERE device_id = %s", new) == "standby"
    assert db.all("SELECT state, class FROM device_status WHERE device_id = %s ORDER BY timestamp", new) == [
        ("running", "productive"),
        (new, "productive"),
        ("standby", "ready"),
        ("standby", "ready"),
    ]
    assert db.one("SELECT count(*) FROM printer_status WHERE device_id = %s", new) == 0, "it is no printer"
    assert db.all("SELECT t0, t1, state FROM device_states(%s, %s, %s)", new, at(0), at(HOUR)) == [
        (at(0), at(1200), "running"),
        (at(1200), at(2400), new),
        (at(2400), at(3600), "standby"),
    ]
    assert db.all("SELECT class, seconds, share FROM utilisation(%s, %s, %s) ORDER BY 1", new, at(0), at(HOUR)) == [
        ("productive", 2400, pytest.approx(2 / 3)),
        ("ready", 1200, pytest.approx(1 / 3)),
    ]
    assert db.all("SELECT time, state FROM state_series(ARRAY[%s], %s, %s) ORDER BY 1", new, at(0), at(HOUR)) == [
        (at(0), "running"),
        (at(1200), new),
        (at(2400), "standby"),
    ]
    refresh_states(db, at(HOUR))
    found = db.all(
        "SELECT state, class, seconds, energy_wh FROM device_state_1hour WHERE device_id = %s AND "
        "bucket = %s ORDER BY 1",
        new,
        at(0),
    )
    assert sorted(found) == sorted(
        (state, kind, 1200, pytest.approx(200))
        for state, kind in (("running", "productive"), (new, "productive"), ("standby", "ready"))
    )
    assert db.one("SELECT count(*) FROM printer_phase_1hour WHERE device_id = %s", new) == 0


def test_statuses_of_a_compressor(db, new, at):
    """Every mode of PLANT 1; before, they were all refused. What is not known is neither ready nor down."""
    db.device(new, device_type="compressor", source="mqtt", data_interval_seconds=60)
    modes = ["running", "idle", "standby", "setup", "maintenance", "fault", "offline"]
    answer = statuses(db, new, *((at(60 * i), mode) for i, mode in enumerate(modes)))
    assert (answer["stored"], answer["rejected"]) == (7, 0)
    assert [
        state for (state,) in db.all("SELECT state FROM device_status WHERE device_id = %s ORDER BY timestamp", new)
    ] == modes
    shares = {
        kind: (seconds, share)
        for kind, seconds, share in db.all("SELECT * FROM utilisation(%s, %s, %s)", new, at(-60), at(420))
    }
    assert shares == {
        "productive": (60, pytest.approx(1 / 7)),
        "ready": (180, pytest.approx(3 / 7)),
        "down": (120, pytest.approx(2 / 7)),
        "off": (60, pytest.approx(1 / 7)),
        None: (60, None),
    }
    assert statuses(db, new, (at(60), "idle"))["repeated"] == 1


def test_a_new_carrier(db, new, at):
    db.all(
        "INSERT INTO energy_types (energy_type, name, unit, wh_per_unit) VALUES (%s, 'Chilled water', 'm3', 1163)", new
    )
    db.device(new, device_type="hvac")
    db.all(
        "INSERT INTO energy_tariffs (factory_id, energy_type, name, price_per_kwh, currency) "
        "SELECT default_factory(), %s, %s, 0.05, 'EUR'",
        new,
        new,
    )
    water, power = f"{new}/water", f"{new}/power"
    reading = lambda meter, i, **more: {
        "meter_id": meter,
        "protocol": "factory",
        "arrived": at(900 * i),
        "device_time": at(900 * i),
        **more,
    }
    db.readings(
        [reading(water, i, energy_type=new, consumption=2, interval_s=900, power_watts=9304) for i in range(1, 5)]
        + [reading(power, i, energy_total_wh=1000 + 500 * i, power_watts=2000) for i in range(5)]
    )
    for meter in (water, power):
        db.one("SELECT meter_assign(%s, %s, 'main', NULL, 'test')", meter, new)
    wh = pytest.approx(4 * 2 * 1163)
    for refreshed in (False, True):
        if refreshed:
            db.refresh(water, power)
        assert db.one("SELECT device_energy(%s, %s, %s, %s)", new, at(0), at(HOUR), new) == wh
        assert db.one("SELECT device_energy(%s, %s, %s)", new, at(0), at(HOUR)) == pytest.approx(2000)
        found = "SELECT device_id, energy_wh FROM devices_energy(%s, %s, %s) WHERE device_id = %s"
        assert db.all(found, at(0), at(HOUR), new, new) == [(new, wh)]
        assert db.all(found, at(0), at(HOUR), "electricity", new) == [(new, pytest.approx(2000))]
        by_type = defaultdict(float)
        for kind, one in db.all("SELECT energy_type, energy_wh FROM energy_readings_1hour WHERE device_id = %s", new):
            by_type[kind] += one or 0
        assert by_type == {new: wh, "electricity": pytest.approx(2000)}, "never added"
    assert db.one(
        "SELECT energy_wh, cost, currency FROM device_energy_cost(%s, %s, %s, %s)", new, at(0), at(HOUR), new
    ) == (
        wh,
        pytest.approx(4 * 2 * 1.163 * 0.05),
        "EUR",
    )
    chart = db.all("SELECT energy_wh FROM energy_series(ARRAY[%s], %s, %s, %s, 900)", new, new, at(0), at(HOUR))
    assert [row[0] for row in chart] == [pytest.approx(2326)] * 4
    raw = db.all("SELECT energy_wh FROM energy_series(ARRAY[%s], %s, %s, %s, 0)", new, new, at(0), at(HOUR + 1))
    assert sum(row[0] or 0 for row in raw) == wh
    assert {row[:2] for row in db.all("SELECT * FROM device_power(%s)", new)} == {(new, 9304), ("electricity", 2000)}
    assert db.one("SELECT power_watts FROM device_latest WHERE device_id = %s", new) == 2000


def test_code_that_lists_kinds_has_no_check(db):
    """What may be a kind, source, state or carrier stands in no constraint."""
    listed = db.all(
        "SELECT conrelid::regclass::text, pg_get_constraintdef(oid) FROM pg_constraint WHERE contype = 'c' "
        "AND pg_get_constraintdef(oid) ~ '''(prusalink|compressor|natural_gas|printing|heating)'''"
    )
    assert [row for row in listed if not row[0].startswith("print_jobs")] == []
