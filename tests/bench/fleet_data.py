"""A month of a large fleet, written straight into the tables: what the summary and the analysis are timed against.

The rows are what `ingest_energy` would have stored (delta, interval, state); the rollups are then made by the project's
own `run_rollups`, so that only the slow way into raw rows is left out.
"""

import time
from concurrent.futures import ThreadPoolExecutor

import psycopg2

from .database import cursor_of, first

DEVICES = """
INSERT INTO devices (device_id, factory_id, friendly_name, device_model, idle_power_w, bed_width, bed_depth, source)
SELECT 'Bench-' || lpad(n::text, 3, '0'), default_factory(), 'Bench printer ' || n, 'MK4', 10, 250, 210, 'none'
FROM generate_series(1, %(printers)s) n
"""

METERS = """
INSERT INTO meters (meter_id, protocol, first_seen, last_seen)
SELECT 'plug-' || device_id || '/switch:0', 'shelly_gen2', %(start)s, %(end)s
FROM devices WHERE device_id LIKE 'Bench-%%';
INSERT INTO meter_assignments (meter_id, device_id, valid_from)
SELECT 'plug-' || device_id || '/switch:0', device_id, '-infinity' FROM devices WHERE device_id LIKE 'Bench-%%'
"""

# Who writes into a series makes its months.
MONTHS = """
SELECT ensure_months('energy', %(start)s, %(end)s), ensure_months('device_status', %(start)s, %(end)s)
"""

# Four hours of printing, then two of idling, around the clock; every printer with its own phase and level.
ENERGY = """
INSERT INTO series.energy
       (meter_key, timestamp, power_watts, reading_wh, energy_delta_wh, interval_start, quality)
SELECT m.meter_key, at, power, 1000 + sum(delta) OVER (ORDER BY at),
       nullif(delta, 0), CASE WHEN at > %(start)s THEN at - interval '10 s' END,
       CASE WHEN at = %(start)s THEN 'first' END
FROM (SELECT at, power, CASE WHEN at > %(start)s THEN power * 10 / 3600 ELSE 0 END AS delta
      FROM (SELECT at, CASE WHEN extract(epoch FROM at)::bigint %% 21600 < 14400
                            THEN 80 + %(n)s %% 20 + 10 * sin(extract(epoch FROM at) / 300) ELSE 9.5 END AS power
            FROM generate_series(%(start)s::timestamptz, %(end)s::timestamptz, interval '10 s') at) p) d,
     meters m
WHERE m.meter_id = 'plug-' || %(device)s || '/switch:0'
"""

STATUS = """
INSERT INTO series.device_status
       (device_key, timestamp, state_key, state_text, is_operational, is_printing, nozzle_temp_actual,
        nozzle_temp_target, bed_temp_actual, bed_temp_target, z_height_mm, speed_multiplier_percent, material, filename,
        progress_percent, time_left_seconds)
SELECT v.device_key, at, n.state_key,
       CASE WHEN printing THEN 'PRINTING' ELSE 'IDLE' END, true, printing,
       CASE WHEN printing THEN 215 ELSE 25 END, CASE WHEN printing THEN 215 ELSE 0 END,
       CASE WHEN printing THEN 60 ELSE 24 END, CASE WHEN printing THEN 60 ELSE 0 END,
       CASE WHEN printing THEN p.phase / 300.0 END, 100, 'PLA', CASE WHEN printing THEN 'part.gcode' END,
       CASE WHEN printing THEN 100 * p.phase / 14400.0 END, CASE WHEN printing THEN 14400 - p.phase END
FROM (SELECT at, extract(epoch FROM at)::bigint %% 21600 AS phase,
             extract(epoch FROM at)::bigint %% 21600 < 14400 AS printing
      FROM generate_series(%(start)s::timestamptz, %(end)s::timestamptz, interval '30 s') at) p
JOIN states n ON n.state = CASE WHEN printing THEN 'printing' ELSE 'idle' END, devices v
WHERE v.device_id = %(device)s
"""

