"""Parts are killed (SIGKILL) while 100 plugs send 200 messages a second; afterwards the books must be complete.

What the broker acknowledged must be in the database exactly once, nobody helps, and the time that each part needs to be
back is measured. The broker itself is the exception: what it acknowledged within its last second may be gone, so the
loss is counted, and the counters correct the sums.

The short version kills each part once within a minute; `--long` adds five minutes of kills at random, a database that
is away for two minutes, and the broker.
"""

import contextlib
import json
import os
import random
import signal
import socket
import threading
import time
from collections import Counter

import pytest

from tests.support.enms import children
from tests.support.http import call
from tests.support.meter_publisher import MeterPublisher, Reading
from tests.support.waiting import wait_for

RATE = 200
PARTS = ("postgres", "nodered", "api", "gunicorn worker", "nginx")


def part_pid(enms, part: str) -> int:
    """The process to kill: a service's leader, or one of its workers."""
    if part == "python worker":
        return next(pid for pid, command in children(enms.pid("nodered")) if "python_worker" in command)
    if part == "gunicorn worker":
        return children(enms.pid("api"))[0][0]
    return enms.pid(part)


def parts(enms) -> list[str]:
    """What there is to kill: the Python worker runs from the first flow on that calls it.

    (nodered/nodes/python-pool.test.js kills it alone.)
    """
    worker = any("python_worker" in command for _, command in children(enms.pid("nodered")))
    return [*PARTS, *(["python worker"] if worker else [])]


def answers(enms, part: str) -> bool:
    """Whether the part does its work for others."""
    if part == "postgres":
        return enms.value("SELECT 1") == 1
    if part in ("nodered", "python worker"):
        port = enms.settings["ENMS_NODERED_PORT"]
        return call("GET", f"http://127.0.0.1:{port}/api/devices", timeout=2).status == 200
    if part in ("api", "gunicorn worker"):
        return (
            call("GET", f"http://127.0.0.1:{enms.settings['ENMS_API_PORT']}/api/dpp_summary", timeout=2).status == 200
        )
    if part == "mosquitto":
        with socket.create_connection((enms.settings["ENMS_MQTT_HOST"], int(enms.settings["ENMS_MQTT_PORT"])), 1):
            return True
    return enms.get("/api/dpp_summary", timeout=2).status == 200


def kill(enms, part: str) -> float:
    """Kills a part and waits until it does its work again; returns the seconds until then."""
    pid = part_pid(enms, part)
    os.kill(pid, signal.SIGKILL)
    begin = time.monotonic()
    wait_back(enms, part, pid, 60)
    return time.monotonic() - begin


def wait_back(enms, part: str, killed: int, timeout: float) -> None:
    """Waits until the part does its work again in another process."""
    back = lambda: part_pid(enms, part) != killed and answers(enms, part)
    wait_for(f"{part} to be back", back, timeout, every=0.05)


class Follower(threading.Thread):
    """Watches the newest reading in the database, so that the time until data flow again can be shown."""

    def __init__(self, enms, prefix: str):
        super().__init__(daemon=True)
        self.enms, self.prefix, self.stopped = enms, prefix, threading.Event()
        self.newest = 0.0
        self.longest_lag = 0.0

    def run(self):
        """Once in 0.2 s: how old is the newest reading?"""
        while not self.stopped.wait(0.2):
            try:
                newest = self.enms.value(
                    "SELECT extract(epoch FROM max(last_at))::float8 FROM meter_state WHERE meter_id LIKE %s",
                    self.prefix + "-%",
                )
            except Exception:  # the database is what was killed
                newest = None
            self.newest = max(self.newest, newest or 0.0)
            if self.newest:
                self.longest_lag = max(self.longest_lag, time.time() - self.newest)


def ledger(enms, prefix: str) -> Counter[Reading]:
    """How often each (meter, counter) is in the database."""
    return Counter(
        {
            (row["meter_id"], round(row["energy_total_wh"], 1)): row["n"]
            for row in enms.rows(
                """SELECT meter_id, energy_total_wh, count(*) AS n FROM energy_data
                   WHERE meter_id LIKE %s AND energy_total_wh IS NOT NULL GROUP BY 1, 2""",
                prefix + "-%",
            )
        }
    )


