-- A page of print jobs in the requested order (the newest start decides between equal ones; unknown values are last),
-- how many there are in all, and what those took together.
--   $1 text          device_id or NULL
--   $2 text          status or NULL
--   $3, $4 timestamptz  started in [from, to), NULL for open
--   $5 boolean       ended or not, NULL for both
--   $6 text          in the file's or the printer's name, NULL for any
--   $7 text          sort, a name of parameters.JOB_SORTS
--   $8 integer       1 ascending, -1 descending
--   $9, $10 integer  limit, offset
WITH chosen AS (
    SELECT j.job_id, j.device_id, d.friendly_name, j.filename, j.status, j.status_reason, j.start_time, j.end_time,
           j.duration_seconds, j.paused_seconds, j.material, j.filament_used_g, j.session_energy_wh, j.cost, j.currency,
           j.co2_g, j.energy_final, j.energy_quality, j.thumbnail_url, j.dpp_pdf_url
    FROM print_jobs j JOIN devices d USING (device_id)
    WHERE ($1::text IS NULL OR j.device_id = $1) AND ($2::text IS NULL OR j.status = $2)
      AND ($3::timestamptz IS NULL OR j.start_time >= $3) AND ($4::timestamptz IS NULL OR j.start_time < $4)
      AND ($5::boolean IS NULL OR (j.end_time IS NOT NULL) = $5)
      AND ($6::text IS NULL OR position(lower($6) IN lower(concat_ws(' ', d.friendly_name, j.filename))) > 0)
), keyed AS (
    SELECT c.*, $8::integer * CASE $7::text
               WHEN 'started' THEN date_part('epoch', start_time)
               WHEN 'ended' THEN date_part('epoch', end_time)
               WHEN 'duration' THEN date_part('epoch', end_time - start_time)
               WHEN 'energy' THEN session_energy_wh
               WHEN 'cost' THEN cost
               WHEN 'co2' THEN co2_g
           END AS amount,
           CASE $7 WHEN 'printer' THEN lower(friendly_name) WHEN 'file' THEN lower(filename) WHEN 'status' THEN status
           END AS word
    FROM chosen c
), page AS (
    SELECT *, row_number() OVER () AS nth
    FROM (SELECT * FROM keyed
          ORDER BY amount NULLS LAST, CASE WHEN $8 > 0 THEN word END NULLS LAST,
                   CASE WHEN $8 < 0 THEN word END DESC NULLS LAST, start_time DESC, job_id
          LIMIT $9::integer OFFSET $10::integer) sorted
), together AS (
    SELECT count(*) AS total, count(session_energy_wh) AS measured, sum(session_energy_wh) AS wh, sum(cost) AS cost,
           sum(co2_g) AS co2_g,
           -- Amounts in several currencies have no sum.
           CASE WHEN min(currency) = max(currency) THEN max(currency) END AS currency
    FROM chosen
)
SELECT json_build_object(
    'total', t.total,
    'totals', json_build_object(
        'measured', t.measured, 'kwh', round((t.wh / 1000)::numeric, 4),
        'cost', CASE WHEN t.currency IS NOT NULL THEN round(t.cost::numeric, 4) END,
        'currency', t.currency, 'co2g', round(t.co2_g::numeric, 1)),
    'jobs', coalesce((SELECT json_agg(json_build_object(
        'jobId', job_id, 'deviceId', device_id, 'printerName', friendly_name, 'filename', filename, 'status', status,
        'statusReason', status_reason, 'startedAt', start_time, 'completedAt', end_time,
        'durationSeconds', duration_seconds, 'pausedSeconds', paused_seconds, 'material', material,
        'filamentGrams', filament_used_g, 'kwh', round((session_energy_wh / 1000)::numeric, 4),
        'cost', round(cost::numeric, 4), 'currency', currency, 'co2g', round(co2_g::numeric, 1),
        'energyFinal', energy_final, 'energyQuality', energy_quality,
        'thumbnailUrl', thumbnail_url, 'pdfUrl', dpp_pdf_url) ORDER BY nth) FROM page), '[]'))
FROM together t;
