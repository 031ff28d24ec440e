-- What every table and column means, with units. A test fails when one is missing.

COMMENT ON TABLE factories IS 'Factories; one is seeded.';
COMMENT ON COLUMN factories.factory_id IS 'Id of the factory.';
COMMENT ON COLUMN factories.slug IS 'Short unique name for addresses.';
COMMENT ON COLUMN factories.name IS 'Name for people.';
COMMENT ON COLUMN factories.location IS 'Where it is, free text.';
COMMENT ON COLUMN factories.timezone IS 'IANA time zone: days, tariffs and shifts follow it.';
COMMENT ON COLUMN factories.currency IS 'ISO 4217 code of its costs.';
COMMENT ON COLUMN factories.carbon_region IS 'Region whose carbon factors apply.';

COMMENT ON TABLE devices IS 'Registry of all machines; printers are machines too.';
COMMENT ON COLUMN devices.device_id IS 'Name in topics and addresses, never changes.';
COMMENT ON COLUMN devices.machine_id IS 'Immutable id for other systems.';
COMMENT ON COLUMN devices.factory_id IS 'Its factory.';
COMMENT ON COLUMN devices.device_type IS 'Kind of machine.';
COMMENT ON COLUMN devices.friendly_name IS 'Name for people.';
COMMENT ON COLUMN devices.device_model IS 'Maker''s model.';
COMMENT ON COLUMN devices.location IS 'Where it is.';
COMMENT ON COLUMN devices.notes IS 'Free text.';
COMMENT ON COLUMN devices.printer_size_category IS 'Size class of a printer.';
COMMENT ON COLUMN devices.bed_width IS 'Bed width in mm.';
COMMENT ON COLUMN devices.bed_depth IS 'Bed depth in mm.';
COMMENT ON COLUMN devices.rated_power_w IS
    'Rated power in W; for its meters up to twice that is plausible, if it is more than their own limit.';
COMMENT ON COLUMN devices.idle_power_w IS 'Usual power when idle in W.';
COMMENT ON COLUMN devices.data_interval_seconds IS 'Seconds between two polls.';
COMMENT ON COLUMN devices.mqtt_topic IS
    'Unique topic prefix of a machine that publishes itself, or of the ESP32 hub that is mounted on it (esp32/NAME).';
COMMENT ON COLUMN devices.source IS 'Protocol by which its state is read.';
COMMENT ON COLUMN devices.api_ip IS 'Host or host:port of the printer''s interface.';
COMMENT ON COLUMN devices.api_key IS 'Secret of the printer''s interface; ingest role only.';
COMMENT ON COLUMN devices.simplyprint_id IS 'Printer number at SimplyPrint.';
COMMENT ON COLUMN devices.sp_company_id IS 'Company at SimplyPrint.';
COMMENT ON COLUMN devices.sp_api_key IS 'Secret for SimplyPrint; ingest role only.';
COMMENT ON COLUMN devices.gcode_preview_host IS 'Host from which previews are fetched.';
COMMENT ON COLUMN devices.gcode_preview_api_key IS 'Secret of that host; ingest role only.';
COMMENT ON COLUMN devices.shelly_id IS 'Plug, or one channel of it (plug/switch:1), that measures the device.';
COMMENT ON COLUMN devices.plant_type IS 'Plant that stands for it in the passport.';
COMMENT ON COLUMN devices.last_seen IS 'Time of the newest reading or status, UTC.';
COMMENT ON COLUMN devices.is_active IS 'False: no longer polled, its past stays.';
COMMENT ON COLUMN devices.created_at IS 'When it was added, UTC.';

