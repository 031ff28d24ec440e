-- Rollups: stored buckets of 1 min, 15 min, 1 hour and 1 day (a day of the factory), computed again where rows changed.
-- 1 min comes from the rows, every other level from a finer one, so the levels always agree.

CREATE FUNCTION rollup_levels() RETURNS TABLE (name text, step integer, finer text, finer_step integer) LANGUAGE sql IMMUTABLE AS $$
    VALUES ('1min', 60, NULL, NULL::integer), ('15min', 900, '1min', 60), ('1hour', 3600, '15min', 900),
           -- a day's edges lie on quarters of an hour in every time zone, on hours in most
           ('1day', 86400, '15min', 900)
$$;
COMMENT ON FUNCTION rollup_levels() IS
    'The levels of stored rollups: name, seconds of a bucket (86400: a day of the factory), and the finer level from '
    'which it is computed.';

-- The meter's time line as segments: a reading's power holds until the next row; the energy of an interval is shared
-- among its segments as in energy_between(). The newest reading is a segment without length. is_gap: the silence before
-- a row flagged 'gap'.
CREATE FUNCTION energy_segments(p_meter text, p_from timestamptz, p_to timestamptz)
RETURNS TABLE (seg_from timestamptz, seg_to timestamptz, power_w double precision, energy_wh double precision, is_gap boolean, reading_at timestamptz)
LANGUAGE sql STABLE AS $$
    WITH first_owner AS (   -- the row whose interval p_from cuts or precedes
        SELECT e.interval_start FROM energy_data e
        WHERE e.meter_id = p_meter AND e.timestamp > p_from AND e.interval_start IS NOT NULL ORDER BY e.timestamp LIMIT 1
    ), bounds AS (  -- back to the start of the interval at p_from and forward to the end of the one at p_to
        SELECT least((SELECT interval_start FROM first_owner),
                   (SELECT e.timestamp FROM energy_data e WHERE e.meter_id = p_meter AND e.timestamp <= p_from ORDER BY e.timestamp DESC LIMIT 1),
                   p_from) AS t0,
               greatest(coalesce(
                   (SELECT e.timestamp FROM energy_data e WHERE e.meter_id = p_meter AND e.timestamp >= p_to AND e.interval_start IS NOT NULL ORDER BY e.timestamp LIMIT 1),
                   (SELECT e.timestamp FROM energy_data e WHERE e.meter_id = p_meter AND e.timestamp >= p_to ORDER BY e.timestamp LIMIT 1)), p_to) AS t1
    ), r AS (
        SELECT e.at, e.power_watts, e.reading_at, lead(e.at) OVER w AS next_at, lead(e.quality) OVER w AS next_quality,
               lead(e.interval_start) OVER w AS next_start, lead(e.wh) OVER w AS next_wh,
               -- segments between two rows that own an interval share a number
               count(e.interval_start) OVER (w ROWS UNBOUNDED PRECEDING) AS grp
        FROM (SELECT e.timestamp AS at, e.power_watts, e.quality, e.interval_start, e.energy_delta_wh AS wh, e.timestamp AS reading_at
              FROM bounds b JOIN energy_data e ON e.meter_id = p_meter AND e.timestamp >= b.t0 AND e.timestamp <= b.t1
              UNION ALL     -- an interval whose start has no row (interval meters, rows removed by retention)
              SELECT f.interval_start, NULL, NULL, NULL, NULL, NULL FROM first_owner f
              WHERE NOT EXISTS (SELECT 1 FROM energy_data e WHERE e.meter_id = p_meter AND e.timestamp = f.interval_start)) e
        WINDOW w AS (ORDER BY e.at)
    ), owned AS (   -- every segment with the interval to which it belongs
        SELECT r.at, r.reading_at, coalesce(r.next_at, r.at) AS next_at, r.power_watts, has_flag(r.next_quality, 'gap') AS is_gap, r.grp,
               date_part('epoch', r.next_at - r.at) AS seconds, max(r.next_start) OVER g AS owner_start, max(r.next_wh) OVER g AS wh,
               count(*) OVER g AS n
        FROM r WINDOW g AS (PARTITION BY r.grp)
    ), shared AS (
        SELECT o.*, CASE WHEN o.wh IS NULL OR o.at < o.owner_start OR o.next_at = o.at THEN NULL
                         WHEN o.n = 1 THEN o.wh
                         WHEN sum(o.watts) OVER g > 0 THEN o.wh * o.watts / sum(o.watts) OVER g
                         ELSE o.wh * o.seconds / sum(o.seconds) FILTER (WHERE o.at >= o.owner_start) OVER g END AS energy
        FROM (SELECT owned.*, CASE WHEN at >= owner_start
                     THEN coalesce(power_watts, avg(power_watts) FILTER (WHERE at >= owner_start) OVER (PARTITION BY grp), 1) * seconds END AS watts
              FROM owned) o
        WINDOW g AS (PARTITION BY o.grp)
    )
    SELECT at, next_at,
           -- a segment without a power reading gets the mean that its energy implies
           coalesce(power_watts, CASE WHEN NOT is_gap THEN energy * 3600 / nullif(seconds, 0) END),
           energy, is_gap, reading_at
    FROM shared WHERE (next_at > p_from AND at < p_to) OR (next_at = at AND at >= p_from AND at < p_to)
