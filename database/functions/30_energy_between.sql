-- Energy of any range: intervals are cut where the range begins and ends. Inside an interval each power value holds
-- until the next row; the energy of the interval is shared in proportion to power × time, or evenly when no power is
-- known.

-- Energy before p_at of the interval that p_at cuts; NULL when it cuts none.
CREATE FUNCTION energy_edge(p_meter text, p_at timestamptz) RETURNS double precision LANGUAGE plpgsql STABLE AS $$
DECLARE
    o record;
    v_weight double precision;
    v_part double precision;
BEGIN
    SELECT timestamp AS ends, interval_start AS begins, energy_delta_wh AS wh INTO o FROM energy_data
        WHERE meter_id = p_meter AND timestamp > p_at AND interval_start IS NOT NULL ORDER BY timestamp LIMIT 1;
    IF NOT FOUND OR o.begins >= p_at THEN
        RETURN NULL;
    END IF;
    IF NOT EXISTS (SELECT 1 FROM energy_data WHERE meter_id = p_meter AND timestamp > o.begins AND timestamp < o.ends) THEN
        RETURN o.wh * date_part('epoch', p_at - o.begins) / date_part('epoch', o.ends - o.begins);
    END IF;
    SELECT sum(w.watts * w.seconds), sum(w.watts * w.before) INTO v_weight, v_part
        FROM (SELECT coalesce(q.power_watts, avg(q.power_watts) OVER (), 1) AS watts, q.seconds,
                     least(q.seconds, greatest(0, extract(epoch FROM p_at - q.timestamp)::float8)) AS before
              FROM (SELECT timestamp, power_watts, extract(epoch FROM lead(timestamp, 1, o.ends) OVER (ORDER BY timestamp) - timestamp)::float8 AS seconds
                    FROM (SELECT o.begins AS timestamp, (SELECT power_watts FROM energy_data WHERE meter_id = p_meter AND timestamp = o.begins) AS power_watts
                          UNION ALL
                          SELECT timestamp, power_watts FROM energy_data
                          WHERE meter_id = p_meter AND timestamp > o.begins AND timestamp < o.ends) rows) q) w;
    IF v_weight > 0 THEN
        RETURN o.wh * v_part / v_weight;
    END IF;
    RETURN o.wh * extract(epoch FROM p_at - o.begins)::float8 / extract(epoch FROM o.ends - o.begins)::float8;
END $$;
COMMENT ON FUNCTION energy_edge(text, timestamptz) IS
    'Wh of the interval that the given time cuts, up to that time; NULL when it cuts none.';

CREATE FUNCTION energy_between(p_meter text, p_from timestamptz, p_to timestamptz) RETURNS double precision LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_whole double precision;
    v_edge double precision;
BEGIN
    IF p_to <= p_from THEN
        RETURN NULL;
    END IF;
    SELECT sum(energy_delta_wh) INTO v_whole FROM energy_data
        WHERE meter_id = p_meter AND timestamp > p_from AND timestamp <= p_to AND interval_start IS NOT NULL;
    v_edge := energy_edge(p_meter, p_to);
    IF v_whole IS NULL AND v_edge IS NULL THEN
        RETURN NULL;
    END IF;
    RETURN coalesce(v_whole, 0) + coalesce(v_edge, 0) - coalesce(energy_edge(p_meter, p_from), 0);
END $$;
COMMENT ON FUNCTION energy_between(text, timestamptz, timestamptz) IS
    'Wh that the meter measured in [from, to), directly from the rows; NULL when nothing is known of that range. Adds '
    'up: (a,b) + (b,c) = (a,c).';

