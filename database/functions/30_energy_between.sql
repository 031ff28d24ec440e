-- Energy of any range: intervals are cut where the range begins and ends. Inside an interval each power value holds
-- until the next row; the energy of the interval is shared in proportion to power × time, or evenly when no power is
-- known.

-- Energy before p_at of the interval that p_at cuts; NULL when it cuts none.
CREATE FUNCTION energy_edge(p_meter_key integer, p_at timestamptz) RETURNS double precision LANGUAGE plpgsql STABLE AS $$
DECLARE
    o record;
    v_weight double precision;
    v_part double precision;
BEGIN
    SELECT timestamp AS ends, interval_start AS begins, energy_delta_wh AS wh INTO o FROM series.energy
        WHERE meter_key = p_meter_key AND timestamp > p_at AND interval_start IS NOT NULL ORDER BY timestamp LIMIT 1;
    IF NOT FOUND OR o.begins >= p_at THEN
        RETURN NULL;
    END IF;
    IF NOT EXISTS (SELECT 1 FROM series.energy WHERE meter_key = p_meter_key AND timestamp > o.begins AND timestamp < o.ends) THEN
        RETURN o.wh * date_part('epoch', p_at - o.begins) / date_part('epoch', o.ends - o.begins);
    END IF;
    SELECT sum(w.watts * w.seconds), sum(w.watts * w.before) INTO v_weight, v_part
        FROM (SELECT coalesce(q.power_watts, avg(q.power_watts) OVER (), 1) AS watts, q.seconds,
                     least(q.seconds, greatest(0, extract(epoch FROM p_at - q.timestamp)::float8)) AS before
              FROM (SELECT timestamp, power_watts, extract(epoch FROM lead(timestamp, 1, o.ends) OVER (ORDER BY timestamp) - timestamp)::float8 AS seconds
                    FROM (SELECT o.begins AS timestamp, (SELECT power_watts FROM series.energy WHERE meter_key = p_meter_key AND timestamp = o.begins) AS power_watts
                          UNION ALL
                          SELECT timestamp, power_watts FROM series.energy
                          WHERE meter_key = p_meter_key AND timestamp > o.begins AND timestamp < o.ends) rows) q) w;
    IF v_weight > 0 THEN
        RETURN o.wh * v_part / v_weight;
    END IF;
    RETURN o.wh * extract(epoch FROM p_at - o.begins)::float8 / extract(epoch FROM o.ends - o.begins)::float8;
END $$;
COMMENT ON FUNCTION energy_edge(integer, timestamptz) IS
    'Wh of the interval that the given time cuts, up to that time; NULL when it cuts none.';

-- A virtual meter is Σ factor × part; what one part does not know the sum does not know.
CREATE FUNCTION virtual_energy(p_meter text, p_from timestamptz, p_to timestamptz, p_from_rows boolean) RETURNS double precision LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_sum double precision;
    v_known boolean;
BEGIN
    SELECT sum(v.factor * e.wh), bool_and(e.wh IS NOT NULL) INTO v_sum, v_known
        FROM virtual_meter_parts v
        CROSS JOIN LATERAL (SELECT CASE WHEN p_from_rows THEN energy_between(v.part_id, p_from, p_to) ELSE meter_energy(v.part_id, p_from, p_to) END AS wh) e
        WHERE v.meter_id = p_meter;
    RETURN CASE WHEN v_known THEN v_sum END;
END $$;
COMMENT ON FUNCTION virtual_energy(text, timestamptz, timestamptz, boolean) IS
    'Wh of a virtual meter in [from, to): the sum of its parts times their factors, directly from the rows or with the help '
    'of the rollups; NULL when one of them is not known.';

CREATE FUNCTION energy_between(p_meter text, p_from timestamptz, p_to timestamptz) RETURNS double precision LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_key integer;
    v_kind text;
    v_whole double precision;
    v_edge double precision;
