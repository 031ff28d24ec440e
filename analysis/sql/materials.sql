-- The names behind the hashes of statuses.sql, from one status row of each.
SELECT DISTINCT hashtext(s.material) AS code, s.material AS name
FROM printer_status s
WHERE s.device_id = %(device)s AND s.timestamp = ANY (%(times)s) AND s.material IS NOT NULL
