"""Speed of the analysis on the data of fleet_data.py, compared with the naive way in the same run."""

import http.client
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from .database import cursor_of
from .report import Row, percentile

RUNS = 10
NAIVE_DAYS = 7
TRAINING_ROWS = 20_000
DRIVERS = {"nozzle_temp_actual": True, "bed_temp_actual": True, "is_printing": True, "material": True}

PLACE = "bench-hall"
CLIMATE = """
SELECT record_environment(array_agg(%(place)s::text), array_agg(at), NULL,
                          array_agg(22 + 2 * sin(extract(epoch FROM at)::float8 / 13750)), array_agg(45::float8),
                          NULL, NULL)
FROM generate_series(%(end)s::timestamptz - interval '30 days', %(end)s::timestamptz, interval '1 minute') at
"""
# The usual way to the same data set: each reading asks for its status and its climate.
NAIVE = """
SELECT e.timestamp::text, e.power_watts, n.state, s.nozzle_temp_actual, s.bed_temp_actual, s.is_printing, s.material,
       c.indoor_temp_c
FROM series.energy e
LEFT JOIN LATERAL (SELECT * FROM series.device_status s
                   WHERE s.device_key = device_key(%(device)s) AND s.timestamp <= e.timestamp
                   AND s.timestamp >= e.timestamp - interval '5 minutes' ORDER BY s.timestamp DESC LIMIT 1) s ON true
LEFT JOIN states n USING (state_key)
LEFT JOIN LATERAL (SELECT * FROM series.environmental c WHERE c.location_key = location_key(%(place)s)
                   AND c.timestamp BETWEEN e.timestamp - interval '15 minutes' AND e.timestamp + interval '15 minutes'
                   ORDER BY abs(extract(epoch FROM c.timestamp - e.timestamp)) LIMIT 1) c ON true
WHERE e.meter_key = meter_key(%(meter)s) AND e.timestamp > %(end)s::timestamptz - make_interval(days => %(days)s)
  AND e.timestamp <= %(end)s
ORDER BY e.timestamp
"""
# … and a Python of its own gets the rows as JSON.
NAIVE_PYTHON = """
import json, sys
import pandas, xgboost
columns = ["at", "power", "state", "nozzle_temp_actual", "bed_temp_actual", "is_printing", "material", "temperature"]
rows = pandas.DataFrame(json.load(sys.stdin), columns=columns)
x = rows[["nozzle_temp_actual", "bed_temp_actual", "is_printing"]].astype(float)
model = xgboost.train({"max_depth": 6}, xgboost.DMatrix(x[::100], rows.power[::100]), 100)
print(json.dumps({"correlation": x.corrwith(rows.power).fillna(0).to_dict(),
                  "phases": rows.groupby("state").power.mean().to_dict(),
                  "predicted": model.predict(xgboost.DMatrix(x)).mean().item()}))
"""


