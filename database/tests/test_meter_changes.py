"""Meters as plants have them: virtual ones, exchanged counters, current transformers, corrections, readings by hand."""

import json
import uuid
from datetime import timedelta

import pytest

LEVELS = ("1min", "15min", "1hour", "1day")
HOUR = 3600


@pytest.fixture
def name():
    return f"mc-{uuid.uuid4().hex[:8]}"


def steady(db, meter, at, begin, end, wh, step=60, start=1000.0, power=True):
    """A counter that rises by `wh` each `step` seconds, with the power that this is."""
    count = (end - begin) // step
    db.ingest(
        meter,
        [(at(begin + step * i), start + wh * i, wh * 3600 / step if power else None) for i in range(count + 1)],
    )


def sums(db, meter):
    return {
        level: db.one(f"SELECT sum(energy_wh) FROM energy_readings_{level} WHERE meter_id = %s", meter)
        for level in LEVELS
    }


def everything(db, meter):
    """All that is stored and shown of a meter."""
    return (
        db.all("SELECT * FROM energy_data WHERE meter_id = %s ORDER BY timestamp", meter),
        *(
            db.all(f"SELECT * FROM energy_readings_{level} WHERE meter_id = %s ORDER BY bucket, device_id", meter)
            for level in LEVELS
        ),
    )


def levels(value, **tolerance):
    return {level: None if value is None else pytest.approx(value, **tolerance) for level in LEVELS}


def audit(db, thing):
    return db.all("SELECT actor, action, before, after FROM audit_log WHERE object = %s ORDER BY audit_id", thing)


def both(db, meter, *others):
    """Before and after the refresh."""
    yield
    db.refresh(meter, *others)
    yield


# Virtual meters ------------------------------------------------------------------------------------------------------


def virtual(db, meter, **parts):
    return db.one("SELECT virtual_meter_save(%s, %s, 'anna')", meter, json.dumps(parts))


def test_sum_difference_and_share(db, name, at):
    hall, oven = db.meter(f"{name}/hall"), db.meter(f"{name}/oven")
    steady(db, hall, at, 0, HOUR, 10)
    steady(db, oven, at, 0, HOUR, 4, power=False)
    wanted = {"sum": ({hall: 1, oven: 1}, 840), "rest": ({hall: 1, oven: -1}, 360), "share": ({hall: 0.3}, 180)}
    for kind, (parts, wh) in wanted.items():
        meter = f"{name}/{kind}"
        answer = virtual(db, meter, **parts)
        assert answer["energy_type"] == "electricity" and answer["parts"] == parts
        db.device(f"{name}-{kind}")
        db.one("SELECT meter_assign(%s, %s, 'main', NULL, 'anna')", meter, f"{name}-{kind}")
        for _ in both(db, hall, oven, meter):
            assert sums(db, meter) == levels(wh)
            for function in ("energy_between", "meter_energy"):
                assert db.one(f"SELECT {function}(%s, %s, %s)", meter, at(0), at(HOUR)) == pytest.approx(wh)
                assert db.one(f"SELECT {function}(%s, %s, %s)", meter, at(330), at(1230)) == pytest.approx(wh / 4)
            assert db.one("SELECT device_energy(%s, %s, %s)", f"{name}-{kind}", at(0), at(HOUR)) == pytest.approx(wh)
            energy = "SELECT energy_wh FROM devices_energy(%s, %s) WHERE device_id = %s"
            assert db.one(energy, at(0), at(HOUR), f"{name}-{kind}") == pytest.approx(wh)
            row = db.one(
                "SELECT avg_power_w, coverage_s, device_id FROM energy_readings_15min WHERE meter_id "
                "= %s AND bucket = %s",
                meter,
                at(900),
            )
            assert row == (pytest.approx(wh), pytest.approx(900), f"{name}-{kind}")
        detail = db.one(
            "SELECT energy_wh, coverage_s FROM device_energy_detail(%s, %s, %s)", f"{name}-{kind}", at(0), at(HOUR)
        )
        assert detail == (pytest.approx(wh), pytest.approx(HOUR))
    assert audit(db, f"{name}/rest")[0][:2] == ("anna", "meter.virtual")


