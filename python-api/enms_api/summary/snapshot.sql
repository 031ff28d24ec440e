-- The set of transactions whose work is visible; while it is the same, so is every row.
SELECT pg_current_snapshot()::text;