BEGIN
    IF p_to <= p_from THEN
        RETURN NULL;
    END IF;
    SELECT meter_key, reading_kind INTO v_key, v_kind FROM meters WHERE meter_id = p_meter;
    IF v_kind = 'virtual' THEN
        RETURN virtual_energy(p_meter, p_from, p_to, true);
    END IF;
    SELECT sum(energy_delta_wh) INTO v_whole FROM series.energy
        WHERE meter_key = v_key AND timestamp > p_from AND timestamp <= p_to AND interval_start IS NOT NULL;
    v_edge := energy_edge(v_key, p_to);
    IF v_whole IS NULL AND v_edge IS NULL THEN
        RETURN NULL;
    END IF;
    RETURN coalesce(v_whole, 0) + coalesce(v_edge, 0) - coalesce(energy_edge(v_key, p_from), 0);
END $$;
COMMENT ON FUNCTION energy_between(text, timestamptz, timestamptz) IS
    'Wh that the meter measured in [from, to), directly from the rows; NULL when nothing is known of that range. Adds '
    'up: (a,b) + (b,c) = (a,c).';

-- The stretches of time in which rows must be read because stored rollups are not current; whole minutes, merged. A
-- virtual meter is not current where one of its parts is not.
CREATE FUNCTION dirty_minutes(p_meters text[] DEFAULT NULL, p_step integer DEFAULT 60) RETURNS TABLE (meter_id text, ranges tstzmultirange) LANGUAGE sql STABLE AS $$
    SELECT d.meter_id, range_agg(tstzrange(floor_to(60, d.from_ts), CASE WHEN d.to_ts = 'infinity' THEN d.to_ts ELSE ceil_to(60, d.to_ts) END))
    FROM (SELECT s.meter_id, s.dirty_from AS from_ts, 'infinity'::timestamptz AS to_ts FROM meter_state s
          WHERE s.dirty_from IS NOT NULL AND (p_meters IS NULL OR s.meter_id = ANY (p_meters))
          UNION ALL
          SELECT r.meter_id, r.from_ts, r.to_ts FROM rollup_dirty r WHERE r.step <= p_step AND (p_meters IS NULL OR r.meter_id = ANY (p_meters))
          UNION ALL
          SELECT v.meter_id, s.dirty_from, 'infinity'::timestamptz FROM virtual_meter_parts v JOIN meter_state s ON s.meter_id = v.part_id
          WHERE s.dirty_from IS NOT NULL AND (p_meters IS NULL OR v.meter_id = ANY (p_meters))
          UNION ALL
          SELECT v.meter_id, r.from_ts, r.to_ts FROM virtual_meter_parts v JOIN rollup_dirty r ON r.meter_id = v.part_id
          WHERE r.step <= p_step AND (p_meters IS NULL OR v.meter_id = ANY (p_meters))) d
    GROUP BY d.meter_id
$$;
COMMENT ON FUNCTION dirty_minutes(text[], integer) IS
    'Per meter the merged ranges (whole UTC minutes) whose stored rollups of buckets of that many seconds are not current.';

-- Σ of stored rollups over whole minutes, from the coarsest level that fits. Days are not used: their edges depend on a
-- zone.
CREATE FUNCTION stored_energy(p_meter_key integer, p_from timestamptz, p_to timestamptz) RETURNS double precision LANGUAGE sql STABLE AS $$
    SELECT sum(wh) FROM (
        SELECT sum(energy_wh) AS wh FROM series.energy_1hour
            WHERE meter_key = p_meter_key AND bucket >= ceil_to(3600, p_from) AND bucket < floor_to(3600, p_to)
        UNION ALL
        SELECT sum(energy_wh) FROM series.energy_15min
            WHERE meter_key = p_meter_key AND bucket >= ceil_to(900, p_from) AND bucket < least(ceil_to(3600, p_from), floor_to(900, p_to))
        UNION ALL
        SELECT sum(energy_wh) FROM series.energy_15min
            WHERE meter_key = p_meter_key AND bucket >= greatest(floor_to(3600, p_to), ceil_to(3600, p_from)) AND bucket < floor_to(900, p_to)
        UNION ALL
        SELECT sum(energy_wh) FROM series.energy_1min
            WHERE meter_key = p_meter_key AND bucket >= p_from AND bucket < least(ceil_to(900, p_from), p_to)
        UNION ALL
        SELECT sum(energy_wh) FROM series.energy_1min
            WHERE meter_key = p_meter_key AND bucket >= greatest(floor_to(900, p_to), ceil_to(900, p_from)) AND bucket < p_to) levels
