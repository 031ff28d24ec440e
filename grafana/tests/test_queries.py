"""Every query of every dashboard runs on both engines as Grafana sends it, and returns the columns of its panel."""

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from grafana.config import STATE_COLORS, Json
from grafana.substitute import Unknown, expand
from grafana.variables import ENERGY_TYPE_SQL
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


def panel_named(board: str, title: str) -> Json:
    """A panel of a dashboard."""
    return next(panel for panel in panels(BOARDS[board]) if panel["title"] == title)


def rows_of(db: Database, board: str, title: str, span: timedelta, **chosen: list[str]) -> list[dict[str, Any]]:
    """The rows of a panel with everything chosen, but for what is given."""
    until = now()
    values = {**values_of(db, BOARDS[board], until - span, until), **chosen}
    columns, rows = run(db, expand(panel_named(board, title)["targets"][0]["rawSql"], values, until - span, until))
    return [dict(zip([name for name, _ in columns], row)) for row in rows]


def test_a_day_is_that_of_each_machines_own_factory(plain_plant):
    """Energy since its own midnight, bars and prints at the edges of its own days, hours of its own clock."""
    zones = dict(
        plain_plant.all("SELECT device_id, timezone FROM devices JOIN factories USING (factory_id) WHERE is_active")
    )
    assert set(zones.values()) == {"Europe/Berlin", "Asia/Kolkata"}
    plain_plant.all("BEGIN")  # one now()
    try:
        today = {
            device: plain_plant.one("SELECT device_energy(%s, date_trunc('day', now(), %s), now())", device, zone)
            for device, zone in zones.items()
        }
        machines = {
            row["device_id"]: row["Today"] for row in rows_of(plain_plant, "fleet", "Machines now", timedelta(1))
        }
        [whole] = rows_of(plain_plant, "fleet", "Energy today", timedelta(1))
    finally:
        plain_plant.all("COMMIT")
    assert machines == pytest.approx({device: wh and wh / 1000 for device, wh in today.items()})
    assert whole["kwh"] == pytest.approx(sum(wh or 0 for wh in today.values()) / 1000)

    month = timedelta(days=30)
    for title in ("Energy by hour or day", "Prints by result"):
        for device, zone in (("MK4-1", "Europe/Berlin"), ("VORON-1", "Asia/Kolkata")):
            bars = [row["time"] for row in rows_of(plain_plant, "fleet", title, month, device=[device])]
            clocks = {bar.astimezone(ZoneInfo(zone)).strftime("%H:%M") for bar in bars}
            assert clocks == {"00:00"}, (title, device)
    hours = {
        device: {
            row["Hour"]: row["Energy"]
            for row in rows_of(plain_plant, "energy", "Energy by hour of the day", month, device=devices)
        }
        for device, devices in (("MK4-1", ["MK4-1"]), ("VORON-1", ["VORON-1"]), ("both", ["MK4-1", "VORON-1"]))
    }
    assert hours["both"] == pytest.approx(
        {hour: hours["MK4-1"].get(hour, 0) + hours["VORON-1"].get(hour, 0) for hour in hours["both"]}
    )
    covered = rows_of(plain_plant, "quality", "Worst covered machines", month)
    assert {row["device_id"] for row in covered} == set(zones)


def test_states_have_the_colours_of_their_names(plain_plant):
    names = {name for (name,) in plain_plant.all("SELECT name FROM states WHERE state_key < 50")}
    assert names == set(STATE_COLORS)


def changed(db: Database, *statements: str) -> None:
    """Begins a transaction of the superuser with these changes; `back` ends it."""
    db.all("RESET ROLE; RESET enms.factories")
    db.all("BEGIN READ WRITE")
    for statement in statements:
        db.all(statement)


def back(db: Database) -> None:
    """Takes the changes back."""
    db.all("ROLLBACK")
    db.all("SET ROLE enms_grafana; SET enms.factories = '*'")


def test_a_kind_a_state_and_an_energy_type_that_are_added_are_shown(plain_plant):
    changed(
        plain_plant,
        "INSERT INTO device_kinds (device_kind, name) VALUES ('laser', 'Laser')",
        "INSERT INTO energy_types (energy_type, name, unit, wh_per_unit) VALUES ('hydrogen', 'Hydrogen', 'kg', 33300)",
        "INSERT INTO states (state_key, state, name, class, phase)"
        " VALUES (60, 'engraving', 'Engraving', 'productive', 'Printing')",
        "UPDATE devices SET device_type = 'laser' WHERE device_id = 'COMP-1'",
        "UPDATE meters SET energy_type = 'hydrogen' WHERE meter_id = 'air-1'",
        "UPDATE device_latest SET state = 'engraving', status_at = now() WHERE device_id = 'COMP-1'",
        "UPDATE series.device_state_1hour SET state_key = 60"
        " WHERE device_key = device_key('COMP-1') AND state_key = 12",
    )
    try:
        until = now()
        day = timedelta(hours=12)
        types = run(plain_plant, expand(ENERGY_TYPE_SQL, {}, until, until))[1]
        assert ("Hydrogen", "hydrogen") in types
        machines = {row["device_id"]: row["State"] for row in rows_of(plain_plant, "fleet", "Machines now", day)}
        assert machines["COMP-1"] == "Engraving"
        hours = {row["State"]: row["hours"] for row in rows_of(plain_plant, "fleet", "Time by state", day)}
        assert hours["Engraving"] > 1
        [used] = rows_of(plain_plant, "comparison", "Utilisation", day, device=["COMP-1"])
        assert 50 < used["value"] < 100
        [energy] = rows_of(plain_plant, "fleet", "Energy", day, energy_type=["hydrogen"])
        assert energy["kwh"] > 1
    finally:
        back(plain_plant)


