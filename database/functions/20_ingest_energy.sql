-- Energy accounting: a fold over the rows of a meter in time order (docs/accounting.md has the rules with examples).
--
-- State after a row: base B seen at TB, and after a doubtful step an alternative base A seen at TA. A stored row has
-- its state in base_*/alt_*; all four are NULL when the state is the ordinary one: base = own counter at own time, no
-- alternative.

CREATE FUNCTION join_flags(p_flag text, p_gap boolean) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
$$ SELECT CASE WHEN NOT coalesce(p_gap, false) THEN p_flag WHEN p_flag IS NULL THEN 'gap' ELSE p_flag || ',gap' END $$;
COMMENT ON FUNCTION join_flags(text, boolean) IS
    'The quality of a row: the flag of its counter and gap, joined by a comma; NULL when it has neither.';

CREATE FUNCTION has_flag(p_quality text, p_flag text) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
$$ SELECT p_quality IS NOT NULL AND position(',' || p_flag || ',' IN ',' || p_quality || ',') > 0 $$;
COMMENT ON FUNCTION has_flag(text, text) IS 'Whether a quality text contains the flag.';

CREATE FUNCTION plausible_wh(p_max_power_w double precision, p_seconds double precision, p_slack_s double precision, p_step_wh double precision)
RETURNS double precision LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
$$ SELECT p_max_power_w * (p_seconds + p_slack_s) / 3600 + p_step_wh $$;
COMMENT ON FUNCTION plausible_wh(double precision, double precision, double precision, double precision) IS
    'The most energy in Wh that a counter may have counted within that many seconds: its highest power in W for that time '
    'and some slack, and one step of the counter.';

CREATE FUNCTION ct_factor_at(p_meter text, p_at timestamptz) RETURNS double precision LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN coalesce((SELECT factor FROM meter_factors WHERE meter_id = p_meter AND valid_from <= p_at ORDER BY valid_from DESC LIMIT 1), 1);
END $$;
COMMENT ON FUNCTION ct_factor_at(text, timestamptz) IS
    'The ratio of the meter''s current transformers at that time: what flows is what the meter tells times this; 1 '
    'before the first one.';

CREATE FUNCTION interval_of(m meters, p_told real) RETURNS double precision LANGUAGE sql IMMUTABLE AS
$$ SELECT coalesce(CASE WHEN p_told > 0 AND p_told <= 31 * 86400 THEN p_told::float8 END, m.interval_s, m.reporting_interval_s, 900) $$;
COMMENT ON FUNCTION interval_of(meters, real) IS
    'Seconds that one reading of an interval meter spans: what it told, if that is one (up to 31 days), else the meter''s '
    'setting, else what was learned, else a quarter of an hour.';

-- What corrections leave of the energy of a row: a part of the interval that lies in an excluded span does not count, in a
-- replaced span the typed energy counts instead, in proportion to time.
CREATE FUNCTION corrected(p_meter text, p_start timestamptz, p_end timestamptz, p_wh double precision, OUT wh double precision, OUT flag text)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    item record;
    v_seconds double precision := extract(epoch FROM p_end - p_start);
    v_part double precision;
    v_out double precision := 0;
BEGIN
    wh := p_wh;
    IF p_start IS NULL OR v_seconds <= 0 THEN
        RETURN;
    END IF;
    FOR item IN SELECT c.from_ts, c.to_ts, c.energy_wh FROM meter_corrections c
                WHERE c.meter_id = p_meter AND c.withdrawn_at IS NULL AND c.from_ts < p_end AND c.to_ts > p_start ORDER BY c.from_ts LOOP
        v_part := extract(epoch FROM least(item.to_ts, p_end) - greatest(item.from_ts, p_start));
        v_out := v_out + v_part;
        wh := coalesce(wh, 0) - p_wh * v_part / v_seconds
            + coalesce(item.energy_wh * v_part / extract(epoch FROM item.to_ts - item.from_ts)::float8, 0);
        flag := CASE WHEN item.energy_wh IS NOT NULL OR flag = 'corrected' THEN 'corrected' ELSE 'excluded' END;
    END LOOP;
    IF flag = 'excluded' AND v_out >= v_seconds THEN
        wh := NULL;     -- unknown, not zero
    END IF;
END $$;
COMMENT ON FUNCTION corrected(text, timestamptz, timestamptz, double precision) IS
    'The Wh of a row''s interval after the corrections of the meter, and the flag corrected or excluded; NULL Wh when all '
    'of it is excluded.';

-- The rows of the meter around p_touched (ascending times of rows that are new or changed) get their delta, interval,
-- quality and state; from each of these times the fold continues until a row that was not touched keeps its state.
CREATE FUNCTION refold(p_meter text, p_touched timestamptz[]) RETURNS tstzrange LANGUAGE plpgsql AS $$
DECLARE
    m meters;
    r record;
    i integer := 1;
    n integer := cardinality(p_touched);
    gap_s double precision;
    has_changes boolean;            -- replacements, factors or corrections: looked up only where there are any
    f double precision;             -- factor of the current transformers
    e record;
    -- state of the fold, in what the meter tells
    b double precision; tb timestamptz; a double precision; ta timestamptz;
    owner_at timestamptz;           -- the previous row that owns an interval
    before_at timestamptz;          -- the previous row of any kind
    held_w double precision; held_at timestamptz;   -- the previous power (meters without a counter)
    -- the row's result
    c double precision; delta double precision; start_at timestamptz; flag text; marks text; is_gap boolean;
    sb double precision; stb timestamptz; sa double precision; sta timestamptz;
    from_b double precision; from_a double precision;
    same_state boolean; at_end boolean;
    range_from timestamptz; range_to timestamptz;
