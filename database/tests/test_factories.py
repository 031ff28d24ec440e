"""Factories with zones of their own: a day is that of the device's factory, and none changes another's account."""

import contextlib
import itertools
import json
import uuid
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import psycopg2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.plugin.database import Database

LEVELS = ("1min", "15min", "1hour", "1day")
HOUR, DAY = 3600, 86400
# Whole hours, half and three quarters of an hour; DST of an hour, of half an hour, and none; both hemispheres.
ZONES = (
    "Europe/Berlin",
    "America/New_York",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "America/St_Johns",
    "Pacific/Chatham",
)


def sums(db, *meters):
    """Wh of the meters at each level, and of the readings themselves."""
    found = {
        level: db.one(f"SELECT sum(energy_wh) FROM energy_readings_{level} WHERE meter_id = ANY (%s)", list(meters))
        for level in LEVELS
    }
    return {
        **found,
        "deltas": db.one("SELECT sum(energy_delta_wh) FROM energy_data WHERE meter_id = ANY (%s)", list(meters)),
    }


def days(db, device):
    return db.all(
        "SELECT bucket, energy_wh FROM energy_readings_1day WHERE device_id = %s AND energy_wh IS NOT NULL ORDER BY 1",
        device,
    )


def at_midnight(bucket, zone):
    local = bucket.astimezone(ZoneInfo(zone))
    return (local.hour, local.minute, local.second) == (0, 0, 0)


@pytest.fixture
def slug():
    """A new name for a factory: those of all tests of a folder are in one database."""
    return f"f-{uuid.uuid4().hex[:8]}"


def constant(db, meter, begin, hours, watts=100.0):
    db.ingest(meter, [(begin + timedelta(minutes=15 * i), 1000 + watts * i / 4, watts) for i in range(hours * 4 + 1)])


def test_a_second_factory_changes_no_account(db, slug):
    """Two days at 100 W in Berlin; New York is added; one more reading. Before: days 6,247.4 Wh, hours 4,800."""
    begin = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=52)
    meter = db.meter(device=f"two-days-{db.engine}")
    constant(db, meter, begin, 48)
    db.refresh(meter)
    db.factory(slug, "America/New_York", "USD")
    db.ingest(meter, [(begin + timedelta(hours=48, seconds=30), 5800.75, 90.0)])
    for refreshed in (False, True):
        if refreshed:
            db.refresh(meter)
        assert sums(db, meter) == {name: pytest.approx(4800.75) for name in (*LEVELS, "deltas")}
        assert all(at_midnight(bucket, "Europe/Berlin") for bucket, _ in days(db, f"two-days-{db.engine}"))


def test_a_device_without_factory_lands_in_the_default_one(db, slug):
    """Before: in the one whose name is the first in the alphabet."""
    db.factory("aachen-" + slug, "America/New_York", "USD")
    default = db.one("SELECT factory_id::text FROM factories WHERE slug = 'main'")
    assert db.one("SELECT default_factory()::text") == default
    assert db.device(f"no-factory-{db.engine}")["factory_id"] == default
    assert db.one("SELECT device_zone(%s)", f"no-factory-{db.engine}") == "Europe/Berlin"
    assert db.one("SELECT device_zone('nobody')") == "Europe/Berlin" == db.one("SELECT device_zone(NULL)")


def test_a_day_in_tokyo_begins_at_midnight_in_tokyo(db, slug):
    """Before: at 08:00."""
    device, begin = f"{slug}-robot", datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=60)
    db.device(device, factory_id=db.factory(slug, "Asia/Tokyo", "JPY"))
    meter = db.meter(device=device)
    constant(db, meter, begin, 50)
    for refreshed in (False, True):
        if refreshed:
            db.refresh(meter)
        found = days(db, device)
        assert [bucket.astimezone(ZoneInfo("Asia/Tokyo")).hour for bucket, _ in found] == [0] * len(found)
        assert 2400 in [round(wh, 6) for _, wh in found] and sum(wh for _, wh in found) == pytest.approx(5000)
        chart = db.all(
            "SELECT time, energy_wh FROM energy_series(ARRAY[%s], 'electricity', %s, %s, 86400) "
            "WHERE energy_wh IS NOT NULL "
            "ORDER BY 1",
            device,
            begin - timedelta(days=1),
            begin + timedelta(days=3),
        )
        assert not refreshed or chart == found, "a chart reads the stored days"


