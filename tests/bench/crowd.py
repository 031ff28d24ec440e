"""What many analyses at once do to the rest: all are answered, readings are on time, Node-RED's event loop is free and
memory is bounded.
"""

import http.client
import json
import os
import subprocess
import threading
import time
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

from tests.support.enms import children

from . import ingest
from .one_analysis import DRIVERS
from .report import Row, percentile

AT_ONCE = 20
RATE = 1000  # readings a second meanwhile


def empty_call(settings: dict[str, str]) -> list[Row]:
    """Times warm calls of an empty function through the pool of the python-function node."""
    printed = subprocess.run(
        [settings["ENMS_NODE"], str(Path(__file__).with_name("python_pool.js"))],
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    times = json.loads(printed)
    return [
        Row(
            "warm call of an empty function, p95", percentile(times, 0.95), "ms", note=f"{len(times)} calls, bound 5 ms"
        )
    ]


def crowd(settings: dict[str, str], seconds: int) -> list[Row]:
    """`AT_ONCE` clients, each with a printer of the bench fleet, ask again and again for `seconds`; meanwhile the
    latency of readings is measured.
    """
    answers: list[tuple[int, float]] = []
    lags: list[float] = []
    end = time.monotonic() + seconds
    threads = [
        threading.Thread(target=_ask, args=(settings, f"Bench-{n:03}", end, answers)) for n in range(1, AT_ONCE + 1)
    ]
    threads.append(threading.Thread(target=_event_loop, args=(settings, end, lags)))
    for thread in threads:
        thread.start()
    on_time = ingest.latency(settings, seconds, RATE)
    for thread in threads:
        thread.join()
    statuses = Counter(status for status, _ in answers)
    times = [ms for _, ms in answers]
    nodered, workers = _memory(settings)
    return [
        Row(
            f"{AT_ONCE} analyses at once, median",
            percentile(times, 0.5),
            "ms",
            note=f"{len(answers)} asked: " + ", ".join(f"{count} x {status}" for status, count in statuses.items()),
        ),
        Row(f"{AT_ONCE} analyses at once, slowest", max(times), "ms"),
        *(Row(f"meanwhile, {row.name}", row.value, row.unit, note=row.note) for row in on_time),
        Row(
            "meanwhile, Node-RED's event loop late by at most",
            max(lags),
            "ms",
            note=f"p99 {percentile(lags, 0.99):.0f} ms of {len(lags)} looks, bound 50 ms",
        ),
        Row("memory of Node-RED", nodered, "MB"),
        Row(
            f"memory of its {len(workers)} Python workers",
            sum(workers),
            "MB",
            note=", ".join(f"{size:.0f}" for size in workers),
        ),
    ]


def _ask(settings: dict[str, str], device: str, end: float, answers: list[tuple[int, float]]) -> None:
    """Appends (status, ms) of each analysis until `end`."""
    connection = http.client.HTTPConnection(urlsplit(settings["ENMS_HTTP_URL"]).netloc, timeout=60)
    body = {"deviceId": device, "timeRange": "7d", "selectedDrivers": DRIVERS, "cache": False}
    while time.monotonic() < end:
        begun = time.perf_counter()
        connection.request("POST", "/api/analyze", json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        answer.read()
        answers.append((answer.status, 1000 * (time.perf_counter() - begun)))


def _event_loop(settings: dict[str, str], end: float, lags: list[float]) -> None:
    """Appends how late the event loop came to its work (ms, by its own clock), several times a second until `end`."""
    connection = http.client.HTTPConnection(f"127.0.0.1:{settings['ENMS_NODERED_PORT']}", timeout=60)
    while time.monotonic() < end:
        connection.request("GET", "/api/nodered/health")
        lags.append(json.loads(connection.getresponse().read())["event_loop_max_ms"])
        time.sleep(0.2)


def _memory(settings: dict[str, str]) -> tuple[float, list[float]]:
    """Resident MB of Node-RED and of each of its Python workers."""
    pid = json.loads(Path(settings["ENMS_RUN_DIR"], "supervisor.json").read_text())["services"]["nodered"]["pid"]
    megabytes = lambda process: int(Path(f"/proc/{process}/statm").read_text().split()[1]) * 4096 / 2**20
    return megabytes(pid), sorted(megabytes(child) for child, command in children(pid) if "python_worker.py" in command)