$$;
COMMENT ON FUNCTION stored_energy(integer, timestamptz, timestamptz) IS
    'Wh of the stored rollups over whole minutes [from, to); correct only where they are current.';

-- energy_between() with the help of the rollups: rows at the edges and where rollups are not current, rollups
-- elsewhere.
CREATE FUNCTION meter_energy(p_meter text, p_from timestamptz, p_to timestamptz) RETURNS double precision LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_from timestamptz := ceil_to(60, p_from);
    v_to timestamptz := floor_to(60, p_to);
    v_frozen timestamptz := setting('frozen_before')::timestamptz;
    v_key integer;
    v_kind text;
    v_dirty_from timestamptz;
    v_marked boolean;
    v_known tstzmultirange;
    v_sum double precision;
    v_part double precision;
    piece tstzrange;
BEGIN
    IF p_to <= p_from THEN
        RETURN NULL;
    END IF;
    SELECT m.meter_key, m.reading_kind, t.dirty_from, EXISTS (SELECT 1 FROM rollup_dirty d WHERE d.meter_id = p_meter AND d.step = 60)
        INTO v_key, v_kind, v_dirty_from, v_marked FROM meters m LEFT JOIN meter_state t USING (meter_id) WHERE m.meter_id = p_meter;
    IF v_kind = 'virtual' THEN
        RETURN virtual_energy(p_meter, p_from, p_to, false);
    END IF;
    IF p_from < v_frozen THEN   -- rows are gone: nothing finer than minutes is left
        v_from := floor_to(60, p_from);
    END IF;
    IF v_from >= v_to THEN
        RETURN energy_between(p_meter, p_from, p_to);
    END IF;
    v_known := tstzmultirange(tstzrange(v_from, v_to));
    IF v_marked THEN
        v_known := v_known - coalesce((SELECT ranges FROM dirty_minutes(ARRAY[p_meter])), '{}');
    ELSIF v_dirty_from < v_to THEN      -- the usual case: only the newest minutes are not rolled up yet
        v_known := v_known - tstzmultirange(tstzrange(floor_to(60, v_dirty_from), 'infinity'));
    END IF;
    IF v_known = tstzmultirange(tstzrange(p_from, p_to)) THEN
        RETURN stored_energy(v_key, p_from, p_to);
    END IF;
    FOR piece IN SELECT unnest(v_known) LOOP
        v_part := stored_energy(v_key, lower(piece), upper(piece));
        v_sum := CASE WHEN v_part IS NULL THEN v_sum ELSE coalesce(v_sum, 0) + v_part END;
    END LOOP;
    FOR piece IN SELECT unnest(tstzmultirange(tstzrange(least(p_from, v_from), p_to)) - v_known) LOOP
        v_part := energy_between(p_meter, lower(piece), upper(piece));
        v_sum := CASE WHEN v_part IS NULL THEN v_sum ELSE coalesce(v_sum, 0) + v_part END;
    END LOOP;
    RETURN v_sum;
END $$;
COMMENT ON FUNCTION meter_energy(text, timestamptz, timestamptz) IS
    'Wh of the meter in [from, to) like energy_between, but fast over long ranges: stored rollups inside, rows at the '
    'edges and where rollups are not current.';