def test_bars_of_two_factories_are_those_of_their_own_days(db, slug):
    begin = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=76)
    db.device(f"{slug}-tokyo", factory_id=db.factory(slug, "Asia/Tokyo", "JPY"))
    db.device(f"{slug}-berlin")
    db.all(
        "INSERT INTO energy_tariffs (factory_id, name, price_per_kwh, currency) "
        "SELECT factory_id, 'Tokyo', 30, 'JPY' FROM factories WHERE slug = %s",
        slug,
    )
    meters = [db.meter(device=f"{slug}-{place}") for place in ("tokyo", "berlin")]
    for meter in meters:
        constant(db, meter, begin, 72)
    db.refresh(*meters)
    rows = db.all(
        "SELECT time, currency, energy_wh, cost FROM cost_series(%s, 'electricity', %s, %s, 86400) ORDER BY 1",
        [f"{slug}-tokyo", f"{slug}-berlin"],
        begin,
        begin + timedelta(hours=72),
    )
    zones = {"JPY": "Asia/Tokyo", "EUR": "Europe/Berlin"}
    assert {row[1] for row in rows} == {"JPY", "EUR"}, "two currencies are never added"
    assert all(at_midnight(row[0], zones[row[1]]) for row in rows)
    assert max(row[3] for row in rows if row[1] == "JPY") == pytest.approx(72)
    assert max(row[3] for row in rows if row[1] == "EUR") == pytest.approx(0.72)


def test_a_changed_zone_moves_the_days_before_and_after_the_refresh(db, slug):
    """Those of the factory alone; also the states and signals of another device stay."""
    device, begin = f"{slug}-press", datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=60)
    other = f"{slug}-mill"
    db.device(device, factory_id=db.factory(slug, "Europe/Berlin"))
    meters = [db.meter(device=device), db.meter(device=other)]
    for meter in meters:
        constant(db, meter, begin, 50)
    db.refresh(*meters)
    kept = days(db, other)
    for zone in ("Asia/Kathmandu", "America/St_Johns"):
        db.all("UPDATE factories SET timezone = %s WHERE slug = %s", zone, slug)
        assert db.one("SELECT count(*) FROM rollup_dirty WHERE meter_id = %s AND step = 86400", meters[0]) == 1
        assert db.one("SELECT count(*) FROM rollup_dirty WHERE meter_id = %s", meters[1]) == 0
        for refreshed in (False, True):
            if refreshed:
                db.refresh(meters[0])
            found = days(db, device)
            assert all(at_midnight(bucket, zone) for bucket, _ in found)
            assert sum(wh for _, wh in found) == pytest.approx(5000) and 2400 in [round(wh, 6) for _, wh in found]
        assert days(db, other) == kept


def test_a_device_that_moves_to_another_factory_takes_its_days_along(db, slug):
    device, begin = f"{slug}-cart", datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=60)
    meter = db.meter(device=device)
    constant(db, meter, begin, 50)
    db.refresh(meter)
    db.device(device, factory_id=db.factory(slug, "Australia/Lord_Howe"))
    for refreshed in (False, True):
        if refreshed:
            db.refresh(meter)
        found = days(db, device)
        assert all(at_midnight(bucket, "Australia/Lord_Howe") for bucket, _ in found)
        assert sum(wh for _, wh in found) == pytest.approx(5000)


