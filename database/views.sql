-- What people and dashboards read: stored rollups where they are current, the newest and the changed made on reading.

CREATE VIEW energy_readings_1min AS
SELECT r.bucket, nullif(r.device_id, '') AS device_id, d.machine_id, r.meter_id, m.energy_type, r.energy_wh,
       r.energy_wh / 1000 AS total_energy_kwh, r.avg_power_w, r.min_power_w, r.max_power_w,
       r.avg_power_w / 1000 AS avg_power_kw, r.max_power_w / 1000 AS max_power_kw, r.coverage_s, r.reading_count
FROM (SELECT * FROM energy_rollup_1min s
      WHERE NOT EXISTS (SELECT 1 FROM rollup_spans(60) w WHERE w.meter_id = s.meter_id AND s.bucket >= w.t0 AND s.bucket < w.t1)
      UNION ALL
      SELECT * FROM tail_1min()) r
JOIN meters m ON m.meter_id = r.meter_id LEFT JOIN devices d ON d.device_id = r.device_id;

CREATE VIEW energy_readings_15min AS
SELECT r.bucket, nullif(r.device_id, '') AS device_id, d.machine_id, r.meter_id, m.energy_type, r.energy_wh,
       r.energy_wh / 1000 AS total_energy_kwh, r.avg_power_w, r.min_power_w, r.max_power_w,
       r.avg_power_w / 1000 AS avg_power_kw, r.max_power_w / 1000 AS max_power_kw, r.coverage_s, r.reading_count
FROM (SELECT * FROM energy_rollup_15min s
      WHERE NOT EXISTS (SELECT 1 FROM rollup_spans(900) w WHERE w.meter_id = s.meter_id AND s.bucket >= w.t0 AND s.bucket < w.t1)
      UNION ALL
      SELECT * FROM tail_15min()) r
JOIN meters m ON m.meter_id = r.meter_id LEFT JOIN devices d ON d.device_id = r.device_id;

CREATE VIEW energy_readings_1hour AS
SELECT r.bucket, nullif(r.device_id, '') AS device_id, d.machine_id, r.meter_id, m.energy_type, r.energy_wh,
       r.energy_wh / 1000 AS total_energy_kwh, r.avg_power_w, r.min_power_w, r.max_power_w,
       r.avg_power_w / 1000 AS avg_power_kw, r.max_power_w / 1000 AS max_power_kw, r.coverage_s, r.reading_count
FROM (SELECT * FROM energy_rollup_1hour s
      WHERE NOT EXISTS (SELECT 1 FROM rollup_spans(3600) w WHERE w.meter_id = s.meter_id AND s.bucket >= w.t0 AND s.bucket < w.t1)
      UNION ALL
      SELECT * FROM tail_1hour()) r
JOIN meters m ON m.meter_id = r.meter_id LEFT JOIN devices d ON d.device_id = r.device_id;

CREATE VIEW energy_readings_1day AS
SELECT r.bucket, nullif(r.device_id, '') AS device_id, d.machine_id, r.meter_id, m.energy_type, r.energy_wh,
       r.energy_wh / 1000 AS total_energy_kwh, r.avg_power_w, r.min_power_w, r.max_power_w,
       r.avg_power_w / 1000 AS avg_power_kw, r.max_power_w / 1000 AS max_power_kw, r.coverage_s, r.reading_count
FROM (SELECT * FROM energy_rollup_1day s
      WHERE NOT EXISTS (SELECT 1 FROM rollup_day_spans() w WHERE w.meter_id = s.meter_id AND s.bucket >= w.t0 AND s.bucket < w.t1)
      UNION ALL
      SELECT * FROM tail_1day()) r
JOIN meters m ON m.meter_id = r.meter_id LEFT JOIN devices d ON d.device_id = r.device_id;

