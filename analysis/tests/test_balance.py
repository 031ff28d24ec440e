"""The account of an analysis: phases sum to the range in time and energy, and the total is what the database counts."""

import json
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analysis.core.states import PHASES
from analysis.core.times import micros

HOUR = 3600
PHASE_OF = {
    "heating": "Heating",
    "printing": "Printing",
    "paused": "Paused",
    "attention": "Paused",
    "idle": "Idle",
    "ready": "Idle",
    "finished": "Idle",
    "cancelled": "Idle",
    "error": "Active",
    "running": "Active",
    "standby": "Idle",
    "setup": "Active",
    "maintenance": "Idle",
    "fault": "Active",
    "offline": "No data",
    "unknown": "No data",
    "no_data": "No data",
}


def analysed(service, device, start, end):
    """results of a range."""
    answer = service.analyze({"deviceId": device, "from": start.isoformat(), "to": end.isoformat(), "cache": False})
    assert answer["success"], answer["error"]
    return answer["results"]


def check_balance(plant, results, device, start, end):
    """Everything that must hold for any device, range and fault."""
    phases, summary = results["phase_analysis"], results["summary"]
    assert set(phases) == set(PHASES)
    assert sum(p["duration_minutes"] for p in phases.values()) * 60 == pytest.approx(
        (end - start).total_seconds(), abs=1e-3
    )
    known = plant.one("SELECT device_energy(%s, %s, %s)", device, start, end)
    if known is None:
        assert summary["total_kwh"] is None
        known = 0.0
    else:
        assert summary["total_kwh"] == pytest.approx(known / 1000, rel=1e-3, abs=1e-9)
    assert sum(p["energy_kwh"] for p in phases.values()) == pytest.approx(known / 1000, rel=1e-3, abs=1e-9)
    # each phase by the database's own cutting, independently
    for name, (seconds, wh) in by_sql(plant, device, start, end).items():
        assert phases[name]["duration_minutes"] * 60 == pytest.approx(seconds, abs=1e-3), name
        assert phases[name]["energy_kwh"] == pytest.approx(wh / 1000, rel=1e-3, abs=1e-6), name


def by_sql(plant, device, start, end):
    """{phase: (seconds, Wh)} by device_states() and energy_between(); temperatures must not change the phase."""
    found = {}
    for state, seconds, wh in plant.all(
        """SELECT s.state, sum(extract(epoch FROM s.t1 - s.t0))::float8,
                      sum((SELECT sum(energy_between(a.meter_id, greatest(a.valid_from, s.t0), least(a.valid_to, s.t1)))
                           FROM meter_assignments a
                           WHERE a.device_id = %s AND a.adds AND a.valid_from < s.t1 AND a.valid_to > s.t0))
               FROM device_states(%s, %s, %s) s GROUP BY s.state""",
        device,
        device,
        start,
        end,
    ):
        before = found.get(PHASE_OF[state], (0, 0))
        found[PHASE_OF[state]] = (before[0] + seconds, before[1] + (wh or 0))
    return found


@pytest.fixture(scope="module")
def printer(plant):
    """Twelve hours at 10 s: idle, a print with heating and a pause, a silent half hour, a counter reset, idle."""
    begin = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=14)
    at = lambda s: begin + timedelta(seconds=s)
    device = plant.printer(device_model="MK4", idle_power_w=9)
    meter = plant.meter(device=device)
    watts = lambda s: (
        10
        if s < 1 * HOUR
        else 250
        if s < 1.1 * HOUR
        else 90
        if s < 5 * HOUR
        else 60
        if s < 6 * HOUR
        else 90
        if s < 9 * HOUR
        else 10
    )
    rows, counter = [], 5000.0
    for s in range(600, 12 * HOUR, 10):
        counter += watts(s) / 360
        if s == 8 * HOUR:
            counter = 0.3
        if not 7 * HOUR < s < 7.5 * HOUR:
            rows.append((at(s), counter, None if s % 70 == 0 else watts(s)))
    plant.ingest(meter, rows)
    states = []
    for s in range(0, 12 * HOUR, 30):
        state = (
            "idle"
            if s < HOUR
            else "heating"
            if s < 1.1 * HOUR
            else "printing"
            if s < 5 * HOUR
            else "paused"
            if s < 6 * HOUR
            else "printing"
            if s < 9 * HOUR
            else "finished"
        )
        if not 3 * HOUR < s < 3.5 * HOUR:
            states.append((at(s), state))
    plant.statuses(device, states)
    return device, at


