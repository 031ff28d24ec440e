-- Where the device's climate is measured: by a sensor of its own (with its name, or on the hub that is mounted on it),
-- else one at its location, else the only one there is. A place that tells no temperature or humidity is none.
WITH place AS NOT MATERIALIZED (
    SELECT l.location_key, l.location_id FROM locations l
    WHERE EXISTS (SELECT 1 FROM (SELECT e.indoor_temp_c, e.humidity_percent FROM series.environmental e
                                 WHERE e.location_key = l.location_key ORDER BY e.timestamp DESC LIMIT 100) r
                  WHERE r.indoor_temp_c IS NOT NULL OR r.humidity_percent IS NOT NULL)
)
SELECT coalesce(
    (SELECT p.location_key FROM place p WHERE p.location_id = %(device)s),
    (SELECT p.location_key FROM place p
     WHERE p.location_id = (SELECT substring(d.mqtt_topic FROM '^esp32/(.+)$') FROM devices d
                            WHERE d.device_id = %(device)s)),
    (SELECT p.location_key FROM place p WHERE p.location_id = %(location)s),
    (SELECT CASE WHEN count(*) = 1 THEN min(o.location_key) END
     FROM (SELECT p.location_key FROM place p LIMIT 2) o)) AS location_key
