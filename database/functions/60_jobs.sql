-- Printer statuses and the life of a job. The state machine (nodered/lib) decides, these functions store; every replay
-- of the same statuses leaves the same rows.

CREATE FUNCTION keep_job_start() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.start_time := OLD.start_time;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION keep_job_start() IS 'Trigger: the start of a job never changes once it is set.';

CREATE TRIGGER print_jobs_keep_start BEFORE UPDATE ON print_jobs FOR EACH ROW
    WHEN (NEW.start_time <> OLD.start_time) EXECUTE FUNCTION keep_job_start();

CREATE FUNCTION record_status(p_statuses jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    s jsonb; a jsonb;
    v_device text; v_at timestamptz; v_floor timestamptz := raw_floor();
    v_known text[];
    v_stored integer := 0; v_repeated integer := 0; v_rejected integer := 0; v_rows integer;
    v_jobs jsonb := '[]'::jsonb; v_done jsonb;
BEGIN
    PERFORM lock_registry(false);
    SELECT array_agg(d.device_id) INTO v_known FROM (
        SELECT device_id FROM device_latest WHERE device_id IN (SELECT e ->> 'device_id' FROM jsonb_array_elements(p_statuses) e)
        ORDER BY device_id FOR UPDATE) d;
    FOR s IN SELECT e FROM jsonb_array_elements(p_statuses) WITH ORDINALITY AS u (e, n) ORDER BY n LOOP
        v_device := s ->> 'device_id';
        IF v_device IS NULL OR NOT v_device = ANY (coalesce(v_known, '{}')) THEN
            PERFORM record_rejects(ARRAY['status'], ARRAY[coalesce(v_device, '')], ARRAY[s::text], ARRAY['unknown device']);
            v_rejected := v_rejected + 1;
            CONTINUE;
        END IF;
        BEGIN
            v_at := (s ->> 'timestamp')::timestamptz;
            IF v_at IS NULL OR v_at > newest_allowed() OR v_at < v_floor THEN
                RAISE EXCEPTION 'time missing, in the future or older than the raw rows kept' USING ERRCODE = '22023';
            END IF;
            IF s ->> 'state' IS NOT NULL THEN
                PERFORM ensure_months('device_status', v_at, v_at);
                INSERT INTO series.device_status SELECT r.* FROM status_row(v_device, v_at, s) r ON CONFLICT DO NOTHING;
                GET DIAGNOSTICS v_rows = ROW_COUNT;
                v_stored := v_stored + v_rows; v_repeated := v_repeated + 1 - v_rows;
                IF v_rows > 0 THEN
                    PERFORM status_to_latest(v_device, v_at);
                    UPDATE devices SET last_seen = v_at
                        WHERE device_id = v_device AND s ->> 'state' <> 'offline' AND (last_seen IS NULL OR last_seen < v_at);
                END IF;
            END IF;
            IF s ->> 'error' IS NOT NULL THEN
                UPDATE device_latest SET last_error = left(s ->> 'error', 500), last_error_at = v_at
                    WHERE device_id = v_device AND (last_error_at IS NULL OR last_error_at <= v_at);
            END IF;
        EXCEPTION WHEN data_exception OR check_violation OR not_null_violation THEN
            -- one bad status never stops the others
            PERFORM record_rejects(ARRAY['status'], ARRAY[v_device], ARRAY[s::text], ARRAY[status_refusal(s, SQLERRM)]);
            v_rejected := v_rejected + 1;
            CONTINUE;
        END;
        FOR a IN SELECT jsonb_array_elements(CASE WHEN jsonb_typeof(s -> 'actions') = 'array' THEN s -> 'actions' ELSE '[]' END) LOOP
            BEGIN
                v_done := job_action(v_device, v_at, a);
                IF v_done IS NOT NULL THEN
                    v_jobs := v_jobs || v_done;
                END IF;
            EXCEPTION WHEN data_exception OR integrity_constraint_violation THEN
                -- nor does a bad action cost the status
                PERFORM record_rejects(ARRAY['job action'], ARRAY[v_device], ARRAY[a::text], ARRAY[SQLERRM]);
                v_rejected := v_rejected + 1;
            END;
        END LOOP;
    END LOOP;
    RETURN jsonb_build_object('stored', v_stored, 'repeated', v_repeated, 'rejected', v_rejected, 'jobs', v_jobs);
END $$;
COMMENT ON FUNCTION record_status(jsonb) IS
    'Statuses of printers in order, each with its job actions (open, progress, pause, resume, close); returns stored, '
    'repeated, rejected and the jobs that changed. A replay changes nothing.';

CREATE FUNCTION status_row(p_device text, p_at timestamptz, s jsonb) RETURNS series.device_status LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_state smallint;
BEGIN
    SELECT state_key INTO v_state FROM states WHERE state = s ->> 'state';
    IF v_state IS NULL THEN
        PERFORM bad_input(format('unknown state %s: one of %s is needed', s ->> 'state', (SELECT string_agg(state, ', ' ORDER BY state_key) FROM states)));
    END IF;
    RETURN jsonb_populate_record(NULL::series.device_status,
        (s - 'actions') || jsonb_build_object('device_key', device_key(p_device), 'timestamp', p_at, 'state_key', v_state));
END $$;
COMMENT ON FUNCTION status_row(text, timestamptz, jsonb) IS 'A row of series.device_status from the JSON of a status.';

CREATE FUNCTION status_refusal(s jsonb, p_message text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN p_message LIKE '%progress_percent_check%' THEN format('progress_percent %s is not within 0 and 100', s ->> 'progress_percent')
                WHEN p_message LIKE 'invalid input syntax%' OR p_message LIKE '%out of range%' THEN 'a value has the wrong type: ' || p_message
                ELSE p_message END
$$;
COMMENT ON FUNCTION status_refusal(jsonb, text) IS 'Why a status was refused, in a sentence for people.';

CREATE FUNCTION status_to_latest(p_device text, p_at timestamptz) RETURNS void LANGUAGE sql AS $$
    UPDATE device_latest l SET
        state_since = CASE WHEN p.timestamp < l.status_at THEN l.state_since WHEN l.state IS DISTINCT FROM n.state THEN p.timestamp ELSE coalesce(l.state_since, p.timestamp) END,
        phases_dirty_from = least(l.phases_dirty_from, coalesce((SELECT max(q.timestamp) FROM series.device_status q WHERE q.device_key = p.device_key AND q.timestamp < p_at), p_at)),
        status_at = greatest(l.status_at, p.timestamp),
        state = CASE WHEN p.timestamp < l.status_at THEN l.state ELSE n.state END,
        state_text = CASE WHEN p.timestamp < l.status_at THEN l.state_text ELSE p.state_text END,
        nozzle_temp_actual = CASE WHEN p.timestamp < l.status_at THEN l.nozzle_temp_actual ELSE p.nozzle_temp_actual END,
        nozzle_temp_target = CASE WHEN p.timestamp < l.status_at THEN l.nozzle_temp_target ELSE p.nozzle_temp_target END,
        bed_temp_actual = CASE WHEN p.timestamp < l.status_at THEN l.bed_temp_actual ELSE p.bed_temp_actual END,
        bed_temp_target = CASE WHEN p.timestamp < l.status_at THEN l.bed_temp_target ELSE p.bed_temp_target END,
        z_height_mm = CASE WHEN p.timestamp < l.status_at THEN l.z_height_mm ELSE p.z_height_mm END,
        speed_multiplier_percent = CASE WHEN p.timestamp < l.status_at THEN l.speed_multiplier_percent ELSE p.speed_multiplier_percent END,
        fan_rpm = CASE WHEN p.timestamp < l.status_at THEN l.fan_rpm ELSE p.fan_rpm END,
        material = CASE WHEN p.timestamp < l.status_at THEN l.material ELSE p.material END,
        filename = CASE WHEN p.timestamp < l.status_at THEN l.filename ELSE p.filename END,
        source_job_id = CASE WHEN p.timestamp < l.status_at THEN l.source_job_id ELSE p.source_job_id END,
        progress_percent = CASE WHEN p.timestamp < l.status_at THEN l.progress_percent ELSE p.progress_percent END,
        time_left_seconds = CASE WHEN p.timestamp < l.status_at THEN l.time_left_seconds ELSE p.time_left_seconds END
    FROM series.device_status p JOIN states n USING (state_key) WHERE p.device_key = (SELECT d.device_key FROM devices d WHERE d.device_id = p_device) AND p.timestamp = p_at AND l.device_id = p_device
$$;
COMMENT ON FUNCTION status_to_latest(text, timestamptz) IS
    'Updates device_latest to that status, unless a newer one is stored.';

-- One action of the state machine. Returns the job and what happened, NULL when nothing changed (a replay).
CREATE FUNCTION job_action(p_device text, p_at timestamptz, a jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    v_type text := a ->> 'type';
    v_fields jsonb := coalesce(a -> 'job', '{}') || (a - 'job' - 'type');
    v_job uuid := (v_fields ->> 'job_id')::uuid;
    v_end timestamptz;
    j print_jobs;
    v_old print_jobs;
BEGIN
    IF v_job IS NULL THEN
        PERFORM bad_input('a job action needs a job_id');
    ELSIF coalesce(v_type, '') NOT IN ('open', 'progress', 'pause', 'resume', 'close') THEN
        PERFORM bad_input(format('unknown job action %s', v_type));
    END IF;
    IF v_type = 'open' THEN
        j := jsonb_populate_record(NULL::print_jobs, v_fields);
        IF EXISTS (SELECT 1 FROM print_jobs p WHERE p.job_id = v_job OR (p.device_id = p_device AND p.start_time = j.start_time
                   AND coalesce(p.source_job_id, p.filename, '') = coalesce(j.source_job_id, j.filename, ''))) THEN
            RETURN NULL;
        END IF;
        -- An open job that nobody closed ends where it was last seen; there is one open job per device.
        SELECT * INTO v_old FROM print_jobs WHERE device_id = p_device AND end_time IS NULL;
        IF FOUND THEN
            PERFORM close_job(v_old.job_id, least(coalesce(v_old.last_seen, v_old.start_time), j.start_time), 'unknown', 'another job began', true);
        END IF;
        INSERT INTO print_jobs (job_id, device_id, source_job_id, simplyprint_job_id, filename, start_time, paused_seconds, status, status_reason,
                                progress_percent, time_left_seconds, last_seen, filament_used_g, filament_used_mm, material, nozzle_diameter,
                                filament_diameter, thumbnail_url, preview_url, download_ref, start_energy_wh)
        VALUES (v_job, p_device, j.source_job_id, j.simplyprint_job_id, j.filename, coalesce(j.start_time, p_at), coalesce(j.paused_seconds, 0),
                CASE WHEN j.status = 'paused' THEN 'paused' ELSE 'printing' END, j.status_reason, j.progress_percent, j.time_left_seconds,
                coalesce(j.last_seen, p_at), j.filament_used_g, j.filament_used_mm, j.material, j.nozzle_diameter, j.filament_diameter,
                j.thumbnail_url, j.preview_url, j.download_ref, counter_at(p_device, coalesce(j.start_time, p_at)))
        ON CONFLICT DO NOTHING;
        RETURN CASE WHEN FOUND THEN jsonb_build_object('job_id', v_job, 'device_id', p_device, 'did', 'opened') END;
    ELSIF v_type IN ('progress', 'pause', 'resume') THEN
        j := jsonb_populate_record(NULL::print_jobs, v_fields);
        UPDATE print_jobs p SET
            last_seen = coalesce(j.last_seen, p_at),
            status = CASE WHEN v_type = 'pause' THEN 'paused' WHEN v_type = 'resume' THEN 'printing'
                          WHEN j.status IN ('printing', 'paused') THEN j.status ELSE p.status END,
            status_reason = CASE WHEN v_fields ? 'status_reason' THEN j.status_reason ELSE p.status_reason END,
            paused_seconds = greatest(p.paused_seconds, j.paused_seconds),
            progress_percent = coalesce(j.progress_percent, p.progress_percent),
            time_left_seconds = CASE WHEN v_fields ? 'time_left_seconds' THEN j.time_left_seconds ELSE p.time_left_seconds END,
            filament_used_g = coalesce(j.filament_used_g, p.filament_used_g), filament_used_mm = coalesce(j.filament_used_mm, p.filament_used_mm),
            material = coalesce(j.material, p.material), filename = coalesce(p.filename, j.filename),
            simplyprint_job_id = coalesce(p.simplyprint_job_id, j.simplyprint_job_id),
            download_ref = coalesce(j.download_ref, p.download_ref), thumbnail_url = coalesce(j.thumbnail_url, p.thumbnail_url),
            preview_url = coalesce(j.preview_url, p.preview_url), nozzle_diameter = coalesce(j.nozzle_diameter, p.nozzle_diameter)
        WHERE p.job_id = v_job AND p.end_time IS NULL AND (p.last_seen IS NULL OR p.last_seen < coalesce(j.last_seen, p_at));
        RETURN NULL;    -- nobody must react to progress
    ELSE
        v_end := coalesce((v_fields ->> 'end_time')::timestamptz, p_at);
        UPDATE print_jobs p SET
            progress_percent = coalesce((v_fields ->> 'progress_percent')::float8, p.progress_percent),
            paused_seconds = greatest(p.paused_seconds, (v_fields ->> 'paused_seconds')::float8),
            filament_used_g = coalesce((v_fields ->> 'filament_used_g')::float8, p.filament_used_g),
            filament_used_mm = coalesce((v_fields ->> 'filament_used_mm')::float8, p.filament_used_mm),
            material = coalesce(v_fields ->> 'material', p.material),
            download_ref = coalesce(v_fields ->> 'download_ref', p.download_ref)
        WHERE p.job_id = v_job AND p.end_time IS NULL;
        RETURN CASE WHEN close_job(v_job, v_end, coalesce(v_fields ->> 'status', 'unknown'), v_fields ->> 'status_reason',
                                   coalesce((v_fields ->> 'estimated')::boolean, false))
               THEN jsonb_build_object('job_id', v_job, 'device_id', p_device, 'did', 'closed') END;
    END IF;
END $$;
COMMENT ON FUNCTION job_action(text, timestamptz, jsonb) IS
    'Applies one action of the job state machine (open, progress, pause, resume, close) to print_jobs.';

CREATE FUNCTION close_job(p_job uuid, p_end timestamptz, p_status text, p_reason text, p_estimated boolean) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    j print_jobs;
    v_end timestamptz;
BEGIN
    SELECT * INTO j FROM print_jobs WHERE job_id = p_job AND end_time IS NULL FOR UPDATE;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    v_end := greatest(p_end, j.start_time);
    IF p_estimated THEN     -- an end that nobody saw is not later than the time at which the power fell to idle
        v_end := greatest(j.start_time, coalesce(idle_since(j.device_id, coalesce(j.last_seen, j.start_time), v_end), v_end));
    END IF;
    UPDATE print_jobs SET end_time = v_end, duration_seconds = extract(epoch FROM v_end - start_time), status = p_status,
        status_reason = coalesce(p_reason, status_reason), time_left_seconds = NULL, energy_final = false,
        paused_seconds = least(paused_seconds, extract(epoch FROM v_end - start_time)),
        energy_quality = jsonb_build_object('estimated_end', p_estimated)
        WHERE job_id = p_job;
    RETURN true;
END $$;
COMMENT ON FUNCTION close_job(uuid, timestamptz, text, text, boolean) IS
    'Ends an open job (an estimated end is not later than the fall of the power to idle); false when it was not open.';

CREATE FUNCTION idle_since(p_device text, p_from timestamptz, p_to timestamptz) RETURNS timestamptz LANGUAGE sql STABLE AS $$
    SELECT min(e.timestamp)
    FROM devices d JOIN meter_assignments a ON a.device_id = d.device_id AND a.role = 'main' JOIN meters m USING (meter_id)
    JOIN series.energy e ON e.meter_key = m.meter_key AND e.timestamp >= a.valid_from AND e.timestamp < a.valid_to
    WHERE d.device_id = p_device AND d.idle_power_w IS NOT NULL AND m.energy_type = 'electricity' AND e.timestamp > p_from AND e.timestamp < p_to
      AND e.power_watts <= d.idle_power_w * 1.25 + 1
$$;
COMMENT ON FUNCTION idle_since(text, timestamptz, timestamptz) IS
    'First time in the range at which the device drew no more than its idle power; NULL when unknown.';

CREATE FUNCTION counter_at(p_device text, p_at timestamptz) RETURNS double precision LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN count(*) = 1 THEN max(x.wh) END
    FROM (SELECT (SELECT e.reading_wh FROM series.energy e WHERE e.meter_key = m.meter_key AND e.timestamp <= p_at AND e.reading_wh IS NOT NULL
                  AND e.timestamp > p_at - interval '1 day' ORDER BY e.timestamp DESC LIMIT 1) AS wh
          FROM meter_assignments a JOIN meters m USING (meter_id)
          WHERE a.device_id = p_device AND a.adds AND m.energy_type = 'electricity' AND m.direction = 'import' AND m.reading_kind = 'counter'
            AND a.valid_from <= p_at AND p_at < a.valid_to) x
$$;
COMMENT ON FUNCTION counter_at(text, timestamptz) IS
    'Counter in Wh of the device''s main meter at or before that time (for people; energy is never computed from it); '
    'NULL when it has none or several.';

-- Energy of one ended job. Final when all its meters passed its end, provisional after 10 minutes of silence, NULL
-- without a meter.
CREATE FUNCTION finalize_job(p_job uuid, p_now timestamptz DEFAULT now()) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    j print_jobs;
    v_meters integer; v_passed boolean; v_method text;
    c record; d record;
    v_quality jsonb;
BEGIN
    SELECT * INTO j FROM print_jobs WHERE job_id = p_job AND end_time IS NOT NULL FOR UPDATE;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    -- A meter that came from a file never reports by itself: nobody waits for it.
    SELECT count(*), bool_and(m.protocol = 'import' OR coalesce(CASE WHEN m.reading_kind = 'power_only' THEN s.last_power_at ELSE s.last_counter_at END
                                                               >= least(j.end_time, a.valid_to), false)),
           CASE WHEN bool_and(m.reading_kind = 'power_only') THEN 'integrated' WHEN bool_or(m.reading_kind = 'power_only') THEN 'mixed' ELSE 'counter' END
        INTO v_meters, v_passed, v_method
        FROM meter_assignments a JOIN meters k USING (meter_id) LEFT JOIN virtual_meter_parts v USING (meter_id)
        JOIN meters m ON m.meter_id = coalesce(v.part_id, k.meter_id) LEFT JOIN meter_state s ON s.meter_id = m.meter_id
        WHERE a.device_id = j.device_id AND a.adds AND a.counts_to_job AND k.energy_type = 'electricity' AND k.direction = 'import'
          AND a.valid_from < greatest(j.end_time, j.start_time + interval '1 microsecond') AND a.valid_to > j.start_time;
    IF v_meters = 0 THEN
        v_passed := true; v_method := 'none';
    ELSIF NOT v_passed THEN
        IF p_now < j.end_time + interval '10 minutes' OR (j.energy_quality ->> 'provisional')::boolean THEN
            RETURN false;
        END IF;
    END IF;
    SELECT * INTO c FROM device_energy_cost(j.device_id, j.start_time, j.end_time, p_job => true);
    SELECT * INTO d FROM device_energy_detail(j.device_id, j.start_time, j.end_time);
    v_quality := jsonb_build_object('method', v_method,
        'coverage_pct', CASE WHEN v_meters > 0 AND j.end_time > j.start_time
            THEN round((100 * d.coverage_s / extract(epoch FROM j.end_time - j.start_time)::float8)::numeric, 1) END,
        'gaps', d.gaps, 'resets', d.resets, 'jumps', d.jumps, 'provisional', NOT v_passed,
        'estimated_end', coalesce((j.energy_quality ->> 'estimated_end')::boolean, false));
    UPDATE print_jobs SET session_energy_wh = c.energy_wh, cost = c.cost, currency = c.currency, co2_g = c.co2_g,
        tariff_ids = c.tariff_ids, carbon_factor_ids = c.factor_ids, energy_quality = v_quality, energy_final = v_passed,
        start_energy_wh = coalesce(start_energy_wh, counter_at(device_id, start_time))
        WHERE job_id = p_job;
    RETURN true;
END $$;
COMMENT ON FUNCTION finalize_job(uuid, timestamptz) IS
    'Computes energy (Wh), cost and CO2 (g) of one ended job; true when the row was written.';

CREATE FUNCTION finalize_jobs(p_now timestamptz DEFAULT now()) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    v_job uuid;
    v_done jsonb := '[]'::jsonb;
BEGIN
    FOR v_job IN SELECT job_id FROM print_jobs WHERE NOT energy_final AND end_time IS NOT NULL ORDER BY device_id, start_time
                 FOR UPDATE SKIP LOCKED LOOP    -- another run has it
        IF finalize_job(v_job, p_now) THEN
            v_done := v_done || to_jsonb(v_job);
        END IF;
    END LOOP;
    RETURN jsonb_build_object('finalized', jsonb_array_length(v_done), 'jobs', v_done);
END $$;
COMMENT ON FUNCTION finalize_jobs(timestamptz) IS
    'Computes every ended job that is not final yet or was touched by late data; returns which.';

-- A printer that fell silent is offline; a job unseen for a day has ended, nobody knows how.
CREATE FUNCTION reap_devices(p_now timestamptz DEFAULT now()) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    v_offline integer; v_closed integer := 0;
    item record;
BEGIN
    PERFORM lock_registry(false);
    PERFORM 1 FROM device_latest ORDER BY device_id FOR UPDATE;
    UPDATE device_latest l SET state = 'offline', state_text = 'no status', state_since = l.status_at
        FROM devices d WHERE d.device_id = l.device_id AND l.state <> 'offline' AND d.source <> 'none'
          AND l.status_at < p_now - holds(d.data_interval_seconds);
    GET DIAGNOSTICS v_offline = ROW_COUNT;
    FOR item IN SELECT job_id, coalesce(last_seen, start_time) AS seen, time_left_seconds FROM print_jobs
                WHERE end_time IS NULL AND coalesce(last_seen, start_time) < p_now - interval '24 hours' LOOP
        PERFORM close_job(item.job_id, least(p_now, item.seen + make_interval(secs => coalesce(item.time_left_seconds, 0))),
                          'unknown', 'not seen for 24 hours', true);
        v_closed := v_closed + 1;
    END LOOP;
    RETURN jsonb_build_object('offline', v_offline, 'closed', v_closed);
END $$;
COMMENT ON FUNCTION reap_devices(timestamptz) IS
    'Sets devices whose status does not hold any more to offline and closes jobs unseen for 24 hours; returns '
    'both counts.';

CREATE FUNCTION devices_to_poll() RETURNS SETOF jsonb LANGUAGE sql STABLE AS $$
    SELECT device_with_credentials(d) || jsonb_build_object(
        'open_job', (SELECT jsonb_build_object('job_id', j.job_id, 'source_job_id', j.source_job_id, 'simplyprint_job_id', j.simplyprint_job_id,
            'filename', j.filename, 'start_time', j.start_time, 'paused_seconds', j.paused_seconds, 'status', j.status, 'last_seen', j.last_seen,
            'progress_percent', j.progress_percent, 'time_left_seconds', j.time_left_seconds, 'material', j.material,
            'print_elapsed_s', extract(epoch FROM j.last_seen - j.start_time) - j.paused_seconds)
            FROM print_jobs j WHERE j.device_id = d.device_id AND j.end_time IS NULL),
        'latest', (SELECT to_jsonb(l) - 'phases_dirty_from' FROM device_latest l WHERE l.device_id = d.device_id))
    FROM devices d JOIN sources s ON s.source = d.source AND s.polled WHERE d.is_active ORDER BY d.device_id
$$;
COMMENT ON FUNCTION devices_to_poll() IS
    'Every active printer that is polled: its registry columns with credentials (ingest role only), open_job and '
    'latest.';