-- The stretches of time in which rows must be read because stored rollups are not current; whole minutes, merged.
CREATE FUNCTION dirty_minutes(p_meters text[] DEFAULT NULL) RETURNS TABLE (meter_id text, ranges tstzmultirange) LANGUAGE sql STABLE AS $$
    SELECT d.meter_id, range_agg(tstzrange(floor_to(60, d.from_ts), CASE WHEN d.to_ts = 'infinity' THEN d.to_ts ELSE ceil_to(60, d.to_ts) END))
    FROM (SELECT s.meter_id, s.dirty_from AS from_ts, 'infinity'::timestamptz AS to_ts FROM meter_state s
          WHERE s.dirty_from IS NOT NULL AND (p_meters IS NULL OR s.meter_id = ANY (p_meters))
          UNION ALL
          SELECT r.meter_id, r.from_ts, r.to_ts FROM rollup_dirty r WHERE p_meters IS NULL OR r.meter_id = ANY (p_meters)) d
    GROUP BY d.meter_id
$$;
COMMENT ON FUNCTION dirty_minutes(text[]) IS
    'Per meter the merged ranges (whole UTC minutes) whose stored rollups are not current.';

-- Σ of stored rollups over whole minutes, from the coarsest level that fits. Days are not used: their edges depend on a
-- zone.
CREATE FUNCTION stored_energy(p_meter text, p_from timestamptz, p_to timestamptz) RETURNS double precision LANGUAGE sql STABLE AS $$
    SELECT sum(wh) FROM (
        SELECT sum(energy_wh) AS wh FROM energy_rollup_1hour
            WHERE meter_id = p_meter AND bucket >= ceil_to(3600, p_from) AND bucket < floor_to(3600, p_to)
        UNION ALL
        SELECT sum(energy_wh) FROM energy_rollup_15min
            WHERE meter_id = p_meter AND bucket >= ceil_to(900, p_from) AND bucket < least(ceil_to(3600, p_from), floor_to(900, p_to))
        UNION ALL
        SELECT sum(energy_wh) FROM energy_rollup_15min
            WHERE meter_id = p_meter AND bucket >= greatest(floor_to(3600, p_to), ceil_to(3600, p_from)) AND bucket < floor_to(900, p_to)
        UNION ALL
        SELECT sum(energy_wh) FROM energy_rollup_1min
            WHERE meter_id = p_meter AND bucket >= p_from AND bucket < least(ceil_to(900, p_from), p_to)
        UNION ALL
        SELECT sum(energy_wh) FROM energy_rollup_1min
            WHERE meter_id = p_meter AND bucket >= greatest(floor_to(900, p_to), ceil_to(900, p_from)) AND bucket < p_to) levels
$$;
COMMENT ON FUNCTION stored_energy(text, timestamptz, timestamptz) IS
    'Wh of the stored rollups over whole minutes [from, to); correct only where they are current.';

-- energy_between() with the help of the rollups: rows at the edges and where rollups are not current, rollups
-- elsewhere.
CREATE FUNCTION meter_energy(p_meter text, p_from timestamptz, p_to timestamptz) RETURNS double precision LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_from timestamptz := ceil_to(60, p_from);
    v_to timestamptz := floor_to(60, p_to);
    v_frozen timestamptz := setting('frozen_before')::timestamptz;
    v_known tstzmultirange;
    v_sum double precision;
    v_part double precision;
    piece tstzrange;
