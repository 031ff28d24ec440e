"""Alert rules. Each is a query whose rows are what is wrong, with a number to compare; no row means nothing is wrong.

They contain no dollar sign: Grafana fills in environment variables in provisioned files.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from . import config
from .config import Json
from .queries import WAITS, now, statement

EXPRESSION: Json = {"type": "__expr__", "uid": "__expr__"}
EVERY_DEVICE = "(SELECT device_id FROM devices)"
ELECTRICITY = "'electricity'"
MACHINES = f"{now(EVERY_DEVICE, ELECTRICITY)} n"


@dataclass(frozen=True, slots=True)
class Rule:
    """An alert that fires when a number of the query has been above a limit for some time."""

    uid: str
    title: str
    severity: str
    lasting: str  # "2m"
    above: float
    panel: tuple[str, str]  # uid of the dashboard and title of the panel that show the number
    sql: str  # columns: time, texts that become labels, the number
    summary: str
    description: str


RULES = (
    Rule(
        uid="enms-offline-in-print",
        title="Printer offline during a print",
        severity="critical",
        lasting="2m",
        above=0,
        panel=("enms-fleet", "Machines now"),
        sql=f"""
            SELECT now() AS time, n.device_id, n.friendly_name AS machine,
                   extract(epoch FROM now() - n.status_at)::float8 / 60 AS minutes
            FROM {MACHINES} JOIN print_jobs j ON j.device_id = n.device_id AND j.end_time IS NULL
            WHERE n.state = 'offline' ORDER BY 1""",
        summary="{{ .Labels.machine }} fell silent during a print",
        description=(
            'No status for {{ printf "%.0f" .Values.B.Value }} minutes while a print is open. Look at the printer, its'
            " network and its power."
        ),
    ),
    Rule(
        uid="enms-idle-draw",
        title="Idle draw is high",
        severity="warning",
        lasting=f"{config.IDLE_HIGH_MINUTES}m",
        above=config.IDLE_MARGIN_W,
        panel=("enms-fleet", "Machines now"),
        sql=f"""
            SELECT now() AS time, n.device_id, n.friendly_name AS machine, n.power_w - n.idle_power_w AS watts
            FROM {MACHINES} WHERE {WAITS} AND n.power_w - n.idle_power_w IS NOT NULL ORDER BY 1""",
        summary="{{ .Labels.machine }} draws much while it idles",
        description=(
            '{{ printf "%.0f" .Values.B.Value }} W above the idle power that is set for it, for half an hour. A heater,'
            " a light or a fan that was left on?"
        ),
    ),
    Rule(
        uid="enms-ingest-silent",
        title="No readings arrive",
        severity="critical",
        lasting="1m",
        above=0,
        panel=("enms-quality", "Newest reading"),
        sql="""
            SELECT now() AS time,
                   extract(epoch FROM now() - s.last_at - holds(m.reporting_interval_s))::float8 AS seconds
            FROM meter_state s JOIN meters m USING (meter_id)
            WHERE s.last_at IS NOT NULL ORDER BY s.last_at DESC LIMIT 1""",
        summary="No meter says anything any more",
        description=(
            "The newest reading does not hold any more: not even the next but two of its meter came, and that is"
            ' {{ printf "%.0f" .Values.B.Value }} seconds ago. Do the broker, Node-RED and the network run?'
            " ./enms status and ./enms doctor tell."
        ),
    ),
    Rule(
        uid="enms-database-size",
        title="The database grows over its budget",
        severity="warning",
        lasting="15m",
        above=config.DISK_PERCENT,
        panel=("enms-quality", "Database"),
        sql=(
            "SELECT now() AS time, 100 * pg_database_size(current_database())"
            " / (setting('database_budget_gb')::float8 * 1e9) AS percent"
        ),
        summary="The database takes nearly all the room that it was given",
        description=(
            'It holds {{ printf "%.0f" .Values.B.Value }} % of the setting database_budget_gb. Keep raw rows for a'
            " shorter time, or give it more room and raise the setting."
        ),
    ),
)


def step(ref: str, source: Json, model: Json) -> Json:
    """One step of a rule: a query, or an expression over the step before it."""
    return {
        "refId": ref,
        "datasourceUid": source["uid"],
        "relativeTimeRange": {"from": 600, "to": 0},
        "model": {"refId": ref, "datasource": source, **model},
    }


def provisioned(rule: Rule, panels: Mapping[tuple[str, str], int]) -> Json:
    """A rule in the form of Grafana's provisioning: the query, its last value, the comparison.

    `panels` is {(uid of the dashboard, title): id of the panel}.
    """
    query = {
        "editorMode": "code",
        "format": "time_series",
        "rawQuery": True,
        "rawSql": statement(rule.sql),
        "intervalMs": 1000,
        "maxDataPoints": 43200,
    }
    comparison = {"evaluator": {"type": "gt", "params": [rule.above]}}
    return {
        "uid": rule.uid,
        "title": rule.title,
        "condition": "C",
        "for": rule.lasting,
        "noDataState": "OK",
        "execErrState": "Error",
        "isPaused": False,
        "dashboardUid": rule.panel[0],
        "panelId": panels[rule.panel],
        "annotations": {"summary": rule.summary, "description": rule.description},
        "labels": {"severity": rule.severity, "system": "enms"},
        "data": [
            step("A", config.DATASOURCE, query),
            step("B", EXPRESSION, {"type": "reduce", "expression": "A", "reducer": "last"}),
            step("C", EXPRESSION, {"type": "threshold", "expression": "B", "conditions": [comparison]}),
        ],
    }


def make(boards: Sequence[Json]) -> Json:
    """The content of the provisioning file; `boards` are the dashboards with the panels of the rules."""
    panels = {(board["uid"], panel["title"]): panel["id"] for board in boards for panel in board["panels"]}
    return {
        "apiVersion": 1,
        "groups": [
            {
                "orgId": 1,
                "name": "ENMS",
                "folder": config.FOLDER,
                "interval": "1m",
                "rules": [provisioned(rule, panels) for rule in RULES],
            }
        ],
    }
