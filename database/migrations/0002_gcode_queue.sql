-- What the Historical Enrichment looks for every few seconds must not cost a scan of all prints.
CREATE INDEX print_jobs_without_gcode ON print_jobs (start_time) WHERE gcode_status IS NULL OR gcode_status = 'requested';
