-- Changes that a person makes. Each writes audit_log without secrets; bad input is SQLSTATE 22023 with a sentence.

CREATE FUNCTION public_device(d devices) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT jsonb_build_object('device_id', d.device_id, 'machine_id', d.machine_id, 'factory_id', d.factory_id, 'device_type', d.device_type,
        'friendly_name', d.friendly_name, 'device_model', d.device_model, 'location', d.location, 'notes', d.notes,
        'printer_size_category', d.printer_size_category, 'bed_width', d.bed_width, 'bed_depth', d.bed_depth, 'rated_power_w', d.rated_power_w,
        'idle_power_w', d.idle_power_w, 'data_interval_seconds', d.data_interval_seconds, 'mqtt_topic', d.mqtt_topic, 'source', d.source,
        'api_ip', d.api_ip, 'simplyprint_id', d.simplyprint_id, 'sp_company_id', d.sp_company_id, 'gcode_preview_host', d.gcode_preview_host,
        'shelly_id', d.shelly_id, 'plant_type', d.plant_type, 'last_seen', d.last_seen, 'is_active', d.is_active, 'created_at', d.created_at,
        'has_api_key', c.api_key IS NOT NULL, 'has_sp_api_key', c.sp_api_key IS NOT NULL, 'has_gcode_preview_api_key', c.gcode_preview_api_key IS NOT NULL)
    FROM (SELECT) AS one LEFT JOIN device_credentials c ON c.device_id = d.device_id
$$;
COMMENT ON FUNCTION public_device(devices) IS
    'A device as JSON without credentials; has_api_key and the like say whether one is stored.';

CREATE FUNCTION device_with_credentials(d devices) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT to_jsonb(d) || jsonb_build_object('api_key', c.api_key, 'sp_api_key', c.sp_api_key, 'gcode_preview_api_key', c.gcode_preview_api_key)
    FROM (SELECT) AS one LEFT JOIN device_credentials c ON c.device_id = d.device_id
$$;
COMMENT ON FUNCTION device_with_credentials(devices) IS
    'A device as JSON with its credentials, for whoever asks the printer (ingest role only).';

-- p_mode: upsert, create (error 23505 when it exists) or update (error P0002 when it does not). Only the given keys
-- change.
CREATE FUNCTION device_save(p jsonb, p_actor text, p_mode text DEFAULT 'upsert') RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    v_id text := btrim(p ->> 'device_id');
    v_old devices; v_new devices;
    v_before jsonb;
    v_exists boolean;
    v_key text; v_other text;
    v_fields jsonb := p - 'device_id' - 'device_key' - 'last_seen' - 'created_at' - 'machine_id';
    v_secrets text[] := ARRAY['api_key', 'sp_api_key', 'gcode_preview_api_key'];
    v_columns text;
