-- Everything that GET /api/dpp_summary shows, a row per printer; times (_ts) in seconds since 1970.
--   $1 timestamptz  the time of the answer, NULL for now
--   $2 uuid[]       running jobs whose phases and costs the caller still knows
--   $3 integer      of how many other running jobs they are computed here (NULL: all); reads all their status rows
--   $4 jsonb        [{job_id, wh, cost, currency, co2_g}]: the job_costs of those that $2 names, as they were returned
-- Only few rows are touched: one of device_latest, the last 10 jobs and the rollups per printer.
WITH moment AS MATERIALIZED (
    SELECT coalesce($1::timestamptz, now()) AS now,
           -- a day is counted from a full minute, so that it moves once a minute and not with every question
           date_trunc('minute', coalesce($1::timestamptz, now())) - interval '24 hours' AS day_ago
),
printer AS MATERIALIZED (
    SELECT d.device_id, d.friendly_name, d.device_model, d.printer_size_category, d.plant_type, d.location,
           d.bed_width, d.bed_depth, d.idle_power_w, holds(d.data_interval_seconds) AS hold, d.factory_id, d.device_key,
           j.job_id, j.start_time
    FROM devices d
    LEFT JOIN print_jobs j ON j.device_id = d.device_id AND j.end_time IS NULL
    WHERE d.device_type = 'printer' AND d.is_active
),
-- The meters that measure each printer now: the key of each in the series, of a virtual one those of its parts.
meter AS MATERIALIZED (
    SELECT a.device_id, r.meter_key, coalesce(v.factor, 1) AS factor, r.reporting_interval_s
    FROM printer p
    JOIN meter_assignments a ON a.device_id = p.device_id AND a.adds AND a.valid_to = 'infinity'
    JOIN meters m ON m.meter_id = a.meter_id AND m.energy_type = 'electricity' AND m.direction = 'import'
    LEFT JOIN virtual_meter_parts v ON v.meter_id = m.meter_id
    JOIN meters r ON r.meter_id = coalesce(v.part_id, m.meter_id)
),
-- The last 24 hours of every printer and, where a job is running, the time since its start. job_only: a meter of the
-- printer does not count to its jobs, so these are summed by themselves.
wanted AS MATERIALIZED (
    SELECT w.*, row_number() OVER (PARTITION BY w.job_only) AS n
    FROM (SELECT p.device_id, NULL::uuid AS job_id, m.day_ago AS from_ts, m.now AS to_ts, false AS job_only
          FROM printer p, moment m
          UNION ALL
          SELECT p.device_id, p.job_id, p.start_time, m.now,
                 EXISTS (SELECT 1 FROM meter_assignments a WHERE a.device_id = p.device_id AND NOT a.counts_to_job)
          FROM printer p, moment m WHERE p.job_id IS NOT NULL) w
),
energy AS MATERIALIZED (
    SELECT w.device_id, w.job_id, e.energy_wh AS wh
    FROM (SELECT job_only, array_agg(device_id ORDER BY n) AS devices, array_agg(from_ts ORDER BY n) AS starts,
                 array_agg(to_ts ORDER BY n) AS ends FROM wanted GROUP BY job_only) a
    CROSS JOIN LATERAL devices_energy(a.devices, a.starts, a.ends, 'electricity', a.job_only) e
    JOIN wanted w ON w.n = e.n AND w.job_only = a.job_only
),
change AS (
    SELECT t.factory_id, e.at FROM energy_tariffs t CROSS JOIN LATERAL (VALUES (t.valid_from), (t.valid_to)) e (at)
    UNION ALL
    SELECT f.factory_id, c.valid_from FROM carbon_factors c JOIN factories f ON f.carbon_region = c.region
),
-- Since when each factory's rates are the same around the clock and will be for a day; NULL where they vary by hour or
-- weekday.
steady AS MATERIALIZED (
    SELECT f.factory_id, f.timezone AS zone, CASE WHEN NOT EXISTS (
               SELECT 1 FROM energy_tariffs t WHERE t.factory_id = f.factory_id AND t.energy_type = 'electricity'
                   AND NOT (t.time_from = '00:00' AND t.time_to = '24:00' AND t.weekdays @> '{1,2,3,4,5,6,7}'))
           AND NOT EXISTS (
               SELECT 1 FROM carbon_factors c WHERE c.region = f.carbon_region AND c.hourly_profile IS NOT NULL)
           AND NOT EXISTS (
               SELECT 1 FROM change c
               WHERE c.factory_id = f.factory_id AND c.at > m.now AND c.at < m.now + interval '24 hours')
           THEN (SELECT coalesce(max(c.at), '-infinity') FROM change c
                 WHERE c.factory_id = f.factory_id AND c.at <= m.now)
           END AS since
    FROM factories f CROSS JOIN moment m
),
asked AS MATERIALIZED (
    SELECT job_id, device_id, factory_id, start_time FROM printer
    WHERE job_id IS NOT NULL AND job_id <> ALL (coalesce($2::uuid[], '{}'))
    ORDER BY start_time DESC LIMIT $3::integer
),
piece AS MATERIALIZED (
    SELECT a.job_id, a.device_id, s.state, s.t0, s.t1, row_number() OVER () AS n
    FROM asked a, moment m, LATERAL device_states(a.device_id, a.start_time, m.now) s
),
piece_energy AS (
    SELECT e.n, e.energy_wh
    FROM (SELECT array_agg(device_id ORDER BY n) AS devices, array_agg(t0 ORDER BY n) AS starts,
                 array_agg(t1 ORDER BY n) AS ends FROM piece HAVING count(*) > 0) a
    CROSS JOIN LATERAL devices_energy(a.devices, a.starts, a.ends, 'electricity', true) e
),
phases AS (
    SELECT job_id, json_agg(json_build_object('phase', phase, 'seconds', seconds, 'wh', wh)) AS phases
    FROM (SELECT p.job_id, n.phase, sum(extract(epoch FROM p.t1 - p.t0))::float8 AS seconds, sum(e.energy_wh) AS wh
          FROM piece p JOIN states n USING (state) LEFT JOIN piece_energy e ON e.n = p.n
          GROUP BY p.job_id, n.phase) sums
    GROUP BY job_id
),
-- What running jobs had cost when it was computed, here or just before; under a steady rate it is a product.
costs AS (
    SELECT a.job_id, c.energy_wh AS wh, c.cost, c.currency, c.co2_g, json_build_object('job_id', a.job_id,
               'wh', c.energy_wh, 'cost', c.cost, 'currency', c.currency, 'co2_g', c.co2_g)::text AS told
    FROM asked a CROSS JOIN moment m
    JOIN steady s ON s.factory_id = a.factory_id AND s.since <= a.start_time IS NOT TRUE
    CROSS JOIN LATERAL device_energy_cost(a.device_id, a.start_time, m.now, 'electricity', true) c
    UNION ALL
    SELECT k.job_id, k.wh, k.cost, k.currency, k.co2_g, NULL FROM jsonb_to_recordset(coalesce($4::jsonb, '[]'))
        AS k (job_id uuid, wh float8, cost float8, currency text, co2_g float8)
),
past AS MATERIALIZED (
    SELECT p.device_id, a.*
    FROM printer p CROSS JOIN moment m CROSS JOIN LATERAL (
        SELECT max(date_part('epoch', j.end_time)) AS last_end_ts,
               max(j.status) FILTER (WHERE j.nth = 1) AS last_status,
               max(j.seconds) FILTER (WHERE j.nth = 1) AS last_s, max(j.wh) FILTER (WHERE j.nth = 1) AS last_wh,
               max(j.grams) FILTER (WHERE j.nth = 1) AS last_g, max(j.cost) FILTER (WHERE j.nth = 1) AS last_cost,
               max(j.currency) FILTER (WHERE j.nth = 1) AS last_currency,
               max(j.co2_g) FILTER (WHERE j.nth = 1) AS last_co2_g,
               count(*) FILTER (WHERE j.measured) AS usual_jobs, sum(j.wh) FILTER (WHERE j.measured) AS usual_wh,
               sum(j.wh) FILTER (WHERE j.measured AND j.seconds > 0) AS usual_timed_wh,
               sum(j.seconds) FILTER (WHERE j.measured AND j.seconds > 0) AS usual_timed_s,
               sum(j.wh) FILTER (WHERE j.measured AND j.grams > 0) AS usual_weighed_wh,
               sum(j.grams) FILTER (WHERE j.measured AND j.grams > 0) AS usual_weighed_g,
               sum(date_part('epoch', j.end_time - greatest(j.start_time, m.day_ago)))
                   FILTER (WHERE j.end_time > m.day_ago) AS day_printing_s,
               -- parallel arrays: JSON objects would take as long to make as all the rest
               array_agg(j.filename) FILTER (WHERE j.nth <= 5) AS history_filename,
               array_agg(j.wh) FILTER (WHERE j.nth <= 5) AS history_wh,
               array_agg(date_part('epoch', j.end_time)) FILTER (WHERE j.nth <= 5) AS history_end_ts,
               array_agg(j.status) FILTER (WHERE j.nth <= 5) AS history_status,
               array_agg(j.thumbnail_url) FILTER (WHERE j.nth <= 5) AS history_thumbnail,
               array_agg(j.per_part_analysis::text) FILTER (WHERE j.nth <= 5) AS history_parts
        FROM (SELECT filename, start_time, end_time, status, thumbnail_url, per_part_analysis, session_energy_wh AS wh,
                     filament_used_g AS grams, cost, currency, co2_g,
                     coalesce(duration_seconds, date_part('epoch', end_time - start_time)) AS seconds,
                     status = 'done' AND session_energy_wh IS NOT NULL AS measured,
                     row_number() OVER (ORDER BY end_time DESC NULLS LAST) AS nth
              FROM print_jobs WHERE device_id = p.device_id AND end_time IS NOT NULL
              ORDER BY end_time DESC NULLS LAST LIMIT 10) j
    ) a
),
-- What a kWh costs and emits now and, where that varies, at the full hours ahead of the factory's clock.
hour AS MATERIALIZED (
    SELECT f.factory_id, n, h.at, t.price_per_kwh, t.currency, c.g_co2_per_kwh
    FROM steady f CROSS JOIN moment m
    CROSS JOIN LATERAL generate_series(0, CASE WHEN f.since IS NULL THEN 23 ELSE 0 END) AS n
    CROSS JOIN LATERAL (SELECT greatest(date_trunc('hour', m.now, f.zone) + make_interval(hours => n), m.now) AS at) h
    CROSS JOIN LATERAL tariff_at(f.factory_id, 'electricity', h.at) t
    CROSS JOIN LATERAL carbon_at(f.factory_id, 'electricity', h.at) c
),
rates AS (
    SELECT h.factory_id, json_agg(json_build_object(
               'from_ts', date_part('epoch', h.at), 'price', h.price_per_kwh, 'currency', h.currency,
               'g_co2', h.g_co2_per_kwh) ORDER BY h.at) AS rates
    FROM hour h GROUP BY h.factory_id
),
printer_row AS (
    SELECT p.device_id, p.friendly_name, p.device_model, p.printer_size_category AS size_category, p.plant_type,
           p.location, p.bed_width, p.bed_depth, p.idle_power_w, date_part('epoch', p.hold) AS holds_s,
           p.factory_id::text, date_part('epoch', l.status_at) AS status_ts, l.state, n.class AS state_class,
           l.state_text,
           date_part('epoch', l.state_since) AS state_since_ts,
           l.nozzle_temp_actual AS nozzle, l.nozzle_temp_target AS nozzle_target,
           l.bed_temp_actual AS bed, l.bed_temp_target AS bed_target,
           l.material, l.filename, l.progress_percent AS progress, l.time_left_seconds AS time_left_s,
           l.power_watts AS power_w, date_part('epoch', l.power_at) AS power_ts,
           date_part('epoch', holds(reports.every_s)) AS power_holds_s, steady_power.w AS steady_w,
           day.wh AS wh_24h, predicted.w AS predicted_w,
           j.job_id::text, j.filename AS job_filename, date_part('epoch', j.start_time) AS job_start_ts,
           j.paused_seconds AS job_paused_s, j.progress_percent AS job_progress, j.time_left_seconds AS job_time_left_s,
           j.filament_used_g AS job_grams, j.material AS job_material, j.nozzle_diameter AS job_nozzle_diameter,
           j.preview_url AS job_preview_url, j.thumbnail_url AS job_thumbnail_url,
           (j.gcode_analysis_data -> 'job_details')::text AS job_details, e.wh AS job_wh,
           -- energy that came since costs were computed has the present rate
           CASE WHEN rate.steady THEN at_rate(e.wh, rate.price_per_kwh)
                WHEN costs.currency = rate.currency THEN costs.cost + at_rate(e.wh - costs.wh, rate.price_per_kwh)
                END AS job_cost,
           rate.currency AS job_currency,
           CASE WHEN rate.steady THEN at_rate(e.wh, rate.g_co2_per_kwh)
                ELSE costs.co2_g + at_rate(e.wh - costs.wh, rate.g_co2_per_kwh) END AS job_co2_g,
           costs.told AS job_costs, phases.phases AS job_phases,
           past.last_end_ts, past.last_status, past.last_s, past.last_wh, past.last_g, past.last_cost,
           past.last_currency, past.last_co2_g,
           past.usual_jobs, past.usual_wh, past.usual_timed_wh, past.usual_timed_s, past.usual_weighed_wh,
           past.usual_weighed_g, past.day_printing_s,
           past.history_filename, past.history_wh, past.history_end_ts, past.history_status, past.history_thumbnail,
           past.history_parts
    FROM printer p
    LEFT JOIN device_latest l ON l.device_id = p.device_id
    LEFT JOIN states n ON n.state = l.state
    LEFT JOIN print_jobs j ON j.job_id = p.job_id
    LEFT JOIN energy day ON day.device_id = p.device_id AND day.job_id IS NULL
    LEFT JOIN energy e ON e.job_id = p.job_id
    LEFT JOIN phases ON phases.job_id = p.job_id
    LEFT JOIN costs ON costs.job_id = p.job_id
    LEFT JOIN LATERAL (SELECT h.price_per_kwh, h.currency, h.g_co2_per_kwh,
                              coalesce(s.since <= j.start_time, false) AS steady
                       FROM hour h JOIN steady s ON s.factory_id = h.factory_id
                       WHERE h.factory_id = p.factory_id AND h.n = 0) rate ON true
    LEFT JOIN past ON past.device_id = p.device_id
    -- Readings of power hold as long as the meter that reports most rarely lets expect.
    LEFT JOIN (SELECT device_id, max(reporting_interval_s) AS every_s FROM meter GROUP BY device_id) reports
        ON reports.device_id = p.device_id
    -- What a printer at rest drew at least over two minutes: its newest reading may be of a print that no poll has seen
    -- yet.
    LEFT JOIN LATERAL (SELECT sum(u.factor * least(
                           (SELECT e.power_watts FROM series.energy e
                            WHERE e.meter_key = u.meter_key AND e.timestamp <= m.now - interval '2 minutes'
                              AND e.power_watts IS NOT NULL
                            ORDER BY e.timestamp DESC LIMIT 1),
                           (SELECT min(e.power_watts) FROM series.energy e
                            WHERE e.meter_key = u.meter_key AND e.timestamp > m.now - interval '2 minutes'))) AS w
                       FROM meter u CROSS JOIN moment m
                       WHERE u.device_id = p.device_id AND n.class = 'ready' AND n.phase = 'Idle') steady_power ON true
    LEFT JOIN LATERAL (SELECT predicted_power_watts AS w FROM series.prediction
                       WHERE device_key = p.device_key AND timestamp > (SELECT now FROM moment) - interval '1 minute'
                       ORDER BY timestamp DESC LIMIT 1) predicted ON true
),
fleet AS MATERIALIZED (
SELECT json_build_object(
    'now_ts', (SELECT date_part('epoch', now) FROM moment),
    'settings', (SELECT json_object_agg(name, value) FROM settings WHERE name IN ('plant_seed_kwh', 'plant_full_kwh')),
    'factories', (SELECT json_agg(json_build_object('factory_id', f.factory_id, 'name', f.name, 'timezone', f.timezone,
                      'currency', f.currency, 'rates', r.rates) ORDER BY f.slug)
                  FROM factories f LEFT JOIN rates r USING (factory_id)),
    'global_history', coalesce((SELECT json_agg(json_build_object(
            'jobId', g.job_id, 'deviceId', g.device_id, 'printerName', g.friendly_name, 'filename', g.filename,
            'kwh', round((g.session_energy_wh / 1000)::numeric, 4), 'cost', round(g.cost::numeric, 4),
            'currency', g.currency, 'co2g', round(g.co2_g::numeric, 1), 'status', g.status, 'startedAt', g.start_time,
            'completedAt', g.end_time, 'energyQuality', g.energy_quality, 'thumbnailUrl', g.thumbnail_url,
            'pdfUrl', g.dpp_pdf_url) ORDER BY g.end_time DESC)
        FROM (SELECT j.job_id, j.device_id, d.friendly_name, j.filename, j.session_energy_wh, j.cost, j.currency,
                     j.co2_g, j.status, j.start_time, j.end_time, j.energy_quality, j.thumbnail_url, j.dpp_pdf_url
              FROM print_jobs j JOIN devices d USING (device_id)
              WHERE j.end_time IS NOT NULL AND d.device_type = 'printer'
              ORDER BY j.end_time DESC NULLS LAST LIMIT 50) g), '[]')) AS fleet
)
-- One row per printer, or one without; what belongs to the fleet is in the first.
SELECT CASE WHEN row_number() OVER (ORDER BY r.friendly_name, r.device_id) = 1 THEN fleet.fleet END AS fleet, r.*
FROM fleet LEFT JOIN printer_row r ON true ORDER BY r.friendly_name, r.device_id;
