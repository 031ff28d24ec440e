"""From MQTT publish to committed rows with full accounting, against one INSERT per message."""

import json
import random
import threading
import time
from collections.abc import Mapping

from psycopg2 import extensions

from .database import cursor_of, first
from .mqtt_blast import Publisher
from .report import Row, percentile

METERS = 100
MOST_MWH = 3  # by which a counter grows from one message to the next
NAIVE_MESSAGES = 3_000

Messages = list[tuple[str, bytes]]
Ends = dict[str, tuple[float, float]]


def status(total_wh: float, power_w: float) -> bytes:
    """A Shelly Gen2 switch status as the device sends it."""
    return json.dumps(
        {
            "id": 0,
            "source": "init",
            "output": True,
            "apower": round(power_w, 1),
            "voltage": 230.4,
            "current": round(power_w / 230.4, 3),
            "aenergy": {"total": round(total_wh, 3), "by_minute": [0.0, 0.0, 0.0], "minute_ts": 1763722800},
            "temperature": {"tC": 41.2, "tF": 106.2},
        }
    ).encode()


def messages(prefix: str, count: int, seed: int, start_wh: float = 1000.0) -> tuple[Messages, Ends]:
    """`count` messages (topic, payload) of METERS meters in turn, and per meter the first and last counter in Wh."""
    rng = random.Random(seed)
    counters = [start_wh + 10 * i for i in range(METERS)]
    ends: Ends = {}
    out: Messages = []
    for i in range(count):
        meter = i % METERS
        # 1 to 3 mWh a message stays far below what a plug can draw, whatever the rate of the messages will be.
        counters[meter] += rng.randint(1, MOST_MWH) / 1000
        name = f"{prefix}-{meter:03d}/switch:0"
        first = ends[name][0] if name in ends else counters[meter]
        ends[name] = (first, counters[meter])
        out.append((f"{prefix}-{meter:03d}/status/switch:0", status(counters[meter], rng.uniform(60, 140))))
    return out, ends


def connect(settings: Mapping[str, str], client_id: str) -> Publisher:
    """A connection to the stack's broker, as a device."""
    return Publisher(
        settings["ENMS_MQTT_HOST"],
        int(settings["ENMS_MQTT_PORT"]),
        settings["ENMS_MQTT_DEVICE_USER"],
        settings["ENMS_MQTT_DEVICE_PASSWORD"],
        client_id,
    )


def stored(cursor: extensions.cursor, prefix: str) -> int:
    """How many rows the meters with this prefix have."""
    return first(cursor, "SELECT count(*) FROM energy_data WHERE meter_id LIKE %s", (prefix + "-%",))[0]


def wait_stored(cursor: extensions.cursor, prefix: str, count: int, timeout_s: float) -> None:
    """Waits until `count` rows are committed; stops the bench after `timeout_s`."""
    deadline = time.perf_counter() + timeout_s
    while (found := stored(cursor, prefix)) < count:
        if time.perf_counter() > deadline:
            raise SystemExit(f"only {found:,} of {count:,} readings reached the database within {timeout_s:.0f} s")
        time.sleep(0.1)


def _check(cursor: extensions.cursor, prefix: str, ends: Ends, count: int) -> str:
    """Rows and sums after the run; returns a sentence, or stops the bench when an account doesn't balance."""
    cursor.execute(
        "SELECT meter_id, count(*), sum(energy_delta_wh) FROM energy_data WHERE meter_id LIKE %s GROUP BY 1",
        (prefix + "-%",),
    )
    rows = cursor.fetchall()
    found = sum(row[1] for row in rows)
    wrong = [name for name, _, energy in rows if abs((energy or 0) - (ends[name][1] - ends[name][0])) > 1e-6]
    (rolled,) = first(
        cursor, "SELECT sum(energy_wh) FROM energy_readings_1min WHERE meter_id LIKE %s", (prefix + "-%",)
    )
    total = sum(last - begin for begin, last in ends.values())
    if found != count or wrong or abs(rolled - total) > 1e-3:
        raise SystemExit(
            f"the account does not balance: {found} of {count} rows, wrong meters {wrong[:5]}, "
            f"rollups {rolled} Wh of {total} Wh"
        )
    return f"{found:,} rows, sum of deltas and of rollups = counters"