RANGES = {
    "whole": (0, 12 * HOUR),
    "in a print": (2 * HOUR + 7, 4 * HOUR + 3),
    "in the gap": (7 * HOUR + 600, 7.75 * HOUR),
    "ends in the gap": (6 * HOUR, 7 * HOUR + 1234.567),
    "before the first reading": (-2 * HOUR, 2 * HOUR),
    "reset inside": (7.8 * HOUR, 8.2 * HOUR),
    "one second": (2 * HOUR + 3, 2 * HOUR + 4),
    "a microsecond": (2 * HOUR, 2 * HOUR + 1e-6),
    "nothing known": (-20 * HOUR, -10 * HOUR),
    "after the last": (11.5 * HOUR, 13 * HOUR),
}


@pytest.mark.parametrize("name", RANGES)
def test_phases_sum_to_the_total(plant, service, printer, name):
    device, at = printer
    start, end = (at(s) for s in RANGES[name])
    check_balance(plant, analysed(service, device, start, end), device, start, end)


def test_neighbouring_ranges_add_up(service, printer):
    device, at = printer
    parts = [0, 1.5 * HOUR, 7.2 * HOUR, 7.31 * HOUR, 8 * HOUR, 12 * HOUR]
    whole = analysed(service, device, at(parts[0]), at(parts[-1]))
    each = [analysed(service, device, at(a), at(b)) for a, b in pairwise(parts)]
    for phase in PHASES:
        assert sum(r["phase_analysis"][phase]["energy_kwh"] for r in each) == pytest.approx(
            whole["phase_analysis"][phase]["energy_kwh"], abs=1e-9
        )


def test_gap_and_reset_are_counted(service, printer):
    device, at = printer
    quality = analysed(service, device, at(0), at(12 * HOUR))["data_quality"]
    assert (quality["gaps"], quality["resets"]) == (1, 1)
    assert quality["gap_minutes"] == pytest.approx(30, abs=0.5)


@pytest.fixture(scope="module")
def season(plant):
    """Sixty days at ten minutes, so that long ranges are read from rollups; the plug is exchanged in between."""
    end = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=1)
    begin = end - timedelta(days=60)
    device = plant.printer(device_model="MK4")
    first = plant.meter(device=device)
    change = begin + timedelta(days=20, minutes=7.3)
    rows = [
        (begin + timedelta(minutes=10 * i, seconds=3), 100 + 10.0 * i + (i % 12) / 2, 60.0) for i in range(60 * 144)
    ]
    plant.ingest(first, [row for row in rows if row[0] < change])
    second = plant.meter(device=device, since=change)
    plant.one("SELECT meter_assign(%s, NULL, 'main', %s, 'test')", first, change)
    plant.ingest(second, [(when, counter - 3000, power) for when, counter, power in rows if when >= change])
    plant.statuses(
        device,
        [(begin + timedelta(days=25, minutes=5 * k), "printing" if k % 50 < 30 else "idle") for k in range(3000)],
    )
    plant.all("CALL run_rollups()")
    # late rows make stored rollups stale in the middle
    plant.ingest(second, [(begin + timedelta(days=30, minutes=2), 100 + 10.0 * 4320 - 3000 + 2, 60.0)])
    return device, begin, end


@pytest.mark.parametrize(("first", "last"), [(0, 60), (0.123, 59.9), (19, 33), (15.00777, 40), (-5, 58), (29.9, 38.1)])
def test_long_ranges_from_rollups_keep_the_sum(plant, service, season, first, last):
    device, begin, end = season
    start, end = begin + timedelta(days=first), min(begin + timedelta(days=last), end)
    results = analysed(service, device, start, end)
    known = plant.one(
        "SELECT sum(energy_between(meter_id, greatest(valid_from, %s), least(valid_to, %s))) "
        "FROM meter_assignments WHERE device_id = %s AND valid_from < %s",
        start,
        end,
        device,
        end,
    )
    assert results["summary"]["total_kwh"] == pytest.approx(known / 1000, rel=1e-6)
    assert sum(p["energy_kwh"] for p in results["phase_analysis"].values()) == pytest.approx(known / 1000, rel=1e-9)
    assert sum(p["duration_minutes"] for p in results["phase_analysis"].values()) == pytest.approx(
        (end - start).total_seconds() / 60, abs=1e-6
    )
    assert results["data_quality"]["row_seconds"] == (60 if last - first <= 62 else 900)


