"""Data Quality: whether the numbers of the other dashboards can be trusted, and what to fix where they can't."""

from .. import variables
from ..config import AGE, BAD, BYTES, COUNT, GOOD, NONE_IS_GOOD, PERCENT, SHARE_GOOD, STATES, WARN, Json, S, W
from ..dashboard import Row, dashboard, row
from ..links import MACHINE_OF_ROW, PRINT_OF_ROW
from ..panels import hidden, judged, linked, named, number, ranking, stacked, stat, table, time_column
from ..queries import DEFAULT_ZONE, DEVICES, ENDED, RANGE, bar_of, bars, now

# Share of the range up to now in which a machine's meters reported, and the hours that are missing: whole bars, of
# the machine's own factory where they are days.
COVERAGE = f"""SELECT d.friendly_name, d.device_id,
    least(100, 100 * coalesce(c.covered_s, 0) / nullif(w.seconds, 0)) AS percent,
    (w.seconds - coalesce(c.covered_s, 0)) / 3600 AS hours
FROM (SELECT s.device_id, sum(s.coverage_s) AS covered_s FROM {bars()} s WHERE s.coverage_s IS NOT NULL
      GROUP BY s.device_id) c JOIN devices d USING (device_id) JOIN factories f USING (factory_id)
CROSS JOIN LATERAL (SELECT sum(extract(epoch FROM least(b.t1, now()) - b.t0)) AS seconds
                    FROM buckets_between({RANGE}, bar_step({RANGE}), f.timezone) b WHERE b.t0 < now()) w"""
ROLE = {
    "main": ("main", "green"),
    "dryer": ("dryer", "green"),
    "accessory": ("accessory", "green"),
    "sub": ("sub", "blue"),
    "part": ("part", "blue"),
    "nobody's": ("nobody's", "orange"),
}
# Another meter, a virtual one, is made of it.
IS_PART = "EXISTS (SELECT 1 FROM virtual_meter_parts v WHERE v.part_id = m.meter_id)"


def _numbers() -> Row:
    return row(
        "Now and over the range",
        stat(
            "Newest reading",
            "Age of the newest reading of any meter. Minutes of silence mean that the broker, the flows or the network"
            " stand still.",
            "SELECT extract(epoch FROM now() - max(last_at)) AS seconds FROM meter_state",
            S,
            AGE,
            0,
        ),
        stat(
            "Silent meters",
            "Assigned meters of active machines that have said nothing for an hour, and for three of their intervals.",
            f"""
                SELECT count(*) FILTER (WHERE coalesce(s.last_at, '-infinity')
                           < now() - greatest(interval '1 hour', holds(m.reporting_interval_s))) AS meters
                FROM meter_assignments a JOIN devices d USING (device_id) JOIN meters m USING (meter_id)
                LEFT JOIN meter_state s USING (meter_id)
                WHERE a.valid_to = 'infinity' AND d.is_active AND d.device_id = ANY ({DEVICES})
                  AND m.reading_kind <> 'virtual' AND m.protocol NOT IN ('import', 'manual')""",
            COUNT,
            NONE_IS_GOOD,
            0,
        ),
        stat(
            "Meters of nobody",
            "Meters that report but belong to no machine: assign them on the Devices page.",
            "SELECT count(*) AS meters FROM meters m WHERE NOT EXISTS (SELECT 1 FROM meter_assignments a"
            f" WHERE a.meter_id = m.meter_id AND a.valid_to = 'infinity') AND NOT {IS_PART}",
            COUNT,
            ((None, GOOD), (1, WARN)),
            0,
        ),
        stat(
            "Jumping counters",
            "Meters whose newest readings do not fit their counter: the energy is unknown meanwhile. Is the plug"
            " another one, or its highest power set too low?",
            "SELECT count(*) FILTER (WHERE jumps_in_row >= 3) AS meters FROM meter_state",
            COUNT,
            NONE_IS_GOOD,
            0,
        ),
        stat(
            "Refused messages",
            "Messages of the range that could not be used; the table below tells why.",
            "SELECT coalesce(sum(count), 0)::bigint AS messages FROM ingest_rejects WHERE $__timeFilter(last_at)",
            COUNT,
            ((None, GOOD), (1, WARN), (1000, BAD)),
            0,
        ),
        stat(
            "Covered time",
            "Share of the range in which the machines' meters reported; whole hours, or days of each machine's own"
            " factory.",
            f"SELECT avg(percent) AS percent FROM ({COVERAGE}) c",
            PERCENT,
            SHARE_GOOD,
            1,
        ),
        stat(
            "Rollups behind",
            "Age of the oldest reading that no rollup holds yet. Housekeeping rolls up each minute.",
            "SELECT coalesce(extract(epoch FROM now() - min(dirty_from)), 0) AS seconds FROM meter_state"
            " WHERE dirty_from IS NOT NULL",
            S,
            AGE,
            0,
        ),
        stat(
            "Database",
            "Size of the database. The free space of its disk is not seen from inside: ./enms doctor looks at it.",
            "SELECT pg_database_size(current_database()) AS bytes",
            BYTES,
            decimals=1,
        ),
    )


