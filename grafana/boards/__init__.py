"""The dashboards, one module each; every module has make() -> the dashboard's JSON."""

from . import comparison, energy, fleet, jobs, machine, quality, sensors

ALL = (fleet, comparison, sensors, energy, jobs, quality, machine)
