-- What people change about meters: virtual ones, an exchanged counter, the ratio of current transformers, corrections, readings
-- typed by hand. Each keeps the raw rows, counts the energy again and is in the audit log.

CREATE FUNCTION known_meter(p_meter text) RETURNS meters LANGUAGE plpgsql AS $$
DECLARE
    m meters;
BEGIN
    SELECT * INTO m FROM meters WHERE meter_id = p_meter;
    IF NOT FOUND THEN
        PERFORM bad_input(format('There is no meter %s.', p_meter));
    END IF;
    RETURN m;
END $$;
COMMENT ON FUNCTION known_meter(text) IS 'The meter; a sentence when there is none of that name.';

-- Counts the rows after p_from, and up to p_to all of them, again; the caller has changed a factor, a counter or a correction.
CREATE FUNCTION count_again(p_meter text, p_from timestamptz, p_to timestamptz) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_key integer := meter_key(p_meter);
    v_rows timestamptz[];
    v_range tstzrange;
BEGIN
    PERFORM 1 FROM meter_state WHERE meter_id = p_meter FOR UPDATE;
    UPDATE meters SET ct_factor = ct_factor_at(p_meter, 'infinity'),
        changes_until = coalesce(greatest((SELECT max(replaced_at) FROM meter_replacements WHERE meter_id = p_meter),
                                          (SELECT max(valid_from) FROM meter_factors WHERE meter_id = p_meter),
                                          (SELECT max(to_ts) FROM meter_corrections WHERE meter_id = p_meter AND withdrawn_at IS NULL)), '-infinity')
        WHERE meter_id = p_meter;
    SELECT array_agg(timestamp ORDER BY timestamp) INTO v_rows FROM (
        SELECT timestamp FROM series.energy WHERE meter_key = v_key AND timestamp > p_from AND timestamp <= p_to
        UNION (SELECT timestamp FROM series.energy WHERE meter_key = v_key AND timestamp > p_to ORDER BY timestamp LIMIT 1)) r;
    IF v_rows IS NOT NULL THEN
        v_range := refold(p_meter, v_rows);
        PERFORM mark_dirty(p_meter, lower(v_range), upper(v_range) + interval '1 microsecond');
        PERFORM reopen_jobs(p_meter, lower(v_range), upper(v_range));
    END IF;
END $$;
COMMENT ON FUNCTION count_again(text, timestamptz, timestamptz) IS
    'Folds the rows of the meter in (from, to], and what follows from them, again and marks rollups and prints.';

CREATE FUNCTION virtual_meter_save(p_meter text, p_parts jsonb, p_actor text) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    v_old jsonb;
    v_type text;
    v_from timestamptz; v_to timestamptz;
    item record;
