-- Stored buckets of the meter in [from, to), for ranges in which they are current (the readings fill the rest).
-- table: one of series.energy_1min, _15min, _1hour, as an identifier.
-- columns: at time, energy_wh float8, coverage_s float8
SELECT r.bucket, coalesce(r.energy_wh, 'NaN'), r.coverage_s
FROM %(table)s r
WHERE r.meter_key = %(meter_key)s AND r.bucket >= %(from)s AND r.bucket < %(to)s AND r.device_key = %(device_key)s
ORDER BY r.bucket
