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
# The default factory's day, for what belongs to no machine.
DEFAULT_ZONE = "(SELECT factory_zone(default_factory()))"

# kWh per chosen device over the range; devices about which nothing is known are missing.
ENERGY = f"(SELECT * FROM devices_energy({RANGE}, {TYPE}) WHERE device_id = ANY ({DEVICES}))"

# Wh, cost, currency and g CO2 per chosen device over the range.
COST = f"""(SELECT u.device_id, c.* FROM (SELECT {DEVICES} AS ids) x
    CROSS JOIN LATERAL devices_energy_cost(x.ids, array_fill({FROM}, ARRAY[cardinality(x.ids)]),
                                           array_fill({TO}, ARRAY[cardinality(x.ids)]), {TYPE}) c
    JOIN LATERAL unnest(x.ids) WITH ORDINALITY AS u (device_id, n) ON u.n = c.n)"""

# Wh per chosen device since midnight at its own factory.
TODAY = f"""(SELECT u.device_id, e.energy_wh
    FROM (SELECT coalesce(array_agg(d.device_id ORDER BY d.device_id), '{{}}') AS ids,
                 coalesce(array_agg(date_trunc('day', now(), f.timezone) ORDER BY d.device_id), '{{}}') AS starts
          FROM devices d JOIN factories f USING (factory_id) WHERE d.device_id = ANY ({DEVICES})) x
    CROSS JOIN LATERAL devices_energy(x.ids, x.starts, array_fill(now(), ARRAY[cardinality(x.ids)]), {TYPE}) e
    JOIN LATERAL unnest(x.ids) WITH ORDINALITY AS u (device_id, n) ON u.n = e.n)"""

# Seconds and electricity of each state, in the whole hours that the range touches; name, class and phase of the state.
PHASES = f"""(SELECT d.device_id, n.state, n.name, n.class, n.phase, p.seconds, p.energy_wh
    FROM devices d JOIN series.device_state_1hour p USING (device_key) JOIN states n USING (state_key)
    WHERE d.device_id = ANY ({DEVICES}) AND p.bucket >= floor_to(3600, {FROM}) AND p.bucket < {TO})"""
# What a machine's states mean, whatever its kind: it works; it was heard; it waits for work.
WORKS, HEARD, WAITS = "class = 'productive'", "class <> 'off'", "class = 'ready' AND phase = 'Idle'"

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
    """The rows of energy_series in the buckets of a bar chart: hours, or days of each machine's factory."""
    return series(f"bar_step({RANGE})")


def bar_of(column: str, zone: str) -> str:
    """The start of the bar of a bar chart that the time in a column belongs to; `zone` is an SQL expression."""
    return (
        f"CASE WHEN bar_step({RANGE}) = 3600 THEN floor_to(3600, {column}) ELSE date_trunc('day', {column}, {zone}) END"
    )


def now(devices: str = DEVICES, energy_type: str = TYPE) -> str:
    """A row per device as it is now.

    `state` is offline when the newest status does not hold any more; `state_name`, `class` and `phase` are those of the
    state. `power_w` (W) is that of its meters that add up, NULL when they are silent.
    """
    return f"""(SELECT x.*, n.name AS state_name, n.class, n.phase
    FROM (SELECT d.device_id, d.friendly_name, d.device_model, d.location, d.device_type, d.idle_power_w,
        l.status_at, l.state_since, l.filename, l.material, l.nozzle_temp_actual, l.bed_temp_actual,
        l.progress_percent, l.time_left_seconds,
        CASE WHEN d.source = 'none' AND l.status_at IS NULL THEN 'unknown'
             WHEN l.status_at > now() - holds(d.data_interval_seconds) THEN l.state
             ELSE 'offline' END AS state,
        -- a virtual meter is the sum of its parts; what one of them does not know it does not know
        (SELECT sum(w.watts) FROM meter_assignments a JOIN meters m USING (meter_id)
             CROSS JOIN LATERAL (
                 SELECT CASE WHEN bool_and(coalesce(s.last_power_at > now() - holds(r.reporting_interval_s), false))
                             THEN sum(coalesce(v.factor, 1) * s.last_power_watts) END AS watts
                 FROM (SELECT) own LEFT JOIN virtual_meter_parts v ON v.meter_id = m.meter_id
                 JOIN meters r ON r.meter_id = coalesce(v.part_id, m.meter_id)
                 LEFT JOIN meter_state s ON s.meter_id = r.meter_id) w
         WHERE a.device_id = d.device_id AND a.adds AND m.energy_type = {energy_type} AND m.direction = 'import'
           AND a.valid_from <= now() AND a.valid_to > now()) AS power_w
    FROM devices d LEFT JOIN device_latest l USING (device_id)
    WHERE d.is_active AND d.device_id = ANY ({devices})) x LEFT JOIN states n USING (state))"""


