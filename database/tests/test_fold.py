"""SPEC 4.2: the energy of every counter reading is a fold over the meter's rows in time order."""

import math
import random
import uuid
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

MAX_W, SLACK, STEP, BACK, NEAR, FRAC = 3680.0, 60.0, 1.0, 2.0, 20.0, 0.1
SETTINGS = settings(deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])


def fold(rows):
    """The rules once more, in Python, as the oracle: [(time s, counter or None)] → [(delta, flag)]."""
    out, base, base_at, alt, alt_at = [], None, 0.0, None, 0.0
    limit = lambda since, t: MAX_W * (t - since + SLACK) / 3600 + STEP
    for t, c in rows:
        if c is None:
            out.append((None, None))
            continue
        if base is None:
            out.append((None, "first"))
            base, base_at = c, t
            continue
        by_base = max(0.0, c - base) if -BACK <= c - base <= limit(base_at, t) else None
        by_alt = c - alt if alt is not None and 0 <= c - alt <= limit(alt_at, t) else None
        if by_base is not None and (by_alt is None or by_base <= by_alt):
            out.append((by_base, "back" if c < base else None))
            base, base_at, alt = max(base, c), t, None
        elif by_alt is not None:
            out.append((by_alt, "rebase"))
            base, base_at, alt = c, t, None
        elif c < base and c <= limit(base_at, t) and c <= max(NEAR, FRAC * base):
            out.append((c, "reset"))
            alt, alt_at, base, base_at = base, base_at, c, t
        else:
            out.append((0.0, "jump"))
            alt, alt_at = c, t
    return out


@pytest.mark.parametrize(
    "counters, expected",
    [
        ([1000, 9000000, 1001], [(None, "first"), (0, "jump"), (1, None)]),
        ([1000, 700, 701], [(None, "first"), (0, "jump"), (1, "rebase")]),
        ([1000, 5, 6], [(None, "first"), (5, "reset"), (1, None)]),
        ([1000, 0, 1001], [(None, "first"), (0, "reset"), (1, "rebase")]),
        ([1000, 999.5, 1000, 1001], [(None, "first"), (0, "back"), (0, None), (1, None)]),
        ([1000, None, 1003], [(None, "first"), (None, None), (3, None)]),
        ([544587.493, 544587.0, 544588.0], [(None, "first"), (0, "back"), (pytest.approx(0.507), None)]),
    ],
)
@pytest.mark.parametrize("fast", [True, False])
def test_worked_examples(db, at, counters, expected, fast):
    meter = db.meter()
    db.ingest(meter, [(at(10 * i), c, 50.0) for i, c in enumerate(counters)], fast)
    assert db.deltas(meter) == expected


def test_limit_grows_with_time(db, at):
    meter = db.meter(max_power_w=1000)
    db.ingest(meter, [(at(0), 0), (at(3600), 1010), (at(3610), 1050)])  # 1,000 Wh an hour + slack 16.7 + 1
    assert db.deltas(meter) == [(None, "first"), (1010, "gap"), (0, "jump")]


series = st.lists(
    st.tuples(
        st.integers(1, 400),  # seconds since the previous row
        st.one_of(
            st.none(),
            st.sampled_from([0.0, 0.5, 1, 3, 5, 700, 999.5, 1000, 1001, 1003, 1010, 1100, 9e6]),
            st.floats(0, 1200, allow_nan=False, width=32),
        ),
        st.one_of(st.none(), st.integers(0, 300)),
    ),
    min_size=1,
    max_size=14,
)


def _rows(at, steps):
    t, rows = 0, []
    for seconds, counter, power in steps:
        t += seconds
        if counter is not None or power is not None:
            rows.append((at(t), counter, power))
    return rows


@settings(SETTINGS, max_examples=60)
@given(steps=series, seed=st.integers(0, 2**32))
def test_any_order_any_batches_any_repetition(plain, at, steps, seed):
    rows = _rows(at, steps)
    if not rows:
        return
    chance = random.Random(seed)
    one, other = plain.meter(), plain.meter()
    plain.ingest(one, rows)
    again = rows + chance.sample(rows, chance.randint(0, len(rows)))
    chance.shuffle(again)
    while again:
        size = chance.randint(1, len(again))
        plain.ingest(other, again[:size], chance.random() < 0.5)
        again = again[size:]
    assert plain.rows(one) == plain.rows(other)
    begin = rows[0][0]
    expected = fold([((t - begin).total_seconds(), c) for t, c, _ in rows])
    assert [(d if d is None else pytest.approx(d, abs=1e-9), f) for d, f in expected] == [
        (d, (q or "").replace("gap", "").strip(",") or None) for d, q in plain.deltas(one)
    ]
    state = (
        "SELECT last_at, last_counter_at, last_power_watts, last_power_at, base_wh, base_at, alt_wh, alt_at, "
        "jumps_in_row FROM meter_state WHERE meter_id = %s"
    )
    assert plain.one(state, one) == plain.one(state, other)


