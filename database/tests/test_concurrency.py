"""Several connections at once: no deadlock, and the same rows as one after the other."""

import json
import random
import threading

import psycopg2
import pytest

from tests.plugin.database import Database


def together(*tasks):
    """Runs the tasks in threads and raises the first error."""
    errors = []

    def guarded(task):
        try:
            task()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(task,)) for task in tasks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(t.is_alive() for t in threads), "a connection hangs"
    if errors:
        raise errors[0]


def send(dsn, readings, size, chance, repeat=False):
    def run():
        db = Database(dsn, "plain")
        order = list(readings)
        if repeat:
            order += chance.sample(order, len(order) // 3)
        chance.shuffle(order)
        for i in range(0, len(order), size):
            meters, times, counters = zip(*order[i : i + size])
            db.one(
                "SELECT ingest_energy(%s, %s::timestamptz[], %s::float8[], %s::float8[])",
                list(meters),
                list(times),
                [50.0] * len(meters),
                list(counters),
            )
        db.connection.close()

    return run


@pytest.mark.parametrize("seed", [1, 2])
def test_two_connections_writing_the_same_meters(plain, at, seed):
    chance = random.Random(seed)
    meters = [plain.meter(device=f"shared-{seed}-{n % 4}") for n in range(8)]
    twins = {m: plain.meter() for m in meters}
    readings = [
        (m, at(10 * i), c)
        for m in meters
        for i, c in enumerate(
            [100 + i * 0.2 for i in range(40)]
            + [5 + i * 0.2 for i in range(20)]
            + [9e6]
            + [9 + i * 0.1 for i in range(20)]
        )
    ]
    one, other = [], []
    for reading in readings:
        (one if chance.random() < 0.5 else other).append(reading)
    together(
        send(plain.dsn, one, 37, random.Random(seed), True),
        send(plain.dsn, other + one[:50], 23, random.Random(seed + 9), True),
    )
    for meter in meters:
        mine = [r for r in readings if r[0] == meter]
        plain.ingest(twins[meter], [(t, c, 50.0) for _, t, c in mine])
        strip = lambda rows: [row[:10] for row in rows]
        assert strip(plain.rows(meter)) == strip(plain.rows(twins[meter]))


def test_everything_at_once_without_deadlock(plain, at):
    """Ingest, statuses, rollups, phases, jobs and registry changes on the same devices."""
    names = [f"busy-{n}" for n in range(5)]
    meters = {name: [plain.meter(device=name) for _ in range(2)] for name in names}
    everything = [m for pair in meters.values() for m in pair]
    readings = [(m, at(10 * i), 100 + i * 0.1) for i in range(200) for m in everything]
    stop = threading.Event()

    def loop(make):
        def run():
            db = Database(plain.dsn, "plain")
            n = 0
            while not stop.is_set():
                make(db, n)
                n += 1
            db.connection.close()

        return run

    def statuses(db, n):
        batch = [
            {"device_id": d, "timestamp": at(3 * n % 2000).isoformat(), "state": "printing" if n % 7 else "idle"}
            for d in random.sample(names, 5)
        ]
        db.one("SELECT record_status(%s)", json.dumps(batch))

    def keep_house(db, n):
        for call in (
            "refresh_rollups()",
            "refresh_phases()",
            "finalize_jobs()",
            "learn_reporting_intervals()",
            "reap_devices()",
        ):
            db.one("SELECT " + call)

    def registry(db, n):
        db.one("SELECT device_save(%s, 'test')", json.dumps({"device_id": names[n % 5], "notes": str(n)}))
        db.one("SELECT meter_assign(%s, %s, 'main', NULL, 'test')", everything[-1], names[n % 5])
        stop.wait(0.05)

    def ingest():
        try:
            together(send(plain.dsn, readings, 50, random.Random(1)), send(plain.dsn, readings, 50, random.Random(2)))
        finally:
            stop.set()

    together(ingest, loop(statuses), loop(keep_house), loop(registry))
    for meter in everything:
        assert plain.one("SELECT sum(energy_delta_wh) FROM energy_data WHERE meter_id = %s", meter) == pytest.approx(
            19.9
        )
        plain.one("SELECT refresh_rollups(10, ARRAY[%s])", meter)
        assert plain.one(
            "SELECT sum(energy_wh) FROM series.energy_1day WHERE meter_key = meter_key(%s)", meter
        ) == pytest.approx(19.9)


def test_a_reading_between_mark_and_refresh_is_not_forgotten(plain, at):
    """An ingest that commits while a refresh waits for the meter is in the rollups or still marked."""
    meter = plain.meter()
    plain.ingest(meter, [(at(0), 0), (at(10), 1)])
    writer = psycopg2.connect(plain.dsn)
    with writer.cursor() as cursor:
        cursor.execute("SELECT ingest_energy(ARRAY[%s], ARRAY[%s], ARRAY[1.0], ARRAY[2.0])", (meter, at(20)))
    refresh = threading.Thread(
        target=lambda: Database(plain.dsn, "plain").one("SELECT refresh_rollups(10, ARRAY[%s])", meter)
    )
    refresh.start()
    refresh.join(0.3)
    assert refresh.is_alive()
    writer.commit()
    refresh.join(10)
    writer.close()
    assert plain.one("SELECT sum(energy_wh) FROM energy_readings_1min WHERE meter_id = %s", meter) == 2
    assert plain.one("SELECT sum(energy_wh) FROM series.energy_1min WHERE meter_key = meter_key(%s)", meter) == 2
