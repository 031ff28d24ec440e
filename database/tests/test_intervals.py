"""Readings with the energy of an interval (PLANT 1): each counts once, in its own time, whatever the delivery."""

import contextlib
import json
import random
import uuid
from datetime import UTC, datetime, timedelta

import psycopg2
import pytest

from tests.plugin.database import Database

QUARTER = 900


class Machine:
    """One interval meter; times in seconds from at(0)."""

    def __init__(self, db, at):
        self.db, self.at, self.meter = db, at, f"press-{uuid.uuid4().hex[:8]}/electricity"

    def record(self, wh, device_time, arrived=None, interval_s=QUARTER, **more):
        return {
            "meter_id": self.meter,
            "protocol": "factory",
            "topic": "factory/x",
            "arrived": self.at(device_time if arrived is None else arrived),
            "device_time": None if device_time is None else self.at(device_time),
            "interval_wh": wh,
            "interval_s": interval_s,
            **more,
        }

    def send(self, *records):
        return self.db.readings(records)

    def rows(self):
        """[(end s, start s, Wh, quality)]"""
        seconds = lambda t: None if t is None else round((t - self.at(0)).total_seconds(), 3)
        return [
            (seconds(row[0]), seconds(row[1]), *row[2:])
            for row in self.db.all(
                "SELECT timestamp, interval_start, energy_delta_wh, quality FROM energy_data WHERE "
                "meter_id = %s ORDER BY 1",
                self.meter,
            )
        ]

    def total(self):
        return sum(row[2] or 0 for row in self.rows())


@pytest.fixture
def machine(db, at):
    return Machine(db, at)


def buckets(db, meter, level):
    return {
        row[0]: row[1:]
        for row in db.all(
            f"SELECT bucket, energy_wh, coverage_s, avg_power_w FROM energy_readings_{level} WHERE meter_id = %s", meter
        )
    }


def test_a_lost_quarter_of_an_hour_is_a_hole(db, machine, at):
    """Five quarters of 10 kWh, the third lost. Before: the fourth had the time of both, and the hole 5 kWh."""
    machine.send(*(machine.record(10_000, QUARTER * i, arrived=QUARTER * i + 3) for i in (1, 2, 4, 5)))
    assert machine.rows() == [
        (900, 0, 10_000, None),
        (1800, 900, 10_000, None),
        (3600, 2700, 10_000, "gap"),
        (4500, 3600, 10_000, None),
    ]
    for refreshed in (False, True):
        if refreshed:
            db.refresh(machine.meter)
        quarters = buckets(db, machine.meter, "15min")
        full = (pytest.approx(10_000), pytest.approx(QUARTER), pytest.approx(40_000))
        assert [quarters[at(QUARTER * i)] for i in (0, 1, 3, 4)] == [full] * 4
        assert quarters[at(1800)] == (None, 0, None), "unknown is not zero"
        for level in ("1min", "15min", "1hour", "1day"):
            found = buckets(db, machine.meter, level)
            assert sum(row[0] or 0 for row in found.values()) == pytest.approx(40_000)
            assert sum(row[1] for row in found.values()) == pytest.approx(4 * QUARTER)
    assert db.one("SELECT energy_between(%s, %s, %s)", machine.meter, at(1800), at(2700)) is None
    assert db.one("SELECT energy_between(%s, %s, %s)", machine.meter, at(900), at(3150)) == pytest.approx(15_000)
    assert db.one("SELECT meter_energy(%s, %s, %s)", machine.meter, at(0), at(4500)) == pytest.approx(40_000)


def test_messages_at_once_after_a_stall_all_count(machine):
    """Six messages of a second each at once after 5 s of silence. Before: 50 Wh of 300, they had one arrival."""
    records = [machine.record(50, i, arrived=10.5, interval_s=1) for i in range(5, 11)]
    assert machine.send(*records)["accepted"] == 6
    assert machine.rows() == [(i, i - 1, 50, None) for i in range(5, 11)]
    assert machine.total() == 300


