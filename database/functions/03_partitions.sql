-- Plain engine: the series are partitioned by month, so that retention is a drop and not a delete. A month is made when the
-- first row of it comes; names sort by time: series.energy_2026_12.

-- CREATE OR REPLACE: the copy of the rows of 0.1.0 needs it before everything derived is made.
CREATE OR REPLACE FUNCTION ensure_months(p_table text, p_from timestamptz, p_to timestamptz) RETURNS integer
LANGUAGE plpgsql STRICT SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    v_month timestamp := date_trunc('month', greatest(p_from, timestamptz '1970-01-01 00:00:00+00') AT TIME ZONE 'UTC');
    v_last timestamp := date_trunc('month', least(p_to, now() + interval '100 years') AT TIME ZONE 'UTC');
    v_name text;
    v_made integer := 0;
BEGIN
    -- Usually every month is there: one look-up each, no lock.
    WHILE v_month <= v_last LOOP
        v_name := p_table || to_char(v_month, '_YYYY_MM');
        IF to_regclass('series.' || v_name) IS NULL THEN
            IF NOT EXISTS (SELECT 1 FROM pg_class c WHERE c.oid = to_regclass('series.' || quote_ident(p_table)) AND c.relkind = 'p') THEN
                RETURN 0;   -- a hypertable makes its own chunks
            END IF;
            -- Two writers may need the same month.
            PERFORM pg_advisory_xact_lock(5392002, hashtext(p_table));
            -- from the table: a name that was not there before the lock may still be thought missing
            IF NOT EXISTS (SELECT 1 FROM pg_class c WHERE c.relnamespace = 'series'::regnamespace AND c.relname = v_name) THEN
                -- Made and then attached: CREATE TABLE … PARTITION OF would wait for every writer and for a backup.
                EXECUTE format('CREATE TABLE series.%I (LIKE series.%I INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING INDEXES) '
                               'WITH (autovacuum_analyze_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.05)', v_name, p_table);
                EXECUTE format('ALTER TABLE series.%I ATTACH PARTITION series.%I FOR VALUES FROM (%L) TO (%L)', p_table, v_name,
                               v_month AT TIME ZONE 'UTC', (v_month + interval '1 month') AT TIME ZONE 'UTC');
                v_made := v_made + 1;
            END IF;
        END IF;
        v_month := v_month + interval '1 month';
    END LOOP;
    RETURN v_made;
END $$;
COMMENT ON FUNCTION ensure_months(text, timestamptz, timestamptz) IS
    'Makes the months of a series that are missing within the range (plain engine); returns how many, NULL without a range. '
    'Whoever writes rows calls it first.';

CREATE FUNCTION drop_months(p_table text, p_before timestamptz) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    item record;
    v_dropped integer := 0;
BEGIN
    FOR item IN
        SELECT c.relname AS name FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = to_regclass('series.' || quote_ident(p_table))
          AND (to_timestamp(right(c.relname, 7), 'YYYY_MM')::timestamp + interval '1 month') AT TIME ZONE 'UTC' <= p_before ORDER BY 1
    LOOP
        EXECUTE format('DROP TABLE series.%I', item.name);
        v_dropped := v_dropped + 1;
    END LOOP;
    RETURN v_dropped;
END $$;
COMMENT ON FUNCTION drop_months(text, timestamptz) IS
    'Drops the months of a partitioned series that ended before that time; returns how many.';
