"""Rollups equal the deltas at each level, on DST days and after late rows; reading is current before any refresh."""

import contextlib
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.plugin.database import Database

LEVELS = ("1min", "15min", "1hour", "1day")
BERLIN = ZoneInfo("Europe/Berlin")
SUM = "SELECT sum(energy_wh), sum(reading_count), sum(coverage_s) FROM energy_readings_{} WHERE meter_id = %s"


def snapshot(db, meter, level):
    return db.all(
        f"SELECT bucket, device_id, energy_wh, avg_power_w, min_power_w, max_power_w, coverage_s, reading_count "
        f"FROM energy_readings_{level} WHERE meter_id = %s ORDER BY 1, 2",
        meter,
    )


def assert_same(left, right):
    assert len(left) == len(right)
    for a, b in zip(left, right):
        assert a[:2] == b[:2] and a[2:] == tuple(v if v is None else pytest.approx(v, abs=1e-6) for v in b[2:])


def test_views_are_current_before_and_after_the_refresh(db, at):
    meter = db.meter(device="rolling")
    db.ingest(meter, [(at(10 * i), 100 + i / 10, 36) for i in range(1000)])
    before = {level: snapshot(db, meter, level) for level in LEVELS}
    assert db.one("SELECT refresh_rollups(10, ARRAY[%s])", meter)["remaining"] == 0
    for level in LEVELS:
        assert_same(before[level], snapshot(db, meter, level))
        assert db.one(SUM.format(level), meter) == (pytest.approx(99.9), 1000, pytest.approx(9990))
    db.ingest(meter, [(at(10 * i), 100 + i / 10, 36) for i in range(1000, 1100)])
    db.ingest(meter, [(at(4005), 140.08, 500)])  # a late row, too
    before = {level: snapshot(db, meter, level) for level in LEVELS}
    db.one("SELECT refresh_rollups(10, ARRAY[%s])", meter)
    for level in LEVELS:
        assert_same(before[level], snapshot(db, meter, level))
        assert db.one(SUM.format(level), meter) == (pytest.approx(109.9), 1101, pytest.approx(10990))
    assert db.one(
        "SELECT device_id, energy_type, total_energy_kwh * 1000 = energy_wh, avg_power_kw * 1000 = avg_power_w, "
        "machine_id IS NOT NULL FROM energy_readings_1hour WHERE meter_id = %s LIMIT 1",
        meter,
    ) == ("rolling", "electricity", True, True, True)


@pytest.mark.parametrize("again", [30, 90])
def test_a_minute_that_is_computed_again_leaves_its_neighbours_alone(db, at, again):
    """The meter moves while an interval crosses the turn of a minute, then one of both minutes is computed again.

    Before: the time between the turn and the move was taken off the minute.
    """
    meter = db.meter(device=f"bench-{again}")
    db.device(f"oven-{again}")
    db.ingest(meter, [(at(4 * i - 2), 100.0 + i, 900.0) for i in range(40)])  # 1 Wh each, one from 58 to 62 s
    moved = 60.5 if again == 30 else 59.5
    db.one("SELECT meter_assign(%s, %s, 'main', %s, 'test')", meter, f"oven-{again}", at(moved))
    db.refresh(meter)
    before = {level: snapshot(db, meter, level) for level in LEVELS}
    db.one("SELECT mark_dirty(%s, %s, %s)", meter, at(again), at(again + 1))
    for refreshed in (False, True):
        if refreshed:
            db.refresh(meter)
        for level in LEVELS:
            assert_same(before[level], snapshot(db, meter, level))
            assert db.one(SUM.format(level), meter)[0] == pytest.approx(39)


def test_average_power_is_weighted_by_time(db, at):
    meter = db.meter()
    db.ingest(meter, [(at(0), None, 100), (at(45), None, 500), (at(60), None, 500)])
    row = db.one(
        "SELECT avg_power_w, min_power_w, max_power_w, coverage_s, energy_wh FROM energy_readings_1min "
        "WHERE meter_id = %s AND bucket = %s",
        meter,
        at(0),
    )
    assert row == (200, 100, 500, 60, None)


def test_a_gap_has_energy_but_no_coverage(db, at):
    meter = db.meter()
    db.ingest(meter, [(at(0), 0, 60), (at(60), 1, 60), (at(660), 11, 60), (at(720), 12, 60)])
    assert db.one(SUM.format("1hour"), meter) == (pytest.approx(12), 4, 120)
    assert db.one(
        "SELECT energy_wh, avg_power_w, coverage_s FROM energy_readings_1min WHERE meter_id = %s AND bucket = %s",
        meter,
        at(300),
    ) == (pytest.approx(1), None, 0)


