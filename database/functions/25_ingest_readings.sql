-- Readings from the parsers: unknown meters are registered, each reading gets its time, then ingest_energy() accounts
-- for it.
--
-- Time of a reading: a live one counts at its arrival. From a device that sends its own time d the offset of its clock
-- is learned (arrival − d); a reading that arrives more than 10 s after d + offset is late and is placed at d + offset.
-- A backlog without device time has no true times: only its newest reading per meter counts, the others are recorded as
-- superseded.
--
-- A reading of an interval is placed by the device's clock alone, because the interval ends then, whenever the message
-- comes: an offset below 10 s is delay, not a wrong clock. Its identity is (meter, device time): the same one again is a
-- repetition. Without a time it ends at arrival, at least one interval after the one before.

CREATE FUNCTION ingest_readings(p_readings json) RETURNS jsonb
LANGUAGE plpgsql SET enable_nestloop = off SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    n integer;
    -- the fields of the records, one array each, all of length n
    a_meter text[]; a_protocol text[]; a_topic text[]; a_arrived timestamptz[]; a_device_time timestamptz[]; a_backlog boolean[];
    a_power float8[]; a_counter float8[]; a_voltage float8[]; a_current float8[]; a_factor float8[]; a_frequency float8[]; a_temp float8[];
    a_interval_s float8[]; a_phases json; a_span float8[]; a_amount float8[]; a_total float8[]; a_type text[]; a_direction text[]; a_kind text[];
    v_new boolean; v_intervals boolean; v_identity timestamptz[];
    v_ts timestamptz[];
    v_keep boolean[];
    v_superseded integer := 0; v_refused integer := 0;
    v_answer jsonb;
    v_teaching text[];
    r record;
    s meter_state;
    m meters;
    at timestamptz; candidate float8; delay float8; step float8; previous timestamptz;
    early constant timestamptz := timestamptz '2020-01-01 00:00:00+00';   -- a clock before this was never set