@pytest.mark.parametrize("delay", [2, 60, 4000])
def test_the_same_device_time_again_is_a_repetition(machine, delay):
    """Whatever the delay. Before: after 2 s it was counted once more, 2,000 Wh."""
    machine.send(machine.record(1000, 0, arrived=0.2))
    answer = machine.send(machine.record(1000, 0, arrived=delay))
    assert (answer["accepted"], answer["repeated"]) == (0, 1)
    assert machine.rows() == [(0, -QUARTER, 1000, None)]
    machine.send(machine.record(500, QUARTER, arrived=QUARTER + 0.3))
    machine.send(
        machine.record(500, QUARTER, arrived=delay + QUARTER), machine.record(1000, 0, arrived=delay + QUARTER)
    )
    assert machine.rows() == [(0, -QUARTER, 1000, None), (QUARTER, 0, 500, None)]


def test_the_interval_is_the_message_s_else_the_meter_s_else_learned(db, machine):
    machine.send(machine.record(10, 0, interval_s=60), machine.record(10, 3600, interval_s=None))
    assert machine.rows()[1][:2] == (3600, 3540), "the first message's"
    db.all("UPDATE meters SET interval_s = 300 WHERE meter_id = %s", machine.meter)
    machine.send(machine.record(10, 7200, interval_s=None), machine.record(10, 9000, interval_s=30))
    assert [row[:2] for row in machine.rows()[2:]] == [(7200, 6900), (9000, 8970)]


def test_an_interval_length_learned_later_moves_the_starts(db, machine):
    """Without any word of it a quarter of an hour is assumed, then it is what usually lies between two."""
    ends = [60 * i for i in range(20)] + [60 * i for i in range(25, 30)]
    machine.send(*(machine.record(6, end, interval_s=None) for end in ends))
    assert (25 * 60, 19 * 60, 6, None) in machine.rows()
    assert db.one("SELECT learn_reporting_intervals(ARRAY[%s])", machine.meter) == 1
    assert (25 * 60, 24 * 60, 6, "gap") in machine.rows() and machine.total() == 150
    assert sum(row[0] or 0 for row in buckets(db, machine.meter, "1min").values()) == pytest.approx(150)


@pytest.mark.parametrize("seconds", [0, -5, 1e9, float("nan"), float("inf"), 1e300])
def test_a_length_that_is_none_costs_neither_the_energy_nor_the_batch(db, machine, seconds):
    """JSON has no NaN, ingest_energy() has."""
    machine.send(machine.record(10, 0, interval_s=60))
    other = machine.record(7, 60, interval_s=60, meter_id=machine.meter + "2")
    if seconds == seconds and abs(seconds) < 1e300:
        assert machine.send(machine.record(10, 3600, interval_s=seconds), other)["accepted"] == 2
    else:
        db.one(
            "SELECT ingest_energy(ARRAY[%s], ARRAY[%s::timestamptz], ARRAY[NULL::float8], "
            "ARRAY[10.0], p_interval_s => ARRAY[%s::float8])",
            machine.meter,
            machine.at(3600),
            seconds,
        )
    end, start, wh, _ = machine.rows()[-1]
    assert wh == 10 and start == end - 60, "the meter's length"
    assert sum(row[0] or 0 for row in buckets(db, machine.meter, "1min").values()) == pytest.approx(20)


def test_overlapping_intervals_never_share_time(db, machine):
    """A device that restarts reports a shorter interval late: its time begins where the one before ended."""
    machine.send(machine.record(900, 900), machine.record(100, 1000, interval_s=900), machine.record(900, 1900))
    assert machine.rows() == [(900, 0, 900, None), (1000, 900, 100, None), (1900, 1000, 900, None)]
    assert db.one("SELECT energy_between(%s, %s, %s)", machine.meter, machine.at(0), machine.at(1900)) == pytest.approx(
        1900
    )


# Times ---------------------------------------------------------------------------------------------------------------


def test_untimed_readings_end_at_arrival_at_least_an_interval_apart(machine):
    untimed = lambda arrived: machine.record(50, None, arrived=arrived, interval_s=10)
    machine.send(untimed(0))
    machine.send(untimed(10.4))
    machine.send(*(untimed(45) for _ in range(4)))
    assert machine.rows() == [
        (0, -10, 50, "untimed"),
        (10.4, 0.4, 50, "untimed"),
        (45, 35, 50, "untimed,gap"),
        (55, 45, 50, "untimed"),
        (65, 55, 50, "untimed"),
        (75, 65, 50, "untimed"),
    ]
    machine.send(untimed(78))
    assert machine.rows()[-1] == (85, 75, 50, "untimed") and machine.total() == 350


