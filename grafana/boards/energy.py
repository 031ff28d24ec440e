"""Energy & Cost: what the machines took, when, in which state, and what it cost."""

from .. import common, variables
from ..config import BAD, COUNT, GOOD, KG, KWH, PERCENT, WARN, G, Json, W
from ..dashboard import Row, dashboard, row
from ..links import MACHINE_OF_ROW
from ..panels import bar_chart, gauge, hidden, linked, number, stacked, stat, table
from ..queries import COST, DEVICES, ENERGY, FACTORIES, FROM, RANGE, TO, TOGETHER_STEP, TYPE

BEFORE = f"{FROM} - ({TO} - {FROM}), {FROM}"
COST_BARS = f"cost_series({DEVICES}, {TYPE}, {RANGE}, bar_step({RANGE}))"


def _numbers() -> Row:
    return row(
        "Over the range",
        common.energy_total(),
        common.cost_total(),
        common.co2_total(),
        stat(
            "Against the range before",
            "Energy of the chosen machines against the same length of time just before; missing when that time is not"
            " known whole.",
            f"""
                SELECT CASE WHEN k.known THEN 100 * (e.wh / nullif(b.wh, 0) - 1) END AS percent
                FROM (SELECT bool_and(m.first_seen <= {FROM} - ({TO} - {FROM})) AS known FROM meter_assignments a
                      JOIN meters m USING (meter_id)
                      WHERE a.device_id = ANY ({DEVICES}) AND a.adds AND m.energy_type = {TYPE}
                        AND m.direction = 'import') k,
                     (SELECT sum(energy_wh) AS wh FROM {ENERGY} e) e,
                     (SELECT sum(energy_wh) AS wh FROM devices_energy({BEFORE}, {TYPE})
                      WHERE device_id = ANY ({DEVICES})) b""",
            PERCENT,
            ((None, GOOD), (5, WARN), (20, BAD)),
            1,
        ),
        stat(
            "Mean power",
            "Energy of the range over its length up to now.",
            f"SELECT sum(energy_wh) * 3600 / extract(epoch FROM least({TO}, now()) - {FROM})::float8 AS watts"
            f" FROM {ENERGY} e",
            W,
            decimals=0,
        ),
        stat(
            "Highest mean power",
            "The highest mean power of all chosen machines together; the bucket in which it is sought is named, a"
            " quarter of an hour where the range allows it.",
            f"""
                SELECT CASE b.step WHEN 900 THEN 'quarter of an hour' WHEN 3600 THEN 'hour' ELSE 'day' END AS bucket,
                       max(s.avg_power_w) AS watts
                FROM (SELECT greatest(900, {TOGETHER_STEP}) AS step) b
                CROSS JOIN LATERAL energy_series({DEVICES}, {TYPE}, {RANGE}, b.step, true) s GROUP BY b.step""",
            W,
            decimals=0,
            by_row=True,
        ),
        stat(
            "Price now",
            "What a kWh costs at this moment, by factory.",
            f"""
                SELECT f.name || ', ' || t.currency AS tariff, t.price_per_kwh AS price
                FROM factories f CROSS JOIN LATERAL tariff_at(f.factory_id, {TYPE}, now()) t
                WHERE f.slug = ANY ({FACTORIES}) AND t.tariff_id IS NOT NULL ORDER BY 1""",
            COUNT,
            decimals=3,
            by_row=True,
        ),
        stat(
            "CO₂ per kWh now",
            "The carbon factor at this moment, by factory.",
            f"""
                SELECT f.name AS factory, c.g_co2_per_kwh AS grams
                FROM factories f CROSS JOIN LATERAL carbon_at(f.factory_id, {TYPE}, now()) c
                WHERE f.slug = ANY ({FACTORIES}) AND c.g_co2_per_kwh IS NOT NULL ORDER BY 1""",
            G,
            decimals=0,
            by_row=True,
        ),
    )


