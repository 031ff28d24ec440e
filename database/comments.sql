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
COMMENT ON COLUMN devices.simplyprint_id IS 'Printer number at SimplyPrint.';
COMMENT ON COLUMN devices.sp_company_id IS 'Company at SimplyPrint.';
COMMENT ON COLUMN devices.gcode_preview_host IS 'Host from which previews are fetched.';
COMMENT ON COLUMN devices.shelly_id IS 'Plug, or one channel of it (plug/switch:1), that measures the device.';
COMMENT ON COLUMN devices.plant_type IS 'Plant that stands for it in the passport.';
COMMENT ON COLUMN devices.last_seen IS 'Time of the newest reading or status, UTC.';
COMMENT ON COLUMN devices.is_active IS 'False: no longer polled, its past stays.';
COMMENT ON COLUMN devices.created_at IS 'When it was added, UTC.';

COMMENT ON TABLE device_credentials IS 'Secrets of devices that have any; ingest role only.';
COMMENT ON COLUMN device_credentials.device_id IS 'The device.';
COMMENT ON COLUMN device_credentials.api_key IS 'Secret of the printer''s interface.';
COMMENT ON COLUMN device_credentials.sp_api_key IS 'Secret for SimplyPrint.';
COMMENT ON COLUMN device_credentials.gcode_preview_api_key IS 'Secret of the host of previews.';

COMMENT ON TABLE meters IS 'Metering points; unknown ones appear by themselves.';
COMMENT ON COLUMN meters.meter_id IS 'Topic-like id, e.g. SPPS-02/switch:0.';
COMMENT ON COLUMN meters.protocol IS 'Protocol of its messages.';
COMMENT ON COLUMN meters.energy_type IS 'Carrier that it measures; carriers are never added together.';
COMMENT ON COLUMN meters.reading_kind IS 'counter (running total), interval (energy of an interval), power_only or virtual (computed from others).';
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
COMMENT ON COLUMN meter_assignments.role IS 'main, dryer and accessory together are the device''s energy; sub: a part of it, never added.';
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

COMMENT ON VIEW energy_data IS 'One row per reading of a meter, with the energy that it accounts for.';
COMMENT ON COLUMN energy_data.timestamp IS 'Time of the reading (UTC).';
COMMENT ON COLUMN energy_data.power_watts IS 'Power in W at that time (with the factor of the current transformers); holds until the next row.';
COMMENT ON COLUMN energy_data.energy_type IS 'Carrier.';
COMMENT ON COLUMN energy_data.direction IS 'import, or export: what flows back.';
COMMENT ON COLUMN energy_data.energy_total_wh IS 'The meter''s counter in Wh; NULL on an interval meter.';
COMMENT ON COLUMN energy_data.interval_wh IS 'What an interval meter told of its interval, Wh.';
COMMENT ON COLUMN energy_data.interval_s IS 'How long it told its interval to be, s; NULL: as usual.';
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
    'Flags joined by commas: first, back, rebase, reset, jump, replaced, integrated, untimed, corrected, excluded, gap; NULL '
    'when ordinary.';

COMMENT ON VIEW printer_status IS 'One row per status of a printer.';
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

COMMENT ON VIEW environment_data IS 'Climate of a place or device.';
COMMENT ON COLUMN environment_data.location_id IS 'Place (or device) of the sensor.';
COMMENT ON COLUMN environment_data.timestamp IS 'Time (UTC).';
COMMENT ON COLUMN environment_data.device_id IS 'Device to which it belongs.';
COMMENT ON COLUMN environment_data.temperature_c IS 'Temperature of the air, °C.';
COMMENT ON COLUMN environment_data.humidity_pct IS 'Relative humidity in %.';
COMMENT ON COLUMN environment_data.pressure_hpa IS 'Air pressure, hPa.';
COMMENT ON COLUMN environment_data.source IS 'Kind of sensor, e.g. dht22.';

COMMENT ON VIEW smartplug_data IS 'Details of Tasmota plugs, in addition to their row of energy_data.';
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

