"""The dashboards, one module each; every module has make() -> the dashboard's JSON."""

from . import fleet

ALL = (fleet,)