BERLIN = ZoneInfo("Europe/Berlin")


@pytest.fixture(scope="module")
def day_and_night(plant):
    """0.40 by day, 0.20 from 22 to 6 o'clock in the factory's zone; readings of a year ago are taken."""
    kept = plant.one("SELECT setting('retention_raw')")
    plant.all("UPDATE settings SET value = '2 years' WHERE name = 'retention_raw'")
    plant.all("""INSERT INTO energy_tariffs (factory_id, name, priority, price_per_kwh, currency, time_from, time_to)
                 SELECT factory_id, 'test night', 9, 0.20, 'EUR', time '22:00', time '06:00' FROM factories UNION ALL
                 SELECT factory_id, 'test day', 8, 0.40, 'EUR', '00:00', '24:00' FROM factories""")
    yield
    plant.all("DELETE FROM energy_tariffs WHERE name LIKE 'test %'")
    plant.all("UPDATE settings SET value = %s WHERE name = 'retention_raw'", kept)


def last_day_of(hours):
    """The start of the factory's last day that had that many hours."""
    day = datetime.now(BERLIN).replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None) - timedelta(days=2)
    while (begin := day.replace(tzinfo=BERLIN)).astimezone(UTC) + timedelta(hours=hours) != (
        day + timedelta(days=1)
    ).replace(tzinfo=BERLIN).astimezone(UTC):
        day -= timedelta(days=1)
    return begin.astimezone(UTC)


@pytest.mark.parametrize(("hours", "night"), [(23, 7), (24, 8), (25, 9)])
def test_a_day_on_which_the_clock_changes(plant, service, day_and_night, hours, night):
    """A kilowatt all day long: the day has its true length, and the night has the hour that comes twice (or never)."""
    begin = last_day_of(hours)
    device = plant.printer(device_model="MK4")
    plant.ingest(
        plant.meter(device=device),
        [(begin + timedelta(minutes=i), 100 + 1000 * i / 60, 1000.0) for i in range(-1, hours * 60 + 2)],
    )
    plant.statuses(
        device, [(begin + timedelta(minutes=5 * i), "printing" if i % 12 else "paused") for i in range(hours * 12)]
    )
    results = analysed(service, device, begin, begin + timedelta(hours=hours))
    check_balance(plant, results, device, begin, begin + timedelta(hours=hours))
    assert results["summary"]["total_kwh"] == pytest.approx(hours, rel=1e-6)
    assert results["phase_analysis"]["Printing"]["duration_minutes"] == pytest.approx(hours * 55)
    assert results["summary"]["cost"] == pytest.approx(0.2 * night + 0.4 * (hours - night), rel=1e-6)