def _meters() -> Row:
    return row(
        "Meters",
        table(
            "Meters",
            "What each meter said last. Usual: its usual distance between readings. Clock: how far the device's clock"
            " is off, where it sends its time. Jumps: readings in a row that do not fit the counter.",
            f"""
                SELECT m.meter_id AS "Meter", d.friendly_name AS "Machine",
                       coalesce(a.role, CASE WHEN {IS_PART} THEN 'part' ELSE 'nobody''s' END) AS "Role",
                       m.protocol AS "Protocol",
                       m.energy_type AS "Energy",
                       extract(epoch FROM now() - s.last_at) AS "Heard", m.reporting_interval_s AS "Usual",
                       s.last_power_watts AS "Power",
                       s.clock_offset_s AS "Clock",
                       s.jumps_in_row AS "Jumps", m.first_seen AS "First seen", a.device_id
                FROM meters m LEFT JOIN meter_assignments a ON a.meter_id = m.meter_id AND a.valid_to = 'infinity'
                LEFT JOIN devices d USING (device_id)
                LEFT JOIN meter_state s ON s.meter_id = m.meter_id
                WHERE a.device_id IS NULL OR a.device_id = ANY ({DEVICES})
                ORDER BY s.last_at NULLS FIRST, m.meter_id LIMIT 1100""",
            {
                "Machine": linked(MACHINE_OF_ROW, 190),
                "Role": named(ROLE, 90),
                "Heard": judged(S, ((None, GOOD), (600, WARN), (3600, BAD)), 0, 90),
                "Usual": number(S, 0, 80),
                "Power": number(W, 0, 90),
                "Clock": number(S, 1, 80),
                "Jumps": judged(COUNT, ((None, GOOD), (1, WARN), (3, BAD)), 0, 80),
                "First seen": time_column(),
                "device_id": hidden(),
            },
            16,
            10,
        ),
        ranking(
            "Worst covered machines",
            "Share of the range in which the machine's meters reported; whole hours, or days of its own factory.",
            f'SELECT friendly_name AS "Machine", device_id, percent FROM ({COVERAGE}) c ORDER BY percent LIMIT 15',
            PERCENT,
            SHARE_GOOD,
            8,
            10,
            1,
            100,
        ),
    )


def _printers() -> Row:
    return row(
        "Printers",
        table(
            "Printers' statuses",
            "Machines by the age of their newest status, the oldest first.",
            f"""
                      SELECT n.friendly_name AS "Machine", n.state_name AS "State",
                             extract(epoch FROM now() - n.status_at) AS "Heard",
                             d.source AS "Source", l.last_error AS "Last error", l.last_error_at AS "At", n.device_id
                      FROM {now()} n JOIN devices d USING (device_id) LEFT JOIN device_latest l USING (device_id)
                      WHERE d.source <> 'none'
                      ORDER BY n.status_at NULLS FIRST""",
            {
                "Machine": linked(MACHINE_OF_ROW, 190),
                "State": named(STATES),
                "Heard": judged(S, AGE, 0, 90),
                "Source": {"custom_width": 110},
                "At": time_column(),
                "device_id": hidden(),
            },
            12,
            9,
        ),
        table(
            "Prints without final energy",
            "Prints of the range whose energy is unknown, still provisional or full of holes. Without a meter"
            " there is none; provisional ones wait for their meter.",
            f"""
                SELECT d.friendly_name AS "Machine", j.filename AS "File", j.end_time AS "Ended",
                       j.energy_quality ->> 'method' AS "Method",
                       (j.energy_quality ->> 'coverage_pct')::float8 AS "Covered",
                       (j.energy_quality ->> 'gaps')::integer AS "Gaps",
                       CASE WHEN j.session_energy_wh IS NULL THEN 'unknown'
                             WHEN NOT j.energy_final THEN 'provisional' ELSE 'holes' END AS "Energy is",
                       j.device_id, d.friendly_name || ' ' || coalesce(j.filename, '') AS search
                FROM {ENDED} j JOIN devices d USING (device_id)
                WHERE j.session_energy_wh IS NULL OR NOT j.energy_final
                  OR (j.energy_quality ->> 'coverage_pct')::float8 < 90
                ORDER BY j.end_time DESC LIMIT 200""",
            {
                "Machine": linked(MACHINE_OF_ROW, 170),
                "File": linked(PRINT_OF_ROW),
                "Ended": time_column(),
                "Covered": judged(PERCENT, SHARE_GOOD, 0, 85),
                "Gaps": number(COUNT, 0, 70),
                "device_id": hidden(),
                "search": hidden(),
            },
            12,
            9,
        ),
    )


def _refused() -> Row:
    return row(
        "Refused messages",
        stacked(
            "Refused messages by reason",
            "By the hour, or day of the default factory, in which they were last seen; equal ones of an hour are one"
            " counted row.",
            f"""
                SELECT {bar_of("r.last_at", DEFAULT_ZONE)} AS time, left(r.reason, 60) AS metric,
                       sum(r.count)::bigint AS messages
                FROM ingest_rejects r WHERE $__timeFilter(r.last_at) GROUP BY 1, 2 ORDER BY 1, 2 LIMIT 2000""",
            COUNT,
            10,
            9,
            decimals=0,
        ),
        table(
            "Refused messages",
            "The newest; payloads are shown in the app's interface /api/rejects.",
            """
                SELECT r.last_at AS "Last", r.source AS "Source", r.topic AS "Topic", r.reason AS "Reason",
                       r.count AS "Times"
                FROM ingest_rejects r WHERE $__timeFilter(r.last_at) ORDER BY r.last_at DESC LIMIT 200""",
            {"Last": time_column(), "Source": {"custom_width": 110}, "Times": number(COUNT, 0, 80)},
            14,
            9,
        ),
    )


def make() -> Json:
    """The dashboard's JSON."""
    return dashboard(
        "enms-quality",
        "Data Quality",
        "Whether the numbers can be trusted: silence, holes, refused messages, counters that jump, and what to mend.",
        (variables.FACTORY, variables.DEVICE, variables.ENERGY_TYPE),
        (_numbers(), _meters(), _printers(), _refused()),
        time=("now-24h", "now"),
    )