def _naive(settings: Mapping[str, str], count: int) -> float:
    """Messages/s of the usual shape: for each message a device look-up and one INSERT, each its own transaction."""
    sent, _ = messages("naive", count, seed=2)
    with cursor_of(settings["ENMS_DATABASE_URL"]) as cursor:
        cursor.execute(
            """CREATE TABLE bench_naive
               (timestamp timestamptz, meter text, power double precision, total double precision)"""
        )
        cursor.execute("CREATE INDEX ON bench_naive (meter, timestamp)")
        start = time.perf_counter()
        for topic, payload in sent:
            reading = json.loads(payload)
            cursor.execute("SELECT device_id FROM devices WHERE shelly_id = %s", (topic.split("/")[0],))
            cursor.execute(
                "INSERT INTO bench_naive VALUES (now(), %s, %s, %s)",
                (topic, reading["apower"], reading["aenergy"]["total"]),
            )
        seconds = time.perf_counter() - start
        cursor.execute("DROP TABLE bench_naive")
    return count / seconds


def throughput(settings: Mapping[str, str], count: int) -> list[Row]:
    """Publishes `count` messages as fast as they are taken and waits until all are committed."""
    prefix = f"blast{int(time.time())}"
    sent, ends = messages(prefix, count, seed=1)
    with cursor_of(settings["ENMS_DATABASE_URL"]) as cursor:
        publisher = connect(settings, prefix)
        # Every meter is seen once before the clock starts: registering a new meter is not what is measured.
        publisher.blast(sent[:METERS])
        wait_stored(cursor, prefix, METERS, 30)
        start = time.perf_counter()
        result = publisher.blast(sent[METERS:])
        wait_stored(cursor, prefix, count, 300)
        seconds = time.perf_counter() - start
        publisher.close()
        balance = _check(cursor, prefix, ends, count)
    naive = _naive(settings, NAIVE_MESSAGES)
    rate = (count - METERS) / seconds
    return [
        Row("one look-up and INSERT per message (no MQTT)", naive, "rows/s", 1.0, "baseline"),
        Row("MQTT to committed rows, accounting and rollups", rate, "msg/s", rate / naive, "baseline", balance),
        Row("generator's CPU", 100 * result.cpu_s / seconds, "% of a core"),
    ]


def latency(settings: Mapping[str, str], seconds: int, rate: float = 1000) -> list[Row]:
    """Publish-to-row time at a steady rate: a probe meter publishes 20 times a second and its rows are looked for."""
    prefix = f"steady{int(time.time())}"
    sent, _ = messages(prefix, int(seconds * rate), seed=3)
    background = threading.Thread(target=lambda: _blast_and_close(settings, prefix, sent, rate))
    background.start()
    delays = []
    with cursor_of(settings["ENMS_DATABASE_URL"]) as cursor:
        probe = connect(settings, prefix + "-probe")
        total = 5000.0
        end = time.perf_counter() + seconds - 1
        while time.perf_counter() < end:
            total += 0.002
            published = time.perf_counter()
            probe.blast([(f"{prefix}-probe/status/switch:0", status(total, 100))])
            while True:
                cursor.execute("SELECT base_wh FROM meter_state WHERE meter_id = %s", (f"{prefix}-probe/switch:0",))
                row = cursor.fetchone()
                if row and row[0] is not None and row[0] >= total - 1e-9:
                    break
                if time.perf_counter() - published > 10:
                    raise SystemExit("a probe reading did not arrive within 10 s")
                time.sleep(0.002)
            delays.append(1000 * (time.perf_counter() - published))
            time.sleep(0.05)
        probe.close()
    background.join()
    return [
        Row(f"publish to row at {rate:,.0f} msg/s, p50", percentile(delays, 0.5), "ms"),
        Row(
            f"publish to row at {rate:,.0f} msg/s, p99",
            percentile(delays, 0.99),
            "ms",
            note=f"{len(delays)} probes, bound 500 ms",
        ),
    ]


def _blast_and_close(settings: Mapping[str, str], client_id: str, sent: Messages, rate: float) -> None:
    publisher = connect(settings, client_id)
    publisher.blast(sent, rate=rate)
    publisher.close()