COMMENT ON TABLE meters IS 'Metering points; unknown ones appear by themselves.';
COMMENT ON COLUMN meters.meter_id IS 'Topic-like id, e.g. SPPS-02/switch:0.';
COMMENT ON COLUMN meters.protocol IS 'Protocol of its messages.';
COMMENT ON COLUMN meters.energy_type IS 'Carrier that it measures; carriers are never added together.';
COMMENT ON COLUMN meters.reading_kind IS 'counter (running total), interval (energy of an interval) or power_only.';
COMMENT ON COLUMN meters.unit IS 'Unit of the device''s own counter.';
COMMENT ON COLUMN meters.wh_per_unit IS 'Wh per such unit.';
COMMENT ON COLUMN meters.max_power_w IS
    'Highest plausible power in W; too low turns energy into jumps. A device with a larger rated power raises it.';
COMMENT ON COLUMN meters.max_hold_s IS 'Longest time in s for which a power value counts (power_only).';
COMMENT ON COLUMN meters.counter_step_wh IS 'Resolution of the counter in Wh.';
COMMENT ON COLUMN meters.slack_s IS 'Tolerance of the plausibility limit in s.';
COMMENT ON COLUMN meters.back_wh IS 'A step back of at most this many Wh is rounding.';
COMMENT ON COLUMN meters.near_wh IS 'A counter up to this many Wh is near zero (reset).';
COMMENT ON COLUMN meters.near_frac IS 'A counter up to this share of the old one is near zero (reset).';
COMMENT ON COLUMN meters.reporting_interval_s IS 'Usual time between readings in s, learned.';
COMMENT ON COLUMN meters.first_seen IS 'Oldest reading, UTC.';
COMMENT ON COLUMN meters.last_seen IS 'Newest reading, UTC.';

COMMENT ON TABLE meter_assignments IS
    'Which device a meter measures, by time; the assignments of a meter never overlap.';
COMMENT ON COLUMN meter_assignments.assignment_id IS 'Id of the assignment.';
COMMENT ON COLUMN meter_assignments.meter_id IS 'The meter.';
COMMENT ON COLUMN meter_assignments.device_id IS 'The device.';
COMMENT ON COLUMN meter_assignments.role IS 'main: the device''s energy; sub: a part of it, never added.';
COMMENT ON COLUMN meter_assignments.valid_from IS 'Start (UTC); -infinity for the first assignment of a meter.';
COMMENT ON COLUMN meter_assignments.valid_to IS 'End (UTC), not included; infinity while it holds.';

COMMENT ON TABLE energy_tariffs IS 'Prices; at any time the highest priority holds, then the newest.';
COMMENT ON COLUMN energy_tariffs.tariff_id IS 'Id; jobs store which they used.';
COMMENT ON COLUMN energy_tariffs.factory_id IS 'Its factory.';
COMMENT ON COLUMN energy_tariffs.energy_type IS 'Carrier.';
COMMENT ON COLUMN energy_tariffs.name IS 'Name for people.';
COMMENT ON COLUMN energy_tariffs.priority IS 'Higher wins.';
COMMENT ON COLUMN energy_tariffs.price_per_kwh IS 'Price per kWh in currency.';
COMMENT ON COLUMN energy_tariffs.demand_price_per_kw IS 'Price per kW of peak demand in currency.';
COMMENT ON COLUMN energy_tariffs.currency IS 'ISO 4217 code.';
COMMENT ON COLUMN energy_tariffs.valid_from IS 'Start (UTC).';
COMMENT ON COLUMN energy_tariffs.valid_to IS 'End (UTC), not included.';
COMMENT ON COLUMN energy_tariffs.weekdays IS 'ISO weekdays on which it holds (1 = Monday).';
COMMENT ON COLUMN energy_tariffs.time_from IS 'Time of day at which it begins, factory''s zone, quarter hours.';
COMMENT ON COLUMN energy_tariffs.time_to IS
    'Time of day at which it ends; when it is not after time_from, it wraps midnight and belongs to the day on which '
    'it starts.';

