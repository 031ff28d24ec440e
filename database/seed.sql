-- One factory, one flat tariff, one carbon factor and the settings; what a person has changed since then stays as it
-- is. migrate.py passes the values of the environment as enms.*; they count only at the first migration.
INSERT INTO settings (name, value, comment) VALUES
    ('retention_raw', '6 months', 'how long raw time series are kept (interval)'),
    ('plant_seed_kwh', '0', 'energy of a print at which its plant is a seed, kWh'),
    ('plant_full_kwh', '0.4', 'energy of a print at which its plant is full grown, kWh'),
    ('retention_1min', '2 years', 'how long one-minute rollups are kept (interval)'),
    ('compress_after', '7 days', 'TimescaleDB: chunks that end that long ago are compressed (interval)'),
    ('unaccounted_percent', '20', 'share of a device''s energy that its sub meters may leave unaccounted before there is an alarm, %'),
    ('database_budget_gb', '100', 'room that the database may take, GB; Grafana warns at 90 %'),
    ('frozen_before', '-infinity', 'raw rows before this are gone; their buckets are frozen, set by apply_retention()')
ON CONFLICT DO NOTHING;

INSERT INTO factories (slug, name, timezone, currency, is_default)
SELECT 'main', current_setting('enms.factory_name'), current_setting('enms.timezone'), current_setting('enms.currency'), true
WHERE NOT EXISTS (SELECT 1 FROM factories);

INSERT INTO energy_tariffs (factory_id, name, price_per_kwh, currency)
SELECT factory_id, 'Flat tariff', current_setting('enms.price_per_kwh')::float8, currency FROM factories
WHERE NOT EXISTS (SELECT 1 FROM energy_tariffs) AND NOT EXISTS (SELECT 1 FROM settings WHERE name = 'seeded');

INSERT INTO carbon_factors (region, g_co2_per_kwh, source)
SELECT carbon_region, current_setting('enms.g_co2_per_kwh')::float8, 'seed: average of the grid, edit it' FROM factories
WHERE NOT EXISTS (SELECT 1 FROM carbon_factors) AND NOT EXISTS (SELECT 1 FROM settings WHERE name = 'seeded');

INSERT INTO settings (name, value, comment) VALUES ('seeded', 'yes', 'the seed was applied once; what is deleted stays deleted')
ON CONFLICT DO NOTHING;

SELECT apply_compression();
