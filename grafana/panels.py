"""Panels: each function gives one panel's JSON without its place, which the layout adds. Sizes are in Grafana's grid of 24 columns."""

import textwrap

from .config import DATASOURCE, NEUTRAL, PLAIN, STATES
from .links import MACHINE_OF_ROW

HIDDEN = {"viz": True, "legend": False, "tooltip": False}


def target(sql, format="table"):
    """A query of a panel; `format` is table or time_series (wide: a column per series)."""
    return {
        "refId": "A",
        "datasource": DATASOURCE,
        "editorMode": "code",
        "format": format,
        "rawQuery": True,
        "rawSql": textwrap.dedent(sql).strip(),
    }


def thresholds(steps):
    """Grafana's thresholds of ((value or None, colour), …)."""
    return {"mode": "absolute", "steps": [{"color": color, "value": value} for value, color in steps]}


def mapping(names):
    """A value mapping of {value: (text, colour)}."""
    return [
        {
            "type": "value",
            "options": {
                value: {"text": text, "color": color, "index": i}
                for i, (value, (text, color)) in enumerate(names.items())
            },
        }
    ]


def panel(
    kind, title, description, sql, width, height, options, defaults, format="table", overrides=(), transformations=()
):
    """One panel of any kind."""
    return {
        "type": kind,
        "title": title,
        "description": description,
        "datasource": DATASOURCE,
        "gridPos": {"w": width, "h": height},
        "targets": [target(sql, format)],
        "fieldConfig": {"defaults": defaults, "overrides": list(overrides)},
        "options": options,
        **({"transformations": list(transformations)} if transformations else {}),
    }


def override(name, **properties):
    """Settings of the column or series of that name; `custom_width` stands for custom.width."""
    return {
        "matcher": {"id": "byName", "options": name},
        "properties": [{"id": key.replace("custom_", "custom."), "value": value} for key, value in properties.items()],
    }


def reduce(values=False):
    """How single-value panels read a frame: its last row, or a value per row."""
    return {"calcs": ["lastNotNull"], "fields": "", "values": values}


def stat(
    title, description, sql, unit, steps=NEUTRAL, decimals=None, width=3, height=4, by_row=False, links=(), mappings=()
):
    """One large number; `by_row`: a number for each row, named by its text column."""
    defaults = {
        "unit": unit,
        "noValue": "–",
        "color": {"mode": "thresholds"},
        "thresholds": thresholds(steps),
        "links": list(links),
        "mappings": list(mappings),
    }
    if decimals is not None:
        defaults["decimals"] = decimals
    return panel(
        "stat",
        title,
        description,
        sql,
        width,
        height,
        {
            "reduceOptions": reduce(by_row),
            "orientation": "auto",
            "textMode": "value_and_name" if by_row else "value",
            "colorMode": "value",
            "graphMode": "none",
            "justifyMode": "auto",
            "wideLayout": True,
            "showPercentChange": False,
            "percentChangeColorMode": "standard",
        },
        defaults,
    )


LEGEND = {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []}
TOOLTIP = {"mode": "multi", "sort": "desc"}
# One frame for each value of the text columns, so that series keep their own moments and their own holes.
BY_LABEL = {
    "id": "partitionByValues",
    "options": {"fields": ["metric", "device_id"], "keepFields": False, "naming": {"asLabels": True}},
}
NAME_OF_LABEL = "${__field.labels.metric}"


def line_style(fill=10, line="stepAfter"):
    """Lines: power holds until the next value."""
    return {
        "drawStyle": "line",
        "lineInterpolation": line,
        "lineWidth": 1,
        "fillOpacity": fill,
        "gradientMode": "opacity" if fill else "none",
        "showPoints": "never",
        "spanNulls": False,
        "axisSoftMin": 0,
        "axisBorderShow": False,
        "stacking": {"mode": "none", "group": "A"},
    }


def bar_style(stacked=True):
    """Bars that begin at their bucket's begin."""
    return {
        "drawStyle": "bars",
        "barAlignment": 1,
        "barWidthFactor": 0.85,
        "lineWidth": 0,
        "fillOpacity": 80,
        "gradientMode": "none",
        "showPoints": "never",
        "axisSoftMin": 0,
        "axisBorderShow": False,
        "stacking": {"mode": "normal" if stacked else "none", "group": "A"},
    }


def points_style():
    """Points without a line: single events."""
    return {
        "drawStyle": "points",
        "pointSize": 6,
        "showPoints": "always",
        "axisSoftMin": 0,
        "axisBorderShow": False,
        "spanNulls": False,
    }


