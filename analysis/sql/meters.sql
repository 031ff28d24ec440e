-- The device's electricity meters that add up, for how long each is (or was) assigned, and what is known of them; times
-- in seconds since 1970. dirty: the ranges whose stored one-minute rollups are not current. parts: [key, factor,
-- whether it reports intervals] of the meters that have the readings; a virtual meter is the sum of its parts times
-- their factors, any other is its own only part.
SELECT a.meter_id, m.meter_key,
       extract(epoch FROM a.valid_from)::float8 AS valid_from, extract(epoch FROM a.valid_to)::float8 AS valid_to,
       extract(epoch FROM least(
           p.first_at,
           (SELECT min(r.bucket) FROM series.energy_1min r WHERE r.meter_key = m.meter_key),
           (SELECT min(r.bucket) FROM series.energy_1hour r WHERE r.meter_key = m.meter_key)))::float8 AS first_reading,
       extract(epoch FROM p.last_at)::float8 AS last_reading, p.parts,
       (SELECT coalesce(json_agg(json_build_array(extract(epoch FROM w.t0), extract(epoch FROM w.t1)) ORDER BY w.t0),
                        '[]')
        FROM rollup_spans(3600, ARRAY[a.meter_id]) w) AS dirty
FROM meter_assignments a JOIN meters m USING (meter_id)
CROSS JOIN LATERAL (
    SELECT json_agg(json_build_array(r.meter_key, coalesce(v.factor, 1), r.reading_kind = 'interval')
                    ORDER BY r.meter_key) AS parts,
           -- the first interval of an interval meter begins before its first reading
           max((SELECT least(e.timestamp, e.interval_start) FROM series.energy e
                WHERE e.meter_key = r.meter_key ORDER BY e.timestamp LIMIT 1)) AS first_at,
           max(s.last_at) AS last_at
    FROM (SELECT) own LEFT JOIN virtual_meter_parts v ON v.meter_id = m.meter_id
    JOIN meters r ON r.meter_id = coalesce(v.part_id, m.meter_id) LEFT JOIN meter_state s ON s.meter_id = r.meter_id) p
WHERE a.device_id = %(device)s AND a.adds AND m.energy_type = 'electricity' AND m.direction = 'import'
ORDER BY a.valid_from, a.meter_id