def run(settings: Mapping[str, str]) -> list[Row]:
    """Times the naive way, analyze() in this process and POST /api/analyze through Nginx, the last two over 7 and 30
    days with a model and four drivers.
    """
    with cursor_of(settings["ENMS_DATABASE_URL"]) as cursor:
        cursor.execute("""
            SELECT a.device_id, a.meter_id, s.last_at,
                   (SELECT count(*) FROM series.energy e WHERE e.meter_key = meter_key(a.meter_id))
            FROM meter_assignments a JOIN meter_state s USING (meter_id)
            WHERE a.device_id LIKE 'Bench-%' ORDER BY a.device_id LIMIT 1""")
        found = cursor.fetchone()
        if found is None:
            raise SystemExit("The database has no bench fleet: fill it with tests/bench/fleet_data.py first.")
        device, meter, newest, count = found
        cursor.execute(CLIMATE, {"place": PLACE, "end": newest})
    os.environ.update(
        {name: value for name, value in settings.items() if name.startswith("ENMS_DB_") or name == "ENMS_STATE_DIR"}
    )
    _model_for_the_fleet(newest)
    naive_ms, rows_read = _naive(settings["ENMS_DATABASE_URL"], device, meter, newest)
    rows = [
        Row(
            f"naive: LATERAL per row, JSON, spawned Python, {NAIVE_DAYS} days",
            naive_ms,
            "ms",
            1.0,
            "baseline",
            f"{rows_read} rows",
        )
    ]
    for days in (7, 30):
        body = {
            "deviceId": device,
            "from": (newest - timedelta(days=days)).isoformat(),
            "to": newest.isoformat(),
            "selectedDrivers": DRIVERS,
            "cache": False,
        }
        # The naive way grows with the rows.
        baseline = naive_ms * days / NAIVE_DAYS
        note = f"{min(count, days * 8640)} readings"
        times, steps = _in_process(body)
        rows.append(
            Row(
                f"analyze() in process, {days} days, median of {RUNS}",
                times,
                "ms",
                baseline / times,
                "naive way",
                note + ", " + steps,
            )
        )
        through = _through_nginx(settings["ENMS_HTTP_URL"], body)
        rows.append(
            Row(
                f"POST /api/analyze through Nginx, {days} days, median of {RUNS}",
                through,
                "ms",
                baseline / through,
                "naive way",
                "bound " + ("250 ms" if days == 7 else "1 s"),
            )
        )
    return rows


def _model_for_the_fleet(newest: datetime) -> None:
    """Fits a model on half a day of the bench fleet and saves it, good or not: its cost is what is measured."""
    from analysis import candidates, models
    from analysis.core.database import Database
    from analysis.training_data import from_database

    data = from_database(Database(), newest - timedelta(hours=12), newest).thinned(TRAINING_ROWS)
    categories = data.categories()
    known = data.features(categories)
    fitted = candidates.fit("xgboost", candidates.SETTINGS["xgboost"][1], known.values, data.columns["power_w"], 0)
    contents: models.Contents = {
        "kind": "xgboost",
        "estimator": fitted.in_file(),
        "features": list(known.names),
        "categories": [list(categories.materials), list(categories.models)],
        "scaler": None,
        "version": "bench",
        "metrics": None,
        "fingerprint": "bench",
    }
    models.save(models.folder(), contents, {"version": "bench"})


def _naive(dsn: str, device: str, meter: str, newest: datetime) -> tuple[float, int]:
    """ms of the naive way, and how many rows it read."""
    with cursor_of(dsn) as cursor:
        begun = time.perf_counter()
        cursor.execute(NAIVE, {"device": device, "meter": meter, "place": PLACE, "end": newest, "days": NAIVE_DAYS})
        found = cursor.fetchall()
        subprocess.run(
            [sys.executable, "-c", NAIVE_PYTHON], input=json.dumps(found), text=True, capture_output=True, check=True
        )
        return 1000 * (time.perf_counter() - begun), len(found)


def _in_process(body: Mapping[str, Any]) -> tuple[float, str]:
    """Median ms of RUNS analyses, and how the middle one spent its time."""
    from analysis import service

    service.analyze(body)
    answers = []
    for _ in range(RUNS):
        begun = time.perf_counter()
        answer = service.analyze(body)
        answers.append((1000 * (time.perf_counter() - begun), answer["timing"]))
        if not answer["success"]:
            raise SystemExit(f"analyze() failed: {answer['error']}")
    middle = sorted(answers, key=lambda item: item[0])[RUNS // 2]
    steps = ", ".join(
        f"{name.removesuffix('_ms')} {value:.0f}"
        for name, value in middle[1].items()
        if name != "total_ms" and value >= 1
    )
    return statistics.median(ms for ms, _ in answers), steps


def _through_nginx(url: str, body: Mapping[str, Any]) -> float:
    """Median ms of RUNS requests on one connection."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
    times = []
    for _ in range(RUNS + 1):
        begun = time.perf_counter()
        connection.request("POST", "/api/analyze", json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read()
        if answer.status != 200:
            raise SystemExit(f"POST /api/analyze answered {answer.status}: {text[:200]!r}")
        times.append(1000 * (time.perf_counter() - begun))
    return percentile(times[1:], 0.5)