def wait_drained(enms, publisher: MeterPublisher, timeout: float = 120) -> Counter[Reading]:
    """Waits until everything accepted has arrived, or nothing more comes for 10 s; returns the ledger."""
    accepted, last, since = set(publisher.accepted), -1, time.monotonic()
    deadline = time.monotonic() + timeout
    while True:
        books = ledger(enms, publisher.prefix)
        if (
            accepted <= books.keys()
            or time.monotonic() > deadline
            or (len(books) == last and time.monotonic() - since > 10)
        ):
            return books
        if len(books) != last:
            last, since = len(books), time.monotonic()
        time.sleep(0.5)


def assert_complete(enms, publisher: MeterPublisher) -> None:
    """Everything accepted is there exactly once, and the sums are those of the counters."""
    books = wait_drained(enms, publisher)
    missing = set(publisher.accepted) - books.keys()
    doubled = {key: n for key, n in books.items() if n > 1}
    assert not missing, f"{len(missing)} of {len(publisher.accepted)} accepted readings are lost: {sorted(missing)[:5]}"
    assert not doubled, f"{len(doubled)} readings are in the database more than once: {sorted(doubled.items())[:5]}"
    assert_balanced(enms, publisher.prefix)


def assert_balanced(enms, prefix: str) -> None:
    """Σ deltas = last − first counter of every meter, Σ rollups = Σ deltas."""
    off = enms.rows(
        """
        SELECT meter_id, sum(energy_delta_wh) AS deltas, max(energy_total_wh) - min(energy_total_wh) AS counter
        FROM energy_data WHERE meter_id LIKE %s GROUP BY 1
        HAVING abs(sum(energy_delta_wh) - (max(energy_total_wh) - min(energy_total_wh))) > 1e-6""",
        prefix + "-%",
    )
    assert not off, off[:5]
    sums = enms.rows(
        """SELECT (SELECT sum(energy_delta_wh) FROM energy_data WHERE meter_id LIKE %s) AS deltas,
                  (SELECT sum(energy_wh) FROM energy_readings_1min WHERE meter_id LIKE %s) AS minutes""",
        prefix + "-%",
        prefix + "-%",
    )[0]
    assert sums["minutes"] == pytest.approx(sums["deltas"], abs=1e-4)


@pytest.fixture
def publisher(enms):
    """200 messages a second from 100 plugs that belong to this test alone."""
    sender = MeterPublisher(enms.settings, f"kill-{int(time.time())}", meters=100, rate=RATE)
    sender.start()
    wait_for("the first readings", lambda: len(ledger(enms, sender.prefix)) > 100, 20)
    yield sender
    sender.stop()


def recovery_lines(seconds: dict[str, list[float]]) -> list[str]:
    """A line for each part: how often it was killed, and how soon it was back."""
    return [
        f"{part:16} {len(times):3} kills   back after {min(times):5.2f} … {max(times):5.2f} s"
        for part, times in seconds.items()
    ]


def test_each_part_killed_once_loses_nothing(enms, publisher, figures):
    """One after the other, in mid-batch, 4 s apart."""
    seconds: dict[str, list[float]] = {}
    follower = Follower(enms, publisher.prefix)
    follower.start()
    for part in parts(enms):
        seconds[part] = [kill(enms, part)]
        time.sleep(4)
    follower.stopped.set()
    publisher.stop()
    assert_complete(enms, publisher)
    figures(
        "Killed once each at 200 messages/s",
        *recovery_lines(seconds),
        f"accepted {len(publisher.accepted)} readings, each stored once; "
        f"the newest reading was never older than {follower.longest_lag:.1f} s",
    )


