"""Backup and restore of a stack: one archive with the database, the flows, the models and the pictures."""