BEGIN
    SELECT * INTO m FROM meters WHERE meter_id = p_meter;
    gap_s := gap_threshold_s(m.reporting_interval_s);
    has_changes := m.changes_until > '-infinity';
    f := m.ct_factor;
    WHILE i <= n LOOP
        b := NULL; tb := NULL; a := NULL; ta := NULL; owner_at := NULL; before_at := NULL; held_w := NULL; held_at := NULL;
        SELECT timestamp INTO before_at FROM series.energy
            WHERE meter_key = m.meter_key AND timestamp < p_touched[i] ORDER BY timestamp DESC LIMIT 1;
        IF before_at IS NOT NULL THEN
            IF m.reading_kind = 'power_only' THEN
                SELECT timestamp, power_watts INTO held_at, held_w FROM series.energy
                    WHERE meter_key = m.meter_key AND timestamp < p_touched[i] AND power_watts IS NOT NULL ORDER BY timestamp DESC LIMIT 1;
                owner_at := held_at;
            ELSE
                SELECT timestamp, coalesce(base_wh, reading_wh), coalesce(base_at, timestamp), alt_wh, alt_at
                    INTO owner_at, b, tb, a, ta FROM series.energy
                    WHERE meter_key = m.meter_key AND timestamp < p_touched[i] AND reading_wh IS NOT NULL ORDER BY timestamp DESC LIMIT 1;
            END IF;
        END IF;
        range_from := least(range_from, coalesce(owner_at, before_at, p_touched[i]));
        at_end := true;
        FOR r IN SELECT * FROM series.energy WHERE meter_key = m.meter_key AND timestamp >= p_touched[i] ORDER BY timestamp LOOP
            c := r.reading_wh; delta := NULL; start_at := NULL; flag := NULL;
            is_gap := extract(epoch FROM r.timestamp - before_at) > gap_s;
            IF has_changes THEN
                f := ct_factor_at(p_meter, r.timestamp);
            END IF;
            IF m.reading_kind = 'power_only' THEN
                IF r.power_watts IS NOT NULL THEN
                    IF held_at IS NULL THEN
                        flag := 'first';
                    ELSE
                        flag := 'integrated';
                        start_at := held_at;
                        delta := held_w * least(extract(epoch FROM r.timestamp - held_at)::float8, m.max_hold_s) / 3600;
                    END IF;
                    held_at := r.timestamp; held_w := r.power_watts; owner_at := r.timestamp;
                END IF;
            ELSIF c IS NULL THEN
                NULL;   -- gives shape only; the state stays
            ELSIF m.reading_kind = 'interval' THEN
                -- There is no limit of plausibility: an interval has no later reading that would heal a refusal.
                delta := c * f;
                start_at := greatest(owner_at, r.timestamp - make_interval(secs => interval_of(m, r.interval_s)));
                -- what lies between two intervals is a gap; a device's clock may be off by a little
                is_gap := extract(epoch FROM start_at - owner_at) > greatest(1, 0.05 * interval_of(m, r.interval_s));
                flag := CASE WHEN has_flag(r.quality, 'untimed') THEN 'untimed' END;
                owner_at := r.timestamp;
            ELSE
                start_at := owner_at;
                IF has_changes AND b IS NOT NULL THEN
                    FOR e IN SELECT old_end_wh, new_start_wh FROM meter_replacements
                             WHERE meter_id = p_meter AND replaced_at > owner_at AND replaced_at <= r.timestamp ORDER BY replaced_at LOOP
                        -- from the old base to the old counter's end, and on from the new counter's start
                        b := e.new_start_wh - coalesce(e.old_end_wh - b, 0); a := NULL; ta := NULL; flag := 'replaced';
                    END LOOP;
                END IF;
                IF b IS NULL THEN
                    flag := 'first'; b := c; tb := r.timestamp;
                ELSE
                    from_b := CASE WHEN c - b >= -m.back_wh AND (c - b) * f <= plausible_wh(m.max_power_w,
                        extract(epoch FROM r.timestamp - tb)::float8, m.slack_s, m.counter_step_wh) THEN greatest(0, c - b) END;
                    from_a := CASE WHEN a IS NOT NULL AND c - a >= 0 AND (c - a) * f <= plausible_wh(m.max_power_w,
                        extract(epoch FROM r.timestamp - ta)::float8, m.slack_s, m.counter_step_wh) THEN c - a END;
                    IF from_b IS NOT NULL AND (from_a IS NULL OR from_b <= from_a) THEN
                        delta := from_b * f;
                        IF c < b THEN flag := 'back'; END IF;
                        b := greatest(b, c); tb := r.timestamp; a := NULL; ta := NULL;
                    ELSIF from_a IS NOT NULL THEN
                        delta := from_a * f; flag := 'rebase';
                        b := c; tb := r.timestamp; a := NULL; ta := NULL;
                    ELSIF c < b AND c <= greatest(m.near_wh, m.near_frac * b)
                        AND c * f <= plausible_wh(m.max_power_w, extract(epoch FROM r.timestamp - tb)::float8, m.slack_s, m.counter_step_wh) THEN
                        delta := c * f; flag := 'reset';
                        a := b; ta := tb; b := c; tb := r.timestamp;
                    ELSE
                        delta := 0; flag := 'jump';
                        a := c; ta := r.timestamp;
                    END IF;
                END IF;
                owner_at := r.timestamp;
            END IF;
            IF has_changes AND start_at IS NOT NULL THEN
                SELECT x.wh, x.flag INTO e FROM corrected(p_meter, start_at, r.timestamp, delta) x;
                IF e.flag IS NOT NULL THEN
                    delta := e.wh;
                    -- that it came without a time is told by no other column
                    flag := CASE WHEN flag = 'untimed' THEN 'untimed,' || e.flag ELSE e.flag END;
                    IF delta IS NULL THEN start_at := NULL; END IF;
                END IF;
            END IF;
            marks := join_flags(flag, is_gap);
            before_at := r.timestamp;
            sb := NULL; stb := NULL; sa := NULL; sta := NULL;
            IF c IS NOT NULL AND m.reading_kind = 'counter' AND (b <> c OR tb <> r.timestamp OR a IS NOT NULL) THEN
                sb := b; stb := tb; sa := a; sta := ta;
            END IF;
            same_state := (r.base_wh, r.base_at, r.alt_wh, r.alt_at) IS NOT DISTINCT FROM (sb, stb, sa, sta);
            IF NOT same_state OR (r.energy_delta_wh, r.interval_start, r.quality) IS DISTINCT FROM (delta, start_at, marks) THEN
                UPDATE series.energy SET energy_delta_wh = delta, interval_start = start_at, quality = marks,
                    base_wh = sb, base_at = stb, alt_wh = sa, alt_at = sta
                    WHERE meter_key = m.meter_key AND timestamp = r.timestamp;
            END IF;
            -- The first interval of an interval meter begins before any row.
            range_from := least(range_from, start_at, r.interval_start);
            range_to := greatest(range_to, r.timestamp);
            IF i <= n AND r.timestamp >= p_touched[i] THEN
                i := i + 1;
            ELSIF same_state AND ((m.reading_kind = 'power_only' AND r.power_watts IS NOT NULL) OR (m.reading_kind <> 'power_only' AND c IS NOT NULL)) THEN
                at_end := false;   -- the same state as before: what follows does not change
                EXIT;
            END IF;
        END LOOP;
        EXIT WHEN at_end;
    END LOOP;
    PERFORM store_meter_state(p_meter);
    RETURN tstzrange(range_from, range_to, '[]');
