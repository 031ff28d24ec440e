-- The factories, by whose clock days and rates go and in whose money costs are.
SELECT json_build_object('factories', coalesce(json_agg(json_build_object(
    'factoryId', factory_id, 'slug', slug, 'name', name, 'location', location, 'timezone', timezone,
    'currency', currency, 'isDefault', is_default) ORDER BY slug), '[]'))
FROM factories;
