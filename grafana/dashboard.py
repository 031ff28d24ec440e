"""A dashboard of rows of panels: numbers them and lays them out."""

from . import config
from .links import dashboard_links

COLUMNS = 24


def row(title, *panels):
    """(title, panels): a heading and what stands below it."""
    return title, panels


def dashboard(uid, title, description, variables, rows, time=("now-24h", "now"), refresh=config.REFRESH):
    """The dashboard's JSON. Panels flow from left to right; a line is as high as its highest panel."""
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
        "panels": panels,
    }
