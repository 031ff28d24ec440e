"""What charts read: the level follows the range, holes remain holes, and sums agree with the exact functions."""

import json
from datetime import UTC, datetime, timedelta

import psycopg2
import pytest

HOUR, DAY = 3600, 86400


@pytest.mark.parametrize(
    "hours, series, step",
    [
        (1, 1, 0),
        (5.9, 1, 0),
        (6, 1, 60),
        (25, 1, 60),
        (26, 1, 900),
        (8 * 24, 1, 900),
        (9 * 24, 1, HOUR),
        (45 * 24, 1, HOUR),
        (46 * 24, 1, DAY),
        (1, 100, 60),
        (24, 100, 900),
        (7 * 24, 100, HOUR),
        (30 * 24, 100, DAY),
    ],
)
def test_the_level_follows_the_range_and_the_number_of_series(plain, hours, series, step):
    assert plain.one("SELECT series_step(now() - make_interval(secs => %s), now(), %s)", hours * HOUR, series) == step


def test_days_are_the_factorys_days(plain):
    """The day on which the clock goes back has 25 hours."""
    rows = plain.all(
        "SELECT t0, t1 FROM buckets_between('2025-10-24 12:00+02', '2025-10-27 12:00+01', 86400, 'Europe/Berlin')"
    )
    assert [row[0].astimezone(UTC).isoformat() for row in rows] == [
        "2025-10-24T22:00:00+00:00",
        "2025-10-25T22:00:00+00:00",
        "2025-10-26T23:00:00+00:00",
    ]
    assert [(row[1] - row[0]).total_seconds() / HOUR for row in rows] == [24, 25, 24]
    hours = plain.all(
        "SELECT t0 FROM buckets_between('2025-10-24 12:10+02', '2025-10-24 14:10+02', 3600, 'Europe/Berlin')"
    )
    assert [row[0].astimezone(UTC).hour for row in hours] == [11, 12]


def steady(db, meter, at, seconds, watts=360.0, begin=1000.0, hole=()):
    """A reading each 10 s at constant power: 1 Wh each at 360 W."""
    db.ingest(
        meter,
        [
            (at(s), begin + watts * s / 3600, watts)
            for s in range(0, seconds + 1, 10)
            if not hole or not hole[0] < s < hole[1]
        ],
    )


def series(db, device, begin, end, step, together=False):
    return db.all(
        "SELECT time, device_id, energy_wh, avg_power_w, min_power_w, max_power_w "
        "FROM energy_series(%s, 'electricity', %s, %s, %s, %s) ORDER BY 1, 2",
        [device] if isinstance(device, str) else device,
        begin,
        end,
        step,
        together,
    )


def test_readings_and_buckets_keep_their_holes(db, at):
    meter = db.meter(device="ser-1")
    steady(db, meter, at, HOUR, hole=(600, 1200))
    db.all("CALL run_rollups()")
    raw = series(db, "ser-1", at(0), at(HOUR), 0)
    marks = [row for row in raw if row[3] is None]
    assert len(raw) == 360 - 59 + 1 and [row[0] for row in marks] == [at(1200) - timedelta(milliseconds=1)]
    minutes = series(db, "ser-1", at(0), at(HOUR), 60)
    assert all(row[3] is None or row[3:] == (360, 360, 360) for row in minutes)
    quarters = series(db, "ser-1", at(0), at(HOUR), 900)
    assert [row[0] for row in quarters] == [at(0), at(900), at(1800), at(2700)]
    assert sum(row[2] for row in quarters) == pytest.approx(360)


def test_time_in_which_the_meter_was_elsewhere_is_a_hole(db, at):
    meter = db.meter(device="ser-2")
    db.device("ser-2b")
    db.one("SELECT meter_assign(%s, 'ser-2b', 'main', %s, 'test')", meter, at(600))
    db.one("SELECT meter_assign(%s, 'ser-2', 'main', %s, 'test')", meter, at(1800))
    steady(db, meter, at, HOUR)
    db.all("CALL run_rollups()")
    rows = series(db, "ser-2", at(0), at(HOUR), 60)
    assert [row[0] for row in rows if row[3] is None] == [at(600)]
    assert len(rows) == 10 + 1 + 30


def test_several_main_meters_are_added_and_sub_meters_are_not(db, at):
    first = db.meter(device="ser-3")
    second, sub = db.meter(), db.meter()
    db.one("SELECT meter_assign(%s, 'ser-3', 'main', NULL, 'test')", second)
    db.one("SELECT meter_assign(%s, 'ser-3', 'sub', NULL, 'test')", sub)
    for meter, watts in ((first, 360.0), (second, 180.0), (sub, 90.0)):
        steady(db, meter, at, HOUR, watts)
    db.all("CALL run_rollups()")
    for step in (0, 60):  # readings of two meters can't be added: minutes instead
        rows = series(db, "ser-3", at(0), at(1800), step)
        assert len(rows) == 30 and {round(row[3]) for row in rows} == {540}
        assert all(row[4] is None and row[5] is None for row in rows), "the highest power of a sum is not known"


def test_a_fleets_sum_is_the_sum_of_its_machines(db, at):
    for device, watts in (("ser-4", 360.0), ("ser-5", 36.0)):
        steady(db, db.meter(device=device), at, HOUR, watts)
    db.all("CALL run_rollups()")
    rows = series(db, ["ser-4", "ser-5"], at(0), at(HOUR), 900, together=True)
    assert [row[:2] for row in rows] == [(at(s), None) for s in (0, 900, 1800, 2700)] and {
        round(row[3]) for row in rows
    } == {396}
    assert series(db, [], at(0), at(HOUR), 900, together=True) == []


