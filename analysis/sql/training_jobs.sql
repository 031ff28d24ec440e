-- The prints of a device that touch the range, as seconds since 1970.
SELECT extract(epoch FROM j.start_time)::float8 AS t0,
       extract(epoch FROM coalesce(j.end_time, 'infinity'))::float8 AS t1
FROM print_jobs j
WHERE j.device_id = %(device)s AND j.start_time < %(to)s AND coalesce(j.end_time, 'infinity') > %(from)s
ORDER BY j.start_time