$$;
COMMENT ON FUNCTION energy_segments(text, timestamptz, timestamptz) IS
    'The meter''s time line overlapping [from, to): segments with held power in W and energy in Wh (uncut), whether '
    'they are a gap, and the time of the reading at which they begin.';

-- One-minute buckets of [from, to) (whole minutes) directly from the rows.
CREATE FUNCTION minute_buckets(p_meter text, p_from timestamptz, p_to timestamptz) RETURNS SETOF energy_rollup_1min LANGUAGE sql STABLE AS $$
    WITH spans AS MATERIALIZED (     -- the whole time line by device, '' where the meter has none
        SELECT valid_from AS t0, valid_to AS t1, device_id FROM meter_assignments WHERE meter_id = p_meter
        UNION ALL
        SELECT lower(f), upper(f), '' FROM (SELECT unnest(tstzmultirange(tstzrange('-infinity', 'infinity'))
            - coalesce(range_agg(tstzrange(valid_from, valid_to)), '{}')) AS f FROM meter_assignments WHERE meter_id = p_meter) free
    ), segments AS MATERIALIZED (   -- cut at changes of assignment
        SELECT x.device_id, g.is_gap, g.power_w, greatest(g.seg_from, x.t0, p_from) AS t0, least(g.seg_to, x.t1, p_to) AS t1,
               CASE WHEN g.seg_to > g.seg_from THEN g.energy_wh / date_part('epoch', g.seg_to - g.seg_from) END AS wh_per_s, g.reading_at
        FROM energy_segments(p_meter, p_from, p_to) g
        JOIN spans x ON (x.t0 < g.seg_to AND x.t1 > g.seg_from) OR (g.seg_to = g.seg_from AND x.t0 <= g.seg_from AND g.seg_from < x.t1)
    ), pieces AS (                  -- and at minutes; most segments lie within one
        SELECT s.*, date_part('epoch', s.t1 - s.t0) AS seconds, floor_to(60, s.t0) AS bucket
        FROM segments s WHERE s.t1 <= floor_to(60, s.t0) + interval '1 minute'
        UNION ALL
        SELECT s.device_id, s.is_gap, s.power_w, greatest(s.t0, b.bucket), least(s.t1, b.bucket + interval '1 minute'), s.wh_per_s, s.reading_at,
               date_part('epoch', least(s.t1, b.bucket + interval '1 minute') - greatest(s.t0, b.bucket)), b.bucket
        FROM segments s CROSS JOIN LATERAL generate_series(floor_to(60, s.t0), s.t1 - interval '1 microsecond', interval '1 minute') AS b (bucket)
        WHERE s.t1 > floor_to(60, s.t0) + interval '1 minute'
    )
    SELECT p_meter, bucket, device_id, sum(wh_per_s * seconds),
           sum(power_w * seconds) FILTER (WHERE NOT is_gap) / nullif(sum(seconds) FILTER (WHERE NOT is_gap AND power_w IS NOT NULL), 0),
           min(power_w) FILTER (WHERE NOT is_gap OR reading_at = t0), max(power_w) FILTER (WHERE NOT is_gap OR reading_at = t0),
           coalesce(sum(seconds) FILTER (WHERE NOT is_gap AND power_w IS NOT NULL), 0), (count(*) FILTER (WHERE reading_at = t0))::integer
    FROM pieces GROUP BY bucket, device_id
    -- silence that no later reading filled leaves no bucket
    HAVING sum(wh_per_s) IS NOT NULL OR bool_or(coalesce(reading_at = t0, false)) OR bool_or(NOT is_gap AND power_w IS NOT NULL AND seconds > 0)