COMMENT ON VIEW max6675_temperature_data IS 'Thermocouple readings.';
COMMENT ON COLUMN max6675_temperature_data.sensor_id IS 'Sensor.';
COMMENT ON COLUMN max6675_temperature_data.timestamp IS 'Time (UTC).';
COMMENT ON COLUMN max6675_temperature_data.device_id IS 'Printer on which it is mounted.';
COMMENT ON COLUMN max6675_temperature_data.temperature_c IS 'Temperature, °C.';

COMMENT ON VIEW mpu6050_accelerometer_data IS 'Acceleration, gravity included.';
COMMENT ON COLUMN mpu6050_accelerometer_data.sensor_id IS 'Sensor.';
COMMENT ON COLUMN mpu6050_accelerometer_data.timestamp IS 'Time (UTC).';
COMMENT ON COLUMN mpu6050_accelerometer_data.device_id IS 'Printer on which it is mounted.';
COMMENT ON COLUMN mpu6050_accelerometer_data.accel_x_ms2 IS 'Acceleration along x, m/s².';
COMMENT ON COLUMN mpu6050_accelerometer_data.accel_y_ms2 IS 'Acceleration along y, m/s².';
COMMENT ON COLUMN mpu6050_accelerometer_data.accel_z_ms2 IS 'Acceleration along z, m/s².';
COMMENT ON COLUMN mpu6050_accelerometer_data.temperature_c IS 'Temperature of the chip in °C.';

COMMENT ON VIEW mpu6050_gyroscope_data IS 'Rates of rotation.';
COMMENT ON COLUMN mpu6050_gyroscope_data.sensor_id IS 'Sensor.';
COMMENT ON COLUMN mpu6050_gyroscope_data.timestamp IS 'Time (UTC).';
COMMENT ON COLUMN mpu6050_gyroscope_data.device_id IS 'Printer on which it is mounted.';
COMMENT ON COLUMN mpu6050_gyroscope_data.gyro_x_rads IS 'Rotation about x, rad/s.';
COMMENT ON COLUMN mpu6050_gyroscope_data.gyro_y_rads IS 'Rotation about y, rad/s.';
COMMENT ON COLUMN mpu6050_gyroscope_data.gyro_z_rads IS 'Rotation about z, rad/s.';

COMMENT ON VIEW ml_predictions IS 'Predicted power, one row per device and time.';
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
COMMENT ON COLUMN rollup_dirty.step IS '60: all levels; 86400: only the days, whose zone has changed.';

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
COMMENT ON COLUMN device_latest.power_watts IS 'Sum of the latest power of its electricity meters that add up, W.';
COMMENT ON COLUMN device_latest.power_at IS 'Time of the newest of them (UTC).';
COMMENT ON COLUMN device_latest.phases_dirty_from IS 'device_state_1hour is not current from this time on (UTC).';

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

COMMENT ON VIEW printer_phase_1hour IS 'Time and energy per state and UTC hour.';
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
                                       ('1day', 'days of the zone of the device''s factory')) AS l (name, buckets) LOOP
        EXECUTE format('COMMENT ON TABLE series.energy_%s IS %L', level.name,
                       format('Stored rollup of series.energy, %s; read energy_readings_%s.', level.buckets, level.name));
        EXECUTE format('COMMENT ON VIEW energy_readings_%s IS %L', level.name,
                       format('Rollup of energy_data by %s, always current.', level.buckets));
        EXECUTE format('COMMENT ON TABLE series.signal_%s IS %L', level.name,
                       format('Stored rollup of series.signal, %s; read signal_data_%s.', level.buckets, level.name));
        EXECUTE format('COMMENT ON VIEW signal_data_%s IS %L', level.name,
                       format('Rollup of signal_data by %s, as of the last housekeeping.', level.buckets));
        FOR item IN SELECT * FROM (VALUES
            ('energy_readings', 'device_id', 'Device at that time; NULL when unassigned.'),
            ('energy_readings', 'meter_id', 'The meter.'),
            ('energy_readings', 'bucket', 'Start of the bucket (UTC).'),
            ('energy_readings', 'energy_wh', 'Energy in Wh that fell into the bucket; NULL when unknown.'),
            ('energy_readings', 'avg_power_w', 'Time-weighted mean power in W over the covered time.'),
            ('energy_readings', 'min_power_w', 'Lowest power in W.'),
            ('energy_readings', 'max_power_w', 'Highest power in W.'),
            ('energy_readings', 'coverage_s', 'Time in s that readings cover (no gap).'),
            ('energy_readings', 'reading_count', 'Readings in the bucket.'),
            ('energy_readings', 'machine_id', 'Immutable id of that device.'),
            ('energy_readings', 'energy_type', 'Carrier.'),
            ('energy_readings', 'direction', 'import, or export: what flows back.'),
            ('energy_readings', 'total_energy_kwh', 'energy_wh in kWh.'),
            ('energy_readings', 'avg_power_kw', 'avg_power_w in kW.'),
            ('energy_readings', 'max_power_kw', 'max_power_w in kW.'),
            ('signal_data', 'device_id', 'The device.'),
            ('signal_data', 'name', 'Name of the signal.'),
            ('signal_data', 'unit', 'Its unit, where it told one.'),
            ('signal_data', 'bucket', 'Start of the bucket (UTC).'),
            ('signal_data', 'avg_value', 'Mean of the minutes that have readings, in the unit of the signal.'),
            ('signal_data', 'min_value', 'Lowest reading.'),
            ('signal_data', 'max_value', 'Highest reading.'),
            ('signal_data', 'coverage_s', 'Seconds of the minutes that have readings.'),
            ('signal_data', 'reading_count', 'Readings in the bucket.')) AS c (relation, name, text) LOOP
            EXECUTE format('COMMENT ON COLUMN %I.%I IS %L', item.relation || '_' || level.name, item.name, item.text);
        END LOOP;
    END LOOP;
