-- Meters appear by themselves; the protocol gives the defaults that their owner may change.

CREATE FUNCTION default_max_power_w(p_meter text, p_protocol text, p_energy_type text DEFAULT 'electricity') RETURNS double precision LANGUAGE sql IMMUTABLE AS $$
    -- Generous on purpose: a limit that is too low turns real energy into jumps. 3,680 W = 16 A at 230 V.
    SELECT CASE WHEN p_energy_type <> 'electricity' THEN 20000000
                WHEN p_protocol = 'factory' THEN 2000000
                WHEN p_meter ~ '/em1?:\d+$' THEN 82800      -- three phases of 120 A
                ELSE 3680 END::double precision
$$;
COMMENT ON FUNCTION default_max_power_w(text, text, text) IS 'Highest plausible power of a new meter in W, by kind.';

-- Otherwise any client of the broker could add meters without end.
CREATE FUNCTION room_for_meters() RETURNS bigint LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN (SELECT 1000 - count(*) FROM meters m WHERE NOT EXISTS (SELECT 1 FROM meter_assignments a WHERE a.meter_id = m.meter_id));
END $$;
COMMENT ON FUNCTION room_for_meters() IS
    'How many more meters without a device may appear: at most 1,000 wait for one.';

CREATE FUNCTION is_meter_name(p_name text) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$ SELECT p_name ~ '^[^\x01-\x1f\x7f]{1,200}$' $$;
COMMENT ON FUNCTION is_meter_name(text) IS
    'Whether a meter may have that name: 1 to 200 characters, no control characters.';

CREATE FUNCTION register_meters(p_meter text[], p_protocol text[], p_energy_type text[] DEFAULT NULL, p_kind text[] DEFAULT NULL,
    p_direction text[] DEFAULT NULL, p_interval_s float8[] DEFAULT NULL) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    v_new text[];
    v_room bigint;
BEGIN
    -- The usual case, nothing new, costs one look-up and no lock.
    SELECT array_agg(DISTINCT u.id ORDER BY u.id) INTO v_new
        FROM unnest(p_meter) AS u (id) WHERE u.id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM meter_state s WHERE s.meter_id = u.id);
    IF v_new IS NULL THEN
        RETURN 0;
    END IF;
    PERFORM lock_registry(true);
    INSERT INTO meter_state (meter_id) SELECT meter_id FROM meters WHERE meter_id = ANY (v_new) ON CONFLICT DO NOTHING;
    v_room := room_for_meters();
    WITH wanted AS (
        SELECT DISTINCT ON (u.id) u.id, coalesce(u.protocol, 'unknown') AS protocol, t.energy_type, coalesce(u.kind, 'counter') AS kind,
               CASE WHEN u.direction = 'export' THEN 'export' ELSE 'import' END AS direction, u.seconds,
               CASE WHEN t.energy_type = 'electricity' THEN 'Wh' ELSE t.unit END AS unit, CASE WHEN t.energy_type = 'electricity' THEN 1 ELSE t.wh_per_unit END AS wh_per_unit
        FROM unnest(p_meter, p_protocol, p_energy_type, p_kind, p_direction, p_interval_s) WITH ORDINALITY AS u (id, protocol, energy_type, kind, direction, seconds, n)
        JOIN energy_types t ON t.energy_type = coalesce(u.energy_type, 'electricity')
        WHERE u.id = ANY (v_new) AND is_meter_name(u.id)
          AND NOT EXISTS (SELECT 1 FROM meters m WHERE m.meter_id = u.id)
        ORDER BY u.id, u.n      -- what the first one of a meter says
    ), ranked AS (
        SELECT w.*, count(*) FILTER (WHERE d.device_id IS NULL) OVER (ORDER BY w.id) AS unassigned
        FROM wanted w LEFT JOIN LATERAL (SELECT device_id FROM meter_claim(w.id)) d ON true
    ), made AS (
        INSERT INTO meters (meter_id, protocol, energy_type, reading_kind, direction, unit, wh_per_unit, max_power_w, reporting_interval_s)
        SELECT id, protocol, energy_type, kind, direction, unit, wh_per_unit, default_max_power_w(id, protocol, energy_type),
               CASE WHEN protocol = 'tasmota' THEN 300 WHEN seconds > 0 AND seconds <= 31 * 86400 THEN seconds END
        FROM ranked WHERE unassigned <= v_room
        ON CONFLICT DO NOTHING RETURNING meter_id
    )
    INSERT INTO meter_state (meter_id) SELECT meter_id FROM made ON CONFLICT DO NOTHING;
    PERFORM assign_new_meter(id, NULL) FROM unnest(v_new) AS u (id)
        WHERE EXISTS (SELECT 1 FROM meters WHERE meter_id = id);
    RETURN cardinality(v_new);