def test_what_one_part_does_not_know_the_sum_does_not_know(db, name, at):
    hall, oven, meter = db.meter(f"{name}/hall"), db.meter(f"{name}/oven"), f"{name}/rest"
    steady(db, hall, at, 0, HOUR, 10)
    steady(db, oven, at, 1800, HOUR, 4)
    virtual(db, meter, **{hall: 1, oven: -1})
    for _ in both(db, hall, oven, meter):
        assert db.one("SELECT energy_between(%s, %s, %s)", meter, at(0), at(900)) is None
        assert db.one("SELECT meter_energy(%s, %s, %s)", meter, at(0), at(900)) is None
        assert db.one("SELECT meter_energy(%s, %s, %s)", meter, at(1800), at(HOUR)) == pytest.approx(180)
        quarters = db.all(
            "SELECT energy_wh, coverage_s FROM energy_readings_15min WHERE meter_id = %s AND bucket "
            "< %s ORDER BY bucket",
            meter,
            at(HOUR),
        )
        assert quarters == [(None, 0), (None, 0), (pytest.approx(90), 900), (pytest.approx(90), 900)]
        assert sums(db, meter) == levels(180)


def test_late_and_new_rows_of_a_part_are_in_the_sum(db, name, at):
    hall, meter = db.meter(f"{name}/hall"), f"{name}/double"
    steady(db, hall, at, 0, 1800, 10)
    virtual(db, meter, **{hall: 2})
    db.refresh()
    steady(db, hall, at, 1860, HOUR, 10, start=1310.0)
    db.ingest(hall, [(at(630), 1107.0, 100.0)])
    for _ in both(db, hall, meter):
        assert sums(db, meter) == levels(1200)
        assert db.one("SELECT meter_energy(%s, %s, %s)", meter, at(600), at(630)) == pytest.approx(14)


def test_a_virtual_meter_given_to_a_device_later_and_made_of_other_parts(db, name, at):
    """The stored rollups follow: before, they stayed without a device, and with the time of the old parts."""
    hall, oven, meter = db.meter(f"{name}/hall"), db.meter(f"{name}/oven"), f"{name}/one"
    steady(db, hall, at, 0, HOUR, 10)
    steady(db, oven, at, 1800, 2700, 4)
    virtual(db, meter, **{hall: 1})
    db.refresh()
    db.device(name)
    db.one("SELECT meter_assign(%s, %s, 'main', NULL, 'anna')", meter, name)
    for _ in both(db, meter):
        for level in LEVELS:
            rows = f"SELECT device_id, sum(energy_wh) FROM energy_readings_{level} WHERE meter_id = %s GROUP BY 1"
            assert db.all(rows, meter) == [(name, pytest.approx(600))], level
    virtual(db, meter, **{oven: 1})
    for _ in both(db, meter):
        assert sums(db, meter) == levels(60)
    assert audit(db, meter)[-1][2:] == ({hall: 1}, {oven: 1})


def test_a_print_on_a_virtual_meter_is_counted_again_when_a_part_brings_late_rows(db, name, at):
    hall, meter = db.meter(f"{name}/hall"), f"{name}/one"
    steady(db, hall, at, 0, 1800, 10, step=600)
    virtual(db, meter, **{hall: 1})
    db.device(name, source="prusalink")
    db.one("SELECT meter_assign(%s, %s, 'main', NULL, 'anna')", meter, name)
    job = {
        "device_id": name,
        "filename": "a",
        "status": "done",
        "start_time": at(0).isoformat(),
        "end_time": at(900).isoformat(),
    }
    assert db.one("SELECT import_job(%s)", json.dumps(job))
    energy = "SELECT session_energy_wh, energy_final FROM print_jobs WHERE device_id = %s"
    db.one("SELECT finalize_jobs()")
    assert db.one(energy, name) == (pytest.approx(15), True)
    db.ingest(hall, [(at(900), 1019.0, 0.0)])
    assert db.one(energy, name)[1] is False
    db.one("SELECT finalize_jobs()")
    assert db.one(energy, name) == (pytest.approx(19), True)


