-- The asset model: one registry and one set of time series for printers, machines and meters.
-- Every timestamp is timestamptz and means UTC. A missing value is NULL, never 0. Units stand in the column name or its comment.
-- Time series carry no foreign keys (they cost a multiple of the ingest rate): ids are checked once per batch.

CREATE TABLE factories (
    factory_id    uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    slug          text NOT NULL UNIQUE CHECK (slug ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
    name          text NOT NULL,
    location      text,
    timezone      text NOT NULL DEFAULT 'UTC',
    currency      text NOT NULL DEFAULT 'EUR' CHECK (currency ~ '^[A-Z]{3}$'),
    carbon_region text NOT NULL DEFAULT 'default'
);

CREATE TABLE devices (
    device_id              text PRIMARY KEY CHECK (device_id ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$'),
    machine_id             uuid NOT NULL UNIQUE DEFAULT gen_random_uuid(),
    factory_id             uuid NOT NULL REFERENCES factories,
    device_type            text NOT NULL DEFAULT 'printer' CHECK (device_type IN
        ('printer','compressor','hvac','motor','pump','injection_molding','conveyor','boiler','other')),
    friendly_name          text NOT NULL,
    device_model           text,
    location               text,
    notes                  text,
    printer_size_category  text,
    bed_width              double precision CHECK (bed_width > 0),
    bed_depth              double precision CHECK (bed_depth > 0),
    rated_power_w          double precision CHECK (rated_power_w > 0),
    idle_power_w           double precision CHECK (idle_power_w >= 0),
    data_interval_seconds  integer NOT NULL DEFAULT 30 CHECK (data_interval_seconds BETWEEN 2 AND 3600),
    mqtt_topic             text UNIQUE,
    source                 text NOT NULL DEFAULT 'none' CHECK (source IN
        ('prusalink','octoprint','moonraker','simplyprint','mqtt','none')),
    api_ip                 text,
    api_key                text,
    simplyprint_id         text,
    sp_company_id          text,
    sp_api_key             text,
    gcode_preview_host     text,
    gcode_preview_api_key  text,
    shelly_id              text,
    plant_type             text NOT NULL DEFAULT 'generic_plant' CHECK (plant_type IN
        ('generic_plant','corn','sunflower','tomato')),
    last_seen              timestamptz,
    is_active              boolean NOT NULL DEFAULT true,
    created_at             timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);

CREATE TABLE meters (
    meter_id      text PRIMARY KEY,
    protocol      text NOT NULL,
    energy_type   text NOT NULL DEFAULT 'electricity' CHECK (energy_type IN
        ('electricity','natural_gas','steam','compressed_air')),
    reading_kind  text NOT NULL DEFAULT 'counter' CHECK (reading_kind IN ('counter','interval','power_only')),
    unit          text NOT NULL DEFAULT 'Wh',
    wh_per_unit   double precision NOT NULL DEFAULT 1 CHECK (wh_per_unit > 0),
    max_power_w   double precision NOT NULL DEFAULT 3680 CHECK (max_power_w > 0),
    max_hold_s    double precision NOT NULL DEFAULT 120 CHECK (max_hold_s > 0),
    counter_step_wh double precision NOT NULL DEFAULT 1 CHECK (counter_step_wh > 0),
    slack_s       double precision NOT NULL DEFAULT 60 CHECK (slack_s >= 0),
    back_wh       double precision NOT NULL DEFAULT 2 CHECK (back_wh >= 0),
    near_wh       double precision NOT NULL DEFAULT 20 CHECK (near_wh >= 0),
    near_frac     double precision NOT NULL DEFAULT 0.1 CHECK (near_frac >= 0),
    reporting_interval_s double precision CHECK (reporting_interval_s > 0),
    first_seen    timestamptz,
    last_seen     timestamptz
) WITH (fillfactor = 50);

CREATE TABLE meter_assignments (
    assignment_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    meter_id      text NOT NULL REFERENCES meters ON DELETE CASCADE,
    device_id     text NOT NULL REFERENCES devices ON DELETE CASCADE,
    role          text NOT NULL DEFAULT 'main' CHECK (role IN ('main','sub')),
    valid_from    timestamptz NOT NULL,
    valid_to      timestamptz NOT NULL DEFAULT 'infinity',
    CHECK (valid_from < valid_to)
    -- never overlapping per meter: a trigger keeps it (functions/15_assignments.sql), because an exclusion
    -- constraint needs the extension btree_gist, which not every server has
);
CREATE INDEX meter_assignments_by_meter ON meter_assignments (meter_id, valid_from);
CREATE INDEX meter_assignments_by_device ON meter_assignments (device_id);

CREATE TABLE energy_tariffs (
    tariff_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    factory_id    uuid NOT NULL REFERENCES factories,
    energy_type   text NOT NULL DEFAULT 'electricity',
    name          text NOT NULL,
    priority      integer NOT NULL DEFAULT 0,
    price_per_kwh double precision NOT NULL,
    demand_price_per_kw double precision,
    currency      text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    valid_from    timestamptz NOT NULL DEFAULT '-infinity',
    valid_to      timestamptz NOT NULL DEFAULT 'infinity',
    weekdays      smallint[] NOT NULL DEFAULT '{1,2,3,4,5,6,7}',
    time_from     time NOT NULL DEFAULT '00:00',
    time_to       time NOT NULL DEFAULT '24:00',
    CHECK (valid_from < valid_to),
    CHECK (weekdays <@ '{1,2,3,4,5,6,7}' AND cardinality(weekdays) > 0),
    CHECK (mod(extract(epoch FROM time_from)::integer, 900) = 0 AND mod(extract(epoch FROM time_to)::integer, 900) = 0)
);

CREATE TABLE carbon_factors (
    factor_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    region        text NOT NULL,
    energy_type   text NOT NULL DEFAULT 'electricity',
    g_co2_per_kwh double precision NOT NULL CHECK (g_co2_per_kwh >= 0),
    valid_from    timestamptz NOT NULL DEFAULT '-infinity',
    hourly_profile double precision[] CHECK (hourly_profile IS NULL OR array_length(hourly_profile, 1) = 24),
    source        text NOT NULL,
    UNIQUE (region, energy_type, valid_from)
);

CREATE TABLE print_jobs (
    job_id             uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    device_id          text NOT NULL REFERENCES devices ON DELETE CASCADE,
    source_job_id      text,
    simplyprint_job_id text,
    filename           text,
    start_time         timestamptz NOT NULL,
    end_time           timestamptz,
    duration_seconds   double precision,
    paused_seconds     double precision NOT NULL DEFAULT 0,
    status             text NOT NULL DEFAULT 'printing' CHECK (status IN
        ('printing','paused','done','cancelled','error','unknown')),
    status_reason      text,
    progress_percent   double precision CHECK (progress_percent BETWEEN 0 AND 100),
    time_left_seconds  double precision,
    last_seen          timestamptz,
    filament_used_g    double precision,
    filament_used_mm   double precision,
    material           text,
    start_energy_wh    double precision,
    session_energy_wh  double precision,
    energy_quality     jsonb,
    energy_final       boolean NOT NULL DEFAULT false,
    cost               double precision,
    currency           text,
    co2_g              double precision,
    tariff_ids         bigint[],
    carbon_factor_ids  bigint[],
    gcode_analysis_data jsonb,
    gcode_status       text,
    thumbnail_url      text,
    preview_url        text,
    per_part_analysis  jsonb,
    nozzle_diameter    double precision,
    filament_diameter  double precision,
    dpp_pdf_url        text,
    download_ref       text,
    CHECK (end_time IS NULL OR end_time >= start_time),
    CHECK ((status IN ('printing','paused')) = (end_time IS NULL))
);
CREATE UNIQUE INDEX print_jobs_one_open ON print_jobs (device_id) WHERE end_time IS NULL;
CREATE UNIQUE INDEX print_jobs_identity ON print_jobs (device_id, start_time, coalesce(source_job_id, filename, ''));
CREATE INDEX print_jobs_by_end ON print_jobs (end_time DESC NULLS LAST);
CREATE INDEX print_jobs_by_device_end ON print_jobs (device_id, end_time DESC NULLS LAST);
CREATE INDEX print_jobs_not_final ON print_jobs (end_time) WHERE NOT energy_final;

-- Fixed-width columns first: no padding between them.
CREATE TABLE energy_data (
    timestamp       timestamptz NOT NULL,
    power_watts     double precision,
    energy_total_wh double precision,
    energy_delta_wh double precision,
    interval_start  timestamptz,
    base_wh         double precision,
    base_at         timestamptz,
    alt_wh          double precision,
    alt_at          timestamptz,
    voltage         real,
    current_amps    real,
    power_factor    real,
    frequency_hz    real,
    plug_temp_c     real,
    meter_id        text NOT NULL,
    device_id       text,
    quality         text,
    PRIMARY KEY (meter_id, timestamp)
);

CREATE TABLE printer_status (
    device_id         text NOT NULL,
    timestamp         timestamptz NOT NULL,
    state             text NOT NULL CHECK (state IN ('offline','idle','ready','heating','printing','paused',
                      'attention','finished','cancelled','error','unknown')),
    state_text        text,
    is_operational    boolean,
    is_printing       boolean,
    is_paused         boolean,
    is_error          boolean,
    is_busy           boolean,
    is_sd_ready       boolean,
    nozzle_temp_actual real,
    nozzle_temp_target real,
    bed_temp_actual   real,
    bed_temp_target   real,
    z_height_mm       real,
    speed_multiplier_percent real,
    fan_rpm           real,
    material          text,
    filename          text,
    source_job_id     text,
    progress_percent  real CHECK (progress_percent BETWEEN 0 AND 100),
    time_left_seconds double precision,
    PRIMARY KEY (device_id, timestamp)
);

CREATE TABLE environment_data (
    location_id   text NOT NULL,
    timestamp     timestamptz NOT NULL,
    device_id     text,
    temperature_c real,
    humidity_pct  real,
    pressure_hpa  real,
    source        text,
    PRIMARY KEY (location_id, timestamp)
);

CREATE TABLE smartplug_data (
    meter_id           text NOT NULL,
    timestamp          timestamptz NOT NULL,
    device_id          text,
    power_w            real,
    energy_total_kwh   double precision,
    voltage_v          real,
    current_a          real,
    power_factor       real,
    apparent_power_va  real,
    reactive_power_var real,
    PRIMARY KEY (meter_id, timestamp)
);

CREATE TABLE max6675_temperature_data (
    sensor_id     text NOT NULL,
    timestamp     timestamptz NOT NULL,
    device_id     text,
    temperature_c real NOT NULL,
    PRIMARY KEY (sensor_id, timestamp)
);

CREATE TABLE mpu6050_accelerometer_data (
    sensor_id     text NOT NULL,
    timestamp     timestamptz NOT NULL,
    device_id     text,
    accel_x_ms2   real,
    accel_y_ms2   real,
    accel_z_ms2   real,
    temperature_c real,
    PRIMARY KEY (sensor_id, timestamp)
);

CREATE TABLE mpu6050_gyroscope_data (
    sensor_id     text NOT NULL,
    timestamp     timestamptz NOT NULL,
    device_id     text,
    gyro_x_rads   real,
    gyro_y_rads   real,
    gyro_z_rads   real,
    PRIMARY KEY (sensor_id, timestamp)
);

CREATE TABLE ml_predictions (
    device_id             text NOT NULL,
    timestamp             timestamptz NOT NULL,
    predicted_power_watts double precision NOT NULL,
    model_version         text NOT NULL,
    PRIMARY KEY (device_id, timestamp)
);

-- What the last reading of every meter left behind; one row per meter, locked by each ingest in sorted order.
CREATE TABLE meter_state (
    meter_id        text PRIMARY KEY,
    last_at         timestamptz,
    last_counter_at timestamptz,
    last_power_watts double precision,
    last_power_at   timestamptz,
    base_wh         double precision,
    base_at         timestamptz,
    alt_wh          double precision,
    alt_at          timestamptz,
    clock_offset_s  double precision,
    clock_candidate_s double precision,
    clock_candidate_n integer NOT NULL DEFAULT 0,
    clock_candidate_at timestamptz,
    jumps_in_row    integer NOT NULL DEFAULT 0,
    dirty_from      timestamptz
) WITH (fillfactor = 40);

-- Late rows, imports and re-assignments mark the ranges whose rollups and jobs must be made again. Append only.
CREATE TABLE rollup_dirty (
    dirty_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    meter_id  text NOT NULL,
    from_ts   timestamptz NOT NULL,
    to_ts     timestamptz NOT NULL
);
CREATE INDEX rollup_dirty_by_meter ON rollup_dirty (meter_id);

CREATE TABLE device_latest (
    device_id         text PRIMARY KEY,
    status_at         timestamptz,
    state             text,
    state_text        text,
    state_since       timestamptz,
    nozzle_temp_actual real,
    nozzle_temp_target real,
    bed_temp_actual   real,
    bed_temp_target   real,
    z_height_mm       real,
    speed_multiplier_percent real,
    fan_rpm           real,
    material          text,
    filename          text,
    source_job_id     text,
    progress_percent  real,
    time_left_seconds double precision,
    last_error        text,
    last_error_at     timestamptz,
    power_watts       double precision,
    power_at          timestamptz,
    phases_dirty_from timestamptz
) WITH (fillfactor = 40);

CREATE TABLE ingest_rejects (
    reject_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    first_at   timestamptz NOT NULL DEFAULT now(),
    last_at    timestamptz NOT NULL DEFAULT now(),
    source     text NOT NULL,
    topic      text NOT NULL DEFAULT '',
    reason     text NOT NULL,
    payload    text,
    count      bigint NOT NULL DEFAULT 1
);
CREATE INDEX ingest_rejects_by_time ON ingest_rejects (last_at DESC);
CREATE UNIQUE INDEX ingest_rejects_flood ON ingest_rejects (source, topic, reason, (date_trunc('hour', first_at AT TIME ZONE 'UTC')));

CREATE TABLE audit_log (
    audit_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at       timestamptz NOT NULL DEFAULT now(),
    actor    text NOT NULL,
    action   text NOT NULL,
    object   text NOT NULL,
    before   jsonb,
    after    jsonb
);

-- Stored rollups; read them through the views energy_readings_1min … _1day, which add the newest, not yet stored minutes.
DO $$
DECLARE level text;
BEGIN
    FOREACH level IN ARRAY ARRAY['1min','15min','1hour','1day'] LOOP
        EXECUTE format('CREATE TABLE energy_rollup_%s (
            meter_id      text NOT NULL,
            bucket        timestamptz NOT NULL,
            device_id     text NOT NULL DEFAULT '''',
            energy_wh     double precision,
            avg_power_w   double precision,
            min_power_w   double precision,
            max_power_w   double precision,
            coverage_s    double precision NOT NULL,
            reading_count integer NOT NULL,
            PRIMARY KEY (meter_id, bucket, device_id))', level);
        EXECUTE format('CREATE INDEX ON energy_rollup_%s (device_id, bucket)', level);
    END LOOP;
END $$;

CREATE TABLE printer_phase_1hour (
    device_id  text NOT NULL,
    bucket     timestamptz NOT NULL,
    state      text NOT NULL,
    seconds    double precision NOT NULL,
    energy_wh  double precision,
    PRIMARY KEY (device_id, bucket, state)
);

CREATE TABLE settings (
    name    text PRIMARY KEY,
    value   text NOT NULL,
    comment text NOT NULL
);

-- What migrate.py applied: forward-only migrations and the checksum of the derived objects (functions, views, grants, seed).
CREATE TABLE IF NOT EXISTS schema_migrations (
    name       text PRIMARY KEY,
    checksum   text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);
