"""Every panel's query of every dashboard over the whole data set, with all machines chosen, in the role of Grafana's
data source.
"""

import json
import time
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg2.extensions
from psycopg2.extensions import make_dsn

from common.files import ROOT
from grafana.substitute import expand

from .database import cursor_of, first
from .report import Row, percentile

BOARDS = ROOT / "grafana" / "dashboards"
RUNS = 5


def phases(settings: Mapping[str, str]) -> None:
    """Makes the hours per state that Housekeeping would have made day by day."""
    with cursor_of(settings["ENMS_DATABASE_URL"]) as cursor:
        cursor.execute("UPDATE device_latest SET phases_dirty_from = (SELECT min(first_seen) FROM meters)")
        while first(cursor, "SELECT (refresh_phases(now(), 10) ->> 'remaining')::integer")[0]:
            pass
        cursor.execute("VACUUM ANALYZE series.device_state_1hour")


def dashboards(settings: Mapping[str, str], days: int) -> list[Row]:
    """The median of each panel over `days`, once the hours per state are there."""
    phases(settings)
    return panels(settings, days, BOARDS, RUNS)


def panels(settings: Mapping[str, str], days: int, boards: Path, runs: int) -> list[Row]:
    """The median of `runs` runs of each panel of the dashboards in a folder, fetched whole."""
    dsn = make_dsn(
        user="enms_grafana",
        password=settings["ENMS_DB_GRAFANA_PASSWORD"],
        host=settings["ENMS_DB_HOST"],
        port=settings["ENMS_DB_PORT"],
        dbname=settings["ENMS_DB_NAME"],
    )
    with cursor_of(dsn) as cursor:
        end = first(cursor, "SELECT max(last_at) FROM meter_state")[0] + timedelta(seconds=1)
        start = end - timedelta(days=days)
        return [
            row
            for path in sorted(boards.glob("*.json"))
            for row in _panels(cursor, path.stem, json.loads(path.read_text()), start, end, runs)
        ]


def _panels(
    cursor: psycopg2.extensions.cursor, name: str, board: dict[str, Any], start: datetime, end: datetime, runs: int
) -> Iterator[Row]:
    chosen: dict[str, list[str]] = {}
    for variable in board["templating"]["list"]:
        cursor.execute(expand(variable["query"], chosen, start, end))
        values = [value for _, value in cursor.fetchall()]
        chosen[variable["name"]] = (
            values if variable["includeAll"] else [variable.get("current", {}).get("value") or values[0]]
        )
    for panel in board["panels"]:
        if panel["type"] == "row":
            continue
        sql, times, found = expand(panel["targets"][0]["rawSql"], chosen, start, end), [], 0
        for _ in range(runs):
            began = time.perf_counter()
            cursor.execute(sql)
            found = len(cursor.fetchall())
            times.append(1000 * (time.perf_counter() - began))
        median = percentile(times, 0.5)
        note = f"{found} rows" + ("   OVER 200 ms" if median > 200 else "")
        yield Row(f"{name}: {panel['title']}", median, "ms", note=note)