@pytest.mark.parametrize(
    "parts, sentence",
    [
        ({}, "needs parts"),
        ([1], "needs parts"),
        ({"nowhere": 1}, "There is no meter nowhere."),
        ({"$hall": 0}, "is a number other than 0"),
        ({"$hall": "much"}, "is a number other than 0"),
        ({"$hall": None}, "is a number other than 0"),
        ({"$hall": 1e300}, "is a number other than 0"),
        ({"$virtual": 1}, "is virtual itself"),
        ({"$hall": 1, "$gas": 1}, "energy types are never added"),
    ],
)
def test_bad_parts_get_a_sentence(db, name, parts, sentence):
    hall, gas = db.meter(f"{name}/hall"), db.meter(f"{name}/gas", energy_type="natural_gas")
    virtual(db, f"{name}/virtual", **{hall: 1})
    if isinstance(parts, dict):
        parts = {key.replace("$", f"{name}/"): value for key, value in parts.items()}
    assert sentence in db.refused("SELECT virtual_meter_save(%s, %s, 'anna')", f"{name}/new", json.dumps(parts))
    assert "readings of its own" in db.refused("SELECT virtual_meter_save(%s, %s, 'anna')", gas, json.dumps({hall: 1}))
    assert "needs a name" in db.refused("SELECT virtual_meter_save('', %s, 'anna')", json.dumps({hall: 1}))
    assert db.one("SELECT count(*) FROM meters WHERE meter_id = %s", f"{name}/new") == 0


def test_a_virtual_meter_has_no_readings(db, name, at):
    hall = db.meter(f"{name}/hall")
    virtual(db, f"{name}/v", **{hall: 1})
    assert db.ingest(f"{name}/v", [(at(0), 5.0)])["rejected"] == 1
    assert "a virtual meter is computed" in db.one("SELECT reason FROM ingest_rejects WHERE topic = %s", f"{name}/v")


# Exchanged counters --------------------------------------------------------------------------------------------------


def test_an_exchange_with_a_known_and_an_unknown_end(db, name, at):
    """The old counter ended at 1,055; the new one began at 7."""
    for end, wh in ((1055, 5 + 13 + 50), (None, 13 + 50)):
        meter = db.meter(f"{name}/{end}")
        steady(db, meter, at, 0, 600, 5)  # to 1,050
        steady(db, meter, at, 720, 1320, 5, start=20.0)  # 13 Wh since the exchange
        assert db.rows(meter)[11][5].startswith(("jump", "reset"))
        db.refresh(meter)
        db.one("SELECT meter_replace(%s, %s, %s, 7, 'anna')", meter, at(660), end)
        for _ in both(db, meter):
            assert sums(db, meter) == levels(50 + wh)
            assert db.one("SELECT energy_between(%s, %s, %s)", meter, at(0), at(1320)) == pytest.approx(50 + wh)
        assert db.rows(meter)[11][5].startswith("replaced")
        # what comes later counts on from the new counter
        db.ingest(meter, [(at(1380), 75.0, 300.0)])
        assert db.deltas(meter)[-1] == (5, None)
        assert audit(db, meter)[-1][1] == "meter.replace" and audit(db, meter)[-1][3]["old_end_wh"] == end


def test_an_exchange_that_is_entered_before_its_rows_come(db, name, at):
    meter, twin = db.meter(f"{name}/a"), db.meter(f"{name}/b")
    for one, early in ((meter, True), (twin, False)):
        steady(db, one, at, 0, 600, 5)
        if early:
            db.one("SELECT meter_replace(%s, %s, 1051, 0, 'anna')", one, at(630))
        steady(db, one, at, 660, 1200, 5, start=3.0)
        if not early:
            db.one("SELECT meter_replace(%s, %s, 1051, 0, 'anna')", one, at(630))
    assert [row[:6] for row in db.rows(meter)] == [row[:6] for row in db.rows(twin)]
    assert sums(db, meter) == levels(50 + 1 + 3 + 45)


