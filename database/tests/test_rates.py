"""Exactly one rate holds at any instant; none makes the cost NULL, never 0."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import psycopg2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

BERLIN = ZoneInfo("Europe/Berlin")
RATES = """
SELECT t0, t1, price_per_kwh, g_co2_per_kwh
FROM rates_between((SELECT factory_id FROM factories WHERE slug = 'main'), 'electricity', %s, %s) ORDER BY 1"""


def berlin(year, month, day, hour=0, minute=0):
    return datetime(year, month, day, hour, minute, tzinfo=BERLIN)


@pytest.fixture(autouse=True)
def tariffs(db):
    """Each test begins with the flat tariff of the seed and leaves none of its own."""

    def add(price, **columns):
        names = "".join(f", {name}" for name in columns)
        return db.one(
            f"INSERT INTO energy_tariffs (factory_id, name, price_per_kwh, currency{names}) "
            f"SELECT factory_id, 'test', %s, 'EUR'{', %s' * len(columns)} "
            "FROM factories WHERE slug = 'main' RETURNING tariff_id",
            price,
            *columns.values(),
        )

    yield add
    db.all("DELETE FROM energy_tariffs WHERE name = 'test'")
    db.all("DELETE FROM carbon_factors WHERE source = 'test'")


def test_the_flat_tariff_of_the_seed_holds_always(db):
    assert db.all(RATES, berlin(2026, 1, 1), berlin(2026, 2, 1)) == [(berlin(2026, 1, 1), berlin(2026, 2, 1), 0.3, 380)]


def test_highest_priority_then_newest(db, tariffs):
    tariffs(0.4, priority=1)
    tariffs(0.5, priority=1)
    tariffs(0.6)
    assert [r[2] for r in db.all(RATES, berlin(2026, 1, 1), berlin(2026, 1, 2))] == [0.5]


def test_a_night_that_wraps_midnight_belongs_to_the_day_on_which_it_starts(db, tariffs):
    tariffs(0.1, priority=1, weekdays=[5], time_from="22:00", time_to="06:00")  # Fridays
    friday = berlin(2026, 1, 9)
    assert friday.isoweekday() == 5
    rows = db.all(RATES, friday, friday + timedelta(days=3))
    assert [(t0, price) for t0, _, price, _ in rows] == [
        (friday, 0.3),
        (berlin(2026, 1, 9, 22), 0.1),
        (berlin(2026, 1, 10, 6), 0.3),
    ]


@pytest.mark.parametrize("day, hours", [((2026, 3, 29), 7), ((2026, 10, 25), 9)])
def test_nights_on_which_clocks_change(db, tariffs, day, hours):
    """22:00 to 06:00 lasts 7 or 9 hours then, and at every other time the flat rate holds."""
    tariffs(0.1, priority=1, time_from="22:00", time_to="06:00")
    noon = berlin(*day) + timedelta(hours=12)  # of the clock in Berlin
    rows = [r for r in db.all(RATES, noon - timedelta(days=1), noon) if r[2] == 0.1]
    assert [(t1 - t0).total_seconds() / 3600 for t0, t1, _, _ in rows] == [hours]


def test_validity_dates_cut_anywhere(db, tariffs):
    edge = datetime(2026, 1, 5, 10, 7, 3, tzinfo=UTC)
    tariffs(0.7, priority=9, valid_from=edge)
    assert [(t0, p) for t0, _, p, _ in db.all(RATES, berlin(2026, 1, 1), berlin(2026, 1, 8))] == [
        (berlin(2026, 1, 1), 0.3),
        (edge, 0.7),
    ]


@settings(max_examples=15, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    given_tariffs=st.lists(
        st.tuples(st.integers(0, 95), st.integers(0, 95), st.sets(st.integers(1, 7), min_size=1), st.integers(0, 2)),
        min_size=1,
        max_size=4,
    ),
    season=st.sampled_from([(2026, 10, 24, 12), (2026, 3, 28, 12)]),
)
def test_against_a_clock_in_the_factory(plain, given_tariffs, season):
    """The pieces have the price of every quarter of an hour of the days around a change of clocks."""
    plain.all("DELETE FROM energy_tariffs WHERE name = 'test'")
    rules = []
    for n, (q0, q1, days, priority) in enumerate(given_tariffs):
        clock = lambda q: f"{q // 4:02}:{q % 4 * 15:02}"
        plain.all(
            "INSERT INTO energy_tariffs "
            "(factory_id, name, price_per_kwh, currency, priority, weekdays, time_from, time_to) "
            "SELECT factory_id, 'test', %s, 'EUR', %s, %s, %s, %s FROM factories WHERE slug = 'main'",
            10 + n,
            priority,
            sorted(days),
            clock(q0),
            clock(q1),
        )
        rules.append((priority, n, q0 * 15, q1 * 15, days))

    def price(moment):
        local = moment.astimezone(BERLIN)
        minute, today, yesterday = (
            local.hour * 60 + local.minute,
            local.isoweekday(),
            (local - timedelta(days=1)).isoweekday(),
        )
        holding = [
            (p, n)
            for p, n, m0, m1, days in rules
            if (
                m0 <= minute < m1 and today in days
                if m0 < m1
                else (minute >= m0 and today in days) or (minute < m1 and yesterday in days)
            )
        ]
        best = max(holding, default=(-1, None))
        return 0.3 if best[1] is None or best[0] < 0 else 10 + best[1]

    begin = berlin(*season).astimezone(UTC)
    end = begin + timedelta(days=2)
    rows = plain.all(RATES, begin, end)
    assert rows[0][0] == begin and rows[-1][1] == end and all(a[1] == b[0] for a, b in pairwise(rows))
    for minute in range(0, 2880, 15):
        moment = begin + timedelta(minutes=minute)
        assert next(r[2] for r in rows if r[0] <= moment < r[1]) == price(moment), moment
    plain.all("DELETE FROM energy_tariffs WHERE name = 'test'")


def test_cost_is_energy_times_the_rate_at_that_time(db, at, tariffs):
    meter = db.meter(device="priced")
    db.ingest(meter, [(at(0), 0, 1000), (at(3600), 1000, 1000), (at(7200), 2000, 0)])
    cost = "SELECT energy_wh, cost, currency, co2_g FROM device_energy_cost('priced', %s, %s)"
    assert db.one(cost, at(0), at(7200)) == (2000, pytest.approx(0.6), "EUR", pytest.approx(760))
    expensive = tariffs(1.3, priority=5, valid_from=at(5400))
    assert db.one(cost, at(0), at(7200)) == (
        pytest.approx(2000),
        pytest.approx(1.5 * 0.3 + 0.5 * 1.3),
        "EUR",
        pytest.approx(760),
    )
    ids = db.one("SELECT tariff_ids, factor_ids FROM device_energy_cost('priced', %s, %s)", at(0), at(7200))
    assert expensive in ids[0] and len(ids[0]) == 2 and len(ids[1]) == 1


def test_hourly_carbon_profile(db, at):
    meter = db.meter(device="profiled")
    db.ingest(meter, [(at(0), 0), (at(3600), 1000), (at(7200), 3000)])
    profile = [float(h) for h in range(24)]
    db.all(
        "INSERT INTO carbon_factors (region, g_co2_per_kwh, valid_from, hourly_profile, source) "
        "VALUES ('default', 999, '2020-01-01', %s, 'test')",
        profile,
    )
    expected = at(0).astimezone(BERLIN).hour * 1 + at(3600).astimezone(BERLIN).hour * 2
    assert db.one("SELECT co2_g FROM device_energy_cost('profiled', %s, %s)", at(0), at(7200)) == pytest.approx(
        expected
    )


def test_no_rate_no_cost(db, at):
    meter = db.meter(device="unpriced")
    db.ingest(meter, [(at(0), 0), (at(3600), 1000)])
    db.all("UPDATE energy_tariffs SET valid_from = %s", at(1800))
    try:
        cost = "SELECT energy_wh, cost, currency FROM device_energy_cost('unpriced', %s, %s)"
        assert db.one(cost, at(0), at(3600)) == (pytest.approx(1000), None, None)
        assert db.one(cost, at(1800), at(3600)) == (pytest.approx(500), pytest.approx(0.15), "EUR")
    finally:
        db.all("UPDATE energy_tariffs SET valid_from = '-infinity'")


def test_no_meter_no_energy(db, at):
    db.device("meterless")
    assert db.one("SELECT energy_wh, cost, co2_g FROM device_energy_cost('meterless', %s, %s)", at(0), at(3600)) == (
        None,
        None,
        None,
    )


def test_times_of_day_are_quarters(db, tariffs):
    with pytest.raises(psycopg2.errors.CheckViolation):
        tariffs(1, time_from="00:07")