END $$;
COMMENT ON FUNCTION refold(text, timestamptz[]) IS
    'Folds the meter''s rows again from each of the given times (ascending, of existing rows) until a row keeps its '
    'stored state; returns the range that may have changed.';

-- The state after the newest rows, read back into meter_state after a fold.
CREATE FUNCTION store_meter_state(p_meter text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_key integer := meter_key(p_meter);
BEGIN
    UPDATE meter_state s SET
        last_at = z.timestamp,
        last_counter_at = k.timestamp,
        base_wh = coalesce(k.base_wh, k.reading_wh), base_at = CASE WHEN k.reading_wh IS NOT NULL THEN coalesce(k.base_at, k.timestamp) END,
        alt_wh = k.alt_wh, alt_at = k.alt_at,
        last_power_watts = w.power_watts, last_power_at = w.timestamp,
        jumps_in_row = CASE WHEN has_flag(k.quality, 'jump') THEN (
            SELECT count(*) FROM (
                SELECT bool_and(has_flag(q.quality, 'jump')) OVER (ORDER BY q.timestamp DESC) AS unbroken
                FROM (SELECT timestamp, quality FROM series.energy WHERE meter_key = v_key AND reading_wh IS NOT NULL
                      ORDER BY timestamp DESC LIMIT 100) q) tail WHERE unbroken) ELSE 0 END
    FROM (SELECT timestamp FROM series.energy WHERE meter_key = v_key ORDER BY timestamp DESC LIMIT 1) z
    LEFT JOIN (SELECT * FROM series.energy WHERE meter_key = v_key AND reading_wh IS NOT NULL
               ORDER BY timestamp DESC LIMIT 1) k ON true
    LEFT JOIN (SELECT timestamp, power_watts FROM series.energy WHERE meter_key = v_key AND power_watts IS NOT NULL
               ORDER BY timestamp DESC LIMIT 1) w ON true
    WHERE s.meter_id = p_meter;
END $$;
COMMENT ON FUNCTION store_meter_state(text) IS 'Reads the newest rows of the meter back into meter_state.';

-- No nested loops: the statistics may not know the meter's rows yet, and the planner would then judge all of them again
-- for each of them. Without such loops e needs a bound of its own, or rows before p_from are read in vain.
CREATE FUNCTION flag_gaps(p_meter text, p_from timestamptz) RETURNS void
LANGUAGE plpgsql SET enable_nestloop = off AS $$
DECLARE
    m meters;
    v_gap_s double precision;
    v_first timestamptz;
    v_last timestamptz;
    v_rows timestamptz[];
    v_range tstzrange;
BEGIN
    SELECT * INTO m FROM meters WHERE meter_id = p_meter;
    IF m.reading_kind = 'interval' THEN     -- the length of an interval changes where it begins
        SELECT array_agg(timestamp ORDER BY timestamp) INTO v_rows FROM series.energy WHERE meter_key = m.meter_key AND timestamp >= p_from;
        IF v_rows IS NOT NULL THEN
            v_range := refold(p_meter, v_rows);
            PERFORM mark_dirty(p_meter, lower(v_range), upper(v_range));
        END IF;
        RETURN;
    END IF;
    v_gap_s := gap_threshold_s(m.reporting_interval_s);
    WITH judged AS (
        SELECT timestamp, quality, has_flag(quality, 'gap') AS had,
               coalesce(extract(epoch FROM timestamp - lag(timestamp) OVER (ORDER BY timestamp)) > v_gap_s, has_flag(quality, 'gap')) AS is_gap
        FROM series.energy WHERE meter_key = m.meter_key AND timestamp >= p_from
    ), changed AS (
        UPDATE series.energy e SET quality = join_flags(nullif(regexp_replace(e.quality, ',?gap$', ''), ''), j.is_gap)
        FROM judged j WHERE e.meter_key = m.meter_key AND e.timestamp >= p_from AND e.timestamp = j.timestamp AND j.had <> j.is_gap
        RETURNING e.timestamp, e.interval_start
    )
    SELECT min(coalesce(interval_start, timestamp)), max(timestamp) INTO v_first, v_last FROM changed;
    IF v_first IS NOT NULL THEN
        PERFORM mark_dirty(p_meter, v_first, v_last);
        -- coverage and gaps of a print are part of its account
        PERFORM reopen_jobs(p_meter, v_first, v_last);
    END IF;
END $$;
COMMENT ON FUNCTION flag_gaps(text, timestamptz) IS
    'Sets the gap flags of the meter''s rows from that time on by its current reporting interval.';

-- A block of plausible rows that falls between two stored rows (history imported before live rows): set-based, then the
-- row after the block is folded again. Returns the range that changed, NULL when the rows are not such a block and
-- nothing was stored.
CREATE FUNCTION ingest_block(p_meter text, p_ts timestamptz[], p_power float8[], p_counter float8[], p_voltage real[],
    p_current real[], p_factor real[], p_frequency real[], p_temp real[]) RETURNS tstzrange LANGUAGE plpgsql AS $$
DECLARE
    m meters;
    k record;
    lo timestamptz; hi timestamptz; before_at timestamptz; next_at timestamptz; last_at timestamptz;
    v_rows integer;
BEGIN
    SELECT * INTO m FROM meters WHERE meter_id = p_meter;
    SELECT min(u), max(u) INTO lo, hi FROM unnest(p_ts) u;
    IF m.reading_kind <> 'counter' OR m.changes_until > '-infinity' OR EXISTS (SELECT 1 FROM series.energy WHERE meter_key = m.meter_key AND timestamp >= lo AND timestamp <= hi) THEN
        RETURN NULL;
    END IF;
    SELECT timestamp INTO before_at FROM series.energy WHERE meter_key = m.meter_key AND timestamp < lo ORDER BY timestamp DESC LIMIT 1;
    SELECT timestamp AS owner_at, coalesce(base_wh, reading_wh) AS base, coalesce(base_at, timestamp) AS base_at, alt_at INTO k FROM series.energy
        WHERE meter_key = m.meter_key AND timestamp < lo AND reading_wh IS NOT NULL ORDER BY timestamp DESC LIMIT 1;
    IF k.alt_at IS NOT NULL THEN
        RETURN NULL;
    END IF;
    WITH lagged AS (
        SELECT u.*, lag(ts) OVER every AS row_at, lag(counter) OVER counted AS c0, lag(ts) OVER counted AS c0_at
        FROM unnest(p_ts, p_power, p_counter, p_voltage, p_current, p_factor, p_frequency, p_temp) AS u (ts, power, counter, voltage, amps, pf, hz, temp)
        WINDOW every AS (ORDER BY ts), counted AS (PARTITION BY counter IS NULL ORDER BY ts)
    ), judged AS (
        SELECT *, coalesce(c0, k.base) AS base,
            bool_and((row_at IS NULL OR ts > row_at) AND (counter IS NULL OR coalesce(c0, k.base) IS NULL
                OR (counter >= coalesce(c0, k.base) AND (counter - coalesce(c0, k.base)) * m.ct_factor
                    <= plausible_wh(m.max_power_w, date_part('epoch', ts - coalesce(c0_at, k.base_at)), m.slack_s, m.counter_step_wh)))) OVER () AS ok
        FROM lagged
    )
    INSERT INTO series.energy (meter_key, timestamp, power_watts, reading_wh, energy_delta_wh, interval_start, quality,
                               voltage, current_amps, power_factor, frequency_hz, plug_temp_c)
    SELECT m.meter_key, j.ts, j.power * m.ct_factor, j.counter, (j.counter - j.base) * m.ct_factor, CASE WHEN j.counter IS NOT NULL THEN coalesce(j.c0_at, k.owner_at) END,
           join_flags(CASE WHEN j.counter IS NOT NULL AND j.base IS NULL THEN 'first' END,
                      date_part('epoch', j.ts - coalesce(j.row_at, before_at)) > gap_threshold_s(m.reporting_interval_s)),
           j.voltage, j.amps, j.pf, j.hz, j.temp
    FROM judged j WHERE j.ok;
    GET DIAGNOSTICS v_rows = ROW_COUNT;
    IF v_rows = 0 THEN
        RETURN NULL;
    END IF;
    SELECT timestamp INTO next_at FROM series.energy WHERE meter_key = m.meter_key AND timestamp > hi ORDER BY timestamp LIMIT 1;
    IF next_at IS NULL THEN
        PERFORM store_meter_state(p_meter);
    ELSE
        last_at := upper(refold(p_meter, ARRAY[next_at]));
    END IF;
    RETURN tstzrange(least(k.owner_at, before_at, lo), greatest(hi, last_at), '[]');
END $$;
COMMENT ON FUNCTION ingest_block(text, timestamptz[], float8[], float8[], real[], real[], real[], real[], real[]) IS
    'Stores plausible rows of one meter that lie between two stored rows, set-based; returns the changed range, NULL '
    'when it stored nothing.';

-- The slow path: rows of one meter in any order, late, repeated or doubtful. They are stored first, then folded.
CREATE FUNCTION ingest_meter_rows(p_meter text, p_ts timestamptz[], p_power float8[], p_counter float8[], p_voltage real[],
    p_current real[], p_factor real[], p_frequency real[], p_temp real[], p_interval_s real[], p_device_time timestamptz[], p_fast boolean)
RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    v_key integer := meter_key(p_meter);
    v_touched timestamptz[];
    v_range tstzrange;
    v_stored integer;
    v_before timestamptz;
BEGIN
    SELECT last_at INTO v_before FROM meter_state WHERE meter_id = p_meter;
    IF p_fast THEN
        v_range := ingest_block(p_meter, p_ts, p_power, p_counter, p_voltage, p_current, p_factor, p_frequency, p_temp);
        v_stored := cardinality(p_ts);
    END IF;
    IF v_range IS NULL THEN
        -- Of equal times the higher counter counts, then the higher power; the rest only makes the choice unique.
        WITH best AS (
            SELECT DISTINCT ON (ts) * FROM unnest(p_ts, p_power, p_counter, p_voltage, p_current, p_factor, p_frequency, p_temp, p_interval_s, p_device_time)
                AS u (ts, power, counter, voltage, amps, pf, hz, temp, seconds, device_time)
            ORDER BY ts, counter DESC NULLS LAST, power DESC NULLS LAST, voltage DESC NULLS LAST, amps DESC NULLS LAST,
                     pf DESC NULLS LAST, hz DESC NULLS LAST, temp DESC NULLS LAST, seconds DESC NULLS LAST, device_time DESC NULLS LAST
        ), stored AS (
            INSERT INTO series.energy AS e (meter_key, timestamp, power_watts, reading_wh, voltage, current_amps,
                                            power_factor, frequency_hz, plug_temp_c, interval_s, device_time, quality)
            SELECT v_key, b.ts, b.power * ct_factor_at(p_meter, b.ts), b.counter, b.voltage, b.amps, b.pf, b.hz, b.temp, b.seconds,
                   nullif(b.device_time, '-infinity'), CASE WHEN b.device_time = '-infinity' THEN 'untimed' END
            FROM best b
            ON CONFLICT (meter_key, timestamp) DO UPDATE SET power_watts = excluded.power_watts, reading_wh = excluded.reading_wh,
                voltage = excluded.voltage, current_amps = excluded.current_amps, power_factor = excluded.power_factor,
                frequency_hz = excluded.frequency_hz, plug_temp_c = excluded.plug_temp_c, interval_s = excluded.interval_s,
                device_time = excluded.device_time
            WHERE ROW(coalesce(excluded.reading_wh, -1), coalesce(excluded.power_watts, -1), coalesce(excluded.voltage, '-infinity'),
                      coalesce(excluded.current_amps, '-infinity'), coalesce(excluded.power_factor, '-infinity'),
                      coalesce(excluded.frequency_hz, '-infinity'), coalesce(excluded.plug_temp_c, '-infinity'), coalesce(excluded.interval_s, -1))
                > ROW(coalesce(e.reading_wh, -1), coalesce(e.power_watts, -1), coalesce(e.voltage, '-infinity'),
                      coalesce(e.current_amps, '-infinity'), coalesce(e.power_factor, '-infinity'),
                      coalesce(e.frequency_hz, '-infinity'), coalesce(e.plug_temp_c, '-infinity'), coalesce(e.interval_s, -1))
            RETURNING timestamp
        )
        SELECT array_agg(timestamp ORDER BY timestamp) INTO v_touched FROM stored;
        IF v_touched IS NULL THEN
            RETURN jsonb_build_object('stored', 0);
        END IF;
        v_range := refold(p_meter, v_touched);
        v_stored := cardinality(v_touched);
    END IF;
    PERFORM mark_dirty(p_meter, lower(v_range), upper(v_range) + interval '1 microsecond');
    IF lower(v_range) < v_before THEN
        RETURN jsonb_build_object('stored', v_stored,
            'touched', jsonb_build_object('meter_id', p_meter, 'from', lower(v_range), 'to', upper(v_range)));
    END IF;
    RETURN jsonb_build_object('stored', v_stored);
END $$;
COMMENT ON FUNCTION ingest_meter_rows(text, timestamptz[], float8[], float8[], real[], real[], real[], real[], real[],
    real[], timestamptz[], boolean) IS
    'Stores checked rows of one meter in any order and folds what they change; the caller holds the meter''s lock. '
    'p_fast: try ingest_block() first.';

CREATE FUNCTION reopen_jobs(p_meter text, p_from timestamptz, p_to timestamptz) RETURNS void LANGUAGE sql AS $$
    UPDATE print_jobs j SET energy_final = false
    FROM meter_assignments a
    WHERE (a.meter_id = p_meter OR a.meter_id IN (SELECT v.meter_id FROM virtual_meter_parts v WHERE v.part_id = p_meter))
      AND a.device_id = j.device_id AND j.energy_final
      AND j.end_time > p_from AND j.start_time < p_to AND a.valid_from < j.end_time AND a.valid_to > j.start_time
$$;
COMMENT ON FUNCTION reopen_jobs(text, timestamptz, timestamptz) IS
    'Marks ended jobs whose energy a late row may have changed, so that they are computed again.';

-- A limit that was too low had turned real energy into jumps: these are judged again.
CREATE FUNCTION allow_power(p_meter text, p_watts double precision) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_key integer := meter_key(p_meter);
    v_jumps timestamptz[];
    v_range tstzrange;
BEGIN
    PERFORM 1 FROM meter_state WHERE meter_id = p_meter FOR UPDATE;
    UPDATE meters SET max_power_w = p_watts WHERE meter_id = p_meter AND max_power_w < p_watts;
    IF FOUND THEN
        SELECT array_agg(timestamp ORDER BY timestamp) INTO v_jumps FROM series.energy
            WHERE meter_key = v_key AND has_flag(quality, 'jump');
        IF v_jumps IS NOT NULL THEN
            v_range := refold(p_meter, v_jumps);
            PERFORM mark_dirty(p_meter, lower(v_range), upper(v_range) + interval '1 microsecond');
            PERFORM reopen_jobs(p_meter, lower(v_range), upper(v_range));
        END IF;
    END IF;
END $$;
COMMENT ON FUNCTION allow_power(text, double precision) IS
    'Raises the highest plausible power of the meter to that many W (never lowers it) and counts the energy of jumps '
    'that only the old limit made.';

-- device_latest is the lock of a device: every function that changes it or devices.last_seen first locks the rows of
-- device_latest, sorted.
CREATE FUNCTION refresh_device_power(p_devices text[]) RETURNS text[] LANGUAGE plpgsql SET enable_nestloop = off AS $$
DECLARE
    v_devices text[];
BEGIN
    SELECT array_agg(d.device_id) INTO v_devices FROM
        (SELECT device_id FROM device_latest WHERE device_id = ANY (p_devices) ORDER BY device_id FOR UPDATE) d;
    UPDATE device_latest l SET power_watts = x.power, power_at = x.at
        FROM (-- the sum over the meters that add up, without those that say nothing any more about the time of the newest
              SELECT p.device_id, sum(p.last_power_watts) FILTER (WHERE p.last_power_at >= p.newest - p.hold) AS power, p.newest AS at
              FROM (SELECT d.device_id, s.last_power_watts, s.last_power_at, s.hold, max(s.last_power_at) OVER (PARTITION BY d.device_id) AS newest
                    FROM unnest(v_devices) AS d (device_id)
                    LEFT JOIN (SELECT a.device_id, coalesce(v.factor, 1) * t.last_power_watts AS last_power_watts, t.last_power_at, holds(r.reporting_interval_s) AS hold
                               FROM meter_assignments a JOIN meters m USING (meter_id) LEFT JOIN virtual_meter_parts v USING (meter_id)
                               JOIN meters r ON r.meter_id = coalesce(v.part_id, m.meter_id) JOIN meter_state t ON t.meter_id = r.meter_id
                               WHERE a.device_id = ANY (v_devices) AND a.adds AND a.valid_to = 'infinity' AND m.energy_type = 'electricity' AND m.direction = 'import'
                                 AND t.last_power_at >= a.valid_from) s USING (device_id)) p
              GROUP BY p.device_id, p.newest) x
        WHERE l.device_id = x.device_id AND (l.power_watts, l.power_at) IS DISTINCT FROM (x.power, x.at);
    RETURN v_devices;
END $$;
COMMENT ON FUNCTION refresh_device_power(text[]) IS
    'Locks the devices (sorted) and sets device_latest.power_watts to the sum of the latest power of their main '
    'electricity meters; returns the devices.';

-- device_latest has the power that most people ask for, electricity; this has that of every carrier.
CREATE FUNCTION device_power(p_device text) RETURNS TABLE (energy_type text, power_watts double precision, power_at timestamptz) LANGUAGE sql STABLE AS $$
    SELECT p.energy_type, sum(p.watts) FILTER (WHERE p.at >= p.newest - p.hold), p.newest
    FROM (SELECT m.energy_type, coalesce(v.factor, 1) * t.last_power_watts AS watts, t.last_power_at AS at, holds(r.reporting_interval_s) AS hold,
                 max(t.last_power_at) OVER (PARTITION BY m.energy_type) AS newest
          FROM meter_assignments a JOIN meters m USING (meter_id) LEFT JOIN virtual_meter_parts v USING (meter_id)
          JOIN meters r ON r.meter_id = coalesce(v.part_id, m.meter_id) JOIN meter_state t ON t.meter_id = r.meter_id
          WHERE a.device_id = p_device AND a.adds AND a.valid_to = 'infinity' AND m.direction = 'import' AND t.last_power_at >= a.valid_from) p
    GROUP BY p.energy_type, p.newest
$$;
COMMENT ON FUNCTION device_power(text) IS
    'The latest power of a device in W by energy type: the sum over its meters that add up, without those that say nothing any '
    'more about the time of the newest.';

-- Nothing that a workshop measures is larger, and what is larger overflows in sums. NaN is greater than infinity in
-- PostgreSQL.
CREATE FUNCTION is_measurable(p double precision) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
$$ SELECT p >= 0 AND p <= 1e15 $$;
COMMENT ON FUNCTION is_measurable(double precision) IS
    'Whether the value can be a power in W or a counter in Wh: a number from 0 to 1e15. NULL for NULL.';

-- Readings with resolved times. Rows that are plausible and strictly newer than everything of their meter are stored by
-- one set-based statement; a meter with any other row goes through ingest_meter_rows(). Both store the same rows (a
-- test proves it).
CREATE FUNCTION ingest_energy(p_meter text[], p_ts timestamptz[], p_power float8[], p_counter float8[],
    p_voltage float8[] DEFAULT NULL, p_current float8[] DEFAULT NULL, p_factor float8[] DEFAULT NULL,
    p_frequency float8[] DEFAULT NULL, p_temp float8[] DEFAULT NULL, p_fast boolean DEFAULT true,
    p_interval_s float8[] DEFAULT NULL, p_device_time timestamptz[] DEFAULT NULL) RETURNS jsonb
-- The planner can't know how long arrays are: without these it joins 500 rows in nested loops and plans again at each
-- call.
LANGUAGE plpgsql SET enable_nestloop = off SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    v_floor timestamptz := raw_floor();
    v_ceiling timestamptz := newest_allowed();
    v_meters text[];
    v_valid bigint; v_fast bigint; v_rejected bigint := 0; v_stored bigint := 0;
    v_slow bigint[];
    v_touched jsonb := '[]'::jsonb;
    v_answer jsonb;
    v_first timestamptz; v_last timestamptz;
    item record;
BEGIN
    IF EXISTS (SELECT 1 FROM unnest(p_power || p_counter) AS u (v) WHERE v > 0 AND v < 1e-30) THEN
        -- zero for every purpose, but a product of such values underflows, which PostgreSQL makes an error
        p_power := ARRAY(SELECT CASE WHEN v < 1e-30 AND v > 0 THEN 0 ELSE v END FROM unnest(p_power) WITH ORDINALITY AS u (v, n) ORDER BY n);
        p_counter := ARRAY(SELECT CASE WHEN v < 1e-30 AND v > 0 THEN 0 ELSE v END FROM unnest(p_counter) WITH ORDINALITY AS u (v, n) ORDER BY n);
    END IF;
    PERFORM lock_registry(false);
    SELECT min(u), max(u) INTO v_first, v_last FROM unnest(p_ts) AS u WHERE u >= v_floor AND u <= v_ceiling;
    PERFORM ensure_months('energy', v_first, v_last);
    -- Locked in sorted order by a separate statement: the next statement then sees what the last holder wrote.
    SELECT array_agg(l.meter_id) INTO v_meters FROM
        (SELECT meter_id FROM meter_state WHERE meter_id = ANY (p_meter) ORDER BY meter_id FOR UPDATE) l;

    WITH input AS MATERIALIZED (
        SELECT u.*, m.meter_key, m.reading_kind, m.max_power_w, m.slack_s, m.counter_step_wh, m.ct_factor, gap_threshold_s(m.reporting_interval_s) AS gap_s,
               CASE WHEN m.reading_kind = 'interval' THEN interval_of(m, as_real(u.seconds)) END AS spans_s,
               m.changes_until <= coalesce(s.last_counter_at, '-infinity') AS unchanged,
               s.last_at, s.last_counter_at, s.base_wh, s.base_at, s.alt_at
        FROM unnest(p_meter, p_ts, p_power, p_counter, p_voltage, p_current, p_factor, p_frequency, p_temp, p_interval_s, p_device_time)
            WITH ORDINALITY AS u (meter_id, ts, power, counter, voltage, amps, pf, hz, temp, seconds, device_time, n)
        JOIN meter_state s ON s.meter_id = u.meter_id JOIN meters m ON m.meter_id = u.meter_id
        WHERE u.ts <= v_ceiling AND u.ts >= v_floor AND m.reading_kind <> 'virtual'
          AND (u.power IS NULL OR is_measurable(u.power)) AND (u.counter IS NULL OR is_measurable(u.counter))
          AND (u.power IS NOT NULL OR u.counter IS NOT NULL)
    ), lagged AS (
        SELECT *, lag(ts) OVER every AS before_at, lag(counter) OVER counted AS before_c, lag(ts) OVER counted AS before_c_at
        FROM input
        WINDOW every AS (PARTITION BY meter_id ORDER BY ts), counted AS (PARTITION BY meter_id, counter IS NULL ORDER BY ts)
    ), judged AS MATERIALIZED (
        SELECT *,
            CASE WHEN counter IS NULL THEN NULL WHEN before_c_at IS NULL THEN base_wh ELSE before_c END AS base,
            coalesce(before_c_at, last_counter_at) AS owner_at,
            bool_and(p_fast AND unchanged AND alt_at IS NULL
                AND (last_at IS NULL OR ts > last_at) AND (before_at IS NULL OR ts > before_at)
                AND (reading_kind = 'interval' OR (reading_kind = 'counter'
                     AND (counter IS NULL OR coalesce(before_c, base_wh) IS NULL
                          OR (counter >= coalesce(before_c, base_wh) AND (counter - coalesce(before_c, base_wh)) * ct_factor <= plausible_wh(max_power_w,
                              extract(epoch FROM ts - coalesce(before_c_at, base_at))::float8, slack_s, counter_step_wh)))))
            ) OVER (PARTITION BY meter_id) AS fast
        FROM lagged
    ), stored AS (
        INSERT INTO series.energy (meter_key, timestamp, power_watts, reading_wh, energy_delta_wh, interval_start, quality,
                                   voltage, current_amps, power_factor, frequency_hz, plug_temp_c, interval_s, device_time)
        SELECT j.meter_key, j.ts, j.power * j.ct_factor, j.counter,
               CASE WHEN j.spans_s IS NULL THEN j.counter - j.base ELSE j.counter END * j.ct_factor, i.starts,
               CASE WHEN j.spans_s IS NULL
                    THEN join_flags(CASE WHEN j.counter IS NOT NULL AND j.base IS NULL THEN 'first' END,
                                    extract(epoch FROM j.ts - coalesce(j.before_at, j.last_at)) > j.gap_s)
                    WHEN j.counter IS NULL THEN join_flags(NULL, extract(epoch FROM j.ts - coalesce(j.before_at, j.last_at)) > j.gap_s)
                    ELSE join_flags(CASE WHEN j.device_time = '-infinity' THEN 'untimed' END,
                                    extract(epoch FROM i.starts - j.owner_at) > greatest(1, 0.05 * j.spans_s)) END,
               as_real(j.voltage), as_real(j.amps), as_real(j.pf), as_real(j.hz), as_real(j.temp), as_real(j.seconds), nullif(j.device_time, '-infinity')
        FROM judged j CROSS JOIN LATERAL (SELECT CASE WHEN j.counter IS NULL THEN NULL WHEN j.spans_s IS NULL THEN j.owner_at
                                        ELSE greatest(j.owner_at, j.ts - make_interval(secs => j.spans_s)) END AS starts) i
        WHERE j.fast
    ), state AS (
        UPDATE meter_state s SET
            last_at = x.last_at,
            last_counter_at = coalesce(x.last_counter_at, s.last_counter_at),
            base_wh = coalesce(x.base_wh, s.base_wh), base_at = coalesce(x.last_counter_at, s.base_at),
            last_power_watts = coalesce(x.power, s.last_power_watts), last_power_at = coalesce(x.power_at, s.last_power_at),
            jumps_in_row = CASE WHEN x.last_counter_at IS NULL THEN s.jumps_in_row ELSE 0 END,
            dirty_from = least(s.dirty_from, coalesce(s.last_counter_at, s.last_at, x.first_at), x.first_start)
        FROM (SELECT meter_id, min(ts) AS first_at, max(ts) AS last_at,
                     -- the first interval of an interval meter begins before any row
                     min(ts - make_interval(secs => spans_s)) FILTER (WHERE owner_at IS NULL AND counter IS NOT NULL) AS first_start,
                     max(ts) FILTER (WHERE counter IS NOT NULL) AS last_counter_at,
                     -- plausible counters never fall
                     CASE WHEN bool_or(spans_s IS NULL) THEN max(counter) ELSE (array_agg(counter ORDER BY ts DESC) FILTER (WHERE counter IS NOT NULL))[1] END AS base_wh,
                     max(ts) FILTER (WHERE power IS NOT NULL) AS power_at,
                     (array_agg(power * ct_factor ORDER BY ts DESC) FILTER (WHERE power IS NOT NULL))[1] AS power
              FROM judged WHERE fast GROUP BY meter_id) x
        WHERE s.meter_id = x.meter_id
    )
    SELECT count(*), count(*) FILTER (WHERE fast), array_agg(n) FILTER (WHERE NOT fast) INTO v_valid, v_fast, v_slow FROM judged;
    v_stored := v_fast;

    IF v_slow IS NOT NULL THEN
        FOR item IN
            SELECT u.meter_id, array_agg(u.ts) AS ts, array_agg(u.power) AS power, array_agg(u.counter) AS counter,
                   array_agg(as_real(u.voltage)) AS voltage, array_agg(as_real(u.amps)) AS amps, array_agg(as_real(u.pf)) AS pf,
                   array_agg(as_real(u.hz)) AS hz, array_agg(as_real(u.temp)) AS temp, array_agg(as_real(u.seconds)) AS seconds,
                   array_agg(u.device_time) AS device_time
            FROM unnest(p_meter, p_ts, p_power, p_counter, p_voltage, p_current, p_factor, p_frequency, p_temp, p_interval_s, p_device_time)
                WITH ORDINALITY AS u (meter_id, ts, power, counter, voltage, amps, pf, hz, temp, seconds, device_time, n)
            JOIN unnest(v_slow) AS slow (n) ON slow.n = u.n GROUP BY 1 ORDER BY 1
        LOOP
            v_answer := ingest_meter_rows(item.meter_id, item.ts, item.power, item.counter, item.voltage, item.amps, item.pf, item.hz, item.temp,
                                          item.seconds, item.device_time, p_fast);
            v_stored := v_stored + (v_answer ->> 'stored')::bigint;
            IF v_answer ? 'touched' THEN
                v_touched := v_touched || (v_answer -> 'touched');
            END IF;
        END LOOP;
    END IF;

    IF v_valid < cardinality(p_meter) THEN
        v_rejected := reject_readings(p_meter, p_ts, p_power, p_counter, v_floor);
    END IF;
    PERFORM touch_registry(v_meters, v_slow IS NOT NULL);
    IF v_touched <> '[]' THEN
        PERFORM reopen_jobs(t ->> 'meter_id', (t ->> 'from')::timestamptz, (t ->> 'to')::timestamptz) FROM jsonb_array_elements(v_touched) t;
    END IF;
    RETURN jsonb_build_object('accepted', v_stored, 'repeated', v_valid - v_stored, 'rejected', v_rejected, 'touched', v_touched);
END $$;
COMMENT ON FUNCTION ingest_energy(text[], timestamptz[], float8[], float8[], float8[], float8[], float8[], float8[],
    float8[], boolean, float8[], timestamptz[]) IS
    'Readings (meter, time, W, Wh, V, A, power factor, Hz, °C) of known meters into the account; of an interval meter Wh '
    'are those of the interval that ends at that time, with its length in s (NULL: the meter''s) and, where the device''s '
    'clock is wrong, the time by its own clock (-infinity: it sent none). Returns accepted, repeated, rejected and the '
    'late ranges that it touched. p_fast := false forces the slow path.';

-- last_seen is exact to 5 s: writing it with every batch would cost as much as the accounting.
CREATE FUNCTION touch_registry(p_meters text[], p_first_seen boolean) RETURNS void LANGUAGE plpgsql SET enable_nestloop = off AS $$
DECLARE
    v_devices text[];
BEGIN
    UPDATE meters m SET last_seen = s.last_at,
        first_seen = CASE WHEN p_first_seen OR m.first_seen IS NULL
            THEN coalesce((SELECT min(e.timestamp) FROM series.energy e WHERE e.meter_key = m.meter_key), m.first_seen) ELSE m.first_seen END
        FROM meter_state s WHERE s.meter_id = m.meter_id AND m.meter_id = ANY (p_meters) AND s.last_at IS NOT NULL
          AND (m.last_seen IS NULL OR m.last_seen < s.last_at - interval '5 seconds' OR p_first_seen OR m.first_seen IS NULL);
    v_devices := refresh_device_power(ARRAY(SELECT device_id FROM meter_assignments
        WHERE (meter_id = ANY (p_meters) OR meter_id IN (SELECT v.meter_id FROM virtual_meter_parts v WHERE v.part_id = ANY (p_meters))) AND valid_to = 'infinity'));
    UPDATE devices d SET last_seen = x.at
        FROM (SELECT a.device_id, max(s.last_at) AS at FROM meter_assignments a JOIN meter_state s USING (meter_id)
              WHERE a.meter_id = ANY (p_meters) AND s.last_at >= a.valid_from AND a.valid_to = 'infinity' GROUP BY 1) x
        WHERE d.device_id = x.device_id AND d.device_id = ANY (v_devices) AND (d.last_seen IS NULL OR d.last_seen < x.at - interval '5 seconds');
END $$;
COMMENT ON FUNCTION touch_registry(text[], boolean) IS
    'Updates first_seen and last_seen (to 5 s) of meters and devices, and the latest power of the devices.';

CREATE FUNCTION reject_readings(p_meter text[], p_ts timestamptz[], p_power float8[], p_counter float8[], p_floor timestamptz)
RETURNS bigint LANGUAGE sql AS $$
    SELECT record_rejects(array_agg('energy'::text), array_agg(coalesce(meter_id, '')),
        array_agg(json_build_object('meter_id', meter_id, 'timestamp', ts, 'power_watts', power::text, 'energy_total_wh', counter::text)::text),
        array_agg(reason))
    FROM (SELECT u.*, CASE
            WHEN m.meter_id IS NULL AND is_meter_name(u.meter_id) IS NOT TRUE THEN 'a meter needs a name of 1 to 200 characters, none of them a control character'
            WHEN m.meter_id IS NULL AND (SELECT room_for_meters()) <= 0
                THEN 'unknown meter, and 1,000 wait for a device already: assign some, or name this one as the plug of a device'
            WHEN m.meter_id IS NULL THEN 'unknown meter'
            WHEN u.ts IS NULL OR u.ts IN ('infinity', '-infinity') THEN 'unknown time'
            WHEN m.reading_kind = 'virtual' THEN 'a virtual meter is computed from others and has no readings'
            WHEN u.ts > newest_allowed() THEN 'time more than 5 minutes in the future'
            WHEN u.ts < p_floor THEN 'older than the raw rows kept'
            WHEN u.power IS NULL AND u.counter IS NULL THEN 'neither power nor counter'
            WHEN NOT is_measurable(u.power) THEN 'power negative, beyond measure or not a number'
            WHEN NOT is_measurable(u.counter) THEN 'counter negative, beyond measure or not a number' END AS reason
          FROM unnest(p_meter, p_ts, p_power, p_counter) AS u (meter_id, ts, power, counter)
          LEFT JOIN meters m ON m.meter_id = u.meter_id) judged
    WHERE reason IS NOT NULL
$$;
COMMENT ON FUNCTION reject_readings(text[], timestamptz[], float8[], float8[], timestamptz) IS
    'Records the readings that ingest_energy refuses, each with its reason; returns how many.';
