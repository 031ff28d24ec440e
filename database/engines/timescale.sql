-- Engine "timescale": time series become hypertables; older chunks are compressed by meter or device (when:
-- functions/95_settings.sql). Chunks are dropped by apply_retention(), not by a policy, because buckets must be frozen
-- first.
DO $$
DECLARE item record;
BEGIN
    FOR item IN SELECT * FROM (VALUES
        ('energy_data',                'timestamp', '7 days',   'meter_id'),
        ('printer_status',             'timestamp', '7 days',   'device_id'),
        ('environment_data',           'timestamp', '30 days',  'location_id'),
        ('smartplug_data',             'timestamp', '30 days',  'meter_id'),
        ('max6675_temperature_data',   'timestamp', '30 days',  'sensor_id'),
        ('mpu6050_accelerometer_data', 'timestamp', '30 days',  'sensor_id'),
        ('mpu6050_gyroscope_data',     'timestamp', '30 days',  'sensor_id'),
        ('ml_predictions',             'timestamp', '30 days',  'device_id'),
        ('energy_rollup_1min',         'bucket',    '30 days',  'meter_id'),
        ('energy_rollup_15min',        'bucket',    '180 days', 'meter_id'),
        ('energy_rollup_1hour',        'bucket',    '360 days', 'meter_id'),
        ('energy_rollup_1day',         'bucket',    '3600 days', NULL)
        ) AS t (name, time_column, chunk, segment)
    LOOP
        PERFORM create_hypertable(item.name::regclass, by_range(item.time_column, item.chunk::interval),
                                  create_default_indexes => false);
        IF item.segment IS NOT NULL THEN
            EXECUTE format('ALTER TABLE %I SET (timescaledb.compress, timescaledb.compress_segmentby = %L, '
                           'timescaledb.compress_orderby = %L)', item.name, item.segment,
                           item.time_column || CASE WHEN item.name LIKE 'energy_rollup%' THEN ', device_id' ELSE '' END);
        END IF;
    END LOOP;
END $$;