COMMENT ON TABLE carbon_factors IS 'CO2 per kWh of a region; the newest valid_from holds.';
COMMENT ON COLUMN carbon_factors.factor_id IS 'Id; jobs store which they used.';
COMMENT ON COLUMN carbon_factors.region IS 'Region (factories.carbon_region).';
COMMENT ON COLUMN carbon_factors.energy_type IS 'Carrier.';
COMMENT ON COLUMN carbon_factors.g_co2_per_kwh IS 'Grams CO2 per kWh.';
COMMENT ON COLUMN carbon_factors.valid_from IS 'Start (UTC).';
COMMENT ON COLUMN carbon_factors.hourly_profile IS
    '24 values in g/kWh by hour of the factory''s day; NULL: always g_co2_per_kwh.';
COMMENT ON COLUMN carbon_factors.source IS 'Where the figure comes from.';

COMMENT ON TABLE print_jobs IS 'One row per print.';
COMMENT ON COLUMN print_jobs.job_id IS 'Id, made when the job was first seen.';
COMMENT ON COLUMN print_jobs.device_id IS 'The printer.';
COMMENT ON COLUMN print_jobs.source_job_id IS 'The source''s own id; it may be used again later.';
COMMENT ON COLUMN print_jobs.simplyprint_job_id IS 'UID at SimplyPrint.';
COMMENT ON COLUMN print_jobs.filename IS 'File as the source names it.';
COMMENT ON COLUMN print_jobs.start_time IS 'Start (UTC); never changes once set.';
COMMENT ON COLUMN print_jobs.end_time IS 'End (UTC); NULL while it runs.';
COMMENT ON COLUMN print_jobs.duration_seconds IS 'End - start in s.';
COMMENT ON COLUMN print_jobs.paused_seconds IS 'Time in pause or attention in s.';
COMMENT ON COLUMN print_jobs.status IS 'How it goes or how it ended; printing and paused are open.';
COMMENT ON COLUMN print_jobs.status_reason IS 'Why, in words.';
COMMENT ON COLUMN print_jobs.progress_percent IS 'Progress 0-100.';
COMMENT ON COLUMN print_jobs.time_left_seconds IS 'Remaining time that the source reported, s.';
COMMENT ON COLUMN print_jobs.last_seen IS 'Newest status that showed the job, UTC.';
COMMENT ON COLUMN print_jobs.filament_used_g IS 'Filament in g.';
COMMENT ON COLUMN print_jobs.filament_used_mm IS 'Filament in mm.';
COMMENT ON COLUMN print_jobs.material IS 'Material, e.g. PETG.';
COMMENT ON COLUMN print_jobs.start_energy_wh IS 'Counter in Wh at the start, for people.';
COMMENT ON COLUMN print_jobs.session_energy_wh IS 'Energy of the job in Wh; NULL without a meter.';
COMMENT ON COLUMN print_jobs.energy_quality IS 'method, coverage_pct, gaps, resets, jumps, provisional, estimated_end.';
COMMENT ON COLUMN print_jobs.energy_final IS 'False until every meter has passed the end, and again after late data.';
COMMENT ON COLUMN print_jobs.cost IS 'Cost in currency; NULL where no tariff held.';
COMMENT ON COLUMN print_jobs.currency IS 'ISO 4217 code of cost.';
COMMENT ON COLUMN print_jobs.co2_g IS 'Grams CO2; NULL where no factor held.';
COMMENT ON COLUMN print_jobs.tariff_ids IS 'Tariffs that were used.';
COMMENT ON COLUMN print_jobs.carbon_factor_ids IS 'Carbon factors that were used.';
COMMENT ON COLUMN print_jobs.gcode_analysis_data IS
    'What the G-code analysis found (gcode/schema.json), without the lists per layer, which are in the preview, and '
    'the raw settings.';
COMMENT ON COLUMN print_jobs.gcode_status IS
    'State of the G-code analysis: NULL not tried yet, requested, done, or a sentence that says why there is none.';