def test_a_clock_that_was_never_set_counts_as_none(machine):
    y1970 = lambda arrived: machine.record(50, -56 * 365 * 86400 + arrived, arrived=arrived, interval_s=10)
    machine.send(y1970(0), y1970(10))
    machine.send(y1970(20))
    assert machine.rows() == [(end, end - 10, 50, "untimed") for end in (0, 10, 20)]


@pytest.mark.parametrize("offset", [-3600, 3600, 7200.5])
def test_a_clock_that_is_wrong_places_intervals_at_their_true_time(db, machine, offset):
    """And the same reading again is a repetition, also after the clock was set."""
    wrong = [machine.record(100, 60 * i + offset, arrived=60 * i + 1, interval_s=60) for i in range(5)]
    for record in wrong:
        machine.send(record)
    found = machine.rows()
    assert [row[2:] for row in found] == [(100, None)] * 5
    assert [row[0] for row in found] == [pytest.approx(60 * i + 1, abs=0.01) for i in range(5)]
    assert machine.send(*[{**record, "arrived": machine.at(330)} for record in wrong])["accepted"] == 0
    # now it is set
    right = [machine.record(100, 60 * i, arrived=60 * i + 1, interval_s=60) for i in range(6, 12)]
    for record in right:
        machine.send(record)
    rows = machine.rows()
    assert machine.send(*[{**record, "arrived": machine.at(900)} for record in wrong + right])["accepted"] == 0
    assert machine.rows() == rows and machine.total() == 1100
    assert rows[-1][0] == 660, "placed by the clock that is right now"


def test_a_clock_set_in_the_middle_of_one_batch_loses_nothing(machine):
    """Behind by a quarter of an hour until it is set."""
    first = [machine.record(100, QUARTER * i - QUARTER, arrived=QUARTER * i) for i in range(3)]
    machine.send(*first, *(machine.record(100, QUARTER * i, arrived=QUARTER * i + 1) for i in range(3, 5)))
    assert machine.total() == 500


def test_a_late_delivery_of_a_day_counts_where_it_belongs(machine):
    """A gateway that was cut off sends what it kept, one message after the other."""
    machine.send(machine.record(10, 0), machine.record(10, 25 * QUARTER))
    for i in range(1, 25):
        machine.send(machine.record(10, QUARTER * i, arrived=25 * QUARTER + i))
    machine.send(machine.record(10, 26 * QUARTER))
    assert machine.rows() == [(QUARTER * i, QUARTER * (i - 1), 10, None) for i in range(27)]


def test_a_reading_without_time_beside_an_interval_meter_s_batch(db, machine):
    """A counter's undated reading keeps its arrival, whatever else is in the batch."""
    counter = machine.meter + "-counter"
    plain = lambda arrived, wh, device_time: {
        "meter_id": counter,
        "protocol": "tasmota",
        "arrived": machine.at(arrived),
        "device_time": None if device_time is None else machine.at(device_time),
        "power_watts": 5.0,
        "energy_total_wh": wh,
    }
    machine.send(plain(0, 10, 0), machine.record(1, 0))
    answer = machine.send(
        plain(100, None, None), plain(105, 11, 65), machine.record(1, QUARTER), plain(110, None, None)
    )
    assert (answer["accepted"], answer["rejected"]) == (4, 0)
    times = [(t - machine.at(0)).total_seconds() for t, *_ in db.rows(counter)]
    assert times == [0, 65, 100, 110]


# What a reading says of energy ---------------------------------------------------------------------------------------


def test_energy_of_the_interval_and_a_total_are_a_counter_reading(db, machine):
    both = lambda end, wh, total: machine.record(wh, end, energy_total_wh=total)
    machine.send(both(0, 10, 1000), both(QUARTER, 10, 1010))
    machine.send(both(3 * QUARTER, 10, 1030))
    assert db.one("SELECT reading_kind FROM meters WHERE meter_id = %s", machine.meter) == "counter"
    assert [row[1:] for row in machine.rows()] == [
        (None, None, "first"),
        (0, 10, None),
        (QUARTER, 20, None),
    ], "a counter knows what the lost message knew"


