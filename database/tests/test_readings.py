"""Readings as they arrive: meters appear, and each reading gets its time (SPEC 4.6)."""

import uuid
from datetime import timedelta

import pytest


class Feed:
    """One meter's messages; every argument in seconds from at(0)."""

    def __init__(self, db, at):
        self.db, self.at, self.meter = db, at, f"plug-{uuid.uuid4().hex[:6]}/switch:0"

    def send(self, *readings):
        """Readings (arrived s, counter, device time s or None, backlog)."""
        moment = lambda s: None if s is None else self.at(0) + timedelta(seconds=s)
        return self.db.readings(
            {
                "meter_id": self.meter,
                "protocol": "shelly_gen2",
                "topic": "t",
                "arrived": moment(arrived),
                "device_time": moment(device),
                "backlog": backlog,
                "energy_total_wh": counter,
            }
            for arrived, counter, device, backlog in readings
        )

    def times(self):
        return [
            (t - self.at(0)).total_seconds()
            for (t,) in self.db.all("SELECT timestamp FROM energy_data WHERE meter_id = %s ORDER BY 1", self.meter)
        ]


@pytest.fixture
def feed(db, at):
    return Feed(db, at)


def test_live_counts_at_arrival(feed):
    assert feed.send((0, 1, None, False), (10, 2, None, False)) == {
        "accepted": 2,
        "repeated": 0,
        "rejected": 0,
        "superseded": 0,
        "touched": [],
    }
    assert feed.times() == [0, 10]


def test_backlog_without_device_time_only_the_newest_counts(db, feed):
    feed.send((0, 1, None, False))
    counts = feed.send((100, 2, None, True), (101, 3, None, True), (102, 4, None, True), (103, 5, None, False))
    assert (counts["accepted"], counts["superseded"]) == (2, 2)
    assert feed.times() == [0, 102, 103]
    assert db.one("SELECT sum(count) FROM ingest_rejects WHERE payload LIKE %s", f"%{feed.meter}%") == 2


@pytest.mark.parametrize("offset", [0, 120, -120, 1.7e9 - 86400 * 365 * 3])
def test_a_learned_offset_places_a_backlog(feed, offset):
    """The device's clock may be wrong by minutes or never have been set (1970)."""
    feed.send(*[(t, t, t - offset, False) for t in (0, 10, 20)])
    feed.send(*[(500 + i, t, t - offset, True) for i, t in enumerate((30, 40, 50))])
    assert feed.times() == pytest.approx([0, 10, 20, 30, 40, 50], abs=0.001)


def test_a_late_live_reading_is_placed_where_it_belongs(feed):
    feed.send(*[(t, t, t - 5, False) for t in (0, 10, 20)])
    feed.send((100, 40, 35, False))
    feed.send((101, 101, 96, False))
    assert feed.times() == [0, 10, 20, 40, 101]


def test_small_delays_do_not_move_the_time(feed):
    feed.send(*[(t, t, t, False) for t in (0, 10)])
    feed.send((24, 20, 20, False))
    assert feed.times() == [0, 10, 24]


def test_a_clock_put_forward_is_learned_at_once(feed):
    feed.send(*[(t, t, t - 50 * 365 * 86400, False) for t in (0, 10)])  # 1970
    feed.send(*[(t, t, t, False) for t in (20, 30)])  # then NTP
    feed.send((100, 40, 40, True))
    assert feed.times() == [0, 10, 20, 30, 40]


def test_a_clock_lost_to_1970_is_learned_at_once(feed):
    feed.send(*[(t, t, t, False) for t in (0, 10)])
    feed.send(*[(t, t, t - 50 * 365 * 86400, False) for t in (20, 30)])
    assert feed.times() == [0, 10, 20, 30]


def test_a_clock_put_back_an_hour_is_learned_from_three_readings(feed):
    feed.send(*[(t, t, t, False) for t in (0, 10)])
    for t in (20, 30, 40, 50, 60):
        feed.send((t, t, t - 3600, False))
    assert feed.times() == [0, 10, 20, 30, 40, 50, 60]


def test_a_backlog_of_a_meter_never_seen_live(feed):
    feed.send((100, 5, 40, True), (101, 6, 50, True))
    assert feed.times() == [40, 50]


def test_repeating_a_call_changes_nothing(db, feed):
    batch = [(t, t, t - 30.0, False) for t in (0, 10, 20)] + [(500, 30, 0.0, True), (520, 40, 490.0, False)]
    feed.send(*batch)
    rows = db.rows(feed.meter)
    assert feed.send(*batch)["accepted"] == 0
    assert db.rows(feed.meter) == rows


def test_unknown_meters_appear_at_most_a_thousand(plain):
    assigned = plain.meter(device="with-meter")
    unassigned = (
        "SELECT count(*) FROM meters m "
        "WHERE NOT EXISTS (SELECT 1 FROM meter_assignments a WHERE a.meter_id = m.meter_id)"
    )
    names = [f"flood-{n:04}" for n in range(1100)]
    try:
        plain.one("SELECT register_meters(%s, %s)", names, ["tasmota"] * 1100)
        assert plain.one(unassigned) == 1000
        assert plain.ingest("flood-1099", [("2026-01-01", 1)])["rejected"] == 1
        assert "1,000 wait for a device" in plain.one("SELECT reason FROM ingest_rejects WHERE topic = 'flood-1099'")
        plain.device("flooded", shelly_id="flood-new")
        plain.one(
            "SELECT register_meters(ARRAY['flood-new/relay:0'], ARRAY['shelly_gen1'])"
        )  # has a device: always registered
        assert plain.one("SELECT device_id FROM meter_assignments WHERE meter_id = 'flood-new/relay:0'") == "flooded"
    finally:
        plain.all("DELETE FROM meter_state WHERE meter_id LIKE 'flood-%%'")
        plain.all("DELETE FROM meters WHERE meter_id LIKE 'flood-%%'")
    assert assigned
