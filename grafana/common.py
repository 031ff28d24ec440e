"""Panels that several dashboards show."""

from .config import COUNT, KG, KWH, PERCENT, RESULTS, SHARE_GOOD, STATE_COLORS, WH, G, H, Json, Names, S, W
from .links import PRINT_OF_ROW
from .panels import donut, hidden, judged, linked, named, number, stacked, stat, states, table, time_column, timeseries
from .queries import COST, DEVICES, ENDED, ENERGY, PHASES, RANGE, bar_of, bars, together


def words(names: Names) -> str:
    """SQL: a table n (value, name) of the values of a mapping and their texts."""
    return "(VALUES " + ", ".join(f"('{value}', '{text}')" for value, (text, _) in names.items()) + ") n (value, name)"


def colors(names: Names) -> dict[str, str]:
    """{text: colour} of a mapping."""
    return dict(names.values())


def energy_total(width: int = 3) -> Json:
    """Energy of the chosen machines over the range."""
    return stat(
        "Energy",
        "Energy of the chosen machines over the range, from their meters (main, dryer, accessory). Sub meters are not"
        " added: they measure a part of it.",
        f"SELECT sum(energy_wh) / 1000 AS kwh FROM {ENERGY} e",
        KWH,
        decimals=1,
        width=width,
    )


def cost_total() -> Json:
    """Cost over the range, a number per currency."""
    return stat(
        "Cost",
        "Energy × the price that held at that time, in the currency of the tariff. Missing when a part of the energy"
        " has no tariff.",
        f"SELECT currency, CASE WHEN bool_and(cost IS NOT NULL) THEN sum(cost) END AS cost FROM {COST} c"
        " WHERE energy_wh IS NOT NULL GROUP BY currency ORDER BY currency",
        COUNT,
        decimals=2,
        by_row=True,
    )


def co2_total() -> Json:
    """CO2 over the range."""
    return stat(
        "CO₂",
        "Energy × the carbon factor that held at that time. Missing when a part of the energy has no factor.",
        f"SELECT CASE WHEN bool_and(co2_g IS NOT NULL) THEN sum(co2_g) / 1000 END AS kg FROM {COST} c"
        " WHERE energy_wh IS NOT NULL",
        KG,
        decimals=1,
    )


def success(width: int = 3) -> Json:
    """Share of prints that ended well."""
    return stat(
        "Successful prints",
        "Prints that ended as done, of all that ended in the range with a known result.",
        "SELECT 100.0 * count(*) FILTER (WHERE status = 'done')"
        f" / nullif(count(*) FILTER (WHERE status <> 'unknown'), 0) AS percent FROM {ENDED} j",
        PERCENT,
        SHARE_GOOD,
        0,
        width,
    )


def fleet_power() -> Json:
    """Sum of the mean powers."""
    return timeseries(
        "Power of the chosen machines",
        "Sum of the time-weighted mean power of the machines that reported, from minutes, quarters of an hour, hours"
        " or days, as the range is long.",
        f'SELECT time, avg_power_w AS "Mean power" FROM {together()} s ORDER BY time',
        W,
    )


def energy_bars() -> Json:
    """Energy by hour or day, the eight largest machines apart."""
    return stacked(
        "Energy by hour or day",
        "Up to three days a bar is an hour, beyond that a day that begins in the range, of each machine's own factory:"
        " days of factories in different time zones stand beside each other. The eight machines that took most are"
        " shown apart.",
        f"""
            WITH s AS MATERIALIZED (SELECT * FROM {bars()} s WHERE energy_wh IS NOT NULL),
                 top AS (SELECT device_id FROM s GROUP BY device_id ORDER BY sum(energy_wh) DESC LIMIT 8)
            SELECT s.time, coalesce(d.friendly_name, 'the others') AS metric, sum(s.energy_wh) / 1000 AS kwh
            FROM s LEFT JOIN top t USING (device_id) LEFT JOIN devices d ON d.device_id = t.device_id GROUP BY 1, 2
            ORDER BY 1, 2""",
        KWH,
    )


