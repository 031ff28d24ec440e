-- What charts read. The source depends on the range: the readings themselves, then the rollups of a minute, a quarter,
-- an hour, a day.

CREATE FUNCTION series_step(p_from timestamptz, p_to timestamptz, p_series bigint DEFAULT 1, p_rows integer DEFAULT 20000) RETURNS integer
LANGUAGE sql IMMUTABLE AS $$
    -- coarser where many series would need more rows than a chart can show in time
    SELECT CASE WHEN s.seconds < 6 * 3600 AND s.seconds / 10 * s.n <= p_rows THEN 0
                WHEN s.seconds <= 25 * 3600 AND s.seconds / 60 * s.n <= p_rows THEN 60
                WHEN s.seconds <= 8 * 86400 AND s.seconds / 900 * s.n <= p_rows THEN 900
                WHEN s.seconds <= 45 * 86400 AND s.seconds / 3600 * s.n <= p_rows THEN 3600
                ELSE 86400 END
    FROM (SELECT extract(epoch FROM p_to - p_from)::float8 AS seconds, greatest(p_series, 1) AS n) s
$$;
COMMENT ON FUNCTION series_step(timestamptz, timestamptz, bigint, integer) IS
    'Seconds of a bucket that suit a chart of that range over that many series, reading at most about p_rows rows: 0 '
    '(the readings, below 6 hours), 60, 900, 3600 or 86400 (a day of the factory).';

CREATE FUNCTION bar_step(p_from timestamptz, p_to timestamptz) RETURNS integer LANGUAGE sql IMMUTABLE AS
$$ SELECT CASE WHEN p_to - p_from <= interval '3 days' THEN 3600 ELSE 86400 END $$;
COMMENT ON FUNCTION bar_step(timestamptz, timestamptz) IS
    'Seconds of one bar of a bar chart of that range: an hour up to three days, otherwise a day of the factory.';

CREATE FUNCTION buckets_between(p_from timestamptz, p_to timestamptz, p_step integer, p_zone text) RETURNS TABLE (t0 timestamptz, t1 timestamptz)
LANGUAGE sql STABLE AS $$
    SELECT b, b + make_interval(secs => p_step) FROM generate_series(ceil_to(p_step, p_from), p_to - interval '1 microsecond', make_interval(secs => p_step)) b
    WHERE p_step < 86400
    UNION ALL
    SELECT d AT TIME ZONE p_zone, (d + interval '1 day') AT TIME ZONE p_zone
    FROM generate_series(date_trunc('day', p_from AT TIME ZONE p_zone), p_to AT TIME ZONE p_zone, interval '1 day') d
    WHERE p_step = 86400 AND d AT TIME ZONE p_zone >= p_from AND d AT TIME ZONE p_zone < p_to
$$;
COMMENT ON FUNCTION buckets_between(timestamptz, timestamptz, integer, text) IS
    'The buckets of that many seconds that begin in [from, to), UTC-aligned; 86400 stands for a day of the zone '
    '(23 to 25 hours).';

-- Buckets are the stored ones: the newest minute appears within a minute, when Housekeeping has rolled it up.
CREATE FUNCTION energy_series(p_devices text[], p_energy_type text, p_from timestamptz, p_to timestamptz, p_step integer, p_together boolean DEFAULT false)
RETURNS TABLE ("time" timestamptz, device_id text, energy_wh double precision, avg_power_w double precision, min_power_w double precision,
               max_power_w double precision, coverage_s double precision) LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    v_level text;