COMMENT ON COLUMN print_jobs.thumbnail_url IS 'Picture of the part.';
COMMENT ON COLUMN print_jobs.preview_url IS 'Preview geometry.';
COMMENT ON COLUMN print_jobs.per_part_analysis IS 'Shares of the parts.';
COMMENT ON COLUMN print_jobs.nozzle_diameter IS 'Nozzle in mm.';
COMMENT ON COLUMN print_jobs.filament_diameter IS 'Filament in mm.';
COMMENT ON COLUMN print_jobs.dpp_pdf_url IS 'Passport as PDF; kept for it, NULL in this version.';
COMMENT ON COLUMN print_jobs.download_ref IS 'Where the source offers the G-code.';

COMMENT ON INDEX print_jobs_one_open IS 'A printer has at most one open print.';
COMMENT ON INDEX print_jobs_identity IS
    'A print is identified by its printer, its start and the source''s id, otherwise its file.';

COMMENT ON TABLE energy_data IS 'One row per reading of a meter, with the energy that it accounts for.';
COMMENT ON COLUMN energy_data.timestamp IS 'Time of the reading (UTC).';
COMMENT ON COLUMN energy_data.power_watts IS 'Power in W at that time; holds until the next row.';
COMMENT ON COLUMN energy_data.energy_total_wh IS
    'The meter''s counter in Wh (interval meters: energy of the interval).';
COMMENT ON COLUMN energy_data.energy_delta_wh IS 'Energy in Wh since interval_start; NULL when the row owns none.';
COMMENT ON COLUMN energy_data.interval_start IS 'Start (UTC) of the interval whose energy the row owns.';
COMMENT ON COLUMN energy_data.base_wh IS 'State of the fold: base in Wh; NULL = own counter.';
COMMENT ON COLUMN energy_data.base_at IS 'State of the fold: time of the base (UTC); NULL = own time.';
COMMENT ON COLUMN energy_data.alt_wh IS 'State of the fold: alternative base in Wh.';
COMMENT ON COLUMN energy_data.alt_at IS 'State of the fold: time of the alternative (UTC).';
COMMENT ON COLUMN energy_data.voltage IS 'Voltage, V.';
COMMENT ON COLUMN energy_data.current_amps IS 'Current, A.';
COMMENT ON COLUMN energy_data.power_factor IS 'Power factor, 0-1.';
COMMENT ON COLUMN energy_data.frequency_hz IS 'Mains frequency, Hz.';
COMMENT ON COLUMN energy_data.plug_temp_c IS 'Temperature of the plug in °C.';
COMMENT ON COLUMN energy_data.meter_id IS 'The meter.';
COMMENT ON COLUMN energy_data.device_id IS 'Its device at that time; NULL when unassigned.';
COMMENT ON COLUMN energy_data.quality IS
    'Flags joined by commas: first, back, rebase, reset, jump, integrated, gap; NULL when ordinary.';