$$;
COMMENT ON FUNCTION minute_buckets(text, timestamptz, timestamptz) IS
    'One-minute rollup rows of the meter in [from, to), computed from its rows.';

-- Everything that is not current, aligned to buckets, merged and bounded by the meter's newest row.
CREATE FUNCTION rollup_spans(p_step integer, p_meters text[] DEFAULT NULL) RETURNS TABLE (meter_id text, t0 timestamptz, t1 timestamptz)
LANGUAGE sql STABLE AS $$
    SELECT w.meter_id, lower(x.span), upper(x.span)
    FROM (SELECT d.meter_id, range_agg(tstzrange(bucket_floor(p_step, lower(u.r), z.zone), bucket_ceil(p_step,
                 CASE WHEN upper(u.r) = 'infinity' THEN s.last_at + interval '1 microsecond' ELSE upper(u.r) END, z.zone))) AS spans
          FROM dirty_minutes(p_meters) d JOIN meter_state s USING (meter_id) CROSS JOIN LATERAL unnest(d.ranges) AS u (r)
               CROSS JOIN (SELECT CASE WHEN p_step = 86400 THEN factory_zone() END AS zone) z
          WHERE lower(u.r) < CASE WHEN upper(u.r) = 'infinity' THEN s.last_at + interval '1 microsecond' ELSE upper(u.r) END
          GROUP BY d.meter_id) w CROSS JOIN LATERAL unnest(w.spans) AS x (span)
$$;
COMMENT ON FUNCTION rollup_spans(integer, text[]) IS
    'Ranges whose stored rollups of that bucket length in seconds (86400: a day of the factory) are not current, per '
    'meter.';

-- Every level above the minute uses the same two statements: refill_<level>() stores its buckets, tail_<level>()
-- computes those that are not current when they are read, so that the views are always exact. Static functions, because
-- they keep their plans.
DO $$
DECLARE
    level record;
    v_bucket CONSTANT text := 'meter_id, bucket_floor(%s, bucket, %s), device_id, sum(energy_wh), sum(avg_power_w * coverage_s) / nullif(sum(coverage_s), 0), '
        'min(min_power_w), max(max_power_w), sum(coverage_s), sum(reading_count)::integer';
