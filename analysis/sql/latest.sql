-- The newest status of every active printer (not older than five minutes), the one before it, and the room temperature
-- now; times in seconds since 1970.
WITH place AS (
    SELECT CASE WHEN min(e.location_id) = max(e.location_id) THEN min(e.location_id) END AS only FROM environment_data e
)
SELECT d.device_id, d.device_model, d.rated_power_w, d.idle_power_w, d.bed_width, d.bed_depth,
       extract(epoch FROM now())::float8 AS now, extract(epoch FROM s.timestamp)::float8 AS at, s.state, s.material,
       s.nozzle_temp_actual, s.nozzle_temp_target, s.bed_temp_actual, s.bed_temp_target,
       s.z_height_mm, s.speed_multiplier_percent, s.fan_rpm, s.progress_percent,
       extract(epoch FROM b.timestamp)::float8 AS before_at,
       b.nozzle_temp_actual AS before_nozzle, b.bed_temp_actual AS before_bed, c.temperature_c
FROM devices d CROSS JOIN place p
CROSS JOIN LATERAL (
    SELECT * FROM printer_status s
    WHERE s.device_id = d.device_id AND s.timestamp >= now() - interval '5 minutes'
    ORDER BY s.timestamp DESC LIMIT 1) s
LEFT JOIN LATERAL (
    SELECT b.timestamp, b.nozzle_temp_actual, b.bed_temp_actual FROM printer_status b
    WHERE b.device_id = d.device_id
      AND b.timestamp < s.timestamp AND b.timestamp >= s.timestamp - interval '5 minutes'
    ORDER BY b.timestamp DESC LIMIT 1) b ON true
LEFT JOIN LATERAL (
    SELECT e.temperature_c FROM environment_data e
    WHERE e.location_id = coalesce(
              (SELECT x.location_id FROM environment_data x WHERE x.location_id = d.device_id LIMIT 1),
              (SELECT x.location_id FROM environment_data x
               WHERE x.location_id = substring(d.mqtt_topic FROM '^esp32/(.+)$') LIMIT 1),
              (SELECT x.location_id FROM environment_data x WHERE x.location_id = d.location LIMIT 1),
              p.only)
      AND e.timestamp >= now() - interval '15 minutes' AND e.temperature_c IS NOT NULL
    ORDER BY e.timestamp DESC LIMIT 1) c ON true
WHERE d.device_type = 'printer' AND d.is_active AND s.state <> 'offline'
ORDER BY d.device_id