def timeseries(
    title, description, sql, unit, width=12, height=8, style=None, overrides=(), legend=None, steps=None, decimals=None
):
    """Wide series: a column `time` and a numeric column for each series, named as the legend shall say."""
    defaults = {
        "unit": unit,
        "color": {"mode": "palette-classic"},
        "custom": style or line_style(),
        **({"thresholds": thresholds(steps)} if steps else {}),
        **({"decimals": decimals} if decimals is not None else {}),
    }
    return panel(
        "timeseries",
        title,
        description,
        sql,
        width,
        height,
        {"legend": legend or LEGEND, "tooltip": TOOLTIP},
        defaults,
        "time_series",
        overrides,
    )


def by_machine(title, description, sql, unit, width=12, height=8, style=None, links=(), legend=None):
    """A series per machine (or place): columns time, metric (its name), device_id (for its links) and one number."""
    return panel(
        "timeseries",
        title,
        description,
        sql,
        width,
        height,
        {"legend": legend or LEGEND, "tooltip": TOOLTIP},
        {
            "unit": unit,
            "color": {"mode": "palette-classic"},
            "custom": style or line_style(0),
            "displayName": NAME_OF_LABEL,
            "links": list(links),
        },
        transformations=[BY_LABEL],
    )


def stacked(title, description, sql, unit, width=12, height=8, colors=None, decimals=None):
    """Stacked bars: columns time, metric (the part's name) and one number."""
    overrides = [override(name, color={"mode": "fixed", "fixedColor": color}) for name, color in (colors or {}).items()]
    return panel(
        "timeseries",
        title,
        description,
        sql,
        width,
        height,
        {"legend": LEGEND, "tooltip": TOOLTIP},
        {
            "unit": unit,
            "color": {"mode": "palette-classic"},
            "custom": bar_style(),
            **({"decimals": decimals} if decimals is not None else {}),
        },
        "time_series",
        overrides,
    )


def states(title, description, sql, width=24, height=8):
    """A coloured band per machine: columns time, metric, device_id and state."""
    return panel(
        "state-timeline",
        title,
        description,
        sql,
        width,
        height,
        {
            "mergeValues": True,
            "showValue": "never",
            "alignValue": "left",
            "rowHeight": 0.85,
            "perPage": 20,
            "legend": LEGEND,
            "tooltip": {"mode": "single", "sort": "none"},
        },
        {
            "color": {"mode": "fixed", "fixedColor": "#a0a0a0"},
            "mappings": mapping(STATES),
            "custom": {"fillOpacity": 85, "lineWidth": 0},
            "displayName": NAME_OF_LABEL,
        },
        transformations=[BY_LABEL],
    )


def donut(title, description, sql, unit, width=6, height=8, colors=None):
    """Shares of a whole: a text column and one number, a slice per row. `colors` is {shown text: colour}."""
    overrides = [override(name, color={"mode": "fixed", "fixedColor": color}) for name, color in (colors or {}).items()]
    return panel(
        "piechart",
        title,
        description,
        sql,
        width,
        height,
        {
            "pieType": "donut",
            "reduceOptions": reduce(True),
            "displayLabels": [],
            "sort": "desc",
            "tooltip": {"mode": "single", "sort": "none"},
            "legend": {
                "displayMode": "table",
                "placement": "right",
                "showLegend": True,
                "calcs": [],
                "values": ["value", "percent"],
            },
        },
        {"unit": unit, "color": {"mode": "palette-classic"}},
        overrides=overrides,
    )


def ranking(
    title, description, sql, unit, steps=PLAIN, width=8, height=9, decimals=None, largest=None, mode="gradient"
):
    """Horizontal bars, the first row on top: columns Machine, device_id and one number."""
    defaults = {
        "unit": unit,
        "color": {"mode": "thresholds"},
        "thresholds": thresholds(steps),
        "displayName": '${__data.fields["Machine"]}',
        "links": MACHINE_OF_ROW,
        "min": 0,
    }
    for key, value in (("decimals", decimals), ("max", largest)):
        if value is not None:
            defaults[key] = value
    return panel(
        "bargauge",
        title,
        description,
        sql,
        width,
        height,
        {
            "reduceOptions": reduce(True),
            "orientation": "horizontal",
            "displayMode": mode,
            "valueMode": "color",
            "namePlacement": "left",
            "showUnfilled": True,
            "sizing": "auto",
            "minVizWidth": 8,
            "minVizHeight": 16,
            "maxVizHeight": 28,
            "legend": {**LEGEND, "showLegend": False},
        },
        defaults,
    )


