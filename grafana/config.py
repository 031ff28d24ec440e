"""What all dashboards share: where the data are, colours of states, units and thresholds."""

from collections.abc import Mapping, Sequence
from typing import Any

Json = dict[str, Any]  # a part of what Grafana reads
Steps = Sequence[tuple[float | None, str]]  # (from this value, colour); None is the base
Names = Mapping[str, tuple[str, str]]  # value in the database: (text that is shown, colour)

DATASOURCE = {"type": "grafana-postgresql-datasource", "uid": "enms"}
FOLDER = "ENMS"
# The version of the classic dashboard schema that Grafana 12.4 writes; newer versions migrate it when they load it.
SCHEMA_VERSION = 42
REFRESH = "1m"

# Grafana puts its sub-path before a link that begins with "/". One that climbs to the root does not depend on where
# Grafana is.
APP = "../../../../#"
EDITOR = "../../../../nodered/"

# Grafana's own colour names follow the light and the dark theme.
GOOD, WARN, BAD, CALM, COLD = "green", "orange", "red", "blue", "text"

# By the names that the table states has in a new database; a state that is added is shown in Grafana's own colour.
STATE_COLORS = {
    "Printing": "green",
    "Running": "semi-dark-green",
    "Heating": "orange",
    "Set-up": "light-orange",
    "Paused": "yellow",
    "Needs attention": "purple",
    "Error": "red",
    "Fault": "dark-red",
    "Maintenance": "light-purple",
    "Idle": "blue",
    "Standby": "dark-blue",
    "Ready": "super-light-blue",
    "Finished": "light-green",
    "Cancelled": "semi-dark-yellow",
    "Offline": "#8e8e8e",
    "No data": "#c4c4c4",
    "Unknown": "#a0a0a0",
}
STATES: Names = {name: (name, color) for name, color in STATE_COLORS.items()}
RESULTS: Names = {
    "printing": ("Printing", "green"),
    "paused": ("Paused", "yellow"),
    "done": ("Done", "blue"),
    "cancelled": ("Cancelled", "semi-dark-yellow"),
    "error": ("Error", "red"),
    "unknown": ("Unknown", "#a0a0a0"),
}

# Grafana's names of units.
W, KWH, WH, KG, G, S, H, PERCENT, C, V, A = (
    "watt",
    "kwatth",
    "watth",
    "masskg",
    "massg",
    "s",
    "h",
    "percent",
    "celsius",
    "volt",
    "amp",
)
HUMIDITY, PRESSURE, HZ, RPM, MM, M_PER_S2, RAD_PER_S, VA, BYTES = (
    "humidity",
    "pressurehpa",
    "hertz",
    "rotrpm",
    "lengthmm",
    "accMS2",
    "rotrads",
    "voltamp",
    "bytes",
)
COUNT = "none"

NONE_IS_GOOD: Steps = ((None, GOOD), (1, BAD))
SHARE_GOOD: Steps = ((None, BAD), (70, WARN), (90, GOOD))  # of successful prints, of covered time: percent
UTILISATION: Steps = ((None, COLD), (20, CALM), (50, GOOD))  # percent
IDLE_SHARE: Steps = ((None, GOOD), (15, WARN), (30, BAD))  # of the energy that was drawn without printing: percent
AGE: Steps = ((None, GOOD), (120, WARN), (300, BAD))  # of the newest reading: seconds
PLAIN: Steps = ((None, CALM),)
NEUTRAL: Steps = ((None, COLD),)

# Limits of the alert rules; the dashboards show the same ones.
IDLE_MARGIN_W = 5  # above a machine's idle power, as in the app's tips
IDLE_HIGH_MINUTES = 30
DISK_PERCENT = 90  # of the setting database_budget_gb