def test_a_bad_exchange_gets_a_sentence(db, name, at):
    meter, interval = db.meter(name), db.meter(name + "i", reading_kind="interval")
    call = "SELECT meter_replace(%s, %s, %s, %s, 'anna')"
    assert db.refused(call, "nix", at(0), 1, 0) == "There is no meter nix."
    assert "no counter that could be exchanged" in db.refused(call, interval, at(0), 1, 0)
    assert "must lie in the past" in db.refused(call, meter, at(0) + timedelta(days=2), 1, 0)
    assert "must lie in the past" in db.refused(call, meter, at(0) - timedelta(days=400), 1, 0)
    assert "must lie in the past" in db.refused(call, meter, None, 1, 0)
    assert "not negative" in db.refused(call, meter, at(0), -1, 0)
    assert "not negative" in db.refused(call, meter, at(0), 1, None)
    assert "not negative" in db.refused(call, meter, at(0), "NaN", 0)
    assert audit(db, meter) == []


# Current transformers ------------------------------------------------------------------------------------------------


def test_a_factor_by_date(db, name, at):
    meter = db.meter(name)
    steady(db, meter, at, 0, 600, 5)
    db.refresh(meter)
    db.one("SELECT meter_factor_save(%s, %s, 40, 'anna')", meter, at(300))
    for _ in both(db, meter):
        assert sums(db, meter) == levels(4 * 5 + 6 * 200)  # the row at 300 s is of the new factor
        assert (
            db.one("SELECT max_power_w FROM energy_readings_1min WHERE meter_id = %s AND bucket = %s", meter, at(360))
            == 12000
        )
        assert (
            db.one("SELECT max_power_w FROM energy_readings_1min WHERE meter_id = %s AND bucket = %s", meter, at(60))
            == 300
        )
    steady(db, meter, at, 660, 900, 5, start=1055.0)
    assert db.deltas(meter)[-1] == (200, None) and db.rows(meter)[-1][1:3] == (12000, 1075), (
        "the counter as it was told"
    )
    # entered again, by mistake too large, then for all time
    db.one("SELECT meter_factor_save(%s, %s, 20, 'anna')", meter, at(300))
    assert sums(db, meter) == levels(4 * 5 + 11 * 100)
    db.one("SELECT meter_factor_save(%s, NULL, 20, 'anna')", meter)
    for _ in both(db, meter):
        assert sums(db, meter) == levels(15 * 100)
    assert db.rows(meter)[0][1] == 6000
    assert [row[1] for row in audit(db, meter)] == ["meter.factor"] * 3


def test_a_late_row_has_the_factor_of_its_time(db, name, at):
    meter = db.meter(name, max_power_w=1e6)
    db.one("SELECT meter_factor_save(%s, %s, 10, 'anna')", meter, at(300))
    db.ingest(meter, [(at(0), 100.0, 50.0), (at(600), 110.0, 50.0)])
    assert db.deltas(meter)[-1][0] == 100
    db.ingest(meter, [(at(240), 104.0, 50.0)])
    assert [delta for delta, _ in db.deltas(meter)] == [None, 4, 60]
    assert [row[1] for row in db.rows(meter)] == [50, 50, 500]


def test_a_bad_factor_gets_a_sentence(db, name, at):
    meter = db.meter(name)
    virtual(db, name + "v", **{meter: 1})
    call = "SELECT meter_factor_save(%s, %s, %s, 'anna')"
    assert db.refused(call, "nix", at(0), 2) == "There is no meter nix."
    assert "its parts have factors" in db.refused(call, name + "v", at(0), 2)
    for factor in (0, -1, None, "NaN", 1e9):
        assert "is a positive number" in db.refused(call, meter, at(0), factor)


