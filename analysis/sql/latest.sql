-- The newest status of every active printer (as long as it holds), the one before it, and the room temperature now;
-- times in seconds since 1970.
WITH place AS NOT MATERIALIZED (
    SELECT l.location_key, l.location_id FROM locations l
    WHERE EXISTS (SELECT 1 FROM (SELECT e.indoor_temp_c FROM series.environmental e
                                 WHERE e.location_key = l.location_key ORDER BY e.timestamp DESC LIMIT 100) r
                  WHERE r.indoor_temp_c IS NOT NULL)
), one AS MATERIALIZED (
    SELECT CASE WHEN count(*) = 1 THEN min(o.location_key) END AS location_key
    FROM (SELECT p.location_key FROM place p LIMIT 2) o
)
SELECT d.device_id, d.device_model, d.rated_power_w, d.idle_power_w, d.bed_width, d.bed_depth,
       extract(epoch FROM holds(d.data_interval_seconds))::float8 AS holds_s,
       extract(epoch FROM now())::float8 AS now, extract(epoch FROM s.timestamp)::float8 AS at, s.state_key, s.material,
       s.nozzle_temp_actual, s.nozzle_temp_target, s.bed_temp_actual, s.bed_temp_target,
       s.z_height_mm, s.speed_multiplier_percent, s.fan_rpm, s.progress_percent,
       extract(epoch FROM b.timestamp)::float8 AS before_at,
       b.nozzle_temp_actual AS before_nozzle, b.bed_temp_actual AS before_bed, c.indoor_temp_c AS temperature_c
FROM devices d
CROSS JOIN LATERAL (
    SELECT * FROM series.device_status s
    WHERE s.device_key = d.device_key AND s.timestamp >= now() - holds(d.data_interval_seconds)
    ORDER BY s.timestamp DESC LIMIT 1) s
JOIN states n USING (state_key)
LEFT JOIN LATERAL (
    SELECT b.timestamp, b.nozzle_temp_actual, b.bed_temp_actual FROM series.device_status b
    WHERE b.device_key = d.device_key
      AND b.timestamp < s.timestamp AND b.timestamp >= s.timestamp - holds(d.data_interval_seconds)
    ORDER BY b.timestamp DESC LIMIT 1) b ON true
LEFT JOIN LATERAL (
    SELECT e.indoor_temp_c FROM series.environmental e
    WHERE e.location_key = coalesce(
              (SELECT p.location_key FROM place p WHERE p.location_id = d.device_id),
              (SELECT p.location_key FROM place p WHERE p.location_id = substring(d.mqtt_topic FROM '^esp32/(.+)$')),
              (SELECT p.location_key FROM place p WHERE p.location_id = d.location),
              (SELECT o.location_key FROM one o))
      AND e.timestamp >= now() - interval '15 minutes' AND e.indoor_temp_c IS NOT NULL
    ORDER BY e.timestamp DESC LIMIT 1) c ON true
WHERE d.device_type = 'printer' AND d.is_active AND n.class IS DISTINCT FROM 'off'
ORDER BY d.device_id