END $$;
COMMENT ON FUNCTION register_meters(text[], text[], text[], text[], text[], float8[]) IS
    'Registers unknown meters (at most 1,000 without a device; those of an unknown energy type are not) with protocol, '
    'energy type, kind, direction and interval in s, and assigns those that a device names in shelly_id.';

-- Which device names this meter in shelly_id: the meter itself, or the plug of which it is one channel.
CREATE FUNCTION meter_claim(p_meter text) RETURNS TABLE (device_id text) LANGUAGE sql STABLE AS $$
    SELECT d.device_id FROM devices d
    WHERE d.is_active AND d.shelly_id IN (p_meter, regexp_replace(p_meter, '/[^/]+$', ''))
    ORDER BY (d.shelly_id = p_meter) DESC, d.device_id LIMIT 1
$$;
COMMENT ON FUNCTION meter_claim(text) IS 'The device whose shelly_id names the meter or its plug; the exact name wins.';

CREATE FUNCTION assign_new_meter(p_meter text, p_from timestamptz) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    v_device text;
BEGIN
    SELECT device_id INTO v_device FROM meter_claim(p_meter);
    IF v_device IS NULL OR EXISTS (SELECT 1 FROM meter_assignments WHERE meter_id = p_meter) THEN
        RETURN false;
    END IF;
    PERFORM set_assignment(p_meter, v_device, 'main', p_from);
    RETURN true;
END $$;
COMMENT ON FUNCTION assign_new_meter(text, timestamptz) IS
    'Assigns a meter that never had a device to the device that names it.';

-- The reporting interval is the median of the newest intervals; it changes only when clearly different, so that the gap
-- flags of a meter do not flicker. Rows of the last week get the flags of the new threshold.
CREATE FUNCTION learn_reporting_intervals(p_meters text[] DEFAULT NULL) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    item record;
    v_changed integer := 0;
BEGIN
    PERFORM lock_registry(false);
    FOR item IN
        SELECT m.meter_id, m.reporting_interval_s, l.median, s.last_at
        FROM meters m JOIN meter_state s USING (meter_id)
        CROSS JOIN LATERAL (
            SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY d.seconds) AS median, count(*) AS n
            FROM (SELECT extract(epoch FROM e.timestamp - lag(e.timestamp) OVER (ORDER BY e.timestamp))::float8 AS seconds
                  FROM (SELECT timestamp FROM series.energy WHERE meter_key = m.meter_key ORDER BY timestamp DESC LIMIT 61) e) d
            WHERE d.seconds IS NOT NULL) l
        WHERE (p_meters IS NULL OR m.meter_id = ANY (p_meters)) AND l.n >= 10 AND l.median > 0
          AND (m.reporting_interval_s IS NULL OR l.median NOT BETWEEN m.reporting_interval_s * 0.67 AND m.reporting_interval_s * 1.5)
        ORDER BY m.meter_id
    LOOP
        PERFORM 1 FROM meter_state WHERE meter_id = item.meter_id FOR UPDATE;
        UPDATE meters SET reporting_interval_s = round(item.median::numeric, 1)
            WHERE meter_id = item.meter_id AND round(item.median::numeric, 1) > 0;
        IF gap_threshold_s(item.median) <> gap_threshold_s(item.reporting_interval_s) THEN
            PERFORM flag_gaps(item.meter_id, greatest(raw_floor(), item.last_at - interval '7 days'));
        END IF;
        v_changed := v_changed + 1;
    END LOOP;
    RETURN v_changed;
END $$;
COMMENT ON FUNCTION learn_reporting_intervals(text[]) IS
    'Learns the usual interval between readings in seconds per meter (median of the newest 60); returns how many '
    'changed.';

CREATE FUNCTION gap_threshold_s(p_interval_s double precision) RETURNS double precision LANGUAGE sql IMMUTABLE AS
$$ SELECT greatest(60, 3 * coalesce(p_interval_s, 20)) $$;
COMMENT ON FUNCTION gap_threshold_s(double precision) IS
    'A silence longer than this many seconds is a gap, from the reporting interval in s.';