# Corrections ---------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["counter", "interval", "untimed"])
def measured(request, db, name, at):
    """A meter with an hour of 10 Wh a minute, by its counter or by intervals; refreshed."""
    if request.param == "counter":
        meter = db.meter(name)
        steady(db, meter, at, 0, HOUR, 10)
    else:
        meter = name
        db.readings(
            {
                "meter_id": meter,
                "protocol": "factory",
                "arrived": at(60 * i),
                "device_time": None if request.param == "untimed" else at(60 * i),
                "interval_wh": 10,
                "interval_s": 60,
            }
            for i in range(1, 61)
        )
    db.refresh(meter)
    return meter


def correct(db, meter, begin, end, wh, reason="fault"):
    return db.one("SELECT meter_correct(%s, %s, %s, %s, %s, 'anna')", meter, begin, end, wh, reason)


def test_exclude_a_span_and_take_it_back(db, measured, at):
    before = everything(db, measured)
    number = correct(db, measured, at(600), at(1230), None)
    for _ in both(db, measured):
        assert sums(db, measured) == levels(600 - 105)
        assert db.one("SELECT energy_between(%s, %s, %s)", measured, at(600), at(1200)) is None, "unknown, not zero"
        assert db.one("SELECT energy_between(%s, %s, %s)", measured, at(0), at(600)) == pytest.approx(100)
        minute = db.one(
            "SELECT energy_wh, coverage_s FROM energy_readings_1min WHERE meter_id = %s AND bucket = %s",
            measured,
            at(660),
        )
        assert minute == (None, 0)
    raw = (
        "SELECT coalesce(energy_total_wh, interval_wh), power_watts FROM energy_data "
        "WHERE meter_id = %s ORDER BY timestamp"
    )
    kept = db.all(raw, measured)
    assert db.one("SELECT meter_correction_withdraw(%s, 'bert')", number) is True
    assert db.all(raw, measured) == kept, "the raw rows stay"
    for _ in both(db, measured):
        assert everything(db, measured) == before, "exactly the old figures"
    assert db.one("SELECT meter_correction_withdraw(%s, 'bert')", number) is False
    log = audit(db, measured)[-2:]
    assert [row[:2] for row in log] == [("anna", "meter.correct"), ("bert", "meter.correct.withdraw")]
    assert (log[0][3]["reason"], log[1][2]["correction_id"]) == ("fault", number)


def test_replace_the_energy_of_a_span(db, measured, at):
    before = everything(db, measured)
    number = correct(db, measured, at(630), at(1230), 77)
    for _ in both(db, measured):
        assert sums(db, measured) == levels(600 - 100 + 77)
        assert db.one("SELECT energy_between(%s, %s, %s)", measured, at(660), at(1200)) == pytest.approx(77 * 0.9)
    # another one beside it, and readings after it
    other = correct(db, measured, at(1230), at(1800), 0)
    assert sums(db, measured) == levels(600 - 195 + 77)
    for one in (number, other):
        db.one("SELECT meter_correction_withdraw(%s, 'bert')", one)
    for _ in both(db, measured):
        assert everything(db, measured) == before


def test_rows_that_come_after_a_correction_obey_it(db, name, at):
    """A span until now, and a late row within it."""
    meter = db.meter(name)
    steady(db, meter, at, 0, 600, 10)
    correct(db, meter, at(300), at(900), None)
    steady(db, meter, at, 660, 1200, 10, start=1110.0)
    db.ingest(meter, [(at(450), 1075.0, 600.0)])
    assert sums(db, meter) == levels(50 + 50)
    assert db.one("SELECT energy_between(%s, %s, %s)", meter, at(300), at(900)) is None


