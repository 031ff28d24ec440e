"""A dashboard of rows of panels: numbers them and lays them out."""

from collections.abc import Iterable, Sequence

from . import config
from .config import Json
from .links import dashboard_links

COLUMNS = 24
Row = tuple[str, tuple[Json, ...]]  # a heading and the panels below it


def row(title: str, *panels: Json) -> Row:
    """A heading and the panels below it."""
    return title, panels


def laid_out(rows: Iterable[Row]) -> list[Json]:
    """All panels with their numbers and places.

    Panels flow from left to right; a line is as high as its highest panel.
    """
    panels, number, y = [], 0, 0
    for heading, members in rows:
        number += 1
        panels.append(
            {
                "id": number,
                "type": "row",
                "title": heading,
                "collapsed": False,
                "gridPos": {"h": 1, "w": COLUMNS, "x": 0, "y": y},
                "panels": [],
            }
        )
        y += 1
        x = height = 0
        for member in members:
            place = member["gridPos"]
            if x + place["w"] > COLUMNS:
                x, y, height = 0, y + height, 0
            number += 1
            panels.append({"id": number, **member, "gridPos": {"h": place["h"], "w": place["w"], "x": x, "y": y}})
            x, height = x + place["w"], max(height, place["h"])
        y += height
    return panels


def dashboard(
    uid: str,
    title: str,
    description: str,
    variables: Sequence[Json],
    rows: Sequence[Row],
    time: tuple[str, str] = ("now-24h", "now"),
    refresh: str = config.REFRESH,
) -> Json:
    """The dashboard's JSON; `time` is the range that it opens with."""
    return {
        "uid": uid,
        "title": title,
        "description": description,
        "tags": ["enms"],
        "schemaVersion": config.SCHEMA_VERSION,
        "version": 1,
        "editable": True,
        # the server's zone: that of the factory
        "timezone": "",
        "weekStart": "monday",
        "graphTooltip": 1,
        "refresh": refresh,
        "time": {"from": time[0], "to": time[1]},
        "timepicker": {"refresh_intervals": ["30s", "1m", "5m", "15m", "1h"]},
        "annotations": {"list": []},
        "templating": {"list": list(variables)},
        "links": dashboard_links(),
        "panels": laid_out(rows),
    }
