-- Who may read and write what. A table, a view or a column of a table that is not named here is nobody's but the owner's.
--
-- ingest (Node-RED) writes data and reads credentials; api and grafana only read. They call functions with their own
-- rights on what those read, so the series are theirs to read, too, and as a whole: TimescaleDB refuses rights on columns
-- of what it compresses. A month that is made later is read through its series.
REVOKE ALL ON ALL TABLES IN SCHEMA public, series FROM PUBLIC, enms_ingest, enms_api, enms_grafana;
REVOKE ALL ON ALL ROUTINES IN SCHEMA public FROM PUBLIC, enms_ingest, enms_api, enms_grafana;
GRANT USAGE ON SCHEMA public, series TO enms_ingest, enms_api, enms_grafana;

GRANT SELECT, INSERT, UPDATE, DELETE ON
    carbon_factors, device_credentials, device_latest, devices, energy_tariffs, factories, ingest_rejects, locations, meter_assignments,
    meter_corrections, meter_factors, meter_replacements, meter_state, meters, print_jobs, rollup_dirty, sensors, signal_dirty, signals,
    virtual_meter_parts,
    series.device_state_1hour, series.device_status, series.energy, series.energy_1min, series.energy_15min, series.energy_1hour,
    series.energy_1day, series.environmental, series.max6675_temperature, series.mpu6050_accelerometer, series.mpu6050_gyroscope,
    series.phase, series.prediction, series.production, series.signal, series.signal_1min, series.signal_15min, series.signal_1hour,
    series.signal_1day, series.smartplug
    TO enms_ingest;
GRANT SELECT ON
    series.device_state_1hour, series.device_status, series.energy, series.energy_1min, series.energy_15min, series.energy_1hour,
    series.energy_1day, series.environmental, series.max6675_temperature, series.mpu6050_accelerometer, series.mpu6050_gyroscope,
    series.phase, series.prediction, series.production, series.signal, series.signal_1min, series.signal_15min, series.signal_1hour,
    series.signal_1day, series.smartplug
    TO enms_api, enms_grafana;
GRANT SELECT ON currencies, device_kinds, energy_types, schema_migrations, settings, sources, states TO enms_ingest;
GRANT SELECT, INSERT ON audit_log TO enms_ingest;
GRANT SELECT ON
    device_state_1hour, device_status, energy_data, energy_readings_1min, energy_readings_15min, energy_readings_1hour, energy_readings_1day,
    environment_data, environmental_data, max6675_temperature_data, ml_predictions, mpu6050_accelerometer_data, mpu6050_gyroscope_data,
    phase_data, printer_phase_1hour, printer_status, production_data, signal_data, signal_data_1min, signal_data_15min, signal_data_1hour,
    signal_data_1day, smartplug_data
    TO enms_ingest, enms_api, enms_grafana;
GRANT EXECUTE ON ALL ROUTINES IN SCHEMA public TO enms_ingest;

DO $$
DECLARE
    reader text;
    item record;
BEGIN
    FOR item IN SELECT * FROM (VALUES
        ('carbon_factors', 'factor_id region energy_type g_co2_per_kwh valid_from hourly_profile source'),
        ('currencies', 'currency'),
        ('device_kinds', 'device_kind name has_jobs sort'),
        ('device_latest', 'device_id status_at state state_text state_since nozzle_temp_actual nozzle_temp_target bed_temp_actual bed_temp_target '
            'z_height_mm speed_multiplier_percent fan_rpm material filename source_job_id progress_percent time_left_seconds last_error '
            'last_error_at power_watts power_at phases_dirty_from'),
        ('devices', 'device_id machine_id factory_id device_type friendly_name device_model location notes printer_size_category bed_width '
            'bed_depth rated_power_w idle_power_w data_interval_seconds mqtt_topic source shelly_id plant_type last_seen is_active created_at device_key'),
        ('energy_tariffs', 'tariff_id factory_id energy_type name priority price_per_kwh demand_price_per_kw currency valid_from valid_to weekdays '
            'time_from time_to'),
        ('energy_types', 'energy_type name unit wh_per_unit sort'),
        ('factories', 'factory_id slug name location timezone currency carbon_region is_default adopt_by_itself'),
        ('ingest_rejects', 'reject_id first_at last_at source topic reason payload count'),
        ('locations', 'location_key location_id'),
        ('meter_assignments', 'assignment_id meter_id device_id role valid_from valid_to adds counts_to_job'),
        ('meter_corrections', 'correction_id meter_id from_ts to_ts energy_wh reason actor made_at withdrawn_at'),
        ('meter_factors', 'meter_id valid_from factor actor'),
        ('meter_replacements', 'meter_id replaced_at old_end_wh new_start_wh actor'),
        ('meter_state', 'meter_id last_at last_counter_at last_power_watts last_power_at base_wh base_at alt_wh alt_at clock_offset_s '
            'clock_candidate_s clock_candidate_n clock_candidate_at jumps_in_row dirty_from'),
        ('meters', 'meter_id protocol energy_type reading_kind unit wh_per_unit max_power_w max_hold_s counter_step_wh slack_s back_wh near_wh '
            'near_frac reporting_interval_s first_seen last_seen meter_key direction phases interval_s ct_factor changes_until'),
        ('print_jobs', 'job_id device_id source_job_id simplyprint_job_id filename start_time end_time duration_seconds paused_seconds status '
            'status_reason progress_percent time_left_seconds last_seen filament_used_g filament_used_mm material start_energy_wh '
            'session_energy_wh energy_quality energy_final cost currency co2_g tariff_ids carbon_factor_ids gcode_analysis_data gcode_status '
            'thumbnail_url preview_url per_part_analysis nozzle_diameter filament_diameter dpp_pdf_url download_ref'),
        ('rollup_dirty', 'dirty_id meter_id from_ts to_ts step'),
        ('schema_migrations', 'name checksum applied_at'),
        ('sensors', 'sensor_key sensor_id'),
        ('settings', 'name value comment'),
        ('signal_dirty', 'dirty_id device_id signal_id from_ts to_ts'),
        ('signals', 'device_id signal_id name unit'),
        ('sources', 'source name polled sort'),
        ('states', 'state_key state name class phase'),
        ('virtual_meter_parts', 'meter_id part_id factor')
    ) AS allowed (relation, columns) LOOP
        EXECUTE format('GRANT SELECT (%s) ON %s TO enms_api, enms_grafana', replace(item.columns, ' ', ', '), item.relation);
    END LOOP;
    -- Dashboards need no addresses.
    GRANT SELECT (api_ip, gcode_preview_host, sp_company_id, simplyprint_id) ON devices TO enms_api;

    FOREACH reader IN ARRAY ARRAY['enms_api', 'enms_grafana'] LOOP
        -- Functions that change no data may be called: the rights on what they read still hold.
        FOR item IN SELECT p.oid::regprocedure AS name FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace AND p.prokind = 'f'
                    AND p.provolatile IN ('i', 's') AND NOT p.prosecdef
                    AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e') LOOP
            EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %I', item.name, reader);
        END LOOP;
    END LOOP;
END $$;