@pytest.mark.parametrize(
    "begin, end, wh, reason, sentence",
    [
        (600, 600, 5, "x", "a beginning before its end"),
        (600, 300, 5, "x", "a beginning before its end"),
        (None, 300, 5, "x", "a beginning before its end"),
        (600, 1e6, 5, "x", "in the past"),
        (-4e7, 300, 5, "x", "within the time of which readings are kept"),
        (0, 300, -5, "x", "not negative"),
        (0, 300, 5, "  ", "needs a reason"),
        (0, 300, None, None, "needs a reason"),
        (1900, 5300, 5, "x", "Readings cover 50.0 % of that span only"),
        (1200, 2400, 5, "x", "Another correction covers a part"),
    ],
)
def test_a_bad_correction_gets_a_sentence(db, name, at, begin, end, wh, reason, sentence):
    meter = db.meter(name)
    steady(db, meter, at, 0, HOUR, 10)
    correct(db, meter, at(1800), at(1860), 3)
    moment = lambda s: None if s is None else at(s)
    before = db.rows(meter)
    assert sentence in db.refused(
        "SELECT meter_correct(%s, %s, %s, %s, %s, 'anna')", meter, moment(begin), moment(end), wh, reason
    )
    assert db.rows(meter) == before
    virtual(db, name + "v", **{meter: 1})
    assert "correct its parts" in db.refused(
        "SELECT meter_correct(%s, %s, %s, 1, 'x', 'anna')", name + "v", at(0), at(60)
    )


# By hand -------------------------------------------------------------------------------------------------------------


def test_readings_by_hand(db, name, at):
    call = "SELECT meter_reading_save(%s, %s, %s, 'anna')"
    for i, wh in enumerate((50_000, 50_400, 51_000)):
        assert db.one(call, name, at(HOUR * i), wh)["accepted"] == 1
    assert [delta for delta, _ in db.deltas(name)] == [None, 400, 600]
    assert db.one("SELECT protocol, reading_kind FROM meters WHERE meter_id = %s", name) == ("manual", "counter")
    span = "SELECT meter_reading_save(%s, %s, %s, 'anna', %s)"
    assert db.one(span, name + "i", at(HOUR), 300, at(0))["accepted"] == 1
    assert db.one("SELECT energy_between(%s, %s, %s)", name + "i", at(0), at(1800)) == pytest.approx(150)
    assert "give the beginning" in db.refused(call, name + "i", at(2 * HOUR), 5)
    assert "This meter counts" in db.refused(span, name, at(2 * HOUR), 5, at(HOUR))
    assert "ends after it begins" in db.refused(span, name + "i", at(0), 5, at(HOUR))
    assert "not negative" in db.refused(call, name, at(0), -5)
    assert "not negative" in db.refused(call, name, at(0), None)
    assert "must lie in the past" in db.refused(call, name, at(1e6), 5)
    assert [row[:2] for row in audit(db, name)] == [("anna", "meter.reading")] * 3
    virtual(db, name + "v", **{name: 1})
    assert "is virtual" in db.refused(call, name + "v", at(0), 5)
    db.meter(name + "p", reading_kind="power_only")
    assert "power only" in db.refused(call, name + "p", at(0), 5) and audit(db, name + "p") == []


def test_a_hole_filled_by_hand_makes_the_account_whole(db, name, at):
    """An interval meter of which an hour is lost; the bill says what it was."""
    reading = lambda i: {
        "meter_id": name,
        "protocol": "factory",
        "arrived": at(900 * i),
        "device_time": at(900 * i),
        "interval_wh": 100,
        "interval_s": 900,
    }
    db.readings(map(reading, (1, 2, 7, 8)))
    db.refresh(name)
    assert sums(db, name) == levels(400)
    db.one("SELECT meter_reading_save(%s, %s, 420, 'anna', %s)", name, at(900 * 6), at(900 * 2))
    for _ in both(db, name):
        assert sums(db, name) == levels(820)
        assert db.one("SELECT sum(coverage_s) FROM energy_readings_15min WHERE meter_id = %s", name) == pytest.approx(
            7200
        )


# Roles and directions ------------------------------------------------------------------------------------------------