BEGIN
    IF p_to <= p_from THEN
        RETURN NULL;
    END IF;
    IF p_from < v_frozen THEN   -- rows are gone: nothing finer than minutes is left
        v_from := floor_to(60, p_from);
    END IF;
    IF v_from >= v_to THEN
        RETURN energy_between(p_meter, p_from, p_to);
    END IF;
    v_known := tstzmultirange(tstzrange(v_from, v_to)) - coalesce((SELECT ranges FROM dirty_minutes(ARRAY[p_meter])), '{}');
    FOR piece IN SELECT unnest(v_known) LOOP
        v_part := stored_energy(p_meter, lower(piece), upper(piece));
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
        SELECT u.n, u.meter_id, u.t0, u.t1, u.s0, u.s1, ceil_to(3600, u.s0) AS h0, floor_to(3600, u.s1) AS h1, ceil_to(900, u.s0) AS q0, floor_to(900, u.s1) AS q1,
               u.s0 < u.s1 AND u.t0 >= (SELECT coalesce(setting('frozen_before')::timestamptz, '-infinity')) AND NOT EXISTS (SELECT 1 FROM rollup_dirty d WHERE d.meter_id = u.meter_id) AS stored
        FROM (SELECT w.n, w.meter_id, w.t0, w.t1, ceil_to(60, w.t0) AS s0,
                     -- without fresh rows everything up to the newest row is stored
                     CASE WHEN s.dirty_from IS NULL AND w.t1 >= s.last_at THEN ceil_to(60, w.t1) ELSE floor_to(60, least(w.t1, s.dirty_from)) END AS s1
              FROM unnest(p_meter, p_from, p_to) WITH ORDINALITY AS w (meter_id, t0, t1, n) JOIN meter_state s ON s.meter_id = w.meter_id
              WHERE w.t0 < w.t1) u
    ), pieces AS (
        -- Each level is read only where it is needed: edges on the hour, as tariffs have them, need nothing finer.
        SELECT w.n, r.energy_wh FROM wanted w JOIN energy_rollup_1hour r ON r.meter_id = w.meter_id AND r.bucket >= w.h0 AND r.bucket < w.h1
            WHERE w.stored AND w.h0 < w.h1
        UNION ALL
        SELECT w.n, r.energy_wh FROM wanted w JOIN energy_rollup_15min r ON r.meter_id = w.meter_id
            AND r.bucket >= w.q0 AND r.bucket < least(w.h0, w.q1) WHERE w.stored AND w.q0 < least(w.h0, w.q1)
        UNION ALL
        SELECT w.n, r.energy_wh FROM wanted w JOIN energy_rollup_15min r ON r.meter_id = w.meter_id
            AND r.bucket >= greatest(w.h1, w.h0) AND r.bucket < w.q1 WHERE w.stored AND greatest(w.h1, w.h0) < w.q1
        UNION ALL
        SELECT w.n, r.energy_wh FROM wanted w JOIN energy_rollup_1min r ON r.meter_id = w.meter_id
            AND r.bucket >= w.s0 AND r.bucket < least(w.q0, w.s1) WHERE w.stored AND w.s0 < least(w.q0, w.s1)
        UNION ALL
        SELECT w.n, r.energy_wh FROM wanted w JOIN energy_rollup_1min r ON r.meter_id = w.meter_id
            AND r.bucket >= greatest(w.q1, w.q0) AND r.bucket < w.s1 WHERE w.stored AND greatest(w.q1, w.q0) < w.s1
        UNION ALL   -- energy_between() of both ends, in place: whole intervals, and the cut ones at each edge
        SELECT w.n, e.energy_delta_wh FROM wanted w JOIN energy_data e ON e.meter_id = w.meter_id
            AND e.timestamp > w.t0 AND e.timestamp <= w.s0 AND e.interval_start IS NOT NULL WHERE w.stored AND w.t0 < w.s0
        UNION ALL
        SELECT w.n, e.energy_delta_wh FROM wanted w JOIN energy_data e ON e.meter_id = w.meter_id
            AND e.timestamp > w.s1 AND e.timestamp <= w.t1 AND e.interval_start IS NOT NULL WHERE w.stored AND w.s1 < w.t1
        UNION ALL
        SELECT w.n, c.sign * CASE WHEN EXISTS (SELECT 1 FROM energy_data i WHERE i.meter_id = w.meter_id AND i.timestamp > o.begins AND i.timestamp < o.ends)
                                  THEN energy_edge(w.meter_id, c.at)
                                  ELSE o.wh * date_part('epoch', c.at - o.begins) / date_part('epoch', o.ends - o.begins) END
        FROM wanted w
        CROSS JOIN LATERAL (VALUES (w.t0, -1, w.t0 < w.s0), (w.s0, 1, w.t0 < w.s0), (w.s1, -1, w.s1 < w.t1), (w.t1, 1, w.s1 < w.t1)) AS c (at, sign, wanted)
        CROSS JOIN LATERAL (SELECT e.timestamp AS ends, e.interval_start AS begins, e.energy_delta_wh AS wh FROM energy_data e
            WHERE e.meter_id = w.meter_id AND e.timestamp > c.at AND e.interval_start IS NOT NULL ORDER BY e.timestamp LIMIT 1) o
        WHERE w.stored AND (w.t0 < w.s0 OR w.s1 < w.t1) AND c.wanted AND o.begins < c.at
        UNION ALL
        SELECT w.n, meter_energy(w.meter_id, w.t0, w.t1) FROM wanted w WHERE NOT w.stored
    )
    SELECT p.n, sum(p.energy_wh) FROM pieces p GROUP BY p.n;
