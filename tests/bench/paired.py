"""This checkout against another one, measured in turn on two stacks of the same run: `./enms bench --against FOLDER`.

The machine's speed may drift during a run, so only pairs are compared: each round measures both sides one after the
other, in alternating order, and gives one ratio per figure. What is printed is the geometric mean of the ratios with
its 90 % interval (Student's t over the logarithms); above 1 this checkout is faster.
"""

import http.client
import json
import math
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from common.files import ROOT

from .dashboards import panels
from .database import cursor_of, first
from .gcode_file import OURS, make_file
from .ingest import METERS, MOST_MWH, connect, messages
from .one_analysis import DRIVERS
from .stack import enms
from .storage import import_seconds, write_readings

CONFIDENCE = 0.90
DAYS = 14
PRINTERS = 100
FILL = """
import sys
from tests.bench import fleet_data
fleet_data.generate(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
"""
# Each checkout knows how its own hours per state are made.
PHASES = """
import json, sys
from tests.bench import dashboards
dashboards.phases(json.loads(sys.argv[1]))
"""
IMPORTED_ROWS = 60_000
GCODE = "big.gcode"
ACCOUNTED = """
SELECT count(*) FROM unnest(%s::text[], %s::float8[]) AS sent (meter_id, wh) JOIN meter_state s USING (meter_id)
WHERE s.base_wh >= sent.wh - 1e-6"""
NEWEST = """
SELECT max(s.last_at) FROM meter_state s JOIN meter_assignments a USING (meter_id) WHERE a.device_id = 'Bench-001'"""