BEGIN
    IF json_typeof(p_readings) = 'object' THEN
        SELECT told.meter_id, told.protocol, told.topic, told.arrived, told.device_time, told.backlog, told.power_watts, told.energy_total_wh, told.voltage, told.current_amps, told.power_factor,
               told.frequency_hz, told.plug_temp_c, told.interval_wh, told.interval_s, told.energy_type, told.direction, told.consumption, told.consumption_total, told.phases
            INTO a_meter, a_protocol, a_topic, a_arrived, a_device_time, a_backlog, a_power, a_counter, a_voltage, a_current, a_factor,
                 a_frequency, a_temp, a_span, a_interval_s, a_type, a_direction, a_amount, a_total, a_phases
            FROM json_to_record(p_readings) AS told (meter_id text[], protocol text[], topic text[], arrived timestamptz[], device_time timestamptz[], backlog boolean[],
                power_watts float8[], energy_total_wh float8[], voltage float8[], current_amps float8[], power_factor float8[], frequency_hz float8[], plug_temp_c float8[],
                interval_wh float8[], interval_s float8[], energy_type text[], direction text[], consumption float8[], consumption_total float8[], phases json);
        n := coalesce(cardinality(a_meter), 0);
        IF EXISTS (SELECT 1 FROM unnest(ARRAY[cardinality(a_protocol), cardinality(a_topic), cardinality(a_arrived), cardinality(a_device_time), cardinality(a_backlog),
                       cardinality(a_power), cardinality(a_counter), cardinality(a_voltage), cardinality(a_current), cardinality(a_factor), cardinality(a_frequency),
                       cardinality(a_temp), cardinality(a_span), cardinality(a_interval_s), cardinality(a_type), cardinality(a_direction), cardinality(a_amount),
                       cardinality(a_total), json_array_length(a_phases)]) AS u (length) WHERE u.length <> n) THEN
            PERFORM bad_input('the lists of readings have different lengths');
        END IF;
    ELSIF json_typeof(p_readings) = 'array' THEN
        SELECT count(*), array_agg(i.meter_id), array_agg(i.protocol), array_agg(i.topic), array_agg(i.arrived), array_agg(i.device_time), array_agg(i.backlog),
               array_agg(i.power_watts), array_agg(i.energy_total_wh), array_agg(i.voltage), array_agg(i.current_amps), array_agg(i.power_factor),
               array_agg(i.frequency_hz), array_agg(i.plug_temp_c), array_agg(i.interval_wh), array_agg(i.interval_s), array_agg(i.energy_type),
               array_agg(i.direction), array_agg(i.consumption), array_agg(i.consumption_total),
               CASE WHEN bool_or(i.phases IS NOT NULL) THEN json_agg(i.phases) END
            INTO n, a_meter, a_protocol, a_topic, a_arrived, a_device_time, a_backlog, a_power, a_counter, a_voltage, a_current, a_factor, a_frequency, a_temp,
                 a_span, a_interval_s, a_type, a_direction, a_amount, a_total, a_phases
            FROM json_to_recordset(p_readings) AS i (meter_id text, protocol text, topic text, arrived timestamptz, device_time timestamptz, backlog boolean,
                power_watts float8, energy_total_wh float8, voltage float8, current_amps float8, power_factor float8, frequency_hz float8, plug_temp_c float8,
                interval_wh float8, interval_s float8, energy_type text, direction text, consumption float8, consumption_total float8, phases json);
    ELSE
        PERFORM bad_input('readings are an array of records, or an object of lists');
    END IF;
    IF n = 0 THEN
        RETURN '{"accepted":0,"repeated":0,"rejected":0,"superseded":0,"touched":[]}'::jsonb;
    END IF;
    IF a_backlog IS NULL THEN
        a_backlog := array_fill(false, ARRAY[n]);
    ELSIF array_position(a_backlog, NULL) IS NOT NULL THEN
        a_backlog := ARRAY(SELECT coalesce(u.backlog, false) FROM unnest(a_backlog) WITH ORDINALITY AS u (backlog, k) ORDER BY u.k);
    END IF;
    v_ts := a_arrived;
    SELECT coalesce(bool_or(t.meter_id IS NULL), true), coalesce(bool_or(k.reading_kind = 'interval'), false) INTO v_new, v_intervals
        FROM (SELECT DISTINCT u.id FROM unnest(a_meter) AS u (id)) u LEFT JOIN meter_state t ON t.meter_id = u.id LEFT JOIN meters k ON k.meter_id = u.id;
    IF v_new THEN
        SELECT array_agg(CASE WHEN coalesce(u.counter, u.total) IS NULL AND coalesce(u.span, u.amount) IS NOT NULL THEN 'interval' ELSE 'counter' END ORDER BY u.k) INTO a_kind
            FROM unnest(a_meter, a_counter, a_total, a_span, a_amount) WITH ORDINALITY AS u (id, counter, total, span, amount, k);
        PERFORM register_meters(a_meter, a_protocol, a_type, a_kind, a_direction, a_interval_s);
    END IF;
    PERFORM lock_registry(false);
    PERFORM 1 FROM meter_state WHERE meter_id = ANY (a_meter) ORDER BY meter_id FOR UPDATE;

    -- What a reading says of energy must be what its meter says: a counter, or the energy of an interval.
    IF NOT v_intervals AND (a_span IS NOT NULL OR a_amount IS NOT NULL OR a_total IS NOT NULL) THEN
        v_intervals := EXISTS (SELECT 1 FROM unnest(a_span, a_amount, a_total) AS u (span, amount, total) WHERE coalesce(u.span, u.amount, u.total) IS NOT NULL);
    END IF;
    IF v_intervals THEN
        v_identity := array_fill(NULL::timestamptz, ARRAY[n]);
        PERFORM record_rejects(array_agg('energy'::text), array_agg(coalesce(u.topic, u.id)),
                array_agg(json_build_object('meter_id', u.id, 'interval_wh', u.span::text, 'energy_total_wh', u.counter::text)::text),
                array_agg(CASE k.reading_kind WHEN 'interval' THEN 'this meter reports intervals, and a counter alone is none'
                               ELSE 'this meter counts, and the energy of an interval is no counter' END))
            FROM unnest(a_meter, a_topic, a_span, a_counter, a_amount, a_total) AS u (id, topic, span, counter, amount, total) JOIN meters k ON k.meter_id = u.id
            WHERE coalesce(u.span, u.amount, u.counter, u.total) IS NOT NULL
              AND CASE k.reading_kind WHEN 'interval' THEN coalesce(u.span, u.amount) IS NULL ELSE coalesce(u.counter, u.total) IS NULL END;
        SELECT array_agg(CASE WHEN k.reading_kind = 'interval' THEN coalesce(u.span, u.amount * k.wh_per_unit)
                              WHEN k.meter_id IS NULL THEN coalesce(u.counter, u.total, u.span, u.amount)     -- ingest_energy refuses it
                              ELSE coalesce(u.counter, u.total * k.wh_per_unit) END ORDER BY u.n),
               array_agg(CASE WHEN k.reading_kind = 'interval' THEN u.seconds END ORDER BY u.n),
               count(*) FILTER (WHERE k.meter_id IS NOT NULL AND u.power IS NULL AND coalesce(u.span, u.amount, u.counter, u.total) IS NOT NULL
                   AND CASE k.reading_kind WHEN 'interval' THEN coalesce(u.span, u.amount) IS NULL ELSE coalesce(u.counter, u.total) IS NULL END)
            INTO a_counter, a_interval_s, v_refused
            FROM unnest(a_meter, a_span, a_counter, a_amount, a_total, a_interval_s, a_power) WITH ORDINALITY AS u (id, span, counter, amount, total, seconds, power, n)
            LEFT JOIN meters k ON k.meter_id = u.id;
    END IF;

    -- A meter of a carrier that is no row was not registered.
    IF v_new THEN
        FOR r IN SELECT u.n, u.id, u.topic, u.carrier FROM unnest(a_meter, a_topic, a_type) WITH ORDINALITY AS u (id, topic, carrier, n)
                 WHERE u.carrier IS NOT NULL AND NOT EXISTS (SELECT 1 FROM energy_types e WHERE e.energy_type = u.carrier)
                   AND NOT EXISTS (SELECT 1 FROM meters k WHERE k.meter_id = u.id) LOOP
            PERFORM record_rejects(ARRAY['energy'], ARRAY[coalesce(r.topic, r.id)], ARRAY[json_build_object('meter_id', r.id, 'energy_type', r.carrier)::text],
                ARRAY[format('unknown energy type %s: one of %s is needed', r.carrier, (SELECT string_agg(energy_type, ', ' ORDER BY sort, energy_type) FROM energy_types))]);
            IF a_power IS NOT NULL THEN     -- an element of no list would begin a list of its own
                a_power[r.n] := NULL;
            END IF;
            IF a_counter IS NOT NULL THEN
                a_counter[r.n] := NULL;
            END IF;
            v_refused := v_refused + 1;
        END LOOP;
    END IF;

    -- Meters whose clock offset may have to be learned; all others (live, within 2 s of what is expected) count at
    -- arrival.
    IF a_device_time IS NOT NULL THEN
        SELECT array_agg(DISTINCT u.id) INTO v_teaching
            FROM unnest(a_meter, a_arrived, a_device_time, a_backlog) AS u (id, arrived, d, backlog) JOIN meter_state t ON t.meter_id = u.id
            WHERE u.d IS NOT NULL AND (u.backlog OR t.clock_offset_s IS NULL OR t.clock_candidate_n > 0
                  OR abs(extract(epoch FROM u.arrived - u.d)::float8 - t.clock_offset_s) > 2);
    END IF;
    IF v_intervals THEN
        v_teaching := coalesce(v_teaching, '{}') || ARRAY(SELECT k.meter_id FROM meters k WHERE k.meter_id = ANY (a_meter) AND k.reading_kind = 'interval');
    END IF;
    -- One by one in the order of arrival, because each reading may change the offset.
    FOR r IN
        SELECT u.n, u.id, u.arrived, u.backlog, u.d, u.counter, lag(u.id) OVER w AS before_id,
               min(u.arrived - u.d) FILTER (WHERE NOT u.backlog AND u.d >= early) OVER (PARTITION BY u.id) AS least
        FROM unnest(a_meter, a_arrived, a_device_time, a_backlog, a_counter) WITH ORDINALITY AS u (id, arrived, d, backlog, counter, n)
        WHERE u.id = ANY (v_teaching) AND (u.d IS NOT NULL OR v_intervals) AND coalesce(u.d, now()) NOT IN ('infinity', '-infinity') AND u.id IS NOT NULL
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
            IF v_intervals THEN
                SELECT * INTO m FROM meters WHERE meter_id = r.id;
                previous := s.last_counter_at;
            END IF;
        END IF;
        CONTINUE WHEN s.meter_id IS DISTINCT FROM r.id;
        IF m.meter_id = r.id AND m.reading_kind = 'interval' THEN
            CONTINUE WHEN r.counter IS NULL AND r.d IS NULL;
            IF r.d IS NULL OR r.d < early THEN
                -- No time, or that of a clock that was never set.
                v_ts[r.n] := greatest(r.arrived, previous + make_interval(secs => interval_of(m, as_real(a_interval_s[r.n]))));
                v_identity[r.n] := '-infinity';
            ELSE
                candidate := extract(epoch FROM r.arrived - r.d)::float8;
                step := CASE WHEN abs(candidate) <= 10 THEN 0 ELSE candidate END;
                delay := candidate - s.clock_offset_s;
                IF r.backlog THEN
                    NULL;       -- teaches nothing
                ELSIF s.clock_offset_s IS NULL THEN
                    -- Several at once are late, all but the newest.
                    candidate := extract(epoch FROM r.least)::float8;
                    s.clock_offset_s := CASE WHEN abs(candidate) <= 10 THEN 0 ELSE candidate END;
                ELSIF delay < -10 THEN
                    s.clock_offset_s := step; s.clock_candidate_n := 0;
                ELSIF delay <= 10 THEN
                    s.clock_candidate_n := 0;
                ELSE
                    IF s.clock_candidate_n > 0 AND abs(candidate - s.clock_candidate_s) <= 1 THEN
                        s.clock_candidate_n := s.clock_candidate_n + 1;
                    ELSE
                        s.clock_candidate_n := 1; s.clock_candidate_s := candidate; s.clock_candidate_at := r.arrived;
                    END IF;
                    IF s.clock_candidate_n >= 3 AND r.arrived - s.clock_candidate_at >= interval '3 seconds' THEN
                        s.clock_offset_s := step; s.clock_candidate_n := 0;
                    END IF;
                END IF;
                v_ts[r.n] := r.d + make_interval(secs => coalesce(s.clock_offset_s, 0));
                v_identity[r.n] := r.d;
            END IF;
            previous := greatest(previous, v_ts[r.n]);
            CONTINUE;
        END IF;
        CONTINUE WHEN r.d IS NULL;      -- of a counter: it counts at arrival
        candidate := extract(epoch FROM r.arrived - r.d)::float8;
        at := r.d + make_interval(secs => s.clock_offset_s);
        delay := extract(epoch FROM r.arrived - at)::float8;
        IF r.backlog AND (s.clock_offset_s IS NULL OR delay < -10 OR at < early) THEN
            -- no usable offset: a clock that was set has the true time, one that was not is of no use
            IF r.d >= early AND r.d <= r.arrived + interval '10 seconds' THEN
                v_ts[r.n] := date_trunc('milliseconds', r.d);
            ELSE
                a_device_time[r.n] := NULL;
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

    IF v_intervals THEN
        -- The same device time again is the row that it made then, whatever the clock's offset was; another device time at the
        -- place of a row gets a place of its own.
        FOR r IN
            SELECT u.n, k.meter_key AS key, u.d, (SELECT e.timestamp FROM series.energy e WHERE e.meter_key = k.meter_key AND e.device_time = u.d
                                  AND e.timestamp BETWEEN u.d - interval '40 days' AND u.d + interval '40 days' LIMIT 1) AS moved,
                   (SELECT e.timestamp FROM series.energy e WHERE e.meter_key = k.meter_key AND e.timestamp = u.d AND e.device_time IS NULL
                        AND NOT coalesce(has_flag(e.quality, 'untimed'), false)) AS kept
            FROM unnest(a_meter, v_identity, v_ts) WITH ORDINALITY AS u (id, d, ts, n) JOIN meters k ON k.meter_id = u.id
            WHERE isfinite(u.d) ORDER BY u.n
        LOOP
            v_ts[r.n] := coalesce(r.kept, r.moved, v_ts[r.n]);
            WHILE r.kept IS NULL AND r.moved IS NULL AND EXISTS (SELECT 1 FROM series.energy e
                    WHERE e.meter_key = r.key AND e.timestamp = v_ts[r.n] AND e.reading_wh IS NOT NULL
                      AND (coalesce(e.device_time, e.timestamp) <> r.d OR has_flag(e.quality, 'untimed'))) LOOP
                v_ts[r.n] := v_ts[r.n] + interval '1 millisecond';
            END LOOP;
            IF v_ts[r.n] = r.d THEN
                v_identity[r.n] := NULL;
            END IF;
        END LOOP;
    END IF;

    IF a_phases IS NOT NULL THEN
        PERFORM record_phases(a_meter, v_ts, ARRAY(SELECT e::jsonb FROM json_array_elements(a_phases) WITH ORDINALITY AS u (e, k) ORDER BY u.k));
    END IF;

    -- A backlog without device time: only the newest of each meter counts.
    IF true = ANY (a_backlog) THEN
        SELECT array_agg(NOT (coalesce(u.backlog, false) AND u.d IS NULL AND u.rank > 1) ORDER BY u.n) INTO v_keep
        FROM (SELECT i.*, row_number() OVER (PARTITION BY i.id, coalesce(i.backlog, false), i.d IS NULL ORDER BY i.arrived DESC, i.n DESC) AS rank
              FROM unnest(a_meter, a_arrived, a_device_time, a_backlog) WITH ORDINALITY AS i (id, arrived, d, backlog, n)) u;
        IF false = ANY (v_keep) THEN
            PERFORM record_rejects(array_agg('mqtt'::text), array_agg(coalesce(u.topic, u.id)),
                array_agg(json_build_object('meter_id', u.id, 'power_watts', u.power::text, 'energy_total_wh', u.counter::text)::text),
                array_agg('superseded: a backlog without device time, a newer reading counts'::text))
                FROM unnest(v_keep, a_topic, a_meter, a_power, a_counter) AS u (keep, topic, id, power, counter) WHERE NOT u.keep;
            v_superseded := cardinality(array_positions(v_keep, false));
            SELECT array_agg(u.id), array_agg(u.ts), array_agg(u.power), array_agg(u.counter), array_agg(u.v), array_agg(u.a),
                   array_agg(u.pf), array_agg(u.hz), array_agg(u.temp), array_agg(u.seconds), array_agg(u.d)
                INTO a_meter, v_ts, a_power, a_counter, a_voltage, a_current, a_factor, a_frequency, a_temp, a_interval_s, v_identity
                FROM unnest(v_keep, a_meter, v_ts, a_power, a_counter, a_voltage, a_current, a_factor, a_frequency, a_temp, a_interval_s, v_identity)
                    AS u (keep, id, ts, power, counter, v, a, pf, hz, temp, seconds, d) WHERE u.keep;
        END IF;
    END IF;
    IF v_refused > 0 THEN   -- nothing is left of those
        SELECT array_agg(u.id), array_agg(u.ts), array_agg(u.power), array_agg(u.counter), array_agg(u.v), array_agg(u.a),
               array_agg(u.pf), array_agg(u.hz), array_agg(u.temp), array_agg(u.seconds), array_agg(u.d)
            INTO a_meter, v_ts, a_power, a_counter, a_voltage, a_current, a_factor, a_frequency, a_temp, a_interval_s, v_identity
            FROM unnest(a_meter, v_ts, a_power, a_counter, a_voltage, a_current, a_factor, a_frequency, a_temp, a_interval_s, v_identity)
                AS u (id, ts, power, counter, v, a, pf, hz, temp, seconds, d) WHERE u.power IS NOT NULL OR u.counter IS NOT NULL;
        IF a_meter IS NULL THEN
            RETURN jsonb_build_object('accepted', 0, 'repeated', 0, 'rejected', v_refused, 'superseded', v_superseded, 'touched', '[]'::jsonb);
        END IF;
    END IF;
    v_answer := ingest_energy(a_meter, v_ts, a_power, a_counter, a_voltage, a_current, a_factor, a_frequency, a_temp,
                              p_interval_s => CASE WHEN v_intervals THEN a_interval_s END, p_device_time => v_identity);
    RETURN v_answer || jsonb_build_object('superseded', v_superseded, 'rejected', (v_answer ->> 'rejected')::integer + v_refused);
