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
asked AS MATERIALIZED (
    SELECT job_id, device_id, start_time FROM printer
    WHERE job_id IS NOT NULL AND job_id <> ALL (coalesce($2::uuid[], '{}'))
    ORDER BY start_time DESC LIMIT $3::integer
),
phases AS (
    SELECT job_id, json_agg(json_build_object('state', state, 'seconds', seconds, 'wh', wh)) AS phases
    FROM (SELECT a.job_id, s.state, sum(extract(epoch FROM s.t1 - s.t0))::float8 AS seconds,
                 sum(device_energy(a.device_id, s.t0, s.t1)) AS wh
          FROM asked a, moment m, LATERAL device_states(a.device_id, a.start_time, m.now) s GROUP BY a.job_id, s.state) sums
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
               'from_ts', extract(epoch FROM h.at)::float8, 'price', t.price_per_kwh, 'currency', t.currency,
               'g_co2', c.g_co2_per_kwh) ORDER BY h.at) AS rates
    FROM factories f CROSS JOIN moment m
    CROSS JOIN LATERAL generate_series(0, 23) AS n
    CROSS JOIN LATERAL (SELECT greatest(date_trunc('hour', m.now) + make_interval(hours => n), m.now) AS at) h
    CROSS JOIN LATERAL tariff_at(f.factory_id, 'electricity', h.at) t
    CROSS JOIN LATERAL carbon_at(f.factory_id, 'electricity', h.at) c
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
