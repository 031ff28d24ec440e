-- Readings from the parsers: unknown meters are registered, each reading gets its time, then ingest_energy() accounts
-- for it.
--
-- Time of a reading: a live one counts at its arrival. From a device that sends its own time d the offset of its clock
-- is learned (arrival − d); a reading that arrives more than 10 s after d + offset is late and is placed at d + offset.
-- A backlog without device time has no true times: only its newest reading per meter counts, the others are recorded as
-- superseded.

CREATE FUNCTION ingest_readings(p_meter text[], p_arrived timestamptz[], p_device_time timestamptz[], p_backlog boolean[],
    p_power float8[], p_counter float8[], p_voltage float8[], p_current float8[], p_factor float8[], p_frequency float8[],
    p_temp float8[], p_protocol text[], p_topic text[]) RETURNS jsonb
LANGUAGE plpgsql SET enable_nestloop = off SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    n integer := coalesce(cardinality(p_meter), 0);
    v_ts timestamptz[] := p_arrived;
    v_keep boolean[];
    v_superseded integer := 0;
    v_answer jsonb;
    v_teaching text[];
    r record;
    s meter_state;
    at timestamptz; candidate float8; delay float8;
    early constant timestamptz := timestamptz '2020-01-01 00:00:00+00';   -- a clock before this was never set
