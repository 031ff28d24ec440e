"""Panels: each function returns one panel's JSON without its place, which the layout adds.

Sizes are in Grafana's grid of 24 columns. `sql` is a query with the columns that the function names; `unit` is one of
config's names, `steps` are thresholds.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from .config import DATASOURCE, NEUTRAL, PLAIN, STATES, Json, Names, Steps
from .links import MACHINE_OF_ROW
from .queries import statement

Format = Literal["table", "time_series"]
HIDDEN = {"viz": True, "legend": False, "tooltip": False}


def target(sql: str, format: Format = "table") -> Json:
    """A query of a panel; a time_series is wide: a column per series."""
    return {
        "refId": "A",
        "datasource": DATASOURCE,
        "editorMode": "code",
        "format": format,
        "rawQuery": True,
        "rawSql": statement(sql),
    }


def thresholds(steps: Steps) -> Json:
    """Grafana's form of steps."""
    return {"mode": "absolute", "steps": [{"color": color, "value": value} for value, color in steps]}


def mapping(names: Names) -> list[Json]:
    """Grafana's value mapping of names."""
    return [
        {
            "type": "value",
            "options": {
                value: {"text": text, "color": color, "index": i}
                for i, (value, (text, color)) in enumerate(names.items())
            },
        }
    ]


def decided(**settings: Any) -> Json:
    """The settings without those that are None, about which Grafana decides."""
    return {name: value for name, value in settings.items() if value is not None}


def panel(
    kind: str,
    title: str,
    description: str,
    sql: str,
    width: int,
    height: int,
    options: Json,
    defaults: Json,
    format: Format = "table",
    overrides: Iterable[Json] = (),
    transformations: Iterable[Json] = (),
) -> Json:
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


def override(name: str, **properties: Any) -> Json:
    """Settings of the column or series of that name; `custom_width` stands for custom.width."""
    return {
        "matcher": {"id": "byName", "options": name},
        "properties": [{"id": key.replace("custom_", "custom."), "value": value} for key, value in properties.items()],
    }


def reduce(by_row: bool) -> Json:
    """How single-value panels read a frame: its last row, or a value per row."""
    return {"calcs": ["lastNotNull"], "fields": "", "values": by_row}


def fixed_colors(colors: Mapping[str, str]) -> list[Json]:
    """Overrides that give series or slices their colour: {shown text: colour}."""
    return [override(name, color={"mode": "fixed", "fixedColor": color}) for name, color in colors.items()]


def stat(
    title: str,
    description: str,
    sql: str,
    unit: str,
    steps: Steps = NEUTRAL,
    decimals: int | None = None,
    width: int = 3,
    by_row: bool = False,
    names: Names | None = None,
) -> Json:
    """One large number; `by_row`: a number for each row, named by its text column (whose values may have `names`)."""
    return panel(
        "stat",
        title,
        description,
        sql,
        width,
        4,
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
        {
            "unit": unit,
            "noValue": "–",
            "color": {"mode": "thresholds"},
            "thresholds": thresholds(steps),
            "links": [],
            "mappings": mapping(names) if names else [],
            **decided(decimals=decimals),
        },
    )


LEGEND = {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []}
TOOLTIP = {"mode": "multi", "sort": "desc"}
# One frame for each value of the text columns, so that series keep their own times and their own holes.
BY_LABEL = {
    "id": "partitionByValues",
    "options": {"fields": ["metric", "device_id"], "keepFields": False, "naming": {"asLabels": True}},
}
NAME_OF_LABEL = "${__field.labels.metric}"


def line_style(fill: int = 10, line: Literal["stepAfter", "linear"] = "stepAfter") -> Json:
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


def bar_style() -> Json:
    """Stacked bars that begin where their buckets begin."""
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
        "stacking": {"mode": "normal", "group": "A"},
    }


def points_style() -> Json:
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
    title: str, description: str, sql: str, unit: str, width: int = 12, height: int = 8, style: Json | None = None
) -> Json:
    """Wide series: a column `time` and a numeric column for each series, named as the legend shall say."""
    return panel(
        "timeseries",
        title,
        description,
        sql,
        width,
        height,
        {"legend": LEGEND, "tooltip": TOOLTIP},
        {"unit": unit, "color": {"mode": "palette-classic"}, "custom": style or line_style()},
        "time_series",
    )


def by_machine(
    title: str,
    description: str,
    sql: str,
    unit: str,
    width: int = 12,
    height: int = 8,
    style: Json | None = None,
    links: Sequence[Json] = (),
) -> Json:
    """A series per machine (or place): columns time, metric (its name), device_id (for its links) and one number."""
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
            "custom": style or line_style(0),
            "displayName": NAME_OF_LABEL,
            "links": list(links),
        },
        transformations=[BY_LABEL],
    )


