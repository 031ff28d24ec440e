-- Nothing else runs meanwhile, and the registry is small: rules that spare a running system don't apply.
-- squawk-ignore-file constraint-missing-not-valid, adding-foreign-key-constraint, adding-field-with-default, disallowed-unique-constraint, ban-drop-constraint, ban-set-schema
-- The data model of a plant: factories with a default, kinds, sources, states, energy types and currencies as rows,
-- and the time series under small integer keys in a schema of their own. The tables of 0.1.0 move to the schema
-- `before`; database/series_copy.py copies their rows afterwards, piece by piece, and removes them when all sums agree.

-- Registries ---------------------------------------------------------------------------------------------------------

CREATE TABLE currencies (
    currency text PRIMARY KEY CHECK (currency ~ '^[A-Z]{3}$')
);
INSERT INTO currencies SELECT regexp_split_to_table('AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD
BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL
GHS GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP
LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR
PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD
TZS UAH UGX USD UYU UZS VED VES VND VUV WST XAF XCD XCG XOF XPF YER ZAR ZMW ZWG', '\s+');

CREATE TABLE device_kinds (
    device_kind text PRIMARY KEY CHECK (device_kind ~ '^[a-z][a-z0-9_]{0,40}$'),
    name        text NOT NULL,
    has_jobs    boolean NOT NULL DEFAULT false,
    sort        integer NOT NULL DEFAULT 100
);
INSERT INTO device_kinds (device_kind, name, has_jobs, sort) VALUES
    ('printer', '3D printer', true, 10), ('compressor', 'Compressor', false, 20), ('hvac', 'Heating, ventilation, cooling', false, 30),
    ('motor', 'Motor', false, 40), ('pump', 'Pump', false, 50), ('injection_molding', 'Injection moulding', false, 60),
    ('conveyor', 'Conveyor', false, 70), ('boiler', 'Boiler', false, 80), ('other', 'Other', false, 1000);

CREATE TABLE sources (
    source   text PRIMARY KEY CHECK (source ~ '^[a-z][a-z0-9_]{0,40}$'),
    name     text NOT NULL,
    polled   boolean NOT NULL,
    sort     integer NOT NULL DEFAULT 100
);
INSERT INTO sources (source, name, polled, sort) VALUES
    ('prusalink', 'PrusaLink', true, 10), ('octoprint', 'OctoPrint', true, 20), ('moonraker', 'Moonraker (Klipper)', true, 30),
    ('simplyprint', 'SimplyPrint', true, 40), ('mqtt', 'MQTT', false, 50), ('none', 'None', false, 1000);

CREATE TABLE energy_types (
    energy_type text PRIMARY KEY CHECK (energy_type ~ '^[a-z][a-z0-9_]{0,40}$'),
    name        text NOT NULL,
    unit        text NOT NULL,
    wh_per_unit double precision NOT NULL CHECK (wh_per_unit > 0),
    sort        integer NOT NULL DEFAULT 100
);
-- Compressed air has no energy of its own by nature: 100 Wh/Nm3 is what a usual 7-bar compressor takes to make it.
-- 10.55 kWh a cubic metre is the upper heating value of a usual natural gas, 2.26 MJ/kg the heat of vaporisation.
INSERT INTO energy_types (energy_type, name, unit, wh_per_unit, sort) VALUES
    ('electricity', 'Electricity', 'kWh', 1000, 10), ('natural_gas', 'Natural gas', 'm3', 10550, 20),
    ('steam', 'Steam', 'kg', 628, 30), ('compressed_air', 'Compressed air', 'Nm3', 100, 40);

-- What a state means for everybody: productive, ready, down or off; NULL is not known.
CREATE TABLE states (
    state_key smallint PRIMARY KEY,
    state     text NOT NULL UNIQUE CHECK (state ~ '^[a-z][a-z0-9_]{0,40}$'),
    name      text NOT NULL,
    class     text CHECK (class IN ('productive', 'ready', 'down', 'off')),
    phase     text NOT NULL DEFAULT 'Active'
);
INSERT INTO states (state_key, state, name, class, phase) VALUES
    (0, 'offline', 'Offline', 'off', 'No data'), (1, 'idle', 'Idle', 'ready', 'Idle'), (2, 'ready', 'Ready', 'ready', 'Idle'),
    (3, 'heating', 'Heating', 'productive', 'Heating'), (4, 'printing', 'Printing', 'productive', 'Printing'),
    (5, 'paused', 'Paused', 'ready', 'Paused'), (6, 'attention', 'Needs attention', 'down', 'Paused'),
    (7, 'finished', 'Finished', 'ready', 'Idle'), (8, 'cancelled', 'Cancelled', 'ready', 'Idle'), (9, 'error', 'Error', 'down', 'Active'),
    (10, 'unknown', 'Unknown', NULL, 'No data'), (11, 'no_data', 'No data', NULL, 'No data'), (12, 'running', 'Running', 'productive', 'Active'),
    (13, 'standby', 'Standby', 'ready', 'Idle'), (14, 'setup', 'Set-up', 'ready', 'Active'),
    (15, 'maintenance', 'Maintenance', 'down', 'Idle'), (16, 'fault', 'Fault', 'down', 'Active');

ALTER TABLE factories
    ADD COLUMN is_default boolean NOT NULL DEFAULT false,
    ADD COLUMN adopt_by_itself boolean NOT NULL DEFAULT false;
CREATE UNIQUE INDEX factories_one_default ON factories (is_default) WHERE is_default;
UPDATE factories SET is_default = true WHERE slug = (SELECT min(slug) FROM factories);
-- A code of 0.1.0 that is no currency today stays usable.
INSERT INTO currencies SELECT currency FROM factories UNION SELECT currency FROM energy_tariffs ON CONFLICT DO NOTHING;
ALTER TABLE factories ADD CONSTRAINT factories_currency_fkey FOREIGN KEY (currency) REFERENCES currencies;
ALTER TABLE energy_tariffs ADD CONSTRAINT energy_tariffs_currency_fkey FOREIGN KEY (currency) REFERENCES currencies;

ALTER TABLE devices
    ADD COLUMN device_key integer GENERATED ALWAYS AS IDENTITY,
    ADD CONSTRAINT devices_device_key_key UNIQUE (device_key),
    DROP CONSTRAINT devices_device_type_check,
    DROP CONSTRAINT devices_source_check,
    DROP CONSTRAINT devices_data_interval_seconds_check,
    ADD CONSTRAINT devices_device_type_fkey FOREIGN KEY (device_type) REFERENCES device_kinds,
    ADD CONSTRAINT devices_source_fkey FOREIGN KEY (source) REFERENCES sources,
    ADD CONSTRAINT devices_data_interval_seconds_check CHECK (data_interval_seconds BETWEEN 1 AND 3600);

ALTER TABLE meters
    ADD COLUMN meter_key integer GENERATED ALWAYS AS IDENTITY,
    ADD COLUMN direction text NOT NULL DEFAULT 'import' CHECK (direction IN ('import', 'export')),
    ADD COLUMN phases smallint CHECK (phases BETWEEN 1 AND 3),
    ADD COLUMN interval_s double precision CHECK (interval_s > 0 AND interval_s <= 31 * 86400),
    ADD COLUMN ct_factor double precision NOT NULL DEFAULT 1 CHECK (ct_factor > 0),
    ADD COLUMN changes_until timestamptz NOT NULL DEFAULT '-infinity',
    ADD CONSTRAINT meters_meter_key_key UNIQUE (meter_key),
    DROP CONSTRAINT meters_energy_type_check,
    DROP CONSTRAINT meters_reading_kind_check,
    ADD CONSTRAINT meters_energy_type_fkey FOREIGN KEY (energy_type) REFERENCES energy_types,
    ADD CONSTRAINT meters_reading_kind_check CHECK (reading_kind IN ('counter', 'interval', 'power_only', 'virtual'));

-- Main, dryer and accessory meters together are the energy of a device; a sub meter measures a part of it.
ALTER TABLE meter_assignments
    DROP CONSTRAINT meter_assignments_role_check,
    ADD CONSTRAINT meter_assignments_role_check CHECK (role IN ('main', 'dryer', 'accessory', 'sub')),
    ADD COLUMN adds boolean GENERATED ALWAYS AS (role <> 'sub') STORED,
    ADD COLUMN counts_to_job boolean NOT NULL DEFAULT true;

-- A virtual meter is Σ factor × part: 1 and 1 a sum, 1 and −1 a difference, 0.3 a share.
CREATE TABLE virtual_meter_parts (
    meter_id text NOT NULL REFERENCES meters ON DELETE CASCADE,
    part_id  text NOT NULL REFERENCES meters,
    factor   double precision NOT NULL CHECK (factor <> 0),
    PRIMARY KEY (meter_id, part_id),
    CHECK (meter_id <> part_id)
);
CREATE INDEX virtual_meter_parts_by_part ON virtual_meter_parts (part_id);

-- The counter of a metering point was exchanged: the old one ended at old_end_wh, the new one began at new_start_wh.
CREATE TABLE meter_replacements (
    meter_id     text NOT NULL REFERENCES meters ON DELETE CASCADE,
    replaced_at  timestamptz NOT NULL,
    old_end_wh   double precision CHECK (old_end_wh >= 0),
    new_start_wh double precision NOT NULL DEFAULT 0 CHECK (new_start_wh >= 0),
    actor        text NOT NULL,
    PRIMARY KEY (meter_id, replaced_at)
);

-- The ratio of a meter's current transformers by date: what the meter tells times this is what flows.
CREATE TABLE meter_factors (
    meter_id   text NOT NULL REFERENCES meters ON DELETE CASCADE,
    valid_from timestamptz NOT NULL,
    factor     double precision NOT NULL CHECK (factor > 0),
    actor      text NOT NULL,
    PRIMARY KEY (meter_id, valid_from)
);

-- A span whose readings do not count (energy_wh NULL) or are replaced by a known energy. The raw rows stay.
CREATE TABLE meter_corrections (
    correction_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    meter_id      text NOT NULL REFERENCES meters ON DELETE CASCADE,
    from_ts       timestamptz NOT NULL,
    to_ts         timestamptz NOT NULL,
    energy_wh     double precision CHECK (energy_wh >= 0),
    reason        text NOT NULL CHECK (btrim(reason) <> ''),
    actor         text NOT NULL,
    made_at       timestamptz NOT NULL DEFAULT now(),
    withdrawn_at  timestamptz,
    CHECK (from_ts < to_ts)
);
CREATE INDEX meter_corrections_by_meter ON meter_corrections (meter_id) WHERE withdrawn_at IS NULL;

CREATE TABLE locations (
    location_key integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    location_id  text NOT NULL UNIQUE
);
CREATE TABLE sensors (
    sensor_key integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    sensor_id  text NOT NULL UNIQUE
);
-- What a device tells besides the named quantities; at most 200 of a device.
CREATE TABLE signals (
    device_id text NOT NULL REFERENCES devices ON DELETE CASCADE,
    signal_id smallint NOT NULL CHECK (signal_id BETWEEN 1 AND 200),
    name      text NOT NULL CHECK (name ~ '^[A-Za-z][A-Za-z0-9_.:-]{0,62}$'),
    unit      text,
    PRIMARY KEY (device_id, signal_id),
    UNIQUE (device_id, name)
);

-- Small tables that the series bring along ---------------------------------------------------------------------------

-- Marks of step 86400 ask only for the days: they follow when a zone changes.
ALTER TABLE rollup_dirty ADD COLUMN step integer NOT NULL DEFAULT 60 CHECK (step IN (60, 86400));
CREATE TABLE signal_dirty (
    dirty_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    device_id text NOT NULL,
    signal_id smallint NOT NULL,
    from_ts   timestamptz NOT NULL,
    to_ts     timestamptz NOT NULL
);

-- The series ---------------------------------------------------------------------------------------------------------
-- Fixed-width columns first, the widest first: no padding between them.

CREATE SCHEMA before;
CREATE SCHEMA series;

ALTER TABLE energy_data SET SCHEMA before;
ALTER TABLE printer_status SET SCHEMA before;
ALTER TABLE environment_data SET SCHEMA before;
ALTER TABLE smartplug_data SET SCHEMA before;
ALTER TABLE max6675_temperature_data SET SCHEMA before;
ALTER TABLE mpu6050_accelerometer_data SET SCHEMA before;
ALTER TABLE mpu6050_gyroscope_data SET SCHEMA before;
ALTER TABLE ml_predictions SET SCHEMA before;
ALTER TABLE energy_rollup_1min SET SCHEMA before;
ALTER TABLE energy_rollup_15min SET SCHEMA before;
ALTER TABLE energy_rollup_1hour SET SCHEMA before;
ALTER TABLE energy_rollup_1day SET SCHEMA before;
ALTER TABLE printer_phase_1hour SET SCHEMA before;

-- The device of a reading is that of its meter at that time (meter_assignments): a meter that moves changes no row.
CREATE TABLE series.energy (
    timestamp       timestamptz NOT NULL,
    power_watts     double precision,
    reading_wh      double precision,
    energy_delta_wh double precision,
    interval_start  timestamptz,
    base_wh         double precision,
    base_at         timestamptz,
    alt_wh          double precision,
    alt_at          timestamptz,
    device_time     timestamptz,
    meter_key       integer NOT NULL,
    interval_s      real,
    voltage         real,
    current_amps    real,
    power_factor    real,
    frequency_hz    real,
    plug_temp_c     real,
    quality         text,
    PRIMARY KEY (meter_key, timestamp)
);
-- Only readings whose device's clock is wrong have a device_time of their own.
CREATE INDEX energy_by_device_time ON series.energy (meter_key, device_time) WHERE device_time IS NOT NULL;

CREATE TABLE series.phase (
    timestamp    timestamptz NOT NULL,
    meter_key    integer NOT NULL,
    phase        smallint NOT NULL,
    power_watts  real,
    voltage      real,
    current_amps real,
    power_factor real,
    PRIMARY KEY (meter_key, timestamp, phase)
);

CREATE TABLE series.device_status (
    timestamp         timestamptz NOT NULL,
    time_left_seconds double precision,
    device_key        integer NOT NULL,
    nozzle_temp_actual real,
    nozzle_temp_target real,
    bed_temp_actual   real,
    bed_temp_target   real,
    z_height_mm       real,
    speed_multiplier_percent real,
    fan_rpm           real,
    progress_percent  real CHECK (progress_percent BETWEEN 0 AND 100),
    state_key         smallint NOT NULL,
    is_operational    boolean,
    is_printing       boolean,
    is_paused         boolean,
    is_error          boolean,
    is_busy           boolean,
    is_sd_ready       boolean,
    state_text        text,
    material          text,
    filename          text,
    source_job_id     text,
    PRIMARY KEY (device_key, timestamp)
);

CREATE TABLE series.environmental (
    timestamp         timestamptz NOT NULL,
    location_key      integer NOT NULL,
    device_key        integer,
    indoor_temp_c     real,
    outdoor_temp_c    real,
    machine_temp_c    real,
    humidity_percent  real,
    outdoor_humidity_percent real,
    pressure_hpa      real,
    pressure_bar      real,
    pressure_setpoint_bar real,
    flow_rate_m3h     real,
    supply_air_temp_c real,
    return_air_temp_c real,
    chilled_water_supply_temp_c real,
    chilled_water_return_temp_c real,
    cop               real,
    vibration_mm_s    real,
    moisture_percent  real,
    source            text,
    PRIMARY KEY (location_key, timestamp)
);

-- *_told is what the machine told (counts of the interval, or counters); the others are of the interval.
CREATE TABLE series.production (
    timestamp      timestamptz NOT NULL,
    interval_start timestamptz,
    device_time    timestamptz,
    production_count      double precision,
    production_count_good double precision,
    production_count_bad  double precision,
    count_told     double precision,
    good_told      double precision,
    bad_told       double precision,
    device_key     integer NOT NULL,
    interval_s     real,
    throughput_units_per_hour real,
    speed_percent  real,
    is_counter     boolean NOT NULL,
    operating_mode text,
    product_id     text,
    batch_id       text,
    unit           text,
    quality        text,
    PRIMARY KEY (device_key, timestamp)
);

CREATE TABLE series.signal (
    timestamp  timestamptz NOT NULL,
    device_key integer NOT NULL,
    value      real NOT NULL,
    signal_id  smallint NOT NULL,
    PRIMARY KEY (device_key, signal_id, timestamp)
);

CREATE TABLE series.smartplug (
    timestamp          timestamptz NOT NULL,
    energy_total_kwh   double precision,
    meter_key          integer NOT NULL,
    device_key         integer,
    power_w            real,
    voltage_v          real,
    current_a          real,
    power_factor       real,
    apparent_power_va  real,
    reactive_power_var real,
    PRIMARY KEY (meter_key, timestamp)
);

CREATE TABLE series.max6675_temperature (
    timestamp     timestamptz NOT NULL,
    sensor_key    integer NOT NULL,
    device_key    integer,
    temperature_c real NOT NULL,
    PRIMARY KEY (sensor_key, timestamp)
);

CREATE TABLE series.mpu6050_accelerometer (
    timestamp     timestamptz NOT NULL,
    sensor_key    integer NOT NULL,
    device_key    integer,
    accel_x_ms2   real,
    accel_y_ms2   real,
    accel_z_ms2   real,
    temperature_c real,
    PRIMARY KEY (sensor_key, timestamp)
);

CREATE TABLE series.mpu6050_gyroscope (
    timestamp   timestamptz NOT NULL,
    sensor_key  integer NOT NULL,
    device_key  integer,
    gyro_x_rads real,
    gyro_y_rads real,
    gyro_z_rads real,
    PRIMARY KEY (sensor_key, timestamp)
);

CREATE TABLE series.prediction (
    timestamp             timestamptz NOT NULL,
    predicted_power_watts double precision NOT NULL,
    device_key            integer NOT NULL,
    model_version         text NOT NULL,
    PRIMARY KEY (device_key, timestamp)
);

-- Stored rollups; read them through the views energy_readings_1min … _1day, which add the newest, not yet stored minutes.
-- device_key 0: the meter had no device.
DO $$
DECLARE level text;
BEGIN
    FOREACH level IN ARRAY ARRAY['1min','15min','1hour','1day'] LOOP
        EXECUTE format('CREATE TABLE series.energy_%s (
            bucket        timestamptz NOT NULL,
            energy_wh     double precision,
            avg_power_w   double precision,
            min_power_w   double precision,
            max_power_w   double precision,
            coverage_s    double precision NOT NULL,
            meter_key     integer NOT NULL,
            device_key    integer NOT NULL DEFAULT 0,
            reading_count integer NOT NULL,
            PRIMARY KEY (meter_key, bucket, device_key))', level);
        EXECUTE format('CREATE INDEX energy_%1$s_by_device ON series.energy_%1$s (device_key, bucket)', level);
        EXECUTE format('CREATE TABLE series.signal_%s (
            bucket        timestamptz NOT NULL,
            avg_value     double precision NOT NULL,
            coverage_s    double precision NOT NULL,
            device_key    integer NOT NULL,
            min_value     real NOT NULL,
            max_value     real NOT NULL,
            reading_count integer NOT NULL,
            signal_id     smallint NOT NULL,
            PRIMARY KEY (device_key, signal_id, bucket))', level);
    END LOOP;
END $$;

CREATE TABLE series.device_state_1hour (
    bucket     timestamptz NOT NULL,
    seconds    double precision NOT NULL,
    energy_wh  double precision,
    device_key integer NOT NULL,
    state_key  smallint NOT NULL,
    PRIMARY KEY (device_key, bucket, state_key)
);

-- How far the rows of 0.1.0 were copied: the last key of each table of which all rows are in the series.
CREATE TABLE before.copied (
    table_name text NOT NULL,
    key        text NOT NULL,
    rows       bigint NOT NULL,
    PRIMARY KEY (table_name, key)
);