END $$;

-- What a column means stands at the view; here what the tables behind add to it.
COMMENT ON TABLE series.energy IS 'Readings of meters; read energy_data.';
COMMENT ON TABLE series.phase IS 'Readings of single phases; read phase_data.';
COMMENT ON TABLE series.device_status IS 'Statuses of devices; read device_status or printer_status.';
COMMENT ON TABLE series.environmental IS 'Climate and process values; read environmental_data.';
COMMENT ON TABLE series.production IS 'Production counts; read production_data.';
COMMENT ON TABLE series.signal IS 'Other numbers that devices tell; read signal_data.';
COMMENT ON TABLE series.smartplug IS 'Details of Tasmota plugs; read smartplug_data.';
COMMENT ON TABLE series.max6675_temperature IS 'Thermocouples; read max6675_temperature_data.';
COMMENT ON TABLE series.mpu6050_accelerometer IS 'Acceleration; read mpu6050_accelerometer_data.';
COMMENT ON TABLE series.mpu6050_gyroscope IS 'Rotation; read mpu6050_gyroscope_data.';
COMMENT ON TABLE series.prediction IS 'Predicted power; read ml_predictions.';
COMMENT ON TABLE series.device_state_1hour IS 'Time and energy per state; read device_state_1hour.';
COMMENT ON COLUMN series.energy.reading_wh IS 'What the meter told: its counter, or of an interval meter the energy of the interval, Wh.';
COMMENT ON COLUMN series.energy.device_time IS 'Time by the device''s own clock where that is wrong (UTC); NULL: timestamp.';
COMMENT ON COLUMN series.production.count_told IS 'What the machine told: the count of the interval, or its counter.';
COMMENT ON COLUMN series.production.is_counter IS 'Whether it told counters.';
COMMENT ON COLUMN series.production.interval_s IS 'How long an interval is, s; NULL when it told counters.';
COMMENT ON COLUMN series.production.device_time IS 'Time by the machine''s own clock where that is wrong (UTC); NULL: timestamp.';

COMMENT ON VIEW phase_data IS 'Readings of the phases of three-phase meters.';
COMMENT ON COLUMN phase_data.timestamp IS 'Time of the reading (UTC).';
COMMENT ON COLUMN phase_data.meter_id IS 'The meter.';
COMMENT ON COLUMN phase_data.phase IS '1, 2 or 3.';
COMMENT ON COLUMN phase_data.power_watts IS 'Power, W.';
COMMENT ON COLUMN phase_data.voltage IS 'Voltage, V.';
COMMENT ON COLUMN phase_data.current_amps IS 'Current, A.';
COMMENT ON COLUMN phase_data.power_factor IS 'Power factor, 0-1.';

