"""The schema and the energy accounting as SQL, the migration, the import of history and the schema reference."""
