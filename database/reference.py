"""Writes docs/schema.md from the comments and rights of a migrated database: ``python -m database.reference``.

The connection comes from the ENMS_* variables, as for the migration. Any database of the plain engine will do: of its
data only the kinds, sources, states and energy types are read that it was delivered with or got later.
"""

import argparse
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import psycopg2

from common.errors import EnmsError

from .migrate import Cursor, MigrationError, dsn_from_environment

PAGE = Path(__file__).resolve().parents[1] / "docs" / "schema.md"

# A relation or function, or relations with equal columns that are described in one section.
Entry = str | tuple[str, ...]
# Heading, introduction ("" for none), entries.
Group = tuple[str, str, tuple[Entry, ...]]

# What is described, in the order in which a new reader needs it.
TABLES: tuple[Group, ...] = (
    (
        "Energy by time",
        "Read these for charts and bills: stored rollups with the newest rows added, always current. Buckets share\n"
        "the energy of a reading by the time in which it flowed, so each level sums to the one below.",
        (
            ("energy_readings_1min", "energy_readings_15min", "energy_readings_1hour", "energy_readings_1day"),
            "device_state_1hour",
            "printer_phase_1hour",
        ),
    ),
    ("Prints", "", ("print_jobs",)),
    (
        "Registry",
        "Machines, the meters on them, and who measured what when.",
        ("factories", "devices", "device_credentials", "meters", "meter_assignments", "device_latest"),
    ),
    (
        "What there is to choose from",
        "Rows, not code: a new kind of machine, source, state or carrier is one row more, and every part of ENMS\n"
        "knows it.",
        ("device_kinds", "sources", "states", "energy_types", "currencies"),
    ),
    (
        "What people change about meters",
        "Written by [functions](#functions-meters) that keep the raw rows, count the energy again and fill\n"
        "`audit_log`.",
        ("virtual_meter_parts", "meter_replacements", "meter_factors", "meter_corrections"),
    ),
    ("Prices and carbon", "", ("energy_tariffs", "carbon_factors")),
    (
        "Readings as they came",
        "Kept for six months unless set otherwise ([operations](operations.md#how-long-data-are-kept)). These are\n"
        "views: the rows are in tables of the schema `series` with small integer keys. Ask for a meter or device and\n"
        "a range of time; for the newest row of one read the table: `SELECT * FROM series.energy WHERE meter_key =\n"
        "(SELECT meter_key('SPPS-02/switch:0')) ORDER BY timestamp DESC LIMIT 1`.",
        (
            "energy_data",
            "phase_data",
            "device_status",
            "printer_status",
            "production_data",
            "environmental_data",
            "environment_data",
            "signals",
            "signal_data",
            ("signal_data_1min", "signal_data_15min", "signal_data_1hour", "signal_data_1day"),
            "smartplug_data",
            "max6675_temperature_data",
            "mpu6050_accelerometer_data",
            "mpu6050_gyroscope_data",
            "ml_predictions",
        ),
    ),
    ("Looking after it", "", ("ingest_rejects", "audit_log", "settings")),
)
# The state of the accounting. Nothing but the database's own functions may rely on them.
INTERNAL_TABLES = (
    "meter_state",
    "rollup_dirty",
    "signal_dirty",
    "locations",
    "sensors",
    "schema_migrations",
)
# Of these tables the page lists the rows, by this column.
VALUES = {"device_kinds": "device_kind", "sources": "source", "states": "state", "energy_types": "energy_type"}