BEGIN
    PERFORM lock_registry(true);
    IF is_meter_name(p_meter) IS NOT TRUE THEN
        PERFORM bad_input('a meter needs a name of 1 to 200 characters, none of them a control character');
    ELSIF EXISTS (SELECT 1 FROM meters WHERE meter_id = p_meter AND reading_kind <> 'virtual') THEN
        PERFORM bad_input(format('%s is a meter with readings of its own: choose another name.', p_meter));
    ELSIF jsonb_typeof(p_parts) <> 'object' OR p_parts = '{}' THEN
        PERFORM bad_input('A virtual meter needs parts: an object of meters and factors, such as {"main": 1, "oven": -1}.');
    END IF;
    FOR item IN SELECT p.key AS part, p.value #>> '{}' AS factor, m.reading_kind, m.energy_type, m.direction FROM jsonb_each(p_parts) p LEFT JOIN meters m ON m.meter_id = p.key LOOP
        IF item.reading_kind IS NULL THEN
            PERFORM bad_input(format('There is no meter %s.', item.part));
        ELSIF item.reading_kind = 'virtual' THEN
            PERFORM bad_input(format('%s is virtual itself: name the meters that it is made of.', item.part));
        ELSIF (item.factor ~ '^-?\d{1,9}(\.\d{1,9})?$') IS NOT TRUE OR item.factor::float8 = 0 THEN
            PERFORM bad_input(format('The factor of %s is a number other than 0.', item.part));
        ELSIF v_type IS NOT NULL AND v_type <> item.energy_type THEN
            PERFORM bad_input(format('%s measures %s and another part %s: energy types are never added.', item.part, item.energy_type, v_type));
        END IF;
        v_type := item.energy_type;
    END LOOP;
    SELECT jsonb_object_agg(part_id, factor) INTO v_old FROM virtual_meter_parts WHERE meter_id = p_meter;
    INSERT INTO meters (meter_id, protocol, energy_type, reading_kind, unit, wh_per_unit)
        SELECT p_meter, 'virtual', t.energy_type, 'virtual', 'Wh', 1 FROM energy_types t WHERE t.energy_type = v_type
        ON CONFLICT (meter_id) DO UPDATE SET energy_type = excluded.energy_type;
    INSERT INTO meter_state (meter_id) VALUES (p_meter) ON CONFLICT DO NOTHING;
    DELETE FROM virtual_meter_parts WHERE meter_id = p_meter;
    INSERT INTO virtual_meter_parts (meter_id, part_id, factor) SELECT p_meter, key, (value #>> '{}')::float8 FROM jsonb_each(p_parts);
    -- the rows of all parts that it has or had
    SELECT min(e.first), max(e.last) INTO v_from, v_to FROM (SELECT jsonb_object_keys(p_parts || coalesce(v_old, '{}')) AS id) v JOIN meters m ON m.meter_id = v.id
        CROSS JOIN LATERAL (SELECT min(coalesce(e.interval_start, e.timestamp)) AS first, max(e.timestamp) AS last FROM series.energy e WHERE e.meter_key = m.meter_key) e;
    IF v_from IS NOT NULL THEN
        PERFORM mark_dirty(p_meter, v_from, v_to + interval '1 microsecond');
        PERFORM reopen_jobs(p_meter, v_from, v_to);
    END IF;
    INSERT INTO audit_log (actor, action, object, before, after) VALUES (p_actor, 'meter.virtual', p_meter, v_old, p_parts);
    RETURN jsonb_build_object('meter_id', p_meter, 'energy_type', v_type, 'parts', p_parts);
END $$;
COMMENT ON FUNCTION virtual_meter_save(text, jsonb, text) IS
    'Makes or changes a virtual meter: {part: factor, …}, for instance a sum (1, 1), a difference (1, -1) or a share (0.3).';

CREATE FUNCTION meter_replace(p_meter text, p_at timestamptz, p_old_end_wh double precision, p_new_start_wh double precision, p_actor text) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    m meters := known_meter(p_meter);
    v_next timestamptz;
BEGIN
    IF m.reading_kind <> 'counter' THEN
        PERFORM bad_input(format('%s has no counter that could be exchanged.', p_meter));
    ELSIF p_at IS NULL OR p_at > newest_allowed() OR p_at < raw_floor() THEN
        PERFORM bad_input('The exchange must lie in the past, within the time of which readings are kept.');
    ELSIF NOT is_measurable(p_old_end_wh) OR is_measurable(p_new_start_wh) IS NOT TRUE THEN
        PERFORM bad_input('The counters are numbers in Wh, not negative; only the end of the old one may be unknown.');
    END IF;
    PERFORM lock_registry(true);
    INSERT INTO meter_replacements (meter_id, replaced_at, old_end_wh, new_start_wh, actor) VALUES (p_meter, p_at, p_old_end_wh, p_new_start_wh, p_actor)
        ON CONFLICT (meter_id, replaced_at) DO UPDATE SET old_end_wh = excluded.old_end_wh, new_start_wh = excluded.new_start_wh, actor = excluded.actor;
    -- the rows after it may have been judged against the old counter
    SELECT coalesce(max(timestamp), p_at) INTO v_next FROM (SELECT timestamp, quality FROM series.energy
        WHERE meter_key = m.meter_key AND timestamp > p_at AND reading_wh IS NOT NULL ORDER BY timestamp LIMIT 1000) r WHERE r.quality IS NOT NULL;
    PERFORM count_again(p_meter, p_at - interval '1 microsecond', v_next);
    INSERT INTO audit_log (actor, action, object, after)
        VALUES (p_actor, 'meter.replace', p_meter, jsonb_build_object('at', p_at, 'old_end_wh', p_old_end_wh, 'new_start_wh', p_new_start_wh));
    RETURN jsonb_build_object('meter_id', p_meter, 'replaced_at', p_at);
END $$;
COMMENT ON FUNCTION meter_replace(text, timestamptz, double precision, double precision, text) IS
    'The counter of a metering point was exchanged at that time: the old one ended at so many Wh (NULL: not known), the new '
    'one began at so many.';

CREATE FUNCTION meter_factor_save(p_meter text, p_from timestamptz, p_factor double precision, p_actor text) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    m meters := known_meter(p_meter);
    v_from timestamptz := coalesce(p_from, '-infinity');
    v_to timestamptz;
BEGIN
    IF m.reading_kind = 'virtual' THEN
        PERFORM bad_input(format('%s is virtual: its parts have factors.', p_meter));
    ELSIF p_factor IS NULL OR NOT (p_factor > 0 AND p_factor <= 1e6) THEN
        PERFORM bad_input('The factor is a positive number, for instance 40 for transformers of 200/5 A.');
    END IF;
    PERFORM lock_registry(true);
    PERFORM 1 FROM meter_state WHERE meter_id = p_meter FOR UPDATE;
    v_to := coalesce((SELECT min(valid_from) FROM meter_factors WHERE meter_id = p_meter AND valid_from > v_from), 'infinity');
    UPDATE series.energy SET power_watts = power_watts / ct_factor_at(p_meter, timestamp)
        WHERE meter_key = m.meter_key AND timestamp >= v_from AND timestamp < v_to AND power_watts IS NOT NULL;
    INSERT INTO meter_factors (meter_id, valid_from, factor, actor) VALUES (p_meter, v_from, p_factor, p_actor)
        ON CONFLICT (meter_id, valid_from) DO UPDATE SET factor = excluded.factor, actor = excluded.actor;
    UPDATE series.energy SET power_watts = power_watts * p_factor
        WHERE meter_key = m.meter_key AND timestamp >= v_from AND timestamp < v_to AND power_watts IS NOT NULL;
    -- What the meter may measure grows with its transformers.
    UPDATE meters SET max_power_w = max_power_w * p_factor / ct_factor WHERE meter_id = p_meter AND v_to = 'infinity' AND p_factor > ct_factor;
    PERFORM count_again(p_meter, CASE WHEN v_from = '-infinity' THEN v_from ELSE v_from - interval '1 microsecond' END, v_to);
    INSERT INTO audit_log (actor, action, object, after)
        VALUES (p_actor, 'meter.factor', p_meter, jsonb_build_object('from', nullif(v_from, '-infinity'), 'factor', p_factor));
    RETURN jsonb_build_object('meter_id', p_meter, 'from', nullif(v_from, '-infinity'), 'factor', p_factor);
END $$;
COMMENT ON FUNCTION meter_factor_save(text, timestamptz, double precision, text) IS
    'The ratio of the meter''s current transformers from that time on (NULL: always): what it tells times this is what flows.';

CREATE FUNCTION meter_correct(p_meter text, p_from timestamptz, p_to timestamptz, p_energy_wh double precision, p_reason text, p_actor text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    m meters := known_meter(p_meter);
    v_id bigint;
    v_covered double precision;
BEGIN
    IF m.reading_kind = 'virtual' THEN
        PERFORM bad_input(format('%s is virtual: correct its parts.', p_meter));
    ELSIF (p_from < p_to) IS NOT TRUE OR p_to > newest_allowed() OR p_from < raw_floor() THEN
        PERFORM bad_input('A correction needs a beginning before its end, both in the past and within the time of which readings are kept.');
    ELSIF NOT is_measurable(p_energy_wh) THEN
        PERFORM bad_input('The energy of the span is a number in Wh, not negative; without one the span is excluded.');
    ELSIF coalesce(btrim(p_reason), '') = '' THEN
        PERFORM bad_input('A correction needs a reason.');
    END IF;
    PERFORM lock_registry(true);
    IF EXISTS (SELECT 1 FROM meter_corrections WHERE meter_id = p_meter AND withdrawn_at IS NULL AND from_ts < p_to AND to_ts > p_from) THEN
        PERFORM bad_input('Another correction covers a part of that span: withdraw it first.');
    END IF;
    -- The typed energy is shared among the intervals of the span: where there is none it would be lost.
    SELECT sum(extract(epoch FROM least(e.timestamp, p_to) - greatest(e.interval_start, p_from)))::float8 INTO v_covered FROM series.energy e
        WHERE e.meter_key = m.meter_key AND e.timestamp > p_from AND e.interval_start < p_to;
    IF p_energy_wh IS NOT NULL AND coalesce(v_covered, 0) < 0.999 * extract(epoch FROM p_to - p_from)::float8 THEN
        PERFORM bad_input(format('Readings cover %s %% of that span only: type the energy of the missing part as a reading first.',
                                 round((100 * coalesce(v_covered, 0) / extract(epoch FROM p_to - p_from)::float8)::numeric, 1)));
    END IF;
    INSERT INTO meter_corrections (meter_id, from_ts, to_ts, energy_wh, reason, actor) VALUES (p_meter, p_from, p_to, p_energy_wh, btrim(p_reason), p_actor)
        RETURNING correction_id INTO v_id;
    PERFORM count_again(p_meter, p_from, p_to);
    INSERT INTO audit_log (actor, action, object, after)
        VALUES (p_actor, 'meter.correct', p_meter, jsonb_build_object('correction_id', v_id, 'from', p_from, 'to', p_to, 'energy_wh', p_energy_wh, 'reason', p_reason));
    RETURN v_id;
END $$;
COMMENT ON FUNCTION meter_correct(text, timestamptz, timestamptz, double precision, text, text) IS
    'Excludes a span of a meter (energy NULL) or replaces its energy by that many Wh, with a reason; the raw rows stay. '
    'Returns the id of the correction.';

CREATE FUNCTION meter_correction_withdraw(p_correction bigint, p_actor text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    c meter_corrections;
BEGIN
    PERFORM lock_registry(true);
    UPDATE meter_corrections SET withdrawn_at = now() WHERE correction_id = p_correction AND withdrawn_at IS NULL RETURNING * INTO c;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM mark_dirty(c.meter_id, c.from_ts, c.to_ts);
    -- Nothing else may be left to look up, but these rows still have to be counted.
    UPDATE meters SET changes_until = greatest(changes_until, c.to_ts) WHERE meter_id = c.meter_id;
    PERFORM count_again(c.meter_id, c.from_ts, c.to_ts);
    INSERT INTO audit_log (actor, action, object, before) VALUES (p_actor, 'meter.correct.withdraw', c.meter_id, to_jsonb(c));
    RETURN true;
END $$;
COMMENT ON FUNCTION meter_correction_withdraw(bigint, text) IS 'Takes a correction back; false when there is none (any more).';

CREATE FUNCTION meter_reading_save(p_meter text, p_at timestamptz, p_wh double precision, p_actor text, p_from timestamptz DEFAULT NULL) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    m meters;
    v_answer jsonb;
BEGIN
    IF is_measurable(p_wh) IS NOT TRUE THEN
        PERFORM bad_input('A reading is a number in Wh, not negative.');
    ELSIF p_at IS NULL OR p_at > newest_allowed() OR p_at < raw_floor() THEN
        PERFORM bad_input('The time of a reading must lie in the past, within the time of which readings are kept.');
    ELSIF p_from >= p_at THEN
        PERFORM bad_input('An interval ends after it begins.');
    END IF;
    PERFORM register_meters(ARRAY[p_meter], ARRAY['manual'], p_kind => ARRAY[CASE WHEN p_from IS NULL THEN 'counter' ELSE 'interval' END]);
    m := known_meter(p_meter);
    IF m.reading_kind NOT IN ('counter', 'interval') THEN
        PERFORM bad_input(format('%s is %s: it has no readings of energy.', p_meter, CASE m.reading_kind WHEN 'virtual' THEN 'virtual' ELSE 'a meter of power only' END));
    ELSIF (m.reading_kind = 'interval') <> (p_from IS NOT NULL) THEN
        PERFORM bad_input(CASE m.reading_kind WHEN 'interval' THEN 'This meter reports intervals: give the beginning of the interval too.'
                               ELSE 'This meter counts: give what its counter shows, without a beginning.' END);
    END IF;
    v_answer := ingest_energy(ARRAY[p_meter], ARRAY[p_at], ARRAY[NULL::float8], ARRAY[p_wh],
                              p_interval_s => ARRAY[extract(epoch FROM p_at - p_from)::float8]);
    INSERT INTO audit_log (actor, action, object, after)
        VALUES (p_actor, 'meter.reading', p_meter, jsonb_build_object('at', p_at, 'from', p_from, 'wh', p_wh));
    RETURN v_answer;
END $$;
COMMENT ON FUNCTION meter_reading_save(text, timestamptz, double precision, text, timestamptz) IS
    'A reading typed by a person: what the counter shows at that time, or of an interval meter the energy since p_from, in '
    'Wh. A meter that is new is added. Returns what ingest_energy() returns.';

CREATE FUNCTION sub_meter_balance(p_device text, p_from timestamptz, p_to timestamptz, p_energy_type text DEFAULT 'electricity')
RETURNS TABLE (main_wh double precision, sub_wh double precision, unaccounted_wh double precision, unaccounted_share double precision) LANGUAGE sql STABLE AS $$
    SELECT x.main, x.sub, x.main - x.sub, (x.main - x.sub) / nullif(x.main, 0)
    FROM (SELECT device_energy(p_device, p_from, p_to, p_energy_type) AS main,
                 (SELECT CASE WHEN bool_and(e.wh IS NOT NULL) THEN sum(e.wh) END
                  FROM meter_assignments a JOIN meters m USING (meter_id)
                  CROSS JOIN LATERAL (SELECT meter_energy(a.meter_id, greatest(a.valid_from, p_from), least(a.valid_to, p_to)) AS wh) e
                  WHERE a.device_id = p_device AND a.role = 'sub' AND m.energy_type = p_energy_type AND m.direction = 'import'
                    AND a.valid_from < p_to AND a.valid_to > p_from) AS sub) x
$$;
COMMENT ON FUNCTION sub_meter_balance(text, timestamptz, timestamptz, text) IS
    'What the meters of a device measured in [from, to), what its sub meters did, and what no sub meter accounts for, in Wh '
    'and as a share; NULL where one of them is not known or there is no sub meter.';