def stacked(
    title: str,
    description: str,
    sql: str,
    unit: str,
    width: int = 12,
    height: int = 8,
    colors: Mapping[str, str] | None = None,
    decimals: int | None = None,
) -> Json:
    """Stacked bars: columns time, metric (the part's name) and one number."""
    return panel(
        "timeseries",
        title,
        description,
        sql,
        width,
        height,
        {"legend": LEGEND, "tooltip": TOOLTIP},
        {"unit": unit, "color": {"mode": "palette-classic"}, "custom": bar_style(), **decided(decimals=decimals)},
        "time_series",
        fixed_colors(colors or {}),
    )


def states(title: str, description: str, sql: str, width: int = 24, height: int = 8) -> Json:
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


def donut(
    title: str,
    description: str,
    sql: str,
    unit: str,
    colors: Mapping[str, str],
    width: int = 6,
    height: int = 8,
) -> Json:
    """Shares of a whole: a text column and one number, a slice per row. `colors` is {shown text: colour}."""
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
        overrides=fixed_colors(colors),
    )


def ranking(
    title: str,
    description: str,
    sql: str,
    unit: str,
    steps: Steps,
    width: int = 8,
    height: int = 9,
    decimals: int | None = None,
    largest: float | None = None,
) -> Json:
    """Horizontal bars, the first row on top: columns Machine, device_id and one number."""
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
            "displayMode": "gradient",
            "valueMode": "color",
            "namePlacement": "left",
            "showUnfilled": True,
            "sizing": "auto",
            "minVizWidth": 8,
            "minVizHeight": 16,
            "maxVizHeight": 28,
            "legend": {**LEGEND, "showLegend": False},
        },
        {
            "unit": unit,
            "color": {"mode": "thresholds"},
            "thresholds": thresholds(steps),
            "displayName": '${__data.fields["Machine"]}',
            "links": MACHINE_OF_ROW,
            "min": 0,
            **decided(decimals=decimals, max=largest),
        },
    )


def bar_chart(
    title: str, description: str, sql: str, unit: str, category: str, width: int = 12, decimals: int | None = None
) -> Json:
    """Bars over categories: the text column `category` and one or more numbers."""
    return panel(
        "barchart",
        title,
        description,
        sql,
        width,
        8,
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
            **decided(decimals=decimals),
        },
    )


def histogram(title: str, description: str, sql: str, unit: str) -> Json:
    """How often which value occurs: one numeric column."""
    return panel(
        "histogram",
        title,
        description,
        sql,
        8,
        8,
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


def scatter(title: str, description: str, sql: str, x: tuple[str, str], y: tuple[str, str]) -> Json:
    """A point per row; x and y are (column, unit)."""
    return panel(
        "xychart",
        title,
        description,
        sql,
        8,
        8,
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


def table(
    title: str, description: str, sql: str, columns: Mapping[str, Json], width: int = 24, height: int = 9
) -> Json:
    """A table; `columns` is {name: settings of the column} for those that need some, made by the functions below."""
    return panel(
        "table",
        title,
        description,
        sql,
        width,
        height,
        {"showHeader": True, "cellHeight": "sm", "frameIndex": 0},
        {
            "noValue": "–",
            "custom": {"align": "auto", "cellOptions": {"type": "auto"}, "inspect": False, "filterable": True},
            "color": {"mode": "thresholds"},
            "thresholds": thresholds(NEUTRAL),
        },
        overrides=[override(name, **settings) for name, settings in columns.items()],
    )


def hidden() -> Json:
    """A column that only links need."""
    return {"custom_hideFrom": HIDDEN}


def number(unit: str, decimals: int | None = None, width: int | None = None) -> Json:
    """A column of numbers."""
    return {"unit": unit, **decided(decimals=decimals, custom_width=width)}


def judged(unit: str, steps: Steps, decimals: int | None = None, width: int | None = None) -> Json:
    """A column of numbers in the colour of its thresholds."""
    return {
        **number(unit, decimals, width),
        "thresholds": thresholds(steps),
        "custom_cellOptions": {"type": "color-text"},
    }


def gauge(unit: str, steps: Steps = PLAIN) -> Json:
    """A column of numbers from 0 to 100 with a small bar."""
    return {
        **number(unit, 0, 120),
        "min": 0,
        "max": 100,
        "thresholds": thresholds(steps),
        "custom_cellOptions": {"type": "gauge", "mode": "basic"},
    }


def named(names: Names, width: int = 110) -> Json:
    """A column of words that have a text and a colour."""
    return {"mappings": mapping(names), "custom_cellOptions": {"type": "color-text"}, "custom_width": width}


def linked(links: Sequence[Json], width: int | None = None) -> Json:
    """A column whose values are links."""
    return {"links": links, **decided(custom_width=width)}


def time_column() -> Json:
    """A column of times."""
    return {"unit": "dateTimeAsLocal", "custom_width": 170}
