"""Alert rules. Each is a query whose rows are what is wrong, with a number to compare; no row means nothing is wrong.

No dollar sign may stand in them: Grafana fills in environment variables in provisioned files.
"""

import textwrap

from . import config
from .queries import now

EXPRESSION = {"type": "__expr__", "uid": "__expr__"}
EVERY_DEVICE = "(SELECT device_id FROM devices)"
ELECTRICITY = "'electricity'"
MACHINES = f"""{now(EVERY_DEVICE, ELECTRICITY)} n"""

RULES = (
    {
        "uid": "enms-offline-in-print",
        "title": "Printer offline during a print",
        "severity": "critical",
        "for": "2m",
        "above": 0,
        "panel": ("enms-fleet", "Machines now"),
        "sql": (
            f"""
            SELECT now() AS time, n.device_id, n.friendly_name AS machine, extract(epoch FROM now() - n.status_at)::float8 / 60 AS minutes
            FROM {MACHINES} JOIN print_jobs j ON j.device_id = n.device_id AND j.end_time IS NULL WHERE n.state = 'offline' ORDER BY 1"""
        ),
        "summary": "{{ .Labels.machine }} fell silent during a print",
        "description": (
            'No status for {{ printf "%.0f" .Values.B.Value }} minutes while a print is open. Look at the printer, its network and its power.'
        ),
    },
    {
        "uid": "enms-idle-draw",
        "title": "Idle draw is high",
        "severity": "warning",
        "for": f"{config.IDLE_HIGH_MINUTES}m",
        "above": config.IDLE_MARGIN_W,
        "panel": ("enms-fleet", "Machines now"),
        "sql": (
            f"""
            SELECT now() AS time, n.device_id, n.friendly_name AS machine, n.power_w - n.idle_power_w AS watts
            FROM {MACHINES} WHERE n.state IN ('idle', 'ready') AND n.power_w - n.idle_power_w IS NOT NULL ORDER BY 1"""
        ),
        "summary": "{{ .Labels.machine }} draws much while it idles",
        "description": (
            '{{ printf "%.0f" .Values.B.Value }} W above the idle power that is set for it, for half an hour. A heater, a light or a fan that was'
            " left on?"
        ),
    },
    {
        "uid": "enms-ingest-silent",
        "title": "No readings arrive",
        "severity": "critical",
        "for": "1m",
        "above": config.SILENT_S,
        "panel": ("enms-quality", "Newest reading"),
        "sql": "SELECT now() AS time, extract(epoch FROM now() - max(last_at))::float8 AS seconds FROM meter_state HAVING max(last_at) IS NOT NULL",
        "summary": "No meter has said anything for minutes",
        "description": (
            'The newest reading is {{ printf "%.0f" .Values.B.Value }} seconds old. Do the broker, Node-RED and the network run? ./enms status and'
            " ./enms doctor tell."
        ),
    },
    {
        "uid": "enms-database-size",
        "title": "The database grows over its budget",
        "severity": "warning",
        "for": "15m",
        "above": config.DISK_PERCENT,
        "panel": ("enms-quality", "Database"),
        "sql": "SELECT now() AS time, 100 * pg_database_size(current_database()) / (setting('database_budget_gb')::float8 * 1e9) AS percent",
        "summary": "The database takes nearly all the room that it was given",
        "description": (
            'It holds {{ printf "%.0f" .Values.B.Value }} % of the setting database_budget_gb. Keep raw rows for a shorter time, or give it more room'
            " and raise the setting."
        ),
    },
)


def query(ref, source, model):
    """One step of a rule."""
    return {
        "refId": ref,
        "datasourceUid": source["uid"],
        "relativeTimeRange": {"from": 600, "to": 0},
        "model": {"refId": ref, "datasource": source, **model},
    }


def rule(text, panels):
    """A rule in the form of Grafana's provisioning: the query, its last value, the comparison. `panels` is {(dashboard, title): panel id}."""
    return {
        "uid": text["uid"],
        "title": text["title"],
        "condition": "C",
        "for": text["for"],
        "noDataState": "OK",
        "execErrState": "Error",
        "isPaused": False,
        "dashboardUid": text["panel"][0],
        "panelId": panels[text["panel"]],
        "annotations": {"summary": text["summary"], "description": text["description"]},
        "labels": {"severity": text["severity"], "system": "enms"},
        "data": [
            query(
                "A",
                config.DATASOURCE,
                {
                    "editorMode": "code",
                    "format": "time_series",
                    "rawQuery": True,
                    "rawSql": textwrap.dedent(text["sql"]).strip(),
                    "intervalMs": 1000,
                    "maxDataPoints": 43200,
                },
            ),
            query("B", EXPRESSION, {"type": "reduce", "expression": "A", "reducer": "last"}),
            query(
                "C",
                EXPRESSION,
                {
                    "type": "threshold",
                    "expression": "B",
                    "conditions": [{"evaluator": {"type": "gt", "params": [text["above"]]}}],
                },
            ),
        ],
    }


def make(boards):
    """The content of the provisioning file; `boards` are the dashboards whose panels the rules point at."""
    panels = {(board["uid"], panel["title"]): panel["id"] for board in boards for panel in board["panels"]}
    return {
        "apiVersion": 1,
        "groups": [
            {
                "orgId": 1,
                "name": "ENMS",
                "folder": config.FOLDER,
                "interval": "1m",
                "rules": [rule(text, panels) for text in RULES],
            }
        ],
    }