def test_days_are_the_factorys_days_even_when_clocks_change(db):
    """The last DST change within the raw retention: a day of 23 or 25 hours has that many hours of energy."""
    now = datetime.now(UTC)
    day = next(
        d
        for d in (now.date() - timedelta(days=n) for n in range(2, 200))
        if datetime(d.year, d.month, d.day, tzinfo=BERLIN).utcoffset()
        != datetime(d.year, d.month, d.day, 23, tzinfo=BERLIN).utcoffset()
    )
    if now.date() - day > timedelta(days=170):
        pytest.skip("no change of clocks within the retention of raw rows")
    begin = datetime(day.year, day.month, day.day, tzinfo=BERLIN).astimezone(UTC)
    after = datetime(day.year, day.month, day.day, tzinfo=BERLIN) + timedelta(days=1)
    end = after.astimezone(UTC)
    hours = (end - begin).total_seconds() / 3600
    assert hours in (23, 25)
    meter = db.meter()
    db.ingest(meter, [(begin + timedelta(minutes=5 * (i - 24)), float(i), 12) for i in range(int(hours * 12) + 49)])
    for refresh in (False, True):
        if refresh:
            db.one("SELECT refresh_rollups(10, ARRAY[%s])", meter)
        days = db.all("SELECT bucket, energy_wh FROM energy_readings_1day WHERE meter_id = %s ORDER BY 1", meter)
        assert [bucket for bucket, _ in days] == [begin - timedelta(hours=24), begin, end]
        assert days[1][1] == pytest.approx(hours * 12)
        assert sum(wh for _, wh in days) == pytest.approx(hours * 12 + 48)


@settings(max_examples=15, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(
        st.tuples(st.integers(1, 1500), st.floats(0, 3, width=32), st.booleans(), st.integers(0, 2)),
        min_size=2,
        max_size=30,
    )
)
def test_rollups_are_the_deltas_at_each_level(plain, at, steps):
    """Rows in three deliveries, a refresh after each: the order and the refreshes leave no trace."""
    meter, reference = plain.meter(), plain.meter()
    t, counter, deliveries = 0, 50.0, ([], [], [])
    for seconds, rise, only_power, delivery in steps:
        t, counter = t + seconds, counter + rise
        deliveries[delivery].append((at(t), None if only_power else counter, 100.0 * rise))
    for rows in deliveries:
        if rows:
            plain.ingest(meter, rows)
            plain.one("SELECT refresh_rollups(10, ARRAY[%s])", meter)
    plain.ingest(reference, [row for rows in deliveries for row in rows])
    total = plain.one("SELECT coalesce(sum(energy_delta_wh), 0) FROM energy_data WHERE meter_id = %s", meter)
    for level in LEVELS:
        assert_same(snapshot(plain, meter, level), snapshot(plain, reference, level))  # stored = computed on reading
        assert (plain.one(SUM.format(level), meter)[0] or 0) == pytest.approx(total, abs=1e-6)
        assert plain.one(SUM.format(level), meter)[1] == len(steps)


def test_retention_freezes_what_it_removes(migrated):
    """A database of its own, because the freeze holds for all meters."""
    with migrated() as dsn, contextlib.closing(Database(dsn)) as db:
        meter = db.meter(device="kept")
        # what goes is a whole month: two days on both sides of the turn of one
        cut = (datetime.now(UTC) - timedelta(days=2)).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        old, now = cut - timedelta(days=1), cut + timedelta(days=1)
        db.ingest(meter, [(old + timedelta(minutes=i), float(i), 60) for i in range(2880)])
        before = {level: snapshot(db, meter, level) for level in LEVELS}
        while_kept = db.one("SELECT apply_retention(%s + interval '6 months' - interval '1 second')", cut)
        assert while_kept["energy"] == 0 and db.one("SELECT min(timestamp) FROM energy_data") == old
        assert db.one("SELECT apply_retention(%s + interval '6 months')", cut)["energy"] == 1
        assert db.one("SELECT min(timestamp) FROM energy_data") == cut
        for level in LEVELS:
            assert_same(before[level], snapshot(db, meter, level))
        late = db.ingest(meter, [(cut - timedelta(hours=1), 5.0)])
        assert late["rejected"] == 1 and db.one("SELECT reason FROM ingest_rejects") == "older than the raw rows kept"
        db.ingest(meter, [(cut + timedelta(seconds=30), 720.25, 60)])  # late but kept: corrects only what is not frozen
        db.one("SELECT refresh_rollups(10)")
        total = db.one("SELECT sum(energy_wh) FROM energy_readings_1min")
        assert total == pytest.approx(2879) and db.one(
            "SELECT sum(energy_wh) FROM energy_readings_1day"
        ) == pytest.approx(2879)
        assert db.one("SELECT device_energy('kept', %s, %s)", old, now) == pytest.approx(2879)
