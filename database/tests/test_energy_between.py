"""SPEC 4.3: every joule has an interval, and any range cuts intervals so that accounts add up."""

from itertools import pairwise

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

SETTINGS = settings(deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
BETWEEN = "SELECT energy_between(%s, %s, %s)"


def test_even_without_power_inside(db, at):
    meter = db.meter()
    db.ingest(meter, [(at(0), 100, 50), (at(600), 160, 900)])
    assert db.one(BETWEEN, meter, at(0), at(600)) == 60
    assert db.one(BETWEEN, meter, at(150), at(300)) == pytest.approx(15)
    assert db.one(BETWEEN, meter, at(-100), at(60)) == pytest.approx(6)


def test_in_proportion_to_power_where_it_is_known(db, at):
    meter = db.meter()
    db.ingest(meter, [(at(0), 100, 0), (at(300), None, 100), (at(400), None, 300), (at(600), 170, 0)])
    # 0 W × 300 s, 100 W × 100 s, 300 W × 200 s: the 70 Wh are shared 0 : 1 : 6
    assert db.one(BETWEEN, meter, at(0), at(300)) == 0
    assert db.one(BETWEEN, meter, at(300), at(400)) == pytest.approx(10)
    assert db.one(BETWEEN, meter, at(400), at(500)) == pytest.approx(30)


def test_zero_power_everywhere_shares_evenly(db, at):
    meter = db.meter()
    db.ingest(meter, [(at(0), 0, 0), (at(50), None, 0), (at(100), 10, 0)])
    assert db.one(BETWEEN, meter, at(0), at(25)) == pytest.approx(2.5)


def test_the_first_interval_of_an_interval_meter_reaches_back_before_its_row(db, at):
    device = "interval-hall"
    meter = db.meter(device=device, reading_kind="interval")
    whole = "SELECT energy_between(%s, %s, %s), device_energy(%s, %s, %s)"
    db.ingest(meter, [(at(901), 90)])
    assert db.one(whole, meter, at(0), at(906), device, at(0), at(906)) == pytest.approx((90, 90))
    db.all("CALL run_rollups()")
    db.ingest(meter, [(at(601), 20)])  # late: now the other begins here
    assert db.one(whole, meter, at(-600), at(906), device, at(-600), at(906)) == pytest.approx((110, 110))
    db.all("CALL run_rollups()")
    assert db.one(whole, meter, at(-600), at(906), device, at(-600), at(906)) == pytest.approx((110, 110))
    assert db.one("SELECT sum(energy_wh) FROM energy_readings_1min WHERE meter_id = %s", meter) == pytest.approx(110)


def test_power_beyond_all_measure_fails_no_sum(db, at):
    """Tiny numbers count as zero and huge ones are refused: their products would leave the range of numbers."""
    meter = db.meter()
    counts = db.ingest(
        meter, [(at(0), 5e-324, 1e-310), (at(50), None, 2e-320), (at(60), None, 1e300), (at(100), 10, 5e-324)]
    )
    assert (counts["accepted"], counts["rejected"]) == (3, 1)
    assert db.one(BETWEEN, meter, at(0), at(25)) == pytest.approx(2.5)


def test_unknown_is_null_not_zero(db, at):
    meter = db.meter()
    assert db.one(BETWEEN, meter, at(0), at(10)) is None
    db.ingest(meter, [(at(100), 5), (at(200), 5)])
    assert db.one(BETWEEN, meter, at(0), at(50)) is None
    assert db.one(BETWEEN, meter, at(100), at(200)) == 0
    assert db.one(BETWEEN, meter, at(250), at(300)) is None
    assert db.one(BETWEEN, meter, at(200), at(100)) is None


rows_strategy = st.lists(
    st.tuples(st.integers(1, 300), st.floats(0, 20, width=32), st.sampled_from([0.0, None, 5.0, 250.0]), st.booleans()),
    min_size=2,
    max_size=25,
)


@settings(SETTINGS, max_examples=40)
@given(steps=rows_strategy, cuts=st.lists(st.floats(-100, 8000), min_size=1, max_size=6))
# a reading of power before the first counter, and no power known in whose proportion to share: half the energy was lost
@example(steps=[(1, 0.0, 0.0, True), (1, 0.0, 0.0, False), (1, 1.0, 0.0, False)], cuts=[0.0])
# … and its power was part of the mean that is used for an unknown one
@example(steps=[(1, 0.0, 250.0, True), (1, 0.0, None, False), (1, 0.0, 5.0, True), (1, 1.0, 5.0, False)], cuts=[2.5])
def test_adds_up_and_equals_rollups_and_segments(plain, at, steps, cuts):
    meter = plain.meter(device=None)
    t, counter, rows = 0, 10.0, []
    for seconds, rise, power, only_power in steps:
        t, counter = t + seconds, counter + rise
        rows.append((at(t), None if only_power and power is not None else counter, power))
    plain.ingest(meter, rows)
    points = [at(-200), *sorted(at(c) for c in cuts), at(9000)]
    parts = [plain.one(BETWEEN, meter, a, b) or 0 for a, b in pairwise(points)]
    total = sum(d or 0 for d, _ in plain.deltas(meter))
    assert sum(parts) == pytest.approx(total, abs=1e-6) and min(parts) >= -1e-9
    # the segments that feed the rollups share the same energy
    for a, b in pairwise(points):
        cut = plain.one(
            "SELECT sum(energy_wh * extract(epoch FROM least(seg_to, %s) - greatest(seg_from, %s))::float8 "
            "/ extract(epoch FROM seg_to - seg_from)::float8) "
            "FROM energy_segments(meter_key(%s), %s, %s) "
            "WHERE seg_to > seg_from AND least(seg_to, %s) > greatest(seg_from, %s)",
            b,
            a,
            meter,
            a,
            b,
            b,
            a,
        )
        assert (cut or 0) == pytest.approx(plain.one(BETWEEN, meter, a, b) or 0, abs=1e-6)
    # with and without rollups, the fast function returns the same
    for refreshed in (False, True):
        if refreshed:
            plain.one("SELECT refresh_rollups(10, ARRAY[%s])", meter)
        for a, b in pairwise(points):
            exact = plain.one(BETWEEN, meter, a, b)
            assert plain.one("SELECT meter_energy(%s, %s, %s)", meter, a, b) == (
                exact if exact is None else pytest.approx(exact, abs=1e-6)
            )


def test_device_energy_is_the_sum_of_its_main_meters_of_one_type(db, at):
    one, two = db.meter(device="two-phase"), db.meter(device="two-phase")
    part, gas = db.meter(), db.meter(energy_type="natural_gas")
    db.one("SELECT meter_assign(%s, 'two-phase', 'sub', NULL, 'test')", part)
    db.one("SELECT meter_assign(%s, 'two-phase', 'main', NULL, 'test')", gas)
    for meter, rise in ((one, 10), (two, 20), (part, 5), (gas, 40)):
        db.ingest(meter, [(at(0), 0), (at(600), rise)])
    assert db.one("SELECT device_energy('two-phase', %s, %s)", at(0), at(600)) == pytest.approx(30)
    assert db.one("SELECT device_energy('two-phase', %s, %s, 'natural_gas')", at(0), at(600)) == pytest.approx(40)
    assert db.one(
        "SELECT energy_wh FROM devices_energy(%s, %s) WHERE device_id = 'two-phase'", at(0), at(300)
    ) == pytest.approx(15)
    assert db.one("SELECT device_energy('nobody', %s, %s)", at(0), at(600)) is None


def test_detail_counts_what_disturbed_the_account(db, at):
    meter = db.meter(device="disturbed")
    db.ingest(
        meter,
        [
            (at(0), 1000),
            (at(10), 1001),
            (at(20), 5),
            (at(30), 6),
            (at(40), 9e6),
            (at(50), 7),
            (at(60), 6.5),
            (at(260), 8),
        ],
    )
    detail = db.one(
        "SELECT energy_wh, coverage_s, gap_s, gaps, resets, jumps, backs, last_reading "
        "FROM device_energy_detail('disturbed', %s, %s)",
        at(0),
        at(260),
    )
    assert detail == (pytest.approx(9), 60, 200, 1, 1, 1, 1, at(260))
    inside = db.one("SELECT coverage_s, gap_s FROM device_energy_detail('disturbed', %s, %s)", at(55), at(160))
    assert inside == (5, 100)


def test_meter_moved_in_mid_hour(db, at):
    """Each device keeps the energy of its own time, in ranges, rows and rollups."""
    meter = db.meter(device="before-move")
    db.device("after-move")
    db.ingest(meter, [(at(10 * i), 100 + i, 360) for i in range(361)])
    db.one("SELECT refresh_rollups(10, ARRAY[%s])", meter)
    db.one("SELECT meter_assign(%s, 'after-move', 'main', %s, 'test')", meter, at(1805))
    for refresh in (False, True):
        if refresh:
            db.one("SELECT refresh_rollups(10, ARRAY[%s])", meter)
        assert db.one("SELECT device_energy('before-move', %s, %s)", at(0), at(3600)) == pytest.approx(180.5)
        assert db.one("SELECT device_energy('after-move', %s, %s)", at(0), at(3600)) == pytest.approx(179.5)
        for level in ("1min", "15min", "1hour", "1day"):
            assert dict(
                db.all(
                    f"SELECT device_id, sum(energy_wh) FROM energy_readings_{level} WHERE meter_id = %s GROUP BY 1",
                    meter,
                )
            ) == {"before-move": pytest.approx(180.5), "after-move": pytest.approx(179.5)}, (level, refresh)
    assert dict(db.all("SELECT device_id, count(*) FROM energy_data WHERE meter_id = %s GROUP BY 1", meter)) == {
        "before-move": 181,
        "after-move": 180,
    }
