-- Inserts of everything outside the accounting: sensors, plug details, predictions. Repeating a call changes nothing.

CREATE FUNCTION record_smartplug(p_meter text[], p_ts timestamptz[], p_power_w float8[], p_energy_total_kwh float8[], p_voltage_v float8[],
    p_current_a float8[], p_power_factor float8[], p_apparent_power_va float8[], p_reactive_power_var float8[]) RETURNS bigint LANGUAGE sql AS $$
    WITH stored AS (
        INSERT INTO smartplug_data (meter_id, timestamp, device_id, power_w, energy_total_kwh, voltage_v, current_a, power_factor, apparent_power_va, reactive_power_var)
        SELECT u.id, u.ts, nullif(device_at(u.id, u.ts), ''), as_real(u.w), CASE WHEN u.kwh >= 0 AND u.kwh < 'infinity' THEN u.kwh END, as_real(u.v), as_real(u.a), as_real(u.pf), as_real(u.va), as_real(u.var)
        FROM unnest(p_meter, p_ts, p_power_w, p_energy_total_kwh, p_voltage_v, p_current_a, p_power_factor, p_apparent_power_va, p_reactive_power_var)
            AS u (id, ts, w, kwh, v, a, pf, va, var)
        WHERE u.id IS NOT NULL AND u.ts BETWEEN (SELECT raw_floor()) AND now() + interval '5 minutes'
        ON CONFLICT DO NOTHING RETURNING 1)
    SELECT count(*) FROM stored
$$;
COMMENT ON FUNCTION record_smartplug(text[], timestamptz[], float8[], float8[], float8[], float8[], float8[], float8[],
    float8[]) IS
    'Detail rows of Tasmota plugs (meter, time, W, kWh, V, A, power factor, VA, var); returns how many are new.';

CREATE FUNCTION device_of_hub(p_hub text) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT device_id FROM devices WHERE mqtt_topic = 'esp32/' || p_hub
$$;
COMMENT ON FUNCTION device_of_hub(text) IS
    'The device on which an ESP32 hub is mounted: its mqtt_topic is that of the hub; NULL when none is.';

CREATE FUNCTION record_environment(p_location text[], p_ts timestamptz[], p_device text[], p_temperature_c float8[], p_humidity_pct float8[],
    p_pressure_hpa float8[], p_source text[]) RETURNS bigint LANGUAGE sql AS $$
    -- Temperature and humidity may come in separate calls for the same time: the row is completed, never overwritten.
    WITH stored AS (
        INSERT INTO environment_data AS e (location_id, timestamp, device_id, temperature_c, humidity_pct, pressure_hpa, source)
        SELECT DISTINCT ON (coalesce(u.loc, u.dev), u.ts) coalesce(u.loc, u.dev), u.ts, coalesce(u.dev, device_of_hub(u.loc)), as_real(u.t), as_real(u.h), as_real(u.p), u.src
        FROM unnest(p_location, p_ts, p_device, p_temperature_c, p_humidity_pct, p_pressure_hpa, p_source) AS u (loc, ts, dev, t, h, p, src)
        WHERE coalesce(u.loc, u.dev) IS NOT NULL AND u.ts BETWEEN (SELECT raw_floor()) AND now() + interval '5 minutes'
          AND coalesce(as_real(u.t), as_real(u.h), as_real(u.p)) IS NOT NULL
        ON CONFLICT (location_id, timestamp) DO UPDATE SET temperature_c = coalesce(e.temperature_c, excluded.temperature_c),
            humidity_pct = coalesce(e.humidity_pct, excluded.humidity_pct), pressure_hpa = coalesce(e.pressure_hpa, excluded.pressure_hpa)
        RETURNING 1)
    SELECT count(*) FROM stored
$$;
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
    IF p_kind = 'max6675_temperature' THEN
        INSERT INTO max6675_temperature_data (sensor_id, timestamp, device_id, temperature_c)
        SELECT u.id, u.ts, u.dev, as_real(coalesce(u.t, u.x)) FROM unnest(p_sensor, p_ts, v_device, p_x, p_temperature_c) AS u (id, ts, dev, x, t)
        WHERE u.id IS NOT NULL AND u.ts BETWEEN (SELECT raw_floor()) AND now() + interval '5 minutes' AND as_real(coalesce(u.t, u.x)) IS NOT NULL
        ON CONFLICT DO NOTHING;
    ELSIF p_kind = 'mpu6050_accelerometer' THEN
        INSERT INTO mpu6050_accelerometer_data (sensor_id, timestamp, device_id, accel_x_ms2, accel_y_ms2, accel_z_ms2, temperature_c)
        SELECT u.id, u.ts, u.dev, as_real(u.x), as_real(u.y), as_real(u.z), as_real(u.t)
        FROM unnest(p_sensor, p_ts, v_device, p_x, p_y, p_z, p_temperature_c) AS u (id, ts, dev, x, y, z, t)
        WHERE u.id IS NOT NULL AND u.ts BETWEEN (SELECT raw_floor()) AND now() + interval '5 minutes'
        ON CONFLICT DO NOTHING;
    ELSIF p_kind = 'mpu6050_gyroscope' THEN
        INSERT INTO mpu6050_gyroscope_data (sensor_id, timestamp, device_id, gyro_x_rads, gyro_y_rads, gyro_z_rads)
        SELECT u.id, u.ts, u.dev, as_real(u.x), as_real(u.y), as_real(u.z)
        FROM unnest(p_sensor, p_ts, v_device, p_x, p_y, p_z) AS u (id, ts, dev, x, y, z)
        WHERE u.id IS NOT NULL AND u.ts BETWEEN (SELECT raw_floor()) AND now() + interval '5 minutes'
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

CREATE FUNCTION record_predictions(p_device text[], p_ts timestamptz[], p_power_w float8[], p_model text[]) RETURNS bigint LANGUAGE sql AS $$
    WITH stored AS (
        INSERT INTO ml_predictions (device_id, timestamp, predicted_power_watts, model_version)
        SELECT DISTINCT ON (u.dev, u.ts) u.dev, u.ts, u.w, u.model FROM unnest(p_device, p_ts, p_power_w, p_model) AS u (dev, ts, w, model)
        WHERE u.w > '-infinity' AND u.w < 'infinity' AND u.dev IN (SELECT device_id FROM devices)
        ON CONFLICT (device_id, timestamp) DO UPDATE SET predicted_power_watts = excluded.predicted_power_watts, model_version = excluded.model_version
        RETURNING 1)
    SELECT count(*) FROM stored
$$;
COMMENT ON FUNCTION record_predictions(text[], timestamptz[], float8[], text[]) IS
    'Predicted power in W per device and time, with the version of the model; the last one counts. Returns how many '
    'were written.';
