-- The meter's rows of (from, to], reaching back to the start of the interval that `from` cuts and forward to the end of
-- the one that `to` cuts. Bits of quality: 1 gap, 2 reset, 4 jump, 8 back, 16 integrated, 32 excluded.
-- columns: at time, power_w float8, delta_wh float8, interval_start time, quality int2
WITH bounds AS (
    SELECT least(
               (SELECT coalesce(e.interval_start, e.timestamp) FROM series.energy e
                WHERE e.meter_key = %(meter_key)s AND e.timestamp > %(from)s AND e.interval_start IS NOT NULL
                ORDER BY e.timestamp LIMIT 1),
               (SELECT e.timestamp FROM series.energy e
                WHERE e.meter_key = %(meter_key)s AND e.timestamp <= %(from)s
                ORDER BY e.timestamp DESC LIMIT 1),
               %(from)s::timestamptz) AS t0,
           greatest(
               coalesce(
                   (SELECT e.timestamp FROM series.energy e
                    WHERE e.meter_key = %(meter_key)s AND e.timestamp >= %(to)s AND e.interval_start IS NOT NULL
                    ORDER BY e.timestamp LIMIT 1),
                   (SELECT e.timestamp FROM series.energy e
                    WHERE e.meter_key = %(meter_key)s AND e.timestamp >= %(to)s
                    ORDER BY e.timestamp LIMIT 1)),
               %(to)s::timestamptz) AS t1
)
SELECT e.timestamp, coalesce(e.power_watts, 'NaN'), coalesce(e.energy_delta_wh, 'NaN'),
       coalesce(e.interval_start, 'infinity'),
       CASE WHEN e.quality IS NULL THEN 0::int2
            ELSE (has_flag(e.quality, 'gap')::int + 2 * has_flag(e.quality, 'reset')::int
                  + 4 * has_flag(e.quality, 'jump')::int + 8 * has_flag(e.quality, 'back')::int
                  + 16 * has_flag(e.quality, 'integrated')::int + 32 * has_flag(e.quality, 'excluded')::int)::int2 END
FROM series.energy e
WHERE e.meter_key = %(meter_key)s
  AND e.timestamp >= (SELECT t0 FROM bounds) AND e.timestamp <= (SELECT t1 FROM bounds)
ORDER BY e.timestamp
