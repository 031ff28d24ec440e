-- ingest writes data and reads credentials; api and grafana only read, and no credential columns.
REVOKE ALL ON ALL TABLES IN SCHEMA public FROM PUBLIC, enms_ingest, enms_api, enms_grafana;
REVOKE ALL ON ALL ROUTINES IN SCHEMA public FROM PUBLIC, enms_ingest, enms_api, enms_grafana;
REVOKE ALL ON ALL TABLES IN SCHEMA series FROM PUBLIC, enms_ingest, enms_api, enms_grafana;
GRANT USAGE ON SCHEMA public, series TO enms_ingest, enms_api, enms_grafana;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public, series TO enms_ingest;
-- Functions that read the series run with the caller's rights. A month that is made later is read through its series.
GRANT SELECT ON ALL TABLES IN SCHEMA series TO enms_api, enms_grafana;
REVOKE INSERT, UPDATE, DELETE ON schema_migrations, settings, device_kinds, sources, states, energy_types, currencies FROM enms_ingest;
REVOKE UPDATE, DELETE ON audit_log FROM enms_ingest;
GRANT EXECUTE ON ALL ROUTINES IN SCHEMA public TO enms_ingest;

DO $$
DECLARE
    reader text;
    item record;
BEGIN
    FOREACH reader IN ARRAY ARRAY['enms_api', 'enms_grafana'] LOOP
        FOR item IN SELECT c.relname AS name FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v')
                    AND c.relname NOT IN ('devices', 'audit_log')
                    AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e') LOOP
            EXECUTE format('GRANT SELECT ON %I TO %I', item.name, reader);
        END LOOP;
        FOR item IN SELECT attname AS name FROM pg_attribute WHERE attrelid = 'devices'::regclass AND attnum > 0 AND NOT attisdropped
                    AND attname NOT IN ('api_key', 'sp_api_key', 'gcode_preview_api_key')
                    -- dashboards need no addresses
                    AND NOT (reader = 'enms_grafana' AND attname IN ('api_ip', 'gcode_preview_host', 'sp_company_id', 'simplyprint_id')) LOOP
            EXECUTE format('GRANT SELECT (%I) ON devices TO %I', item.name, reader);
        END LOOP;
        -- functions that change no data may be called; the rights on tables still hold
        FOR item IN SELECT p.oid::regprocedure AS name FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace AND p.prokind = 'f'
                    AND p.provolatile IN ('i', 's') AND p.proname NOT IN ('devices_to_poll', 'jobs_to_enrich')
                    AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e') LOOP
            EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %I', item.name, reader);
        END LOOP;
    END LOOP;
END $$;