COMMENT ON TABLE printer_status IS 'One row per status of a printer.';
COMMENT ON COLUMN printer_status.device_id IS 'The printer.';
COMMENT ON COLUMN printer_status.timestamp IS 'Time of the status (UTC).';
COMMENT ON COLUMN printer_status.state IS 'State in ENMS''s terms.';
COMMENT ON COLUMN printer_status.state_text IS 'State in the source''s words.';
COMMENT ON COLUMN printer_status.is_operational IS 'Flag of the source.';
COMMENT ON COLUMN printer_status.is_printing IS 'Flag of the source.';
COMMENT ON COLUMN printer_status.is_paused IS 'Flag of the source.';
COMMENT ON COLUMN printer_status.is_error IS 'Flag of the source.';
COMMENT ON COLUMN printer_status.is_busy IS 'Flag of the source.';
COMMENT ON COLUMN printer_status.is_sd_ready IS 'Flag of the source.';
COMMENT ON COLUMN printer_status.nozzle_temp_actual IS 'Temperature of the nozzle, °C.';
COMMENT ON COLUMN printer_status.nozzle_temp_target IS 'Wanted temperature of the nozzle, °C; 0: off.';
COMMENT ON COLUMN printer_status.bed_temp_actual IS 'Temperature of the bed, °C.';
COMMENT ON COLUMN printer_status.bed_temp_target IS 'Wanted temperature of the bed, °C; 0: off.';
COMMENT ON COLUMN printer_status.z_height_mm IS 'Height of the nozzle above the bed, mm.';
COMMENT ON COLUMN printer_status.speed_multiplier_percent IS 'Speed that was set at the printer, % of the file''s.';
COMMENT ON COLUMN printer_status.fan_rpm IS 'Part cooling fan, revolutions per minute.';
COMMENT ON COLUMN printer_status.material IS 'Loaded material, where the source reports it.';
COMMENT ON COLUMN printer_status.filename IS 'File of the current job.';
COMMENT ON COLUMN printer_status.source_job_id IS 'The source''s job id.';
COMMENT ON COLUMN printer_status.progress_percent IS 'Progress of the print, 0-100.';
COMMENT ON COLUMN printer_status.time_left_seconds IS 'Remaining time that the source reports, s.';

COMMENT ON TABLE environment_data IS 'Climate of a place or device.';
COMMENT ON COLUMN environment_data.location_id IS 'Place (or device) of the sensor.';
COMMENT ON COLUMN environment_data.timestamp IS 'Time (UTC).';
COMMENT ON COLUMN environment_data.device_id IS 'Device to which it belongs.';
COMMENT ON COLUMN environment_data.temperature_c IS 'Temperature of the air, °C.';
COMMENT ON COLUMN environment_data.humidity_pct IS 'Relative humidity in %.';
COMMENT ON COLUMN environment_data.pressure_hpa IS 'Air pressure, hPa.';
COMMENT ON COLUMN environment_data.source IS 'Kind of sensor, e.g. dht22.';

COMMENT ON TABLE smartplug_data IS 'Details of Tasmota plugs, in addition to their row of energy_data.';
COMMENT ON COLUMN smartplug_data.meter_id IS 'The meter.';
COMMENT ON COLUMN smartplug_data.timestamp IS 'Time (UTC).';
COMMENT ON COLUMN smartplug_data.device_id IS 'Its device at that time.';
COMMENT ON COLUMN smartplug_data.power_w IS 'Power, W.';
COMMENT ON COLUMN smartplug_data.energy_total_kwh IS 'Counter in kWh.';
COMMENT ON COLUMN smartplug_data.voltage_v IS 'Voltage, V.';
COMMENT ON COLUMN smartplug_data.current_a IS 'Current, A.';
COMMENT ON COLUMN smartplug_data.power_factor IS 'Power factor, 0-1.';
COMMENT ON COLUMN smartplug_data.apparent_power_va IS 'Apparent power, VA.';
COMMENT ON COLUMN smartplug_data.reactive_power_var IS 'Reactive power, var.';

COMMENT ON TABLE max6675_temperature_data IS 'Thermocouple readings.';
COMMENT ON COLUMN max6675_temperature_data.sensor_id IS 'Sensor.';
COMMENT ON COLUMN max6675_temperature_data.timestamp IS 'Time (UTC).';
COMMENT ON COLUMN max6675_temperature_data.device_id IS 'Printer on which it is mounted.';
COMMENT ON COLUMN max6675_temperature_data.temperature_c IS 'Temperature, °C.';