BEGIN
    CREATE FUNCTION tail_1min() RETURNS SETOF energy_rollup_1min LANGUAGE sql STABLE AS $sql$
        SELECT b.* FROM rollup_spans(60) s CROSS JOIN LATERAL minute_buckets(s.meter_id, s.t0, s.t1) b
    $sql$;
    FOR level IN SELECT * FROM rollup_levels() WHERE finer IS NOT NULL LOOP
        EXECUTE format($sql$
            CREATE FUNCTION refill_%1$s(p_meter text, p_from timestamptz, p_to timestamptz) RETURNS void LANGUAGE plpgsql AS $f$
            DECLARE
                v_zone text := factory_zone();
                v_from timestamptz := bucket_floor(%3$s, p_from, v_zone);
                v_to timestamptz := bucket_ceil(%3$s, p_to, v_zone);
            BEGIN
                DELETE FROM energy_rollup_%1$s WHERE meter_id = p_meter AND bucket >= v_from AND bucket < v_to;
                INSERT INTO energy_rollup_%1$s
                    SELECT %4$s FROM energy_rollup_%2$s WHERE meter_id = p_meter AND bucket >= v_from AND bucket < v_to GROUP BY 1, 2, 3;
            END $f$
            $sql$, level.name, level.finer, level.step, format(v_bucket, level.step, 'v_zone'));
        EXECUTE format($sql$
            CREATE FUNCTION tail_%1$s() RETURNS SETOF energy_rollup_%1$s LANGUAGE sql STABLE AS $f$
                SELECT %5$s
                FROM (SELECT * FROM tail_%2$s()
                      UNION ALL
                      SELECT r.* FROM rollup_spans(%3$s) s JOIN energy_rollup_%2$s r ON r.meter_id = s.meter_id AND r.bucket >= s.t0 AND r.bucket < s.t1
                      WHERE NOT EXISTS (SELECT 1 FROM rollup_spans(%4$s) d WHERE d.meter_id = r.meter_id AND r.bucket >= d.t0 AND r.bucket < d.t1)) parts
                GROUP BY 1, 2, 3
            $f$
            $sql$, level.name, level.finer, level.step, level.finer_step, format(v_bucket, level.step, '(SELECT factory_zone())'));
        EXECUTE format('COMMENT ON FUNCTION refill_%1$s(text, timestamptz, timestamptz) IS %2$L', level.name,
                       format('Computes the stored %s rollups of the meter that touch [from, to) again, from the %s ones.', level.name, level.finer));
    END LOOP;
    FOR level IN SELECT * FROM rollup_levels() LOOP
        EXECUTE format('COMMENT ON FUNCTION tail_%1$s() IS %2$L', level.name,
                       format('Buckets of %s whose stored rows are not current, computed from what is finer.', level.name));
    END LOOP;
END $$;

-- Computes one meter's stored rollups of [from, to) again; the caller holds the meter's lock.
CREATE FUNCTION refresh_range(p_meter text, p_from timestamptz, p_to timestamptz) RETURNS integer
LANGUAGE plpgsql SET work_mem = '32MB' SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    v_from timestamptz := greatest(floor_to(60, p_from), setting('frozen_before')::timestamptz);
    v_to timestamptz := ceil_to(60, p_to);
    v_minutes integer;
BEGIN
    IF v_from >= v_to THEN
        RETURN 0;
    END IF;
    DELETE FROM energy_rollup_1min WHERE meter_id = p_meter AND bucket >= v_from AND bucket < v_to;
    INSERT INTO energy_rollup_1min SELECT * FROM minute_buckets(p_meter, v_from, v_to);
    GET DIAGNOSTICS v_minutes = ROW_COUNT;
    PERFORM refill_15min(p_meter, v_from, v_to);
    PERFORM refill_1hour(p_meter, v_from, v_to);
    PERFORM refill_1day(p_meter, v_from, v_to);
    RETURN v_minutes;
END $$;
COMMENT ON FUNCTION refresh_range(text, timestamptz, timestamptz) IS
    'Computes the stored rollups of the meter that touch [from, to) again, all levels; returns the minutes written.';

CREATE FUNCTION refresh_rollups(p_budget_s float8 DEFAULT 2, p_meters text[] DEFAULT NULL) RETURNS jsonb
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    v_meter text;
    v_marks bigint[];
    v_done jsonb := '[]'::jsonb;
    v_ranges integer := 0; v_meters integer := 0; v_minutes integer := 0;
    span record;