def test_a_meter_given_to_a_device_of_another_zone_for_all_time(db, slug):
    """The stored days of the first device must not be seen beside those of the second."""
    begin = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=60)
    db.device(f"{slug}-a", factory_id=db.factory(slug, "Asia/Tokyo", "JPY"))
    db.device(f"{slug}-b")
    meter = db.meter(device=f"{slug}-a")
    constant(db, meter, begin, 50)
    db.refresh(meter)
    db.one("SELECT meter_assign(%s, %s, 'main', '-infinity', 'test')", meter, f"{slug}-b")
    for refreshed in (False, True):
        if refreshed:
            db.refresh(meter)
        assert sums(db, meter) == {name: pytest.approx(5000) for name in (*LEVELS, "deltas")}
        assert days(db, f"{slug}-a") == [] and all(at_midnight(b, "Europe/Berlin") for b, _ in days(db, f"{slug}-b"))


@pytest.mark.parametrize(
    "column, value, sentence",
    [
        ("timezone", "Mars/Olympus", "There is no time zone Mars/Olympus: an IANA name such as Europe/Berlin"),
        ("timezone", "", "There is no time zone : an IANA name"),
        ("currency", "XXY", "There is no currency XXY: an ISO 4217 code such as EUR"),
        ("currency", "euro", "There is no currency euro: an ISO 4217 code such as EUR"),
    ],
)
def test_an_unknown_zone_or_currency_is_refused_with_a_sentence(db, slug, column, value, sentence):
    """Before: Mars/Olympus was accepted, and every page was an error 500."""
    wanted = {"timezone": "Europe/Berlin", "currency": "EUR"} | {column: value}
    with pytest.raises(psycopg2.errors.InvalidParameterValue, match=sentence):
        db.factory(slug, wanted["timezone"], wanted["currency"])
    with pytest.raises(psycopg2.errors.InvalidParameterValue, match=sentence):
        db.all(f"UPDATE factories SET {column} = %s WHERE is_default", value)
    assert db.one("SELECT timezone, currency FROM factories WHERE is_default") == ("Europe/Berlin", "EUR")


def test_there_is_always_one_default(db, slug):
    db.factory(slug, "Europe/Berlin")
    with pytest.raises(psycopg2.errors.UniqueViolation):
        db.all("UPDATE factories SET is_default = true WHERE slug = %s", slug)
    with pytest.raises(psycopg2.errors.UndefinedFunction):
        db.one("SELECT factory_zone()")


# Any set of factories ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def own(migrated):
    """A database of its own: the views compute what is not current of all meters."""
    with migrated() as dsn, contextlib.closing(Database(dsn)) as db:
        db.all("SET statement_timeout = '30s'")
        yield db


def changes_of_clocks():
    """The midnights of UTC before a change of clocks in one of the zones, within the retention of raw rows."""
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    found = {
        day
        for zone in map(ZoneInfo, ZONES)
        for day in (today - timedelta(days=n) for n in range(5, 170))
        if day.astimezone(zone).utcoffset() != (day + timedelta(days=1)).astimezone(zone).utcoffset()
    }
    return sorted(found | {today - timedelta(days=8)})


MOMENTS = changes_of_clocks()
LENGTH = int(2.2 * DAY)


