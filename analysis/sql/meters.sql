-- The device's main electricity meters, for how long each is (or was) assigned, and what is known of them; times in
-- seconds since 1970. dirty: the ranges whose stored one-minute rollups are not current.
SELECT a.meter_id,
       extract(epoch FROM a.valid_from)::float8 AS valid_from, extract(epoch FROM a.valid_to)::float8 AS valid_to,
       extract(epoch FROM least(
           (SELECT min(e.timestamp) FROM energy_data e WHERE e.meter_id = a.meter_id),
           (SELECT min(r.bucket) FROM energy_rollup_1min r WHERE r.meter_id = a.meter_id),
           (SELECT min(r.bucket) FROM energy_rollup_1hour r WHERE r.meter_id = a.meter_id)))::float8 AS first_reading,
       extract(epoch FROM s.last_at)::float8 AS last_reading,
       (SELECT coalesce(json_agg(json_build_array(extract(epoch FROM w.t0), extract(epoch FROM w.t1)) ORDER BY w.t0),
                        '[]')
        FROM rollup_spans(3600, ARRAY[a.meter_id]) w) AS dirty
FROM meter_assignments a JOIN meters m USING (meter_id) LEFT JOIN meter_state s USING (meter_id)
WHERE a.device_id = %(device)s AND a.role = 'main' AND m.energy_type = 'electricity'
ORDER BY a.valid_from, a.meter_id