-- meter_energy() for many meters at once; it calls that one for what is not ordinary (late rows that wait for their
-- rollups, rows that are gone).
CREATE FUNCTION meters_energy(p_meter text[], p_from timestamptz[], p_to timestamptz[]) RETURNS TABLE (n bigint, energy_wh double precision)
LANGUAGE plpgsql STABLE SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
BEGIN RETURN QUERY     -- plpgsql only because it keeps the plan: planning costs more than running it
    WITH wanted AS MATERIALIZED (
        SELECT u.n, u.meter_id, u.meter_key, u.t0, u.t1, u.s0, u.s1, ceil_to(3600, u.s0) AS h0, floor_to(3600, u.s1) AS h1, ceil_to(900, u.s0) AS q0, floor_to(900, u.s1) AS q1,
               u.s0 < u.s1 AND u.t0 >= (SELECT coalesce(setting('frozen_before')::timestamptz, '-infinity')) AND u.reading_kind <> 'virtual'
                   AND NOT EXISTS (SELECT 1 FROM rollup_dirty d WHERE d.meter_id = u.meter_id AND d.step = 60) AS stored
        FROM (SELECT w.n, w.meter_id, m.meter_key, m.reading_kind, w.t0, w.t1, ceil_to(60, w.t0) AS s0,
                     -- without fresh rows everything up to the newest row is stored
                     CASE WHEN s.dirty_from IS NULL AND w.t1 >= s.last_at THEN ceil_to(60, w.t1) ELSE floor_to(60, least(w.t1, s.dirty_from)) END AS s1
              FROM unnest(p_meter, p_from, p_to) WITH ORDINALITY AS w (meter_id, t0, t1, n) JOIN meter_state s ON s.meter_id = w.meter_id
              JOIN meters m ON m.meter_id = w.meter_id
              WHERE w.t0 < w.t1) u
    ), pieces AS (
        -- Each level is read only where it is needed: edges on the hour, as tariffs have them, need nothing finer.
        SELECT w.n, r.energy_wh FROM wanted w JOIN series.energy_1hour r ON r.meter_key = w.meter_key AND r.bucket >= w.h0 AND r.bucket < w.h1
            WHERE w.stored AND w.h0 < w.h1
        UNION ALL
        SELECT w.n, r.energy_wh FROM wanted w JOIN series.energy_15min r ON r.meter_key = w.meter_key
            AND r.bucket >= w.q0 AND r.bucket < least(w.h0, w.q1) WHERE w.stored AND w.q0 < least(w.h0, w.q1)
        UNION ALL
        SELECT w.n, r.energy_wh FROM wanted w JOIN series.energy_15min r ON r.meter_key = w.meter_key
            AND r.bucket >= greatest(w.h1, w.h0) AND r.bucket < w.q1 WHERE w.stored AND greatest(w.h1, w.h0) < w.q1
        UNION ALL
        SELECT w.n, r.energy_wh FROM wanted w JOIN series.energy_1min r ON r.meter_key = w.meter_key
            AND r.bucket >= w.s0 AND r.bucket < least(w.q0, w.s1) WHERE w.stored AND w.s0 < least(w.q0, w.s1)
        UNION ALL
        SELECT w.n, r.energy_wh FROM wanted w JOIN series.energy_1min r ON r.meter_key = w.meter_key
            AND r.bucket >= greatest(w.q1, w.q0) AND r.bucket < w.s1 WHERE w.stored AND greatest(w.q1, w.q0) < w.s1
        UNION ALL   -- energy_between() of both ends, in place: whole intervals, and the cut ones at each edge
        SELECT w.n, e.energy_delta_wh FROM wanted w JOIN series.energy e ON e.meter_key = w.meter_key
            AND e.timestamp > w.t0 AND e.timestamp <= w.s0 AND e.interval_start IS NOT NULL WHERE w.stored AND w.t0 < w.s0
        UNION ALL
        SELECT w.n, e.energy_delta_wh FROM wanted w JOIN series.energy e ON e.meter_key = w.meter_key
            AND e.timestamp > w.s1 AND e.timestamp <= w.t1 AND e.interval_start IS NOT NULL WHERE w.stored AND w.s1 < w.t1
        UNION ALL
        SELECT w.n, c.sign * CASE WHEN EXISTS (SELECT 1 FROM series.energy i WHERE i.meter_key = w.meter_key AND i.timestamp > o.begins AND i.timestamp < o.ends)
                                  THEN energy_edge(w.meter_key, c.at)
                                  ELSE o.wh * date_part('epoch', c.at - o.begins) / date_part('epoch', o.ends - o.begins) END
        FROM wanted w
        CROSS JOIN LATERAL (VALUES (w.t0, -1, w.t0 < w.s0), (w.s0, 1, w.t0 < w.s0), (w.s1, -1, w.s1 < w.t1), (w.t1, 1, w.s1 < w.t1)) AS c (at, sign, wanted)
        CROSS JOIN LATERAL (SELECT e.timestamp AS ends, e.interval_start AS begins, e.energy_delta_wh AS wh FROM series.energy e
            WHERE e.meter_key = w.meter_key AND e.timestamp > c.at AND e.interval_start IS NOT NULL ORDER BY e.timestamp LIMIT 1) o
        WHERE w.stored AND (w.t0 < w.s0 OR w.s1 < w.t1) AND c.wanted AND o.begins < c.at
        UNION ALL
        SELECT w.n, meter_energy(w.meter_id, w.t0, w.t1) FROM wanted w WHERE NOT w.stored
    )
    SELECT p.n, sum(p.energy_wh) FROM pieces p GROUP BY p.n;
