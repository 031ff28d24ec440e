"""One machine over a range: where the links of the other dashboards and the app's `grafanaUrls` lead."""

from .. import common, variables
from ..config import COUNT, NEUTRAL, PERCENT, STATES, UTILISATION, C, Json, W
from ..dashboard import Row, dashboard, row
from ..panels import by_machine, line_style, stat, timeseries
from ..queries import DEVICE_KEYS, ENDED, HEARD, PHASES, PRINTER_KEYS, WORKS, now, sampled, series


def temperatures(title: str, actual: str, target: str) -> Json:
    """Actual and wanted temperature of a heater, from two columns of the statuses."""
    return by_machine(
        title,
        "Readings below six hours; beyond that the first reading of each step, so a sample and no mean.",
        f"""
                      SELECT s.time, p.name AS metric, s.key AS device_id, p.value
                      FROM {sampled("device_status", "device_key", [actual, target], PRINTER_KEYS)} s
                      CROSS JOIN LATERAL (VALUES ('actual', s.{actual}::float8),
                                                 ('wanted', s.{target}::float8)) p (name, value) ORDER BY 1""",
        C,
        8,
        8,
        line_style(0, "linear"),
    )


def _numbers() -> Row:
    return row(
        "Now and over the range",
        stat(
            "State",
            "By the newest status; offline when it is older than three of the machine's intervals (at least five"
            " minutes).",
            f"SELECT n.state_name AS state, extract(epoch FROM now() - n.state_since) AS seconds FROM {now()} n",
            "s",
            NEUTRAL,
            0,
            by_row=True,
            names=STATES,
        ),
        stat(
            "Power now",
            "Newest readings of its meters, as long as they hold: three of a meter's intervals, at least five minutes.",
            f"SELECT sum(power_w) AS watts FROM {now()} n",
            W,
            decimals=0,
        ),
        common.energy_total(),
        common.cost_total(),
        common.co2_total(),
        stat(
            "Utilisation",
            "Productive hours (printing, heating, running), of those in which the machine was heard.",
            f"""
                SELECT 100 * sum(seconds) FILTER (WHERE {WORKS})
                     / nullif(sum(seconds) FILTER (WHERE {HEARD}), 0) AS percent
                FROM {PHASES} p""",
            PERCENT,
            UTILISATION,
            0,
        ),
        common.success(),
        stat(
            "Prints",
            "Prints that ended in the range.",
            f"SELECT count(*) AS prints FROM {ENDED} j",
            COUNT,
            decimals=0,
        ),
    )


def _over_range() -> Row:
    return row(
        "Over the range",
        timeseries(
            "Power",
            "Mean power with the lowest and the highest reading of each bucket; below six hours the readings"
            " themselves. Holes are holes: nothing is known there.",
            f"""
                SELECT time, avg_power_w AS "Mean", min_power_w AS "Lowest", max_power_w AS "Highest"
                FROM {series()} s ORDER BY time""",
            W,
            24,
            10,
            line_style(10),
        ),
        common.state_bands(height=4),
        temperatures("Nozzle", "nozzle_temp_actual", "nozzle_temp_target"),
        temperatures("Bed", "bed_temp_actual", "bed_temp_target"),
        by_machine(
            "Measured and predicted power",
            "The power model's expectation beside what was measured: a lasting distance is worth a look.",
            f"""
                           SELECT time, 'measured' AS metric, device_id, avg_power_w AS watts FROM {series()} s
                           UNION ALL
                           SELECT time, 'predicted', key, predicted_power_watts
                           FROM {sampled("prediction", "device_key", ["predicted_power_watts"], DEVICE_KEYS)} s
                           ORDER BY 1, 2""",
            W,
            8,
            8,
        ),
    )


def make() -> Json:
    """The dashboard's JSON."""
    return dashboard(
        "enms-machine",
        "Machine",
        "One machine: what it does, what it takes and why.",
        (variables.FACTORY, variables.ONE_DEVICE, variables.ENERGY_TYPE),
        (
            _numbers(),
            _over_range(),
            row("Where it went", common.energy_bars(), common.time_by_state(), common.energy_by_state()),
            row("Prints", common.prints_table(limit=200)),
        ),
        time=("now-24h", "now"),
    )