COMMENT ON VIEW device_status IS 'One row per status of a device of any kind.';
COMMENT ON COLUMN device_status.device_id IS 'The device.';
COMMENT ON COLUMN device_status.timestamp IS 'Time of the status (UTC).';
COMMENT ON COLUMN device_status.state IS 'State in ENMS''s terms.';
COMMENT ON COLUMN device_status.class IS 'What the state means for every kind: productive, ready, down, off; NULL: not known.';
COMMENT ON COLUMN device_status.state_text IS 'State or message in the source''s words.';

COMMENT ON VIEW environmental_data IS 'Climate and process values of places and machines.';
COMMENT ON COLUMN environmental_data.location_id IS 'Place (or device) of the sensor.';
COMMENT ON COLUMN environmental_data.timestamp IS 'Time (UTC).';
COMMENT ON COLUMN environmental_data.device_id IS 'Device to which it belongs.';
COMMENT ON COLUMN environmental_data.indoor_temp_c IS 'Temperature of the room, °C.';
COMMENT ON COLUMN environmental_data.outdoor_temp_c IS 'Temperature outside, °C.';
COMMENT ON COLUMN environmental_data.machine_temp_c IS 'Temperature of the machine, °C.';
COMMENT ON COLUMN environmental_data.humidity_percent IS 'Relative humidity of the room, %.';
COMMENT ON COLUMN environmental_data.outdoor_humidity_percent IS 'Relative humidity outside, %.';
COMMENT ON COLUMN environmental_data.pressure_hpa IS 'Air pressure, hPa.';
COMMENT ON COLUMN environmental_data.pressure_bar IS 'Pressure of the medium, bar.';
COMMENT ON COLUMN environmental_data.pressure_setpoint_bar IS 'Wanted pressure of the medium, bar.';
COMMENT ON COLUMN environmental_data.flow_rate_m3h IS 'Flow of the medium, m³/h.';
COMMENT ON COLUMN environmental_data.supply_air_temp_c IS 'Temperature of the supply air, °C.';
COMMENT ON COLUMN environmental_data.return_air_temp_c IS 'Temperature of the return air, °C.';
COMMENT ON COLUMN environmental_data.chilled_water_supply_temp_c IS 'Temperature of chilled water, out, °C.';
COMMENT ON COLUMN environmental_data.chilled_water_return_temp_c IS 'Temperature of chilled water, back, °C.';
COMMENT ON COLUMN environmental_data.cop IS 'Coefficient of performance: heat moved / power.';
COMMENT ON COLUMN environmental_data.vibration_mm_s IS 'Vibration, mm/s.';
COMMENT ON COLUMN environmental_data.moisture_percent IS 'Moisture of the material, %.';
COMMENT ON COLUMN environmental_data.source IS 'Kind of sensor.';

COMMENT ON VIEW production_data IS 'What machines made, by interval.';
COMMENT ON COLUMN production_data.device_id IS 'The machine.';
COMMENT ON COLUMN production_data.timestamp IS 'End of the interval (UTC).';
COMMENT ON COLUMN production_data.interval_start IS 'Its begin (UTC).';
COMMENT ON COLUMN production_data.production_count IS 'Units made in the interval; NULL when unknown.';
COMMENT ON COLUMN production_data.production_count_good IS 'Good ones.';
COMMENT ON COLUMN production_data.production_count_bad IS 'Bad ones.';
COMMENT ON COLUMN production_data.throughput_units_per_hour IS 'Units per hour, as told.';
COMMENT ON COLUMN production_data.speed_percent IS 'Speed, %.';
COMMENT ON COLUMN production_data.operating_mode IS 'Mode in the machine''s words.';
COMMENT ON COLUMN production_data.product_id IS 'What was made.';
COMMENT ON COLUMN production_data.batch_id IS 'Batch.';
COMMENT ON COLUMN production_data.unit IS 'Unit of the counts.';
COMMENT ON COLUMN production_data.is_counter IS 'Whether the machine told counters; otherwise counts of the interval.';
COMMENT ON COLUMN production_data.count_told IS 'What it told of units.';
COMMENT ON COLUMN production_data.good_told IS 'What it told of good ones.';
COMMENT ON COLUMN production_data.bad_told IS 'What it told of bad ones.';
COMMENT ON COLUMN production_data.quality IS 'first, gap, or NULL.';