def test_a_counter_alone_is_no_interval_and_the_other_way_round(db, machine):
    machine.send(machine.record(10, 0))
    answer = machine.send(machine.record(None, QUARTER, energy_total_wh=5000))
    assert (answer["accepted"], answer["rejected"]) == (0, 1)
    reasons = "SELECT reason FROM ingest_rejects WHERE payload LIKE %s"
    assert "reports intervals" in db.one(reasons, f"%{machine.meter}%")
    answer = machine.send(machine.record(None, 2 * QUARTER, energy_total_wh=5000, power_watts=40.0))
    assert answer["accepted"] == 1, "its power is kept"
    assert machine.rows()[-1][2] is None
    counter = machine.meter + "-counter"
    machine.send(machine.record(None, 0, energy_total_wh=5, meter_id=counter))
    assert machine.send(machine.record(10, QUARTER, meter_id=counter))["rejected"] == 1
    assert "this meter counts" in db.one(reasons, f"%{counter}%")


def test_other_carriers_by_their_unit(db, machine):
    gas = machine.meter + "/gas"
    reading = lambda end, amount: machine.record(
        None, end, meter_id=gas, energy_type="natural_gas", consumption=amount, interval_s=QUARTER
    )
    machine.send(reading(0, 2.0), reading(QUARTER, 0.5))
    assert db.all("SELECT energy_delta_wh FROM energy_data WHERE meter_id = %s ORDER BY timestamp", gas) == [
        (pytest.approx(21_100),),
        (pytest.approx(5_275),),
    ]
    assert db.one("SELECT energy_type, unit, wh_per_unit, reading_kind FROM meters WHERE meter_id = %s", gas) == (
        "natural_gas",
        "m3",
        10550,
        "interval",
    )


def test_a_reading_of_an_unknown_carrier_is_a_reject_that_names_the_known_ones(db, machine):
    records = [machine.record(5, 0), machine.record(5, 0, meter_id=machine.meter + "/x", energy_type="plasma")]
    answer = machine.send(*records)
    assert (answer["accepted"], answer["rejected"]) == (1, 1)
    assert db.one("SELECT reason FROM ingest_rejects WHERE payload LIKE %s", f"%{machine.meter}/x%").startswith(
        "unknown energy type plasma: one of electricity, natural_gas, steam, compressed_air"
    )


def test_an_interval_reading_of_one_meter_too_many_is_a_reject_with_its_reason(plain, at):
    machine = Machine(plain, at)
    names = [f"crowd-{n:04}" for n in range(1000)]
    try:
        plain.one("SELECT register_meters(%s, %s)", names, ["factory"] * len(names))
        answer = machine.send(machine.record(10, 0))
        assert (answer["accepted"], answer["rejected"]) == (0, 1)
        assert "1,000 wait for a device" in plain.one(
            "SELECT reason FROM ingest_rejects WHERE topic = %s", machine.meter
        )
    finally:
        plain.all("DELETE FROM meter_state WHERE meter_id LIKE 'crowd-%%'")
        plain.all("DELETE FROM meters WHERE meter_id LIKE 'crowd-%%'")


def test_lists_instead_of_records(db, machine):
    """As the flows send them; lists of different lengths are refused."""
    lists = {
        "meter_id": [machine.meter] * 2,
        "protocol": ["factory"] * 2,
        "arrived": [machine.at(0).isoformat(), machine.at(60).isoformat()],
        "device_time": [machine.at(0).isoformat(), machine.at(60).isoformat()],
        "interval_wh": [5, 6],
        "interval_s": [60, 60],
    }
    assert db.one("SELECT ingest_readings(%s)", json.dumps(lists))["accepted"] == 2
    assert machine.rows() == [(0, -60, 5, None), (60, 0, 6, None)]
    with pytest.raises(psycopg2.errors.InvalidParameterValue, match="different lengths"):
        db.one("SELECT ingest_readings(%s)", json.dumps({**lists, "interval_wh": [5]}))


