-- The printers whose past can teach a model; all, or those of one printer model.
SELECT d.device_id
FROM devices d
WHERE d.device_type = 'printer' AND (%(device_model)s::text IS NULL OR d.device_model = %(device_model)s)
ORDER BY d.device_id
