-- Settings, the factory's zone, and small helpers that the other files share.

-- plpgsql, here and below where a function reads tables: it keeps its plan, a SQL function is planned at every call.
CREATE FUNCTION setting(p_name text) RETURNS text LANGUAGE plpgsql STABLE AS
$$ BEGIN RETURN (SELECT value FROM settings WHERE name = p_name); END $$;
COMMENT ON FUNCTION setting(text) IS 'Value of one setting, NULL when there is none.';

CREATE FUNCTION engine() RETURNS text LANGUAGE sql STABLE AS $$ SELECT setting('engine') $$;
COMMENT ON FUNCTION engine() IS 'timescale or plain; decided at the first migration.';

-- Factories ----------------------------------------------------------------------------------------------------------

CREATE FUNCTION default_factory() RETURNS uuid LANGUAGE plpgsql STABLE AS
$$ BEGIN RETURN (SELECT factory_id FROM factories WHERE is_default); END $$;
COMMENT ON FUNCTION default_factory() IS
    'The factory of devices and meters that name none; exactly one is marked as the default.';

CREATE FUNCTION factory_zone(p_factory uuid) RETURNS text LANGUAGE plpgsql STABLE AS
$$ BEGIN RETURN (SELECT timezone FROM factories WHERE factory_id = p_factory); END $$;
COMMENT ON FUNCTION factory_zone(uuid) IS 'IANA time zone of the factory; NULL when there is no such factory.';

CREATE FUNCTION device_zone(p_device text) RETURNS text LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN coalesce((SELECT f.timezone FROM devices d JOIN factories f USING (factory_id) WHERE d.device_id = p_device),
                    (SELECT timezone FROM factories WHERE is_default));
END $$;
COMMENT ON FUNCTION device_zone(text) IS
    'IANA time zone of the device''s own factory, whose days are its days; that of the default factory for what has no '
    'device.';

CREATE FUNCTION device_key_zone(p_device_key integer) RETURNS text LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN coalesce((SELECT f.timezone FROM devices d JOIN factories f USING (factory_id) WHERE d.device_key = p_device_key),
                    (SELECT timezone FROM factories WHERE is_default));
END $$;
COMMENT ON FUNCTION device_key_zone(integer) IS 'device_zone() by the key of the series; 0 is no device.';

CREATE FUNCTION check_factory() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM pg_timezone_names WHERE name = NEW.timezone) THEN
        PERFORM bad_input(format('There is no time zone %s: an IANA name such as Europe/Berlin or America/New_York is needed.', NEW.timezone));
    END IF;
    IF NOT EXISTS (SELECT 1 FROM currencies WHERE currency = NEW.currency) THEN
        PERFORM bad_input(format('There is no currency %s: an ISO 4217 code such as EUR or USD is needed.', NEW.currency));
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION check_factory() IS 'Trigger: a factory has a time zone and a currency that exist.';

CREATE TRIGGER factories_check BEFORE INSERT OR UPDATE OF timezone, currency ON factories
    FOR EACH ROW EXECUTE FUNCTION check_factory();

-- Keys of the series -------------------------------------------------------------------------------------------------

CREATE FUNCTION meter_key(p_meter text) RETURNS integer LANGUAGE plpgsql STABLE AS
$$ BEGIN RETURN (SELECT m.meter_key FROM meters m WHERE m.meter_id = p_meter); END $$;
COMMENT ON FUNCTION meter_key(text) IS 'The meter''s key in the series; NULL when there is no such meter.';

CREATE FUNCTION device_key(p_device text) RETURNS integer LANGUAGE plpgsql STABLE AS
$$ BEGIN RETURN (SELECT d.device_key FROM devices d WHERE d.device_id = p_device); END $$;
COMMENT ON FUNCTION device_key(text) IS 'The device''s key in the series; NULL when there is no such device.';

CREATE FUNCTION location_key(p_location text) RETURNS integer LANGUAGE plpgsql STABLE AS
$$ BEGIN RETURN (SELECT l.location_key FROM locations l WHERE l.location_id = p_location); END $$;
COMMENT ON FUNCTION location_key(text) IS 'The place''s key in the series; NULL when there is no such place.';

-- Rules that several parts share -------------------------------------------------------------------------------------

CREATE FUNCTION holds(p_interval_s double precision) RETURNS interval LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
$$ SELECT greatest(interval '5 minutes', make_interval(secs => 3 * coalesce(p_interval_s, 0))) $$;
COMMENT ON FUNCTION holds(double precision) IS
    'How long a status or a power reading says something about now, from the interval in s at which it comes: three '
    'intervals, at least 5 minutes.';

