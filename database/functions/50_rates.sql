-- Cost and CO2 = Σ energy × the rate that held at that time. At any time exactly one rate holds or none; none → NULL.

-- The tariff at a time: among those whose dates, weekdays and times of day (factory's zone) hold, the one of the
-- highest priority, then the newest. A time range that wraps midnight (or has no length) belongs to the day on which it
-- starts.
CREATE FUNCTION tariff_at(p_factory uuid, p_energy_type text, p_at timestamptz, OUT tariff_id bigint, OUT name text, OUT price_per_kwh double precision,
    OUT currency text, OUT demand_price_per_kw double precision, OUT valid_from timestamptz, OUT valid_to timestamptz) LANGUAGE sql STABLE AS $$
    SELECT t.tariff_id, t.name, t.price_per_kwh, t.currency, t.demand_price_per_kw, t.valid_from, t.valid_to FROM energy_tariffs t
    CROSS JOIN (SELECT l::time AS clock, extract(isodow FROM l)::smallint AS today, extract(isodow FROM l - interval '1 day')::smallint AS yesterday
                FROM (SELECT p_at AT TIME ZONE factory_zone(p_factory) AS l) x) n
    WHERE t.factory_id = p_factory AND t.energy_type = p_energy_type AND t.valid_from <= p_at AND p_at < t.valid_to
      AND CASE WHEN t.time_from < t.time_to
               THEN n.clock >= t.time_from AND n.clock < t.time_to AND n.today = ANY (t.weekdays)
               ELSE (n.clock >= t.time_from AND n.today = ANY (t.weekdays)) OR (n.clock < t.time_to AND n.yesterday = ANY (t.weekdays)) END
    ORDER BY t.priority DESC, t.tariff_id DESC LIMIT 1
$$;
COMMENT ON FUNCTION tariff_at(uuid, text, timestamptz) IS
    'The one tariff that holds at that time; NULL when none does.';

CREATE FUNCTION carbon_at(p_factory uuid, p_energy_type text, p_at timestamptz, OUT factor_id bigint, OUT g_co2_per_kwh double precision)
LANGUAGE sql STABLE AS $$
    SELECT c.factor_id, coalesce(c.hourly_profile[extract(hour FROM p_at AT TIME ZONE f.timezone)::integer + 1], c.g_co2_per_kwh)
    FROM factories f JOIN carbon_factors c ON c.region = f.carbon_region
    WHERE f.factory_id = p_factory AND c.energy_type = p_energy_type AND c.valid_from <= p_at
    ORDER BY c.valid_from DESC LIMIT 1
$$;
COMMENT ON FUNCTION carbon_at(uuid, text, timestamptz) IS
    'Carbon factor (g CO2 per kWh) that holds at that time, by the hour where it has a profile.';

-- [from, to) cut where the tariff or the factor changes. Rates change on quarters of an hour of the factory's zone
-- (which are quarters of an hour in UTC too, everywhere) or at a valid_from/valid_to.
CREATE FUNCTION rates_between(p_factory uuid, p_energy_type text, p_from timestamptz, p_to timestamptz)
RETURNS TABLE (t0 timestamptz, t1 timestamptz, tariff_id bigint, price_per_kwh double precision, currency text, factor_id bigint, g_co2_per_kwh double precision)
LANGUAGE plpgsql STABLE SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
BEGIN RETURN QUERY     -- plpgsql only because it keeps the plan: planning costs more than running it
    WITH varies AS MATERIALIZED (   -- rates that hold around the clock change at their dates only
        SELECT EXISTS (SELECT 1 FROM energy_tariffs t WHERE t.factory_id = p_factory AND t.energy_type = p_energy_type
                       AND NOT (t.time_from = '00:00' AND t.time_to = '24:00' AND t.weekdays @> '{1,2,3,4,5,6,7}'))
            OR EXISTS (SELECT 1 FROM carbon_factors c WHERE c.energy_type = p_energy_type AND c.hourly_profile IS NOT NULL) AS yes, factory_zone(p_factory) AS zone
    ), clocks AS (
        -- Where a rate may change within a day: at midnight, where the hours of a tariff begin or end, with the hour of
        -- a profile.
        SELECT time '00:00' AS clock
        UNION SELECT c FROM energy_tariffs t CROSS JOIN LATERAL (VALUES (t.time_from), (t.time_to)) v (c) WHERE t.factory_id = p_factory AND t.energy_type = p_energy_type
        UNION SELECT make_time(h, 0, 0) FROM generate_series(0, 23) h
              WHERE EXISTS (SELECT 1 FROM carbon_factors c WHERE c.energy_type = p_energy_type AND c.hourly_profile IS NOT NULL)
    ), days AS (
        SELECT d, v.zone, d AT TIME ZONE v.zone AS t0, (d + interval '1 day') AT TIME ZONE v.zone AS t1
        FROM varies v
        CROSS JOIN LATERAL generate_series(date_trunc('day', p_from AT TIME ZONE v.zone), p_to AT TIME ZONE v.zone, interval '1 day') d WHERE v.yes
    ), cuts AS (
        SELECT p_from AS at
        UNION SELECT (d + clock) AT TIME ZONE zone FROM days CROSS JOIN clocks WHERE t1 - t0 = interval '24 hours'
        -- on days on which clocks change an hour is missing or comes twice: every quarter is looked at
        UNION SELECT g FROM days CROSS JOIN LATERAL generate_series(t0, t1, interval '15 minutes') g WHERE t1 - t0 <> interval '24 hours'
        UNION SELECT e FROM energy_tariffs t CROSS JOIN LATERAL (VALUES (t.valid_from), (t.valid_to)) v (e) WHERE t.factory_id = p_factory
        UNION SELECT c.valid_from FROM carbon_factors c
    ), rated AS (
        SELECT c.at, t.tariff_id, t.price_per_kwh, t.currency, f.factor_id, f.g_co2_per_kwh,
               (t.tariff_id, f.factor_id, f.g_co2_per_kwh)
                   IS DISTINCT FROM lag((t.tariff_id, f.factor_id, f.g_co2_per_kwh)) OVER (ORDER BY c.at) AS changed
        FROM (SELECT at FROM cuts WHERE at >= p_from AND at < p_to) c
        LEFT JOIN LATERAL tariff_at(p_factory, p_energy_type, c.at) t ON true
        LEFT JOIN LATERAL carbon_at(p_factory, p_energy_type, c.at) f ON true
    )
    SELECT at, lead(at, 1, p_to) OVER (ORDER BY at), tariff_id, price_per_kwh, currency, factor_id, g_co2_per_kwh
    FROM rated WHERE changed;
END $$;
COMMENT ON FUNCTION rates_between(uuid, text, timestamptz, timestamptz) IS
    'The range [from, to) cut where the rate changes: tariff (per kWh, currency) and carbon factor (g per kWh) of '
    'each piece, NULL where none holds.';

-- Energy times rates for many devices and ranges at once, cut where a rate changes. cost_series() does the same with
-- stored buckets.
CREATE FUNCTION devices_energy_cost(p_device text[], p_from timestamptz[], p_to timestamptz[], p_energy_type text DEFAULT 'electricity', p_job boolean DEFAULT false)
RETURNS TABLE (n bigint, energy_wh double precision, cost double precision, currency text, co2_g double precision, tariff_ids bigint[], factor_ids bigint[])
LANGUAGE plpgsql STABLE SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
BEGIN RETURN QUERY
    WITH wanted AS MATERIALIZED (
        SELECT w.n, w.device_id, d.factory_id, w.t0, w.t1
        FROM unnest(p_device, p_from, p_to) WITH ORDINALITY AS w (device_id, t0, t1, n) JOIN devices d ON d.device_id = w.device_id WHERE w.t0 < w.t1
    ), rates AS MATERIALIZED (
        SELECT f.factory_id, r.* FROM (SELECT factory_id, min(t0) AS t0, max(t1) AS t1 FROM wanted GROUP BY factory_id) f
        CROSS JOIN LATERAL rates_between(f.factory_id, p_energy_type, f.t0, f.t1) r
    ), pieces AS MATERIALIZED (
        SELECT row_number() OVER () AS piece, w.n, w.device_id, greatest(w.t0, r.t0) AS t0, least(w.t1, r.t1) AS t1,
               r.tariff_id, r.price_per_kwh, r.currency, r.factor_id, r.g_co2_per_kwh
        FROM wanted w JOIN rates r ON r.factory_id = w.factory_id AND r.t0 < w.t1 AND r.t1 > w.t0
    ), known AS (       -- the pieces of one rate together: there are few rates and many pieces
        SELECT p.n, p.tariff_id, p.price_per_kwh, p.currency, p.factor_id, p.g_co2_per_kwh, sum(e.energy_wh) AS wh, bool_or(e.energy_wh <> 0) AS used FROM pieces p
        LEFT JOIN devices_energy((SELECT array_agg(device_id ORDER BY piece) FROM pieces), (SELECT array_agg(t0 ORDER BY piece) FROM pieces),
                                 (SELECT array_agg(t1 ORDER BY piece) FROM pieces), p_energy_type, p_job) e ON e.n = p.piece
        GROUP BY p.n, p.tariff_id, p.price_per_kwh, p.currency, p.factor_id, p.g_co2_per_kwh
    ), sums AS (
        SELECT k.n, sum(wh) AS wh, sum(at_rate(wh, price_per_kwh)) AS cost, min(k.currency) AS currency, sum(at_rate(wh, k.g_co2_per_kwh)) AS co2,
               array_agg(DISTINCT k.tariff_id ORDER BY k.tariff_id) FILTER (WHERE wh IS NOT NULL AND k.tariff_id IS NOT NULL) AS tariffs,
               array_agg(DISTINCT k.factor_id ORDER BY k.factor_id) FILTER (WHERE wh IS NOT NULL AND k.factor_id IS NOT NULL) AS factors,
               -- energy without a rate, or in two currencies, has no cost
               coalesce(bool_or(used AND price_per_kwh IS NULL), false) OR count(DISTINCT k.currency) > 1 AS no_cost,
               coalesce(bool_or(used AND k.g_co2_per_kwh IS NULL), false) AS no_co2
        FROM known k GROUP BY k.n
    )
    SELECT s.n, s.wh, CASE WHEN NOT s.no_cost THEN s.cost END, CASE WHEN NOT s.no_cost AND s.cost IS NOT NULL THEN s.currency END,
           CASE WHEN NOT s.no_co2 THEN s.co2 END, s.tariffs, s.factors
    FROM sums s;
END $$;
COMMENT ON FUNCTION devices_energy_cost(text[], timestamptz[], timestamptz[], text, boolean) IS
    'Wh, cost, currency and g CO2 of each (device, from, to) by its place n in the arrays: Σ energy × rate at that '
    'time; cost or CO2 NULL when a part has no rate. p_job: only over meters that count to a print.';

CREATE FUNCTION device_energy_cost(p_device text, p_from timestamptz, p_to timestamptz, p_energy_type text DEFAULT 'electricity', p_job boolean DEFAULT false)
RETURNS TABLE (energy_wh double precision, cost double precision, currency text, co2_g double precision, tariff_ids bigint[], factor_ids bigint[])
LANGUAGE sql STABLE AS $$
    SELECT c.energy_wh, c.cost, c.currency, c.co2_g, c.tariff_ids, c.factor_ids
    FROM (SELECT) AS one LEFT JOIN devices_energy_cost(ARRAY[p_device], ARRAY[p_from], ARRAY[p_to], p_energy_type, p_job) c ON true
$$;
COMMENT ON FUNCTION device_energy_cost(text, timestamptz, timestamptz, text, boolean) IS
    'Wh, cost, currency and g CO2 of the device in [from, to), as from devices_energy_cost; one row, of NULLs when '
    'nothing is known.';