def test_what_adds_to_a_device(db, name, at):
    """Main, dryer and accessory; a sub meter is a part of it, and what flows back is never taken off silently."""
    wh = {"main": 10, "dryer": 3, "accessory": 2, "sub": 6}
    for role, one in wh.items():
        meter = db.meter(f"{name}/{role}", device=name)
        db.one("SELECT meter_assign(%s, %s, %s, '-infinity', 'anna')", meter, name, role)
        steady(db, meter, at, 0, HOUR, one)
    export = db.meter(f"{name}/export", device=name, direction="export")
    steady(db, export, at, 0, HOUR, 50)
    db.device(name, rated_power_w=5000)
    everything = [f"{name}/{role}" for role in (*wh, "export")]
    for _ in both(db, *everything):
        total = pytest.approx(60 * 15)
        assert db.one("SELECT device_energy(%s, %s, %s)", name, at(0), at(HOUR)) == total
        assert (
            db.one("SELECT energy_wh FROM devices_energy(%s, %s) WHERE device_id = %s", at(0), at(HOUR), name) == total
        )
        assert db.one("SELECT energy_wh FROM device_energy_cost(%s, %s, %s)", name, at(0), at(HOUR)) == total
        assert db.one("SELECT * FROM sub_meter_balance(%s, %s, %s)", name, at(0), at(HOUR)) == (
            total,
            pytest.approx(360),
            pytest.approx(540),
            pytest.approx(0.6),
        )
        assert db.one("SELECT sum(energy_wh) FROM energy_readings_1hour WHERE meter_id = %s", export) == pytest.approx(
            3000
        )
    chart = db.all("SELECT energy_wh FROM energy_series(ARRAY[%s], 'electricity', %s, %s, 900)", name, at(0), at(HOUR))
    assert [row[0] for row in chart] == [pytest.approx(225)] * 4
    assert db.one("SELECT power_watts FROM device_latest WHERE device_id = %s", name) == pytest.approx(900)
    job = {
        "device_id": name,
        "filename": "a",
        "status": "done",
        "start_time": at(0).isoformat(),
        "end_time": at(HOUR).isoformat(),
    }
    db.all("UPDATE meter_assignments SET counts_to_job = false WHERE meter_id = %s", f"{name}/dryer")
    assert db.one("SELECT import_job(%s)", json.dumps(job))
    db.one("SELECT finalize_jobs()")
    assert db.one("SELECT session_energy_wh FROM print_jobs WHERE device_id = %s", name) == pytest.approx(60 * 12)


def test_a_balance_without_sub_meters_or_without_their_rows_is_unknown(db, name, at):
    meter = db.meter(f"{name}/main", device=name)
    steady(db, meter, at, 0, HOUR, 10)
    balance = "SELECT * FROM sub_meter_balance(%s, %s, %s)"
    assert db.one(balance, name, at(0), at(HOUR)) == (pytest.approx(600), None, None, None)
    sub = db.meter(f"{name}/sub")
    db.one("SELECT meter_assign(%s, %s, 'sub', NULL, 'anna')", sub, name)
    assert db.one(balance, name, at(0), at(HOUR)) == (pytest.approx(600), None, None, None)
    steady(db, sub, at, 0, HOUR, 11)
    assert db.one(balance, name, at(0), at(HOUR))[2] == pytest.approx(-60), "below zero is said"


def test_what_no_sub_meter_accounts_for_is_an_alarm(db, name, at):
    """Above the setting, a fifth unless changed; and where sub meters have more than the whole."""
    alarms = "SELECT sentence FROM alarms() WHERE kind = 'unaccounted' AND object = %s"
    for main, sub, alarm in ((10, 9, False), (10, 7, True), (10, 12, True)):
        device = f"{name}-{sub}"
        meters = [db.meter(f"{device}/{role}", device=device) for role in ("main", "sub")]
        db.one("SELECT meter_assign(%s, %s, 'sub', '-infinity', 'anna')", meters[1], device)
        for meter, wh in zip(meters, (main, sub)):
            steady(db, meter, at, 0, HOUR, 10 * wh)
        found = db.all(alarms, device)
        assert bool(found) == alarm, (device, found)
        assert not alarm or f"account for {sub * 0.6:.1f} of 6.0 kWh" in found[0][0]
    try:
        db.one("SELECT change_setting('unaccounted_percent', '40', 'anna')")
        assert db.all(alarms, f"{name}-7") == [] and db.all(alarms, f"{name}-12")
    finally:
        db.one("SELECT change_setting('unaccounted_percent', '20', 'anna')")