def test_what_retention_left_still_balances(plant, service):
    """Rows and statuses of the first days are gone: buckets and hours per state are what is left."""
    end = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=1)
    begin, cut = end - timedelta(days=3), (end - timedelta(days=1)).replace(hour=0)
    device = plant.printer(device_model="MK4")
    meter = plant.meter(device=device)
    plant.ingest(meter, [(begin + timedelta(minutes=2 * i), 100 + 2 * i, 60.0) for i in range(3 * 720)])
    plant.statuses(
        device, [(begin + timedelta(minutes=4 * i), "printing" if i % 45 < 30 else "idle") for i in range(3 * 360)]
    )
    plant.all("CALL run_rollups()")
    plant.all(
        "UPDATE device_latest SET phases_dirty_from = NULL WHERE device_id <> %s", device
    )  # what other tests left
    while plant.one("SELECT (refresh_phases(now(), 60) ->> 'remaining')::int"):
        pass
    before = analysed(service, device, begin + timedelta(hours=6), end)
    frozen = plant.one("SELECT setting('frozen_before')")
    try:
        plant.all("UPDATE settings SET value = %s WHERE name = 'frozen_before'", cut.isoformat())
        # Rows go in small steps, or by whole chunks: for a while they are there together with what replaces them.
        still_there = analysed(service, device, begin + timedelta(hours=6), end)
        plant.all("DELETE FROM series.energy WHERE meter_key = meter_key(%s) AND timestamp < %s", meter, cut)
        plant.all("DELETE FROM series.device_status WHERE device_key = device_key(%s) AND timestamp < %s", device, cut)
        after = analysed(service, device, begin + timedelta(hours=6), end)
        old = analysed(
            service, device, begin + timedelta(hours=7.5), begin + timedelta(hours=9, minutes=20, seconds=30)
        )
    finally:
        plant.all("UPDATE settings SET value = %s WHERE name = 'frozen_before'", frozen)
    assert after["summary"]["total_kwh"] == pytest.approx(before["summary"]["total_kwh"], rel=1e-9)
    assert old["summary"]["total_kwh"] == pytest.approx(110.5 / 1000, rel=1e-6)
    for results in (still_there, after):
        for name in ("Printing", "Idle", "No data"):
            assert results["phase_analysis"][name]["duration_minutes"] == pytest.approx(
                before["phase_analysis"][name]["duration_minutes"], abs=1e-6
            )
            assert results["phase_analysis"][name]["energy_kwh"] == pytest.approx(
                before["phase_analysis"][name]["energy_kwh"], rel=1e-3, abs=1e-6
            )


def test_two_main_meters_are_added(plant, service, at):
    device = plant.printer()
    for step, watts in ((10, 100.0), (17, 40.0)):
        plant.ingest(plant.meter(device=device), [(at(s), 10 + s * watts / 3600, watts) for s in range(0, 3600, step)])
    plant.statuses(device, [(at(s), "printing" if s < 1500 else "idle") for s in range(0, 3600, 60)])
    results = analysed(service, device, at(100), at(3000))
    check_balance(plant, results, device, at(100), at(3000))
    assert results["summary"]["avg_power_w"] == pytest.approx(140, rel=1e-3)
    assert results["summary"]["peak_power_w"] == pytest.approx(140)


def test_two_meters_with_one_reading_each_say_nothing_yet(plant, service, at):
    device = plant.printer()
    for s in (10, 20):
        plant.ingest(plant.meter(device=device), [(at(s), 5.0, 7.0)])
    results = analysed(service, device, at(0), at(60))
    assert results["summary"]["total_kwh"] is None and results["data_quality"]["rows"] == 2


def test_printer_that_is_not_heard_keeps_its_energy(plant, service, at):
    device = plant.printer(source="prusalink", api_ip="127.0.0.1", api_key="k")
    plant.ingest(plant.meter(device=device), [(at(s), 10 + s / 3600, 1.0) for s in range(0, 3600, 10)])
    results = analysed(service, device, at(0), at(1800))
    assert (
        results["phase_analysis"]["No data"]["energy_kwh"] == results["summary"]["total_kwh"] == pytest.approx(0.0005)
    )


def test_device_without_statuses_is_told_apart_by_power(plant, service, at):
    device = plant.printer(device_type="compressor", source="none", idle_power_w=100)
    meter = plant.meter(device=device)
    plant.ingest(
        meter,
        [
            (at(s), 100 + (s * 100 if s <= 1800 else 180_000 + (s - 1800) * 2000) / 3600, 100.0 if s < 1800 else 2000.0)
            for s in range(0, 3601, 10)
        ],
    )
    results = analysed(service, device, at(0), at(3600))
    assert results["phase_analysis"]["Idle"]["duration_minutes"] == pytest.approx(30)
    assert results["phase_analysis"]["Active"]["avg_power"] == pytest.approx(2000, rel=1e-3)
    assert results["summary"]["total_kwh"] == pytest.approx(1.05, rel=1e-3)
    assert results["ml_prediction_summary"]["available"] is False
    assert results["series"]["phase"] == ["Idle" if watts < 1000 else "Active" for watts in results["series"]["actual"]]