END $$;
COMMENT ON FUNCTION meters_energy(text[], timestamptz[], timestamptz[]) IS
    'Wh of each (meter, from, to) by its place in the arrays, as from meter_energy; one statement for many.';

CREATE FUNCTION devices_energy(p_device text[], p_from timestamptz[], p_to timestamptz[], p_energy_type text DEFAULT 'electricity')
RETURNS TABLE (n bigint, energy_wh double precision) LANGUAGE plpgsql STABLE SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
BEGIN RETURN QUERY
    WITH parts AS MATERIALIZED (
        SELECT row_number() OVER () AS part, w.n, a.meter_id, greatest(a.valid_from, w.t0) AS t0, least(a.valid_to, w.t1) AS t1
        FROM unnest(p_device, p_from, p_to) WITH ORDINALITY AS w (device_id, t0, t1, n)
        JOIN meter_assignments a ON a.device_id = w.device_id AND a.valid_from < w.t1 AND a.valid_to > w.t0 AND a.role = 'main'
        JOIN meters m ON m.meter_id = a.meter_id AND m.energy_type = p_energy_type
    )
    SELECT p.n, sum(e.energy_wh)
    FROM meters_energy((SELECT array_agg(meter_id ORDER BY part) FROM parts), (SELECT array_agg(t0 ORDER BY part) FROM parts),
                       (SELECT array_agg(t1 ORDER BY part) FROM parts)) e JOIN parts p ON p.part = e.n
    GROUP BY p.n;
END $$;
COMMENT ON FUNCTION devices_energy(text[], timestamptz[], timestamptz[], text) IS
    'Wh of each (device, from, to) by its place n in the arrays, as from device_energy; one statement for many. Those '
    'about which nothing is known are missing.';

CREATE FUNCTION devices_energy(p_from timestamptz, p_to timestamptz, p_energy_type text DEFAULT 'electricity')
RETURNS TABLE (device_id text, energy_wh double precision) LANGUAGE sql STABLE AS $$
    WITH d AS MATERIALIZED (SELECT x.device_id, row_number() OVER () AS n FROM devices x)
    SELECT d.device_id, e.energy_wh
    FROM devices_energy((SELECT array_agg(d.device_id ORDER BY d.n) FROM d), (SELECT array_agg(p_from) FROM d), (SELECT array_agg(p_to) FROM d), p_energy_type) e
    JOIN d ON d.n = e.n
$$;
COMMENT ON FUNCTION devices_energy(timestamptz, timestamptz, text) IS
    'Wh of every device in [from, to) over its main meters of the energy type; devices about which nothing is known are '
    'missing.';

CREATE FUNCTION device_energy(p_device text, p_from timestamptz, p_to timestamptz, p_energy_type text DEFAULT 'electricity')
RETURNS double precision LANGUAGE sql STABLE AS $$
    SELECT sum(meter_energy(a.meter_id, greatest(a.valid_from, p_from), least(a.valid_to, p_to)))
    FROM meter_assignments a JOIN meters m USING (meter_id)
    WHERE a.device_id = p_device AND a.role = 'main' AND m.energy_type = p_energy_type AND a.valid_from < p_to AND a.valid_to > p_from
