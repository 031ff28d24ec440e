"""Machine Performance Comparison: the chosen machines side by side."""

from typing import Literal

from .. import common, variables
from ..config import COUNT, IDLE_SHARE, KWH, NEUTRAL, PERCENT, PLAIN, SHARE_GOOD, UTILISATION, WH, G, H, Json, Steps, W
from ..dashboard import Row, dashboard, row
from ..links import MACHINE_OF_ROW, MACHINE_OF_SERIES
from ..panels import by_machine, gauge, hidden, judged, linked, number, points_style, ranking, stat, table
from ..queries import DEVICES, ENDED, ENERGY, HEARD, PHASES, WAITS, WORKS, series

# One row per machine about which anything is known in the range.
FACTS = f"""
WITH phase AS (
    SELECT device_id, sum(seconds) FILTER (WHERE {WORKS}) AS active_s, sum(seconds) FILTER (WHERE {HEARD}) AS heard_s,
           sum(energy_wh) AS wh, sum(energy_wh) FILTER (WHERE {WORKS}) AS active_wh,
           sum(energy_wh) FILTER (WHERE {WAITS}) AS waiting_wh
    FROM {PHASES} p GROUP BY device_id
), print AS (
    SELECT device_id, count(*) AS prints, count(*) FILTER (WHERE status = 'done') AS done,
           count(*) FILTER (WHERE status <> 'unknown') AS known,
           sum(filament_used_g) FILTER (WHERE status = 'done') AS grams,
           sum(session_energy_wh) FILTER (WHERE status <> 'done') AS lost_wh,
           -- energy per gram of the prints for which both are known
           sum(session_energy_wh) FILTER (WHERE filament_used_g > 0 AND status = 'done') AS weighed_wh,
           sum(filament_used_g) FILTER (WHERE session_energy_wh IS NOT NULL AND filament_used_g > 0
               AND status = 'done') AS weighed_g
    FROM {ENDED} j GROUP BY device_id
), facts AS (
    SELECT d.device_id, d.friendly_name, d.device_model, e.energy_wh / 1000 AS kwh, p.active_s / 3600 AS active_h,
           100 * p.active_s / nullif(p.heard_s, 0) AS utilisation,
           p.active_wh / nullif(p.active_s, 0) * 3600 AS active_w, 100 * p.waiting_wh / nullif(p.wh, 0) AS idle_share,
           p.waiting_wh / 1000 AS waiting_kwh,
           j.prints, j.done, j.known, 100.0 * j.done / nullif(j.known, 0) AS success, j.grams,
           j.weighed_wh / nullif(j.weighed_g, 0) AS wh_per_g,
           j.weighed_wh, j.weighed_g, j.lost_wh / 1000 AS lost_kwh,
           p.active_s, p.heard_s, p.wh, p.waiting_wh
    FROM devices d LEFT JOIN {ENERGY} e USING (device_id) LEFT JOIN phase p USING (device_id)
         LEFT JOIN print j USING (device_id)
    WHERE d.device_id = ANY ({DEVICES})
      AND (e.device_id IS NOT NULL OR p.device_id IS NOT NULL OR j.device_id IS NOT NULL)
)"""


def total(title: str, description: str, expression: str, unit: str, steps: Steps = NEUTRAL, decimals: int = 0) -> Json:
    """One number over all chosen machines."""
    return stat(title, description, f"{FACTS}\nSELECT {expression} AS value FROM facts", unit, steps, decimals, 4)


def rank(
    title: str,
    description: str,
    column: str,
    unit: str,
    steps: Steps,
    order: Literal["ASC", "DESC"] = "DESC",
    decimals: int = 0,
    largest: float | None = None,
) -> Json:
    """The twenty machines at one end of a scale."""
    return ranking(
        title,
        description + " The first twenty.",
        f'{FACTS}\nSELECT friendly_name AS "Machine", device_id, {column} AS value FROM facts'
        f" WHERE {column} IS NOT NULL ORDER BY {column} {order} LIMIT 20",
        unit,
        steps,
        decimals=decimals,
        largest=largest,
    )


