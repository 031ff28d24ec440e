"""`GET /api/dpp_summary` through Nginx for a large fleet, against the SQL of the usual shape."""

from __future__ import annotations

import http.client
import time
from contextlib import closing
from urllib.parse import urlsplit

import psycopg2

from .report import Row, percentile

REQUESTS = 100
PAUSE_S = 0.05  # stay below the API's rate limit: it is not what is measured

# The usual shape: keys with time first, the latest row found by sorting, energy as MAX - MIN of the counter. It runs on a copy
# of the last three days only, which favours it.
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


def _get(
    connection: http.client.HTTPConnection, path: str, headers: dict[str, str]
) -> tuple[int, str | None, bytes, float]:
    start = time.perf_counter()
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    body = answer.read()
    return answer.status, answer.getheader("ETag"), body, 1000 * (time.perf_counter() - start)


def summary(settings: dict[str, str], printers: int) -> list[Row]:
    """Times the naive SQL (3 runs), answers made for the request, answers as a poller gets them (at most a second old) and 304s, on one connection."""
    with closing(psycopg2.connect(settings["ENMS_DATABASE_URL"])) as database:
        database.autocommit = True
        cursor = database.cursor()
        cursor.execute(NAIVE_TABLES)
        naive = []
        for _ in range(3):
            start = time.perf_counter()
            cursor.execute(NAIVE)
            cursor.fetchall()
            naive.append(1000 * (time.perf_counter() - start))
        cursor.execute("DROP TABLE bench_status, bench_energy")
    naive_ms = percentile(naive, 0.5)
    connection = http.client.HTTPConnection(urlsplit(settings["ENMS_HTTP_URL"]).netloc, timeout=30)
    for _ in range(10):
        _get(connection, "/api/dpp_summary", {})
        time.sleep(PAUSE_S)
    anew, full, unchanged, size = [], [], [], 0
    for _ in range(REQUESTS // 2):
        anew.append(_get(connection, "/api/dpp_summary", {"Cache-Control": "no-cache"})[3])
        time.sleep(PAUSE_S)
    for _ in range(REQUESTS):
        status, etag, body, ms = _get(connection, "/api/dpp_summary", {})
        if status != 200:
            raise SystemExit(f"dpp_summary answered {status}: {body[:200]!r}")
        full.append(ms)
        size = len(body)
        time.sleep(PAUSE_S)
        status, _, _, ms = _get(connection, "/api/dpp_summary", {"If-None-Match": etag or ""})
        if status == 304:
            unchanged.append(ms)
        time.sleep(PAUSE_S)
    rows = [
        Row("naive SQL (latest row by sort, MAX-MIN over 24 h)", naive_ms, "ms", 1.0, "baseline"),
        Row(
            "each answer made anew (Cache-Control: no-cache), p50",
            percentile(anew, 0.5),
            "ms",
            naive_ms / percentile(anew, 0.5),
            "baseline",
        ),
        Row(
            f"dpp_summary through Nginx, {printers} printers, p50",
            percentile(full, 0.5),
            "ms",
            naive_ms / percentile(full, 0.5),
            "baseline",
            f"{size / 1024:.0f} kB",
        ),
        Row(
            f"dpp_summary through Nginx, {printers} printers, p95",
            percentile(full, 0.95),
            "ms",
            naive_ms / percentile(full, 0.95),
            "baseline",
            "bound 25 ms, at most a second old",
        ),
    ]
    if unchanged:
        rows.append(
            Row(
                "answered 304, p95",
                percentile(unchanged, 0.95),
                "ms",
                naive_ms / percentile(unchanged, 0.95),
                "baseline",
                f"{len(unchanged)} of {REQUESTS}",
            )
        )
    return rows
