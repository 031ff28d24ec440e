-- What somebody should look at now. A status and a reading count as long as they hold: holds().
--   $1 integer  seconds without a reading after which an assigned meter counts as silent, if it reports that often
WITH alarm AS (
    SELECT 'printer_silent' AS kind, d.device_id AS object, d.friendly_name AS name, l.status_at AS since,
           l.last_error AS detail
    FROM devices d LEFT JOIN device_latest l USING (device_id)
    WHERE d.is_active AND d.source <> 'none'
      AND coalesce(l.status_at, '-infinity') < now() - holds(d.data_interval_seconds)
    UNION ALL
    -- down, and not on purpose: who maintains a machine (it rests then) knows about it
    SELECT CASE n.phase WHEN 'Paused' THEN 'printer_attention' ELSE 'printer_error' END, d.device_id, d.friendly_name,
           l.state_since, l.state_text
    FROM devices d JOIN device_latest l USING (device_id) JOIN states n USING (state)
    WHERE d.is_active AND n.class = 'down' AND n.phase <> 'Idle'
      AND l.status_at >= now() - holds(d.data_interval_seconds)
    UNION ALL
    SELECT 'counter_jump', s.meter_id, a.device_id, s.alt_at, s.jumps_in_row::text
    FROM meter_state s LEFT JOIN meter_assignments a ON a.meter_id = s.meter_id AND a.valid_to = 'infinity'
    WHERE s.jumps_in_row > 0
    UNION ALL
    SELECT 'meter_silent', m.meter_id, a.device_id, m.last_seen, NULL
    FROM meters m JOIN meter_assignments a ON a.meter_id = m.meter_id AND a.valid_to = 'infinity'
    JOIN devices d ON d.device_id = a.device_id AND d.is_active
    WHERE coalesce(m.last_seen, '-infinity')
          < now() - greatest(make_interval(secs => $1::integer), holds(m.reporting_interval_s))
      -- one that came from a file, or that is typed by a person, or is a sum of others
      AND m.protocol NOT IN ('import', 'manual') AND m.reading_kind <> 'virtual'
    UNION ALL
    SELECT 'meter_unassigned', m.meter_id, NULL, m.first_seen, m.protocol
    FROM meters m
    WHERE NOT EXISTS (SELECT 1 FROM meter_assignments a WHERE a.meter_id = m.meter_id AND a.valid_to = 'infinity')
      AND NOT EXISTS (SELECT 1 FROM virtual_meter_parts v WHERE v.part_id = m.meter_id)
    UNION ALL
    SELECT 'rejects', r.source, NULL, min(r.first_at), sum(r.count)::text
    FROM ingest_rejects r WHERE r.last_at > now() - interval '1 hour' GROUP BY r.source
)
SELECT coalesce(json_agg(json_build_object('kind', kind, 'object', object, 'name', name,
           'since', CASE WHEN isfinite(since) THEN since END, 'detail', detail) ORDER BY kind, object), '[]')
FROM (SELECT * FROM alarm ORDER BY kind, object LIMIT 500) first;
