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
-- a row flagged 'gap' or 'excluded', and what lies between two intervals of an interval meter.
CREATE FUNCTION energy_segments(p_meter_key integer, p_from timestamptz, p_to timestamptz)
RETURNS TABLE (seg_from timestamptz, seg_to timestamptz, power_w double precision, energy_wh double precision, is_gap boolean, reading_at timestamptz)
-- plpgsql: it keeps its plan, and a key that is an expression is computed once and not for every row
LANGUAGE plpgsql STABLE SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
BEGIN RETURN QUERY
    WITH first_owner AS (   -- the row whose interval p_from cuts or precedes
        SELECT e.interval_start FROM series.energy e
        WHERE e.meter_key = p_meter_key AND e.timestamp > p_from AND e.interval_start IS NOT NULL ORDER BY e.timestamp LIMIT 1
    ), bounds AS (  -- back to the start of the interval at p_from and forward to the end of the one at p_to
        SELECT least((SELECT interval_start FROM first_owner),
                   (SELECT e.timestamp FROM series.energy e WHERE e.meter_key = p_meter_key AND e.timestamp <= p_from ORDER BY e.timestamp DESC LIMIT 1),
                   p_from) AS t0,
               greatest(coalesce(
                   (SELECT e.timestamp FROM series.energy e WHERE e.meter_key = p_meter_key AND e.timestamp >= p_to AND e.interval_start IS NOT NULL ORDER BY e.timestamp LIMIT 1),
                   (SELECT e.timestamp FROM series.energy e WHERE e.meter_key = p_meter_key AND e.timestamp >= p_to ORDER BY e.timestamp LIMIT 1)), p_to) AS t1
    ), kind AS (
        SELECT m.reading_kind = 'interval' AS spans FROM meters m WHERE m.meter_key = p_meter_key
    ), r AS (
        SELECT e.at, e.power_watts, e.reading_at, lead(e.at) OVER w AS next_at, lead(e.quality) OVER w AS next_quality,
               lead(e.interval_start) OVER w AS next_start, lead(e.wh) OVER w AS next_wh, lead(e.starts) OVER w AS next_starts,
               -- segments between two rows that own an interval share a number
               count(e.interval_start) OVER (w ROWS UNBOUNDED PRECEDING) AS grp
        FROM (SELECT e.timestamp AS at, e.power_watts, e.quality, e.interval_start, e.energy_delta_wh AS wh, e.timestamp AS reading_at, false AS starts
              FROM bounds b JOIN series.energy e ON e.meter_key = p_meter_key AND e.timestamp >= b.t0 AND e.timestamp <= b.t1
              UNION ALL     -- an interval whose start has no row: rows removed by retention …
              SELECT f.interval_start, NULL, NULL, NULL, NULL, NULL, false FROM first_owner f
              WHERE NOT (SELECT spans FROM kind)
                AND NOT EXISTS (SELECT 1 FROM series.energy e WHERE e.meter_key = p_meter_key AND e.timestamp = f.interval_start)
              UNION ALL     -- … and intervals that begin after the reading before them
              SELECT i.interval_start, NULL, NULL, NULL, NULL, NULL, true
              FROM bounds b JOIN series.energy i ON i.meter_key = p_meter_key AND i.timestamp >= b.t0 AND i.timestamp <= b.t1
              WHERE (SELECT spans FROM kind) AND i.interval_start IS NOT NULL
                AND NOT EXISTS (SELECT 1 FROM series.energy e WHERE e.meter_key = p_meter_key AND e.timestamp = i.interval_start)) e
        WINDOW w AS (ORDER BY e.at)
    ), owned AS (   -- every segment with the interval to which it belongs
        SELECT r.at, r.reading_at, coalesce(r.next_at, r.at) AS next_at, r.power_watts, r.grp,
               CASE WHEN r.next_starts THEN true WHEN r.next_start <= r.at AND (SELECT spans FROM kind) THEN false
                    ELSE has_flag(r.next_quality, 'gap') OR has_flag(r.next_quality, 'excluded') END AS is_gap,
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
           -- a segment without a power reading, or with an interval of its own, gets the mean that its energy implies
           CASE WHEN n = 1 AND energy IS NOT NULL AND (SELECT spans FROM kind) THEN energy * 3600 / nullif(seconds, 0)
                ELSE coalesce(power_watts, CASE WHEN NOT is_gap THEN energy * 3600 / nullif(seconds, 0) END) END,
           energy, is_gap, reading_at
    FROM shared WHERE (next_at > p_from AND at < p_to) OR (next_at = at AND at >= p_from AND at < p_to);
END $$;
COMMENT ON FUNCTION energy_segments(integer, timestamptz, timestamptz) IS
    'The meter''s time line overlapping [from, to): segments with held power in W and energy in Wh (uncut), whether '
    'they are a gap, and the time of the reading at which they begin.';

-- One-minute buckets of [from, to) (whole minutes) directly from the rows. p_assigned: the meter whose devices they have, the
-- virtual one for its parts.
CREATE FUNCTION minute_buckets(p_meter text, p_assigned text, p_from timestamptz, p_to timestamptz) RETURNS SETOF series.energy_1min LANGUAGE sql STABLE AS $$
    WITH spans AS MATERIALIZED (     -- the whole time line by device, 0 where the meter has none
        SELECT a.valid_from AS t0, a.valid_to AS t1, d.device_key FROM meter_assignments a JOIN devices d USING (device_id) WHERE a.meter_id = p_assigned
        UNION ALL
        SELECT lower(f), upper(f), 0 FROM (SELECT unnest(tstzmultirange(tstzrange('-infinity', 'infinity'))
            - coalesce(range_agg(tstzrange(valid_from, valid_to)), '{}')) AS f FROM meter_assignments WHERE meter_id = p_assigned) free
    ), segments AS MATERIALIZED (   -- cut at changes of assignment
        SELECT x.device_key, g.is_gap, g.power_w, greatest(g.seg_from, x.t0, p_from) AS t0, least(g.seg_to, x.t1, p_to) AS t1,
               CASE WHEN g.seg_to > g.seg_from THEN g.energy_wh / date_part('epoch', g.seg_to - g.seg_from) END AS wh_per_s, g.reading_at
        FROM (SELECT meter_key FROM meters WHERE meter_id = p_meter) k CROSS JOIN LATERAL energy_segments(k.meter_key, p_from, p_to) g
        -- what of the device's time lies in the segment lies in the range, too
        JOIN spans x ON (x.t0 < least(g.seg_to, p_to) AND x.t1 > greatest(g.seg_from, p_from))
            OR (g.seg_to = g.seg_from AND x.t0 <= g.seg_from AND g.seg_from < x.t1)
    ), pieces AS (                  -- and at minutes; most segments lie within one
        SELECT s.*, date_part('epoch', s.t1 - s.t0) AS seconds, floor_to(60, s.t0) AS bucket
        FROM segments s WHERE s.t1 <= floor_to(60, s.t0) + interval '1 minute'
        UNION ALL
        SELECT s.device_key, s.is_gap, s.power_w, greatest(s.t0, b.bucket), least(s.t1, b.bucket + interval '1 minute'), s.wh_per_s, s.reading_at,
               date_part('epoch', least(s.t1, b.bucket + interval '1 minute') - greatest(s.t0, b.bucket)), b.bucket
        FROM segments s CROSS JOIN LATERAL generate_series(floor_to(60, s.t0), s.t1 - interval '1 microsecond', interval '1 minute') AS b (bucket)
        WHERE s.t1 > floor_to(60, s.t0) + interval '1 minute'
    )
    SELECT bucket, sum(wh_per_s * seconds),
           sum(power_w * seconds) FILTER (WHERE NOT is_gap) / nullif(sum(seconds) FILTER (WHERE NOT is_gap AND power_w IS NOT NULL), 0),
           min(power_w) FILTER (WHERE NOT is_gap OR reading_at = t0), max(power_w) FILTER (WHERE NOT is_gap OR reading_at = t0),
           coalesce(sum(seconds) FILTER (WHERE NOT is_gap AND power_w IS NOT NULL), 0), (SELECT meter_key FROM meters WHERE meter_id = p_meter), device_key,
           (count(*) FILTER (WHERE reading_at = t0))::integer
    FROM pieces GROUP BY bucket, device_key
    -- silence that no later reading filled leaves no bucket
    HAVING sum(wh_per_s) IS NOT NULL OR bool_or(coalesce(reading_at = t0, false)) OR bool_or(NOT is_gap AND power_w IS NOT NULL AND seconds > 0)
$$;
COMMENT ON FUNCTION minute_buckets(text, text, timestamptz, timestamptz) IS
    'One-minute rollup rows of the meter in [from, to), computed from its rows, cut where the second meter changes its device.';

CREATE FUNCTION virtual_buckets(p_meter text, p_from timestamptz, p_to timestamptz) RETURNS SETOF series.energy_1min LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_key integer := meter_key(p_meter);
    v_parts bigint := (SELECT count(*) FROM virtual_meter_parts WHERE meter_id = p_meter);
BEGIN
    RETURN QUERY
    -- what one part does not know the sum does not know
    SELECT b.bucket, CASE WHEN count(b.energy_wh) = v_parts THEN sum(v.factor * b.energy_wh) END,
           CASE WHEN count(b.avg_power_w) = v_parts THEN sum(v.factor * b.avg_power_w) END, NULL::float8, NULL::float8,
           CASE WHEN count(*) = v_parts THEN min(b.coverage_s) ELSE 0 END, v_key, b.device_key, sum(b.reading_count)::integer
    FROM virtual_meter_parts v CROSS JOIN LATERAL minute_buckets(v.part_id, p_meter, p_from, p_to) b
    WHERE v.meter_id = p_meter GROUP BY b.bucket, b.device_key;
END $$;
COMMENT ON FUNCTION virtual_buckets(text, timestamptz, timestamptz) IS
    'One-minute rollup rows of a virtual meter in [from, to), computed from the rows of its parts.';

CREATE FUNCTION device_zones() RETURNS TABLE (device_key integer, zone text) LANGUAGE sql STABLE AS $$
    SELECT d.device_key, f.timezone FROM devices d JOIN factories f USING (factory_id)
    UNION ALL SELECT 0, f.timezone FROM factories f WHERE f.is_default
$$;
COMMENT ON FUNCTION device_zones() IS 'The time zone of every device, by its key in the series; 0, no device: the default factory''s.';

-- The dirty ranges of meters, bounded by their newest row; a virtual meter is as new as the newest of its parts.
CREATE FUNCTION dirty_ranges(p_meters text[], p_step integer) RETURNS TABLE (meter_id text, meter_key integer, t0 timestamptz, t1 timestamptz)
LANGUAGE sql STABLE AS $$
    SELECT d.meter_id, m.meter_key, lower(u.r), CASE WHEN upper(u.r) < 'infinity' THEN upper(u.r)
        ELSE interval '1 microsecond' + CASE WHEN m.reading_kind = 'virtual'
            THEN (SELECT max(s.last_at) FROM virtual_meter_parts v JOIN meter_state s ON s.meter_id = v.part_id WHERE v.meter_id = d.meter_id)
            ELSE (SELECT s.last_at FROM meter_state s WHERE s.meter_id = d.meter_id) END END
    FROM dirty_minutes(p_meters, p_step) d JOIN meters m USING (meter_id) CROSS JOIN LATERAL unnest(d.ranges) AS u (r)
    OFFSET 0    -- a fence: the time is used several times and computed once
$$;
COMMENT ON FUNCTION dirty_ranges(text[], integer) IS 'Per meter the ranges whose stored rollups are not current, bounded by its newest row.';

-- Everything that is not current, aligned to buckets, merged and bounded by the meter's newest row. Days differ by zone: a
-- meter has a row for each zone in which it has been.
CREATE FUNCTION rollup_spans(p_step integer, p_meters text[] DEFAULT NULL) RETURNS TABLE (meter_id text, t0 timestamptz, t1 timestamptz, meter_key integer, zone text)
-- not SQL: inlined into the views it would be planned again and again at each question
LANGUAGE plpgsql STABLE ROWS 20 SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
BEGIN
    IF p_step < 86400 THEN
        RETURN QUERY
        SELECT w.meter_id, lower(x.span), upper(x.span), w.meter_key, NULL::text
        FROM (SELECT d.meter_id, d.meter_key, range_agg(tstzrange(floor_to(p_step, d.t0), date_bin(make_interval(secs => p_step),
                  d.t1 + make_interval(secs => p_step) - interval '1 microsecond', '2000-01-01 00:00:00+00'))) AS spans
              FROM dirty_ranges(p_meters, p_step) d WHERE d.t0 < d.t1 GROUP BY d.meter_id, d.meter_key) w CROSS JOIN LATERAL unnest(w.spans) AS x (span);
    ELSE
        RETURN QUERY
        SELECT w.meter_id, lower(x.span), upper(x.span), w.meter_key, w.zone
        FROM (SELECT d.meter_id, d.meter_key, z.zone, range_agg(tstzrange(bucket_floor(p_step, d.t0, z.zone), bucket_ceil(p_step, d.t1, z.zone))) AS spans
              FROM dirty_ranges(p_meters, p_step) d
              CROSS JOIN LATERAL (SELECT DISTINCT y.zone FROM device_zones() y WHERE y.device_key = 0 OR y.device_key IN
                  (SELECT r.device_key FROM meter_assignments a JOIN devices r USING (device_id) WHERE a.meter_id = d.meter_id)) z
              WHERE d.t0 < d.t1 GROUP BY d.meter_id, d.meter_key, z.zone) w CROSS JOIN LATERAL unnest(w.spans) AS x (span);
    END IF;
END $$;
COMMENT ON FUNCTION rollup_spans(integer, text[]) IS
    'Ranges whose stored rollups of that bucket length in seconds are not current, per meter; of days (86400) per time zone '
    'in which the meter has been.';

-- Every level above the minute uses the same statements: refill_<level>() stores its buckets, tail_<level>()
-- computes those that are not current when they are read, so that the views are always exact. Static functions, because
-- they keep their plans.
DO $$
DECLARE
    level record;
    v_bucket CONSTANT text := '%s, sum(energy_wh), sum(avg_power_w * coverage_s) / nullif(sum(coverage_s), 0), '
        'min(min_power_w), max(max_power_w), sum(coverage_s), meter_key, device_key, sum(reading_count)::integer';
BEGIN
    CREATE FUNCTION tail_1min() RETURNS SETOF series.energy_1min LANGUAGE sql STABLE AS $sql$
        SELECT b.* FROM rollup_spans(60) s JOIN meters m USING (meter_key)
        CROSS JOIN LATERAL (SELECT * FROM minute_buckets(s.meter_id, s.meter_id, s.t0, s.t1) WHERE m.reading_kind <> 'virtual'
                            UNION ALL
                            SELECT * FROM virtual_buckets(s.meter_id, s.t0, s.t1) WHERE m.reading_kind = 'virtual') b
    $sql$;
    FOR level IN SELECT * FROM rollup_levels() WHERE finer IS NOT NULL LOOP
        IF level.step < 86400 THEN
            EXECUTE format($sql$
                CREATE FUNCTION refill_%1$s(p_meter_key integer, p_from timestamptz, p_to timestamptz) RETURNS void LANGUAGE plpgsql AS $f$
                DECLARE
                    v_from timestamptz := floor_to(%3$s, p_from);
                    v_to timestamptz := ceil_to(%3$s, p_to);
                BEGIN
                    DELETE FROM series.energy_%1$s WHERE meter_key = p_meter_key AND bucket >= v_from AND bucket < v_to;
                    INSERT INTO series.energy_%1$s
                        SELECT %4$s FROM series.energy_%2$s WHERE meter_key = p_meter_key AND bucket >= v_from AND bucket < v_to
                        GROUP BY floor_to(%3$s, bucket), meter_key, device_key;
                END $f$
                $sql$, level.name, level.finer, level.step, format(v_bucket, format('floor_to(%s, bucket)', level.step)));
        ELSE
            EXECUTE format($sql$
                CREATE FUNCTION refill_%1$s(p_meter_key integer, p_from timestamptz, p_to timestamptz) RETURNS void LANGUAGE plpgsql AS $f$
                DECLARE
                    v_from timestamptz;
                    v_to timestamptz;
                    v_device integer;
                    v_zone text;
                BEGIN
                    -- each device's own days; no zone is further from another than 26 hours
                    FOR v_device IN
                            SELECT r.device_key FROM series.energy_%2$s r WHERE r.meter_key = p_meter_key
                                AND r.bucket >= p_from - interval '26 hours' AND r.bucket < p_to + interval '26 hours'
                            UNION SELECT r.device_key FROM series.energy_%1$s r WHERE r.meter_key = p_meter_key
                                AND r.bucket >= p_from - interval '26 hours' AND r.bucket < p_to + interval '26 hours' LOOP
                        v_zone := device_key_zone(v_device);
                        v_from := date_trunc('day', p_from, v_zone);
                        v_to := (date_trunc('day', p_to - interval '1 microsecond', v_zone) AT TIME ZONE v_zone + interval '1 day') AT TIME ZONE v_zone;
                        DELETE FROM series.energy_%1$s WHERE meter_key = p_meter_key AND device_key = v_device AND bucket >= v_from AND bucket < v_to;
                        INSERT INTO series.energy_%1$s
                            SELECT %4$s FROM series.energy_%2$s WHERE meter_key = p_meter_key AND device_key = v_device AND bucket >= v_from AND bucket < v_to
                            GROUP BY date_trunc('day', bucket, v_zone), meter_key, device_key;
                    END LOOP;
                END $f$
                $sql$, level.name, level.finer, level.step, format(v_bucket, 'date_trunc(''day'', bucket, v_zone)'));
        END IF;
        EXECUTE format($sql$
            CREATE FUNCTION tail_%1$s() RETURNS SETOF series.energy_%1$s LANGUAGE sql STABLE AS $f$
                SELECT %5$s
                FROM (SELECT t.*, %7$s FROM tail_%2$s() t
                      UNION ALL
                      SELECT r.*, s.zone FROM rollup_spans(%3$s) s JOIN series.energy_%2$s r ON r.meter_key = s.meter_key AND r.bucket >= s.t0 AND r.bucket < s.t1
                      WHERE NOT EXISTS (SELECT 1 FROM rollup_spans(%4$s) d WHERE d.meter_key = r.meter_key AND r.bucket >= d.t0 AND r.bucket < d.t1) %6$s) parts
                GROUP BY 1, meter_key, device_key
            $f$
            $sql$, level.name, level.finer, level.step, level.finer_step, format(v_bucket, format('bucket_floor(%s, bucket, zone)', level.step)),
            CASE WHEN level.step = 86400 THEN 'AND s.zone = (SELECT y.zone FROM device_zones() y WHERE y.device_key = r.device_key)' ELSE '' END,
            CASE WHEN level.step = 86400 THEN '(SELECT y.zone FROM device_zones() y WHERE y.device_key = t.device_key) AS zone' ELSE 'NULL::text AS zone' END);
        EXECUTE format('COMMENT ON FUNCTION refill_%1$s(integer, timestamptz, timestamptz) IS %2$L', level.name,
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
    v_key integer;
    v_kind text;
    v_from timestamptz := greatest(floor_to(60, p_from), setting('frozen_before')::timestamptz);
    v_to timestamptz := ceil_to(60, p_to);
    v_minutes integer;
BEGIN
    IF v_from >= v_to THEN
        RETURN 0;
    END IF;
    SELECT meter_key, reading_kind INTO v_key, v_kind FROM meters WHERE meter_id = p_meter;
    PERFORM ensure_months('energy_1min', v_from, v_to);
    DELETE FROM series.energy_1min WHERE meter_key = v_key AND bucket >= v_from AND bucket < v_to;
    IF v_kind = 'virtual' THEN
        INSERT INTO series.energy_1min SELECT * FROM virtual_buckets(p_meter, v_from, v_to);
    ELSE
        INSERT INTO series.energy_1min SELECT * FROM minute_buckets(p_meter, p_meter, v_from, v_to);
    END IF;
    GET DIAGNOSTICS v_minutes = ROW_COUNT;
    PERFORM refill_15min(v_key, v_from, v_to);
    PERFORM refill_1hour(v_key, v_from, v_to);
    PERFORM refill_1day(v_key, v_from, v_to);
    RETURN v_minutes;
END $$;
COMMENT ON FUNCTION refresh_range(text, timestamptz, timestamptz) IS
    'Computes the stored rollups of the meter that touch [from, to) again, all levels; returns the minutes written.';

CREATE FUNCTION refresh_rollups(p_budget_s float8 DEFAULT 2, p_meters text[] DEFAULT NULL) RETURNS jsonb
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    v_begun timestamptz := clock_timestamp();     -- a CALL has one statement for all its chunks
    v_meter text;
    v_virtual boolean;
    v_marks bigint[];
    v_days boolean;
    v_key integer;
    v_done jsonb := '[]'::jsonb;
    v_ranges integer := 0; v_meters integer := 0; v_minutes integer := 0;
    span record;
BEGIN
    -- A factory's zone or the assignments must not change meanwhile.
    PERFORM lock_registry(false);
    FOREACH v_virtual IN ARRAY ARRAY[false, true] LOOP      -- virtual meters after their parts, which mark them
        FOR v_meter IN
            SELECT d.meter_id FROM (SELECT meter_id FROM meter_state WHERE dirty_from IS NOT NULL UNION SELECT meter_id FROM rollup_dirty) d
            LEFT JOIN meters m USING (meter_id)
            WHERE (p_meters IS NULL OR d.meter_id = ANY (p_meters)) AND (coalesce(m.reading_kind, '') = 'virtual') = v_virtual ORDER BY 1
        LOOP
            EXIT WHEN v_meters > 0 AND clock_timestamp() - v_begun > make_interval(secs => p_budget_s);
            PERFORM 1 FROM meter_state WHERE meter_id = v_meter FOR UPDATE;
            -- The marks are read after the lock: what is marked later stays marked.
            SELECT array_agg(dirty_id), bool_or(step = 86400) INTO v_marks, v_days FROM rollup_dirty WHERE meter_id = v_meter;
            FOR span IN SELECT * FROM rollup_spans(60, ARRAY[v_meter]) LOOP
                v_minutes := v_minutes + refresh_range(v_meter, span.t0, span.t1);
                v_ranges := v_ranges + 1;
                v_done := v_done || jsonb_build_array(jsonb_build_array(v_meter, span.t0, span.t1));
                IF NOT v_virtual THEN
                    PERFORM mark_dirty(p.meter_id, span.t0, span.t1) FROM virtual_meter_parts p WHERE p.part_id = v_meter;
                END IF;
            END LOOP;
            IF v_days THEN
                v_key := meter_key(v_meter);
                DELETE FROM series.energy_1day WHERE meter_key = v_key;
                PERFORM refill_1day(r.meter_key, min(r.bucket), max(r.bucket) + interval '15 minutes')
                    FROM series.energy_15min r WHERE r.meter_key = v_key GROUP BY r.meter_key;
            END IF;
            DELETE FROM rollup_dirty WHERE dirty_id = ANY (v_marks);
            UPDATE meter_state SET dirty_from = NULL WHERE meter_id = v_meter AND dirty_from IS NOT NULL;
            v_meters := v_meters + 1;
        END LOOP;
    END LOOP;
    -- Energy per state changes with it. Devices are locked after all meters, as ingest does.
    WITH changed AS (
        SELECT a.device_id, min(greatest(d.t0, a.valid_from)) AS since
        FROM (SELECT e ->> 0 AS meter_id, (e ->> 1)::timestamptz AS t0, (e ->> 2)::timestamptz AS t1 FROM jsonb_array_elements(v_done) e) d
        JOIN meter_assignments a ON a.meter_id = d.meter_id AND a.adds AND a.valid_from < d.t1 AND a.valid_to > d.t0
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
