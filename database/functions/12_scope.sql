-- Which factories a connection of a reader sees: the setting enms.factories, set for one transaction (SET LOCAL) or by the
-- role. '*' is all of them, a list of factory ids those; not set, none. database/policies.sql keeps it on the registry; the
-- series have no policy (TimescaleDB refuses one beside compression) and are reached through views and functions that join
-- the registry.

CREATE FUNCTION scope_is_all() RETURNS boolean LANGUAGE sql STABLE PARALLEL SAFE AS
$$ SELECT current_setting('enms.factories', true) = '*' $$;
COMMENT ON FUNCTION scope_is_all() IS 'Whether this transaction sees every factory.';

CREATE FUNCTION scope_factories() RETURNS uuid[] LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN s <> '*' THEN string_to_array(s, ',')::uuid[] ELSE '{}' END FROM (SELECT nullif(current_setting('enms.factories', true), '') AS s) x
$$;
COMMENT ON FUNCTION scope_factories() IS 'The factories that this transaction sees, when not all of them; none when nothing is set.';

CREATE FUNCTION scope_devices() RETURNS text[] LANGUAGE sql STABLE AS
$$ SELECT array_agg(d.device_id) FROM devices d WHERE d.factory_id = ANY ((SELECT scope_factories())::uuid[]) $$;
COMMENT ON FUNCTION scope_devices() IS 'The devices of those factories.';

CREATE FUNCTION scope_meters() RETURNS text[] LANGUAGE sql STABLE AS
$$ SELECT array_agg(DISTINCT a.meter_id) FROM meter_assignments a WHERE a.device_id = ANY ((SELECT scope_devices())::text[]) $$;
COMMENT ON FUNCTION scope_meters() IS 'The meters that measure, or have measured, one of those devices.';
