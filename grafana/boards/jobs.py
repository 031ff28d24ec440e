"""Job Explorer: the prints of the range, what they took and how they ended."""

from .. import common, variables
from ..config import COUNT, KG, KWH, NEUTRAL, PERCENT, RESULTS, SHARE_GOOD, WH, G, H, Json, Steps, W
from ..dashboard import Row, dashboard, row
from ..links import MACHINE_OF_SERIES
from ..panels import bar_chart, by_machine, donut, histogram, number, points_style, scatter, stat, table
from ..queries import ENDED

# Of the chosen results and materials.
CHOSEN = (
    f"(SELECT * FROM {ENDED} e WHERE status = ANY (ARRAY[${{result:sqlstring}}]::text[])"
    " AND coalesce(material, 'unknown') = ANY (ARRAY[${material:sqlstring}]::text[]))"
)

RESULT = variables.query(
    "result",
    "Result",
    "SELECT name AS __text, value AS __value FROM"
    f" {common.words({k: v for k, v in RESULTS.items() if k not in ('printing', 'paused')})}",
    "How the prints ended",
)
MATERIAL = variables.query(
    "material",
    "Material",
    f"SELECT DISTINCT coalesce(material, 'unknown') AS __text, coalesce(material, 'unknown') AS __value FROM {ENDED} j"
    " ORDER BY 1",
    "Materials of the prints of the range",
    refresh=variables.ON_RANGE,
)


def total(title: str, description: str, expression: str, unit: str, decimals: int = 0, steps: Steps = NEUTRAL) -> Json:
    """One number over all chosen prints."""
    return stat(title, description, f"SELECT {expression} AS value FROM {CHOSEN} j", unit, steps, decimals)


def _numbers() -> Row:
    return row(
        "All chosen prints",
        total("Prints", "Prints that ended in the range.", "count(*)", COUNT),
        total(
            "Successful",
            "Ended as done, of all with a known result.",
            "100.0 * count(*) FILTER (WHERE status = 'done') / nullif(count(*) FILTER (WHERE status <> 'unknown'), 0)",
            PERCENT,
            0,
            SHARE_GOOD,
        ),
        total("Print time", "From start to end, pauses included.", "sum(duration_seconds) / 3600", H, 1),
        total(
            "Energy",
            "Electricity from start to end; prints whose energy is not known are left out.",
            "sum(session_energy_wh) / 1000",
            KWH,
            2,
        ),
        total("Filament", "As the slicer or the printer tells it.", "sum(filament_used_g) / 1000", KG, 2),
        total(
            "Energy per gram",
            "Over the prints for which both are known.",
            "sum(session_energy_wh) FILTER (WHERE filament_used_g > 0)"
            " / nullif(sum(filament_used_g) FILTER (WHERE session_energy_wh IS NOT NULL), 0)",
            WH,
            2,
        ),
        stat(
            "Cost",
            "Cost of the prints' energy, a number per currency.",
            f"SELECT currency, sum(cost) AS cost FROM {CHOSEN} j WHERE cost IS NOT NULL GROUP BY 1 ORDER BY 1",
            COUNT,
            decimals=2,
            by_row=True,
        ),
        total("CO₂", "Of the prints' energy.", "sum(co2_g) / 1000", KG, 2),
    )


def _results() -> Row:
    return row(
        "How they went",
        common.prints_by_result(),
        donut(
            "Results",
            "How the chosen prints ended.",
            f'SELECT n.name AS "Result", count(*) AS prints FROM {CHOSEN} j'
            f" JOIN {common.words(RESULTS)} ON n.value = j.status GROUP BY 1 ORDER BY 2 DESC",
            COUNT,
            common.colors(RESULTS),
        ),
        bar_chart(
            "Why prints failed",
            "Reasons of the prints that did not end as done, as the printer gave them; the ten most frequent.",
            f"""
                SELECT left(coalesce(status_reason, 'no reason given'), 40) AS "Reason", count(*) AS "Prints"
                FROM {CHOSEN} j
                WHERE status <> 'done' GROUP BY 1 ORDER BY 2 DESC LIMIT 10""",
            COUNT,
            "Reason",
            6,
            decimals=0,
        ),
    )


