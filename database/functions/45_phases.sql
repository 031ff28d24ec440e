-- printer_phase_1hour: seconds and energy of every state, by UTC hour. A status holds until the next one, at most
-- 5 minutes; what no status covers is the state no_data. The states of an hour sum to the hour (or to now) in time and
-- energy.

-- The device's states in [from, to), neighbours of the same state joined.
CREATE FUNCTION device_states(p_device text, p_from timestamptz, p_to timestamptz) RETURNS TABLE (t0 timestamptz, t1 timestamptz, state text)
LANGUAGE sql STABLE AS $$
    WITH s AS (
        SELECT q.timestamp AS at, q.state, lead(q.timestamp, 1, 'infinity') OVER (ORDER BY q.timestamp) AS next_at
        FROM printer_status q WHERE q.device_id = p_device AND q.timestamp >= p_from - interval '5 minutes' AND q.timestamp < p_to
    ), held AS (
        SELECT at, least(next_at, at + interval '5 minutes') AS until, state FROM s
        UNION ALL SELECT at + interval '5 minutes', next_at, 'no_data' FROM s WHERE next_at > at + interval '5 minutes'
        UNION ALL SELECT p_from, coalesce((SELECT min(at) FROM s), 'infinity'), 'no_data'
    ), cut AS (
        SELECT greatest(at, p_from) AS t0, least(until, p_to) AS t1, h.state FROM held h WHERE at < p_to AND until > p_from AND until > at
    ), marked AS (
        SELECT c.*, count(*) FILTER (WHERE changed) OVER (ORDER BY c.t0) AS run
        FROM (SELECT cut.*, cut.state IS DISTINCT FROM lag(cut.state) OVER (ORDER BY cut.t0) AS changed FROM cut) c
    )
    SELECT min(m.t0), max(m.t1), m.state FROM marked m GROUP BY m.run, m.state ORDER BY 1
$$;
COMMENT ON FUNCTION device_states(text, timestamptz, timestamptz) IS
    'The states of a device in [from, to) without holes: start, end, state (no_data where no status of the last 5 '
    'minutes is known).';

CREATE FUNCTION refresh_phases(p_now timestamptz DEFAULT now(), p_budget_s float8 DEFAULT 0.5) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    item record;
    v_devices integer := 0;
    v_from timestamptz;
    v_to timestamptz;
BEGIN
    PERFORM lock_registry(false);
    FOR item IN SELECT device_id, phases_dirty_from FROM device_latest WHERE phases_dirty_from IS NOT NULL ORDER BY device_id FOR UPDATE SKIP LOCKED LOOP
        EXIT WHEN v_devices > 0 AND clock_timestamp() - statement_timestamp() > make_interval(secs => p_budget_s);
        v_from := greatest(floor_to(3600, item.phases_dirty_from), setting('frozen_before')::timestamptz);
        -- a day at a time: a long history must not keep the lock for long
        v_to := least(v_from + interval '1 day', p_now);
        DELETE FROM printer_phase_1hour WHERE device_id = item.device_id AND bucket >= v_from AND bucket < v_to;
        INSERT INTO printer_phase_1hour (device_id, bucket, state, seconds, energy_wh)
        SELECT item.device_id, h.bucket, s.state, sum(extract(epoch FROM s.t1 - s.t0)), sum(device_energy(item.device_id, s.t0, s.t1))
        FROM generate_series(v_from, v_to - interval '1 microsecond', interval '1 hour') AS h (bucket)
        CROSS JOIN LATERAL device_states(item.device_id, h.bucket, least(h.bucket + interval '1 hour', v_to)) s
        GROUP BY h.bucket, s.state;
        -- the current hour stays dirty: it grows even when nothing arrives
        UPDATE device_latest SET phases_dirty_from = CASE WHEN v_to >= p_now AND status_at < p_now - interval '10 minutes' THEN NULL ELSE floor_to(3600, v_to) END
            WHERE device_id = item.device_id;
        v_devices := v_devices + 1;
    END LOOP;
    RETURN jsonb_build_object('devices', v_devices, 'remaining',
        (SELECT count(*) FROM device_latest WHERE phases_dirty_from < p_now - interval '2 hours'));
END $$;
COMMENT ON FUNCTION refresh_phases(timestamptz, float8) IS
    'Makes printer_phase_1hour current where statuses or energy changed, for at most about that many seconds; returns '
    'devices done and how many lag behind.';
