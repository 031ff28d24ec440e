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

-- The rows themselves have no device: only rollups and prints must follow.
CREATE FUNCTION reattribute(p_meter text, p_from timestamptz, p_devices text[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_key integer := meter_key(p_meter);
    v_first timestamptz;
    v_last timestamptz;
    v_floor timestamptz;
    v_level text;
BEGIN
    v_floor := setting('frozen_before')::timestamptz;
    -- Frozen buckets can't be computed again from rows; they go to the device of their start. One may have had two devices.
    FOR v_level IN SELECT name FROM rollup_levels() WHERE step < 86400 LOOP
        EXECUTE format('WITH wrong AS (
                SELECT DISTINCT r.bucket, coalesce(d.device_key, 0) AS owner_key FROM series.energy_%1$s r
                LEFT JOIN meter_assignments a ON a.meter_id = $1 AND a.valid_from <= r.bucket AND r.bucket < a.valid_to
                LEFT JOIN devices d ON d.device_id = a.device_id
                WHERE r.meter_key = $4 AND r.bucket >= $2 AND r.bucket < $3 AND r.device_key <> coalesce(d.device_key, 0)
            ), gone AS (
                DELETE FROM series.energy_%1$s r USING wrong w WHERE r.meter_key = $4 AND r.bucket >= $2 AND r.bucket < $3 AND r.bucket = w.bucket
                RETURNING r.*, w.owner_key
            )
            INSERT INTO series.energy_%1$s
            SELECT bucket, sum(energy_wh), sum(avg_power_w * coverage_s) / nullif(sum(coverage_s), 0), min(min_power_w), max(max_power_w),
                   sum(coverage_s), meter_key, owner_key, sum(reading_count)::integer FROM gone GROUP BY bucket, meter_key, owner_key', v_level)
            USING p_meter, p_from, v_floor, v_key;
    END LOOP;
    -- a virtual meter has the rows of its parts
    SELECT min(coalesce(interval_start, timestamp)), max(timestamp) INTO v_first, v_last FROM series.energy
        WHERE meter_key = ANY (ARRAY(SELECT v_key UNION ALL SELECT meter_key(v.part_id) FROM virtual_meter_parts v WHERE v.meter_id = p_meter))
          AND timestamp >= p_from;
    IF v_last IS NOT NULL THEN
        PERFORM mark_dirty(p_meter, greatest(v_first, p_from), v_last + interval '1 microsecond');
        UPDATE print_jobs SET energy_final = false
            WHERE device_id = ANY (p_devices) AND energy_final AND end_time > greatest(v_first, p_from) AND start_time < v_last;
    END IF;
    -- The days of the new device are those of its factory.
    PERFORM mark_days(p_meter);
    PERFORM refresh_device_power(array_remove(p_devices, NULL));
END $$;
COMMENT ON FUNCTION reattribute(text, timestamptz, text[]) IS
    'After a change of assignment: marks rollups and jobs to be computed again.';

CREATE FUNCTION device_at(p_meter text, p_at timestamptz) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT coalesce((SELECT device_id FROM meter_assignments
                     WHERE meter_id = p_meter AND valid_from <= p_at AND p_at < valid_to), '')
$$;
COMMENT ON FUNCTION device_at(text, timestamptz) IS
    'The device that the meter measures at that time; empty text when none.';

CREATE FUNCTION device_key_at(p_meter text, p_at timestamptz) RETURNS integer LANGUAGE sql STABLE AS $$
    SELECT coalesce((SELECT d.device_key FROM meter_assignments a JOIN devices d USING (device_id)
                     WHERE a.meter_id = p_meter AND a.valid_from <= p_at AND p_at < a.valid_to), 0)
$$;
COMMENT ON FUNCTION device_key_at(text, timestamptz) IS
    'The key of the device that the meter measures at that time; 0 when none.';

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

CREATE FUNCTION mark_days(p_meter text) RETURNS void LANGUAGE sql AS $$
    -- The days of a device that has the meter no longer: nothing else would find them before the next refresh.
    DELETE FROM series.energy_1day r USING meters m WHERE m.meter_id = p_meter AND r.meter_key = m.meter_key AND r.device_key <> 0
        AND r.device_key NOT IN (SELECT d.device_key FROM meter_assignments a JOIN devices d USING (device_id) WHERE a.meter_id = p_meter);
    INSERT INTO rollup_dirty (meter_id, from_ts, to_ts, step)
    -- a day of another zone may begin before the first quarter of an hour
    SELECT m.meter_id, min(r.bucket) - interval '2 days', 'infinity', 86400
    FROM meters m JOIN series.energy_15min r USING (meter_key)
    WHERE m.meter_id = p_meter AND NOT EXISTS (SELECT 1 FROM rollup_dirty d WHERE d.meter_id = p_meter AND d.step = 86400)
    GROUP BY m.meter_id
$$;
COMMENT ON FUNCTION mark_days(text) IS
    'Marks all days of the meter: where they begin has changed. They are made of the quarters of an hour, which stay.';

-- A device that moves to another factory, or a factory that gets another zone, has other days.
CREATE FUNCTION follow_device_zone() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM lock_registry(true);
    PERFORM mark_days(m.meter_id) FROM (SELECT DISTINCT meter_id FROM meter_assignments WHERE device_id = NEW.device_id) m;
    PERFORM mark_signal_days(NEW.device_id);
    RETURN NULL;
END $$;
COMMENT ON FUNCTION follow_device_zone() IS 'Trigger: marks the days of the meters and signals of a device that moved to another factory.';

CREATE FUNCTION follow_factory_zone() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM lock_registry(true);
    PERFORM mark_days(m.meter_id) FROM meters m
        WHERE NEW.is_default OR EXISTS (SELECT 1 FROM meter_assignments a JOIN devices d USING (device_id)
                                        WHERE a.meter_id = m.meter_id AND d.factory_id = NEW.factory_id);
    PERFORM mark_signal_days(d.device_id) FROM devices d WHERE d.factory_id = NEW.factory_id;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION follow_factory_zone() IS 'Trigger: marks the days of the meters and signals of a factory that got another zone.';

CREATE TRIGGER devices_follow_zone AFTER UPDATE OF factory_id ON devices
    FOR EACH ROW WHEN (NEW.factory_id <> OLD.factory_id) EXECUTE FUNCTION follow_device_zone();
CREATE TRIGGER factories_follow_zone AFTER UPDATE OF timezone, is_default ON factories
    FOR EACH ROW WHEN (NEW.timezone <> OLD.timezone OR NEW.is_default <> OLD.is_default) EXECUTE FUNCTION follow_factory_zone();
