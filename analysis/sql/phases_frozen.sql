-- Seconds and energy per state of whole hours whose statuses are gone by retention.
SELECT n.phase, sum(s.seconds)::float8 AS seconds, sum(s.energy_wh)::float8 AS energy_wh
FROM series.device_state_1hour s JOIN states n USING (state_key)
WHERE s.device_key = %(device_key)s AND s.bucket >= %(from)s AND s.bucket < %(to)s AND n.state <> 'no_data'
GROUP BY n.phase
