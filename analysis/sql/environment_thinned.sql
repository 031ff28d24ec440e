-- The same for a sensor that reports very often: the first reading after every step of the grid; climate is slow.
-- Temperature and humidity may be in different rows.
-- columns: at time, temperature_c float4, humidity_pct float4
SELECT DISTINCT x.timestamp, coalesce(x.indoor_temp_c, 'NaN'), coalesce(x.humidity_percent, 'NaN')
FROM generate_series(%(from)s::timestamptz - interval '20 minutes', %(to)s::timestamptz + interval '15 minutes',
                     make_interval(mins => %(step_min)s)) g
CROSS JOIN LATERAL (
    (SELECT e.timestamp, e.indoor_temp_c, e.humidity_percent FROM series.environmental e
     WHERE e.location_key = %(place)s AND e.timestamp >= g AND e.timestamp < g + make_interval(mins => %(step_min)s)
       AND e.indoor_temp_c IS NOT NULL
     ORDER BY e.timestamp LIMIT 1)
    UNION ALL
    (SELECT e.timestamp, e.indoor_temp_c, e.humidity_percent FROM series.environmental e
     WHERE e.location_key = %(place)s AND e.timestamp >= g AND e.timestamp < g + make_interval(mins => %(step_min)s)
       AND e.humidity_percent IS NOT NULL
     ORDER BY e.timestamp LIMIT 1)) x
ORDER BY 1
