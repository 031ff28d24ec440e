-- The names behind the hashes of statuses.sql, from one status row of each.
SELECT DISTINCT hashtext(s.material) AS code, s.material AS name
FROM series.device_status s
WHERE s.device_key = %(device_key)s AND s.timestamp = ANY (%(times)s) AND s.material IS NOT NULL
