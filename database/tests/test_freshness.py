"""One rule for how long something says anything about now: three intervals, at least five minutes (SPEC 13)."""

import json
import re
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

FUNCTIONS = Path(__file__).resolve().parents[1] / "functions"
HOUR = 3600


@pytest.fixture
def name():
    return f"fresh-{uuid.uuid4().hex[:8]}"


def printing(db, name, times, state="printing"):
    rows = [{"device_id": name, "timestamp": at.isoformat(), "state": state} for at in times]
    db.one("SELECT record_status(%s)", json.dumps(rows))


@pytest.mark.parametrize(
    "interval, seconds",
    [(None, 300), (0, 300), (1, 300), (30, 300), (100, 300), (101, 303), (1800, 5400), (3600, 10800)],
)
def test_the_rule(plain, interval, seconds):
    assert plain.one("SELECT holds(%s)", interval) == timedelta(seconds=seconds)


def test_a_printer_polled_each_half_hour_that_always_prints(db, name, at):
    """Two hours. Before: 6,000 s of them without data."""
    db.device(name, source="prusalink", data_interval_seconds=1800)
    printing(db, name, [at(1800 * i) for i in range(5)])
    assert db.all("SELECT * FROM device_states(%s, %s, %s)", name, at(0), at(2 * HOUR)) == [
        (at(0), at(2 * HOUR), "printing")
    ]
    assert db.all("SELECT * FROM utilisation(%s, %s, %s)", name, at(0), at(2 * HOUR)) == [("productive", 2 * HOUR, 1)]
    while db.one("SELECT refresh_phases(%s, 60)", at(2 * HOUR))["remaining"]:
        pass
    hours = "SELECT state, sum(seconds) FROM {} WHERE device_id = %s AND bucket < %s GROUP BY 1"
    for view in ("device_state_1hour", "printer_phase_1hour"):
        assert db.all(hours.format(view), name, at(2 * HOUR)) == [("printing", 2 * HOUR)]
    # three missed polls are too many
    assert db.all("SELECT * FROM device_states(%s, %s, %s)", name, at(0), at(4 * HOUR)) == [
        (at(0), at(2 * HOUR + 5400), "printing"),
        (at(2 * HOUR + 5400), at(4 * HOUR), "no_data"),
    ]


def test_a_device_that_reports_each_second_is_missed_after_five_minutes(db, name, at):
    db.device(name, device_type="compressor", source="mqtt", data_interval_seconds=1)
    printing(db, name, [at(0), at(1), at(400)], "running")
    assert db.all("SELECT * FROM device_states(%s, %s, %s)", name, at(0), at(500)) == [
        (at(0), at(301), "running"),
        (at(301), at(400), "no_data"),
        (at(400), at(500), "running"),
    ]


def test_a_changed_interval_holds_for_what_is_asked_afterwards(db, name, at):
    db.device(name, source="prusalink", data_interval_seconds=60)
    printing(db, name, [at(0), at(3000)])
    states = "SELECT state, extract(epoch FROM t1 - t0)::float8 FROM device_states(%s, %s, %s)"
    assert db.all(states, name, at(0), at(3000)) == [("printing", 300), ("no_data", 2700)]
    db.device(name, data_interval_seconds=1000)
    assert db.all(states, name, at(0), at(3000)) == [("printing", 3000)]


def test_a_silent_device_is_offline_when_its_status_holds_no_longer(db, name):
    now = datetime.now(UTC)
    for interval, ago, state in (
        (60, 290, "printing"),
        (60, 310, "offline"),
        (1800, 5300, "printing"),
        (1800, 5500, "offline"),
    ):
        device = f"{name}-{interval}-{ago}"
        db.device(device, source="prusalink", data_interval_seconds=interval)
        printing(db, device, [now - timedelta(seconds=ago)])
        db.one("SELECT reap_devices(%s)", now)
        assert db.one("SELECT state FROM device_latest WHERE device_id = %s", device) == state, device


def test_the_power_of_a_device_is_without_what_no_longer_says_anything(db, name, at):
    """Its plug reports each 10 s, its dryer each quarter of an hour: 20 minutes ago is recent for the dryer alone."""
    plug, dryer = db.meter(device=name, reporting_interval_s=10), db.meter(reporting_interval_s=900)
    db.one("SELECT meter_assign(%s, %s, 'dryer', NULL, 'test')", dryer, name)
    power = lambda: db.one("SELECT power_watts FROM device_latest WHERE device_id = %s", name)
    db.ingest(dryer, [(at(0), None, 900.0)])
    db.ingest(plug, [(at(1200), None, 50.0)])
    assert power() == 950
    db.ingest(plug, [(at(2701), None, 60.0)])
    assert power() == 60, "three quarters of an hour are over"
    db.ingest(dryer, [(at(3000), None, 800.0)])
    assert power() == 860
    db.ingest(dryer, [(at(3002), None, 700.0)])
    assert power() == 700, "the plug is silent for more than five minutes"


def test_the_rule_stands_in_one_place():
    """No other function has five minutes or three intervals of its own."""
    found = {
        (path.name, line.strip())
        for path in FUNCTIONS.glob("*.sql")
        for line in path.read_text().splitlines()
        if re.search(r"'5 min|'300 s|3 \* \(?(coalesce\(|\w+\.)?(data_interval|reporting_interval|p_interval)", line)
        and not line.lstrip().startswith("--")
    }
    assert {name for name, _ in found} <= {"00_settings.sql", "10_meters.sql"}, found
    assert len([line for _, line in found if "5 min" in line]) == 2, "holds() and newest_allowed()"
    assert len(found) == 3, "and gap_threshold_s(), which says when a silence is a gap"