def test_what_adds_up_is_power_now(plain_plant):
    """A dryer and a virtual meter count (unless a part of it is silent); what flows out does not."""
    changed(plain_plant, "UPDATE meter_state SET last_power_at = now() WHERE last_power_at IS NOT NULL")

    def watts():
        [row] = rows_of(plain_plant, "fleet", "Power now", timedelta(hours=1), device=["MK4-1"])
        return row["watts"]

    try:
        main = plain_plant.one("SELECT last_power_watts FROM meter_state WHERE meter_id = 'plug-MK4-1/switch:0'")
        assert watts() == main
        plain_plant.all("UPDATE meter_assignments SET role = 'dryer' WHERE meter_id = 'sub-MK4-1/switch:0'")
        assert watts() == main + 20
        plain_plant.all("UPDATE meters SET direction = 'export' WHERE meter_id = 'sub-MK4-1/switch:0'")
        assert watts() == main
        plain_plant.all(
            "SELECT virtual_meter_save('sum', '{\"stray/switch:0\": 1, \"sub-MK4-1/switch:0\": -0.5}', 'test')"
        )
        plain_plant.all("SELECT meter_assign('sum', 'MK4-1', 'accessory', NULL, 'test')")
        stray = plain_plant.one("SELECT last_power_watts FROM meter_state WHERE meter_id = 'stray/switch:0'")
        assert watts() == pytest.approx(main + stray - 10)
        plain_plant.all(
            "UPDATE meter_state SET last_power_at = now() - interval '6 minutes' WHERE meter_id = 'stray/switch:0'"
        )
        assert watts() == main
        plain_plant.all("UPDATE meters SET reporting_interval_s = 900 WHERE meter_id = 'stray/switch:0'")
        assert watts() == pytest.approx(main + stray - 10)
    finally:
        back(plain_plant)


@pytest.mark.parametrize("interval_s, holes", [(600, 0), (30, 9)])
def test_a_line_ends_where_its_row_does_not_hold_any_more(plain_plant, interval_s, holes):
    """A status every half hour is a hole for a printer that is asked each 30 s, and none for one asked each 10 min."""
    changed(
        plain_plant,
        f"UPDATE devices SET data_interval_seconds = {interval_s} WHERE device_id = 'MK4-2'",
        "DELETE FROM series.device_status s WHERE device_key = device_key('MK4-2') AND extract(epoch FROM s.timestamp"
        " - (SELECT min(f.timestamp) FROM series.device_status f WHERE f.device_key = s.device_key))::integer % 1800"
        " <> 0",
    )
    try:
        for span in (timedelta(hours=5.2), timedelta(hours=7)):
            rows = rows_of(plain_plant, "machine", "Nozzle", span, device=["MK4-2"])
            found = sum(row["value"] is None for row in rows if row["metric"] == "actual")
            assert (found == 0) if not holes else (found >= holes)
    finally:
        back(plain_plant)


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
    "uid, change",
    [
        (
            "enms-offline-in-print",
            (
                "UPDATE devices SET data_interval_seconds = 1800;"
                " UPDATE device_latest SET status_at = now() - interval '85 minutes'"
            ),
        ),
        (
            "enms-ingest-silent",
            (
                "UPDATE meters SET reporting_interval_s = 900;"
                " UPDATE meter_state SET last_at = now() - interval '40 minutes'"
            ),
        ),
    ],
)
def test_alerts_are_quiet_while_what_is_known_holds(plain_plant, uid, change):
    """Machines and meters that report rarely are not silent after five minutes."""
    rule = next(rule for rule in RULES if rule["uid"] == uid)
    limit = rule["data"][2]["model"]["conditions"][0]["evaluator"]["params"][0]
    changed(plain_plant, change)
    try:
        assert [row for row in run(plain_plant, rule["data"][0]["model"]["rawSql"])[1] if row[-1] > limit] == []
    finally:
        back(plain_plant)


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
        (
            "enms-ingest-silent",
            (
                "UPDATE meter_state SET last_at = now() - interval '50 minutes';"
                " UPDATE meters SET reporting_interval_s = 900"
            ),
            False,
        ),
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

    plant.all("RESET ROLE; RESET enms.factories")
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
        plant.all("SET ROLE enms_grafana; SET enms.factories = '*'")
