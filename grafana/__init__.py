"""Grafana's dashboards and alert rules as code: `python -m grafana` writes what Grafana is given to read."""