def test_a_moved_meter_gives_each_device_its_own_time(db, at):
    meter = db.meter(device="ser-6")
    db.device("ser-7")
    db.one("SELECT meter_assign(%s, 'ser-7', 'main', %s, 'test')", meter, at(1800))
    steady(db, meter, at, HOUR)
    db.all("CALL run_rollups()")
    assert sum(row[2] for row in series(db, "ser-6", at(0), at(HOUR), 60)) == pytest.approx(180)
    assert sum(row[2] for row in series(db, "ser-7", at(0), at(HOUR), 60)) == pytest.approx(180)


def test_an_unknown_bucket_is_refused_with_a_sentence(plain, at):
    with pytest.raises(psycopg2.Error, match="There are no rollups of 7 seconds"):
        series(plain, "ser-1", at(0), at(HOUR), 7)


def tariff(db, name, price, **more):
    columns = {"priority": 5, **more}
    db.all(
        f"INSERT INTO energy_tariffs (factory_id, name, price_per_kwh, currency, {', '.join(columns)}) "
        f"SELECT factory_id, %s, %s, 'EUR', {', '.join(['%s'] * len(columns))} FROM factories WHERE is_default",
        name,
        price,
        *columns.values(),
    )


@pytest.mark.parametrize("case", ["flat", "by hour", "by quarter", "from an odd second", "none"])
@pytest.mark.parametrize("step", [HOUR, DAY])
def test_costs_of_bars_are_those_of_the_exact_function(db, case, step):
    """From whatever level they are computed: each bar = devices_energy_cost."""
    device = "cost-1"
    start = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=60)
    if not db.all("SELECT 1 FROM devices WHERE device_id = %s", device):
        meter = db.meter(device=device)
        for part in range(0, 60 * 60, 300):  # the WASM server dies of long messages
            db.ingest(
                meter,
                [(start + timedelta(minutes=i), 1000 + i + i % 7 / 10, 60.0 + i % 50) for i in range(part, part + 300)],
            )
        db.all("CALL run_rollups()")
    if case == "by hour":
        tariff(db, "night", 0.1, time_from="22:00", time_to="06:00")
    elif case == "by quarter":
        tariff(db, "lunch", 0.2, time_from="11:45", time_to="13:15")
    elif case == "from an odd second":
        tariff(db, "new", 0.5, valid_from=start + timedelta(hours=20, minutes=3, seconds=7))
    elif case == "none":
        db.all("UPDATE energy_tariffs SET valid_from = %s", start + timedelta(hours=30))
    try:
        end = start + timedelta(hours=60)
        got = db.all(
            "SELECT time, currency, energy_wh, cost, co2_g FROM cost_series(%s, 'electricity', %s, %s, %s) ORDER BY 1",
            [device],
            start,
            end,
            step,
        )
        wanted = db.all(
            "SELECT b.t0, c.currency, c.energy_wh, c.cost, c.co2_g FROM buckets_between(%s, %s, %s, device_zone(%s)) b "
            "CROSS JOIN LATERAL device_energy_cost(%s, b.t0, b.t1) c WHERE c.energy_wh IS NOT NULL ORDER BY 1",
            start,
            end,
            step,
            device,
            device,
        )
        assert len(got) == len(wanted) > 0
        for mine, exact in zip(got, wanted):
            assert mine[:2] == exact[:2]
            for value, right in zip(mine[2:], exact[2:]):
                assert value == (right if right is None else pytest.approx(right, rel=1e-9))
        assert (case == "none") == any(row[3] is None for row in got)
    finally:
        db.all("DELETE FROM energy_tariffs WHERE name <> 'Flat tariff'")
        db.all("UPDATE energy_tariffs SET valid_from = '-infinity'")


def test_states_are_exact_for_few_hours_and_by_bucket_for_many(db, at):
    db.device("state-1", source="prusalink")
    rows = [
        {"device_id": "state-1", "timestamp": at(60 * i).isoformat(), "state": "printing" if 20 <= i < 50 else "idle"}
        for i in range(61)
    ]
    db.one("SELECT record_status_rows(%s)", json.dumps(rows))
    while db.one("SELECT refresh_phases(%s, 1e6)", at(HOUR))["remaining"]:
        pass
    exact = db.all("SELECT time, state FROM state_series(%s, %s, %s) ORDER BY 1", ["state-1"], at(0), at(HOUR))
    assert exact == [(at(0), "idle"), (at(1200), "printing"), (at(3000), "idle")]
    longest = db.all(
        "SELECT time, state FROM state_series(%s, %s, %s) ORDER BY 1",
        ["state-1"] + [f"none-{i}" for i in range(400)],
        at(0),
        at(HOUR),
    )
    assert longest == [(at(0), exact_longest(db, at))]


def exact_longest(db, at):
    """The state that held longest within the hour; equal ones by name."""
    rows = db.all(
        "SELECT state, sum(extract(epoch FROM t1 - t0)) FROM device_states('state-1', %s, %s) GROUP BY 1",
        at(0),
        at(HOUR),
    )
    return min(rows, key=lambda row: (-row[1], row[0]))[0]