def test_cost_follows_the_tariffs(plant, service, at):
    device = plant.printer()
    plant.ingest(plant.meter(device=device), [(at(s), 1000 + s / 3.6, 1000.0) for s in range(0, 3601, 10)])
    results = analysed(service, device, at(0), at(3600))
    cost, co2 = plant.one("SELECT cost, co2_g FROM device_energy_cost(%s, %s, %s)", device, at(0), at(3600))
    assert results["summary"]["cost"] == pytest.approx(cost)
    assert results["summary"]["co2_g"] == pytest.approx(co2)


def test_only_electricity_meters_that_add_up_count(plant, service, at):
    """A sub meter measures a part, gas is no electricity, and what flows out is not consumed; a dryer counts."""
    device = plant.printer()
    meters = [plant.meter(device=device) for _ in range(5)]
    plant.all("UPDATE meter_assignments SET role = 'sub' WHERE meter_id = %s", meters[1])
    plant.all("UPDATE meters SET energy_type = 'natural_gas' WHERE meter_id = %s", meters[2])
    plant.all("UPDATE meter_assignments SET role = 'dryer' WHERE meter_id = %s", meters[3])
    plant.all("UPDATE meters SET direction = 'export' WHERE meter_id = %s", meters[4])
    for meter, watts in zip(meters, (80.0, 30.0, 5000.0, 20.0, 700.0)):
        plant.ingest(meter, [(at(s), 10 + s * watts / 3600, watts) for s in range(0, 3601, 10)])
    results = analysed(service, device, at(0), at(3600))
    assert (
        results["summary"]["total_kwh"]
        == pytest.approx(0.1)
        == plant.one("SELECT device_energy(%s, %s, %s)", device, at(0), at(3600)) / 1000
    )
    assert results["summary"]["peak_power_w"] == 100 and results["data_quality"]["rows"] == 360


READING = st.tuples(
    st.integers(5, 400), st.one_of(st.none(), st.floats(0, 30)), st.one_of(st.none(), st.floats(0, 400))
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_meter_balances(plant, dataset_of, data):
    """Random readings (partial messages, gaps, resets) cut anywhere: the line is energy_between() at every cut."""
    begin = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=20)
    device = plant.printer()
    meter = plant.meter(device=device, reading_kind=data.draw(st.sampled_from(["counter", "counter", "power_only"])))
    now, counter, rows = 0, 1000.0, []
    for step, rise, power in data.draw(st.lists(READING, min_size=1, max_size=25)):
        now += step
        if rise is not None:
            counter = rise if data.draw(st.integers(0, 15)) == 0 else counter + rise
        rows.append((begin + timedelta(seconds=now), None if rise is None else counter, power))
    plant.ingest(meter, [row for row in rows if row[1] is not None or row[2] is not None])
    cuts = sorted(data.draw(st.lists(st.floats(-100, now + 100), min_size=2, max_size=6, unique=True)))
    cuts = [begin + timedelta(seconds=round(cut, 3)) for cut in cuts]
    dataset = dataset_of(device, cuts[0], cuts[-1])
    for a, b in pairwise(cuts):
        if a == b:
            continue
        known = plant.one("SELECT energy_between(%s, %s, %s)", meter, a, b) or 0.0
        ours = float(dataset.line.wh_until(micros(b)) - dataset.line.wh_until(micros(a)))
        assert ours == pytest.approx(known, abs=1e-6)


INTERVAL = st.tuples(
    st.sampled_from([None, "power", "lost", "told", "told", "told"]), st.floats(0, 50), st.integers(0, 300)
)


def put_intervals(plant, meter, begin, slots):
    """Every 300 s an interval's energy, some lost, with readings of power between them; returns the last second."""
    now, rows = 0, []
    for kind, wh, shift in slots:
        now += 300
        if kind == "power":
            rows.append((begin + timedelta(seconds=now - shift), None, wh, None))
        elif kind == "told":
            # a device's interval may be shorter or longer than the time between its messages
            rows.append((begin + timedelta(seconds=now), wh, None, None if shift % 2 else 150 + 2 * shift))
    if rows:
        rows = list({row[0]: row for row in rows}.values())
        plant.one(
            "SELECT ingest_energy(%s, %s::timestamptz[], %s::float8[], %s::float8[], p_interval_s => %s::float8[])",
            [meter] * len(rows),
            [row[0] for row in rows],
            [row[2] for row in rows],
            [row[1] for row in rows],
            [row[3] for row in rows],
        )
    return now