def _consumption() -> Row:
    return row(
        "What they took",
        histogram(
            "Energy of a print",
            "How many prints took how much.",
            f'SELECT session_energy_wh / 1000 AS "Energy" FROM {CHOSEN} j WHERE session_energy_wh IS NOT NULL',
            KWH,
        ),
        scatter(
            "Energy and filament",
            "A point per print; those far above the others took more energy than their filament explains.",
            f"""
                SELECT filament_used_g AS "Filament", session_energy_wh / 1000 AS "Energy" FROM {CHOSEN} j
                WHERE filament_used_g > 0 AND session_energy_wh IS NOT NULL ORDER BY end_time DESC LIMIT 2000""",
            ("Filament", G),
            ("Energy", KWH),
        ),
        by_machine(
            "Mean power of each print",
            "Energy over duration, a point per print at its end.",
            f"""
                SELECT j.end_time AS time, d.friendly_name AS metric, j.device_id,
                       j.session_energy_wh * 3600 / j.duration_seconds AS watts
                FROM {CHOSEN} j JOIN devices d USING (device_id)
                WHERE j.duration_seconds > 0 AND j.session_energy_wh IS NOT NULL
                ORDER BY 1""",
            W,
            8,
            8,
            points_style(),
            MACHINE_OF_SERIES,
        ),
        table(
            "Materials",
            "Totals by material.",
            f"""
                SELECT coalesce(material, 'unknown') AS "Material", count(*) AS "Prints",
                       sum(filament_used_g) / 1000 AS "Filament",
                       sum(session_energy_wh) / 1000 AS "Energy",
                       sum(session_energy_wh) FILTER (WHERE filament_used_g > 0)
                           / nullif(sum(filament_used_g) FILTER (WHERE session_energy_wh IS NOT NULL), 0) AS "Wh/g",
                       sum(duration_seconds) / 3600 AS "Time"
                FROM {CHOSEN} j GROUP BY 1 ORDER BY 4 DESC NULLS LAST""",
            {
                "Prints": number(COUNT, 0),
                "Filament": number(KG, 2),
                "Energy": number(KWH, 2),
                "Wh/g": number(WH, 2),
                "Time": number(H, 1),
            },
            12,
            8,
        ),
        table(
            "Files",
            "The files that took most energy together; printed again and again, they are where a better setting pays.",
            f"""
                SELECT filename AS "File", count(*) AS "Prints", sum(session_energy_wh) / 1000 AS "Energy",
                       avg(session_energy_wh) / 1000 AS "Energy per print",
                       100.0 * count(*) FILTER (WHERE status = 'done')
                           / nullif(count(*) FILTER (WHERE status <> 'unknown'), 0) AS "Success"
                FROM {CHOSEN} j WHERE filename IS NOT NULL GROUP BY 1 ORDER BY 3 DESC NULLS LAST LIMIT 50""",
            {
                "Prints": number(COUNT, 0, 80),
                "Energy": number(KWH, 2, 110),
                "Energy per print": number(KWH, 3, 140),
                "Success": number(PERCENT, 0, 90),
            },
            12,
            8,
        ),
    )


def make() -> Json:
    """The dashboard's JSON."""
    return dashboard(
        "enms-jobs",
        "Job Explorer",
        "The prints that ended in the range: energy, filament, time, cost and how they ended.",
        (variables.FACTORY, variables.DEVICE, RESULT, MATERIAL),
        (
            _numbers(),
            _results(),
            _consumption(),
            row("Prints", common.prints_table(limit=500, height=14)),
        ),
        time=("now-30d", "now"),
        refresh="5m",
    )