END $$;
COMMENT ON FUNCTION meters_energy(text[], timestamptz[], timestamptz[]) IS
    'Wh of each (meter, from, to) by its place in the arrays, as from meter_energy; one statement for many.';

CREATE FUNCTION devices_energy(p_device text[], p_from timestamptz[], p_to timestamptz[], p_energy_type text DEFAULT 'electricity', p_job boolean DEFAULT false)
RETURNS TABLE (n bigint, energy_wh double precision) LANGUAGE plpgsql STABLE SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
BEGIN RETURN QUERY
    WITH parts AS MATERIALIZED (
        SELECT row_number() OVER () AS part, w.n, a.meter_id, greatest(a.valid_from, w.t0) AS t0, least(a.valid_to, w.t1) AS t1
        FROM unnest(p_device, p_from, p_to) WITH ORDINALITY AS w (device_id, t0, t1, n)
        JOIN meter_assignments a ON a.device_id = w.device_id AND a.valid_from < w.t1 AND a.valid_to > w.t0 AND a.adds AND (a.counts_to_job OR NOT p_job)
        JOIN meters m ON m.meter_id = a.meter_id AND m.energy_type = p_energy_type AND m.direction = 'import'
    )
    SELECT p.n, sum(e.energy_wh)
    FROM meters_energy((SELECT array_agg(meter_id ORDER BY part) FROM parts), (SELECT array_agg(t0 ORDER BY part) FROM parts),
                       (SELECT array_agg(t1 ORDER BY part) FROM parts)) e JOIN parts p ON p.part = e.n
    GROUP BY p.n;
END $$;
COMMENT ON FUNCTION devices_energy(text[], timestamptz[], timestamptz[], text, boolean) IS
    'Wh of each (device, from, to) by its place n in the arrays, as from device_energy; one statement for many. Those '
    'about which nothing is known are missing. p_job: only over meters that count to a print.';

CREATE FUNCTION devices_energy(p_from timestamptz, p_to timestamptz, p_energy_type text DEFAULT 'electricity')
RETURNS TABLE (device_id text, energy_wh double precision) LANGUAGE sql STABLE AS $$
    WITH d AS MATERIALIZED (SELECT x.device_id, row_number() OVER () AS n FROM devices x)
    SELECT d.device_id, e.energy_wh
    FROM devices_energy((SELECT array_agg(d.device_id ORDER BY d.n) FROM d), (SELECT array_agg(p_from) FROM d), (SELECT array_agg(p_to) FROM d), p_energy_type) e
    JOIN d ON d.n = e.n
$$;
COMMENT ON FUNCTION devices_energy(timestamptz, timestamptz, text) IS
    'Wh of every device in [from, to) over its meters of the energy type that add up; devices about which nothing is '
    'known are missing.';

