-- One print job with all that its passport shows; no row when there is none.  $1 uuid
SELECT json_build_object(
    'jobId', j.job_id, 'deviceId', j.device_id, 'printerName', d.friendly_name, 'filename', j.filename,
    'status', j.status, 'statusReason', j.status_reason, 'startedAt', j.start_time, 'completedAt', j.end_time,
    'durationSeconds', j.duration_seconds, 'pausedSeconds', j.paused_seconds, 'material', j.material,
    'filamentGrams', j.filament_used_g,
    'kwh', round((e.energy_wh / 1000)::numeric, 4), 'cost', round(e.cost::numeric, 4), 'currency', e.currency,
    'co2g', round(e.co2_g::numeric, 1), 'energyFinal', j.energy_final, 'energyQuality', j.energy_quality,
    'thumbnailUrl', j.thumbnail_url, 'previewUrl', j.preview_url, 'gcodeStatus', j.gcode_status,
    'pdfUrl', j.dpp_pdf_url, 'job_details', j.gcode_analysis_data -> 'job_details',
    'perPartAnalysis', j.per_part_analysis)
FROM print_jobs j JOIN devices d USING (device_id)
CROSS JOIN LATERAL (
    SELECT j.session_energy_wh AS energy_wh, j.cost, j.currency, j.co2_g WHERE j.end_time IS NOT NULL
    UNION ALL
    SELECT c.energy_wh, c.cost, c.currency, c.co2_g
    FROM device_energy_cost(j.device_id, j.start_time, now(), 'electricity', true) c WHERE j.end_time IS NULL
) e
WHERE j.job_id = $1::uuid;
