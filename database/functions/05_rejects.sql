-- Nothing that arrives is dropped in silence; a flood of equal rejects is one counted row.

CREATE FUNCTION record_rejects(p_source text[], p_topic text[], p_payload text[], p_reason text[]) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    v_crowded boolean;
BEGIN
    IF coalesce(cardinality(p_source), 0) = 0 THEN
        RETURN 0;
    END IF;
    -- A flood of always new topics or reasons must not fill the disk: beyond 1,000 rows an hour they share one row per
    -- source.
    SELECT count(*) >= 1000 INTO v_crowded
        FROM (SELECT 1 FROM ingest_rejects WHERE last_at > now() - interval '1 hour' LIMIT 1000) recent;
    INSERT INTO ingest_rejects AS r (source, topic, reason, payload, count)
    SELECT source, topic, reason, max(payload), count(*)
    FROM (SELECT left(coalesce(i.source, 'unknown'), 100) AS source,
                 CASE WHEN c.crowded THEN '(many topics)' ELSE left(coalesce(i.topic, ''), 300) END AS topic,
                 CASE WHEN c.crowded THEN 'flood: more than 1,000 different rejects in an hour'
                      ELSE left(coalesce(i.reason, 'no reason given'), 300) END AS reason,
                 left(i.payload, 4096) AS payload
          FROM (SELECT * FROM unnest(p_source, p_topic, p_payload, p_reason) WITH ORDINALITY
                    AS u (source, topic, payload, reason, n)) i
          -- one batch alone could be a flood: its rows beyond the thousandth count as crowded, too
          CROSS JOIN LATERAL (SELECT v_crowded OR i.n > 1000 AS crowded) c) cut
    GROUP BY source, topic, reason
    ORDER BY source, topic, reason
    ON CONFLICT (source, topic, reason, (date_trunc('hour', first_at AT TIME ZONE 'UTC')))
    DO UPDATE SET count = r.count + excluded.count, last_at = now(), payload = excluded.payload;
    RETURN cardinality(p_source);
END $$;
COMMENT ON FUNCTION record_rejects(text[], text[], text[], text[]) IS
    'Records what was refused: (source, topic, payload cut at 4 kB, reason); equal ones of an hour are one counted '
    'row. Returns how many.';