def bar_chart(title, description, sql, unit, category, width=12, height=8, decimals=None):
    """Bars over categories: the text column `category` and a number or more."""
    return panel(
        "barchart",
        title,
        description,
        sql,
        width,
        height,
        {
            "xField": category,
            "orientation": "auto",
            "stacking": "normal",
            "showValue": "never",
            "groupWidth": 0.7,
            "barWidth": 0.9,
            "barRadius": 0.1,
            "fullHighlight": False,
            "xTickLabelRotation": 0,
            "xTickLabelMaxLength": 0,
            "legend": LEGEND,
            "tooltip": TOOLTIP,
        },
        {
            "unit": unit,
            "color": {"mode": "palette-classic"},
            "custom": {"fillOpacity": 80, "lineWidth": 0, "gradientMode": "none", "axisSoftMin": 0},
            **({"decimals": decimals} if decimals is not None else {}),
        },
    )


def histogram(title, description, sql, unit, width=8, height=8):
    """How often which value occurs: one numeric column."""
    return panel(
        "histogram",
        title,
        description,
        sql,
        width,
        height,
        {
            "bucketCount": 30,
            "combine": True,
            "legend": {**LEGEND, "showLegend": False},
            "tooltip": {"mode": "single", "sort": "none"},
        },
        {
            "unit": unit,
            "color": {"mode": "fixed", "fixedColor": "blue"},
            "custom": {"fillOpacity": 80, "lineWidth": 0, "gradientMode": "none"},
        },
    )


def scatter(title, description, sql, x, y, width=8, height=8):
    """A point per row; x and y are (column, unit)."""
    return panel(
        "xychart",
        title,
        description,
        sql,
        width,
        height,
        {
            "mapping": "manual",
            "series": [
                {
                    "frame": {"matcher": {"id": "byIndex", "options": 0}},
                    "x": {"matcher": {"id": "byName", "options": x[0]}},
                    "y": {"matcher": {"id": "byName", "options": y[0]}},
                }
            ],
            "legend": {**LEGEND, "showLegend": False},
            "tooltip": {"mode": "single", "sort": "none"},
        },
        {
            "color": {"mode": "fixed", "fixedColor": "blue"},
            "custom": {"show": "points", "pointSize": {"fixed": 6}, "fillOpacity": 60},
        },
        overrides=[override(x[0], unit=x[1]), override(y[0], unit=y[1])],
    )


def table(title, description, sql, columns, width=24, height=9, sort=None, no_value="–"):
    """A table; `columns` is {name: settings of the column} for those that need some, made by the functions below. `sort` is (column, descending)."""
    return panel(
        "table",
        title,
        description,
        sql,
        width,
        height,
        {
            "showHeader": True,
            "cellHeight": "sm",
            "frameIndex": 0,
            **({"sortBy": [{"displayName": sort[0], "desc": sort[1]}]} if sort else {}),
        },
        {
            "noValue": no_value,
            "custom": {"align": "auto", "cellOptions": {"type": "auto"}, "inspect": False, "filterable": True},
            "color": {"mode": "thresholds"},
            "thresholds": thresholds(NEUTRAL),
        },
        overrides=[override(name, **settings) for name, settings in columns.items()],
    )


def hidden():
    """A column that only links need."""
    return {"custom_hideFrom": HIDDEN}


def number(unit, decimals=None, width=None):
    """A column of numbers."""
    return {
        "unit": unit,
        **({"decimals": decimals} if decimals is not None else {}),
        **({"custom_width": width} if width else {}),
    }


def judged(unit, steps, decimals=None, width=None):
    """A column of numbers in the colour of its thresholds."""
    return {
        **number(unit, decimals, width),
        "thresholds": thresholds(steps),
        "custom_cellOptions": {"type": "color-text"},
    }


def gauge(unit, steps=PLAIN, largest=100, decimals=0, width=120):
    """A column of numbers with a small bar."""
    return {
        **number(unit, decimals, width),
        "min": 0,
        "max": largest,
        "thresholds": thresholds(steps),
        "custom_cellOptions": {"type": "gauge", "mode": "basic"},
    }


def named(names, width=110):
    """A column of words that have a text and a colour."""
    return {"mappings": mapping(names), "custom_cellOptions": {"type": "color-text"}, "custom_width": width}


def linked(links, width=None):
    """A column whose values are links."""
    return {"links": links, **({"custom_width": width} if width else {})}


def time_column(width=170):
    """A column of moments."""
    return {"unit": "dateTimeAsLocal", "custom_width": width}