def check_line(plant, dataset_of, device, cuts):
    """Energy and coverage between any two cuts are those of the database."""
    dataset = dataset_of(device, cuts[0], cuts[-1])
    for a, b in pairwise(cuts):
        if a == b:
            continue
        between = np.array([micros(a), micros(b)])
        wh, covered = plant.one("SELECT energy_wh, coverage_s FROM device_energy_detail(%s, %s, %s)", device, a, b)
        assert np.diff(dataset.line.wh_until(between))[0] == pytest.approx(wh or 0.0, abs=1e-6)
        assert (np.diff(dataset.line.known_s_until(between))[0] > 0) == (wh is not None)
        assert np.diff(dataset.line.covered_s_until(between))[0] == pytest.approx(covered, abs=1e-5)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_interval_meter_balances(plant, dataset_of, data):
    """Lost readings, intervals of any length and spans that do not count: equal at every cut, with their coverage."""
    begin = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=20)
    device = plant.printer()
    meter = plant.meter(device=device, reading_kind="interval", interval_s=300)
    slots = data.draw(st.lists(INTERVAL, min_size=1, max_size=12))
    # without readings of power the coverage is a matter of intervals alone
    with_power = data.draw(st.booleans())
    now = put_intervals(plant, meter, begin, [slot for slot in slots if with_power or slot[0] != "power"])
    if now and data.draw(st.booleans()):
        first, last = sorted(data.draw(st.lists(st.integers(0, now), min_size=2, max_size=2, unique=True)))
        plant.one(
            "SELECT meter_correct(%s, %s, %s, NULL, 'broken', 'test')",
            meter,
            begin + timedelta(seconds=first),
            begin + timedelta(seconds=last),
        )
    cuts = sorted(
        data.draw(st.lists(st.floats(-100, now + 100), min_size=2, max_size=6, unique_by=lambda s: round(s, 3)))
    )
    cuts = [begin + timedelta(seconds=round(cut, 3)) for cut in cuts]
    if not with_power:
        check_line(plant, dataset_of, device, cuts)
    dataset = dataset_of(device, cuts[0], cuts[-1])
    for a, b in pairwise(cuts):
        ours = float(dataset.line.wh_until(micros(b)) - dataset.line.wh_until(micros(a)))
        assert ours == pytest.approx(plant.one("SELECT energy_between(%s, %s, %s)", meter, a, b) or 0.0, abs=1e-6)


def test_a_lost_interval_is_a_gap_without_energy(plant, dataset_of, service, at):
    """Five quarters of an hour of 10 kWh, the third lost: 40 kWh, and the energy of the others stays where it was."""
    device = plant.printer(device_type="compressor")
    meter = plant.meter(device=device, reading_kind="interval", interval_s=900, max_power_w=1e6)
    plant.ingest(meter, [(at(900 * n), 10_000.0) for n in (1, 2, 4, 5)])
    results = analysed(service, device, at(0), at(4500))
    assert results["summary"]["total_kwh"] == pytest.approx(40)
    line = dataset_of(device, at(0), at(4500)).line
    edges = np.array([micros(at(900 * n)) for n in range(6)])
    assert np.diff(line.wh_until(edges)) == pytest.approx([10_000, 10_000, 0, 10_000, 10_000])
    assert np.diff(line.covered_s_until(edges)) == pytest.approx([900, 900, 0, 900, 900])
    assert np.diff(line.gap_s_until(edges)) == pytest.approx([0, 0, 900, 0, 0])
    assert results["data_quality"]["gaps"] == 1
    # the mean that the energy implies is the power of an interval, and of the reading that ends it
    assert results["series"]["actual"] == [40_000.0] * 4
    assert results["new_metrics"]["avg_power_overall"] == pytest.approx(40_000)


def test_readings_of_all_time_begin_with_the_first_interval(plant, service):
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    device = plant.printer(device_type="compressor")
    meter = plant.meter(device=device, reading_kind="interval", interval_s=900, max_power_w=1e6)
    plant.ingest(meter, [(hour - timedelta(seconds=900 * n), 10_000.0) for n in (4, 3, 2, 1)])
    results = service.analyze({"deviceId": device, "timeRange": "all"})["results"]
    assert results["summary"]["total_kwh"] == pytest.approx(40)