BEGIN
    IF jsonb_typeof(p) <> 'object' THEN
        PERFORM bad_input('A device is a JSON object.');
    END IF;
    IF v_id IS NULL OR v_id !~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$' THEN
        PERFORM bad_input('device_id is needed: 1 to 64 letters, digits, dots, hyphens or underscores, beginning with a letter or digit.');
    END IF;
    FOR v_key IN SELECT jsonb_object_keys(p) LOOP
        IF NOT EXISTS (SELECT 1 FROM pg_attribute WHERE attrelid = 'devices'::regclass AND attname = v_key AND attnum > 0 AND NOT attisdropped)
           AND v_key <> ALL (v_secrets) THEN
            PERFORM bad_input(format('A device has no field "%s".', left(v_key, 60)));
        END IF;
        IF jsonb_typeof(p -> v_key) IN ('object', 'array') THEN
            PERFORM bad_input(format('%s must be a single value.', v_key));
        END IF;
        IF length(p ->> v_key) > 2000 THEN
            PERFORM bad_input(format('%s is longer than 2,000 characters.', v_key));
        END IF;
    END LOOP;
    PERFORM lock_registry(true);
    SELECT * INTO v_old FROM devices WHERE device_id = v_id FOR UPDATE;
    v_exists := FOUND;
    v_before := CASE WHEN v_exists THEN public_device(v_old) END;
    IF v_exists AND p_mode = 'create' THEN
        RAISE EXCEPTION 'There is already a device %.', v_id USING ERRCODE = '23505';
    ELSIF NOT v_exists AND p_mode = 'update' THEN
        RAISE EXCEPTION 'There is no device %.', v_id USING ERRCODE = 'P0002';
    END IF;
    IF p ? 'machine_id' AND (NOT v_exists OR (p ->> 'machine_id') IS DISTINCT FROM v_old.machine_id::text) THEN
        PERFORM bad_input('machine_id is given by the system and never changes.');
    END IF;
    -- an empty text field means "not set"
    SELECT coalesce(jsonb_object_agg(key, CASE WHEN jsonb_typeof(value) = 'string' THEN
               CASE WHEN btrim(value #>> '{}') = '' THEN 'null'::jsonb ELSE to_jsonb(btrim(value #>> '{}')) END ELSE value END), '{}')
        INTO v_fields FROM jsonb_each(v_fields);
    IF NOT v_exists THEN
        v_fields := jsonb_build_object('factory_id', default_factory(), 'friendly_name', v_id) || v_fields;
    END IF;
    -- columns with a default go back to it when they are set to null
    SELECT v_fields - coalesce(array_agg(a.attname::text), '{}') INTO v_fields FROM pg_attribute a
        WHERE NOT v_exists AND a.attrelid = 'devices'::regclass AND a.atthasdef AND v_fields -> a.attname::text = 'null';
    IF v_fields ->> 'shelly_id' IS NOT NULL THEN
        SELECT device_id INTO v_other FROM devices WHERE shelly_id = v_fields ->> 'shelly_id' AND device_id <> v_id AND is_active;
        IF FOUND THEN
            PERFORM bad_input(format('shelly_id %s already belongs to device %s.', v_fields ->> 'shelly_id', v_other));
        END IF;
    END IF;
    BEGIN
        v_new := jsonb_populate_record(v_old, v_fields || jsonb_build_object('device_id', v_id));
        SELECT string_agg(quote_ident(key), ', ') INTO v_columns FROM jsonb_object_keys(v_fields - v_secrets) key;
        IF v_exists THEN
            IF v_columns IS NOT NULL THEN
                EXECUTE format('UPDATE devices SET (%s) = (SELECT %s FROM (SELECT ($1).*) n) WHERE device_id = $2', v_columns, v_columns) USING v_new, v_id;
            END IF;
        ELSE
            EXECUTE format('INSERT INTO devices (device_id, %s) SELECT device_id, %s FROM (SELECT ($1).*) n', v_columns, v_columns) USING v_new;
        END IF;
    EXCEPTION
        WHEN check_violation THEN PERFORM bad_input(refused_value(SQLERRM, p));
        WHEN not_null_violation THEN PERFORM bad_input(format('%s must not be empty.', substring(SQLERRM FROM 'column "([^"]+)"')));
        WHEN foreign_key_violation THEN PERFORM bad_input(refused_value(SQLERRM, p));
        WHEN unique_violation THEN PERFORM bad_input(format('mqtt_topic %s already belongs to another device.', v_fields ->> 'mqtt_topic'));
        WHEN data_exception THEN PERFORM bad_input(format('A value has the wrong type: %s.', SQLERRM));
    END;
    IF v_fields ?| v_secrets THEN
        INSERT INTO device_credentials AS c SELECT n.* FROM jsonb_populate_record(
                (SELECT o FROM device_credentials o WHERE o.device_id = v_id), v_fields || jsonb_build_object('device_id', v_id)) n
            ON CONFLICT (device_id) DO UPDATE SET api_key = excluded.api_key, sp_api_key = excluded.sp_api_key,
                gcode_preview_api_key = excluded.gcode_preview_api_key;
        DELETE FROM device_credentials WHERE device_id = v_id AND num_nonnulls(api_key, sp_api_key, gcode_preview_api_key) = 0;
    END IF;
    SELECT * INTO v_new FROM devices WHERE device_id = v_id;
    IF v_new.data_interval_seconds < 2 AND EXISTS (SELECT 1 FROM sources WHERE source = v_new.source AND polled) THEN
        PERFORM bad_input(format('data_interval_seconds %s is not allowed: %s is polled, every 2 seconds at most.', v_new.data_interval_seconds, v_new.source));
    END IF;
    INSERT INTO device_latest (device_id) VALUES (v_id) ON CONFLICT DO NOTHING;
    IF v_new.shelly_id IS DISTINCT FROM v_old.shelly_id OR v_new.is_active IS DISTINCT FROM v_old.is_active THEN
        PERFORM follow_shelly_id(v_id, v_old.shelly_id, CASE WHEN v_new.is_active THEN v_new.shelly_id END);
    END IF;
    IF v_new.rated_power_w IS DISTINCT FROM v_old.rated_power_w THEN
        PERFORM allow_power(a.meter_id, plausible_power_w(v_new))
            FROM (SELECT meter_id FROM meter_assignments WHERE device_id = v_id AND valid_to = 'infinity' ORDER BY meter_id) a;
    END IF;
    INSERT INTO audit_log (actor, action, object, before, after)
        VALUES (p_actor, CASE WHEN v_exists THEN 'device.change' ELSE 'device.add' END, v_id,
                v_before, public_device(v_new));
    RETURN public_device(v_new) || jsonb_build_object('created', NOT v_exists);
END $$;
COMMENT ON FUNCTION device_save(jsonb, text, text) IS
    'Adds or changes a device (JSON keys = column names; only the given keys change; null or empty clears). Mode '
    'upsert, create or update. Returns the device without credentials and created.';

CREATE FUNCTION refused_value(p_message text, p jsonb) RETURNS text LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_column text := substring(p_message FROM 'constraint "devices_(.+)_(?:check|fkey)"');
BEGIN
    RETURN format('%s %s is not allowed: %s.', v_column, coalesce(p ->> v_column, 'null'), CASE v_column
        WHEN 'source' THEN (SELECT string_agg(source, ', ' ORDER BY sort, source) FROM sources)
        WHEN 'device_type' THEN (SELECT string_agg(device_kind, ', ' ORDER BY sort, device_kind) FROM device_kinds)
        WHEN 'factory_id' THEN 'it names no known factory'
        WHEN 'plant_type' THEN 'generic_plant, corn, sunflower or tomato'
        WHEN 'data_interval_seconds' THEN 'from 1 to 3,600 seconds'
        ELSE 'it must be positive' END);
END $$;
COMMENT ON FUNCTION refused_value(text, jsonb) IS
    'The sentence for a value that a check or foreign key of devices refuses.';

-- A changed shelly_id ends the old plug's assignments now and begins the new plug's.
CREATE FUNCTION follow_shelly_id(p_device text, p_old text, p_new text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_meter text;
BEGIN
    IF p_old IS NOT NULL AND p_old IS DISTINCT FROM p_new THEN
        FOR v_meter IN SELECT a.meter_id FROM meter_assignments a
                       WHERE a.device_id = p_device AND a.valid_to = 'infinity'
                         AND p_old IN (a.meter_id, regexp_replace(a.meter_id, '/[^/]+$', '')) ORDER BY 1 LOOP
            PERFORM set_assignment(v_meter, NULL, 'main', NULL);
        END LOOP;
    END IF;
    IF p_new IS NOT NULL THEN
        FOR v_meter IN SELECT m.meter_id FROM meters m CROSS JOIN LATERAL meter_claim(m.meter_id) c
                       WHERE p_new IN (m.meter_id, regexp_replace(m.meter_id, '/[^/]+$', '')) AND c.device_id = p_device
                         AND NOT EXISTS (SELECT 1 FROM meter_assignments a WHERE a.meter_id = m.meter_id AND a.device_id = p_device AND a.valid_to = 'infinity')
                       ORDER BY 1 LOOP
            PERFORM set_assignment(v_meter, p_device, 'main', NULL);
        END LOOP;
    END IF;
END $$;
COMMENT ON FUNCTION follow_shelly_id(text, text, text) IS
    'Ends the assignments of the old plug of a device and begins those of the new one.';

CREATE FUNCTION device_remove(p_device text, p_actor text) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    v_old devices;
    v_data boolean;
BEGIN
    PERFORM lock_registry(true);
    SELECT * INTO v_old FROM devices WHERE device_id = p_device FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'There is no device %.', p_device USING ERRCODE = 'P0002';
    END IF;
    v_data := EXISTS (SELECT 1 FROM print_jobs WHERE device_id = p_device)
        OR EXISTS (SELECT 1 FROM series.device_status WHERE device_key = v_old.device_key)
        OR EXISTS (SELECT 1 FROM series.signal WHERE device_key = v_old.device_key) OR EXISTS (SELECT 1 FROM series.production WHERE device_key = v_old.device_key)
        OR EXISTS (SELECT 1 FROM meter_assignments a JOIN meter_state s USING (meter_id) WHERE a.device_id = p_device AND s.last_at IS NOT NULL)
        OR EXISTS (SELECT 1 FROM series.energy_1day WHERE device_key = v_old.device_key);
    IF v_data THEN
        UPDATE devices SET is_active = false WHERE device_id = p_device;
        PERFORM follow_shelly_id(p_device, v_old.shelly_id, NULL);
    ELSE
        DELETE FROM device_latest WHERE device_id = p_device;
        DELETE FROM devices WHERE device_id = p_device;
    END IF;
    INSERT INTO audit_log (actor, action, object, before)
        VALUES (p_actor, CASE WHEN v_data THEN 'device.deactivate' ELSE 'device.remove' END, p_device, public_device(v_old));
    RETURN jsonb_build_object('device_id', p_device, 'removed', NOT v_data, 'deactivated', v_data, 'message', CASE WHEN v_data
        THEN 'The device has data, so it was deactivated: it is no longer polled, its past stays.'
        ELSE 'The device was removed.' END);
END $$;
COMMENT ON FUNCTION device_remove(text, text) IS
    'Removes a device without data; one that has data is deactivated instead, and the result says so.';

CREATE FUNCTION meter_assign(p_meter text, p_device text, p_role text DEFAULT 'main', p_from timestamptz DEFAULT NULL, p_actor text DEFAULT 'unknown')
RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    v_before jsonb;
    v_from timestamptz;
BEGIN
    IF coalesce(p_role, 'main') NOT IN ('main', 'dryer', 'accessory', 'sub') THEN
        PERFORM bad_input('role is main, dryer or accessory (they add up to the device''s energy) or sub (a part of it).');
    END IF;
    IF NOT EXISTS (SELECT 1 FROM meters WHERE meter_id = p_meter) THEN
        PERFORM bad_input(format('There is no meter %s.', p_meter));
    END IF;
    IF p_device IS NOT NULL AND NOT EXISTS (SELECT 1 FROM devices WHERE device_id = p_device) THEN
        PERFORM bad_input(format('There is no device %s.', p_device));
    END IF;
    IF p_from > newest_allowed() THEN
        PERFORM bad_input('An assignment can''t begin in the future.');
    END IF;
    PERFORM lock_registry(true);
    SELECT jsonb_agg(to_jsonb(a) ORDER BY a.valid_from) INTO v_before FROM meter_assignments a WHERE a.meter_id = p_meter;
    v_from := set_assignment(p_meter, p_device, coalesce(p_role, 'main'), p_from);
    INSERT INTO audit_log (actor, action, object, before, after)
        VALUES (p_actor, 'meter.assign', p_meter, v_before, jsonb_build_object('device_id', p_device, 'role', p_role, 'from', v_from));
    RETURN jsonb_build_object('meter_id', p_meter, 'device_id', p_device, 'role', coalesce(p_role, 'main'),
                              'from', CASE WHEN v_from > '-infinity' THEN v_from END);
END $$;
COMMENT ON FUNCTION meter_assign(text, text, text, timestamptz, text) IS
    'From the given time on (NULL: now, or always when it never had a device) the meter belongs to the device; device '
    'NULL ends the assignment. What was assigned later is replaced.';
