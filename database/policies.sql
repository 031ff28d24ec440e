-- Readers see the rows of the registry that belong to the factories of their scope (functions/12_scope.sql); Node-RED all of
-- them. The functions stand in sub-selects, so that they are called once and not for each row, and not at all where they
-- aren't needed: a sub-query on the registry would cost every statement its set-up.
DO $$
DECLARE
    item record;
    -- what is seen when not everything is
    by_factory CONSTANT text := 'factory_id = ANY ((SELECT scope_factories())::uuid[])';
    by_device CONSTANT text := 'device_id = ANY ((SELECT scope_devices())::text[])';
    by_meter CONSTANT text := 'meter_id = ANY ((SELECT scope_meters())::text[])';
BEGIN
    FOR item IN SELECT * FROM (VALUES
        ('factories', by_factory), ('devices', by_factory), ('energy_tariffs', by_factory),
        ('meter_assignments', by_device), ('device_latest', by_device), ('print_jobs', by_device), ('signals', by_device), ('signal_dirty', by_device),
        -- a meter of no device is seen by who sees everything
        ('meters', by_meter), ('meter_state', by_meter), ('rollup_dirty', by_meter), ('virtual_meter_parts', by_meter),
        ('meter_replacements', by_meter), ('meter_factors', by_meter), ('meter_corrections', by_meter),
        ('locations', 'location_id = ANY ((SELECT scope_devices())::text[])'),  -- a machine's; rooms belong to no factory
        ('ingest_rejects', 'false'), ('sensors', 'false')   -- nobody knows whose they are
    ) AS guarded (relation, rule) LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', item.relation);
        EXECUTE format('DROP POLICY IF EXISTS scope ON %1$I; DROP POLICY IF EXISTS ingest ON %1$I', item.relation);
        EXECUTE format('CREATE POLICY scope ON %I FOR SELECT TO enms_api, enms_grafana USING ((SELECT scope_is_all()) OR %s)', item.relation, item.rule);
        EXECUTE format('CREATE POLICY ingest ON %I TO enms_ingest USING (true) WITH CHECK (true)', item.relation);
    END LOOP;
    -- A view must not show more than its reader sees.
    FOR item IN SELECT c.oid::regclass AS relation FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'v'
                AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e') LOOP
        EXECUTE format('ALTER VIEW %s SET (security_invoker = true)', item.relation);
    END LOOP;
END $$;
