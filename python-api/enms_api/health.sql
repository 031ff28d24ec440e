-- How old the newest facts are, in seconds, and whether they still say something about now: the newest reading by its
-- meter, the newest status by its device. NULL when there is none yet.
WITH reading AS (
    SELECT s.last_at AS at, holds(m.reporting_interval_s) AS hold FROM meter_state s JOIN meters m USING (meter_id)
    WHERE s.last_at IS NOT NULL ORDER BY s.last_at DESC LIMIT 1
), status AS (
    SELECT l.status_at AS at, holds(d.data_interval_seconds) AS hold
    FROM device_latest l JOIN devices d USING (device_id)
    WHERE l.status_at IS NOT NULL ORDER BY l.status_at DESC LIMIT 1
)
SELECT json_build_object(
    'engine', (SELECT value FROM settings WHERE name = 'engine'),
    'lastReadingAgeSeconds', (SELECT round(extract(epoch FROM now() - at)::numeric, 1) FROM reading),
    'lastReadingHolds', (SELECT at >= now() - hold FROM reading),
    'lastStatusAgeSeconds', (SELECT round(extract(epoch FROM now() - at)::numeric, 1) FROM status),
    'lastStatusHolds', (SELECT at >= now() - hold FROM status));
