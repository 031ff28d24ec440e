"""Fleet Operations: what every machine does now, and how the range went."""

from .. import common, variables
from ..config import BAD, COLD, COUNT, GOOD, KWH, NONE_IS_GOOD, PERCENT, STATES, C, Json, S, Steps, W
from ..dashboard import Row, dashboard, row
from ..links import MACHINE_OF_ROW
from ..panels import gauge, hidden, linked, named, number, stat, table
from ..queries import TODAY, WAITS, now


def counted(title: str, description: str, states: str, steps: Steps) -> Json:
    """How many machines are in such states now; `states` is an SQL condition."""
    return stat(
        title,
        description,
        f"SELECT count(*) FILTER (WHERE {states}) AS machines FROM {now()} n",
        COUNT,
        steps,
        0,
    )


def _numbers() -> Row:
    return row(
        "Now and over the range",
        counted(
            "At work",
            "Machines that heat up, print or run now, or are paused in a print.",
            "class = 'productive' OR class = 'ready' AND phase = 'Paused'",
            ((None, COLD), (1, GOOD)),
        ),
        counted(
            "Need a hand",
            "Machines that are down: they report an error or a fault, wait for somebody or are maintained.",
            "class = 'down'",
            NONE_IS_GOOD,
        ),
        counted(
            "Offline",
            "Machines that say so, and those whose newest status is older than three of their intervals (at least five"
            " minutes).",
            "class = 'off'",
            ((None, GOOD), (1, BAD)),
        ),
        stat(
            "Power now",
            "Sum of the newest readings of the machines' meters, as long as they hold: three of a meter's intervals, at"
            " least five minutes.",
            f"SELECT sum(power_w) AS watts FROM {now()} n",
            W,
            decimals=0,
        ),
        stat(
            "Energy today",
            "Since midnight in the time zone of each machine's own factory.",
            f"SELECT sum(energy_wh) / 1000 AS kwh FROM {TODAY} t",
            KWH,
            decimals=1,
        ),
        common.energy_total(),
        common.cost_total(),
        common.co2_total(),
    )


def _machines() -> Row:
    return row(
        "Machines",
        table(
            "Machines now",
            "The newest status and power of each machine. The name leads to its dashboard, its passport and its"
            " analysis. Above idle: watts above the idle power that is set for it, while it waits. Today: since"
            " midnight at its own factory.",
            f"""
                      WITH today AS (SELECT * FROM {TODAY} t)
                      SELECT n.friendly_name AS "Machine", n.state_name AS "State",
                             extract(epoch FROM now() - n.state_since) AS "Since",
                             n.power_w AS "Power",
                             CASE WHEN {WAITS}
                                  THEN greatest(n.power_w - n.idle_power_w, 0) END AS "Above idle",
                             n.progress_percent AS "Progress", n.time_left_seconds AS "Left", n.filename AS "File",
                             n.material AS "Material",
                             n.nozzle_temp_actual AS "Nozzle", n.bed_temp_actual AS "Bed",
                             t.energy_wh / 1000 AS "Today",
                             n.device_model AS "Model", n.location AS "Place",
                             extract(epoch FROM now() - n.status_at) AS "Heard", n.device_id
                      FROM {now()} n LEFT JOIN today t USING (device_id) ORDER BY n.friendly_name""",
            {
                "Machine": linked(MACHINE_OF_ROW, 190),
                "State": named(STATES),
                "Since": number(S, 0, 90),
                "Power": number(W, 0, 80),
                "Above idle": number(W, 0, 90),
                "Progress": gauge(PERCENT),
                "Left": number(S, 0, 90),
                "Nozzle": number(C, 0, 80),
                "Bed": number(C, 0, 75),
                "Today": number(KWH, 2, 95),
                "Heard": number(S, 0, 85),
                "device_id": hidden(),
            },
            height=10,
        ),
        common.state_bands(),
    )


def _over_range() -> Row:
    return row(
        "Over the range",
        common.fleet_power(),
        common.energy_bars(),
        common.time_by_state(),
        common.energy_by_state(),
        common.prints_by_result(),
    )


def make() -> Json:
    """The dashboard's JSON."""
    return dashboard(
        "enms-fleet",
        "Fleet Operations",
        "What every machine does now, what needs a hand, and how the last hours went.",
        (variables.FACTORY, variables.DEVICE, variables.ENERGY_TYPE),
        (
            _numbers(),
            _machines(),
            _over_range(),
            row("Prints", common.prints_table(limit=50)),
        ),
    )
