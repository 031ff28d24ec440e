"""`GET /api/dpp_summary` through Nginx for a large fleet, against the SQL of the usual shape."""

import http.client
import time
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

from .database import cursor_of
from .report import Row, percentile

REQUESTS = 100
PAUSE_S = 0.05  # stay below the API's rate limit: it is not what is measured

# The usual shape: keys with time first, the latest row found by sorting, energy as MAX - MIN of the counter. It runs on
# a copy of the last three days only, which favours it.
NAIVE_TABLES = """
CREATE TABLE bench_status AS SELECT * FROM printer_status WHERE timestamp > now() - interval '3 days';
CREATE TABLE bench_energy AS SELECT timestamp, device_id, power_watts, energy_total_wh FROM energy_data
    WHERE timestamp > now() - interval '3 days' AND device_id IS NOT NULL;
ALTER TABLE bench_status ADD PRIMARY KEY (timestamp, device_id);
ALTER TABLE bench_energy ADD PRIMARY KEY (timestamp, device_id);
ANALYZE bench_status, bench_energy
"""
NAIVE = """
SELECT d.device_id, s.state, s.nozzle_temp_actual, s.progress_percent, p.power_watts, e.wh
FROM devices d
LEFT JOIN (SELECT DISTINCT ON (device_id) * FROM bench_status ORDER BY device_id, timestamp DESC) s USING (device_id)
LEFT JOIN (SELECT DISTINCT ON (device_id) * FROM bench_energy ORDER BY device_id, timestamp DESC) p USING (device_id)
LEFT JOIN (SELECT device_id, max(energy_total_wh) - min(energy_total_wh) AS wh FROM bench_energy
           WHERE timestamp > now() - interval '24 hours' GROUP BY device_id) e USING (device_id)
"""


class Answer(NamedTuple):
    """An HTTP answer, and how long it took."""

    status: int
    etag: str | None
    body: bytes
    ms: float


def _get(connection: http.client.HTTPConnection, path: str, headers: dict[str, str]) -> Answer:
    start = time.perf_counter()
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    body = answer.read()
    return Answer(answer.status, answer.getheader("ETag"), body, 1000 * (time.perf_counter() - start))


def _naive_ms(settings: Mapping[str, str]) -> float:
    """Median of three runs of the naive SQL."""
    with cursor_of(settings["ENMS_DATABASE_URL"]) as cursor:
        cursor.execute(NAIVE_TABLES)
        times = []
        for _ in range(3):
            start = time.perf_counter()
            cursor.execute(NAIVE)
            cursor.fetchall()
            times.append(1000 * (time.perf_counter() - start))
        cursor.execute("DROP TABLE bench_status, bench_energy")
    return percentile(times, 0.5)


def summary(settings: Mapping[str, str], printers: int) -> list[Row]:
    """Times the naive SQL, answers made for the request, answers as a poller gets them (at most a second old) and 304s,
    on one connection.
    """
    naive_ms = _naive_ms(settings)
    connection = http.client.HTTPConnection(urlsplit(settings["ENMS_HTTP_URL"]).netloc, timeout=30)
    for _ in range(10):
        _get(connection, "/api/dpp_summary", {})
        time.sleep(PAUSE_S)
    new, full, unchanged, size = [], [], [], 0
    for _ in range(REQUESTS // 2):
        new.append(_get(connection, "/api/dpp_summary", {"Cache-Control": "no-cache"}).ms)
        time.sleep(PAUSE_S)
    for _ in range(REQUESTS):
        answer = _get(connection, "/api/dpp_summary", {})
        if answer.status != 200:
            raise SystemExit(f"dpp_summary answered {answer.status}: {answer.body[:200]!r}")
        full.append(answer.ms)
        size = len(answer.body)
        time.sleep(PAUSE_S)
        again = _get(connection, "/api/dpp_summary", {"If-None-Match": answer.etag or ""})
        if again.status == 304:
            unchanged.append(again.ms)
        time.sleep(PAUSE_S)

    def row(name: str, ms: float, note: str = "") -> Row:
        return Row(name, ms, "ms", naive_ms / ms, "baseline", note)

    through = f"dpp_summary through Nginx, {printers} printers"
    rows = [
        Row("naive SQL (latest row by sort, MAX-MIN over 24 h)", naive_ms, "ms", 1.0, "baseline"),
        row("each answer made again (Cache-Control: no-cache), p50", percentile(new, 0.5)),
        row(f"{through}, p50", percentile(full, 0.5), f"{size / 1024:.0f} kB"),
        row(f"{through}, p95", percentile(full, 0.95), "bound 25 ms, at most a second old"),
    ]
    if unchanged:
        rows.append(row("answered 304, p95", percentile(unchanged, 0.95), f"{len(unchanged)} of {REQUESTS}"))
    return rows
