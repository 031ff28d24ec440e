-- Seconds and energy per state of whole hours whose statuses are gone by retention.
SELECT p.state, sum(p.seconds)::float8 AS seconds, sum(p.energy_wh)::float8 AS energy_wh
FROM printer_phase_1hour p
WHERE p.device_id = %(device)s AND p.bucket >= %(from)s AND p.bucket < %(to)s AND p.state <> 'no_data'
GROUP BY p.state
