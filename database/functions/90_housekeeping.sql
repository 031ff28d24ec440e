-- What a person must look at.
CREATE FUNCTION alarms() RETURNS TABLE (kind text, object text, since timestamptz, sentence text) LANGUAGE sql STABLE AS $$
    SELECT 'meter_jumps', s.meter_id, s.last_counter_at,
           format('Meter %s: %s readings in a row don''t fit its counter; the energy is unknown. Is max_power_w (%s W) too low, or was the plug exchanged?',
                  s.meter_id, s.jumps_in_row, m.max_power_w)
    FROM meter_state s JOIN meters m USING (meter_id) WHERE s.jumps_in_row >= 3
$$;
COMMENT ON FUNCTION alarms() IS 'Current alarms: kind, object, since, and a sentence that says what to do.';

-- Removes raw rows older than retention_raw, whole UTC days. What is removed is rolled up before and frozen after; late
-- readings for it are rejects. Plain engine: at most p_rows rows a call and table, oldest first.
-- It does not wait for long: dropping chunks needs a lock that a running backup holds, and ingest would wait behind it.
CREATE FUNCTION apply_retention(p_now timestamptz DEFAULT now(), p_rows integer DEFAULT 50000) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET lock_timeout = '10s' AS $$
DECLARE
    v_cut timestamptz := date_trunc('day', p_now - setting('retention_raw')::interval, 'UTC');
    v_cut_1min timestamptz := date_trunc('day', p_now - setting('retention_1min')::interval, 'UTC');
    v_answer jsonb := '{}'::jsonb;
    v_rows integer; v_left integer := 0;
    item record;
BEGIN
    IF v_cut > coalesce(setting('frozen_before')::timestamptz, '-infinity') THEN
        -- Ingest waits, so that no reading comes between the last rollup and the freeze.
        PERFORM lock_registry(true);
        IF EXISTS (SELECT 1 FROM rollup_dirty WHERE from_ts < v_cut) OR EXISTS (SELECT 1 FROM meter_state WHERE dirty_from < v_cut) THEN
            PERFORM refresh_rollups(1e6, (SELECT array_agg(DISTINCT d.meter_id) FROM (
                SELECT meter_id FROM rollup_dirty WHERE from_ts < v_cut UNION SELECT meter_id FROM meter_state WHERE dirty_from < v_cut) d));
        END IF;
        UPDATE settings SET value = v_cut::text WHERE name = 'frozen_before';
    END IF;
    FOR item IN SELECT * FROM (VALUES
        ('energy_data', 'meter_id', 'timestamp', v_cut), ('printer_status', 'device_id', 'timestamp', v_cut),
        ('environment_data', 'location_id', 'timestamp', v_cut), ('smartplug_data', 'meter_id', 'timestamp', v_cut),
        ('max6675_temperature_data', 'sensor_id', 'timestamp', v_cut), ('mpu6050_accelerometer_data', 'sensor_id', 'timestamp', v_cut),
        ('mpu6050_gyroscope_data', 'sensor_id', 'timestamp', v_cut), ('ml_predictions', 'device_id', 'timestamp', v_cut),
        ('energy_rollup_1min', 'meter_id', 'bucket', v_cut_1min)) AS t (name, key, time_column, cut) LOOP
        IF engine() = 'timescale' THEN
            EXECUTE format('SELECT count(*) FROM drop_chunks(%L::regclass, older_than => %L::timestamptz)', item.name, item.cut) INTO v_rows;
        ELSE
            -- key by key (a loose scan of the primary key), so that each step reads only the old end of one key
            EXECUTE format('WITH RECURSIVE keys AS (
                    (SELECT %1$I AS k FROM %2$I ORDER BY %1$I LIMIT 1)
                    UNION ALL
                    SELECT (SELECT r.%1$I FROM %2$I r WHERE r.%1$I > keys.k ORDER BY r.%1$I LIMIT 1) FROM keys WHERE keys.k IS NOT NULL)
                DELETE FROM %2$I WHERE ctid = ANY (ARRAY(
                    SELECT x.ctid FROM keys CROSS JOIN LATERAL (SELECT r.ctid FROM %2$I r WHERE r.%1$I = keys.k AND r.%3$I < $1
                                                                ORDER BY r.%3$I LIMIT $2) x LIMIT $2))', item.key, item.name, item.time_column) USING item.cut, p_rows;
            GET DIAGNOSTICS v_rows = ROW_COUNT;
            v_left := v_left + CASE WHEN v_rows >= p_rows THEN 1 ELSE 0 END;
        END IF;
        v_answer := v_answer || jsonb_build_object(item.name, v_rows);
    END LOOP;
    DELETE FROM ingest_rejects WHERE reject_id IN (SELECT reject_id FROM ingest_rejects WHERE last_at < v_cut ORDER BY last_at LIMIT p_rows);
    GET DIAGNOSTICS v_rows = ROW_COUNT;
    RETURN v_answer || jsonb_build_object('ingest_rejects', v_rows, 'frozen_before', setting('frozen_before'), 'unfinished', v_left);
END $$;
COMMENT ON FUNCTION apply_retention(timestamptz, integer) IS
    'Freezes and removes what is older than retention; returns rows (plain) or chunks (timescale) per table, and how '
    'many tables need another call.';
