-- Where the device's climate is measured: by a sensor of its own (with its name, or on the hub that is mounted on it),
-- else one at its location, else the only one there is.
SELECT coalesce(
    (SELECT e.location_id FROM environment_data e WHERE e.location_id = %(device)s LIMIT 1),
    (SELECT e.location_id FROM environment_data e
     WHERE e.location_id = (SELECT substring(d.mqtt_topic FROM '^esp32/(.+)$') FROM devices d
                            WHERE d.device_id = %(device)s) LIMIT 1),
    (SELECT e.location_id FROM environment_data e WHERE e.location_id = %(location)s LIMIT 1),
    (SELECT CASE WHEN min(e.location_id) = max(e.location_id) THEN min(e.location_id) END
     FROM environment_data e)) AS location_id
