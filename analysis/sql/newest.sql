-- What changes when anything new is known of the device: its newest reading and status, late rows, assignments,
-- corrections, rates.
WITH meter AS (
    SELECT a.meter_id FROM meter_assignments a WHERE a.device_id = %(device)s
    UNION
    SELECT v.part_id FROM meter_assignments a JOIN virtual_meter_parts v USING (meter_id)
    WHERE a.device_id = %(device)s
)
SELECT (SELECT max(s.last_at)::text FROM meter JOIN meter_state s USING (meter_id)) AS last_reading,
       (SELECT max(r.dirty_id) FROM meter JOIN rollup_dirty r USING (meter_id)) AS late,
       (SELECT max(a.assignment_id) FROM meter_assignments a WHERE a.device_id = d.device_id) AS assignment,
       (SELECT count(*) || ' ' || count(c.withdrawn_at)
        FROM meter JOIN meter_corrections c USING (meter_id)) AS corrections,
       (SELECT max(t.tariff_id) FROM energy_tariffs t) AS tariff,
       l.status_at::text AS last_status
FROM devices d LEFT JOIN device_latest l USING (device_id)
WHERE d.device_id = %(device)s