COMMENT ON VIEW signal_data IS 'Other numbers that devices tell, by name.';
COMMENT ON COLUMN signal_data.device_id IS 'The device.';
COMMENT ON COLUMN signal_data.name IS 'Name of the signal.';
COMMENT ON COLUMN signal_data.unit IS 'Its unit, where it told one.';
COMMENT ON COLUMN signal_data.timestamp IS 'Time (UTC).';
COMMENT ON COLUMN signal_data.value IS 'Value in that unit.';

COMMENT ON VIEW device_state_1hour IS 'Time and energy per state of every device and UTC hour.';
COMMENT ON COLUMN device_state_1hour.device_id IS 'The device.';
COMMENT ON COLUMN device_state_1hour.bucket IS 'Start of the hour (UTC).';
COMMENT ON COLUMN device_state_1hour.state IS 'State; no_data where no status holds.';
COMMENT ON COLUMN device_state_1hour.class IS 'What the state means for every kind: productive, ready, down, off; NULL: not known.';
COMMENT ON COLUMN device_state_1hour.seconds IS 'Time in the state in s.';
COMMENT ON COLUMN device_state_1hour.energy_wh IS 'Energy in the state in Wh; NULL when unknown.';

COMMENT ON TABLE currencies IS 'Currencies that a price may have (ISO 4217).';
COMMENT ON COLUMN currencies.currency IS 'Code, e.g. EUR.';

COMMENT ON TABLE device_kinds IS 'Kinds of devices; a new kind is a new row.';
COMMENT ON COLUMN device_kinds.device_kind IS 'Kind, e.g. compressor.';
COMMENT ON COLUMN device_kinds.name IS 'Name for people.';
COMMENT ON COLUMN device_kinds.has_jobs IS 'Whether such devices have print jobs.';
COMMENT ON COLUMN device_kinds.sort IS 'Place in lists.';

COMMENT ON TABLE sources IS 'Where the status of a device comes from.';
COMMENT ON COLUMN sources.source IS 'Source, e.g. prusalink.';
COMMENT ON COLUMN sources.name IS 'Name for people.';
COMMENT ON COLUMN sources.polled IS 'Whether ENMS asks for it; otherwise it comes by itself.';
COMMENT ON COLUMN sources.sort IS 'Place in lists.';

COMMENT ON TABLE energy_types IS 'Carriers; they are never added silently.';
COMMENT ON COLUMN energy_types.energy_type IS 'Carrier, e.g. natural_gas.';
COMMENT ON COLUMN energy_types.name IS 'Name for people.';
COMMENT ON COLUMN energy_types.unit IS 'Unit in which it is bought.';
COMMENT ON COLUMN energy_types.wh_per_unit IS 'Wh of one unit, unless the meter says otherwise.';
COMMENT ON COLUMN energy_types.sort IS 'Place in lists.';

COMMENT ON TABLE states IS 'States of devices of every kind.';
COMMENT ON COLUMN states.state_key IS 'Key in the series.';
COMMENT ON COLUMN states.state IS 'State, e.g. running.';
COMMENT ON COLUMN states.name IS 'Name for people.';
COMMENT ON COLUMN states.class IS 'What it means for every kind: productive, ready, down, off; NULL: not known.';
COMMENT ON COLUMN states.phase IS 'Phase of the analysis to which it belongs.';
COMMENT ON INDEX factories_one_default IS 'One factory is the default.';
COMMENT ON COLUMN factories.is_default IS 'The one of devices and meters that name none.';
COMMENT ON COLUMN factories.adopt_by_itself IS 'Whether machines that appear on MQTT are adopted without a click.';
COMMENT ON COLUMN devices.device_key IS 'Key in the series.';
COMMENT ON COLUMN meters.meter_key IS 'Key in the series.';
COMMENT ON COLUMN meters.direction IS 'import, or export: what flows back.';
COMMENT ON COLUMN meters.phases IS 'Number of phases.';
COMMENT ON COLUMN meters.interval_s IS 'Interval of an interval meter, s; NULL: what it tells or what was learned.';
COMMENT ON COLUMN meters.ct_factor IS 'Present ratio of the current transformers; its past is in meter_factors.';
COMMENT ON COLUMN meters.changes_until IS 'Newest change (exchange, factor, correction) that the fold must look up (UTC).';
COMMENT ON COLUMN meter_assignments.adds IS 'Whether it adds to the device''s energy: any role but sub.';
COMMENT ON COLUMN meter_assignments.counts_to_job IS 'Whether its energy counts to a print.';

