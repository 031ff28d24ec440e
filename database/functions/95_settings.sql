-- The settings that a person may change, and what follows from them.

CREATE FUNCTION change_setting(p_name text, p_value text, p_actor text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v_old text := setting(p_name);
    v_interval interval;
    v_lowest interval := CASE p_name WHEN 'retention_raw' THEN interval '7 days' WHEN 'retention_1min' THEN interval '7 days'
                                     WHEN 'compress_after' THEN interval '1 day' END;
BEGIN
    IF v_old IS NULL THEN
        PERFORM bad_input(format('there is no setting %s', p_name));
    ELSIF p_name IN ('plant_seed_kwh', 'plant_full_kwh', 'database_budget_gb', 'unaccounted_percent') THEN
        IF p_value !~ '^\d{1,6}(\.\d{1,6})?$' OR (p_name <> 'plant_seed_kwh' AND p_value::float8 = 0) THEN
            PERFORM bad_input(format('%s is a number, for instance %s', p_name, v_old));
        END IF;
    ELSIF v_lowest IS NULL THEN
        PERFORM bad_input(format('%s is not for people to change', p_name));
    ELSE
        BEGIN
            v_interval := p_value::interval;
        EXCEPTION WHEN invalid_datetime_format OR datetime_field_overflow OR interval_field_overflow THEN
            PERFORM bad_input(format('%s is an interval, for instance 6 months', p_name));
        END;
        IF v_interval < v_lowest THEN
            PERFORM bad_input(format('%s is at least %s', p_name, v_lowest));
        ELSIF p_name = 'retention_raw' AND v_interval > setting('retention_1min')::interval
           OR p_name = 'retention_1min' AND v_interval < setting('retention_raw')::interval THEN
            PERFORM bad_input('one-minute rollups are kept at least as long as the raw rows that they are made of');
        END IF;
    END IF;
    UPDATE settings SET value = p_value WHERE name = p_name;
    INSERT INTO audit_log (actor, action, object, before, after) VALUES (p_actor, 'change setting', p_name, to_jsonb(v_old), to_jsonb(p_value));
    PERFORM apply_compression();
    RETURN p_value;
END $$;
COMMENT ON FUNCTION change_setting(text, text, text) IS
    'Changes one of the settings that people may change (retention_raw, retention_1min, compress_after, '
    'plant_seed_kwh, plant_full_kwh, database_budget_gb, unaccounted_percent), with audit; returns the value.';

-- Chunks that ended that long ago are compressed; late rows still go into them. Called when the setting changes and
-- with every migration.
CREATE FUNCTION apply_compression() RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    v_after interval := setting('compress_after')::interval;
    v_changed integer := 0;
    item record;
BEGIN
    IF engine() <> 'timescale' THEN
        RETURN 0;
    END IF;
    FOR item IN EXECUTE 'SELECT h.hypertable_name AS name FROM timescaledb_information.hypertables h
                         LEFT JOIN timescaledb_information.jobs j ON j.hypertable_name = h.hypertable_name AND j.proc_name = ''policy_compression''
                         WHERE h.hypertable_schema = ''series'' AND h.compression_enabled
                           AND (j.config ->> ''compress_after'')::interval IS DISTINCT FROM $1 ORDER BY 1' USING v_after LOOP
        EXECUTE format('SELECT remove_compression_policy(%L::regclass, if_exists => true)', 'series.' || item.name);
        EXECUTE format('SELECT add_compression_policy(%L::regclass, $1)', 'series.' || item.name) USING v_after;
        v_changed := v_changed + 1;
    END LOOP;
    RETURN v_changed;
END $$;
COMMENT ON FUNCTION apply_compression() IS
    'TimescaleDB: gives every table that is compressed the setting compress_after; returns how many had another one. '
    'Plain engine: nothing.';