BEGIN
    -- Readings of several meters come at different times: minutes are the finest that can be added.
    IF p_step = 0 AND NOT p_together
       AND NOT EXISTS (SELECT 1 FROM meter_assignments a JOIN meters m USING (meter_id)
                       WHERE a.device_id = ANY (p_devices) AND a.adds AND m.energy_type = p_energy_type AND m.direction = 'import' AND a.valid_from < p_to AND a.valid_to > p_from
                       -- a virtual meter has no readings, only the minutes of its parts
                       GROUP BY a.device_id HAVING count(DISTINCT a.meter_id) > 1 OR bool_or(m.reading_kind = 'virtual')) THEN
        RETURN QUERY
        WITH r AS (
            SELECT e.timestamp, a.device_id, e.energy_delta_wh, has_flag(e.quality, 'gap') AS is_gap,
                   -- a reading without power gets the mean that its energy implies
                   coalesce(e.power_watts, e.energy_delta_wh * 3600 / nullif(extract(epoch FROM e.timestamp - e.interval_start)::float8, 0)) AS watts
            FROM meter_assignments a JOIN meters m ON m.meter_id = a.meter_id AND m.energy_type = p_energy_type AND m.direction = 'import'
            JOIN series.energy e ON e.meter_key = m.meter_key AND e.timestamp >= greatest(a.valid_from, p_from) AND e.timestamp < least(a.valid_to, p_to)
            WHERE a.device_id = ANY (p_devices) AND a.adds
        )
        SELECT r.timestamp, r.device_id, r.energy_delta_wh, r.watts, r.watts, r.watts, NULL::float8 FROM r
        UNION ALL   -- a line must not cross a gap
        SELECT r.timestamp - interval '1 millisecond', r.device_id, NULL, NULL, NULL, NULL, NULL FROM r WHERE r.is_gap;
        RETURN;
    END IF;
    v_level := CASE p_step WHEN 0 THEN '1min' WHEN 60 THEN '1min' WHEN 900 THEN '15min' WHEN 3600 THEN '1hour' WHEN 86400 THEN '1day' END;
    IF v_level IS NULL THEN
        PERFORM bad_input(format('There are no rollups of %s seconds: 0, 60, 900, 3600 and 86400 are known.', p_step));
    END IF;
    RETURN QUERY EXECUTE format($sql$
        WITH main AS MATERIALIZED (
            SELECT m.meter_key, d.device_key, a.device_id, range_agg(tstzrange(a.valid_from, a.valid_to)) AS spans,
                   range_agg(tstzrange(a.valid_from, a.valid_to)) @> tstzrange($3, $4) AS always
            FROM meter_assignments a JOIN meters m USING (meter_id) JOIN devices d USING (device_id)
            WHERE a.device_id = ANY ($1) AND a.adds AND m.energy_type = $2 AND m.direction = 'import' GROUP BY m.meter_key, d.device_key, a.device_id
        ), r AS (
            SELECT v.bucket, %1$s AS device_id, sum(v.energy_wh) AS wh, count(*) AS meters,
                   -- a device of which one meter is unknown is unknown; a fleet is the sum of those that are known
                   CASE WHEN $6 OR bool_and(v.avg_power_w IS NOT NULL) THEN sum(v.avg_power_w) END AS avg_w,
                   min(v.min_power_w) AS min_w, max(v.max_power_w) AS max_w, min(v.coverage_s) AS covered
            FROM main JOIN series.energy_%2$s v ON v.meter_key = main.meter_key AND v.device_key = main.device_key
            WHERE v.bucket >= $3 AND v.bucket < $4 AND (main.always OR main.spans && tstzrange(v.bucket, v.bucket + make_interval(secs => $5)))
            GROUP BY 1, 2
        ), known AS MATERIALIZED (
            SELECT r.*, lead(r.bucket) OVER (PARTITION BY r.device_id ORDER BY r.bucket) AS next_bucket FROM r
        )
        -- the lowest and highest power of a sum are not the sums of the lowest and highest power
        SELECT k.bucket, k.device_id, k.wh, k.avg_w, CASE WHEN k.meters = 1 THEN k.min_w END, CASE WHEN k.meters = 1 THEN k.max_w END, k.covered FROM known k
        UNION ALL
        SELECT k.bucket + make_interval(secs => $5), k.device_id, NULL, NULL, NULL, NULL, NULL FROM known k
        WHERE k.next_bucket > k.bucket + make_interval(secs => 1.1 * $5)    -- a day may have 25 hours
        $sql$, CASE WHEN p_together THEN 'NULL::text' ELSE 'main.device_id' END, v_level)
        USING p_devices, p_energy_type, p_from, p_to, greatest(p_step, 60), p_together;
END $$;
COMMENT ON FUNCTION energy_series(text[], text, timestamptz, timestamptz, integer, boolean) IS
    'A chart''s rows per device (or of all together) over its meters of the energy type that add up, unordered: readings (step '
    '0) or stored buckets that begin in [from, to) (60, 900, 3600, 86400 s): Wh, time-weighted mean, lowest and '
    'highest W, seconds covered. A row of NULLs begins where nothing is known.';

-- Stored buckets times the rate that held, from the coarsest level that no change of a rate cuts; the same sums as
-- devices_energy_cost().
CREATE FUNCTION cost_series(p_devices text[], p_energy_type text, p_from timestamptz, p_to timestamptz, p_step integer)
RETURNS TABLE ("time" timestamptz, currency text, energy_wh double precision, cost double precision, co2_g double precision)
LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH bars AS (
        SELECT b.at, CASE WHEN b.cost IS NOT NULL THEN b.currency END AS currency, b.wh, b.cost, b.co2
        FROM (SELECT factory_id, array_agg(device_id) AS devices FROM devices WHERE device_id = ANY (p_devices) GROUP BY factory_id) f
        CROSS JOIN LATERAL factory_cost_series(f.factory_id, f.devices, p_energy_type, p_from, p_to, p_step) b
    )
    SELECT b.at, b.currency, sum(b.wh), CASE WHEN bool_and(b.cost IS NOT NULL) THEN sum(b.cost) END, CASE WHEN bool_and(b.co2 IS NOT NULL) THEN sum(b.co2) END
    FROM bars b GROUP BY b.at, b.currency;
