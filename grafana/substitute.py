"""What Grafana makes of a query before PostgreSQL sees it: variables and macros replaced. For tests and bench only.

Written from Grafana's documentation: "Variable syntax" (formats sqlstring, csv …) and "PostgreSQL query editor"
(macros). Only what the dashboards use is known; anything else raises, so that a forgotten variable or a misspelt macro
is found.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

VARIABLE = re.compile(r"\$\{(\w+)(?::(\w+))?\}")
MACRO = re.compile(r"\$__(\w+)(?:\(([^()]*)\))?")
LEFT_OVER = re.compile(r"\$\{|\$[a-zA-Z_]|\[\[")


class Unknown(ValueError):
    """The query uses a variable, format or macro that is not there."""


def sqlstring(values: Iterable[str]) -> str:
    """Values in single quotes, quotes doubled, joined by commas."""
    return ",".join("'" + value.replace("'", "''") + "'" for value in values)


def instant(time: datetime) -> str:
    """A time in UTC as Grafana writes it: RFC 3339, in quotes."""
    return "'" + time.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z'"


def expand(sql: str, variables: Mapping[str, Sequence[str]], start: datetime, end: datetime) -> str:
    """The SQL for {variable: [values]} and a range of two aware datetimes in UTC. Raises Unknown."""

    def variable(match: re.Match[str]) -> str:
        name, style = match[1], match[2]
        if name not in variables:
            raise Unknown(f"There is no variable {name}; there are {', '.join(sorted(variables)) or 'none'}.")
        if style != "sqlstring":
            raise Unknown(f"${{{name}}} must be written as ${{{name}:sqlstring}}, which quotes its values.")
        return sqlstring(variables[name])

    def macro(match: re.Match[str]) -> str:
        name, argument = match[1], match[2]
        if name == "timeFilter" and argument:
            return f"{argument} BETWEEN {instant(start)} AND {instant(end)}"
        if name in ("timeFrom", "timeTo") and argument == "":
            return instant(start if name == "timeFrom" else end)
        raise Unknown(f"{match[0]} is no macro that is known here.")

    text = MACRO.sub(macro, VARIABLE.sub(variable, sql))
    # A value may contain anything.
    if left := LEFT_OVER.search(re.sub(r"'(?:[^']|'')*'", "''", text)):
        raise Unknown(f"Not replaced: {text[left.start() : left.start() + 40]!r}")
    return text
