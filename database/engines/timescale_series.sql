-- Engine "timescale": the series become hypertables; older chunks are compressed by meter or device (when:
-- functions/95_settings.sql). Chunks are dropped by apply_retention(), not by a policy, because buckets must be frozen
-- first.
DO $$
DECLARE item record;
BEGIN
    FOR item IN SELECT * FROM (VALUES
        ('energy',                'timestamp', '7 days',    'meter_key',             'timestamp'),
        ('phase',                 'timestamp', '7 days',    'meter_key, phase',      'timestamp'),
        ('device_status',         'timestamp', '7 days',    'device_key',            'timestamp'),
        ('environmental',         'timestamp', '30 days',   'location_key',          'timestamp'),
        ('production',            'timestamp', '30 days',   'device_key',            'timestamp'),
        ('signal',                'timestamp', '7 days',    'device_key, signal_id', 'timestamp'),
        ('smartplug',             'timestamp', '30 days',   'meter_key',             'timestamp'),
        ('max6675_temperature',   'timestamp', '30 days',   'sensor_key',            'timestamp'),
        ('mpu6050_accelerometer', 'timestamp', '30 days',   'sensor_key',            'timestamp'),
        ('mpu6050_gyroscope',     'timestamp', '30 days',   'sensor_key',            'timestamp'),
        ('prediction',            'timestamp', '30 days',   'device_key',            'timestamp'),
        ('energy_1min',           'bucket',    '30 days',   'meter_key',             'bucket, device_key'),
        ('energy_15min',          'bucket',    '180 days',  'meter_key',             'bucket, device_key'),
        ('energy_1hour',          'bucket',    '360 days',  'meter_key',             'bucket, device_key'),
        ('energy_1day',           'bucket',    '3600 days', NULL,                    NULL),
        ('signal_1min',           'bucket',    '30 days',   'device_key, signal_id', 'bucket'),
        ('signal_15min',          'bucket',    '180 days',  'device_key, signal_id', 'bucket'),
        ('signal_1hour',          'bucket',    '360 days',  'device_key, signal_id', 'bucket')
        ) AS t (name, time_column, chunk, segment, ordered)
    LOOP
        PERFORM create_hypertable(format('series.%I', item.name)::regclass, by_range(item.time_column, item.chunk::interval),
                                  create_default_indexes => false);
        IF item.segment IS NOT NULL THEN
            EXECUTE format('ALTER TABLE series.%I SET (timescaledb.compress, timescaledb.compress_segmentby = %L, '
                           'timescaledb.compress_orderby = %L)', item.name, item.segment, item.ordered);
        END IF;
    END LOOP;
END $$;