JOBS = """
INSERT INTO print_jobs
       (device_id, source_job_id, filename, start_time, end_time, duration_seconds, status, filament_used_g, material)
SELECT device_id, row_number() OVER (PARTITION BY device_id ORDER BY begin)::text, 'part.gcode', begin,
       CASE WHEN begin + interval '4 h' <= %(end)s THEN begin + interval '4 h' END,
       CASE WHEN begin + interval '4 h' <= %(end)s THEN 14400 END,
       CASE WHEN begin + interval '4 h' <= %(end)s THEN 'done' ELSE 'printing' END, 120, 'PLA'
FROM devices, generate_series(to_timestamp(ceil(extract(epoch FROM %(start)s::timestamptz) / 21600) * 21600), %(end)s,
                              interval '6 h') begin
WHERE device_id LIKE 'Bench-%%'
"""

LATEST = """
INSERT INTO meter_state (meter_id, last_at, last_counter_at, last_power_watts, last_power_at, base_wh, base_at)
SELECT m.meter_id, e.timestamp, e.timestamp, e.power_watts, e.timestamp, e.reading_wh, e.timestamp
FROM meters m
CROSS JOIN LATERAL (SELECT * FROM series.energy e WHERE e.meter_key = m.meter_key ORDER BY timestamp DESC LIMIT 1) e
WHERE m.meter_id LIKE 'plug-Bench-%';
INSERT INTO device_latest
       (device_id, status_at, state, state_text, state_since, nozzle_temp_actual, nozzle_temp_target, bed_temp_actual,
        bed_temp_target, z_height_mm, speed_multiplier_percent, material, filename, progress_percent,
        time_left_seconds, power_watts, power_at)
SELECT d.device_id, s.timestamp, n.state, s.state_text, s.timestamp, s.nozzle_temp_actual, s.nozzle_temp_target,
       s.bed_temp_actual, s.bed_temp_target, s.z_height_mm, s.speed_multiplier_percent, s.material, s.filename,
       s.progress_percent, s.time_left_seconds, m.last_power_watts, m.last_power_at
FROM devices d JOIN meter_state m ON m.meter_id = 'plug-' || d.device_id || '/switch:0'
CROSS JOIN LATERAL (SELECT * FROM series.device_status s WHERE s.device_key = d.device_key
                    ORDER BY timestamp DESC LIMIT 1) s
JOIN states n USING (state_key)
WHERE d.device_id LIKE 'Bench-%';
INSERT INTO rollup_dirty (meter_id, from_ts, to_ts)
SELECT m.meter_id, m.first_seen, m.last_seen FROM meters m WHERE m.meter_id LIKE 'plug-Bench-%';
"""


def generate(dsn: str, printers: int, days: int) -> None:
    """Fills an empty database with `printers` × `days` of readings (10 s), statuses (30 s) and jobs, and rolls them up.

    `dsn` is that of the owner.
    """
    with psycopg2.connect(dsn) as connection, connection.cursor() as cursor:
        start, end = first(
            cursor,
            "SELECT date_trunc('minute', now()) - make_interval(days => %s), date_trunc('minute', now())",
            (days,),
        )
        span = {"start": start, "end": end, "printers": printers}
        cursor.execute(DEVICES, span)
        cursor.execute(METERS, span)
        cursor.execute(MONTHS, span)

    def fill(n: int) -> None:
        with psycopg2.connect(dsn) as one, one.cursor() as own:
            own.execute("SET synchronous_commit = off")
            args = {**span, "n": n, "device": f"Bench-{n:03d}"}
            own.execute(ENERGY, args)
            own.execute(STATUS, args)

    begun = time.perf_counter()
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(fill, range(1, printers + 1)))
    print(f"  raw rows written in {time.perf_counter() - begun:.0f} s", flush=True)
    begun = time.perf_counter()
    with cursor_of(dsn) as cursor:
        cursor.execute(JOBS, span)
        cursor.execute("ANALYZE series.energy, series.device_status, print_jobs")
        cursor.execute(LATEST)
        cursor.execute("CALL run_rollups()")
        cursor.execute("SELECT finalize_jobs()")
        cursor.execute("VACUUM (ANALYZE)")
    print(f"  rollups and jobs made in {time.perf_counter() - begun:.0f} s", flush=True)
