-- A page of print jobs, newest start first, and how many there are in all.
--   $1 text device_id or NULL   $2 text status or NULL   $3, $4 timestamptz: started in [from, to), NULL for open
--   $5 integer limit            $6 integer offset
WITH chosen AS (
    SELECT * FROM print_jobs
    WHERE ($1::text IS NULL OR device_id = $1) AND ($2::text IS NULL OR status = $2)
      AND ($3::timestamptz IS NULL OR start_time >= $3) AND ($4::timestamptz IS NULL OR start_time < $4)
), page AS (
    SELECT job_id, device_id, filename, start_time, end_time, duration_seconds, paused_seconds, status, status_reason, material,
           filament_used_g, session_energy_wh, cost, currency, co2_g, energy_final, thumbnail_url, dpp_pdf_url
    FROM chosen ORDER BY start_time DESC, job_id LIMIT $5::integer OFFSET $6::integer
)
SELECT json_build_object('total', (SELECT count(*) FROM chosen), 'jobs', coalesce((
    SELECT json_agg(json_build_object(
        'jobId', p.job_id, 'deviceId', p.device_id, 'printerName', d.friendly_name, 'filename', p.filename, 'status', p.status,
        'statusReason', p.status_reason, 'startedAt', p.start_time, 'completedAt', p.end_time,
        'durationSeconds', p.duration_seconds, 'pausedSeconds', p.paused_seconds, 'material', p.material,
        'filamentGrams', p.filament_used_g, 'kwh', round((p.session_energy_wh / 1000)::numeric, 4), 'cost', round(p.cost::numeric, 4),
        'currency', p.currency, 'co2g', round(p.co2_g::numeric, 1), 'energyFinal', p.energy_final,
        'thumbnailUrl', p.thumbnail_url, 'pdfUrl', p.dpp_pdf_url) ORDER BY p.start_time DESC, p.job_id)
    FROM page p JOIN devices d USING (device_id)), '[]'));