@settings(SETTINGS, max_examples=8)
@given(steps=series, seed=st.integers(0, 2**32))
@pytest.mark.timescale
def test_any_order_on_timescale(timescale, at, steps, seed):
    rows = _rows(at, steps)
    if not rows:
        return
    one, other = timescale.meter(), timescale.meter()
    timescale.ingest(one, rows)
    shuffled = random.Random(seed).sample(rows, len(rows))
    for row in shuffled:
        timescale.ingest(other, [row])
    assert timescale.rows(one) == timescale.rows(other)


@settings(SETTINGS, max_examples=40)
@given(
    batches=st.lists(
        st.lists(st.tuples(st.integers(1, 100), st.floats(0, 2, width=32), st.booleans()), min_size=1, max_size=8),
        min_size=1,
        max_size=4,
    )
)
def test_fast_path_is_the_loop(plain, at, batches):
    """Ordinary rows, counters rising or missing: what the set-based path takes."""
    fast, slow = plain.meter(), plain.meter()
    t, counter = 0, 100.0
    for batch in batches:
        rows = []
        for seconds, rise, only_power in batch:
            t, counter = t + seconds, counter + rise
            rows.append((at(t), None if only_power else counter, 10.0 * rise))
        plain.ingest(fast, rows, True)
        plain.ingest(slow, rows, False)
    assert plain.rows(fast) == plain.rows(slow)


def test_equal_times_keep_the_higher_counter_then_the_higher_power(db, at):
    meter = db.meter()
    for row in [(at(0), 10, 5), (at(0), 11, 1), (at(0), 11, 2), (at(0), None, 99), (at(0), 10.5, 50)]:
        db.ingest(meter, [row])
    assert [(r[1], r[2]) for r in db.rows(meter)] == [(2, 11)]


def test_late_row_folds_forward_only_as_far_as_needed(db, at):
    meter = db.meter()
    db.ingest(meter, [(at(10 * i), 100 + i) for i in range(50) if i != 20])
    counts = db.ingest(meter, [(at(200), 120.25)])
    assert counts["accepted"] == 1 and len(counts["touched"]) == 1
    deltas = [d for d, _ in db.deltas(meter)]
    assert deltas[20:22] == [1.25, 0.75] and math.isclose(sum(deltas[1:]), 49)
    assert db.rows(meter)[21][4] == at(200)


def test_power_only_meter_holds_each_value(db, at):
    meter = db.meter(reading_kind="power_only", max_hold_s=60)
    rows = [(at(0), None, 360), (at(10), None, 720), (at(20), None, 0), (at(30), None, 3600), (at(230), None, 5)]
    for row in random.Random(3).sample(rows, 5):
        db.ingest(meter, [row])
    assert db.deltas(meter) == [
        (None, "first"),
        (1, "integrated"),
        (2, "integrated"),
        (0, "integrated"),
        (60, "integrated,gap"),
    ]
    assert db.one("SELECT energy_between(%s, %s, %s)", meter, at(0), at(30)) == 3


def test_interval_meter_counts_each_reading(db, at):
    meter = db.meter(reading_kind="interval", reporting_interval_s=900)
    db.ingest(meter, [(at(900), 50), (at(1800), 60), (at(2700), 0)])
    assert [d for d, _ in db.deltas(meter)] == [50, 60, 0]
    assert db.one("SELECT energy_between(%s, %s, %s)", meter, at(0), at(1350)) == 80


