-- Engine "plain": the tables of 0001 are already ordinary tables with the right keys. Only the insert-heavy ones get
-- autovacuum thresholds that don't grow with their size, so that planner statistics stay fresh.
ALTER TABLE energy_data SET (autovacuum_analyze_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.05);
ALTER TABLE printer_status SET (autovacuum_analyze_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.05);