CREATE FUNCTION at_rate(p_energy_wh double precision, p_per_kwh double precision) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
-- what is zero for every purpose would underflow, which PostgreSQL makes an error
$$ SELECT CASE WHEN abs(p_per_kwh) < 1e-30 THEN 0 * p_energy_wh ELSE p_energy_wh / 1000 * p_per_kwh END $$;
COMMENT ON FUNCTION at_rate(double precision, double precision) IS
    'Money or g CO2 of that many Wh at a rate per kWh; NULL when either is not known.';

CREATE FUNCTION newest_allowed() RETURNS timestamptz LANGUAGE sql STABLE AS $$ SELECT now() + interval '5 minutes' $$;
COMMENT ON FUNCTION newest_allowed() IS 'A time later than this is in the future and refused; clocks may be ahead a little.';

CREATE FUNCTION floor_to(p_seconds integer, p_at timestamptz) RETURNS timestamptz LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
$$ SELECT date_bin(make_interval(secs => p_seconds), p_at, '2000-01-01 00:00:00+00') $$;
COMMENT ON FUNCTION floor_to(integer, timestamptz) IS 'The start of the UTC-aligned bucket of that many seconds.';

-- STABLE, because timestamptz + interval is: an IMMUTABLE wrapper would not be inlined and cost a call per row.
CREATE FUNCTION ceil_to(p_seconds integer, p_at timestamptz) RETURNS timestamptz LANGUAGE sql STABLE PARALLEL SAFE AS
$$ SELECT date_bin(make_interval(secs => p_seconds), p_at + make_interval(secs => p_seconds) - interval '1 microsecond',
                   '2000-01-01 00:00:00+00') $$;
COMMENT ON FUNCTION ceil_to(integer, timestamptz) IS 'The first UTC-aligned bucket edge at or after that time.';

-- Buckets of any length: 86400 s stands for a day of the zone, which has 23 to 25 hours.
CREATE FUNCTION bucket_floor(p_step integer, p_at timestamptz, p_zone text) RETURNS timestamptz LANGUAGE sql STABLE PARALLEL SAFE AS
$$ SELECT CASE WHEN p_step = 86400 THEN date_trunc('day', p_at, p_zone) ELSE floor_to(p_step, p_at) END $$;
COMMENT ON FUNCTION bucket_floor(integer, timestamptz, text) IS
    'The start of the bucket of that many seconds; 86400 stands for a day of the zone.';

CREATE FUNCTION bucket_ceil(p_step integer, p_at timestamptz, p_zone text) RETURNS timestamptz LANGUAGE sql STABLE PARALLEL SAFE AS
$$ SELECT CASE WHEN p_step = 86400 THEN (date_trunc('day', p_at - interval '1 microsecond', p_zone) AT TIME ZONE p_zone + interval '1 day') AT TIME ZONE p_zone
               ELSE ceil_to(p_step, p_at) END $$;
COMMENT ON FUNCTION bucket_ceil(integer, timestamptz, text) IS 'The first edge of such buckets at or after that time.';

-- A secondary value that does not fit into a real is no measurement: it becomes NULL, so that the energy reading is
-- kept.
CREATE FUNCTION as_real(p double precision) RETURNS real LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
$$ SELECT CASE WHEN p = 0 THEN 0::real WHEN abs(p) > 1e-30 AND abs(p) < 1e30 THEN p::real END $$;
COMMENT ON FUNCTION as_real(double precision) IS
    'The value as real; NULL for NaN, infinity and what does not fit into a real.';

CREATE FUNCTION bad_input(p_sentence text) RETURNS void LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION '%', p_sentence USING ERRCODE = '22023'; END $$;
COMMENT ON FUNCTION bad_input(text) IS 'Raises SQLSTATE 22023 with a sentence for the person who gave the input.';

-- Registry changes take this lock exclusively, ingest takes it shared: so ingest may lock meters first and devices
-- after, and the registry the other way round, without a deadlock.
CREATE FUNCTION lock_registry(p_exclusive boolean) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF p_exclusive THEN
        PERFORM pg_advisory_xact_lock(5392001);
    ELSE
        PERFORM pg_advisory_xact_lock_shared(5392001);
    END IF;
END $$;
COMMENT ON FUNCTION lock_registry(boolean) IS
    'Transaction lock that orders registry changes (exclusive) and ingest (shared).';

-- Raw rows older than this are refused: retention has removed them or is about to, and their buckets are frozen.
CREATE FUNCTION raw_floor() RETURNS timestamptz LANGUAGE plpgsql STABLE AS
$$ BEGIN RETURN greatest(now() - setting('retention_raw')::interval, setting('frozen_before')::timestamptz); END $$;
COMMENT ON FUNCTION raw_floor() IS 'The oldest time at which a reading is still accepted.';
