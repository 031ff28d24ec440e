-- device_state_1hour: seconds and energy of every state of every device, by UTC hour. A status holds until the next one, for
-- as long as holds() says; what no status covers is the state no_data. The states of an hour sum to the hour (or to now)
-- in time and energy.

-- The device's states in [from, to), neighbours of the same state joined.
CREATE FUNCTION device_states(p_device text, p_from timestamptz, p_to timestamptz) RETURNS TABLE (t0 timestamptz, t1 timestamptz, state text)
LANGUAGE sql STABLE AS $$
    WITH device AS MATERIALIZED (
        SELECT d.device_key AS key, holds(d.data_interval_seconds) AS hold FROM devices d WHERE d.device_id = p_device
    ), s AS (
        SELECT q.timestamp AS at, q.state_key, lead(q.timestamp, 1, 'infinity') OVER (ORDER BY q.timestamp) AS next_at, (SELECT hold FROM device) AS hold
        FROM series.device_status q
        WHERE q.device_key = (SELECT key FROM device) AND q.timestamp >= p_from - (SELECT hold FROM device) AND q.timestamp < p_to
    ), held AS (
        SELECT at, least(next_at, at + hold) AS until, state_key FROM s
        UNION ALL SELECT at + hold, next_at, 11 FROM s WHERE next_at > at + hold      -- no_data
        UNION ALL SELECT p_from, coalesce((SELECT min(at) FROM s), 'infinity'), 11
    ), cut AS (
        SELECT greatest(at, p_from) AS t0, least(until, p_to) AS t1, h.state_key FROM held h WHERE at < p_to AND until > p_from AND until > at
    ), marked AS (
        SELECT c.*, count(*) FILTER (WHERE changed) OVER (ORDER BY c.t0) AS run
        FROM (SELECT cut.*, cut.state_key IS DISTINCT FROM lag(cut.state_key) OVER (ORDER BY cut.t0) AS changed FROM cut) c
    )
    SELECT g.t0, g.t1, n.state
    FROM (SELECT min(m.t0) AS t0, max(m.t1) AS t1, m.state_key FROM marked m GROUP BY m.run, m.state_key) g JOIN states n USING (state_key) ORDER BY 1
$$;
COMMENT ON FUNCTION device_states(text, timestamptz, timestamptz) IS
    'The states of a device in [from, to) without holes: start, end, state (no_data where no status holds).';

CREATE FUNCTION refresh_phases(p_now timestamptz DEFAULT now(), p_budget_s float8 DEFAULT 0.5) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    v_begun timestamptz := clock_timestamp();     -- a CALL has one statement for all its chunks
    item record;
    v_devices integer := 0;
    v_from timestamptz;
    v_to timestamptz;
BEGIN
    PERFORM lock_registry(false);
    FOR item IN SELECT l.device_id, l.phases_dirty_from, d.device_key, holds(d.data_interval_seconds) AS hold FROM device_latest l JOIN devices d USING (device_id)
                WHERE l.phases_dirty_from IS NOT NULL ORDER BY l.device_id FOR UPDATE OF l SKIP LOCKED LOOP
        EXIT WHEN v_devices > 0 AND clock_timestamp() - v_begun > make_interval(secs => p_budget_s);
        v_from := greatest(floor_to(3600, item.phases_dirty_from), setting('frozen_before')::timestamptz);
        -- a day at a time: a long history must not keep the lock for long
        v_to := least(v_from + interval '1 day', p_now);
        DELETE FROM series.device_state_1hour WHERE device_key = item.device_key AND bucket >= v_from AND bucket < v_to;
        INSERT INTO series.device_state_1hour (device_key, bucket, state_key, seconds, energy_wh)
        SELECT item.device_key, h.bucket, n.state_key, sum(extract(epoch FROM s.t1 - s.t0)), sum(device_energy(item.device_id, s.t0, s.t1))
        FROM generate_series(v_from, v_to - interval '1 microsecond', interval '1 hour') AS h (bucket)
        CROSS JOIN LATERAL device_states(item.device_id, h.bucket, least(h.bucket + interval '1 hour', v_to)) s
        JOIN states n ON n.state = s.state
        GROUP BY h.bucket, n.state_key;
        -- the current hour stays dirty: it grows even when nothing arrives
        UPDATE device_latest SET phases_dirty_from = CASE WHEN v_to >= p_now AND status_at < p_now - 2 * item.hold THEN NULL ELSE floor_to(3600, v_to) END
            WHERE device_id = item.device_id;
        v_devices := v_devices + 1;
    END LOOP;
    RETURN jsonb_build_object('devices', v_devices, 'remaining',
        (SELECT count(*) FROM device_latest WHERE phases_dirty_from < p_now - interval '2 hours'));
END $$;
COMMENT ON FUNCTION refresh_phases(timestamptz, float8) IS
    'Makes device_state_1hour current where statuses or energy changed, for at most about that many seconds; returns '
    'devices done and how many lag behind.';

-- Utilisation of any kind of device: what share of the known time it was productive.
CREATE FUNCTION utilisation(p_device text, p_from timestamptz, p_to timestamptz)
RETURNS TABLE (class text, seconds double precision, share double precision) LANGUAGE sql STABLE AS $$
    SELECT n.class, sum(extract(epoch FROM s.t1 - s.t0))::float8,
           CASE WHEN n.class IS NOT NULL THEN (sum(extract(epoch FROM s.t1 - s.t0)) / nullif(sum(sum(extract(epoch FROM s.t1 - s.t0))) FILTER (WHERE n.class IS NOT NULL) OVER (), 0))::float8 END
    FROM device_states(p_device, p_from, p_to) s JOIN states n USING (state) GROUP BY n.class
$$;
COMMENT ON FUNCTION utilisation(text, timestamptz, timestamptz) IS
    'Seconds of the device in [from, to) by class of its states (productive, ready, down, off; NULL: not known), and the '
    'share of each in the known time.';
