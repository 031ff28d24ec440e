-- Everything that GET /api/dpp_summary tells, as one JSON value; every instant as seconds since 1970 or ISO 8601 in UTC.
--   $1 timestamptz  the moment of the answer, NULL for now
--   $2 uuid[]       running jobs whose phases the caller still knows
--   $3 integer      of how many other running jobs the phases are worked out here: they read all status rows of a job
-- Only few rows are touched: one of device_latest, the last 20 jobs and the rollups per printer.
WITH moment AS MATERIALIZED (
    SELECT coalesce($1::timestamptz, now()) AS now
),
printer AS MATERIALIZED (
    SELECT d.device_id, d.friendly_name, d.device_model, d.printer_size_category, d.plant_type, d.location,
           d.bed_width, d.bed_depth, d.rated_power_w, d.idle_power_w, d.source, d.data_interval_seconds, d.factory_id,
           j.job_id, j.start_time
    FROM devices d
    LEFT JOIN print_jobs j ON j.device_id = d.device_id AND j.end_time IS NULL
    WHERE d.device_type = 'printer' AND d.is_active
),
-- The day is counted from a full minute, so that it moves once a minute and not with every question.
day AS MATERIALIZED (
    SELECT p.device_id, device_energy(p.device_id, date_trunc('minute', m.now) - interval '24 hours', m.now) AS energy_wh
    FROM printer p, moment m
),
running AS MATERIALIZED (
    SELECT p.device_id, e.energy_wh, e.cost, e.currency, e.co2_g
    FROM printer p, moment m, LATERAL device_energy_cost(p.device_id, p.start_time, m.now, 'electricity') e
    WHERE p.job_id IS NOT NULL
),
-- States of some running jobs, each held until the next one is known, at most 5 minutes; the rest has no data.
asked AS MATERIALIZED (
    SELECT job_id, device_id, start_time FROM printer
    WHERE job_id IS NOT NULL AND job_id <> ALL (coalesce($2::uuid[], '{}'))
    ORDER BY start_time DESC LIMIT $3::integer
),
held AS (
    SELECT a.job_id, a.device_id, s.state, greatest(s.timestamp, a.start_time) AS from_ts,
           least(s.timestamp + interval '5 minutes', s.next_ts, m.now) AS to_ts,
           least(s.next_ts, m.now) AS next_ts
    FROM asked a, moment m, LATERAL (
        SELECT timestamp, state, lead(timestamp, 1, 'infinity') OVER (ORDER BY timestamp) AS next_ts
        FROM printer_status WHERE device_id = a.device_id AND timestamp >= a.start_time - interval '5 minutes'
                              AND timestamp <= m.now
    ) s
    WHERE s.next_ts > a.start_time
),
piece AS (
    SELECT job_id, device_id, state, from_ts, to_ts FROM held WHERE to_ts > from_ts
    UNION ALL
    SELECT job_id, device_id, 'no_data', greatest(to_ts, from_ts), next_ts FROM held WHERE next_ts > greatest(to_ts, from_ts)
    UNION ALL
    SELECT a.job_id, a.device_id, 'no_data', a.start_time, least(coalesce(f.from_ts, m.now), m.now)
    FROM asked a CROSS JOIN moment m LEFT JOIN LATERAL (SELECT min(from_ts) AS from_ts FROM held h WHERE h.job_id = a.job_id) f ON true
    WHERE a.start_time < least(coalesce(f.from_ts, m.now), m.now)
),
numbered AS (
    SELECT *, count(*) FILTER (WHERE changed) OVER (PARTITION BY job_id ORDER BY from_ts) AS run
    FROM (SELECT *, state IS DISTINCT FROM lag(state) OVER (PARTITION BY job_id ORDER BY from_ts) AS changed FROM piece) c
),
run AS (
    SELECT job_id, device_id, state, min(from_ts) AS from_ts, max(to_ts) AS to_ts FROM numbered GROUP BY job_id, device_id, state, run
),
phases AS (
    SELECT job_id, json_agg(json_build_object('state', state, 'seconds', seconds, 'wh', wh)) AS phases
    FROM (SELECT job_id, state, sum(extract(epoch FROM to_ts - from_ts))::float8 AS seconds,
                 sum(device_energy(device_id, from_ts, to_ts)) AS wh
          FROM run GROUP BY job_id, state) s
    GROUP BY job_id
),
past AS MATERIALIZED (
    SELECT p.device_id,
           json_agg(json_build_object(
               'filename', j.filename, 'session_energy_wh', j.session_energy_wh, 'end_time', j.end_time, 'status', j.status,
               'thumbnail_url', j.thumbnail_url, 'per_part_analysis', j.per_part_analysis) ORDER BY j.end_time DESC)
               FILTER (WHERE j.nth <= 5) AS history,
           json_agg(json_build_object(
               'end_ts', extract(epoch FROM j.end_time)::float8, 'start_ts', extract(epoch FROM j.start_time)::float8, 'status', j.status,
               'duration_s', j.duration_seconds, 'wh', j.session_energy_wh, 'grams', j.filament_used_g) ORDER BY j.end_time DESC) AS jobs
    FROM printer p, LATERAL (
        SELECT *, row_number() OVER (ORDER BY end_time DESC) AS nth FROM (
            SELECT filename, session_energy_wh, start_time, end_time, status, thumbnail_url, per_part_analysis, filament_used_g,
                   coalesce(duration_seconds, extract(epoch FROM end_time - start_time)::float8) AS duration_seconds
            FROM print_jobs WHERE device_id = p.device_id AND end_time IS NOT NULL
            ORDER BY end_time DESC NULLS LAST LIMIT 20) newest
    ) j
    GROUP BY p.device_id
),
-- What a kWh costs and emits in this hour and the 23 that follow, by factory.
rates AS (
    SELECT f.factory_id, json_agg(json_build_object(
               'from_ts', extract(epoch FROM h.at)::float8, 'price', t.price_per_kwh, 'currency', t.currency, 'g_co2', c.g_co2)
               ORDER BY h.at) AS rates
    FROM factories f CROSS JOIN moment m
    CROSS JOIN LATERAL (
        SELECT at, at AT TIME ZONE f.timezone AS local FROM generate_series(
            date_trunc('hour', m.now), date_trunc('hour', m.now) + interval '23 hours', interval '1 hour') AS at
    ) h
    LEFT JOIN LATERAL (
        SELECT price_per_kwh, currency FROM energy_tariffs t
        WHERE t.factory_id = f.factory_id AND t.energy_type = 'electricity' AND t.valid_from <= h.at AND h.at < t.valid_to
          AND CASE WHEN t.time_from < t.time_to
                   THEN h.local::time >= t.time_from AND h.local::time < t.time_to AND extract(isodow FROM h.local) = ANY (t.weekdays)
                   WHEN h.local::time >= t.time_from THEN extract(isodow FROM h.local) = ANY (t.weekdays)
                   ELSE h.local::time < t.time_to AND extract(isodow FROM h.local - interval '1 day') = ANY (t.weekdays) END
        ORDER BY t.priority DESC, t.tariff_id DESC LIMIT 1
    ) t ON true
    LEFT JOIN LATERAL (
        SELECT coalesce(c.hourly_profile[extract(hour FROM h.local)::integer + 1], c.g_co2_per_kwh) AS g_co2 FROM carbon_factors c
        WHERE c.region = f.carbon_region AND c.energy_type = 'electricity' AND c.valid_from <= h.at
        ORDER BY c.valid_from DESC LIMIT 1
    ) c ON true
    WHERE f.factory_id IN (SELECT factory_id FROM printer)
    GROUP BY f.factory_id
),
printer_json AS (
    SELECT p.friendly_name, p.device_id, json_build_object(
        'device_id', p.device_id, 'friendly_name', p.friendly_name, 'device_model', p.device_model,
        'size_category', p.printer_size_category, 'plant_type', p.plant_type, 'location', p.location,
        'bed_width', p.bed_width, 'bed_depth', p.bed_depth, 'rated_power_w', p.rated_power_w, 'idle_power_w', p.idle_power_w,
        'interval_s', p.data_interval_seconds, 'factory_id', p.factory_id,
        'status_ts', extract(epoch FROM l.status_at)::float8, 'state', l.state, 'state_text', l.state_text,
        'state_since_ts', extract(epoch FROM l.state_since)::float8,
        'nozzle', l.nozzle_temp_actual, 'nozzle_target', l.nozzle_temp_target,
        'bed', l.bed_temp_actual, 'bed_target', l.bed_temp_target, 'material', l.material, 'filename', l.filename,
        'progress', l.progress_percent, 'time_left_s', l.time_left_seconds, 'last_error', l.last_error,
        'power_w', l.power_watts, 'power_ts', extract(epoch FROM l.power_at)::float8,
        'wh_24h', day.energy_wh,
        'job', CASE WHEN j.job_id IS NOT NULL THEN json_build_object(
            'job_id', j.job_id, 'filename', j.filename, 'start_ts', extract(epoch FROM j.start_time)::float8, 'status', j.status,
            'paused_s', j.paused_seconds, 'progress', j.progress_percent, 'time_left_s', j.time_left_seconds,
            'grams', j.filament_used_g, 'material', j.material, 'nozzle_diameter', j.nozzle_diameter,
            'preview_url', j.preview_url, 'gcode', j.gcode_analysis_data,
            'wh', running.energy_wh, 'cost', running.cost, 'currency', running.currency, 'co2_g', running.co2_g,
            'phases', phases.phases) END,
        'past', past.jobs, 'history', past.history) AS json
    FROM printer p
    LEFT JOIN device_latest l ON l.device_id = p.device_id
    LEFT JOIN print_jobs j ON j.job_id = p.job_id
    LEFT JOIN day ON day.device_id = p.device_id
    LEFT JOIN running ON running.device_id = p.device_id
    LEFT JOIN phases ON phases.job_id = p.job_id
    LEFT JOIN past ON past.device_id = p.device_id
)
SELECT json_build_object(
    'now_ts', (SELECT extract(epoch FROM now)::float8 FROM moment),
    'settings', (SELECT json_object_agg(name, value) FROM settings WHERE name IN ('plant_seed_kwh', 'plant_full_kwh')),
    'factories', (SELECT json_agg(json_build_object('factory_id', f.factory_id, 'name', f.name, 'timezone', f.timezone,
                      'currency', f.currency, 'rates', r.rates) ORDER BY f.slug)
                  FROM factories f LEFT JOIN rates r USING (factory_id)),
    'printers', coalesce((SELECT json_agg(json ORDER BY friendly_name, device_id) FROM printer_json), '[]'),
    'global_history', coalesce((SELECT json_agg(json_build_object(
            'jobId', g.job_id, 'deviceId', g.device_id, 'printerName', g.friendly_name, 'filename', g.filename,
            'kwh', round((g.session_energy_wh / 1000)::numeric, 4), 'cost', round(g.cost::numeric, 4), 'currency', g.currency,
            'co2g', round(g.co2_g::numeric, 1), 'status', g.status, 'startedAt', g.start_time, 'completedAt', g.end_time,
            'energyQuality', g.energy_quality, 'thumbnailUrl', g.thumbnail_url, 'pdfUrl', g.dpp_pdf_url) ORDER BY g.end_time DESC)
        FROM (SELECT j.job_id, j.device_id, d.friendly_name, j.filename, j.session_energy_wh, j.cost, j.currency, j.co2_g, j.status,
                     j.start_time, j.end_time, j.energy_quality, j.thumbnail_url, j.dpp_pdf_url
              FROM print_jobs j JOIN devices d USING (device_id)
              WHERE j.end_time IS NOT NULL AND d.device_type = 'printer'
              ORDER BY j.end_time DESC NULLS LAST LIMIT 50) g), '[]'));