COMMENT ON TABLE mpu6050_accelerometer_data IS 'Acceleration, gravity included.';
COMMENT ON COLUMN mpu6050_accelerometer_data.sensor_id IS 'Sensor.';
COMMENT ON COLUMN mpu6050_accelerometer_data.timestamp IS 'Time (UTC).';
COMMENT ON COLUMN mpu6050_accelerometer_data.device_id IS 'Printer on which it is mounted.';
COMMENT ON COLUMN mpu6050_accelerometer_data.accel_x_ms2 IS 'Acceleration along x, m/s².';
COMMENT ON COLUMN mpu6050_accelerometer_data.accel_y_ms2 IS 'Acceleration along y, m/s².';
COMMENT ON COLUMN mpu6050_accelerometer_data.accel_z_ms2 IS 'Acceleration along z, m/s².';
COMMENT ON COLUMN mpu6050_accelerometer_data.temperature_c IS 'Temperature of the chip in °C.';

COMMENT ON TABLE mpu6050_gyroscope_data IS 'Rates of rotation.';
COMMENT ON COLUMN mpu6050_gyroscope_data.sensor_id IS 'Sensor.';
COMMENT ON COLUMN mpu6050_gyroscope_data.timestamp IS 'Time (UTC).';
COMMENT ON COLUMN mpu6050_gyroscope_data.device_id IS 'Printer on which it is mounted.';
COMMENT ON COLUMN mpu6050_gyroscope_data.gyro_x_rads IS 'Rotation about x, rad/s.';
COMMENT ON COLUMN mpu6050_gyroscope_data.gyro_y_rads IS 'Rotation about y, rad/s.';
COMMENT ON COLUMN mpu6050_gyroscope_data.gyro_z_rads IS 'Rotation about z, rad/s.';

COMMENT ON TABLE ml_predictions IS 'Predicted power, one row per device and time.';
COMMENT ON COLUMN ml_predictions.device_id IS 'The device.';
COMMENT ON COLUMN ml_predictions.timestamp IS 'Time (UTC).';
COMMENT ON COLUMN ml_predictions.predicted_power_watts IS 'Power that the model expected, W.';
COMMENT ON COLUMN ml_predictions.model_version IS 'Version of the model.';

COMMENT ON TABLE meter_state IS 'State of every meter after its last reading; locked by each ingest.';
COMMENT ON COLUMN meter_state.meter_id IS 'The meter.';
COMMENT ON COLUMN meter_state.last_at IS 'Newest row (UTC).';
COMMENT ON COLUMN meter_state.last_counter_at IS 'Newest row with a counter (UTC).';
COMMENT ON COLUMN meter_state.last_power_watts IS 'Newest power in W.';
COMMENT ON COLUMN meter_state.last_power_at IS 'Time of that power (UTC).';
COMMENT ON COLUMN meter_state.base_wh IS 'State of the fold: base in Wh.';
COMMENT ON COLUMN meter_state.base_at IS 'Time of the base (UTC).';
COMMENT ON COLUMN meter_state.alt_wh IS 'Alternative base in Wh.';
COMMENT ON COLUMN meter_state.alt_at IS 'Time of the alternative (UTC).';
COMMENT ON COLUMN meter_state.clock_offset_s IS 'Arrival - device time in s, learned.';
COMMENT ON COLUMN meter_state.clock_candidate_s IS 'Another offset in s that may be right.';
COMMENT ON COLUMN meter_state.clock_candidate_n IS 'How many readings in a row agreed with it.';
COMMENT ON COLUMN meter_state.clock_candidate_at IS 'When the first of them arrived (UTC).';
COMMENT ON COLUMN meter_state.jumps_in_row IS 'Jumps since the last plausible counter; from 3 on an alarm.';
COMMENT ON COLUMN meter_state.dirty_from IS 'Rollups from this time on (UTC) are not current; NULL: all are.';

COMMENT ON TABLE rollup_dirty IS 'Ranges whose rollups must be computed again; append only.';
COMMENT ON COLUMN rollup_dirty.dirty_id IS 'Id.';
COMMENT ON COLUMN rollup_dirty.meter_id IS 'The meter.';
COMMENT ON COLUMN rollup_dirty.from_ts IS 'Start (UTC).';
COMMENT ON COLUMN rollup_dirty.to_ts IS 'End (UTC).';