@pytest.mark.long
def test_random_kills_for_five_minutes_lose_nothing(enms, publisher, figures):
    """At random times, also two parts at once."""
    dice, victims = random.Random(20), parts(enms)
    seconds: dict[str, list[float]] = {}
    until = time.monotonic() + 300
    while time.monotonic() < until:
        time.sleep(dice.uniform(1, 9))
        chosen = dice.sample(victims, dice.choice((1, 1, 2)))
        pids = {}
        for part in chosen:
            try:
                pids[part] = part_pid(enms, part)
                os.kill(pids[part], signal.SIGKILL)
            except (StopIteration, IndexError, AssertionError, ProcessLookupError):
                continue  # it went down with the other one
        begin = time.monotonic()
        for part, pid in pids.items():
            wait_back(enms, part, pid, 90)
            seconds.setdefault(part, []).append(time.monotonic() - begin)
    publisher.stop()
    assert_complete(enms, publisher)
    figures(
        "Killed at random for 5 minutes at 200 messages/s",
        *recovery_lines(seconds),
        f"accepted {len(publisher.accepted)} readings, each stored once",
    )


@pytest.mark.long
def test_two_minutes_without_the_database_drain_in_order(enms, publisher, figures):
    """The supervisor is stopped, so that PostgreSQL stays dead; then the spool is replayed in the order of arrival."""
    supervisor = json.loads((enms.run_dir / "supervisor.json").read_text())["pid"]
    os.kill(supervisor, signal.SIGSTOP)
    try:
        away = time.time()
        for pid, _ in children(enms.pid("postgres")):
            with contextlib.suppress(ProcessLookupError):  # it ended by itself
                os.kill(pid, signal.SIGKILL)
        enms.kill("postgres")
        time.sleep(20)
        unavailable = enms.get("/api/dpp_summary", timeout=20)
        assert unavailable.status == 503 and "error" in unavailable.json()
        time.sleep(100)
    finally:
        os.kill(supervisor, signal.SIGCONT)
    back = time.time()
    wait_for("the database", lambda: answers(enms, "postgres"), 60)
    wait_for("the summary", lambda: answers(enms, "nginx"), 30)
    wait_for(
        "the spool to be drained",
        lambda: (
            enms.value(
                "SELECT extract(epoch FROM now() - min(last_at))::float8 FROM meter_state WHERE meter_id LIKE %s",
                publisher.prefix + "-%",
            )
            < 3
        ),
        90,
    )
    drained = time.time()
    time.sleep(3)
    publisher.stop()
    assert_complete(enms, publisher)
    backwards = enms.value(
        """
        SELECT count(*) FROM (SELECT xmin::text::bigint AS written,
                                     lag(xmin::text::bigint) OVER (PARTITION BY meter_id ORDER BY timestamp) AS before
                              FROM energy_data WHERE meter_id LIKE %s
                                AND timestamp BETWEEN to_timestamp(%s) AND to_timestamp(%s)) w
        WHERE written < before""",
        publisher.prefix + "-%",
        away,
        drained,
    )
    assert backwards == 0
    figures(
        "Database away for two minutes",
        f"drained {drained - back:.1f} s after its start; accepted {len(publisher.accepted)} readings, "
        "each stored once, none written before an older one of its meter",
    )


@pytest.mark.long
def test_a_killed_broker_loses_only_what_is_counted_and_the_counters_correct_it(enms, publisher, figures):
    """Three kills; readings that it had acknowledged may be gone, the energy is not."""
    seconds = []
    for _ in range(3):
        time.sleep(6)
        seconds.append(kill(enms, "mosquitto"))
    time.sleep(8)
    publisher.stop()
    books = wait_drained(enms, publisher)
    lost = set(publisher.accepted) - books.keys()
    assert_balanced(enms, publisher.prefix)
    newest = max(counter for _, counter in publisher.accepted)
    assert {counter for (_, counter) in books} >= {newest}
    figures(
        "Broker killed three times at 200 messages/s",
        f"back after {min(seconds):.2f} … {max(seconds):.2f} s",
        f"{len(lost)} of {len(publisher.accepted)} acknowledged readings lost; "
        f"{sum(n > 1 for n in books.values())} stored twice",
        "Σ deltas = counter for every meter",
    )
    assert len(lost) < 3 * RATE * 2, "more than two seconds of readings were lost for each kill"
