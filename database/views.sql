-- What people, programs and dashboards read: the series with the names of meters, devices and states; rollups where they are
-- current, and new and changed buckets computed on reading.

CREATE VIEW energy_data AS
SELECT e.timestamp, m.meter_id, d.device_id, m.energy_type, m.direction, e.power_watts,
       CASE WHEN m.reading_kind <> 'interval' THEN e.reading_wh END AS energy_total_wh,
       CASE WHEN m.reading_kind = 'interval' THEN e.reading_wh END AS interval_wh,
       e.energy_delta_wh, e.interval_start, e.interval_s, e.quality, e.base_wh, e.base_at, e.alt_wh, e.alt_at,
       e.voltage, e.current_amps, e.power_factor, e.frequency_hz, e.plug_temp_c
FROM series.energy e JOIN meters m USING (meter_key)
LEFT JOIN meter_assignments d ON d.meter_id = m.meter_id AND d.valid_from <= e.timestamp AND e.timestamp < d.valid_to;

CREATE VIEW phase_data AS
SELECT p.timestamp, m.meter_id, p.phase, p.power_watts, p.voltage, p.current_amps, p.power_factor
FROM series.phase p JOIN meters m USING (meter_key);

CREATE VIEW device_status AS
SELECT d.device_id, s.timestamp, n.state, n.class, s.state_text
FROM series.device_status s JOIN devices d USING (device_key) JOIN states n USING (state_key);

CREATE VIEW printer_status AS
SELECT d.device_id, s.timestamp, n.state, s.state_text, s.is_operational, s.is_printing, s.is_paused, s.is_error, s.is_busy, s.is_sd_ready,
       s.nozzle_temp_actual, s.nozzle_temp_target, s.bed_temp_actual, s.bed_temp_target, s.z_height_mm, s.speed_multiplier_percent, s.fan_rpm,
       s.material, s.filename, s.source_job_id, s.progress_percent, s.time_left_seconds
FROM series.device_status s JOIN devices d USING (device_key) JOIN states n USING (state_key)
WHERE d.device_type = 'printer';

CREATE VIEW environmental_data AS
SELECT l.location_id, e.timestamp, d.device_id, e.indoor_temp_c, e.outdoor_temp_c, e.machine_temp_c, e.humidity_percent, e.outdoor_humidity_percent,
       e.pressure_hpa, e.pressure_bar, e.pressure_setpoint_bar, e.flow_rate_m3h, e.supply_air_temp_c, e.return_air_temp_c,
       e.chilled_water_supply_temp_c, e.chilled_water_return_temp_c, e.cop, e.vibration_mm_s, e.moisture_percent, e.source
FROM series.environmental e JOIN locations l USING (location_key) LEFT JOIN devices d USING (device_key);

CREATE VIEW environment_data AS
SELECT l.location_id, e.timestamp, d.device_id, e.indoor_temp_c AS temperature_c, e.humidity_percent AS humidity_pct, e.pressure_hpa, e.source
FROM series.environmental e JOIN locations l USING (location_key) LEFT JOIN devices d USING (device_key)
WHERE coalesce(e.indoor_temp_c, e.humidity_percent, e.pressure_hpa) IS NOT NULL;

CREATE VIEW production_data AS
SELECT d.device_id, p.timestamp, p.interval_start, p.production_count, p.production_count_good, p.production_count_bad, p.throughput_units_per_hour,
       p.speed_percent, p.operating_mode, p.product_id, p.batch_id, p.unit, p.is_counter, p.count_told, p.good_told, p.bad_told, p.quality
FROM series.production p JOIN devices d USING (device_key);

CREATE VIEW signal_data AS
SELECT d.device_id, n.name, n.unit, s.timestamp, s.value
FROM series.signal s JOIN devices d USING (device_key) JOIN signals n ON n.device_id = d.device_id AND n.signal_id = s.signal_id;

CREATE VIEW smartplug_data AS
SELECT m.meter_id, s.timestamp, d.device_id, s.power_w, s.energy_total_kwh, s.voltage_v, s.current_a, s.power_factor, s.apparent_power_va, s.reactive_power_var
FROM series.smartplug s JOIN meters m USING (meter_key) LEFT JOIN devices d USING (device_key);

CREATE VIEW max6675_temperature_data AS
SELECT n.sensor_id, s.timestamp, d.device_id, s.temperature_c
FROM series.max6675_temperature s JOIN sensors n USING (sensor_key) LEFT JOIN devices d USING (device_key);

CREATE VIEW mpu6050_accelerometer_data AS
SELECT n.sensor_id, s.timestamp, d.device_id, s.accel_x_ms2, s.accel_y_ms2, s.accel_z_ms2, s.temperature_c
FROM series.mpu6050_accelerometer s JOIN sensors n USING (sensor_key) LEFT JOIN devices d USING (device_key);

CREATE VIEW mpu6050_gyroscope_data AS
SELECT n.sensor_id, s.timestamp, d.device_id, s.gyro_x_rads, s.gyro_y_rads, s.gyro_z_rads
FROM series.mpu6050_gyroscope s JOIN sensors n USING (sensor_key) LEFT JOIN devices d USING (device_key);

CREATE VIEW ml_predictions AS
SELECT d.device_id, p.timestamp, p.predicted_power_watts, p.model_version
FROM series.prediction p JOIN devices d USING (device_key);

CREATE VIEW device_state_1hour AS
SELECT d.device_id, s.bucket, n.state, n.class, s.seconds, s.energy_wh
FROM series.device_state_1hour s JOIN devices d USING (device_key) JOIN states n USING (state_key);

CREATE VIEW printer_phase_1hour AS
SELECT d.device_id, s.bucket, n.state, s.seconds, s.energy_wh
FROM series.device_state_1hour s JOIN devices d USING (device_key) JOIN states n USING (state_key)
WHERE d.device_type = 'printer';

DO $$
DECLARE
    level record;
BEGIN
    FOR level IN SELECT * FROM rollup_levels() LOOP
        EXECUTE format('CREATE VIEW energy_readings_%1$s AS
            SELECT r.bucket, d.device_id, d.machine_id, m.meter_id, m.energy_type, r.energy_wh,
                   r.energy_wh / 1000 AS total_energy_kwh, r.avg_power_w, r.min_power_w, r.max_power_w,
                   r.avg_power_w / 1000 AS avg_power_kw, r.max_power_w / 1000 AS max_power_kw, r.coverage_s, r.reading_count, m.direction
            FROM (SELECT s.* FROM series.energy_%1$s s %3$s
                  WHERE NOT EXISTS (SELECT 1 FROM rollup_spans(%2$s) w WHERE w.meter_key = s.meter_key AND s.bucket >= w.t0 AND s.bucket < w.t1 %4$s)
                  UNION ALL
                  SELECT * FROM tail_%1$s()) r
            JOIN meters m ON m.meter_key = r.meter_key LEFT JOIN devices d ON d.device_key = r.device_key', level.name, level.step,
            -- days of different zones begin at different times
            CASE WHEN level.step = 86400 THEN 'JOIN device_zones() z ON z.device_key = s.device_key' ELSE '' END,
            CASE WHEN level.step = 86400 THEN 'AND w.zone = z.zone' ELSE '' END);
        EXECUTE format('CREATE VIEW signal_data_%1$s AS
            SELECT r.bucket, d.device_id, n.name, n.unit, r.avg_value, r.min_value, r.max_value, r.coverage_s, r.reading_count
            FROM series.signal_%1$s r JOIN devices d USING (device_key) JOIN signals n ON n.device_id = d.device_id AND n.signal_id = r.signal_id', level.name);
    END LOOP;
END $$;