@pytest.mark.parametrize("factors", [(1, 1), (1, -1), (0.3,)], ids=["sum", "difference", "share"])
@pytest.mark.parametrize("days", [0.1, 9], ids=["readings", "rollups"])
def test_a_virtual_meter_is_the_sum_of_its_parts(plant, service, dataset_of, factors, days):
    """From readings, and from stored rollups with readings where these are not current."""
    end = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=1)
    begin, step = end - timedelta(days=days), 20 if days < 1 else 60
    device = plant.printer(idle_power_w=9)
    parts = [plant.meter() for _ in factors]
    virtual = f"v-{device}"
    for meter, watts in zip(parts, (100.0, 40.0)):
        plant.ingest(
            meter,
            [
                (begin + timedelta(seconds=s), 10 + s * watts / 3600, watts)
                for s in range(0, int(86400 * days) + 1, step)
            ],
        )
    plant.one("SELECT virtual_meter_save(%s, %s, 'test')", virtual, json.dumps(dict(zip(parts, factors))))
    plant.one("SELECT meter_assign(%s, %s, 'main', NULL, 'test')", virtual, device)
    if days > 1:
        plant.all("CALL run_rollups()")
    start, watts = begin + timedelta(seconds=1234), sum(f * w for f, w in zip(factors, (100, 40)))
    results = analysed(service, device, start, end)
    known = plant.one("SELECT device_energy(%s, %s, %s)", device, start, end)
    assert results["summary"]["total_kwh"] == pytest.approx(known / 1000, rel=1e-9)
    assert known == pytest.approx(watts * (end - start).total_seconds() / 3600, rel=1e-6)
    assert results["summary"]["peak_power_w"] == pytest.approx(watts)
    assert results["summary"]["avg_power_w"] == pytest.approx(watts)
    assert results["data_quality"]["coverage_percent"] == pytest.approx(100)


def test_what_one_part_does_not_know_a_virtual_meter_does_not_know(plant, dataset_of, at):
    device, parts = plant.printer(), [plant.meter() for _ in range(2)]
    for meter, first, last in zip(parts, (0, 1800), (3600, 5400)):
        plant.ingest(meter, [(at(s), 10 + s / 36, 100.0) for s in range(first, last + 1, 10)])
    plant.one("SELECT virtual_meter_save(%s, %s, 'test')", f"v-{device}", json.dumps(dict.fromkeys(parts, 1)))
    plant.one("SELECT meter_assign(%s, %s, 'main', NULL, 'test')", f"v-{device}", device)
    line = dataset_of(device, at(0), at(5400)).line
    edges = np.array([micros(at(s)) for s in (0, 1800, 3600, 5400)])
    assert np.diff(line.wh_until(edges)) == pytest.approx([0, 100, 0])
    assert np.diff(line.known_s_until(edges)) == pytest.approx([0, 1800, 0])


def test_a_span_that_does_not_count_is_unknown(plant, service, dataset_of, at):
    """Excluded by a correction: no energy, not covered; the rest keeps its own."""
    device = plant.printer()
    meter = plant.meter(device=device)
    plant.ingest(meter, [(at(s), 100 + s / 36, 100.0) for s in range(0, 3601, 10)])
    plant.one("SELECT meter_correct(%s, %s, %s, NULL, 'clamp open', 'test')", meter, at(1200), at(1800))
    plant.statuses(device, [(at(s), "printing") for s in range(0, 3600, 60)])
    results = analysed(service, device, at(0), at(3600))
    check_balance(plant, results, device, at(0), at(3600))
    assert results["summary"]["total_kwh"] == pytest.approx(0.1 * 5 / 6)
    assert results["data_quality"]["unknown_minutes"] == pytest.approx(10)
    assert results["data_quality"]["coverage_percent"] == pytest.approx(100 * 5 / 6)
    check_line(plant, dataset_of, device, [at(s) for s in (0, 1000, 1500, 1700.5, 3600)])


