-- What devices tell besides energy: signals (any number with a name), production, climate. Repeating a call changes nothing.

CREATE FUNCTION record_signals(p_rows jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    v_stored bigint; v_rejected bigint := 0;
    v_floor timestamptz := raw_floor(); v_ceiling timestamptz := newest_allowed();
BEGIN
    PERFORM lock_registry(false);
    PERFORM ensure_months('signal', min(r.timestamp), max(r.timestamp))
        FROM jsonb_to_recordset(p_rows) AS r (timestamp timestamptz) WHERE r.timestamp >= v_floor AND r.timestamp <= v_ceiling;
    -- New names get the next numbers of their device, in the order of the alphabet; two writers wait for each other.
    IF EXISTS (SELECT 1 FROM jsonb_to_recordset(p_rows) AS r (device_id text, name text) JOIN devices d USING (device_id)
               WHERE NOT EXISTS (SELECT 1 FROM signals s WHERE s.device_id = r.device_id AND s.name = r.name)) THEN
        PERFORM pg_advisory_xact_lock(5392003);
        INSERT INTO signals (device_id, signal_id, name, unit)
        SELECT n.device_id, n.signal_id, n.name, n.unit FROM (
            SELECT r.device_id, r.name, max(r.unit) AS unit,
                   (SELECT coalesce(max(s.signal_id), 0) FROM signals s WHERE s.device_id = r.device_id) + row_number() OVER (PARTITION BY r.device_id ORDER BY r.name) AS signal_id
            FROM jsonb_to_recordset(p_rows) AS r (device_id text, name text, unit text) JOIN devices d USING (device_id)
            WHERE r.name ~ '^[A-Za-z][A-Za-z0-9_.:-]{0,62}$'
              AND NOT EXISTS (SELECT 1 FROM signals s WHERE s.device_id = r.device_id AND s.name = r.name)
            GROUP BY r.device_id, r.name) n
        WHERE n.signal_id <= 200;
    END IF;
    WITH input AS MATERIALIZED (
        SELECT r.device_id, r.name, r.timestamp, as_real(r.value) AS value, d.device_key, s.signal_id,
               CASE WHEN d.device_key IS NULL THEN 'unknown device'
                    WHEN r.name IS NULL OR r.name !~ '^[A-Za-z][A-Za-z0-9_.:-]{0,62}$' THEN 'a signal needs a name: a letter, then up to 62 letters, digits, dots, colons, hyphens or underscores'
                    WHEN s.signal_id IS NULL THEN 'more than 200 signals of one device'
                    WHEN r.timestamp IS NULL OR r.timestamp > v_ceiling OR r.timestamp < v_floor THEN 'time missing, in the future or older than the raw rows kept'
                    WHEN as_real(r.value) IS NULL THEN 'not a number, or beyond measure' END AS reason
        FROM jsonb_to_recordset(p_rows) AS r (device_id text, name text, timestamp timestamptz, value float8)
        LEFT JOIN devices d USING (device_id) LEFT JOIN signals s ON s.device_id = r.device_id AND s.name = r.name
    ), stored AS (
        INSERT INTO series.signal (device_key, signal_id, timestamp, value)
        SELECT DISTINCT ON (device_key, signal_id, timestamp) device_key, signal_id, timestamp, value FROM input WHERE reason IS NULL
        ORDER BY device_key, signal_id, timestamp, value DESC
        ON CONFLICT DO NOTHING RETURNING device_key, signal_id, timestamp
    ), marked AS (
        INSERT INTO signal_dirty (device_id, signal_id, from_ts, to_ts)
        SELECT d.device_id, s.signal_id, min(s.timestamp), max(s.timestamp) FROM stored s JOIN devices d USING (device_key) GROUP BY 1, 2
    ), refused AS (
        SELECT record_rejects(array_agg('signal'::text), array_agg(coalesce(i.device_id, '')),
                              array_agg(json_build_object('device_id', i.device_id, 'name', i.name, 'timestamp', i.timestamp)::text), array_agg(i.reason)) AS n
        FROM input i WHERE i.reason IS NOT NULL HAVING count(*) > 0
    )
    SELECT (SELECT count(*) FROM stored), coalesce((SELECT n FROM refused), 0) INTO v_stored, v_rejected;
    RETURN jsonb_build_object('stored', v_stored, 'rejected', v_rejected);
END $$;
COMMENT ON FUNCTION record_signals(jsonb) IS
    'Signals of known devices, an array of {device_id, timestamp, name, value, unit}; a new name is registered, at most 200 of '
    'a device. Returns stored and rejected.';

-- A mark from infinity asks only for the days, which follow when a zone changes.
CREATE FUNCTION mark_signal_days(p_device text) RETURNS void LANGUAGE sql AS $$
    INSERT INTO signal_dirty (device_id, signal_id, from_ts, to_ts)
    SELECT s.device_id, s.signal_id, 'infinity', '-infinity' FROM signals s WHERE s.device_id = p_device
$$;
COMMENT ON FUNCTION mark_signal_days(text) IS
    'Marks all days of the device''s signals: where they begin has changed. They are made of the quarters of an hour, which stay.';

-- A minute is the mean of its readings; every coarser bucket weighs minutes alike, however many readings they have.
CREATE FUNCTION refresh_signals(p_budget_s float8 DEFAULT 1) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    v_begun timestamptz := clock_timestamp();     -- a CALL has one statement for all its chunks
    item record;
    v_done integer := 0;
    v_from timestamptz; v_to timestamptz;
    v_frozen timestamptz := setting('frozen_before')::timestamptz;
    level record;
BEGIN
    PERFORM lock_registry(false);
    FOR item IN SELECT d.device_key, f.timezone AS zone, s.signal_id, array_agg(s.dirty_id) AS marks, bool_or(s.from_ts = 'infinity') AS days,
                       min(s.from_ts) FILTER (WHERE s.from_ts < 'infinity') AS from_ts, max(s.to_ts) FILTER (WHERE s.from_ts < 'infinity') AS to_ts
                FROM signal_dirty s JOIN devices d USING (device_id) JOIN factories f USING (factory_id) GROUP BY 1, 2, 3 ORDER BY 1, 3 LOOP
        EXIT WHEN v_done > 0 AND clock_timestamp() - v_begun > make_interval(secs => p_budget_s);
        DELETE FROM signal_dirty WHERE dirty_id = ANY (item.marks);
        v_done := v_done + 1;
        IF item.days THEN
            DELETE FROM series.signal_1day WHERE device_key = item.device_key AND signal_id = item.signal_id;
            INSERT INTO series.signal_1day (device_key, signal_id, bucket, avg_value, min_value, max_value, coverage_s, reading_count)
            SELECT item.device_key, item.signal_id, bucket_floor(86400, bucket, item.zone), sum(avg_value * coverage_s) / sum(coverage_s), min(min_value), max(max_value),
                   sum(coverage_s), sum(reading_count)
            FROM series.signal_15min WHERE device_key = item.device_key AND signal_id = item.signal_id GROUP BY 3;
        END IF;
        CONTINUE WHEN item.from_ts IS NULL;
        v_from := greatest(floor_to(60, item.from_ts), v_frozen);
        v_to := ceil_to(60, item.to_ts + interval '1 microsecond');
        CONTINUE WHEN v_from >= v_to;
        PERFORM ensure_months('signal_1min', v_from, v_to);
        DELETE FROM series.signal_1min WHERE device_key = item.device_key AND signal_id = item.signal_id AND bucket >= v_from AND bucket < v_to;
        INSERT INTO series.signal_1min (device_key, signal_id, bucket, avg_value, min_value, max_value, coverage_s, reading_count)
        SELECT item.device_key, item.signal_id, floor_to(60, timestamp), avg(value), min(value), max(value), 60, count(*) FROM series.signal
        WHERE device_key = item.device_key AND signal_id = item.signal_id AND timestamp >= v_from AND timestamp < v_to GROUP BY 3;
        FOR level IN SELECT * FROM rollup_levels() WHERE finer IS NOT NULL LOOP
            EXECUTE format('DELETE FROM series.signal_%s WHERE device_key = $1 AND signal_id = $2 AND bucket >= $3 AND bucket < $4', level.name)
                USING item.device_key, item.signal_id, bucket_floor(level.step, v_from, item.zone), bucket_ceil(level.step, v_to, item.zone);
            EXECUTE format('INSERT INTO series.signal_%1$s (device_key, signal_id, bucket, avg_value, min_value, max_value, coverage_s, reading_count)
                SELECT $1, $2, bucket_floor(%2$s, bucket, $5), sum(avg_value * coverage_s) / sum(coverage_s), min(min_value), max(max_value), sum(coverage_s), sum(reading_count)
                FROM series.signal_%3$s WHERE device_key = $1 AND signal_id = $2 AND bucket >= $3 AND bucket < $4 GROUP BY 3', level.name, level.step, level.finer)
                USING item.device_key, item.signal_id, bucket_floor(level.step, v_from, item.zone), bucket_ceil(level.step, v_to, item.zone), item.zone;
        END LOOP;
    END LOOP;
    RETURN jsonb_build_object('signals', v_done, 'remaining', (SELECT count(*) FROM signal_dirty));
END $$;
COMMENT ON FUNCTION refresh_signals(float8) IS
    'Makes the stored rollups of signals current, for at most about that many seconds; returns how many signals were done '
    'and how many marks remain.';

-- Counts by the rule of energy: a count of an interval belongs to (previous end or end − interval, end]; counters differ from
-- their predecessor, and begin anew when they fall.
CREATE FUNCTION record_production(p_rows jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    v_stored bigint := 0; v_rejected bigint;
    v_floor timestamptz := raw_floor(); v_ceiling timestamptz := newest_allowed();
    item record;
BEGIN
    PERFORM lock_registry(false);
    PERFORM 1 FROM device_latest WHERE device_id IN (SELECT e ->> 'device_id' FROM jsonb_array_elements(p_rows) e) ORDER BY device_id FOR UPDATE;
    PERFORM ensure_months('production', min(r.timestamp), max(r.timestamp))
        FROM jsonb_to_recordset(p_rows) AS r (timestamp timestamptz) WHERE r.timestamp >= v_floor AND r.timestamp <= v_ceiling;
    SELECT record_rejects(array_agg('production'::text), array_agg(coalesce(i.device_id, '')), array_agg(i.row::text), array_agg(i.reason)) INTO v_rejected
        FROM (SELECT e ->> 'device_id' AS device_id, e AS row,
                     CASE WHEN d.device_id IS NULL THEN 'unknown device'
                          WHEN (e ->> 'timestamp')::timestamptz BETWEEN v_floor AND v_ceiling IS NOT TRUE THEN 'time missing, in the future or older than the raw rows kept'
                          WHEN NOT (coalesce((e ->> 'production_count')::float8, 0) BETWEEN 0 AND 1e12 AND coalesce((e ->> 'production_count_good')::float8, 0) BETWEEN 0 AND 1e12
                               AND coalesce((e ->> 'production_count_bad')::float8, 0) BETWEEN 0 AND 1e12 AND coalesce((e ->> 'production_count_total')::float8, 0) BETWEEN 0 AND 1e12
                               AND coalesce((e ->> 'production_count_good_total')::float8, 0) BETWEEN 0 AND 1e12 AND coalesce((e ->> 'production_count_bad_total')::float8, 0) BETWEEN 0 AND 1e12)
                              THEN 'a count is negative, beyond measure or not a number' END AS reason
              FROM jsonb_array_elements(p_rows) e LEFT JOIN devices d ON d.device_id = e ->> 'device_id') i
        WHERE i.reason IS NOT NULL HAVING count(*) > 0;
    FOR item IN
        WITH input AS (
            SELECT DISTINCT ON (d.device_key, r.timestamp) d.device_key, d.data_interval_seconds, r.*,
                   coalesce(r.production_count_total, r.production_count_good_total, r.production_count_bad_total) IS NOT NULL AS counter
            FROM jsonb_to_recordset(p_rows) AS r (device_id text, timestamp timestamptz, interval_s float8,
                production_count float8, production_count_good float8, production_count_bad float8,
                production_count_total float8, production_count_good_total float8, production_count_bad_total float8,
                throughput_units_per_hour float8, speed_percent float8, operating_mode text, product_id text, batch_id text, unit text)
            JOIN devices d USING (device_id)
            WHERE r.timestamp BETWEEN v_floor AND v_ceiling
              AND coalesce(r.production_count, 0) BETWEEN 0 AND 1e12 AND coalesce(r.production_count_good, 0) BETWEEN 0 AND 1e12
              AND coalesce(r.production_count_bad, 0) BETWEEN 0 AND 1e12 AND coalesce(r.production_count_total, 0) BETWEEN 0 AND 1e12
              AND coalesce(r.production_count_good_total, 0) BETWEEN 0 AND 1e12 AND coalesce(r.production_count_bad_total, 0) BETWEEN 0 AND 1e12
            -- of equal times the higher count counts
            ORDER BY d.device_key, r.timestamp, coalesce(r.production_count_total, r.production_count) DESC NULLS LAST, coalesce(r.production_count_good_total, r.production_count_good) DESC NULLS LAST,
                     coalesce(r.production_count_bad_total, r.production_count_bad) DESC NULLS LAST
        ), stored AS (
            INSERT INTO series.production AS p (device_key, timestamp, interval_s, is_counter, count_told, good_told, bad_told,
                throughput_units_per_hour, speed_percent, operating_mode, product_id, batch_id, unit)
            SELECT device_key, timestamp, CASE WHEN NOT counter THEN CASE WHEN interval_s > 0 AND interval_s <= 31 * 86400 THEN interval_s ELSE data_interval_seconds END END, counter,
                   CASE WHEN counter THEN production_count_total ELSE production_count END,
                   CASE WHEN counter THEN production_count_good_total ELSE production_count_good END,
                   CASE WHEN counter THEN production_count_bad_total ELSE production_count_bad END,
                   as_real(throughput_units_per_hour), as_real(speed_percent), left(operating_mode, 60), left(product_id, 200), left(batch_id, 200), left(unit, 60)
            FROM input
            ON CONFLICT (device_key, timestamp) DO UPDATE SET count_told = excluded.count_told, good_told = excluded.good_told, bad_told = excluded.bad_told,
                interval_s = excluded.interval_s, is_counter = excluded.is_counter
                WHERE ROW(coalesce(excluded.count_told, -1), coalesce(excluded.good_told, -1), coalesce(excluded.bad_told, -1))
                    > ROW(coalesce(p.count_told, -1), coalesce(p.good_told, -1), coalesce(p.bad_told, -1))
            RETURNING device_key, timestamp
        )
        SELECT device_key, min(timestamp) AS first, max(timestamp) AS last, count(*) AS n FROM stored GROUP BY 1
    LOOP
        v_stored := v_stored + item.n;
        PERFORM refold_production(item.device_key, item.first, item.last);
    END LOOP;
    RETURN jsonb_build_object('stored', v_stored, 'rejected', coalesce(v_rejected, 0));
END $$;
COMMENT ON FUNCTION record_production(jsonb) IS
    'Production of known devices, an array of {device_id, timestamp (the end of the interval), interval_s, production_count, '
    'production_count_good, production_count_bad, or these with _total as counters, throughput_units_per_hour, speed_percent, '
    'operating_mode, product_id, batch_id, unit}. Returns stored and rejected.';

-- A row without counts gives state and speed only: it neither ends nor begins an interval.
CREATE FUNCTION refold_production(p_device_key integer, p_from timestamptz, p_to timestamptz) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_from timestamptz := p_from;
    v_to timestamptz := p_to;
BEGIN
    -- what each of the three counts was before, and the next row that counts on from each
    SELECT least(v_from, min(x.before)), greatest(v_to, max(x.after)) INTO v_from, v_to FROM (
        SELECT (SELECT max(timestamp) FROM series.production WHERE device_key = p_device_key AND timestamp < p_from AND (k.n = 1 AND count_told IS NOT NULL
                    OR k.n = 2 AND good_told IS NOT NULL OR k.n = 3 AND bad_told IS NOT NULL)) AS before,
               (SELECT min(timestamp) FROM series.production WHERE device_key = p_device_key AND timestamp > p_to AND (k.n = 1 AND count_told IS NOT NULL
                    OR k.n = 2 AND good_told IS NOT NULL OR k.n = 3 AND bad_told IS NOT NULL)) AS after
        FROM generate_series(1, 3) AS k (n)) x;
    UPDATE series.production p SET interval_start = x.starts, production_count = x.n, production_count_good = x.good, production_count_bad = x.bad,
        quality = x.quality
    FROM (SELECT r.timestamp, r.starts,
                 CASE WHEN extract(epoch FROM r.starts - r.before_at) > greatest(1, 0.05 * r.interval_s) THEN 'gap'
                      WHEN r.before_at IS NULL AND r.counts AND r.is_counter THEN 'first' END AS quality,
                 CASE WHEN r.is_counter THEN counted(r.c0, r.count_told) ELSE r.count_told END AS n,
                 CASE WHEN r.is_counter THEN counted(r.g0, r.good_told) ELSE r.good_told END AS good,
                 CASE WHEN r.is_counter THEN counted(r.b0, r.bad_told) ELSE r.bad_told END AS bad
          FROM (SELECT q.*, CASE WHEN q.counts AND q.is_counter THEN q.before_at
                                 WHEN q.counts THEN greatest(q.before_at, q.timestamp - make_interval(secs => q.interval_s)) END AS starts,
                       lag(q.count_told) OVER (PARTITION BY q.is_counter, q.count_told IS NULL ORDER BY q.timestamp) AS c0,
                       lag(q.good_told) OVER (PARTITION BY q.is_counter, q.good_told IS NULL ORDER BY q.timestamp) AS g0,
                       lag(q.bad_told) OVER (PARTITION BY q.is_counter, q.bad_told IS NULL ORDER BY q.timestamp) AS b0
                FROM (SELECT i.*, lag(i.timestamp) OVER (PARTITION BY i.counts ORDER BY i.timestamp) AS before_at
                      FROM (SELECT *, coalesce(count_told, good_told, bad_told) IS NOT NULL AS counts FROM series.production
                            WHERE device_key = p_device_key AND timestamp >= v_from AND timestamp <= v_to) i) q) r) x
    WHERE p.device_key = p_device_key AND p.timestamp >= p_from AND p.timestamp <= v_to AND p.timestamp = x.timestamp
      AND (p.interval_start, p.production_count, p.production_count_good, p.production_count_bad, p.quality)
          IS DISTINCT FROM (x.starts, x.n, x.good, x.bad, x.quality);
END $$;
COMMENT ON FUNCTION refold_production(integer, timestamptz, timestamptz) IS
    'Computes the counts and intervals of the device''s production rows in [from, to], and of the next ones, again.';

CREATE FUNCTION counted(p_before double precision, p_now double precision) RETURNS double precision LANGUAGE sql IMMUTABLE AS
$$ SELECT CASE WHEN p_now >= p_before THEN p_now - p_before WHEN p_now < p_before THEN p_now END $$;
COMMENT ON FUNCTION counted(double precision, double precision) IS
    'What a counter counted since its value before: a lower value is that of a counter that began anew; NULL when one of '
    'them is not known.';

CREATE FUNCTION production_between(p_device text, p_from timestamptz, p_to timestamptz)
RETURNS TABLE (production_count double precision, production_count_good double precision, production_count_bad double precision, coverage_s double precision) LANGUAGE sql STABLE AS $$
    SELECT sum(p.production_count * p.part), sum(p.production_count_good * p.part), sum(p.production_count_bad * p.part), sum(p.seconds)::float8
    FROM (SELECT r.*, extract(epoch FROM least(r.timestamp, p_to) - greatest(r.interval_start, p_from)) AS seconds,
                 extract(epoch FROM least(r.timestamp, p_to) - greatest(r.interval_start, p_from))::float8 / extract(epoch FROM r.timestamp - r.interval_start)::float8 AS part
          FROM series.production r
          WHERE r.device_key = (SELECT d.device_key FROM devices d WHERE d.device_id = p_device) AND r.timestamp > p_from AND r.interval_start < p_to AND r.interval_start < r.timestamp) p
$$;
COMMENT ON FUNCTION production_between(text, timestamptz, timestamptz) IS
    'Units that the device made in [from, to), good and bad ones; intervals are cut in proportion to time. NULL when nothing '
    'is known.';

CREATE FUNCTION record_environmental(p_rows jsonb) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_rows bigint;
    v_floor timestamptz := raw_floor(); v_ceiling timestamptz := newest_allowed();
BEGIN
    PERFORM register_locations(ARRAY(SELECT coalesce(e ->> 'location_id', e ->> 'device_id') FROM jsonb_array_elements(p_rows) e));
    PERFORM ensure_months('environmental', min(r.timestamp), max(r.timestamp))
        FROM jsonb_to_recordset(p_rows) AS r (timestamp timestamptz) WHERE r.timestamp >= v_floor AND r.timestamp <= v_ceiling;
    INSERT INTO series.environmental
    SELECT r.* FROM jsonb_array_elements(p_rows) e JOIN locations l ON l.location_id = coalesce(e ->> 'location_id', e ->> 'device_id')
    -- a value that is no number, or does not fit into a real, loses itself alone
    CROSS JOIN LATERAL (SELECT jsonb_object_agg(key, value) AS good FROM jsonb_each(e) WHERE key IN ('timestamp', 'source')
                        OR CASE WHEN jsonb_typeof(value) = 'number' THEN (value #>> '{}')::numeric = 0 OR abs((value #>> '{}')::numeric) BETWEEN 1e-30 AND 1e30 END) f
    CROSS JOIN LATERAL jsonb_populate_record(NULL::series.environmental, f.good || jsonb_build_object('location_key', l.location_key, 'device_key', device_key(e ->> 'device_id'))) r
    WHERE r.timestamp BETWEEN v_floor AND v_ceiling
    ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS v_rows = ROW_COUNT;
    RETURN v_rows;
END $$;
COMMENT ON FUNCTION record_environmental(jsonb) IS
    'Climate and process values of devices or places, an array of records with the columns of environmental_data; returns how '
    'many are new.';
