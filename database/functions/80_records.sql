-- Inserts of everything outside the accounting: sensors, plug details, predictions. Repeating a call changes nothing.

CREATE FUNCTION ensure_months_of(p_table text, p_ts timestamptz[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_first timestamptz; v_last timestamptz; v_floor timestamptz := raw_floor();
BEGIN
    SELECT min(u), max(u) INTO v_first, v_last FROM unnest(p_ts) u WHERE u >= v_floor AND u <= newest_allowed();
    PERFORM ensure_months(p_table, v_first, v_last);
END $$;
COMMENT ON FUNCTION ensure_months_of(text, timestamptz[]) IS 'ensure_months() for rows of these times, as far as they are accepted.';

CREATE FUNCTION record_smartplug(p_meter text[], p_ts timestamptz[], p_power_w float8[], p_energy_total_kwh float8[], p_voltage_v float8[],
    p_current_a float8[], p_power_factor float8[], p_apparent_power_va float8[], p_reactive_power_var float8[]) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_rows bigint;
BEGIN
    PERFORM ensure_months_of('smartplug', p_ts);
    PERFORM register_meters(p_meter, array_fill('tasmota'::text, ARRAY[cardinality(p_meter)]));
    INSERT INTO series.smartplug (meter_key, timestamp, device_key, power_w, energy_total_kwh, voltage_v, current_a, power_factor, apparent_power_va, reactive_power_var)
    SELECT m.meter_key, u.ts, nullif(device_key_at(u.id, u.ts), 0), as_real(u.w), CASE WHEN u.kwh >= 0 AND u.kwh < 'infinity' THEN u.kwh END, as_real(u.v), as_real(u.a),
           as_real(u.pf), as_real(u.va), as_real(u.var)
    FROM unnest(p_meter, p_ts, p_power_w, p_energy_total_kwh, p_voltage_v, p_current_a, p_power_factor, p_apparent_power_va, p_reactive_power_var)
        AS u (id, ts, w, kwh, v, a, pf, va, var)
    JOIN meters m ON m.meter_id = u.id
    WHERE u.ts BETWEEN (SELECT raw_floor()) AND newest_allowed()
    ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS v_rows = ROW_COUNT;
    RETURN v_rows;
END $$;
COMMENT ON FUNCTION record_smartplug(text[], timestamptz[], float8[], float8[], float8[], float8[], float8[], float8[],
    float8[]) IS
    'Detail rows of Tasmota plugs (meter, time, W, kWh, V, A, power factor, VA, var); returns how many are new.';

-- Otherwise any client of the broker could add names without end.
CREATE FUNCTION register_locations(p_location text[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM unnest(p_location) AS u (id) WHERE u.id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM locations l WHERE l.location_id = u.id)) THEN
        INSERT INTO locations (location_id)
        SELECT DISTINCT u.id FROM unnest(p_location) AS u (id) WHERE u.id ~ '^[^\x01-\x1f\x7f]{1,200}$' AND (SELECT count(*) FROM locations) < 10000 ORDER BY 1
        ON CONFLICT DO NOTHING;
    END IF;
END $$;
COMMENT ON FUNCTION register_locations(text[]) IS 'Gives places that have no key in the series one; at most 10,000.';

CREATE FUNCTION register_sensors(p_sensor text[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM unnest(p_sensor) AS u (id) WHERE u.id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM sensors s WHERE s.sensor_id = u.id)) THEN
        INSERT INTO sensors (sensor_id)
        SELECT DISTINCT u.id FROM unnest(p_sensor) AS u (id) WHERE u.id ~ '^[^\x01-\x1f\x7f]{1,200}$' AND (SELECT count(*) FROM sensors) < 10000 ORDER BY 1
        ON CONFLICT DO NOTHING;
    END IF;
END $$;
COMMENT ON FUNCTION register_sensors(text[]) IS 'Gives sensors that have no key in the series one; at most 10,000.';

CREATE FUNCTION device_of_hub(p_hub text) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT device_id FROM devices WHERE mqtt_topic = 'esp32/' || p_hub
$$;
COMMENT ON FUNCTION device_of_hub(text) IS
    'The device on which an ESP32 hub is mounted: its mqtt_topic is that of the hub; NULL when none is.';

CREATE FUNCTION record_environment(p_location text[], p_ts timestamptz[], p_device text[], p_temperature_c float8[], p_humidity_pct float8[],
    p_pressure_hpa float8[], p_source text[]) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_rows bigint;
BEGIN
    PERFORM ensure_months_of('environmental', p_ts);
    PERFORM register_locations(ARRAY(SELECT coalesce(u.loc, u.dev) FROM unnest(p_location, p_device) AS u (loc, dev)));
    -- Temperature and humidity may come in separate calls for the same time: the row is completed, never overwritten.
    INSERT INTO series.environmental AS e (location_key, timestamp, device_key, indoor_temp_c, humidity_percent, pressure_hpa, source)
    SELECT DISTINCT ON (l.location_key, u.ts) l.location_key, u.ts, device_key(coalesce(u.dev, device_of_hub(u.loc))), as_real(u.t), as_real(u.h), as_real(u.p), u.src
    FROM unnest(p_location, p_ts, p_device, p_temperature_c, p_humidity_pct, p_pressure_hpa, p_source) AS u (loc, ts, dev, t, h, p, src)
    JOIN locations l ON l.location_id = coalesce(u.loc, u.dev)
    WHERE u.ts BETWEEN (SELECT raw_floor()) AND newest_allowed() AND coalesce(as_real(u.t), as_real(u.h), as_real(u.p)) IS NOT NULL
    ON CONFLICT (location_key, timestamp) DO UPDATE SET indoor_temp_c = coalesce(e.indoor_temp_c, excluded.indoor_temp_c),
        humidity_percent = coalesce(e.humidity_percent, excluded.humidity_percent), pressure_hpa = coalesce(e.pressure_hpa, excluded.pressure_hpa);
    GET DIAGNOSTICS v_rows = ROW_COUNT;
    RETURN v_rows;
END $$;
COMMENT ON FUNCTION record_environment(text[], timestamptz[], text[], float8[], float8[], float8[], text[]) IS
    'Climate rows (location, time, device or NULL, °C, % humidity, hPa, source); rows of the same time complete each '
    'other. Returns how many were written.';

-- Kinds: max6675_temperature {temperature_c}, mpu6050_accelerometer {x, y, z, temperature_c}, mpu6050_gyroscope
-- {x, y, z}.
CREATE FUNCTION record_sensor(p_kind text, p_sensor text[], p_ts timestamptz[], p_device text[], p_x float8[], p_y float8[] DEFAULT NULL,
    p_z float8[] DEFAULT NULL, p_temperature_c float8[] DEFAULT NULL) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_rows bigint;
    -- A sensor's id is that of its hub and what it is: hall/mpu6050.
    v_device text[] := ARRAY(SELECT coalesce(u.dev, device_of_hub(regexp_replace(u.id, '/[^/]+$', '')))
                             FROM unnest(p_sensor, p_device) WITH ORDINALITY AS u (id, dev, n) ORDER BY u.n);
BEGIN
    PERFORM register_sensors(p_sensor);
    IF p_kind IN ('max6675_temperature', 'mpu6050_accelerometer', 'mpu6050_gyroscope') THEN
        PERFORM ensure_months_of(p_kind, p_ts);
    END IF;
    IF p_kind = 'max6675_temperature' THEN
        INSERT INTO series.max6675_temperature (sensor_key, timestamp, device_key, temperature_c)
        SELECT n.sensor_key, u.ts, device_key(u.dev), as_real(coalesce(u.t, u.x)) FROM unnest(p_sensor, p_ts, v_device, p_x, p_temperature_c) AS u (id, ts, dev, x, t)
        JOIN sensors n ON n.sensor_id = u.id
        WHERE u.ts BETWEEN (SELECT raw_floor()) AND newest_allowed() AND as_real(coalesce(u.t, u.x)) IS NOT NULL
        ON CONFLICT DO NOTHING;
    ELSIF p_kind = 'mpu6050_accelerometer' THEN
        INSERT INTO series.mpu6050_accelerometer (sensor_key, timestamp, device_key, accel_x_ms2, accel_y_ms2, accel_z_ms2, temperature_c)
        SELECT n.sensor_key, u.ts, device_key(u.dev), as_real(u.x), as_real(u.y), as_real(u.z), as_real(u.t)
        FROM unnest(p_sensor, p_ts, v_device, p_x, p_y, p_z, p_temperature_c) AS u (id, ts, dev, x, y, z, t)
        JOIN sensors n ON n.sensor_id = u.id
        WHERE u.ts BETWEEN (SELECT raw_floor()) AND newest_allowed()
        ON CONFLICT DO NOTHING;
    ELSIF p_kind = 'mpu6050_gyroscope' THEN
        INSERT INTO series.mpu6050_gyroscope (sensor_key, timestamp, device_key, gyro_x_rads, gyro_y_rads, gyro_z_rads)
        SELECT n.sensor_key, u.ts, device_key(u.dev), as_real(u.x), as_real(u.y), as_real(u.z)
        FROM unnest(p_sensor, p_ts, v_device, p_x, p_y, p_z) AS u (id, ts, dev, x, y, z)
        JOIN sensors n ON n.sensor_id = u.id
        WHERE u.ts BETWEEN (SELECT raw_floor()) AND newest_allowed()
        ON CONFLICT DO NOTHING;
    ELSE
        PERFORM bad_input(format('unknown kind of sensor %s', p_kind));
    END IF;
    GET DIAGNOSTICS v_rows = ROW_COUNT;
    RETURN v_rows;
END $$;
COMMENT ON FUNCTION record_sensor(text, text[], timestamptz[], text[], float8[], float8[], float8[], float8[]) IS
    'Sensor rows of one kind (max6675_temperature: x or temperature in °C; mpu6050_accelerometer: m/s² and °C; '
    'mpu6050_gyroscope: rad/s); returns how many are new.';

CREATE FUNCTION record_predictions(p_device text[], p_ts timestamptz[], p_power_w float8[], p_model text[]) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_rows bigint; v_first timestamptz; v_last timestamptz;
BEGIN
    SELECT min(u), max(u) INTO v_first, v_last FROM unnest(p_ts) u WHERE u > now() - interval '1 year' AND u < now() + interval '1 year';
    PERFORM ensure_months('prediction', v_first, v_last);
    INSERT INTO series.prediction (device_key, timestamp, predicted_power_watts, model_version)
    SELECT DISTINCT ON (d.device_key, u.ts) d.device_key, u.ts, u.w, u.model FROM unnest(p_device, p_ts, p_power_w, p_model) AS u (dev, ts, w, model)
    JOIN devices d ON d.device_id = u.dev
    WHERE u.w > '-infinity' AND u.w < 'infinity' AND u.ts > now() - interval '1 year' AND u.ts < now() + interval '1 year'
    ON CONFLICT (device_key, timestamp) DO UPDATE SET predicted_power_watts = excluded.predicted_power_watts, model_version = excluded.model_version;
    GET DIAGNOSTICS v_rows = ROW_COUNT;
    RETURN v_rows;
END $$;
COMMENT ON FUNCTION record_predictions(text[], timestamptz[], float8[], text[]) IS
    'Predicted power in W per device and time, with the version of the model; the last one counts. Returns how many '
    'were written.';
