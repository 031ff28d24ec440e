-- What was refused, newest first; without the payloads, which may contain anything that a device knows.
--   $1 integer  limit
SELECT coalesce(json_agg(json_build_object(
    'firstAt', first_at, 'lastAt', last_at, 'source', source, 'topic', topic, 'reason', reason, 'count', count,
    'payloadBytes', octet_length(payload)) ORDER BY last_at DESC, reject_id DESC), '[]')
FROM (SELECT * FROM ingest_rejects ORDER BY last_at DESC, reject_id DESC LIMIT $1::integer) newest;