@dataclass
class Side:
    """A running stack of one checkout; how many messages it was sent and how many files it imported."""

    checkout: Path
    run_dir: Path
    settings: dict[str, str]
    ingested: int = 0
    imported: int = 0

    def python(self, code: str, *arguments: str) -> str:
        """Runs code of this checkout in its own environment; returns what it printed."""
        done = subprocess.run(
            [self.settings["ENMS_PYTHON"], "-c", code, *arguments],
            cwd=self.checkout,
            env={**os.environ, **self.settings, "PYTHONPATH": str(self.checkout)},
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise SystemExit(f"{self.checkout}: {done.stderr[-2000:]}")
        return done.stdout


# Each of the following measures one side once.


def ingest_rate(side: Side, count: int) -> float:
    """Messages a second from the first publish until all are accounted; the same meters in every round."""
    start_wh = 1000.0 + side.ingested / METERS * MOST_MWH / 1000
    sent, ends = messages("pair", count, seed=1, start_wh=start_wh)
    side.ingested += count
    publisher = connect(side.settings, "pair")
    with cursor_of(side.settings["ENMS_DATABASE_URL"]) as cursor:
        try:
            publisher.blast(sent[:METERS])  # new meters are registered: not what is measured
            time.sleep(2)
            began = time.perf_counter()
            publisher.blast(sent[METERS:])
            while first(cursor, ACCOUNTED, (list(ends), [last for _, last in ends.values()]))[0] < METERS:
                if time.perf_counter() - began > 60:
                    raise SystemExit(f"{side.checkout}: not all of {count:,} readings were accounted within 60 s")
                time.sleep(0.02)
            return (count - METERS) / (time.perf_counter() - began)
        finally:
            publisher.close()


def _request(side: Side, method: str, path: str, body: Any = None, **headers: str) -> float:
    """Milliseconds of one request on a connection of its own. Stops the bench when it is not answered with 200."""
    connection = http.client.HTTPConnection(urlsplit(side.settings["ENMS_HTTP_URL"]).netloc, timeout=60)
    began = time.perf_counter()
    connection.request(
        method, path, json.dumps(body) if body else None, {"Content-Type": "application/json", **headers}
    )
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    if answer.status != 200:
        raise SystemExit(f"{path} returned {answer.status}: {text[:200]!r}")
    return 1000 * (time.perf_counter() - began)


def summary_ms(side: Side, requests: int) -> float:
    """Median of summaries that are made for the request."""
    times = []
    for _ in range(requests):
        times.append(_request(side, "GET", "/api/dpp_summary", **{"Cache-Control": "no-cache"}))
        time.sleep(0.02)
    return statistics.median(times)


def analysis_ms(side: Side, requests: int, newest: datetime) -> float:
    """Median of analyses of one printer over 7 days, with a model and four drivers, cache off."""
    body = {
        "deviceId": "Bench-001",
        "from": (newest - timedelta(days=7)).isoformat(),
        "to": newest.isoformat(),
        "selectedDrivers": DRIVERS,
        "cache": False,
    }
    return statistics.median(_request(side, "POST", "/api/analyze", body) for _ in range(requests))


def dashboards_ms(side: Side) -> float:
    """The panels of all dashboards of that checkout one after the other, of each the median of three runs."""
    return sum(row.value for row in panels(side.settings, DAYS, side.checkout / "grafana" / "dashboards", 3))


def import_rate(side: Side, folder: Path) -> float:
    """Lines a second of `./enms import`, the whole command; each file is of meters that the stack does not know."""
    side.imported += 1
    path = folder / f"readings-{side.imported}.csv"
    if not path.exists():
        write_readings(path, IMPORTED_ROWS, f"pair-import-{side.imported}")
    seconds = import_seconds(path, side.run_dir, side.checkout, side.settings["ENMS_ENV_DIR"])
    return IMPORTED_ROWS / seconds


def gcode_s(side: Side, file: Path) -> float:
    """Seconds of one whole G-code analysis with preview, in a fresh process."""
    return json.loads(side.python(OURS, str(file)).splitlines()[-1])[0]


def interval(ratios: list[float]) -> tuple[float, float, float]:
    """(geometric mean, lower, upper) of ratios; the bounds are those of the 90 % interval."""
    from scipy.stats import t

    logs = [math.log(ratio) for ratio in ratios]
    half = t.ppf((1 + CONFIDENCE) / 2, len(logs) - 1) * statistics.stdev(logs) / math.sqrt(len(logs))
    middle = statistics.mean(logs)
    return math.exp(middle), math.exp(middle - half), math.exp(middle + half)


def run(other: Path, sections: set[str], rounds: int, run_dir: Path) -> None:
    """Starts a stack of each checkout with the same fleet, measures them in turn and prints a line per figure.

    `sections`: which of the bench's sections are compared; all but `latency` and `storage` can be.
    """
    filled = bool(sections & {"summary", "analysis", "dashboards"})
    sides: list[Side] = []
    try:
        for name, checkout, env_dir in (("this", ROOT, None), ("other", other, str(other / ".run/env"))):
            place = run_dir / f"bench-{name}"
            print(f"{name}: {checkout}" + f", {PRINTERS} printers x {DAYS} days …" * filled, flush=True)
            enms(place, "up", "--no-demo", "--fresh", checkout=checkout, env_dir=env_dir)
            sides.append(Side(checkout, place, json.loads((place / "settings.json").read_text())))
            if filled:
                sides[-1].python(FILL, sides[-1].settings["ENMS_DATABASE_URL"], str(PRINTERS), str(DAYS))
            if "dashboards" in sections:
                sides[-1].python(PHASES, json.dumps(sides[-1].settings))
        with tempfile.TemporaryDirectory(prefix="enms-paired-") as folder:
            make_file(Path(folder) / GCODE, 60)
            compare(sides[0], sides[1], sections, rounds, Path(folder))
    finally:
        for side in sides:
            enms(side.run_dir, "down", checkout=side.checkout, env_dir=side.settings["ENMS_ENV_DIR"])


def compare(this: Side, other: Side, sections: set[str], rounds: int, folder: Path) -> None:
    """Measures the figures of the sections in pairs and prints them; `folder` has the G-code and takes other files."""
    with cursor_of(this.settings["ENMS_DATABASE_URL"]) as cursor:
        (newest,) = first(cursor, NEWEST)
    figures: dict[str, tuple[str, Callable[[Side], float], bool, str]] = {  # name, measure, is more better, unit
        "ingest": ("ingest", lambda side: ingest_rate(side, 160_000), True, "messages/s"),
        "summary": ("summary made for the request", lambda side: summary_ms(side, 40), False, "ms"),
        "analysis": ("analysis of 7 days", lambda side: analysis_ms(side, 7, newest), False, "ms"),
        "dashboards": ("all panels of the dashboards", dashboards_ms, False, "ms"),
        "import": (f"import of {IMPORTED_ROWS:,} readings", lambda side: import_rate(side, folder), True, "lines/s"),
        "gcode": ("G-code, 60 MB", lambda side: gcode_s(side, folder / GCODE), False, "s"),
    }
    print(f"\n{'':32}{'this':>12}{'other':>12}{'ratio':>8}   90 % interval, {rounds} pairs", flush=True)
    for section, (name, measure, more_is_better, unit) in figures.items():
        if section not in sections:
            continue
        mine, theirs = [], []
        for number in range(-1, rounds):  # the first pair only warms up
            if number % 2:
                pair = measure(this), measure(other)
            else:
                pair = tuple(reversed((measure(other), measure(this))))
            if number >= 0:
                mine.append(pair[0])
                theirs.append(pair[1])
        ratios = [a / b if more_is_better else b / a for a, b in zip(mine, theirs, strict=True)]
        middle, low, high = interval(ratios)
        print(
            f"  {name:<30}{statistics.median(mine):>12,.2f}{statistics.median(theirs):>12,.2f}"
            f"{middle:>8.3f}   {low:.3f} … {high:.3f}   {unit}",
            flush=True,
        )
