-- What changes when anything new is known of the device: its newest reading and status, late rows, assignments, rates.
SELECT (SELECT max(s.last_at)::text FROM meter_assignments a JOIN meter_state s USING (meter_id)
        WHERE a.device_id = d.device_id) AS last_reading,
       (SELECT max(r.dirty_id) FROM meter_assignments a JOIN rollup_dirty r USING (meter_id)
        WHERE a.device_id = d.device_id) AS late,
       (SELECT max(a.assignment_id) FROM meter_assignments a WHERE a.device_id = d.device_id) AS assignment,
       (SELECT max(t.tariff_id) FROM energy_tariffs t) AS tariff,
       l.status_at::text AS last_status
FROM devices d LEFT JOIN device_latest l USING (device_id)
WHERE d.device_id = %(device)s