def test_phases_are_kept_beside_their_reading(db, machine):
    phases = [
        {"phase": 1, "power_watts": 10, "voltage": 230.5, "current_amps": 0.05},
        {"phase": 3, "power_watts": 30, "power_factor": 0.9},
        {"phase": 7, "power_watts": 1},
    ]
    for _ in range(2):
        machine.send(machine.record(10, 0, phases=phases, power_watts=40.0))
    found = "SELECT phase, power_watts, voltage, power_factor FROM phase_data WHERE meter_id = %s ORDER BY 1"
    assert db.all(found, machine.meter) == [(1, 10, 230.5, None), (3, 30, None, pytest.approx(0.9))]
    assert db.one("SELECT power_watts FROM energy_data WHERE meter_id = %s", machine.meter) == 40


# Any delivery --------------------------------------------------------------------------------------------------------


def series(chance):
    """What a device measured: [(end ms, length s, Wh)], at distinct times in order."""
    length = chance.choice([1, 10, 60, 900])
    end, measured = chance.randrange(0, 3_600_000), []
    for _ in range(chance.randint(1, 7)):
        told = length if chance.random() < 0.9 else length / 2
        measured.append((end, told, chance.choice([0.0, 1.5, 1000.0, chance.uniform(0, 50)])))
        step = length * 1000 * chance.choice([1, 1, 1, 1, 2, 5])
        end += max(1, step + chance.choice([0, 0, chance.randint(-step // 3, step // 20)]))
    return measured


def oracle(measured):
    """{end: (start, Wh, gap)}: each begins an interval before its end, but not before the end of the one before."""
    found, before = {}, None
    for end, length, wh in measured:
        start = end - length * 1000
        if before is not None:
            start = max(before, start)
        gap = before is not None and start - before > max(1000, 50 * length)
        found[end] = (start, wh, "gap" if gap else None)
        before = end
    return found


def deliveries(chance, measured):
    """Up to three deliveries of the readings: in any order, some repeated, each less than 10 s after its end."""
    messages = measured + [one for one in measured if chance.random() < 0.2]
    chance.shuffle(messages)
    parts = chance.choice([1, 1, 2, 3])
    return [[(*m, chance.uniform(0, 9.9)) for m in messages[n::parts]] for n in range(parts)]


@pytest.fixture(scope="module")
def fed(migrated):
    """A database of its own with 5,000 series, as they were delivered: (database, {meter: measured})."""
    with migrated() as dsn, contextlib.closing(Database(dsn)) as db:
        begin = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=16)
        chance = random.Random(11)
        wanted = {f"s{n:04}": series(chance) for n in range(5000)}
        plans = {meter: deliveries(chance, measured) for meter, measured in wanted.items()}
        # more than may appear by themselves
        db.all(
            "INSERT INTO meters (meter_id, protocol, reading_kind) SELECT unnest(%s), 'factory', 'interval'",
            list(wanted),
        )
        time = lambda ms: (begin + timedelta(milliseconds=ms)).isoformat()
        for turn in range(3):
            records = [
                {
                    "meter_id": meter,
                    "protocol": "factory",
                    "arrived": time(end + 1000 * delay),
                    "device_time": time(end),
                    "interval_wh": wh,
                    "interval_s": length,
                }
                for meter, parts in plans.items()
                if turn < len(parts)
                for end, length, wh, delay in parts[turn]
            ]
            for place in range(0, len(records), 5000):
                answer = db.one("SELECT ingest_readings(%s)", json.dumps(records[place : place + 5000]))
                assert answer["rejected"] == 0
        yield db, wanted, begin


def test_any_delivery_gives_the_rows_of_the_oracle(fed):
    db, wanted, begin = fed
    found = {meter: {} for meter in wanted}
    ms = lambda t: round((t - begin).total_seconds() * 1000)
    for meter, end, start, wh, quality in db.all(
        "SELECT meter_id, timestamp, interval_start, energy_delta_wh, quality FROM energy_data"
    ):
        found[meter][ms(end)] = (ms(start), wh, quality)
    for meter, measured in wanted.items():
        assert found[meter] == oracle(measured), meter


def test_rollups_of_any_delivery_have_its_energy_and_its_coverage(fed):
    db, wanted, _ = fed
    meters = [meter for meter, measured in wanted.items() if measured[-1][1] >= 10][:60]
    db.refresh(*meters)
    found = {
        level: {
            row[0]: row[1:]
            for row in db.all(
                "SELECT meter_id, sum(energy_wh), sum(coverage_s), sum(reading_count) "
                f"FROM series.energy_{level} JOIN meters USING (meter_key) GROUP BY 1"
            )
        }
        for level in ("1min", "15min", "1hour", "1day")
    }
    for meter in meters:
        rows = oracle(wanted[meter])
        energy = sum(wh for _, wh, _ in rows.values())
        covered = sum(end - start for end, (start, *_) in rows.items()) / 1000
        for level, sums in found.items():
            assert sums[meter] == (pytest.approx(energy), pytest.approx(covered), len(rows)), (meter, level)


def test_the_slow_path_stores_the_same_rows(fed):
    db, wanted, begin = fed
    chosen = list(wanted)[:400]
    for path in ("fast", "slow"):
        db.all(
            "INSERT INTO meters (meter_id, protocol, reading_kind) SELECT %s || unnest(%s), 'factory', 'interval'",
            path,
            chosen,
        )
        db.all("INSERT INTO meter_state (meter_id) SELECT %s || unnest(%s)", path, chosen)
        for late in (False, True):  # the second time the meters have rows already
            some = [
                (path + meter, end, length, wh, [None, 10.0 * n][n % 3 == 0])
                for meter in chosen
                for n, (end, length, wh) in enumerate(wanted[meter])
                if (n < 3) != late
            ]
            db.one(
                "SELECT ingest_energy(%s, %s::timestamptz[], %s::float8[], %s::float8[], p_interval_s => %s::float8[], "
                "p_fast => %s)",
                [row[0] for row in some],
                [begin + timedelta(milliseconds=row[1]) for row in some],
                [row[4] for row in some],
                [row[3] for row in some],
                [row[2] for row in some],
                path == "fast",
            )
    columns = (
        "timestamp, power_watts, interval_wh, energy_delta_wh, interval_start, interval_s, quality, "
        "base_wh, base_at, alt_wh, alt_at"
    )
    state = "last_at, last_counter_at, base_wh, base_at, last_power_watts, last_power_at"
    for table, key, what in (("energy_data", "meter_id, timestamp", columns), ("meter_state", "meter_id", state)):
        fast, slow = (
            db.all(f"SELECT substr(meter_id, 5), {what} FROM {table} WHERE meter_id LIKE %s ORDER BY {key}", path + "%")
            for path in ("fast", "slow")
        )
        assert fast == slow and len(fast) >= len(chosen), table


# Production ----------------------------------------------------------------------------------------------------------


class Line:
    """One machine that counts pieces; times in seconds from at(0)."""

    def __init__(self, db, at, device=None):
        self.db, self.at, self.device = db, at, device or f"line-{uuid.uuid4().hex[:8]}"
        db.device(self.device, device_type="conveyor", data_interval_seconds=60)

    def send(self, *records):
        """Records (time s, fields)."""
        return self.db.one(
            "SELECT record_production(%s)",
            json.dumps(
                [{"device_id": self.device, "timestamp": self.at(t).isoformat(), **fields} for t, fields in records]
            ),
        )

    def rows(self, columns="production_count"):
        seconds = lambda t: None if t is None else round((t - self.at(0)).total_seconds(), 3)
        return [
            (seconds(row[0]), seconds(row[1]), *row[2:])
            for row in self.db.all(
                f"SELECT timestamp, interval_start, {columns} FROM production_data WHERE device_id = %s ORDER BY 1",
                self.device,
            )
        ]

    def between(self, begin, end):
        return self.db.one("SELECT * FROM production_between(%s, %s, %s)", self.device, self.at(begin), self.at(end))


@pytest.fixture
def line(db, at):
    return Line(db, at)


def test_production_of_a_lost_quarter_is_a_hole(line):
    quarter = lambda i: (QUARTER * i, {"production_count": 100, "production_count_good": 98, "interval_s": QUARTER})
    line.send(*map(quarter, (1, 2, 4, 5)))
    assert line.rows("production_count, quality") == [
        (900, 0, 100, None),
        (1800, 900, 100, None),
        (3600, 2700, 100, "gap"),
        (4500, 3600, 100, None),
    ]
    assert line.between(0, 4500) == (400, 392, None, 3600)
    assert line.between(1800, 2700) == (None, None, None, None)
    assert line.between(450, 1350) == (pytest.approx(100), pytest.approx(98), None, 900)


def test_production_of_a_stall_and_of_a_redelivery(line):
    second = lambda i: (i, {"production_count": 5, "interval_s": 1})
    assert line.send(*map(second, range(5, 11)))["stored"] == 6
    assert line.rows() == [(i, i - 1, 5) for i in range(5, 11)]
    assert line.send(*map(second, range(5, 11)))["stored"] == 0
    assert line.between(0, 20)[0] == 30


def test_production_counters(line):
    """One that falls began anew; a row without counts gives the speed and neither ends nor begins an interval."""
    total = lambda t, n: (t, {"production_count_total": n})
    line.send(total(0, 1000), total(60, 1010), (90, {"speed_percent": 80}))
    line.send(total(120, 1025))
    line.send(total(180, 4), (200, {"operating_mode": "setup"}), total(300, 10))
    assert line.rows("production_count, quality") == [
        (0, None, None, "first"),
        (60, 0, 10, None),
        (90, None, None, None),
        (120, 60, 15, None),
        (180, 120, 4, None),
        (200, None, None, None),
        (300, 180, 6, None),
    ]
    assert line.between(0, 300)[0] == 35


@pytest.mark.parametrize("seconds", [0, -1, 1e300])
def test_a_length_that_is_none_costs_no_count(line, seconds):
    assert (
        line.send((600, {"production_count": 7, "interval_s": seconds}), (700, {"production_count": 1}))["stored"] == 2
    )
    assert line.rows() == [(600, 540, 7), (700, 640, 1)], "the device's interval"


def test_production_that_is_none_is_a_reject(db, line):
    answer = line.send((0, {"production_count": -1}), (60, {"production_count": 0}), (1e7, {"production_count": 3}))
    assert answer == {"stored": 1, "rejected": 2} and line.rows() == [(60, 0, 0)], "0 is a value"
    reasons = db.all("SELECT reason FROM ingest_rejects WHERE topic = %s ORDER BY 1", line.device)
    assert [reason for (reason,) in reasons] == [
        "a count is negative, beyond measure or not a number",
        "time missing, in the future or older than the raw rows kept",
    ]


def production(chance):
    """What a machine told, in time order, [(s, fields)], and what follows: {s: (start, count, good, quality)}."""
    counters, length = chance.random() < 0.5, chance.choice([1, 60, 900])
    told, wanted, t, total, good = [], {}, 0, 500, 400
    before, last = None, {}
    for _ in range(chance.randint(1, 10)):
        t += chance.choice([length, length, length, 2 * length, max(1, length // 2), 3 * length + 7])
        if chance.random() < 0.2:
            told.append((t, {"speed_percent": chance.randint(0, 100)}))
            wanted[t] = (None, None, None, None)
            continue
        made, passed = chance.randint(0, 20), chance.random() < 0.7
        if counters:
            if chance.random() < 0.1:
                total = good = 0
            total, good = total + made, good + made
            fields = {"production_count_total": total} | ({"production_count_good_total": good} if passed else {})
            counted = {}
            for name, value in fields.items():
                one = last.get(name)
                counted[name] = None if one is None else value - one if value >= one else value
                last[name] = value
            quality = "first" if before is None else None
            wanted[t] = (before, counted["production_count_total"], counted.get("production_count_good_total"), quality)
        else:
            fields = {"production_count": made, "interval_s": length} | (
                {"production_count_good": made} if passed else {}
            )
            start = t - length if before is None else max(before, t - length)
            gap = before is not None and start - before > max(1, 0.05 * length)
            wanted[t] = (start, made, made if passed else None, "gap" if gap else None)
        told.append((t, fields))
        before = t
    return told, wanted


def test_any_delivery_of_production_gives_the_rows_of_the_oracle(plain, at):
    chance = random.Random(5)
    for n in range(150):
        line = Line(plain, at, f"oracle-{n}")
        told, wanted = production(chance)
        messages = told + [one for one in told if chance.random() < 0.2]
        chance.shuffle(messages)
        parts = chance.randint(1, 3)
        for part in range(parts):
            line.send(*messages[part::parts])
        assert {row[0]: row[1:] for row in line.rows("production_count, production_count_good, quality")} == wanted, (
            told
        )
