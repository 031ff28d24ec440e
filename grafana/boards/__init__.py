"""The dashboards, one module each; make() of each returns the dashboard's JSON."""

from . import comparison, energy, fleet, jobs, machine, quality, sensors

ALL = (fleet, comparison, sensors, energy, jobs, quality, machine)
