-- How old the newest facts are, in seconds; NULL when there is none yet.
SELECT json_build_object(
    'engine', (SELECT value FROM settings WHERE name = 'engine'),
    'lastReadingAgeSeconds', (SELECT round(extract(epoch FROM now() - max(last_at))::numeric, 1) FROM meter_state),
    'lastStatusAgeSeconds', (SELECT round(extract(epoch FROM now() - max(status_at))::numeric, 1) FROM device_latest));