def test_what_can_not_be_is_refused_with_a_reason(db, at):
    meter = db.meter()
    before = db.one("SELECT coalesce(sum(count), 0) FROM ingest_rejects WHERE topic IN (%s, 'nobody')", meter)
    bad = [
        (at(0), float("nan")),
        (at(0), float("inf")),
        (at(0), -1.0),
        (at(0), 1.0, float("nan")),
        (at(0), 1.0, -5.0),
        (at(0), 1e16),
        (at(0), 1.0, 1e300),
        (at(0), None),
        (None, 1.0),
        ("infinity", 1.0),
        (at(0) + timedelta(days=1), 1.0),
        (at(0) - timedelta(days=400), 1.0),
    ]
    for row in bad:
        counts = db.ingest(meter, [row])
        assert (counts["accepted"], counts["rejected"]) == (0, 1), row
    assert db.ingest("nobody", [(at(0), 1.0)])["rejected"] == db.ingest("no\nbody", [(at(0), 1.0)])["rejected"] == 1
    assert db.rows(meter) == []
    reasons = dict(db.all("SELECT reason, count FROM ingest_rejects WHERE topic IN (%s, 'nobody')", meter))
    assert sum(reasons.values()) - before == len(bad) + 1
    assert db.one("SELECT reason FROM ingest_rejects WHERE topic = %s", "no\nbody").startswith("a meter needs a name")
    assert {"unknown meter", "unknown time", "older than the raw rows kept", "neither power nor counter"} <= set(
        reasons
    )


def test_a_bad_row_does_not_stop_the_others(db, at):
    meter = db.meter()
    counts = db.ingest(meter, [(at(0), 1.0), (at(10), float("nan")), (at(20), 2.0)])
    assert (counts["accepted"], counts["rejected"]) == (2, 1)


def test_values_too_small_to_multiply_are_zero(db, at):
    meter = db.meter()
    db.ingest(meter, [(at(0), 0.0, 5e-324), (at(10), 5e-324, 1e-200), (at(20), 2e-31)])
    assert [(counter, power) for _, power, counter, *_ in db.rows(meter)] == [(0, 0), (0, 0), (0, None)]
    assert db.one("SELECT energy_between(%s, %s, %s)", meter, at(5), at(15)) == 0


def test_secondary_values_that_a_real_can_not_hold_become_null(db, at):
    meter = db.meter()
    db.all(
        "SELECT ingest_energy(ARRAY[%s], ARRAY[%s], ARRAY[1.0], ARRAY[5.0], ARRAY['1e300'::float8], "
        "ARRAY['nan'::float8], ARRAY['1e-300'::float8])",
        meter,
        at(0),
    )
    assert db.one(
        "SELECT voltage IS NULL AND current_amps IS NULL AND power_factor IS NULL FROM energy_data WHERE meter_id = %s",
        meter,
    )


def test_the_rated_power_of_a_device_makes_its_real_load_count(db, at):
    """A furnace of 30 kW at a meter with the usual limit of 3,680 W makes jumps until its rated power is known.

    A meter that it gets later has the higher limit at once.
    """
    device = f"furnace-{uuid.uuid4().hex[:6]}"
    meter = db.meter(device=device)
    rows = [(at(60 * i), 1000.0 + 500 * i) for i in range(6)]
    db.ingest(meter, rows)
    assert [flag for _, flag in db.deltas(meter)].count("jump") >= 4
    db.device(device, rated_power_w=30_000)
    assert db.deltas(meter) == [(None, "first"), *[(500, None)] * 5]
    assert db.one(
        "SELECT max_power_w, base_wh FROM meters JOIN meter_state USING (meter_id) WHERE meter_id = %s", meter
    ) == (60_000, 3500)
    db.device(device, rated_power_w=100)
    assert db.one("SELECT max_power_w FROM meters WHERE meter_id = %s", meter) == 60_000, "a limit is never lowered"
    db.device(device, rated_power_w=20_000)
    other = db.meter()
    db.one("SELECT meter_assign(%s, %s, 'main', NULL, 'test')", other, device)
    assert db.one("SELECT max_power_w FROM meters WHERE meter_id = %s", other) == 40_000


def test_repeated_jumps_raise_an_alarm_and_a_good_row_ends_it(db, at):
    meter = db.meter(max_power_w=10)
    alarms = "SELECT count(*) FROM alarms() WHERE object = %s"
    db.ingest(meter, [(at(0), 0), (at(10), 1000), (at(20), 2000)])
    assert db.one(alarms, meter) == 0
    db.ingest(meter, [(at(30), 3000)])
    assert db.one(alarms, meter) == 1
    db.ingest(meter, [(at(40), 3000.01)])
    assert db.one(alarms, meter) == 0


def test_gap_flags_follow_the_learned_interval(db, at):
    meter = db.meter()
    db.ingest(meter, [(at(300 * i), float(i)) for i in range(15)])
    assert db.deltas(meter)[5] == (1, "gap")
    assert db.one("SELECT learn_reporting_intervals(ARRAY[%s])", meter) == 1
    assert db.deltas(meter)[5] == (1, None)
    assert db.one("SELECT learn_reporting_intervals(ARRAY[%s])", meter) == 0
    assert db.one("SELECT reporting_interval_s FROM meters WHERE meter_id = %s", meter) == 300