COMMENT ON TABLE device_latest IS 'Latest status and power of every device, kept in the same transaction as the rows.';
COMMENT ON COLUMN device_latest.device_id IS 'The device.';
COMMENT ON COLUMN device_latest.status_at IS 'Time of the status (UTC).';
COMMENT ON COLUMN device_latest.state IS 'State in ENMS''s terms.';
COMMENT ON COLUMN device_latest.state_text IS 'State in the source''s words.';
COMMENT ON COLUMN device_latest.state_since IS 'Since when it has this state (UTC).';
COMMENT ON COLUMN device_latest.nozzle_temp_actual IS 'Temperature of the nozzle, °C.';
COMMENT ON COLUMN device_latest.nozzle_temp_target IS 'Wanted temperature of the nozzle, °C; 0: off.';
COMMENT ON COLUMN device_latest.bed_temp_actual IS 'Temperature of the bed, °C.';
COMMENT ON COLUMN device_latest.bed_temp_target IS 'Wanted temperature of the bed, °C; 0: off.';
COMMENT ON COLUMN device_latest.z_height_mm IS 'Height of the nozzle above the bed, mm.';
COMMENT ON COLUMN device_latest.speed_multiplier_percent IS 'Speed that was set at the printer, % of the file''s.';
COMMENT ON COLUMN device_latest.fan_rpm IS 'Part cooling fan, revolutions per minute.';
COMMENT ON COLUMN device_latest.material IS 'Loaded material, where the source reports it.';
COMMENT ON COLUMN device_latest.filename IS 'File of the current job.';
COMMENT ON COLUMN device_latest.source_job_id IS 'The source''s job id.';
COMMENT ON COLUMN device_latest.progress_percent IS 'Progress of the print, 0-100.';
COMMENT ON COLUMN device_latest.time_left_seconds IS 'Remaining time that the source reports, s.';
COMMENT ON COLUMN device_latest.last_error IS 'Last error when it was polled.';
COMMENT ON COLUMN device_latest.last_error_at IS 'When (UTC).';
COMMENT ON COLUMN device_latest.power_watts IS 'Sum of the latest power of its main electricity meters, W.';
COMMENT ON COLUMN device_latest.power_at IS 'Time of the newest of them (UTC).';
COMMENT ON COLUMN device_latest.phases_dirty_from IS 'printer_phase_1hour is not current from this time on (UTC).';

COMMENT ON TABLE ingest_rejects IS 'What was refused; equal ones of an hour are one counted row.';
COMMENT ON COLUMN ingest_rejects.reject_id IS 'Id of the row.';
COMMENT ON COLUMN ingest_rejects.first_at IS 'First time (UTC).';
COMMENT ON COLUMN ingest_rejects.last_at IS 'Last time (UTC).';
COMMENT ON COLUMN ingest_rejects.source IS 'Part of ENMS that refused it.';
COMMENT ON COLUMN ingest_rejects.topic IS 'Topic, meter or device.';
COMMENT ON COLUMN ingest_rejects.reason IS 'Why.';
COMMENT ON COLUMN ingest_rejects.payload IS 'The last such payload, cut at 4 kB.';
COMMENT ON COLUMN ingest_rejects.count IS 'How many.';

COMMENT ON INDEX ingest_rejects_flood IS 'Equal source, topic and reason within an hour (UTC) are one row.';

COMMENT ON TABLE audit_log IS 'Every change that a person makes, without secrets.';
COMMENT ON COLUMN audit_log.audit_id IS 'Id of the entry.';
COMMENT ON COLUMN audit_log.at IS 'When (UTC).';
COMMENT ON COLUMN audit_log.actor IS 'Who.';
COMMENT ON COLUMN audit_log.action IS 'What was done, e.g. device.change.';
COMMENT ON COLUMN audit_log.object IS 'What was changed: the device, meter or setting.';
COMMENT ON COLUMN audit_log.before IS 'What it was before, without secrets.';
COMMENT ON COLUMN audit_log.after IS 'What it was after, without secrets.';