# Keys of series with the names that they stand for, and for how long a row of one says something.
METER_KEYS = (
    "SELECT m.meter_key, m.meter_id, holds(m.reporting_interval_s)"
    " FROM meter_assignments a JOIN meters m USING (meter_id)"
    f" WHERE a.device_id = ANY ({DEVICES}) AND a.valid_from < {TO} AND a.valid_to > {FROM}"
)
DEVICE_KEYS = (
    "SELECT d.device_key, d.device_id, holds(d.data_interval_seconds) FROM devices d"
    f" WHERE d.device_id = ANY ({DEVICES})"
)
PRINTER_KEYS = f"{DEVICE_KEYS} AND d.device_type = 'printer'"
SENSOR_KEYS = "SELECT n.sensor_key, n.sensor_id, holds(NULL) FROM sensors n"


def place_keys(column: str) -> str:
    """The places that tell that column of series.environmental."""
    return (
        "SELECT l.location_key, l.location_id, holds(NULL) FROM locations l WHERE EXISTS (SELECT 1 FROM"
        f" (SELECT e.{column} AS told FROM series.environmental e WHERE e.location_key = l.location_key"
        " ORDER BY e.timestamp DESC LIMIT 100) r WHERE r.told IS NOT NULL)"
    )


def sampled(name: str, key: str, columns: Sequence[str], keys: str) -> str:
    """Rows of a series over the range: `time`, `key` (its name) and the columns, for what the query `keys` names.

    That query has the key in the series, its name, and for how long a row says something. Below 6 hours (and up to 20
    keys) these are all rows, otherwise the first row of each of at most 4,000 steps. Where a row does not hold until
    the next one (or for two steps) there is a row of NULLs, so that no line crosses a hole. The series is read by
    (`key`, timestamp), never the whole range.
    """
    names = ", ".join(f"r.{column}" for column in columns)
    nothing = ", ".join("NULL" for _ in columns)
    return f"""(WITH k AS MATERIALIZED (SELECT DISTINCT x.key, x.name, x.hold FROM ({keys}) x (key, name, hold)
        WHERE EXISTS (SELECT 1 FROM series.{name} r WHERE r.{key} = x.key AND $__timeFilter(r.timestamp))),
    step AS MATERIALIZED (
        SELECT CASE WHEN {TO} - {FROM} < interval '6 hours' AND (SELECT count(*) FROM k) <= 20 THEN NULL
                    ELSE greatest(interval '1 minute', ({TO} - {FROM}) * (SELECT count(*) FROM k) / 4000) END AS width
    ), found AS (
        SELECT r.timestamp AS time, k.name, k.hold, {names}
        FROM k JOIN series.{name} r ON r.{key} = k.key AND $__timeFilter(r.timestamp)
        WHERE (SELECT width FROM step) IS NULL
        UNION ALL
        SELECT r.timestamp, k.name, greatest(k.hold, 2 * step.width), {names}
        FROM step CROSS JOIN k CROSS JOIN LATERAL generate_series({FROM}, {TO} - step.width, step.width) g (at)
        CROSS JOIN LATERAL (SELECT * FROM series.{name} r
                            WHERE r.{key} = k.key AND r.timestamp >= g.at AND r.timestamp < g.at + step.width
                            ORDER BY r.timestamp LIMIT 1) r
        WHERE step.width IS NOT NULL
    ), ordered AS MATERIALIZED (
        SELECT f.*, lag(f.time) OVER (PARTITION BY f.name ORDER BY f.time) AS before FROM found f
    )
    SELECT time, name AS key, {", ".join(columns)} FROM ordered
    UNION ALL SELECT before + interval '1 millisecond', name, {nothing} FROM ordered WHERE time > before + hold)"""
