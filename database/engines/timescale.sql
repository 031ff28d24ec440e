-- Engine "timescale": time series become hypertables; older chunks are compressed by meter or device.
-- Chunks are dropped by apply_retention(), not by a policy, because buckets must be frozen first.
DO $$
DECLARE item record;
BEGIN
    FOR item IN SELECT * FROM (VALUES
        ('energy_data',                'timestamp', '7 days',   'meter_id',    '14 days'),
        ('printer_status',             'timestamp', '7 days',   'device_id',   '14 days'),
        ('environment_data',           'timestamp', '30 days',  'location_id', '60 days'),
        ('smartplug_data',             'timestamp', '30 days',  'meter_id',    '60 days'),
        ('max6675_temperature_data',   'timestamp', '30 days',  'sensor_id',   '60 days'),
        ('mpu6050_accelerometer_data', 'timestamp', '30 days',  'sensor_id',   '60 days'),
        ('mpu6050_gyroscope_data',     'timestamp', '30 days',  'sensor_id',   '60 days'),
        ('ml_predictions',             'timestamp', '30 days',  'device_id',   '60 days'),
        ('energy_rollup_1min',         'bucket',    '30 days',  'meter_id',    '60 days'),
        ('energy_rollup_15min',        'bucket',    '180 days', 'meter_id',    '360 days'),
        ('energy_rollup_1hour',        'bucket',    '360 days', 'meter_id',    '720 days'),
        ('energy_rollup_1day',         'bucket',    '3600 days', NULL,         NULL)
        ) AS t (name, time_column, chunk, segment, compress_after)
    LOOP
        PERFORM create_hypertable(item.name::regclass, by_range(item.time_column, item.chunk::interval),
                                  create_default_indexes => false);
        IF item.segment IS NOT NULL THEN
            EXECUTE format('ALTER TABLE %I SET (timescaledb.compress, timescaledb.compress_segmentby = %L, '
                           'timescaledb.compress_orderby = %L)', item.name, item.segment,
                           item.time_column || CASE WHEN item.name LIKE 'energy_rollup%' THEN ', device_id' ELSE '' END);
            PERFORM add_compression_policy(item.name::regclass, item.compress_after::interval);
        END IF;
    END LOOP;
END $$;