COMMENT ON TABLE printer_phase_1hour IS 'Time and energy per state and UTC hour.';
COMMENT ON COLUMN printer_phase_1hour.device_id IS 'The printer.';
COMMENT ON COLUMN printer_phase_1hour.bucket IS 'Start of the hour (UTC).';
COMMENT ON COLUMN printer_phase_1hour.state IS 'State; no_data where no status is known.';
COMMENT ON COLUMN printer_phase_1hour.seconds IS 'Time in the state in s.';
COMMENT ON COLUMN printer_phase_1hour.energy_wh IS 'Energy in the state in Wh; NULL when unknown.';

COMMENT ON TABLE settings IS 'Settings of the database.';
COMMENT ON COLUMN settings.name IS 'Name of the setting.';
COMMENT ON COLUMN settings.value IS 'Value as text.';
COMMENT ON COLUMN settings.comment IS 'What it means.';

COMMENT ON TABLE schema_migrations IS 'What migrate.py has applied.';
COMMENT ON COLUMN schema_migrations.name IS 'File; derived = functions, views, comments, grants and seed.';
COMMENT ON COLUMN schema_migrations.checksum IS 'SHA-256 of what was applied.';
COMMENT ON COLUMN schema_migrations.applied_at IS 'When (UTC).';

DO $$
DECLARE
    level record;
    item record;
BEGIN
    FOR level IN SELECT * FROM (VALUES ('1min', 'UTC minutes'), ('15min', 'UTC quarter hours'), ('1hour', 'UTC hours'),
                                       ('1day', 'days of the factory''s zone')) AS l (name, buckets) LOOP
        EXECUTE format('COMMENT ON TABLE energy_rollup_%s IS %L', level.name,
                       format('Stored rollup of energy_data, %s; read energy_readings_%s.', level.buckets, level.name));
        EXECUTE format('COMMENT ON VIEW energy_readings_%s IS %L', level.name,
                       format('Rollup of energy_data by %s, always current.', level.buckets));
        FOR item IN SELECT * FROM (VALUES
            ('rollup', 'device_id', 'Device at that time; empty when unassigned.'),
            ('readings', 'device_id', 'Device at that time; NULL when unassigned.'),
            ('both', 'meter_id', 'The meter.'),
            ('both', 'bucket', 'Start of the bucket (UTC).'),
            ('both', 'energy_wh', 'Energy in Wh that fell into the bucket; NULL when unknown.'),
            ('both', 'avg_power_w', 'Time-weighted mean power in W over the covered time.'),
            ('both', 'min_power_w', 'Lowest power in W.'),
            ('both', 'max_power_w', 'Highest power in W.'),
            ('both', 'coverage_s', 'Time in s that readings cover (no gap).'),
            ('both', 'reading_count', 'Readings in the bucket.'),
            ('readings', 'machine_id', 'Immutable id of that device.'),
            ('readings', 'energy_type', 'Carrier.'),
            ('readings', 'total_energy_kwh', 'energy_wh in kWh.'),
            ('readings', 'avg_power_kw', 'avg_power_w in kW.'),
            ('readings', 'max_power_kw', 'max_power_w in kW.')) AS c (relation, name, text) LOOP
            IF item.relation <> 'readings' THEN
                EXECUTE format('COMMENT ON COLUMN energy_rollup_%s.%I IS %L', level.name, item.name, item.text);
            END IF;
            IF item.relation <> 'rollup' THEN
                EXECUTE format('COMMENT ON COLUMN energy_readings_%s.%I IS %L', level.name, item.name, item.text);
            END IF;
        END LOOP;
    END LOOP;
END $$;