@st.composite
def plants(draw):
    """Factories with zones, devices in them, meters with steps (s, Wh), and what happens to them at which second."""
    zones = draw(st.lists(st.sampled_from(ZONES), min_size=1, max_size=3))
    devices = draw(st.lists(st.integers(0, len(zones) - 1), min_size=1, max_size=3))
    step = st.tuples(st.sampled_from([37, 600, 900, 3601, 5 * HOUR]), st.integers(0, 5000))
    meters = draw(
        st.lists(
            st.tuples(
                st.sampled_from(["counter", "counter", "interval", "power_only"]),
                st.sampled_from([1, 1, 40, 0.5]),
                st.lists(step, min_size=3, max_size=25),
            ),
            min_size=1,
            max_size=3,
        )
    )
    second = st.integers(0, LENGTH)
    event = st.one_of(
        # the last one is the virtual meter
        st.tuples(st.just("move meter"), st.integers(0, len(meters)), st.integers(-1, len(devices) - 1), second),
        st.tuples(st.just("move device"), st.integers(0, len(devices) - 1), st.integers(0, len(zones) - 1)),
        st.tuples(st.just("zone"), st.integers(0, len(zones) - 1), st.sampled_from(ZONES)),
        st.tuples(st.just("factor"), st.integers(0, len(meters) - 1), st.sampled_from([2, 3.5]), second),
        st.tuples(st.just("replace"), st.integers(0, len(meters) - 1), st.integers(0, 500), second),
        st.tuples(st.just("again"), st.integers(0, len(meters) - 1), second),
        st.tuples(st.just("refresh")),
    )
    return {
        "begin": draw(st.sampled_from(MOMENTS)),
        "zones": zones,
        "devices": devices,
        "meters": meters,
        "first": draw(st.integers(0, 2)),  # how many thirds of the rows come before the events
        "events": draw(st.lists(event, max_size=5)),
        "virtual": draw(st.booleans()),
    }