END $$;
-- json and not jsonb: it is read once, and making a jsonb of it would cost as much as the reading.
COMMENT ON FUNCTION ingest_readings(json) IS
    'Readings of the parsers, an array of records, or the same as an object with a list per key, which is read twice as '
    'fast: meter_id, protocol, arrived, device_time, backlog, topic; energy_type, '
    'direction; energy_total_wh (a counter) or interval_wh with interval_s (the energy of the interval that ends at '
    'device_time), or consumption_total or consumption in the meter''s unit; power_watts, voltage, current_amps, '
    'power_factor, frequency_hz, plug_temp_c; phases. Registers meters, resolves times, accounts. Returns accepted, '
    'repeated, rejected, superseded, touched.';

CREATE FUNCTION record_phases(p_meter text[], p_ts timestamptz[], p_phases jsonb[]) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_first timestamptz; v_last timestamptz; v_rows bigint;
BEGIN
    SELECT min(u), max(u) INTO v_first, v_last FROM unnest(p_ts) u WHERE u >= raw_floor() AND u <= newest_allowed();
    PERFORM ensure_months('phase', v_first, v_last);
    INSERT INTO series.phase (meter_key, timestamp, phase, power_watts, voltage, current_amps, power_factor)
    SELECT m.meter_key, u.ts, p.phase, as_real(p.power_watts), as_real(p.voltage), as_real(p.current_amps), as_real(p.power_factor)
    FROM unnest(p_meter, p_ts, p_phases) AS u (id, ts, phases) JOIN meters m ON m.meter_id = u.id
    CROSS JOIN LATERAL jsonb_to_recordset(CASE WHEN jsonb_typeof(u.phases) = 'array' THEN u.phases ELSE '[]' END)
        AS p (phase smallint, power_watts float8, voltage float8, current_amps float8, power_factor float8)
    WHERE p.phase BETWEEN 1 AND 3 AND u.ts >= raw_floor() AND u.ts <= newest_allowed()
    ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS v_rows = ROW_COUNT;
    RETURN v_rows;
END $$;
COMMENT ON FUNCTION record_phases(text[], timestamptz[], jsonb[]) IS
    'What a reading tells of each phase (1 to 3): W, V, A, power factor; returns how many rows are new.';

CREATE FUNCTION store_clock(p meter_state) RETURNS void LANGUAGE sql AS $$
    UPDATE meter_state SET clock_offset_s = p.clock_offset_s, clock_candidate_s = p.clock_candidate_s,
        clock_candidate_n = p.clock_candidate_n, clock_candidate_at = p.clock_candidate_at
    WHERE meter_id = p.meter_id
      AND (clock_offset_s, clock_candidate_s, clock_candidate_n, clock_candidate_at)
          IS DISTINCT FROM (p.clock_offset_s, p.clock_candidate_s, p.clock_candidate_n, p.clock_candidate_at)
$$;
COMMENT ON FUNCTION store_clock(meter_state) IS 'Stores what was learned about a meter''s clock, if anything changed.';
