-- Which device a meter measures, by time. A meter has one device at a time.

CREATE FUNCTION refuse_overlap() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- Two writers of one meter wait for each other.
    PERFORM 1 FROM meters WHERE meter_id = NEW.meter_id FOR NO KEY UPDATE;
    IF EXISTS (SELECT 1 FROM meter_assignments a WHERE a.meter_id = NEW.meter_id AND a.assignment_id <> NEW.assignment_id
               AND a.valid_from < NEW.valid_to AND a.valid_to > NEW.valid_from) THEN
        RAISE EXCEPTION 'meter % is already assigned within that time', NEW.meter_id USING ERRCODE = '23P01';
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION refuse_overlap() IS 'Trigger: assignments of one meter never overlap.';

CREATE TRIGGER meter_assignments_no_overlap AFTER INSERT OR UPDATE ON meter_assignments
    FOR EACH ROW EXECUTE FUNCTION refuse_overlap();

-- From p_from on the meter belongs to the device (NULL: to none). What was assigned after that time is replaced.
-- Without p_from: the first assignment has no beginning (it also covers history that is imported later), any other one
-- begins now.
CREATE FUNCTION set_assignment(p_meter text, p_device text, p_role text, p_from timestamptz) RETURNS timestamptz
LANGUAGE plpgsql AS $$
DECLARE
    v_from timestamptz := p_from;
    v_devices text[];
BEGIN
    PERFORM lock_registry(true);
    INSERT INTO meter_state (meter_id) VALUES (p_meter) ON CONFLICT DO NOTHING;
    PERFORM 1 FROM meter_state WHERE meter_id = p_meter FOR UPDATE;
    IF v_from IS NULL THEN
        v_from := CASE WHEN EXISTS (SELECT 1 FROM meter_assignments WHERE meter_id = p_meter) THEN now() ELSE '-infinity' END;
    END IF;
    SELECT array_agg(DISTINCT device_id) INTO v_devices FROM meter_assignments
        WHERE meter_id = p_meter AND valid_to > v_from;
    DELETE FROM meter_assignments WHERE meter_id = p_meter AND valid_from >= v_from;
    UPDATE meter_assignments SET valid_to = v_from WHERE meter_id = p_meter AND valid_to > v_from;
    IF p_device IS NOT NULL THEN
        INSERT INTO meter_assignments (meter_id, device_id, role, valid_from) VALUES (p_meter, p_device, p_role, v_from);
        PERFORM allow_power(p_meter, plausible_power_w(d)) FROM devices d WHERE d.device_id = p_device;
    END IF;
    PERFORM reattribute(p_meter, v_from, v_devices || p_device);
    RETURN v_from;
END $$;
COMMENT ON FUNCTION set_assignment(text, text, text, timestamptz) IS
    'Assigns the meter from the given time on (device NULL ends it) and corrects rows, rollups and jobs after it; '
    'returns the time.';

CREATE FUNCTION plausible_power_w(d devices) RETURNS double precision LANGUAGE sql IMMUTABLE AS $$ SELECT 2 * d.rated_power_w $$;
COMMENT ON FUNCTION plausible_power_w(devices) IS
    'Generous limit in W of what a meter of the device may measure: twice its rated power; NULL when that is unknown.';

-- Gives stored rows the device of their time again and marks rollups and jobs that this changes. No nested loops: the
-- statistics may not know the meter's rows yet, and the planner would then join all of them with all of them. Without
-- such loops e needs a bound of its own, or rows before p_from are read in vain.
CREATE FUNCTION reattribute(p_meter text, p_from timestamptz, p_devices text[]) RETURNS void
LANGUAGE plpgsql SET enable_nestloop = off AS $$
DECLARE
    v_first timestamptz;
    v_last timestamptz;
    v_floor timestamptz;
    v_level text;
BEGIN
    v_floor := setting('frozen_before')::timestamptz;
    UPDATE energy_data e SET device_id = a.device_id
        FROM (SELECT r.timestamp, x.device_id FROM energy_data r
              LEFT JOIN meter_assignments x ON x.meter_id = r.meter_id AND x.valid_from <= r.timestamp AND r.timestamp < x.valid_to
              WHERE r.meter_id = p_meter AND r.timestamp >= p_from AND r.device_id IS DISTINCT FROM x.device_id) a
        WHERE e.meter_id = p_meter AND e.timestamp >= p_from AND e.timestamp = a.timestamp;
    -- Frozen buckets can't be computed again from rows; they go to the device of their start.
    FOR v_level IN SELECT name FROM rollup_levels() LOOP
        EXECUTE format('UPDATE energy_rollup_%s r SET device_id = device_at($1, r.bucket)
            WHERE r.meter_id = $1 AND r.bucket >= $2 AND r.bucket < $3 AND r.device_id <> device_at($1, r.bucket)', v_level)
            USING p_meter, p_from, v_floor;
    END LOOP;
    SELECT min(coalesce(interval_start, timestamp)), max(timestamp) INTO v_first, v_last FROM energy_data
        WHERE meter_id = p_meter AND timestamp >= p_from;
    IF v_last IS NOT NULL THEN
        PERFORM mark_dirty(p_meter, greatest(v_first, p_from), v_last);
        UPDATE print_jobs SET energy_final = false
            WHERE device_id = ANY (p_devices) AND energy_final AND end_time > greatest(v_first, p_from) AND start_time < v_last;
    END IF;
    PERFORM refresh_device_power(array_remove(p_devices, NULL));
END $$;
COMMENT ON FUNCTION reattribute(text, timestamptz, text[]) IS
    'After a change of assignment: corrects the device of stored rows, marks rollups and jobs to be computed again.';

CREATE FUNCTION device_at(p_meter text, p_at timestamptz) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT coalesce((SELECT device_id FROM meter_assignments
                     WHERE meter_id = p_meter AND valid_from <= p_at AND p_at < valid_to), '')
$$;
COMMENT ON FUNCTION device_at(text, timestamptz) IS
    'The device that the meter measures at that time; empty text when none.';

CREATE FUNCTION mark_dirty(p_meter text, p_from timestamptz, p_to timestamptz) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_from timestamptz := greatest(p_from, setting('frozen_before')::timestamptz);
BEGIN
    IF p_to > v_from THEN
        INSERT INTO rollup_dirty (meter_id, from_ts, to_ts) VALUES (p_meter, v_from, p_to);
    END IF;
END $$;
COMMENT ON FUNCTION mark_dirty(text, timestamptz, timestamptz) IS
    'Marks the range: its rollups of the meter must be computed again.';
