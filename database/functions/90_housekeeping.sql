-- What a person must look at.
CREATE FUNCTION alarms() RETURNS TABLE (kind text, object text, since timestamptz, sentence text) LANGUAGE sql STABLE AS $$
    SELECT 'meter_jumps', s.meter_id, s.last_counter_at,
           format('Meter %s: %s readings in a row don''t fit its counter; the energy is unknown. Is max_power_w (%s W) too low, or was the plug exchanged?',
                  s.meter_id, s.jumps_in_row, m.max_power_w)
    FROM meter_state s JOIN meters m USING (meter_id) WHERE s.jumps_in_row >= 3
    UNION ALL   -- over the last 24 hours; a share below zero is as wrong as one above
    SELECT 'unaccounted', d.device_id, now() - interval '24 hours',
           format('%s: its sub meters account for %s of %s kWh. Is one missing, in the wrong place, or has the wrong factor?',
                  d.friendly_name, round((b.sub_wh / 1000)::numeric, 1), round((b.main_wh / 1000)::numeric, 1))
    FROM devices d CROSS JOIN LATERAL sub_meter_balance(d.device_id, now() - interval '24 hours', now()) b
    WHERE d.is_active AND EXISTS (SELECT 1 FROM meter_assignments a WHERE a.device_id = d.device_id AND a.role = 'sub' AND a.valid_to = 'infinity')
      AND b.main_wh > 0 AND b.unaccounted_share NOT BETWEEN -0.05 AND setting('unaccounted_percent')::float8 / 100
$$;
COMMENT ON FUNCTION alarms() IS 'Current alarms: kind, object, since, and a sentence that says what to do.';

-- Removes raw rows older than retention_raw, whole UTC months. What is removed is rolled up before and frozen after; late
-- readings for it are rejects.
-- It does not wait for long: dropping chunks needs a lock that a running backup holds, and ingest would wait behind it.
CREATE FUNCTION apply_retention(p_now timestamptz DEFAULT now()) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET lock_timeout = '10s' AS $$
DECLARE
    v_cut timestamptz := date_trunc('month', p_now - setting('retention_raw')::interval, 'UTC');
    v_cut_1min timestamptz := date_trunc('month', p_now - setting('retention_1min')::interval, 'UTC');
    v_answer jsonb := '{}'::jsonb;
    v_count integer;
    item record;
BEGIN
    IF v_cut > coalesce(setting('frozen_before')::timestamptz, '-infinity') THEN
        -- Ingest waits, so that no reading comes between the last rollup and the freeze.
        PERFORM lock_registry(true);
        IF EXISTS (SELECT 1 FROM rollup_dirty WHERE from_ts < v_cut) OR EXISTS (SELECT 1 FROM meter_state WHERE dirty_from < v_cut) THEN
            PERFORM refresh_rollups(1e6, (SELECT array_agg(DISTINCT x.id) FROM (
                SELECT meter_id FROM rollup_dirty WHERE from_ts < v_cut UNION SELECT meter_id FROM meter_state WHERE dirty_from < v_cut) d
                CROSS JOIN LATERAL (SELECT d.meter_id AS id UNION ALL SELECT v.meter_id FROM virtual_meter_parts v WHERE v.part_id = d.meter_id) x));
        END IF;
        PERFORM refresh_signals(1e6);
        UPDATE settings SET value = v_cut::text WHERE name = 'frozen_before';
    END IF;
    FOR item IN SELECT * FROM (VALUES
        ('energy', v_cut), ('phase', v_cut), ('device_status', v_cut), ('environmental', v_cut), ('production', v_cut), ('signal', v_cut),
        ('smartplug', v_cut), ('max6675_temperature', v_cut), ('mpu6050_accelerometer', v_cut), ('mpu6050_gyroscope', v_cut), ('prediction', v_cut),
        ('energy_1min', v_cut_1min), ('signal_1min', v_cut_1min)) AS t (name, cut) LOOP
        IF engine() = 'timescale' THEN
            EXECUTE format('SELECT count(*) FROM drop_chunks(%L::regclass, older_than => %L::timestamptz)', 'series.' || item.name, item.cut) INTO v_count;
        ELSE
            v_count := drop_months(item.name, item.cut);
        END IF;
        v_answer := v_answer || jsonb_build_object(item.name, v_count);
    END LOOP;
    DELETE FROM ingest_rejects WHERE reject_id IN (SELECT reject_id FROM ingest_rejects WHERE last_at < v_cut ORDER BY last_at LIMIT 50000);
    GET DIAGNOSTICS v_count = ROW_COUNT;
    RETURN v_answer || jsonb_build_object('ingest_rejects', v_count, 'frozen_before', setting('frozen_before'));
END $$;
COMMENT ON FUNCTION apply_retention(timestamptz) IS
    'Freezes and removes what is older than retention, whole months; returns how many months (plain) or chunks (timescale) '
    'were dropped per series.';
