"""Every query of every dashboard runs on both engines as Grafana sends it, and returns the columns of its panel."""

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from grafana.config import Json
from grafana.substitute import Unknown, expand
from tests.plugin.database import Database

HERE = Path(__file__).resolve().parents[1]
BOARDS = {path.stem: json.loads(path.read_text()) for path in sorted((HERE / "dashboards").glob("*.json"))}
NUMBERS, TEXTS, TIMES, BOOLEANS = {20, 21, 23, 700, 701, 1700}, {25, 1043, 2950}, {1114, 1184}, {16}
RANGES = {"raw": timedelta(hours=3), "quarters": timedelta(days=7), "days": timedelta(days=180)}


def panels(board: Json) -> list[Json]:
    """The panels of a dashboard that have a query."""
    return [panel for panel in board["panels"] if panel["type"] != "row"]


PANELS = [
    pytest.param(board, panel, id=f"{name}-{panel['title']}")
    for name, board in BOARDS.items()
    for panel in panels(board)
]


def now() -> datetime:
    """The present time, aware."""
    return datetime.now(UTC)


def values_of(db: Database, board: Json, start: datetime, end: datetime) -> dict[str, list[str]]:
    """{variable: [values]} with everything chosen.

    Each variable's query gets the values of those before it, as in Grafana.
    """
    chosen: dict[str, list[str]] = {}
    for variable in board["templating"]["list"]:
        columns, rows = run(db, expand(variable["query"], chosen, start, end))
        assert [name for name, _ in columns] == ["__text", "__value"]
        assert rows, f"the variable {variable['name']} has no values"
        assert len({text for text, _ in rows}) == len(rows), "Grafana shows only the first of equal names"
        values = [value for _, value in rows]
        # The machine of a dashboard about one is a printer.
        first = variable.get("current", {}).get("value") or ("MK4-1" if "MK4-1" in values else values[0])
        chosen[variable["name"]] = values if variable["includeAll"] else [first]
    return chosen


def run(db: Database, sql: str) -> tuple[list[tuple[str, int]], list[tuple[Any, ...]]]:
    """([(column, type oid)], rows) of a statement."""
    with db.connection.cursor() as cursor:
        cursor.execute(sql)
        return [(column.name, column.type_code) for column in cursor.description or ()], cursor.fetchall()


def named_columns(panel: Json) -> set[str]:
    """The columns that a panel's settings and links name."""
    found = set(re.findall(r"\$\{__data\.fields\[\\?\"([^\"\\]+)\\?\"\]", json.dumps(panel)))
    if panel["type"] in ("table", "xychart"):
        found |= {item["matcher"]["options"] for item in panel["fieldConfig"]["overrides"]}
    for step in panel.get("transformations", ()):
        assert step["id"] == "partitionByValues"
        found |= set(step["options"]["fields"]) | {"time"}
    found |= set(re.findall(r"\$\{__field\.labels\.(\w+)", json.dumps(panel)))
    if "xField" in panel["options"]:
        found.add(panel["options"]["xField"])
    return found


def check_shape(panel: Json, columns: list[tuple[str, int]], rows: list[tuple[Any, ...]]) -> None:
    """Asserts what the kind of panel needs of its columns."""
    types = dict(columns)
    assert len(types) == len(columns), "two columns have one name"
    unknown = {name: oid for name, oid in columns if oid not in NUMBERS | TEXTS | TIMES | BOOLEANS}
    assert not unknown, f"types that Grafana would show as text: {unknown}"
    missing = named_columns(panel) - set(types)
    assert not missing, f"the panel names columns that its query does not return: {missing}"
    numbers = [name for name, oid in columns if oid in NUMBERS]
    kind, series = panel["type"], panel["targets"][0]["format"] == "time_series"
    if series or panel.get("transformations"):
        assert types["time"] in TIMES
        times = [row[[name for name, _ in columns].index("time")] for row in rows]
        assert times == sorted(times), "Grafana needs series in the order of time"
    if series:
        texts = [name for name, oid in columns if oid in TEXTS]
        # With a text column the rows are long: Grafana makes a series of each of its values, named by it.
        assert numbers and (texts == [] or (texts == ["metric"] and len(numbers) == 1))
    elif kind == "state-timeline":
        assert [name for name, _ in columns] == ["time", "metric", "device_id", "state"]
    elif kind == "timeseries":
        assert [name for name, _ in columns][:3] == ["time", "metric", "device_id"] and len(numbers) == 1
    elif kind in ("bargauge", "piechart", "histogram"):
        assert len(numbers) == 1
    elif kind in ("stat", "barchart"):
        assert numbers
    if panel["type"] == "stat":
        assert panel["options"]["reduceOptions"]["values"] or len(rows) == 1