$$;
COMMENT ON FUNCTION device_energy(text, timestamptz, timestamptz, text) IS
    'Wh of the device in [from, to) over its main meters of the energy type; NULL when nothing is known.';

CREATE FUNCTION device_energy_detail(p_device text, p_from timestamptz, p_to timestamptz, p_energy_type text DEFAULT 'electricity')
RETURNS TABLE (energy_wh double precision, coverage_s double precision, gap_s double precision, gaps integer, resets integer,
               jumps integer, backs integer, last_reading timestamptz) LANGUAGE sql STABLE AS $$
    WITH parts AS (
        SELECT a.meter_id, greatest(a.valid_from, p_from) AS t0, least(a.valid_to, p_to) AS t1
        FROM meter_assignments a JOIN meters m USING (meter_id)
        WHERE a.device_id = p_device AND a.role = 'main' AND m.energy_type = p_energy_type AND a.valid_from < p_to AND a.valid_to > p_from
          -- one that came from a file has no readings of the time after it
          AND (m.protocol <> 'import' OR EXISTS (SELECT 1 FROM energy_data e WHERE e.meter_id = a.meter_id AND e.timestamp > p_from))
    ), steps AS (   -- each row with its predecessor, cut to the range; the first row after the range closes it
        SELECT p.meter_id, r.timestamp, r.quality, r.in_range,
               extract(epoch FROM greatest(interval '0', least(r.timestamp, p.t1) - greatest(lag(r.timestamp) OVER (PARTITION BY p.meter_id, p.t0 ORDER BY r.timestamp), p.t0)))::float8 AS seconds
        FROM parts p CROSS JOIN LATERAL (
            (SELECT e.timestamp, e.quality, false AS in_range FROM energy_data e WHERE e.meter_id = p.meter_id AND e.timestamp <= p.t0 ORDER BY e.timestamp DESC LIMIT 1)
            UNION ALL
            SELECT e.timestamp, e.quality, true FROM energy_data e WHERE e.meter_id = p.meter_id AND e.timestamp > p.t0 AND e.timestamp <= p.t1
            UNION ALL
            (SELECT e.timestamp, e.quality, false FROM energy_data e WHERE e.meter_id = p.meter_id AND e.timestamp > p.t1 ORDER BY e.timestamp LIMIT 1)) r
    ), sums AS (
        SELECT meter_id, sum(seconds) FILTER (WHERE NOT has_flag(quality, 'gap')) AS covered,
               sum(seconds) FILTER (WHERE has_flag(quality, 'gap')) AS silent,
               count(*) FILTER (WHERE has_flag(quality, 'gap') AND seconds > 0) AS gaps,
               count(*) FILTER (WHERE has_flag(quality, 'reset') AND seconds > 0) AS resets,
               count(*) FILTER (WHERE has_flag(quality, 'jump') AND seconds > 0) AS jumps,
               count(*) FILTER (WHERE has_flag(quality, 'back') AND seconds > 0) AS backs,
               max(timestamp) FILTER (WHERE in_range) AS newest
        FROM steps GROUP BY meter_id)
    -- several meters: the one with the least coverage decides what is covered
    SELECT device_energy(p_device, p_from, p_to, p_energy_type), coalesce(min(coalesce(covered, 0)), 0), coalesce(max(coalesce(silent, 0)), 0),
           coalesce(sum(gaps), 0)::integer, coalesce(sum(resets), 0)::integer, coalesce(sum(jumps), 0)::integer, coalesce(sum(backs), 0)::integer,
           max(newest)
    FROM sums
$$;
COMMENT ON FUNCTION device_energy_detail(text, timestamptz, timestamptz, text) IS
    'Energy in Wh with its quality: seconds covered by readings, seconds of silence, counts of gaps, resets, jumps '
    'and steps back, newest reading.';
