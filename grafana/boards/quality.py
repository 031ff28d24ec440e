"""Data Quality: whether the numbers of the other dashboards can be trusted, and what to fix where they can't."""

from .. import variables
from ..config import AGE, BAD, BYTES, COUNT, GOOD, NONE_IS_GOOD, PERCENT, SHARE_GOOD, STATES, WARN, Json, S, W
from ..dashboard import Row, dashboard, row
from ..links import MACHINE_OF_ROW, PRINT_OF_ROW
from ..panels import hidden, judged, linked, named, number, ranking, stacked, stat, table, time_column
from ..queries import DEVICES, ENDED, RANGE, bar_of, bars, now

# Seconds of the range up to now, and of them those in which a machine's meter reported: whole bars.
COVERED = f"""(SELECT s.device_id, sum(s.coverage_s) AS covered_s,
       sum(extract(epoch FROM least(b.t1, now()) - b.t0)) AS known_s, count(DISTINCT s.time) AS bars
    FROM {bars()} s JOIN buckets_between({RANGE}, bar_step({RANGE})) b ON b.t0 = s.time WHERE s.coverage_s IS NOT NULL
    GROUP BY s.device_id)"""
LENGTH = (
    "(SELECT sum(extract(epoch FROM least(t1, now()) - t0))"
    f" FROM buckets_between({RANGE}, bar_step({RANGE})) b WHERE t0 < now())"
)
COVERAGE = (
    f"SELECT d.friendly_name, d.device_id, least(100, 100 * coalesce(c.covered_s, 0) / nullif({LENGTH}, 0)) AS percent,"
    f" ({LENGTH} - coalesce(c.covered_s, 0)) / 3600 AS hours FROM devices d JOIN {COVERED} c USING (device_id)"
)
ROLE = {"main": ("main", "green"), "sub": ("sub", "blue"), "nobody's": ("nobody's", "orange")}


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
            "Assigned meters of active machines that have said nothing for an hour.",
            f"""
                SELECT count(*) FILTER (WHERE coalesce(s.last_at, '-infinity') < now() - interval '1 hour') AS meters
                FROM meter_assignments a JOIN devices d USING (device_id) LEFT JOIN meter_state s USING (meter_id)
                WHERE a.valid_to = 'infinity' AND d.is_active AND d.device_id = ANY ({DEVICES})""",
            COUNT,
            NONE_IS_GOOD,
            0,
        ),
        stat(
            "Meters of nobody",
            "Meters that report but belong to no machine: assign them on the Devices page.",
            "SELECT count(*) AS meters FROM meters m WHERE NOT EXISTS (SELECT 1 FROM meter_assignments a"
            " WHERE a.meter_id = m.meter_id AND a.valid_to = 'infinity')",
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
            "Share of the range in which the machines' main meters reported; whole hours or days.",
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
                SELECT m.meter_id AS "Meter", d.friendly_name AS "Machine", coalesce(a.role, 'nobody''s') AS "Role",
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
            "Share of the range in which the machine's main meter reported; whole hours or days.",
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
                      SELECT n.friendly_name AS "Machine", n.state AS "State",
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
            "Prints of the range whose energy is unknown, still provisional or full of holes. Without a main meter"
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
            "By the hour or day in which they were last seen; equal ones of an hour are one counted row.",
            f"""
                SELECT {bar_of("r.last_at")} AS time, left(r.reason, 60) AS metric, sum(r.count)::bigint AS messages
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
