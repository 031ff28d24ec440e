"""Pieces of SQL that several panels share. Accounting is not done here: it is in database/functions.

Variables are written `${name:sqlstring}` (quoted, comma separated) inside ARRAY[…]::text[], which stays valid when
nothing is chosen.
"""

import textwrap
from collections.abc import Sequence

FROM, TO = "$__timeFrom()::timestamptz", "$__timeTo()::timestamptz"
RANGE = f"{FROM}, {TO}"
FACTORIES = "ARRAY[${factory:sqlstring}]::text[]"
DEVICES = "ARRAY[${device:sqlstring}]::text[]"
TYPE = "${energy_type:sqlstring}"
TODAY = "date_trunc('day', now(), factory_zone())"

# kWh per chosen device over the range; devices about which nothing is known are missing.
ENERGY = f"(SELECT * FROM devices_energy({RANGE}, {TYPE}) WHERE device_id = ANY ({DEVICES}))"

# Wh, cost, currency and g CO2 per chosen device over the range.
COST = f"""(SELECT u.device_id, c.* FROM (SELECT {DEVICES} AS ids) x
    CROSS JOIN LATERAL devices_energy_cost(x.ids, array_fill({FROM}, ARRAY[cardinality(x.ids)]),
                                           array_fill({TO}, ARRAY[cardinality(x.ids)]), {TYPE}) c
    JOIN LATERAL unnest(x.ids) WITH ORDINALITY AS u (device_id, n) ON u.n = c.n)"""

# Seconds and electricity of each state, in the whole hours that the range touches.
PHASES = (
    f"(SELECT * FROM printer_phase_1hour WHERE device_id = ANY ({DEVICES})"
    f" AND bucket >= floor_to(3600, {FROM}) AND bucket < {TO})"
)

# Prints that ended in the range.
ENDED = f"(SELECT * FROM print_jobs WHERE device_id = ANY ({DEVICES}) AND $__timeFilter(end_time))"


def statement(sql: str) -> str:
    """A query as Grafana gets it: without the indentation that it has here."""
    return textwrap.dedent(sql).strip()


def series(step: str | None = None) -> str:
    """The rows of energy_series over the range, a series per machine; `step` is an SQL expression of seconds."""
    return f"energy_series({DEVICES}, {TYPE}, {RANGE}, {step or f'series_step({RANGE}, cardinality({DEVICES}))'})"


# A sum takes fewer points than lines do, so more rows may be read for it.
TOGETHER_STEP = f"greatest(60, series_step({RANGE}, cardinality({DEVICES}), 75000))"


def together() -> str:
    """The rows of energy_series over the range, one series of all chosen machines together."""
    return f"energy_series({DEVICES}, {TYPE}, {RANGE}, {TOGETHER_STEP}, true)"


def bars() -> str:
    """The rows of energy_series in the buckets of a bar chart: hours or days of the factory."""
    return series(f"bar_step({RANGE})")


def bar_of(column: str) -> str:
    """The start of the bar of a bar chart that the time in a column belongs to."""
    return (
        f"CASE WHEN bar_step({RANGE}) = 3600 THEN floor_to(3600, {column})"
        f" ELSE date_trunc('day', {column}, (SELECT factory_zone())) END"
    )


def now(devices: str = DEVICES, energy_type: str = TYPE) -> str:
    """A row per device as it is now.

    `state` is offline when the newest status is stale; `power_w` (W) is that of its main meters, NULL when they are
    silent.
    """
    return f"""(SELECT d.device_id, d.friendly_name, d.device_model, d.location, d.device_type, d.idle_power_w,
        l.status_at, l.state_since, l.filename, l.material, l.nozzle_temp_actual, l.bed_temp_actual,
        l.progress_percent, l.time_left_seconds,
        CASE WHEN d.source = 'none' AND l.status_at IS NULL THEN 'unknown'
             WHEN l.status_at > now() - greatest(interval '5 minutes',
                 make_interval(secs => 2 * d.data_interval_seconds)) THEN l.state
             ELSE 'offline' END AS state,
        (SELECT sum(s.last_power_watts) FROM meter_assignments a JOIN meters m USING (meter_id)
             JOIN meter_state s USING (meter_id)
         WHERE a.device_id = d.device_id AND a.role = 'main' AND m.energy_type = {energy_type}
           AND a.valid_from <= now() AND a.valid_to > now()
           AND s.last_power_at > now() - interval '5 minutes') AS power_w
    FROM devices d LEFT JOIN device_latest l USING (device_id) WHERE d.is_active AND d.device_id = ANY ({devices}))"""


def sampled(table: str, key: str, columns: Sequence[str], keys: str) -> str:
    """Rows of a raw table over the range: `time`, `key` and the columns, for the keys that the query `keys` names.

    Below 6 hours (and up to 20 keys) these are all rows, otherwise the first row of each of at most 4,000 steps. Where
    five minutes or a step have nothing there is a row of NULLs, so that no line crosses a hole. The table is read by
    (`key`, timestamp), never the whole range.
    """
    names = ", ".join(f"r.{column}" for column in columns)
    nothing = ", ".join("NULL" for _ in columns)
    return f"""(WITH k AS MATERIALIZED (SELECT DISTINCT key FROM ({keys}) x (key)
        WHERE EXISTS (SELECT 1 FROM {table} r WHERE r.{key} = x.key AND $__timeFilter(r.timestamp))),
    step AS MATERIALIZED (
        SELECT CASE WHEN {TO} - {FROM} < interval '6 hours' AND (SELECT count(*) FROM k) <= 20 THEN NULL
                    ELSE greatest(interval '1 minute', ({TO} - {FROM}) * (SELECT count(*) FROM k) / 4000) END AS width
    ), found AS (
        SELECT r.timestamp AS time, k.key, {names},
               lag(r.timestamp) OVER (PARTITION BY k.key ORDER BY r.timestamp) AS before
        FROM k JOIN {table} r ON r.{key} = k.key AND $__timeFilter(r.timestamp) WHERE (SELECT width FROM step) IS NULL
    )
    SELECT time, key, {", ".join(columns)} FROM found
    UNION ALL SELECT before + interval '1 millisecond', key, {nothing} FROM found
              WHERE time > before + interval '5 minutes'
    UNION ALL SELECT coalesce(r.timestamp, g.at), k.key, {names}
    FROM step CROSS JOIN k CROSS JOIN LATERAL generate_series({FROM}, {TO} - step.width, step.width) g (at)
    LEFT JOIN LATERAL (SELECT * FROM {table} r
                       WHERE r.{key} = k.key AND r.timestamp >= g.at AND r.timestamp < g.at + step.width
                       ORDER BY r.timestamp LIMIT 1) r ON true
    WHERE step.width IS NOT NULL)"""