CREATE FUNCTION device_energy(p_device text, p_from timestamptz, p_to timestamptz, p_energy_type text DEFAULT 'electricity')
RETURNS double precision LANGUAGE sql STABLE AS $$
    SELECT sum(meter_energy(a.meter_id, greatest(a.valid_from, p_from), least(a.valid_to, p_to)))
    FROM meter_assignments a JOIN meters m USING (meter_id)
    WHERE a.device_id = p_device AND a.adds AND m.energy_type = p_energy_type AND m.direction = 'import' AND a.valid_from < p_to AND a.valid_to > p_from
$$;
COMMENT ON FUNCTION device_energy(text, timestamptz, timestamptz, text) IS
    'Wh of the device in [from, to) over its meters of the energy type that add up (main, dryer, accessory; what flows '
    'in); NULL when nothing is known.';

CREATE FUNCTION length_s(p_ranges tstzmultirange) RETURNS double precision LANGUAGE sql IMMUTABLE AS
$$ SELECT coalesce(sum(extract(epoch FROM upper(r) - lower(r))), 0)::float8 FROM unnest(p_ranges) r $$;
COMMENT ON FUNCTION length_s(tstzmultirange) IS 'How many seconds the ranges are long together.';

CREATE FUNCTION device_energy_detail(p_device text, p_from timestamptz, p_to timestamptz, p_energy_type text DEFAULT 'electricity')
RETURNS TABLE (energy_wh double precision, coverage_s double precision, gap_s double precision, gaps integer, resets integer,
               jumps integer, backs integer, last_reading timestamptz) LANGUAGE sql STABLE AS $$
    WITH parts AS (     -- nobody misses a meter before its first reading; a virtual meter is covered where its parts are
        SELECT DISTINCT r.meter_key, r.reading_kind, greatest(a.valid_from, p_from, f.at, setting('frozen_before')::timestamptz) AS t0, least(a.valid_to, p_to) AS t1
        FROM meter_assignments a JOIN meters m USING (meter_id)
        LEFT JOIN virtual_meter_parts v ON v.meter_id = m.meter_id
        JOIN meters r ON r.meter_id = coalesce(v.part_id, m.meter_id)
        CROSS JOIN LATERAL (SELECT coalesce(e.interval_start, e.timestamp) AS at FROM series.energy e WHERE e.meter_key = r.meter_key ORDER BY e.timestamp LIMIT 1) f
        WHERE a.device_id = p_device AND a.adds AND m.energy_type = p_energy_type AND m.direction = 'import' AND a.valid_from < p_to AND a.valid_to > p_from
          AND greatest(a.valid_from, p_from, f.at, setting('frozen_before')::timestamptz) < least(a.valid_to, p_to)
          -- one that came from a file has no readings of the time after it
          AND (m.protocol <> 'import' OR EXISTS (SELECT 1 FROM series.energy e WHERE e.meter_key = m.meter_key AND e.timestamp > p_from))
    ), rows AS (   -- each row with its predecessor; the first row after the range closes it
        SELECT p.meter_key, p.t0, p.t1, r.timestamp, r.quality, r.in_range,
               -- the row before the first one may be gone by retention
               coalesce(lag(r.timestamp) OVER (PARTITION BY p.meter_key, p.t0 ORDER BY r.timestamp), r.interval_start) AS before_at,
               -- an interval that begins after the row before it leaves a gap between them
               CASE WHEN p.reading_kind = 'interval' THEN r.interval_start END AS begins
        FROM parts p CROSS JOIN LATERAL (
            (SELECT e.timestamp, e.quality, e.interval_start, false AS in_range FROM series.energy e
             WHERE e.meter_key = p.meter_key AND e.timestamp <= p.t0 ORDER BY e.timestamp DESC LIMIT 1)
            UNION ALL
            SELECT e.timestamp, e.quality, e.interval_start, true FROM series.energy e WHERE e.meter_key = p.meter_key AND e.timestamp > p.t0 AND e.timestamp <= p.t1
            UNION ALL
            (SELECT e.timestamp, e.quality, e.interval_start, false FROM series.energy e
             WHERE e.meter_key = p.meter_key AND e.timestamp > p.t1 ORDER BY e.timestamp LIMIT 1)) r
    ), steps AS (
        SELECT r.meter_key, r.t0, r.t1, r.timestamp, r.quality, r.in_range,
               tstzrange(greatest(coalesce(r.begins, r.before_at), r.t0), least(r.timestamp, r.t1)) * tstzrange(r.t0, r.t1) AS span,
               CASE WHEN r.begins > greatest(r.before_at, r.t0) AND r.before_at < r.t1 THEN tstzrange(greatest(r.before_at, r.t0), least(r.begins, r.t1)) END AS hole,
               (has_flag(r.quality, 'gap') AND (r.begins > r.before_at) IS NOT TRUE) OR has_flag(r.quality, 'excluded') AS is_silent
        FROM rows r WHERE coalesce(r.begins, r.before_at) < r.t1 AND r.timestamp > r.t0
    ), known AS (
        SELECT meter_key, t0, range_agg(span) FILTER (WHERE NOT is_silent) AS covered,
               coalesce(range_agg(span) FILTER (WHERE is_silent), '{}') + coalesce(range_agg(hole) FILTER (WHERE hole IS NOT NULL), '{}') AS silent
        FROM steps GROUP BY meter_key, t0
    ), stretches AS (   -- between changes of its meters: of several at a time the one with the least coverage decides
        SELECT e.at AS t0, lead(e.at) OVER (ORDER BY e.at) AS t1 FROM (SELECT t0 AS at FROM parts UNION SELECT t1 FROM parts) e
    ), seen AS (
        SELECT s.t0, p.meter_key, length_s(coalesce(k.covered, '{}') * tstzmultirange(tstzrange(s.t0, s.t1))) AS covered,
               length_s(coalesce(k.silent, '{}') * tstzmultirange(tstzrange(s.t0, s.t1))) AS silent
        FROM stretches s JOIN parts p ON p.t0 < s.t1 AND p.t1 > s.t0 LEFT JOIN known k ON k.meter_key = p.meter_key AND k.t0 = p.t0
    ), frozen AS (      -- where the rows are gone the minutes still know
        SELECT m.meter_key, sum(r.coverage_s) AS covered
        FROM meter_assignments a JOIN meters m USING (meter_id) JOIN series.energy_1min r USING (meter_key)
        WHERE p_from < setting('frozen_before')::timestamptz AND a.device_id = p_device AND a.adds AND m.energy_type = p_energy_type AND m.direction = 'import'
          AND r.bucket >= greatest(a.valid_from, p_from) AND r.bucket < least(a.valid_to, p_to, setting('frozen_before')::timestamptz)
        GROUP BY m.meter_key
    ), sums AS (
        SELECT sum(x.covered) AS covered, sum(x.silent) AS silent FROM (SELECT min(covered) AS covered, max(silent) AS silent FROM seen GROUP BY t0) x
    )
    SELECT device_energy(p_device, p_from, p_to, p_energy_type),
           coalesce((SELECT covered FROM sums), 0) + coalesce((SELECT min(covered) FROM frozen), 0), coalesce((SELECT silent FROM sums), 0),
           (count(*) FILTER (WHERE has_flag(s.quality, 'gap') OR NOT isempty(s.hole)))::integer, (count(*) FILTER (WHERE has_flag(s.quality, 'reset')))::integer,
           (count(*) FILTER (WHERE has_flag(s.quality, 'jump')))::integer, (count(*) FILTER (WHERE has_flag(s.quality, 'back')))::integer,
           (SELECT max(r.timestamp) FROM rows r WHERE r.in_range)
    FROM steps s
$$;
COMMENT ON FUNCTION device_energy_detail(text, timestamptz, timestamptz, text) IS
    'Energy in Wh with its quality: seconds covered by readings, seconds of silence (of several meters at a time those of '
    'the worst), counts of gaps, '
    'resets, jumps and steps back, newest reading.';
