-- Climate readings an hour: the most of the first, the middle and the last hour of the range.
SELECT max((SELECT count(*) FROM series.environmental e
            WHERE e.location_key = %(place)s AND e.timestamp >= h AND e.timestamp < h + interval '1 hour')) AS hourly
FROM (VALUES (%(from)s::timestamptz),
             (%(from)s::timestamptz + (%(to)s::timestamptz - %(from)s::timestamptz) / 2),
             (%(to)s::timestamptz - interval '1 hour')) v (h)
