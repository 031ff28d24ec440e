-- The device, how long one of its statuses holds, and the times for which anything is known of it, in seconds (since
-- 1970).
SELECT d.device_id, d.device_key, d.device_type, d.device_model, d.friendly_name, d.location, d.source,
       d.factory_id::text AS factory_id, d.rated_power_w, d.idle_power_w, d.bed_width, d.bed_depth,
       extract(epoch FROM holds(d.data_interval_seconds))::float8 AS holds_s,
       extract(epoch FROM setting('frozen_before')::timestamptz)::float8 AS frozen_before,
       (SELECT extract(epoch FROM min(s.timestamp))::float8 FROM series.device_status s
        WHERE s.device_key = d.device_key) AS first_status
FROM devices d
WHERE d.device_id = %(device)s