BEGIN
    IF n = 0 THEN
        RETURN '{"accepted":0,"repeated":0,"rejected":0,"superseded":0,"touched":[]}'::jsonb;
    END IF;
    PERFORM register_meters(p_meter, p_protocol);
    PERFORM lock_registry(false);
    PERFORM 1 FROM meter_state WHERE meter_id = ANY (p_meter) ORDER BY meter_id FOR UPDATE;

    -- Meters whose clock offset may have to be learned; all others (live, within 2 s of what is expected) count at
    -- arrival.
    SELECT array_agg(DISTINCT u.id) INTO v_teaching
        FROM unnest(p_meter, p_arrived, p_device_time, p_backlog) AS u (id, arrived, d, backlog) JOIN meter_state t ON t.meter_id = u.id
        WHERE u.d IS NOT NULL AND (u.backlog OR t.clock_offset_s IS NULL OR t.clock_candidate_n > 0
              OR abs(extract(epoch FROM u.arrived - u.d)::float8 - t.clock_offset_s) > 2);
    -- One by one in the order of arrival, because each reading may change the offset.
    FOR r IN
        SELECT u.n, u.id, u.arrived, coalesce(u.backlog, false) AS backlog, u.d, u.counter, lag(u.id) OVER w AS before_id
        FROM unnest(p_meter, p_arrived, p_device_time, p_backlog, p_counter) WITH ORDINALITY AS u (id, arrived, d, backlog, counter, n)
        WHERE u.id = ANY (v_teaching) AND u.d IS NOT NULL AND u.d NOT IN ('infinity', '-infinity') AND u.id IS NOT NULL
          AND u.arrived IS NOT NULL AND u.arrived NOT IN ('infinity', '-infinity')
        WINDOW w AS (ORDER BY u.id, u.arrived, u.n)
        ORDER BY u.id, u.arrived, u.n
    LOOP
        IF r.before_id IS DISTINCT FROM r.id THEN
            IF s.meter_id IS NOT NULL THEN
                PERFORM store_clock(s);
            END IF;
            SELECT * INTO s FROM meter_state WHERE meter_id = r.id;
            IF NOT FOUND THEN
                CONTINUE;   -- not registered (too many meters): ingest_energy refuses it
            END IF;
        END IF;
        CONTINUE WHEN s.meter_id IS DISTINCT FROM r.id;
        candidate := extract(epoch FROM r.arrived - r.d)::float8;
        at := r.d + make_interval(secs => s.clock_offset_s);
        delay := extract(epoch FROM r.arrived - at)::float8;
        IF r.backlog AND (s.clock_offset_s IS NULL OR delay < -10 OR at < early) THEN
            -- no usable offset: a clock that was set has the true time, one that was not is of no use
            IF r.d >= early AND r.d <= r.arrived + interval '10 seconds' THEN
                v_ts[r.n] := date_trunc('milliseconds', r.d);
            ELSE
                p_device_time[r.n] := NULL;
            END IF;
        ELSIF r.backlog THEN
            v_ts[r.n] := least(r.arrived, date_trunc('milliseconds', at + interval '0.5 milliseconds'));
        ELSIF s.clock_offset_s IS NULL OR at < early OR delay < -10 THEN
            -- The first live reading, or a clock that was set, lost or put forward: a reading can't come from the
            -- future.
            s.clock_offset_s := candidate; s.clock_candidate_n := 0;
        ELSIF delay <= 10 THEN
            IF abs(delay) > 2 THEN
                s.clock_offset_s := candidate;
            END IF;
            s.clock_candidate_n := 0;
        ELSE
            -- Late, or the clock was put back. It was put back when device time advances with the arrivals, or when a
            -- reading that seems older than the newest row has a higher counter.
            IF s.clock_candidate_n > 0 AND abs(candidate - s.clock_candidate_s) <= 1 THEN
                s.clock_candidate_n := s.clock_candidate_n + 1;
            ELSE
                s.clock_candidate_n := 1; s.clock_candidate_s := candidate; s.clock_candidate_at := r.arrived;
            END IF;
            IF s.clock_candidate_n >= 3 AND r.arrived - s.clock_candidate_at >= interval '3 seconds' THEN
                s.clock_offset_s := candidate; s.clock_candidate_n := 0;
            ELSIF NOT (at < s.last_at AND r.counter > s.base_wh) OR (s.last_at IS NULL OR s.base_wh IS NULL OR r.counter IS NULL) THEN
                v_ts[r.n] := date_trunc('milliseconds', at + interval '0.5 milliseconds');
            END IF;
        END IF;
    END LOOP;
    IF s.meter_id IS NOT NULL THEN
        PERFORM store_clock(s);
    END IF;

    -- A backlog without device time: only the newest of each meter counts.
    IF true = ANY (p_backlog) THEN
        SELECT array_agg(NOT (coalesce(u.backlog, false) AND u.d IS NULL AND u.rank > 1) ORDER BY u.n) INTO v_keep
        FROM (SELECT i.*, row_number() OVER (PARTITION BY i.id, coalesce(i.backlog, false), i.d IS NULL ORDER BY i.arrived DESC, i.n DESC) AS rank
              FROM unnest(p_meter, p_arrived, p_device_time, p_backlog) WITH ORDINALITY AS i (id, arrived, d, backlog, n)) u;
        IF false = ANY (v_keep) THEN
            PERFORM record_rejects(array_agg('mqtt'::text), array_agg(coalesce(u.topic, u.id)),
                array_agg(json_build_object('meter_id', u.id, 'power_watts', u.power::text, 'energy_total_wh', u.counter::text)::text),
                array_agg('superseded: a backlog without device time, a newer reading counts'::text))
                FROM unnest(v_keep, p_topic, p_meter, p_power, p_counter) AS u (keep, topic, id, power, counter) WHERE NOT u.keep;
            v_superseded := cardinality(array_positions(v_keep, false));
            SELECT array_agg(u.id), array_agg(u.ts), array_agg(u.power), array_agg(u.counter), array_agg(u.v), array_agg(u.a),
                   array_agg(u.pf), array_agg(u.hz), array_agg(u.temp)
                INTO p_meter, v_ts, p_power, p_counter, p_voltage, p_current, p_factor, p_frequency, p_temp
                FROM unnest(v_keep, p_meter, v_ts, p_power, p_counter, p_voltage, p_current, p_factor, p_frequency, p_temp)
                    AS u (keep, id, ts, power, counter, v, a, pf, hz, temp) WHERE u.keep;
        END IF;
    END IF;
    v_answer := ingest_energy(p_meter, v_ts, p_power, p_counter, p_voltage, p_current, p_factor, p_frequency, p_temp);
    RETURN v_answer || jsonb_build_object('superseded', v_superseded);
END $$;
COMMENT ON FUNCTION ingest_readings(text[], timestamptz[], timestamptz[], boolean[], float8[], float8[], float8[],
    float8[], float8[], float8[], float8[], text[], text[]) IS
    'Readings of the parsers (meter, arrived, device time, backlog, W, Wh, V, A, power factor, Hz, °C, protocol, '
    'topic): registers meters, resolves times, accounts. Returns accepted, repeated, rejected, superseded, touched.';

CREATE FUNCTION store_clock(p meter_state) RETURNS void LANGUAGE sql AS $$
    UPDATE meter_state SET clock_offset_s = p.clock_offset_s, clock_candidate_s = p.clock_candidate_s,
        clock_candidate_n = p.clock_candidate_n, clock_candidate_at = p.clock_candidate_at
    WHERE meter_id = p.meter_id
      AND (clock_offset_s, clock_candidate_s, clock_candidate_n, clock_candidate_at)
          IS DISTINCT FROM (p.clock_offset_s, p.clock_candidate_s, p.clock_candidate_n, p.clock_candidate_at)
$$;
COMMENT ON FUNCTION store_clock(meter_state) IS 'Stores what was learned about a meter''s clock, if anything changed.';