COMMENT ON TABLE virtual_meter_parts IS 'What a virtual meter is made of: Σ factor × part.';
COMMENT ON COLUMN virtual_meter_parts.meter_id IS 'The virtual meter.';
COMMENT ON COLUMN virtual_meter_parts.part_id IS 'A meter of which it is made.';
COMMENT ON COLUMN virtual_meter_parts.factor IS '1 adds, -1 subtracts, 0.3 is a share.';

COMMENT ON TABLE meter_replacements IS 'Exchanged counters.';
COMMENT ON COLUMN meter_replacements.meter_id IS 'The metering point.';
COMMENT ON COLUMN meter_replacements.replaced_at IS 'When (UTC).';
COMMENT ON COLUMN meter_replacements.old_end_wh IS 'Last value of the old counter, Wh; NULL when unknown.';
COMMENT ON COLUMN meter_replacements.new_start_wh IS 'First value of the new one, Wh.';
COMMENT ON COLUMN meter_replacements.actor IS 'Who entered it.';

COMMENT ON TABLE meter_factors IS 'Ratios of current transformers by date.';
COMMENT ON COLUMN meter_factors.meter_id IS 'The meter.';
COMMENT ON COLUMN meter_factors.valid_from IS 'Since when (UTC).';
COMMENT ON COLUMN meter_factors.factor IS 'What the meter tells times this is what flows.';
COMMENT ON COLUMN meter_factors.actor IS 'Who entered it.';

COMMENT ON TABLE meter_corrections IS 'Spans that do not count or whose energy was replaced; the raw rows stay.';
COMMENT ON COLUMN meter_corrections.correction_id IS 'Id.';
COMMENT ON COLUMN meter_corrections.meter_id IS 'The meter.';
COMMENT ON COLUMN meter_corrections.from_ts IS 'Begin (UTC).';
COMMENT ON COLUMN meter_corrections.to_ts IS 'End (UTC).';
COMMENT ON COLUMN meter_corrections.energy_wh IS 'Energy of the span in Wh; NULL: it is excluded.';
COMMENT ON COLUMN meter_corrections.reason IS 'Why.';
COMMENT ON COLUMN meter_corrections.actor IS 'Who.';
COMMENT ON COLUMN meter_corrections.made_at IS 'When (UTC).';
COMMENT ON COLUMN meter_corrections.withdrawn_at IS 'When it was taken back (UTC).';

COMMENT ON TABLE locations IS 'Keys of places in the series.';
COMMENT ON COLUMN locations.location_key IS 'Key in the series.';
COMMENT ON COLUMN locations.location_id IS 'Place.';

COMMENT ON TABLE sensors IS 'Keys of sensors in the series.';
COMMENT ON COLUMN sensors.sensor_key IS 'Key in the series.';
COMMENT ON COLUMN sensors.sensor_id IS 'Sensor.';

COMMENT ON TABLE signals IS 'Signals of devices; at most 200 of one.';
COMMENT ON COLUMN signals.device_id IS 'The device.';
COMMENT ON COLUMN signals.signal_id IS 'Its number within the device.';
COMMENT ON COLUMN signals.name IS 'Name.';
COMMENT ON COLUMN signals.unit IS 'Unit, where it told one.';

COMMENT ON TABLE signal_dirty IS 'Ranges whose rollups of signals must be computed again; append only.';
COMMENT ON COLUMN signal_dirty.dirty_id IS 'Id.';
COMMENT ON COLUMN signal_dirty.device_id IS 'The device.';
COMMENT ON COLUMN signal_dirty.signal_id IS 'The signal.';
COMMENT ON COLUMN signal_dirty.from_ts IS 'Start (UTC); infinity: only its days.';
COMMENT ON COLUMN signal_dirty.to_ts IS 'End (UTC).';
