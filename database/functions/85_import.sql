-- What the importer needs besides the functions of live data.

CREATE FUNCTION meter_for_import(p_device text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v_meters text[];
    v_plug text;
    v_meter text;
BEGIN
    SELECT array_agg(DISTINCT a.meter_id) INTO v_meters FROM meter_assignments a JOIN meters m USING (meter_id)
        WHERE a.device_id = p_device AND a.role = 'main' AND a.valid_to = 'infinity' AND m.energy_type = 'electricity'
            AND m.direction = 'import' AND m.reading_kind <> 'virtual';
    IF cardinality(v_meters) = 1 THEN
        RETURN v_meters[1];
    ELSIF cardinality(v_meters) > 1 THEN
        PERFORM bad_input(format('device %s has several main meters (%s): give meter_id instead of device_id',
                                 p_device, array_to_string(v_meters, ', ')));
    END IF;
    SELECT shelly_id INTO v_plug FROM devices WHERE device_id = p_device;
    v_meter := CASE WHEN v_plug LIKE '%/%' THEN v_plug ELSE 'import/' || p_device END;
    PERFORM register_meters(ARRAY[v_meter], ARRAY['import']);
    IF NOT EXISTS (SELECT 1 FROM meter_assignments WHERE meter_id = v_meter) THEN
        PERFORM set_assignment(v_meter, p_device, 'main', NULL);
    END IF;
    RETURN v_meter;
END $$;
COMMENT ON FUNCTION meter_for_import(text) IS
    'The meter to which imported readings of a device belong: its one main meter, otherwise its plug channel, '
    'otherwise a new meter import/<device>.';

CREATE FUNCTION record_status_rows(p_rows jsonb) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_new bigint;
    v_state text;
    item record;
BEGIN
    PERFORM lock_registry(false);
    IF EXISTS (SELECT 1 FROM jsonb_array_elements(p_rows) e WHERE (e ->> 'timestamp')::timestamptz > newest_allowed()
               OR (e ->> 'timestamp')::timestamptz < (SELECT raw_floor())) THEN
        PERFORM bad_input('a time is in the future or older than the raw rows kept');
    END IF;
    PERFORM 1 FROM device_latest WHERE device_id IN (SELECT e ->> 'device_id' FROM jsonb_array_elements(p_rows) e) ORDER BY device_id FOR UPDATE;
    PERFORM ensure_months('device_status', min((e ->> 'timestamp')::timestamptz), max((e ->> 'timestamp')::timestamptz)) FROM jsonb_array_elements(p_rows) e;
    -- an unknown device or state is an error of the whole file, and named
    SELECT min(e ->> 'state') INTO v_state FROM jsonb_array_elements(p_rows) e WHERE NOT EXISTS (SELECT 1 FROM states n WHERE n.state = e ->> 'state');
    IF v_state IS NOT NULL THEN
        PERFORM bad_input(format('unknown state %s: one of %s is needed', v_state, (SELECT string_agg(state, ', ' ORDER BY state_key) FROM states)));
    END IF;
    WITH stored AS (
        INSERT INTO series.device_status
        SELECT r.* FROM jsonb_array_elements(p_rows) e JOIN devices d ON d.device_id = e ->> 'device_id' JOIN states n ON n.state = e ->> 'state'
        CROSS JOIN LATERAL jsonb_populate_record(NULL::series.device_status,
            e || jsonb_build_object('device_key', d.device_key, 'state_key', n.state_key)) r ON CONFLICT DO NOTHING
        RETURNING device_key, timestamp)
    SELECT count(*) INTO v_new FROM stored;
    FOR item IN SELECT e ->> 'device_id' AS device_id, min((e ->> 'timestamp')::timestamptz) AS first, max((e ->> 'timestamp')::timestamptz) AS last
                FROM jsonb_array_elements(p_rows) e GROUP BY 1 ORDER BY 1 LOOP
        PERFORM status_to_latest(item.device_id, item.last);
        UPDATE device_latest SET phases_dirty_from = least(phases_dirty_from, item.first) WHERE device_id = item.device_id AND v_new > 0;
    END LOOP;
    RETURN v_new;
END $$;
COMMENT ON FUNCTION record_status_rows(jsonb) IS
    'Past statuses of known devices (array of printer_status rows), set-based, without job actions; returns how many '
    'are new.';

CREATE FUNCTION import_job(p jsonb) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    j print_jobs := jsonb_populate_record(NULL::print_jobs, p);
BEGIN
    IF j.start_time IS NULL THEN
        PERFORM bad_input('a job needs a start_time');
    ELSIF j.end_time IS NULL AND coalesce(j.status, '') NOT IN ('printing', 'paused') THEN
        PERFORM bad_input('a past job needs an end_time; one that still runs has the status printing or paused');
    ELSIF j.end_time IS NOT NULL AND coalesce(j.status, '') NOT IN ('done', 'cancelled', 'error', 'unknown') THEN
        PERFORM bad_input('status of a job with an end_time is done, cancelled, error or unknown');
    ELSIF j.end_time < j.start_time OR j.last_seen < j.start_time THEN
        PERFORM bad_input('end_time or last_seen is before start_time');
    ELSIF greatest(j.start_time, j.end_time, j.last_seen) > newest_allowed() THEN
        PERFORM bad_input('start_time, end_time or last_seen is in the future');
    ELSIF j.progress_percent NOT BETWEEN 0 AND 100 THEN
        PERFORM bad_input('progress_percent is not within 0 and 100');
    END IF;
    INSERT INTO print_jobs (job_id, device_id, source_job_id, simplyprint_job_id, filename, start_time, end_time, duration_seconds, paused_seconds,
                            status, status_reason, progress_percent, last_seen, filament_used_g, filament_used_mm, material, nozzle_diameter,
                            filament_diameter, thumbnail_url, preview_url)
    VALUES (coalesce(j.job_id, gen_random_uuid()), j.device_id, j.source_job_id, j.simplyprint_job_id, j.filename, j.start_time, j.end_time,
            extract(epoch FROM j.end_time - j.start_time), coalesce(j.paused_seconds, 0), j.status, j.status_reason, j.progress_percent, coalesce(j.end_time, j.last_seen, j.start_time),
            j.filament_used_g, j.filament_used_mm, j.material, j.nozzle_diameter, j.filament_diameter, j.thumbnail_url, j.preview_url)
    ON CONFLICT DO NOTHING;
    RETURN FOUND;
END $$;
COMMENT ON FUNCTION import_job(jsonb) IS
    'One past job, or one that still runs and continues with the next poll of the printer (keys = columns of '
    'print_jobs); false when it is known already or another one runs.';