def _when() -> Row:
    return row(
        "When",
        common.energy_bars(),
        common.fleet_power(),
        stacked(
            "Cost by hour or day",
            "Energy × the price that held at that time, a series per currency. Days are those of each machine's own"
            " factory.",
            f"SELECT time, currency AS metric, cost FROM {COST_BARS} c WHERE cost IS NOT NULL ORDER BY 1, 2",
            COUNT,
            8,
            decimals=2,
        ),
        stacked(
            "CO₂ by hour or day",
            "Energy × the carbon factor that held at that time. Days are those of each machine's own factory.",
            f"""
                SELECT time, 'CO₂' AS metric, sum(co2_g) / 1000 AS kg FROM {COST_BARS} c
                WHERE co2_g IS NOT NULL GROUP BY 1 ORDER BY 1""",
            KG,
            8,
        ),
        bar_chart(
            "Energy by hour of the day",
            "Energy of the range, summed by the hour of the clock of each machine's own factory in which it was taken.",
            f"""
                SELECT to_char(s.time AT TIME ZONE z.timezone, 'HH24') AS "Hour", sum(s.energy_wh) / 1000 AS "Energy"
                FROM (SELECT f.timezone, array_agg(d.device_id) AS devices
                      FROM devices d JOIN factories f USING (factory_id)
                      WHERE d.device_id = ANY ({DEVICES}) GROUP BY f.timezone) z
                CROSS JOIN LATERAL energy_series(z.devices, {TYPE}, {RANGE}, 3600, true) s
                WHERE s.energy_wh IS NOT NULL GROUP BY 1 ORDER BY 1""",
            KWH,
            "Hour",
            8,
        ),
    )


def _where() -> Row:
    return row(
        "Where",
        table(
            "Machines",
            "Energy, cost and CO₂ of each machine over the range.",
            f"""
                      WITH c AS MATERIALIZED (SELECT * FROM {COST} c WHERE energy_wh IS NOT NULL)
                      SELECT d.friendly_name AS "Machine", d.device_model AS "Model", d.location AS "Place",
                             c.energy_wh / 1000 AS "Energy",
                             100 * c.energy_wh / nullif(sum(c.energy_wh) OVER (), 0) AS "Share",
                             c.energy_wh * 3600
                                 / extract(epoch FROM least({TO}, now()) - {FROM})::float8 AS "Mean power",
                             c.cost AS "Cost", c.currency AS "Currency", c.co2_g / 1000 AS "CO₂", c.device_id
                      FROM c JOIN devices d USING (device_id) ORDER BY c.energy_wh DESC""",
            {
                "Machine": linked(MACHINE_OF_ROW, 190),
                "Energy": number(KWH, 2, 110),
                "Share": gauge(PERCENT),
                "Mean power": number(W, 0, 110),
                "Cost": number(COUNT, 2, 90),
                "CO₂": number(KG, 2, 95),
                "device_id": hidden(),
            },
            16,
            10,
        ),
        common.energy_by_state(8, 10),
    )


def _rates() -> Row:
    return row(
        "Rates",
        table(
            "Tariffs",
            "The tariffs of the chosen factories; the one with the highest priority that holds at a moment counts.",
            f"""
                SELECT f.name AS "Factory", t.name AS "Tariff", t.price_per_kwh AS "Price per kWh",
                       t.currency AS "Currency",
                       t.priority AS "Priority",
                       to_char(t.time_from, 'HH24:MI') || '–' || to_char(t.time_to, 'HH24:MI') AS "Hours",
                       array_to_string(t.weekdays, ' ') AS "Weekdays (1 = Monday)",
                       coalesce(to_char(nullif(t.valid_from, '-infinity'), 'YYYY-MM-DD'), 'always') AS "From",
                       coalesce(to_char(nullif(t.valid_to, 'infinity'), 'YYYY-MM-DD'), 'open') AS "Until"
                FROM energy_tariffs t JOIN factories f USING (factory_id)
                WHERE f.slug = ANY ({FACTORIES}) AND t.energy_type = {TYPE}
                ORDER BY f.name, t.priority DESC, t.tariff_id""",
            {"Price per kWh": number(COUNT, 4), "Priority": number(COUNT, 0)},
            14,
            7,
        ),
        table(
            "Carbon factors",
            "The carbon factors of the factories' regions; where one has a profile by the hour, the table shows its"
            " plain value.",
            f"""
                SELECT c.region AS "Region", c.g_co2_per_kwh AS "CO₂ per kWh",
                       CASE WHEN c.hourly_profile IS NULL THEN 'no' ELSE 'yes' END AS "By hour",
                       coalesce(to_char(nullif(c.valid_from, '-infinity'), 'YYYY-MM-DD'), 'always') AS "From",
                       c.source AS "Source"
                FROM carbon_factors c WHERE c.energy_type = {TYPE}
                  AND c.region IN (SELECT carbon_region FROM factories WHERE slug = ANY ({FACTORIES}))
                ORDER BY c.region, c.valid_from""",
            {"CO₂ per kWh": number(G, 0)},
            10,
            7,
        ),
    )


def make() -> Json:
    """The dashboard's JSON."""
    return dashboard(
        "enms-energy",
        "Energy & Cost",
        "What the machines took, when, in which state, and what it cost. One kind of energy at a time.",
        (variables.FACTORY, variables.DEVICE, variables.ENERGY_TYPE),
        (_numbers(), _when(), _where(), _rates()),
        time=("now-7d", "now"),
        refresh="5m",
    )
