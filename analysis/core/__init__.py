"""What every analysis and model stands on: rows from the database as columns, energy over time, states, statistics, series."""