END $$;
COMMENT ON FUNCTION cost_series(text[], text, timestamptz, timestamptz, integer) IS
    'Wh, cost and g CO2 of the devices together per currency and bucket (900, 3600 or 86400 s) that begins in [from, '
    'to); days are those of each device''s factory; cost or CO2 NULL when a part has no rate.';

CREATE FUNCTION factory_cost_series(p_factory uuid, p_devices text[], p_energy_type text, p_from timestamptz, p_to timestamptz, p_step integer)
RETURNS TABLE (at timestamptz, currency text, wh double precision, cost double precision, co2 double precision)
LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    v_zone text := factory_zone(p_factory);
    v_from timestamptz; v_to timestamptz;
    v_step integer;
BEGIN
    SELECT min(b.t0), max(b.t1) INTO v_from, v_to FROM buckets_between(p_from, p_to, p_step, v_zone) b;
    SELECT CASE WHEN bool_and(bucket_floor(p_step, r.t0, v_zone) = r.t0) THEN p_step
                WHEN bool_and(floor_to(3600, r.t0) = r.t0) AND p_step > 3600 THEN 3600 WHEN bool_and(floor_to(900, r.t0) = r.t0) THEN 900 END INTO v_step
        FROM rates_between(p_factory, p_energy_type, v_from, v_to) r;
    RETURN QUERY
    WITH pieces AS (
        SELECT s.time AS at, s.energy_wh AS wh, at_rate(s.energy_wh, r.price_per_kwh) AS cost, r.currency, at_rate(s.energy_wh, r.g_co2_per_kwh) AS co2
        FROM energy_series(p_devices, p_energy_type, v_from, v_to, v_step, true) s
        JOIN rates_between(p_factory, p_energy_type, v_from, v_to) r ON s.time >= r.t0 AND s.time < r.t1
        WHERE v_step IS NOT NULL AND s.energy_wh IS NOT NULL
        UNION ALL   -- a rate that changes within a quarter of an hour: directly from the rows
        SELECT a.t0[c.n], c.energy_wh, c.cost, c.currency, c.co2_g
        FROM (SELECT array_agg(d.device_id ORDER BY d.device_id, b.t0) AS ids,
                     array_agg(b.t0 ORDER BY d.device_id, b.t0) AS t0, array_agg(b.t1 ORDER BY d.device_id, b.t0) AS t1
              FROM unnest(p_devices) d (device_id) CROSS JOIN buckets_between(p_from, p_to, p_step, v_zone) b WHERE v_step IS NULL) a
        CROSS JOIN LATERAL devices_energy_cost(a.ids, a.t0, a.t1, p_energy_type) c WHERE c.energy_wh IS NOT NULL
    )
    -- energy without a rate, or in two currencies, has no cost
    SELECT bucket_floor(p_step, p.at, v_zone), min(p.currency), sum(p.wh),
           CASE WHEN bool_and(p.wh = 0 OR p.cost IS NOT NULL) AND count(DISTINCT p.currency) = 1 THEN sum(p.cost) END,
           CASE WHEN bool_and(p.wh = 0 OR p.co2 IS NOT NULL) THEN sum(p.co2) END
    FROM pieces p GROUP BY 1;
END $$;
COMMENT ON FUNCTION factory_cost_series(uuid, text[], text, timestamptz, timestamptz, integer) IS
    'cost_series() of devices of one factory.';

-- Exact for few hours; otherwise the state that held longest in an hour, or in a day of the factory.
CREATE FUNCTION state_series(p_devices text[], p_from timestamptz, p_to timestamptz)
RETURNS TABLE ("time" timestamptz, device_id text, state text) LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    v_to timestamptz := least(p_to, now());
    v_hours float8 := extract(epoch FROM p_to - p_from) / 3600;
BEGIN
    IF v_hours * cardinality(p_devices) <= 300 THEN
        RETURN QUERY SELECT s.t0, d.device_id, s.state FROM unnest(p_devices) AS d (device_id) CROSS JOIN LATERAL device_states(d.device_id, p_from, v_to) s;
    ELSE
        RETURN QUERY
        SELECT DISTINCT ON (1, 2) b.at, b.device_id, n.state
        FROM (SELECT CASE WHEN v_hours <= 24 * 8 THEN p.bucket ELSE date_trunc('day', p.bucket, z.zone) END AS at, d.device_id, p.state_key, sum(p.seconds) AS seconds
              FROM devices d JOIN device_zones() z USING (device_key) JOIN series.device_state_1hour p USING (device_key)
              WHERE d.device_id = ANY (p_devices) AND p.bucket >= floor_to(3600, p_from) AND p.bucket < p_to GROUP BY 1, 2, 3) b JOIN states n USING (state_key)
        ORDER BY 1, 2, b.seconds DESC, n.state;
    END IF;
END $$;
COMMENT ON FUNCTION state_series(text[], timestamptz, timestamptz) IS
    'When each device changed to which state in [from, to): exact up to 300 device hours, otherwise the state that '
    'held longest in each hour (up to 8 days) or day of its factory.';
