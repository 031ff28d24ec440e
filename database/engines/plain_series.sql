-- Engine "plain": every series becomes a table partitioned by month (functions/03_partitions.sql makes the months), so
-- that retention is a drop. Rollups that are kept for ever stay whole.
DO $$
DECLARE item record;
BEGIN
    FOR item IN SELECT * FROM (VALUES
        ('energy', 'timestamp'), ('phase', 'timestamp'), ('device_status', 'timestamp'), ('environmental', 'timestamp'),
        ('production', 'timestamp'), ('signal', 'timestamp'), ('smartplug', 'timestamp'), ('max6675_temperature', 'timestamp'),
        ('mpu6050_accelerometer', 'timestamp'), ('mpu6050_gyroscope', 'timestamp'), ('prediction', 'timestamp'),
        ('energy_1min', 'bucket'), ('signal_1min', 'bucket')) AS t (name, time_column)
    LOOP
        EXECUTE format('ALTER TABLE series.%I RENAME TO whole', item.name);
        EXECUTE format('CREATE TABLE series.%I (LIKE series.whole INCLUDING ALL) PARTITION BY RANGE (%I)', item.name, item.time_column);
        DROP TABLE series.whole;
    END LOOP;
END $$;