class Plant:
    """A plant in the database, and what its meters must have counted."""

    def __init__(self, db, plan):
        self.db, self.plan = db, plan
        self.name = uuid.uuid4().hex[:8]
        self.zones = dict(enumerate(plan["zones"]))
        self.factories = [db.factory(f"{self.name}-{n}", zone) for n, zone in self.zones.items()]
        self.devices = [f"{self.name}-{n}" for n in range(len(plan["devices"]))]
        self.places = list(plan["devices"])
        for device, place in zip(self.devices, self.places):
            db.device(device, factory_id=self.factories[place])
        self.meters = []
        for n, (kind, factor, _) in enumerate(plan["meters"]):
            meter = db.meter(
                f"{self.name}/{n}", device=self.devices[n % len(self.devices)], max_power_w=1e9, reading_kind=kind
            )
            if factor != 1:
                db.one("SELECT meter_factor_save(%s, NULL, %s, 'test')", meter, factor)
            self.meters.append(meter)
        self.virtual = None
        if plan["virtual"]:
            self.virtual = f"{self.name}/all"
            parts = {meter: n + 1 for n, meter in enumerate(self.meters)}
            db.one("SELECT virtual_meter_save(%s, %s, 'test')", self.virtual, json.dumps(parts))
            db.one("SELECT meter_assign(%s, %s, 'main', NULL, 'test')", self.virtual, self.devices[-1])
        self.factors = [[(plan["begin"] - timedelta(days=400), factor)] for _, factor, _ in plan["meters"]]
        self.replaced = defaultdict(list)
        self.rows = [self.readings(n) for n in range(len(self.meters))]

    def at(self, second):
        return self.plan["begin"] + timedelta(seconds=second)

    def readings(self, n):
        """All meters begin and end at the same time, so that a sum over them is known wherever one of them is."""
        kind, _, steps = self.plan["meters"][n]
        times = [0, *(t for t in itertools.accumulate(seconds for seconds, _ in steps) if t < LENGTH), LENGTH]
        energies = [0, *(wh for _, wh in steps)]
        counter, rows = 100_000.0, []
        for t, wh in zip(times, [*energies[: len(times) - 1], 7]):
            counter += wh
            if kind == "power_only":
                rows.append((self.at(t), None, float(wh)))
            else:
                rows.append((self.at(t), counter if kind == "counter" else float(wh)))
        return rows

    def ingest(self, part):
        for n, meter in enumerate(self.meters):
            rows = self.rows[n]
            third = len(rows) // 3
            chosen = rows[: self.plan["first"] * third] if part == 0 else rows[self.plan["first"] * third :]
            if chosen:
                if self.plan["meters"][n][0] == "interval":
                    ends = [row[0] for row in rows]
                    spans = {b: (b - a).total_seconds() for a, b in itertools.pairwise(ends)} | {ends[0]: 900.0}
                    answer = self.db.one(
                        "SELECT ingest_energy(%s, %s::timestamptz[], %s::float8[], %s::float8[], "
                        "p_interval_s => %s::float8[])",
                        [meter] * len(chosen),
                        [row[0] for row in chosen],
                        [None] * len(chosen),
                        [row[1] for row in chosen],
                        [spans[row[0]] for row in chosen],
                    )
                else:
                    answer = self.db.ingest(meter, chosen)
                assert answer["accepted"] == len(chosen), answer

    def happen(self, kind, *what):
        db = self.db
        if kind == "move meter":
            meter, device, second = what
            if meter == len(self.meters) and not self.virtual:
                return
            db.one(
                "SELECT meter_assign(%s, %s, 'main', %s, 'test')",
                (*self.meters, self.virtual)[meter],
                self.devices[device] if device >= 0 else None,
                self.at(second),
            )
        elif kind == "move device":
            device, place = what
            db.device(self.devices[device], factory_id=self.factories[place])
            self.places[device] = place
        elif kind == "zone":
            place, zone = what
            db.all("UPDATE factories SET timezone = %s WHERE factory_id = %s", zone, self.factories[place])
            self.zones[place] = zone
        elif kind == "factor":
            meter, factor, second = what
            db.one("SELECT meter_factor_save(%s, %s, %s, 'test')", self.meters[meter], self.at(second), factor)
            self.factors[meter] = [f for f in self.factors[meter] if f[0] != self.at(second)] + [
                (self.at(second), factor)
            ]
        elif kind == "replace":
            meter, gone, second = what
            rows = self.rows[meter]
            later = [i for i, row in enumerate(rows) if row[0] >= self.at(second)]
            if self.plan["meters"][meter][0] != "counter" or not later or later[0] == 0 or self.replaced[meter]:
                return
            # The new counter begins at 3 Wh; the rows after it, if they are not stored yet, show what it counts.
            if self.plan["first"] * (len(rows) // 3) > later[0]:
                return
            old_end = rows[later[0] - 1][1] + gone
            for i in later:
                rows[i] = (rows[i][0], rows[i][1] - rows[later[0] - 1][1] + 3)
            self.replaced[meter].append((later[0], gone))
            db.one("SELECT meter_replace(%s, %s, %s, 3, 'test')", self.meters[meter], self.at(second), old_end)
        elif kind == "again":
            meter, second = what
            db.refresh()
            db.one("SELECT mark_dirty(%s, %s, %s)", self.meters[meter], self.at(second), self.at(second + 1))
        else:
            db.refresh()

    def factor(self, meter, moment):
        return max(f for f in self.factors[meter] if f[0] <= moment)[1]

    def expected(self, n):
        """Σ of what the meter counted, times the factor of its transformers at the end of each interval."""
        kind, rows = self.plan["meters"][n][0], self.rows[n]
        total = 0.0
        if kind == "interval":
            return sum(row[1] * self.factor(n, row[0]) for row in rows)
        gone = dict(self.replaced[n])
        for i, (before, row) in enumerate(itertools.pairwise(rows), 1):
            if kind == "power_only":
                held = self.db.one("SELECT max_hold_s FROM meters WHERE meter_id = %s", self.meters[n])
                total += before[2] * self.factor(n, before[0]) * min((row[0] - before[0]).total_seconds(), held) / 3600
            elif i in gone:
                total += (gone[i] + row[1] - 3) * self.factor(n, row[0])
            else:
                total += (row[1] - before[1]) * self.factor(n, row[0])
        return total


@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(plan=plants())
def test_accounts_balance_in_any_plant(own, plan):
    balance(own, plan)


@pytest.mark.timescale
@settings(
    max_examples=4,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(plan=plants())
def test_accounts_balance_in_a_few_plants(timescale, plan):
    timescale.refresh()  # what other tests left
    balance(timescale, plan)


def balance(own, plan):
    plant = Plant(own, plan)
    plant.ingest(0)
    for event in plan["events"]:
        plant.happen(*event)
    plant.ingest(1)
    meters, virtual = list(plant.meters), plant.virtual
    if virtual:
        meters.append(virtual)
    expected = {meter: plant.expected(n) for n, meter in enumerate(plant.meters)}
    if virtual:
        expected[virtual] = sum((n + 1) * expected[meter] for n, meter in enumerate(plant.meters))
    zone_of = {device: plant.zones[place] for device, place in zip(plant.devices, plant.places)}
    for refreshed in (False, True):
        if refreshed:
            own.refresh()
        by = check(own, meters, expected, virtual, zone_of, refreshed)
        for device in plant.devices:
            energy = own.one("SELECT device_energy(%s, %s, %s)", device, plant.at(-DAY), plant.at(LENGTH + DAY))
            wanted = sum(wh for (_, name), wh in by["1hour", "device"].items() if name == device)
            assert (energy or 0) == pytest.approx(wanted, rel=1e-9, abs=1e-6), (device, refreshed)


def check(db, meters, expected, virtual, zone_of, refreshed):
    """Everything of a plant against what was expected; returns the sums by level and what was summed up."""
    found = {
        level: db.all(
            f"SELECT meter_id, device_id, bucket, energy_wh, coverage_s FROM energy_readings_{level} "
            "WHERE meter_id = ANY (%s)",
            meters,
        )
        for level in LEVELS[1:]
    }
    found["1min"] = db.all(  # thousands
        "SELECT meter_id, device_id, count(*) - count(DISTINCT bucket), sum(energy_wh), sum(coverage_s) "
        "FROM energy_readings_1min WHERE meter_id = ANY (%s) GROUP BY 1, 2",
        meters,
    )
    assert {row[2] for row in found["1min"]} <= {0}, "no minute twice"
    deltas = dict(
        db.all("SELECT meter_id, sum(energy_delta_wh) FROM energy_data WHERE meter_id = ANY (%s) GROUP BY 1", meters)
    )
    for meter in meters:
        if meter != virtual:
            assert (deltas[meter] or 0) == pytest.approx(expected[meter], rel=1e-9, abs=1e-6)
    by = defaultdict(lambda: defaultdict(float))
    for level, rows in found.items():
        keys = [(meter, device, bucket) for meter, device, bucket, *_ in rows]
        assert len(set(keys)) == len(keys), "no bucket twice"
        for meter, device, _, wh, seconds in rows:
            by[level, "meter"][meter] += wh or 0
            by[level, "device"][meter, device] += wh or 0
            by[level, "covered"][meter, device] += seconds
    for level in LEVELS:
        for meter in meters:
            assert by[level, "meter"][meter] == pytest.approx(expected[meter], rel=1e-9, abs=1e-6), (level, meter)
        for kind in ("device", "covered"):
            assert by[level, kind] == {
                key: pytest.approx(value, rel=1e-9, abs=1e-6) for key, value in by["1min", kind].items()
            }, (level, kind, refreshed)
    # Every day bucket has what its quarters have, from one midnight of its own factory to the next.
    per_day = defaultdict(float)
    for meter, device, bucket, wh, _ in found["15min"]:
        local = bucket.astimezone(ZoneInfo(zone_of.get(device, "Europe/Berlin")))
        per_day[meter, device, local.date()] += wh or 0
    for meter, device, bucket, wh, _ in found["1day"]:
        zone = zone_of.get(device, "Europe/Berlin")
        assert at_midnight(bucket, zone), (device, zone, bucket)
        assert (wh or 0) == pytest.approx(
            per_day.pop((meter, device, bucket.astimezone(ZoneInfo(zone)).date())), rel=1e-9, abs=1e-6
        )
    assert not per_day, "every quarter of an hour is in a day"
    return by