def _numbers() -> Row:
    return row(
        "All chosen machines",
        total(
            "Utilisation",
            "Productive hours (printing, heating, running), of those in which the machines were heard.",
            "100 * sum(active_s) / nullif(sum(heard_s), 0)",
            PERCENT,
            UTILISATION,
        ),
        total(
            "Energy per gram",
            "Energy of the successful prints over the filament that they took.",
            "sum(weighed_wh) / nullif(sum(weighed_g), 0)",
            WH,
            decimals=2,
        ),
        total(
            "Electricity while waiting",
            "Share of the electricity that was drawn idle, ready, in standby or after a print.",
            "100 * sum(waiting_wh) / nullif(sum(wh), 0)",
            PERCENT,
            IDLE_SHARE,
        ),
        common.success(4),
        total(
            "Energy of lost prints",
            "Energy of prints that did not end as done.",
            "sum(lost_kwh)",
            KWH,
            decimals=2,
        ),
        common.energy_total(4),
    )


def _side_by_side() -> Row:
    return row(
        "Side by side",
        table(
            "Machines",
            "Active: printing, heating, running. Utilisation: of the hours in which the machine was heard. Waiting:"
            " share of its electricity drawn idle, ready, in standby or after a print.",
            f"""{FACTS}
                      SELECT friendly_name AS "Machine", device_model AS "Model", kwh AS "Energy", active_h AS "Active",
                             utilisation AS "Utilisation", active_w AS "Power while active",
                             idle_share AS "Waiting", prints AS "Prints", success AS "Success", grams AS "Filament",
                             wh_per_g AS "Wh/g",
                             lost_kwh AS "Lost", device_id
                      FROM facts ORDER BY kwh DESC NULLS LAST""",
            {
                "Machine": linked(MACHINE_OF_ROW, 190),
                "Energy": number(KWH, 2, 110),
                "Active": number(H, 1, 100),
                "Utilisation": gauge(PERCENT, UTILISATION),
                "Power while active": number(W, 0, 140),
                "Waiting": judged(PERCENT, IDLE_SHARE, 0, 90),
                "Prints": number(COUNT, 0, 75),
                "Success": judged(PERCENT, SHARE_GOOD, 0, 90),
                "Filament": number(G, 0, 95),
                "Wh/g": number(WH, 2, 90),
                "Lost": number(KWH, 2, 95),
                "device_id": hidden(),
            },
            height=10,
        ),
    )


def _rankings() -> Row:
    return row(
        "Rankings",
        rank(
            "Utilisation",
            "Productive hours (printing, heating, running), of those in which the machine was heard.",
            "utilisation",
            PERCENT,
            UTILISATION,
            largest=100,
        ),
        rank(
            "Energy per gram",
            "Successful prints with known filament; less is better.",
            "wh_per_g",
            WH,
            PLAIN,
            "ASC",
            2,
        ),
        rank(
            "Electricity while waiting",
            "Share of the machine's electricity that it drew idle, ready, in standby or after a print; less is better.",
            "idle_share",
            PERCENT,
            IDLE_SHARE,
            largest=100,
        ),
    )


def _over_range() -> Row:
    return row(
        "Over the range",
        by_machine(
            "Power",
            "Time-weighted mean power of each machine; readings below six hours, then rollups, coarser the more"
            " machines are chosen.",
            f"""
                SELECT s.time, d.friendly_name AS metric, s.device_id, s.avg_power_w AS watts
                FROM {series()} s JOIN devices d USING (device_id) ORDER BY 1, 2""",
            W,
            12,
            9,
            links=MACHINE_OF_SERIES,
        ),
        by_machine(
            "Energy per gram of each print",
            "A point per successful print, at its end.",
            f"""
                SELECT j.end_time AS time, d.friendly_name AS metric, j.device_id,
                       j.session_energy_wh / j.filament_used_g AS "Wh/g"
                FROM {ENDED} j JOIN devices d USING (device_id)
                WHERE j.status = 'done' AND j.session_energy_wh IS NOT NULL AND j.filament_used_g > 0 ORDER BY 1""",
            WH,
            12,
            9,
            points_style(),
            MACHINE_OF_SERIES,
        ),
    )


def make() -> Json:
    """The dashboard's JSON."""
    return dashboard(
        "enms-comparison",
        "Machine Performance Comparison",
        "The chosen machines side by side: use, energy per gram, idle draw and success.",
        (variables.FACTORY, variables.DEVICE, variables.ENERGY_TYPE),
        (_numbers(), _side_by_side(), _rankings(), _over_range()),
        time=("now-7d", "now"),
        refresh="5m",
    )