BEGIN
    -- The factory's zone or the assignments must not change meanwhile.
    PERFORM lock_registry(false);
    FOR v_meter IN
        SELECT d.meter_id FROM (SELECT meter_id FROM meter_state WHERE dirty_from IS NOT NULL UNION SELECT meter_id FROM rollup_dirty) d
        WHERE p_meters IS NULL OR d.meter_id = ANY (p_meters) ORDER BY 1
    LOOP
        EXIT WHEN v_meters > 0 AND clock_timestamp() - statement_timestamp() > make_interval(secs => p_budget_s);
        PERFORM 1 FROM meter_state WHERE meter_id = v_meter FOR UPDATE;
        -- The marks are read after the lock: what is marked later stays marked.
        SELECT array_agg(dirty_id) INTO v_marks FROM rollup_dirty WHERE meter_id = v_meter;
        FOR span IN SELECT * FROM rollup_spans(60, ARRAY[v_meter]) LOOP
            v_minutes := v_minutes + refresh_range(v_meter, span.t0, span.t1);
            v_ranges := v_ranges + 1;
            v_done := v_done || jsonb_build_array(jsonb_build_array(v_meter, span.t0, span.t1));
        END LOOP;
        DELETE FROM rollup_dirty WHERE dirty_id = ANY (v_marks);
        UPDATE meter_state SET dirty_from = NULL WHERE meter_id = v_meter AND dirty_from IS NOT NULL;
        v_meters := v_meters + 1;
    END LOOP;
    -- Energy per state changes with it. Devices are locked after all meters, as ingest does.
    WITH changed AS (
        SELECT a.device_id, min(greatest(d.t0, a.valid_from)) AS since
        FROM (SELECT e ->> 0 AS meter_id, (e ->> 1)::timestamptz AS t0, (e ->> 2)::timestamptz AS t1 FROM jsonb_array_elements(v_done) e) d
        JOIN meter_assignments a ON a.meter_id = d.meter_id AND a.role = 'main' AND a.valid_from < d.t1 AND a.valid_to > d.t0
        GROUP BY a.device_id
    ), locked AS (
        SELECT l.device_id, c.since FROM device_latest l JOIN changed c USING (device_id)
        WHERE l.status_at IS NOT NULL AND (l.phases_dirty_from IS NULL OR l.phases_dirty_from > c.since)
        ORDER BY l.device_id FOR UPDATE OF l
    )
    UPDATE device_latest l SET phases_dirty_from = least(l.phases_dirty_from, k.since) FROM locked k WHERE l.device_id = k.device_id;
    RETURN jsonb_build_object('meters', v_meters, 'ranges', v_ranges, 'minutes', v_minutes, 'remaining',
        (SELECT count(*) FROM (SELECT meter_id FROM meter_state WHERE dirty_from IS NOT NULL UNION SELECT meter_id FROM rollup_dirty) d
         WHERE p_meters IS NULL OR meter_id = ANY (p_meters)));
END $$;
COMMENT ON FUNCTION refresh_rollups(float8, text[]) IS
    'Makes stored rollups current, meter by meter, for at most about that many seconds (locks are held until the '
    'transaction ends); returns meters, ranges, minutes and how many meters remain.';

CREATE PROCEDURE run_rollups() LANGUAGE plpgsql AS $$
DECLARE
    v_left integer;
BEGIN
    LOOP
        v_left := (refresh_rollups(0.2) ->> 'remaining')::integer;
        COMMIT;     -- ingest continues between the chunks
        EXIT WHEN v_left = 0;
    END LOOP;
END $$;
COMMENT ON PROCEDURE run_rollups() IS
    'refresh_rollups() in chunks, each its own transaction, until nothing remains; CALL it outside a transaction.';