FUNCTIONS: tuple[Group, ...] = (
    (
        "Energy of a range",
        "Exact to the second; all of them agree. NULL, never 0, when nothing is known.",
        (
            "energy_between",
            "meter_energy",
            "meters_energy",
            "device_energy",
            "devices_energy",
            "device_energy_detail",
            "sub_meter_balance",
        ),
    ),
    (
        "Cost and carbon",
        "",
        ("device_energy_cost", "devices_energy_cost", "tariff_at", "carbon_at", "rates_between", "at_rate"),
    ),
    (
        "Charts",
        "Rows of a chart at the step that `series_step` chooses; holes remain holes.",
        ("series_step", "bar_step", "buckets_between", "energy_series", "cost_series", "state_series"),
    ),
    (
        "States, alarms, settings",
        "",
        (
            "device_states",
            "utilisation",
            "production_between",
            "device_power",
            "holds",
            "alarms",
            "has_flag",
            "engine",
            "setting",
            "default_factory",
            "factory_zone",
            "device_zone",
            "meter_key",
            "device_key",
            "location_key",
            "rollup_spans",
            "scope_is_all",
            "scope_factories",
            "scope_devices",
            "scope_meters",
        ),
    ),
    (
        "Ingest",
        "Called by the flows. Records go in, or arrays of one length; a repeated call changes nothing.",
        (
            "ingest_readings",
            "record_status",
            "record_signals",
            "record_production",
            "record_environmental",
            "record_smartplug",
            "record_environment",
            "record_sensor",
            "record_predictions",
            "record_rejects",
            "ensure_months",
        ),
    ),
    (
        "Registry",
        "Called by the devices API. Bad input of a person is SQLSTATE 22023 with a sentence; every change is in\n"
        "`audit_log`.",
        (
            "device_save",
            "device_remove",
            "meter_assign",
            "devices_to_poll",
            "public_device",
            "device_with_credentials",
        ),
    ),
    (
        "Meters",
        "What people change about meters, with an actor for `audit_log`; bad input is SQLSTATE 22023 with a sentence.",
        (
            "virtual_meter_save",
            "meter_replace",
            "meter_factor_save",
            "meter_correct",
            "meter_correction_withdraw",
            "meter_reading_save",
        ),
    ),
    (
        "G-code of prints",
        "Called by the flow Historical Enrichment.",
        ("jobs_to_enrich", "record_gcode", "request_gcode", "forget_gcode"),
    ),
    (
        "Housekeeping",
        "Called by the flow Housekeeping, each minute or hour, and by the migration; `change_setting` by\n"
        "`./enms setting`.",
        (
            "run_rollups",
            "refresh_rollups",
            "refresh_phases",
            "refresh_signals",
            "finalize_jobs",
            "finalize_job",
            "reap_devices",
            "learn_reporting_intervals",
            "apply_retention",
            "apply_compression",
            "change_setting",
        ),
    ),
    (
        "Import",
        "Called by `./enms import`.",
        ("register_meters", "ingest_energy", "meter_for_import", "set_assignment", "record_status_rows", "import_job"),
    ),
)

ROLES = (
    ("enms_owner", "migration, import, backup"),
    ("enms_ingest", "Node-RED: the flows and the devices API"),
    ("enms_api", "API, analysis, training"),
    ("enms_grafana", "Grafana, and your own queries"),
)

HEAD = """# Schema reference

Generated from the comments in the database by `python -m database.reference`; a test fails when this page is older than
they are.

Every time is a `timestamptz` in UTC. **A missing value is NULL, never 0.** The unit is in the column's name or in its
meaning. How energy is counted: [accounting.md](accounting.md). To connect: [integrator.md](integrator.md#sql). Both
engines have the same tables, views and functions; the tables of the schema `series` below the views are hypertables on
TimescaleDB, and partitioned by month on the plain engine.

"""


class Column(NamedTuple):
    """A column of a relation, as the catalog describes it."""

    name: str
    kind: str
    may_be_null: bool
    default: str | None  # an expression, or "counts up"
    meaning: str
    allowed: str | None  # the check constraint that lists the allowed values


@dataclass(frozen=True, slots=True)
class Rights:
    """What a role may not do."""

    lacking: dict[str, list[str]]  # SELECT, INSERT, UPDATE or DELETE: the relations without that right
    tables: int  # how many tables there are
    columns: list[str]  # table.column that it can't read, of tables that it can
    functions: list[tuple[str, bool]]  # (name, changes data) of those that it can't call


def described(*groups: Group) -> list[str]:
    """The names in the groups, one by one."""
    return [
        name
        for _, _, entries in groups
        for entry in entries
        for name in ((entry,) if isinstance(entry, str) else entry)
    ]


