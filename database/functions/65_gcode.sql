-- What is known from the G-code of a print: which prints lack it, storing it, and what follows for filament and parts
-- once the print has ended.

CREATE FUNCTION jobs_to_enrich(p_days double precision, p_limit integer DEFAULT 50) RETURNS SETOF jsonb LANGUAGE sql STABLE AS $$
    SELECT jsonb_build_object('job_id', j.job_id, 'filename', j.filename, 'download_ref', j.download_ref,
        'device', jsonb_build_object('device_id', d.device_id, 'source', d.source, 'api_ip', d.api_ip, 'api_key', c.api_key))
    FROM print_jobs j JOIN devices d USING (device_id) LEFT JOIN device_credentials c USING (device_id)
    WHERE (j.gcode_status IS NULL OR j.gcode_status = 'requested')
      AND (j.gcode_status = 'requested' OR j.start_time > now() - make_interval(secs => 86400 * p_days))
      -- a printer may name its file only some seconds after the start
      AND (j.download_ref IS NOT NULL OR j.end_time IS NOT NULL OR j.start_time < now() - interval '1 minute')
    ORDER BY j.end_time IS NULL DESC, j.gcode_status = 'requested' DESC NULLS LAST, j.start_time DESC LIMIT p_limit
$$;
COMMENT ON FUNCTION jobs_to_enrich(double precision, integer) IS
    'Prints without G-code analysis that began in the last days, and those requested: file, where it is and the '
    'printer with its credentials (ingest role only); running ones first.';

CREATE FUNCTION record_gcode(p_results jsonb) RETURNS bigint LANGUAGE sql AS $$
    WITH stored AS (
        UPDATE print_jobs p SET gcode_status = left(r.status, 500),
            gcode_analysis_data = coalesce(r.analysis, p.gcode_analysis_data), per_part_analysis = coalesce(r.parts, p.per_part_analysis),
            thumbnail_url = coalesce(r.thumbnail_url, p.thumbnail_url), preview_url = coalesce(r.preview_url, p.preview_url),
            material = coalesce(p.material, r.material), nozzle_diameter = coalesce(p.nozzle_diameter, r.nozzle_diameter),
            filament_diameter = coalesce(p.filament_diameter, r.filament_diameter)
        FROM jsonb_to_recordset(p_results) AS r (job_id uuid, status text, analysis jsonb, parts jsonb, thumbnail_url text, preview_url text,
            material text, nozzle_diameter float8, filament_diameter float8)
        WHERE p.job_id = r.job_id RETURNING 1)
    SELECT count(*) FROM stored
$$;
COMMENT ON FUNCTION record_gcode(jsonb) IS
    'Stores what was found in the G-code of prints, or in status why there is nothing; values from the source itself '
    '(material, diameters) stay. Returns how many prints it found.';

CREATE FUNCTION request_gcode(p_job uuid) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    UPDATE print_jobs SET gcode_status = 'requested' WHERE job_id = p_job;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'There is no print %.', p_job USING ERRCODE = 'P0002';
    END IF;
    RETURN jsonb_build_object('job_id', p_job, 'status', 'requested');
END $$;
COMMENT ON FUNCTION request_gcode(uuid) IS 'Requests the G-code of a print (again), however old it is.';

CREATE FUNCTION forget_gcode(p_urls text[]) RETURNS bigint LANGUAGE sql AS $$
    WITH gone AS (
        UPDATE print_jobs SET thumbnail_url = CASE WHEN thumbnail_url = ANY (p_urls) THEN NULL ELSE thumbnail_url END,
            preview_url = CASE WHEN preview_url = ANY (p_urls) THEN NULL ELSE preview_url END
        WHERE thumbnail_url = ANY (p_urls) OR preview_url = ANY (p_urls) RETURNING 1)
    SELECT count(*) FROM gone
$$;
COMMENT ON FUNCTION forget_gcode(text[]) IS
    'Removes the addresses of removed pictures and previews from their prints; returns how many prints had one.';

CREATE FUNCTION use_gcode() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    v_file_g double precision := (NEW.gcode_analysis_data #>> '{filament,total_g}')::float8;
    v_file_mm double precision := (NEW.gcode_analysis_data #>> '{filament,total_mm}')::float8;
BEGIN
    -- The printer's own length counts before progress, and progress before the whole file.
    NEW.filament_used_g := coalesce(NEW.filament_used_g,
        CASE WHEN NEW.filament_used_mm > 0 AND v_file_mm > 0 THEN v_file_g * least(NEW.filament_used_mm / v_file_mm, 2)
             WHEN NEW.status = 'done' THEN v_file_g
             ELSE v_file_g * NEW.progress_percent / 100 END);
    IF jsonb_typeof(NEW.per_part_analysis) = 'array' THEN
        NEW.per_part_analysis := (SELECT jsonb_agg(part || jsonb_build_object('energy_wh',
                round((NEW.session_energy_wh * (part ->> 'energy_share')::float8)::numeric, 3)) ORDER BY n)
            FROM jsonb_array_elements(NEW.per_part_analysis) WITH ORDINALITY AS u (part, n));
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION use_gcode() IS
    'Trigger on ended prints: grams used where the source did not report them, and the parts'' shares of the energy '
    'in Wh.';

CREATE TRIGGER print_jobs_use_gcode BEFORE UPDATE ON print_jobs FOR EACH ROW
    WHEN (NEW.end_time IS NOT NULL AND NEW.gcode_analysis_data IS NOT NULL) EXECUTE FUNCTION use_gcode();