def state_bands(height: int = 8) -> Json:
    """What each machine did."""
    return states(
        "What the machines did",
        "Exact up to 300 machine hours (12 machines for a day); beyond that the state that held longest in each hour"
        " or, after eight days, in each day of the machine's factory.",
        f"""
            SELECT s.time, d.friendly_name AS metric, s.device_id, n.name AS state
            FROM state_series({DEVICES}, {RANGE}) s JOIN devices d USING (device_id) JOIN states n USING (state)
            ORDER BY 1, 2""",
        height=height,
    )


def energy_by_state(width: int = 6, height: int = 8) -> Json:
    """Where the electricity went."""
    return donut(
        "Electricity by state",
        "What the machines drew while they printed, heated, waited: whole hours that the range touches.",
        f"""
            SELECT p.name AS "State", sum(p.energy_wh) / 1000 AS kwh
            FROM {PHASES} p GROUP BY 1 HAVING sum(p.energy_wh) > 0 ORDER BY 2 DESC""",
        KWH,
        STATE_COLORS,
        width,
        height,
    )


def time_by_state() -> Json:
    """Where the hours went."""
    return donut(
        "Time by state",
        "Machine hours in each state; no data: nothing was heard for three of the machine's intervals (at least five"
        " minutes). Whole hours that the range touches.",
        f"""
            SELECT p.name AS "State", sum(p.seconds) / 3600 AS hours FROM {PHASES} p GROUP BY 1 ORDER BY 2 DESC""",
        H,
        STATE_COLORS,
    )


def prints_by_result() -> Json:
    """Ended prints by result."""
    return stacked(
        "Prints by result",
        "Prints that ended, by hour or day of the machine's factory.",
        f"""
            SELECT {bar_of("j.end_time", "f.timezone")} AS time, n.name AS metric, count(*) AS prints
            FROM {ENDED} j JOIN devices d USING (device_id) JOIN factories f USING (factory_id)
            JOIN {words(RESULTS)} ON n.value = j.status GROUP BY 1, 2 ORDER BY 1, 2""",
        COUNT,
        colors=colors(RESULTS),
        decimals=0,
    )


def prints_table(limit: int, height: int = 10) -> Json:
    """The newest prints that ran in the range."""
    return table(
        "Prints",
        f"The newest {limit} prints that ran in the range; a cancelled or failed print keeps its energy. Quality tells"
        " how the energy is known: provisional until the meter has passed the end.",
        f"""
            SELECT d.friendly_name AS "Machine", j.filename AS "File", j.status AS "Result", j.start_time AS "Started",
                   j.duration_seconds AS "Took", j.material AS "Material",
                   j.filament_used_g AS "Filament", j.session_energy_wh / 1000 AS "Energy",
                   j.session_energy_wh / nullif(j.filament_used_g, 0) AS "Wh/g",
                   j.cost AS "Cost", j.currency AS "Currency", j.co2_g AS "CO₂",
                   (j.energy_quality ->> 'coverage_pct')::float8 AS "Covered",
                   CASE WHEN j.end_time IS NULL THEN 'running' WHEN j.energy_final THEN 'final'
                        ELSE 'provisional' END AS "Quality",
                   j.device_id, d.friendly_name || ' ' || coalesce(j.filename, '') AS search
            FROM print_jobs j JOIN devices d USING (device_id)
            WHERE j.device_id = ANY ({DEVICES}) AND (j.end_time IS NULL OR $__timeFilter(j.end_time))
              AND j.start_time <= $__timeTo()
            ORDER BY j.start_time DESC LIMIT {limit}""",
        {
            "Machine": linked(PRINT_OF_ROW, 170),
            "File": linked(PRINT_OF_ROW),
            "Result": named(RESULTS, 95),
            "Started": time_column(),
            "Took": number(S, 0, 90),
            "Filament": number(G, 0, 90),
            "Energy": number(KWH, 3, 100),
            "Wh/g": number(WH, 1, 80),
            "Cost": number(COUNT, 2, 75),
            "CO₂": number(G, 0, 85),
            "Covered": judged(PERCENT, SHARE_GOOD, 0, 80),
            "device_id": hidden(),
            "search": hidden(),
        },
        height=height,
    )