class Catalog:
    """What the page needs to know of a database."""

    def __init__(self, cursor: Cursor) -> None:
        self.cursor = cursor

    def rows(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """All rows of a statement."""
        self.cursor.execute(statement, values)
        return self.cursor.fetchall()

    def relation(self, name: str) -> tuple[bool, str]:
        """(whether it is a table, comment)."""
        [(is_table, comment)] = self.rows(
            "SELECT relkind <> 'v', obj_description(oid, 'pg_class') FROM pg_class WHERE oid = to_regclass(%s)", name
        )
        return is_table, comment

    def columns(self, name: str) -> list[Column]:
        """The columns of a relation, in order."""
        rows = self.rows(
            """
            SELECT a.attname, format_type(a.atttypid, a.atttypmod), NOT a.attnotnull,
                   CASE WHEN a.attidentity <> '' THEN 'counts up' ELSE pg_get_expr(d.adbin, d.adrelid) END,
                   col_description(a.attrelid, a.attnum),
                   (SELECT pg_get_constraintdef(c.oid) FROM pg_constraint c
                    WHERE c.conrelid = a.attrelid AND c.contype = 'c' AND c.conkey = ARRAY[a.attnum]
                      AND pg_get_constraintdef(c.oid) LIKE '%%= ANY (ARRAY[%%' LIMIT 1)
            FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
            WHERE a.attrelid = to_regclass(%s) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum""",
            name,
        )
        return [Column(*row) for row in rows]

    def keys(self, name: str) -> list[tuple[str, list[str], str | None]]:
        """[(kind p, u or f, columns, referred table)], primary key first."""
        rows = self.rows(
            """
            SELECT contype::text,
                   (SELECT array_agg(a.attname::text ORDER BY k.n) FROM unnest(conkey) WITH ORDINALITY k (attnum, n)
                    JOIN pg_attribute a ON a.attrelid = conrelid AND a.attnum = k.attnum),
                   (SELECT relname FROM pg_class WHERE oid = confrelid)
            FROM pg_constraint WHERE conrelid = to_regclass(%s) AND contype IN ('p', 'u', 'f')
            ORDER BY array_position('{p,u,f}'::"char"[], contype), conname""",
            name,
        )
        return [(kind, columns, other) for kind, columns, other in rows]

    def values(self, name: str) -> list[str]:
        """The rows of a table of VALUES by name, in the order in which lists show them."""
        rows = self.rows(f"SELECT {VALUES[name]} FROM {name} ORDER BY {'state_key' if name == 'states' else 'sort'}, 1")
        return [value for (value,) in rows]

    def unique_indexes(self, name: str) -> list[str]:
        """Comments of the unique indexes that are no constraints: rules that a key can't express."""
        rows = self.rows(
            """
            SELECT obj_description(indexrelid, 'pg_class') FROM pg_index i
            WHERE indrelid = to_regclass(%s) AND indisunique
              AND NOT EXISTS (SELECT 1 FROM pg_constraint c WHERE c.conindid = i.indexrelid)
            ORDER BY indexrelid::regclass::text""",
            name,
        )
        return [text for (text,) in rows]

    def functions(self, name: str) -> list[tuple[str, str, str]]:
        """[(arguments, result, comment)] of all forms of a function or procedure."""
        rows = self.rows(
            """
            SELECT pg_get_function_arguments(oid),
                   CASE WHEN prokind = 'p' THEN '' ELSE pg_get_function_result(oid) END,
                   obj_description(oid, 'pg_proc')
                       || CASE WHEN prosecdef THEN ' Runs with the owner''s rights.' ELSE '' END
            FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND proname = %s ORDER BY pronargs DESC, 1""",
            name,
        )
        return [(arguments, result, comment) for arguments, result, comment in rows]

    def rights(self, role: str) -> Rights:
        """What a role may not do."""
        relations = self.rows(
            """
            SELECT c.relname, c.relkind = 'v', has_any_column_privilege(r.name, c.oid, 'SELECT'),
                   has_table_privilege(r.name, c.oid, 'INSERT'), has_table_privilege(r.name, c.oid, 'UPDATE'),
                   has_table_privilege(r.name, c.oid, 'DELETE')
            FROM pg_class c CROSS JOIN (VALUES (%s::name)) r (name)
            WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v') ORDER BY 1""",
            role,
        )
        lacking = {
            right: [row[0] for row in relations if not row[place] and (right == "SELECT" or not row[1])]
            for place, right in enumerate(("SELECT", "INSERT", "UPDATE", "DELETE"), 2)
        }
        unreadable = self.rows(
            """
            SELECT c.relname, a.attname
            FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
            WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v')
              AND NOT has_column_privilege(%s, c.oid, a.attnum, 'SELECT')
            ORDER BY c.relname, a.attnum""",
            role,
        )
        functions = self.rows(
            """
            SELECT DISTINCT proname, provolatile = 'v' FROM pg_proc p
            WHERE pronamespace = 'public'::regnamespace AND NOT has_function_privilege(%s, p.oid, 'EXECUTE')
            ORDER BY 1""",
            role,
        )
        return Rights(
            lacking,
            tables=sum(not row[1] for row in relations),
            columns=[f"{table}.{column}" for table, column in unreadable if table not in lacking["SELECT"]],
            functions=[(name, changes) for name, changes in functions],
        )


def page(cursor: Cursor) -> str:
    """The whole page as text."""
    catalog = Catalog(cursor)
    return (
        HEAD
        + contents()
        + role_table(catalog)
        + "".join(group(catalog, *entry) for entry in TABLES)
        + function_part(catalog)
    )


def anchor(heading: str) -> str:
    """The anchor that a Markdown heading gets."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def heading(entry: Entry) -> str:
    """The heading of a relation, or of several with equal columns."""
    return (
        entry
        if isinstance(entry, str)
        else ", ".join((entry[0], *("_" + name.rpartition("_")[2] for name in entry[1:])))
    )


def contents() -> str:
    """The list of links to all sections."""
    lines = ["- [Who may do what](#who-may-do-what)"]
    for title, _, entries in TABLES:
        lines.append(
            f"- [{title}](#{anchor(title)}): "
            + ", ".join(f"[{heading(entry)}](#{anchor(heading(entry))})" for entry in entries)
        )
    lines.append(
        "- [Functions](#functions): "
        + ", ".join(f"[{title}](#{anchor(function_title(title))})" for title, *_ in FUNCTIONS)
    )
    return "\n".join(lines) + "\n\n"


def names(each: Iterable[str]) -> str:
    """The names as code, with commas."""
    return ", ".join(f"`{name}`" for name in each)


def role_table(catalog: Catalog) -> str:
    """The section on the roles and their rights."""
    lines = ["## Who may do what", "", "| role | for | reads | writes | calls |", "|---|---|---|---|---|"]
    for role, purpose in ROLES:
        rights = catalog.rights(role)
        lacking = rights.lacking
        hidden = lacking["SELECT"] + rights.columns
        reads = "everything" + (" but " + names(hidden) if hidden else "")
        if len(lacking["INSERT"]) == rights.tables:
            writes = "nothing"
        else:
            only_adds = sorted(set(lacking["UPDATE"]) - set(lacking["INSERT"]))
            excepted = ([names(lacking["INSERT"])] if lacking["INSERT"] else []) + (
                [f"{names(only_adds)} (adds only)"] if only_adds else []
            )
            writes = "everything" + (" but " + ", ".join(excepted) if excepted else "")
        quiet = [name for name, changes in rights.functions if not changes]
        calls = (
            "everything"
            if not rights.functions
            else "what changes nothing" + (", but not " + names(quiet) if quiet else "")
        )
        lines.append(f"| `{role}` | {purpose} | {reads} | {writes} | {calls} |")
    return (
        "\n".join(lines)
        + "\n\nThe same holds for the tables of the schema `series`. Only the owner changes the schema. "
        "A function runs with the rights of its caller, unless its comment says otherwise.\n\n"
    )


def group(catalog: Catalog, title: str, text: str, entries: tuple[Entry, ...]) -> str:
    """A heading with its introduction and the sections below it."""
    parts = [f"## {title}\n", f"{text}\n"] if text else [f"## {title}\n"]
    for entry in entries:
        parts.append(section(catalog, entry))
    return "\n".join(parts) + "\n"


def section(catalog: Catalog, entry: Entry) -> str:
    """The section of a relation. Raises MigrationError when relations of one section have different columns."""
    members = (entry,) if isinstance(entry, str) else entry
    layouts = {tuple(catalog.columns(name)) for name in members}
    if len(layouts) != 1:
        raise MigrationError(
            f"{', '.join(members)} no longer have the same columns and comments: give each a section of its own"
        )
    is_table, comment = catalog.relation(members[0])
    lines = [f"### {heading(entry)}", ""]
    lines += [comment] if len(members) == 1 else [f"- `{name}`: {catalog.relation(name)[1]}" for name in members]
    lines.append("")
    keys = key_sentence(catalog, members[0]) if is_table else ""
    if keys:
        lines += [keys, ""]
    if members[0] in VALUES:
        lines += [f"There are: {names(catalog.values(members[0]))}.", ""]
    lines += (
        ["| column | type | NULL | meaning |", "|---|---|---|---|"]
        if is_table
        else ["| column | type | meaning |", "|---|---|---|"]
    )
    for column in layouts.pop():
        cells = (
            [f"`{column.name}`", short(column.kind)]
            + (["yes" if column.may_be_null else ""] if is_table else [])
            + [(column.meaning + extra(column.default, column.allowed)).replace("|", "\\|")]
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def key_sentence(catalog: Catalog, name: str) -> str:
    """Keys, references and unique indexes of a table, a sentence each."""
    words = {"p": "Key", "u": "Unique", "f": "Refers"}
    sentences = [
        f"{words[kind]}: {names(columns)}" + (f" to [{other}](#{anchor(other)})" if other else "") + "."
        for kind, columns, other in catalog.keys(name)
    ]
    return " ".join(sentences + catalog.unique_indexes(name))


def extra(default: str | None, allowed: str | None) -> str:
    """Allowed values and default of a column, where they say something."""
    values = re.findall(r"'([^']+)'::text", allowed or "")
    text = f" One of {names(values)}." if values else ""
    literal = re.fullmatch(r"'?([^']*)'?(::[\w \[\]]+)?", default or "")
    if default == "counts up":
        return text + " Counts up."
    if literal and literal[1] and "(" not in literal[1]:
        text += f" Default `{literal[1]}`."
    return text


def short(kind: str) -> str:
    """The usual short names of types."""
    return kind.replace("timestamp with time zone", "timestamptz").replace("time without time zone", "time")


def function_title(title: str) -> str:
    """The heading of a group of functions; a group of tables may have the same title."""
    return f"Functions: {title}"


def function_part(catalog: Catalog) -> str:
    """The sections on the functions that other parts call."""
    parts = [
        "## Functions\n",
        "Arguments may be named: `device_energy(p_device => 'PrusaMK4-1', p_from => now() - interval '1 day', "
        "p_to => now())`.\n"
        "Those with a default may be left out. What is not listed here is internal and may change.\n",
    ]
    for title, text, entries in FUNCTIONS:
        parts.append(f"### {function_title(title)}\n")
        if text:
            parts.append(f"{text}\n")
        for name in described((title, text, entries)):
            for arguments, result, comment in catalog.functions(name):
                taken, given = split(arguments)
                returned = given or result
                parts.append(
                    f"- **`{name}({taken})`**"
                    + (f" → `{short(returned)}`" if returned not in ("", "void") else "")
                    + f"  \n  {comment.replace('<', '&lt;')}"
                )
        parts.append("")
    return "\n".join(parts).rstrip() + "\n"


def split(arguments: str) -> tuple[str, str]:
    """(arguments that are passed, arguments that are returned by OUT), without the casts of defaults."""
    each = re.split(r", (?=(?:OUT )?\w+ )", re.sub(r"::[a-z \[\]]+", "", short(arguments)))
    taken = [one for one in each if not one.startswith("OUT ")]
    given = [one.removeprefix("OUT ") for one in each if one.startswith("OUT ")]
    return ", ".join(taken), f"({', '.join(given)})" if given else ""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m database.reference",
        description="Writes docs/schema.md from a migrated database of the plain engine.",
    )
    parser.add_argument("--dsn", help="connection string; default: from the ENMS_* environment variables")
    options = parser.parse_args(arguments)
    try:
        connection = psycopg2.connect(options.dsn or dsn_from_environment())
        with connection, connection.cursor() as cursor:
            PAGE.write_text(page(cursor))
    except (EnmsError, psycopg2.Error) as error:
        print(f"{PAGE.name} was not written: {error}".rstrip(), file=sys.stderr)
        return 1
    print(f"{PAGE} written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