@pytest.mark.parametrize("device_type", ["printer", "compressor"])
def test_a_status_holds_three_intervals(plant, service, at, device_type):
    """Asked each half hour, always at work: nothing of two hours is without data."""
    device = plant.printer(device_type=device_type, data_interval_seconds=1800, source="mqtt")
    plant.ingest(plant.meter(device=device), [(at(s), 100 + s / 36, 100.0) for s in range(0, 7201, 10)])
    plant.statuses(
        device, [(at(s), "printing" if device_type == "printer" else "running") for s in range(0, 7200, 1800)]
    )
    results = analysed(service, device, at(0), at(7200))
    check_balance(plant, results, device, at(0), at(7200))
    phase = "Printing" if device_type == "printer" else "Active"
    assert results["phase_analysis"][phase]["duration_minutes"] == pytest.approx(120)
    assert results["data_quality"]["rows_without_status"] == 0
    after = analysed(service, device, at(0), at(5400 + 5400 + 600))
    assert after["phase_analysis"]["No data"]["duration_minutes"] == pytest.approx(10)


def test_a_kind_and_a_state_that_are_added_are_rows(plant, service, at):
    """A laser that engraves: one row each, and the analysis knows what it does."""
    plant.all("INSERT INTO device_kinds (device_kind, name) VALUES ('laser', 'Laser cutter')")
    plant.all(
        "INSERT INTO states (state_key, state, name, class, phase) VALUES"
        " (70, 'engraving', 'Engraving', 'productive', 'Printing'), (71, 'airing', 'Airing', 'ready', 'Ventilation')"
    )
    device = plant.printer(device_type="laser", source="mqtt")
    plant.ingest(plant.meter(device=device), [(at(s), 100 + s / 36, 100.0) for s in range(0, 3601, 10)])
    plant.statuses(
        device,
        [(at(s), "engraving" if s < 1800 else "airing" if s < 2700 else "standby") for s in range(0, 3600, 30)],
    )
    results = analysed(service, device, at(0), at(3600))
    minutes = {name: phase["duration_minutes"] for name, phase in results["phase_analysis"].items()}
    assert {name: one for name, one in minutes.items() if one} == pytest.approx(
        {"Printing": 30, "Active": 15, "Idle": 15}
    )
    assert results["summary"]["deviceType"] == "laser"
    assert "describes printers" in results["ml_prediction_summary"]["note"]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_device_balances(plant, service, data):
    """Random meters, moved between devices, statuses with holes, any range: each phase is what SQL computes."""
    begin = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=20)
    at = lambda s: begin + timedelta(seconds=round(s, 3))
    device, other = plant.printer(source="prusalink", api_ip="127.0.0.1", api_key="k"), plant.printer()
    for _ in range(data.draw(st.integers(1, 2))):
        meter = plant.meter(
            data.draw(st.sampled_from([device, other])),
            reading_kind=data.draw(st.sampled_from(["counter", "counter", "interval", "power_only"])),
        )
        now, counter, rows = 0, 1000.0, []
        for step, rise, power in data.draw(st.lists(READING, min_size=1, max_size=15)):
            now += step
            if rise is not None:
                counter = rise if data.draw(st.integers(0, 15)) == 0 else counter + rise
            rows.append((at(now), None if rise is None else counter, power))
        plant.ingest(meter, [row for row in rows if row[1] is not None or row[2] is not None])
        for moment in sorted(data.draw(st.lists(st.floats(1, 3000), max_size=2, unique=True))):
            plant.one(
                "SELECT meter_assign(%s, %s, 'main', %s, 'test')",
                meter,
                data.draw(st.sampled_from([device, other, None])),
                at(moment),
            )
    states = data.draw(
        st.lists(
            st.tuples(st.integers(0, 3000), st.sampled_from(sorted(set(PHASE_OF) - {"no_data"}))),
            max_size=12,
            unique_by=lambda row: row[0],
        )
    )
    if states:
        plant.statuses(device, [(at(s), state) for s, state in states])
    start, end = sorted(
        data.draw(st.lists(st.floats(-200, 3500), min_size=2, max_size=2, unique_by=lambda s: round(s, 3)))
    )
    check_balance(plant, analysed(service, device, at(start), at(end)), device, at(start), at(end))
