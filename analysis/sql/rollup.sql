-- Stored buckets of the meter in [from, to), for ranges in which they are current (the readings fill the rest).
-- table: one of energy_rollup_1min, _15min, _1hour, as an identifier.
-- columns: at time, energy_wh float8, coverage_s float8
SELECT r.bucket, coalesce(r.energy_wh, 'NaN'), r.coverage_s
FROM %(table)s r
WHERE r.meter_id = %(meter)s AND r.bucket >= %(from)s AND r.bucket < %(to)s AND r.device_id = %(device)s
ORDER BY r.bucket
