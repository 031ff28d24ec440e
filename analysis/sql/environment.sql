-- Every climate reading of the place that can be the nearest to a row of the range.
-- columns: at time, temperature_c float4, humidity_pct float4
SELECT e.timestamp, coalesce(e.indoor_temp_c, 'NaN'), coalesce(e.humidity_percent, 'NaN')
FROM series.environmental e
WHERE e.location_key = %(place)s
  AND e.timestamp >= %(from)s::timestamptz - interval '15 minutes'
  AND e.timestamp <= %(to)s::timestamptz + interval '15 minutes'
ORDER BY e.timestamp
