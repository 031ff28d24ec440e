-- What people and dashboards read: stored rollups where they are current; new and changed buckets are computed on
-- reading.
DO $$
DECLARE
    level record;
BEGIN
    FOR level IN SELECT * FROM rollup_levels() LOOP
        EXECUTE format('CREATE VIEW energy_readings_%1$s AS
            SELECT r.bucket, nullif(r.device_id, %3$L) AS device_id, d.machine_id, r.meter_id, m.energy_type, r.energy_wh,
                   r.energy_wh / 1000 AS total_energy_kwh, r.avg_power_w, r.min_power_w, r.max_power_w,
                   r.avg_power_w / 1000 AS avg_power_kw, r.max_power_w / 1000 AS max_power_kw, r.coverage_s, r.reading_count
            FROM (SELECT * FROM energy_rollup_%1$s s
                  WHERE NOT EXISTS (SELECT 1 FROM rollup_spans(%2$s) w WHERE w.meter_id = s.meter_id AND s.bucket >= w.t0 AND s.bucket < w.t1)
                  UNION ALL
                  SELECT * FROM tail_%1$s()) r
            JOIN meters m ON m.meter_id = r.meter_id LEFT JOIN devices d ON d.device_id = r.device_id', level.name, level.step, '');
    END LOOP;
END $$;
