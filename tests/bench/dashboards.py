"""Every panel's query of every dashboard over the whole data set, with all machines chosen, in the role of Grafana's data source."""

from __future__ import annotations

import json
import time
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import psycopg2

from grafana.substitute import expand

from .report import Row, percentile

BOARDS = Path(__file__).resolve().parents[2] / "grafana" / "dashboards"
RUNS = 5


def phases(settings: dict[str, str]) -> None:
    """Makes the hours per state that Housekeeping would have made day by day."""
    with closing(psycopg2.connect(settings["ENMS_DATABASE_URL"])) as connection:
        connection.autocommit = True
        cursor = connection.cursor()
        cursor.execute("UPDATE device_latest SET phases_dirty_from = (SELECT min(first_seen) FROM meters)")
        remaining = 1
        while remaining:
            cursor.execute("SELECT (refresh_phases(now(), 10) ->> 'remaining')::integer")
            remaining = cursor.fetchone()[0]
        cursor.execute("VACUUM ANALYZE printer_phase_1hour")


def dashboards(settings: dict[str, str], days: int) -> list[Row]:
    """The median of five runs of each panel, fetched whole."""
    phases(settings)
    rows = []
    login = {
        "user": "enms_grafana",
        "password": settings["ENMS_DB_GRAFANA_PASSWORD"],
        "host": settings["ENMS_DB_HOST"],
        "port": settings["ENMS_DB_PORT"],
    }
    with closing(psycopg2.connect(dbname=settings["ENMS_DB_NAME"], **login)) as connection:
        connection.autocommit = True
        cursor = connection.cursor()
        cursor.execute("SELECT max(last_at) FROM meter_state")
        end = cursor.fetchone()[0] + timedelta(seconds=1)
        start = end - timedelta(days=days)
        for path in sorted(BOARDS.glob("*.json")):
            board, chosen = json.loads(path.read_text()), {}
            for variable in board["templating"]["list"]:
                cursor.execute(expand(variable["query"], chosen, start, end))
                values = [value for _, value in cursor.fetchall()]
                chosen[variable["name"]] = (
                    values if variable["includeAll"] else [variable.get("current", {}).get("value") or values[0]]
                )
            for panel in board["panels"]:
                if panel["type"] != "row":
                    sql, times = expand(panel["targets"][0]["rawSql"], chosen, start, end), []
                    for _ in range(RUNS):
                        began = time.perf_counter()
                        cursor.execute(sql)
                        found = len(cursor.fetchall())
                        times.append(1000 * (time.perf_counter() - began))
                    median = percentile(times, 0.5)
                    rows.append(
                        Row(
                            f"{path.stem}: {panel['title']}",
                            median,
                            "ms",
                            note=f"{found} rows" + ("   OVER 200 ms" if median > 200 else ""),
                        )
                    )
    return rows
