-- The device's statuses from two holding times before the range (the first may last into it, and needs its
-- predecessor) to its end. is_printing -1 is unknown; material is a hash, resolved by materials.sql, 0 unknown.
-- columns: at time, state int2, is_printing int2, nozzle_temp_actual float4, nozzle_temp_target float4
-- columns: bed_temp_actual float4, bed_temp_target float4, z_height_mm float4, speed_multiplier_percent float4
-- columns: fan_rpm float4, progress_percent float4, material int4
SELECT s.timestamp, s.state_key,
       CASE WHEN s.is_printing THEN 1 WHEN s.is_printing IS NULL THEN -1 ELSE 0 END::int2,
       coalesce(s.nozzle_temp_actual, 'NaN'), coalesce(s.nozzle_temp_target, 'NaN'),
       coalesce(s.bed_temp_actual, 'NaN'), coalesce(s.bed_temp_target, 'NaN'),
       coalesce(s.z_height_mm, 'NaN'), coalesce(s.speed_multiplier_percent, 'NaN'),
       coalesce(s.fan_rpm, 'NaN'), coalesce(s.progress_percent, 'NaN'),
       CASE WHEN s.material IS NULL THEN 0 ELSE hashtext(s.material) END
FROM series.device_status s
WHERE s.device_key = %(device_key)s
  AND s.timestamp >= %(from)s::timestamptz - make_interval(secs => 2 * %(holds_s)s) AND s.timestamp <= %(to)s
ORDER BY s.timestamp