@pytest.mark.parametrize("board, panel", PANELS)
def test_panel(plant, board, panel):
    """Right columns over every range, and over one of them each column has a value."""
    until, filled = now(), set()
    for name, span in RANGES.items():
        if plant.engine == "timescale" and name == "days":
            continue  # WASM is slow, and the levels themselves are tested in database/tests
        chosen = values_of(plant, board, until - span, until)
        columns, rows = run(plant, expand(panel["targets"][0]["rawSql"], chosen, until - span, until))
        check_shape(panel, columns, rows)
        filled |= {column for i, (column, _) in enumerate(columns) if any(row[i] is not None for row in rows)}
    empty = {column for column, _ in columns} - filled
    assert not empty, f"nothing is ever shown in {empty}"


@pytest.mark.parametrize("panel", [item.values[1] for item in PANELS], ids=[item.id for item in PANELS])
def test_panel_of_nothing(plain_plant, panel):
    """With nothing chosen there are no rows or no values, and no error."""
    until = now()
    nothing = {"factory": [], "device": [], "result": [], "material": [], "energy_type": ["steam"]}
    columns, rows = run(plain_plant, expand(panel["targets"][0]["rawSql"], nothing, until - timedelta(hours=3), until))
    check_shape(panel, columns, rows)


def test_substitution_is_grafanas():
    start, end = datetime(2026, 1, 2, 3, 4, 5, 678000, UTC), datetime(2026, 1, 3, tzinfo=UTC)
    sql = "SELECT $__timeFrom(), $__timeTo() WHERE $__timeFilter(j.at) AND x = ANY (ARRAY[${device:sqlstring}]::text[])"
    assert (
        expand(sql, {"device": ["a", "O'Neill", "${factory}"]}, start, end)
        == "SELECT '2026-01-02T03:04:05.678Z', '2026-01-03T00:00:00.000Z'"
        " WHERE j.at BETWEEN '2026-01-02T03:04:05.678Z' AND '2026-01-03T00:00:00.000Z'"
        " AND x = ANY (ARRAY['a','O''Neill','${factory}']::text[])"
    )


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT ${factory:sqlstring}",
        "SELECT ${device}",
        "SELECT ${device:csv}",
        "SELECT $device",
        "SELECT [[device]]",
        "SELECT $__timeFiltr(at)",
        "SELECT $__timeFilter()",
        "SELECT $__interval",
    ],
)
def test_a_forgotten_variable_or_a_misspelt_macro_is_found(sql, at):
    with pytest.raises(Unknown):
        expand(sql, {"device": ["a"]}, at(0), at(60))


RULES = json.loads((HERE / "provisioning/alerting/rules.json").read_text())["groups"][0]["rules"]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["uid"])
def test_alert_query_is_a_series(plant, rule):
    """As Grafana's alerting needs it: a time, one number, and texts that become labels."""
    columns, _ = run(plant, rule["data"][0]["model"]["rawSql"])
    types = dict(columns)
    assert types["time"] in TIMES and [name for name, oid in columns if oid in NUMBERS] == [columns[-1][0]]
    labels = {name for name, oid in columns if oid in TEXTS}
    for text in rule["annotations"].values():
        assert set(re.findall(r"\.Labels\.(\w+)", text)) <= labels and "$" not in text
    assert "$" not in rule["data"][0]["model"]["rawSql"]


@pytest.mark.parametrize(
    "uid, change, machine",
    [
        (
            "enms-offline-in-print",
            (
                "UPDATE device_latest SET status_at = now() - interval '10 minutes'"
                " WHERE device_id = (SELECT min(device_id) FROM print_jobs WHERE end_time IS NULL)"
            ),
            True,
        ),
        (
            "enms-idle-draw",
            "UPDATE device_latest SET state = 'idle', status_at = now() WHERE device_id = 'MK4-1'",
            True,
        ),
        ("enms-ingest-silent", "UPDATE meter_state SET last_at = last_at - interval '2 hours'", False),
        ("enms-database-size", "UPDATE settings SET value = '0.001' WHERE name = 'database_budget_gb'", False),
    ],
)
def test_alerts_fire_on_what_they_are_for(plant, uid, change, machine):
    """Quiet on the plant as it is, above their limit after the change."""
    rule = next(rule for rule in RULES if rule["uid"] == uid)
    limit = rule["data"][2]["model"]["conditions"][0]["evaluator"]["params"][0]
    sql = rule["data"][0]["model"]["rawSql"]

    def above():
        return [row for row in run(plant, sql)[1] if row[-1] > limit]

    plant.all("RESET ROLE")
    plant.all("BEGIN READ WRITE")
    try:
        plant.all("UPDATE meter_state SET last_power_at = now(), last_at = now()")
        assert above() == []
        plant.all(change)
        assert len(above()) == 1
        if machine:
            assert above()[0][2]
    finally:
        plant.all("ROLLBACK")
        plant.all("SET ROLE enms_grafana")
