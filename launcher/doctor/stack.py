"""The stack: services, ports, versions, database, broker, ingest, devices and meters, backups."""

import json
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict
from urllib.parse import urlsplit

from common.files import ROOT
from common.postgres import installed_version

from .. import ports, probes, processes, settings, status
from ..settings import Paths
from ..status import LastBackup, ServiceState, StackState
from . import machine
from .finding import OK, PROBLEM, WARNING, Finding

MB = 1 << 20
BACKUP_LATE_S = 26 * 3600
CLOCK_OFF_S = 120
CERTIFICATE_WARN_DAYS = 21
MANY = 5  # alarms of a kind that are reported one by one
REMEDIES = {
    "printer_silent": "./enms device test --id {object}",
    "printer_error": "look at the printer",
    "printer_attention": "look at the printer",
    "counter_jump": (
        "Give its machine its rated power (./enms device add --replace --id … --rated-power W); "
        "or do two devices share one meter id?"
    ),
    "meter_silent": (
        "Is the plug on the network, and does it know the broker? At constant load some plugs say nothing for hours."
    ),
    "meter_unassigned": "assign it on the page Devices, or POST /api/meters/assign",
}
FACTS = f"""
WITH troubling AS (  -- what waited while we were away and was overtaken by newer readings is no trouble
    SELECT * FROM ingest_rejects WHERE last_at > now() - interval '2 hours' AND reason NOT LIKE 'superseded%'),
last_hour AS (SELECT * FROM troubling WHERE last_at > now() - interval '1 hour')
SELECT json_build_object(
  'version', current_setting('server_version'),
  'now', extract(epoch FROM clock_timestamp()),
  'bytes', pg_database_size(current_database()),
  'migrations', (SELECT json_agg(name ORDER BY name) FROM schema_migrations WHERE name <> 'derived'),
  'rejects', (SELECT coalesce(sum(count), 0) FROM last_hour),
  'rejects_before', (SELECT coalesce(sum(count), 0) FROM troubling WHERE last_at <= now() - interval '1 hour'),
  'reject', (SELECT concat_ws(', ', source, nullif(topic, ''), reason) FROM last_hour ORDER BY count DESC LIMIT 1),
  'clocks', (SELECT coalesce(json_agg(meter_id ORDER BY meter_id), '[]') FROM meter_state
             WHERE abs(clock_offset_s) > {CLOCK_OFF_S}))"""


class Facts(TypedDict):
    """The answer to FACTS."""

    version: str
    now: float  # the database's clock, seconds since 1970
    bytes: int
    migrations: list[str]
    rejects: int  # messages within the last hour
    rejects_before: int  # and in the hour before
    reject: str | None  # the most frequent one
    clocks: list[str]  # meters whose clock is off


def stopped(entries: Mapping[str, ServiceState]) -> Iterator[Finding]:
    """What could prevent a start; `entries` are the services of the last one."""
    left = [name for name, entry in entries.items() if entry["pid"]]
    if left:
        yield Finding(
            WARNING,
            "stack",
            f"the supervisor died; still running: {', '.join(left)}",
            "./enms up takes over, ./enms down ends them",
        )
    else:
        yield Finding(OK, "stack", "not running")
    chosen = settings.configured()
    port = int(chosen["ENMS_HTTP_PORT"])
    try:
        free = ports.is_free(port, chosen["ENMS_BIND"])
    except PermissionError:
        yield Finding(PROBLEM, "port", f"this user may not open port {port}", "ENMS_HTTP_PORT=8080 ./enms up")
        return
    if not free:
        yield Finding(
            PROBLEM,
            "port",
            f"{port} is in use by {processes.listener(port) or 'another program'}",
            f"ENMS_HTTP_PORT={port + 1} ./enms up",
        )


def running(where: Paths, state: StackState) -> Iterator[Finding]:
    """Every Finding about a running stack."""
    env = settings.recorded(where)
    yield from services(state["services"], state["memory_kb"])
    if error := state.get("database_error"):
        yield Finding(PROBLEM, "database", error, "./enms logs postgres")
    else:
        yield from database(env, state["database_engine"])
    yield from ingest(lambda: ask(f"http://127.0.0.1:{env['ENMS_NODERED_PORT']}/api/nodered/health"))
    yield from alarms(ask(f"http://127.0.0.1:{env['ENMS_API_PORT']}/api/alarms"))
    yield from door(env)


def services(entries: Mapping[str, ServiceState], memory_kb: int) -> Iterator[Finding]:
    """Each service as the supervisor and its own probe see it, and what they use together; the probe asks on the
    service's port.
    """
    for name, entry in entries.items():
        if entry["health"] != "ok":
            yield Finding(PROBLEM, name, entry["health"], f"./enms logs {name}; it is started again by itself")
        elif entry["restarts"]:
            yield Finding(WARNING, name, f"was restarted {entry['restarts']} times", f"./enms logs {name}")
        else:
            port = entry.get("port")
            at = f", port {port}" if port else ""
            yield Finding(OK, name, f"pid {entry['pid']}{at}" if entry["pid"] else "done")
    if memory_kb > 900 * 1024:
        yield Finding(WARNING, "memory", f"the stack uses {memory_kb // 1024} MB", "./enms status shows which service")


def database(env: Mapping[str, str], engine: str | None) -> Iterator[Finding]:
    """What the database knows of itself and of the ingest."""
    try:
        facts: Facts = json.loads(probes.sql(env, FACTS))
    except (RuntimeError, ValueError) as error:
        yield Finding(PROBLEM, "database", str(error), "./enms logs postgres")
        return
    yield Finding(
        OK,
        "database",
        f"PostgreSQL {facts['version'].split()[0]}, engine {engine}, {facts['bytes'] // MB:,} MB",
    )
    yield from server_version(facts["version"].split()[0], installed_version())
    yield from schema(facts["migrations"])
    off = abs(facts["now"] - time.time())
    if off > 5:
        yield Finding(
            PROBLEM,
            "clock",
            f"the database's clock and this one differ by {off:.0f} s",
            "Set the clocks (timedatectl set-ntp true).",
        )
    if facts["clocks"]:
        yield Finding(
            WARNING,
            "meters' clocks",
            f"off by more than {CLOCK_OFF_S // 60} minutes: {shortened(facts['clocks'])}",
            "Readings are placed by what was learned of each clock; "
            "set the plugs' time server (Shelly: Settings, SNTP).",
        )
    if facts["rejects"]:
        growing = facts["rejects"] > 2 * facts["rejects_before"]
        yield Finding(
            WARNING,
            "rejects",
            f"{facts['rejects']} messages refused within an hour ({facts['rejects_before']} in the hour before"
            f"{', growing' if growing else ''}); most: {facts['reject']}",
            "/api/rejects lists them; the table ingest_rejects keeps what they sent",
        )


def server_version(runs: str, installed: str) -> Iterator[Finding]:
    """Is the running server the installed one, and does its maker still fix its faults?"""
    if installed and runs != installed:
        yield Finding(
            WARNING, "database", f"PostgreSQL {runs} runs, {installed} is installed", "./enms down, ./enms up"
        )
    old = machine.supported(f"PostgreSQL {runs.split('.')[0]}")
    if old:
        yield Finding(
            WARNING,
            "database",
            old,
            "./enms backup; put a newer package in its place; ./enms up --fresh; ./enms restore",
        )


def schema(applied: Sequence[str]) -> Iterator[Finding]:
    """The database's migrations against those of this checkout."""
    ours = sorted(path.name for path in (ROOT / "database/migrations").glob("[0-9][0-9][0-9][0-9]_*.sql"))
    unknown, missing = sorted(set(applied) - set(ours)), sorted(set(ours) - set(applied))
    if unknown:
        yield Finding(
            PROBLEM,
            "schema",
            f"the database is newer than this checkout: {', '.join(unknown)}",
            "Update the checkout, or go back with the backup from before: ./enms restore FILE --replace",
        )
    elif missing:
        yield Finding(WARNING, "schema", f"not applied yet: {', '.join(missing)}", "./enms down, ./enms up migrates it")
    else:
        yield Finding(OK, "schema", f"as this checkout has it ({ours[-1].split('_')[0]})")


def ask(url: str) -> dict[str, Any] | None:
    """The JSON answer of a service behind nginx; None when it does not answer with one."""
    try:
        _, answer, _ = probes.request("GET", url, timeout=5)
    except OSError:
        return None
    return answer if isinstance(answer, dict) else None


def ingest(health: Callable[[], dict[str, Any] | None], pause_s: float = 2.0) -> Iterator[Finding]:
    """Broker and spool, as Node-RED reports them; `health` asks it. A spool that is being emptied is no trouble."""
    answer = health()
    if answer is None:
        return  # the service's own finding reports that
    for source in answer["sources"]:
        if source["connected"]:
            yield Finding(
                OK, "broker", f"{source['client_id']} is connected, {source['received']:,} messages since its start"
            )
        else:
            yield Finding(
                PROBLEM,
                "broker",
                f"{source['client_id']}: {source['problem'] or 'not connected'}",
                "./enms logs mosquitto",
            )
    before = answer["spool"]
    if not before["spooled_rows"]:
        yield Finding(OK, "spool", "empty: the database takes every row")
        return
    time.sleep(pause_s)
    after = (health() or answer)["spool"]
    rows = f"{after['spooled_rows']:,} rows ({after['bytes'] // MB} MB) wait on disk"
    if after["failing"] or after["spooled_rows"] >= before["spooled_rows"]:
        yield Finding(
            PROBLEM,
            "spool",
            f"{rows} and do not get fewer: {after['failing'] or 'more come than the database takes'}",
            "./enms logs nodered; ./enms logs postgres",
        )
    else:
        yield Finding(WARNING, "spool", f"{rows} and get fewer", "Nothing is lost; look again in a minute.")


def alarms(answer: dict[str, Any] | None) -> Iterator[Finding]:
    """The API's own alarms, with what to do, many of a kind in one line; rejects are reported with their reason
    elsewhere.
    """
    reported = (answer or {}).get("alarms", [])
    for kind, remedy in REMEDIES.items():
        of_kind = [alarm for alarm in reported if alarm["kind"] == kind]
        if len(of_kind) > MANY:
            yield Finding(
                WARNING,
                kind.replace("_", " "),
                f"{len(of_kind)} times: {shortened([alarm['object'] for alarm in of_kind])}",
                remedy.format(**of_kind[0]),
            )
        else:
            for alarm in of_kind:
                yield Finding(WARNING, alarm["object"], alarm["text"], remedy.format(**alarm))


def door(env: Mapping[str, str]) -> Iterator[Finding]:
    """Can a login be read on its way, and until when is the certificate good?"""
    if not env["ENMS_TLS_CERT"]:
        if env["ENMS_BIND"] not in ("127.0.0.1", "::1", "localhost"):
            yield Finding(
                WARNING,
                "https",
                f"the network reaches {env['ENMS_HTTP_URL']} without encryption, logins too",
                "Set ENMS_TLS_CERT and ENMS_TLS_KEY (docs/production.md).",
            )
        return
    try:
        days = (certificate_end(env) - time.time()) / 86400
    except OSError as error:  # also a certificate that has ended
        yield Finding(
            PROBLEM,
            "https",
            f"the certificate is refused: {error}",
            "Put a new one in its place, then ./enms down, ./enms up",
        )
        return
    if days < CERTIFICATE_WARN_DAYS:
        yield Finding(
            WARNING,
            "https",
            f"the certificate ends in {days:.0f} days",
            "Put a new one in its place, then ./enms down, ./enms up",
        )
    else:
        yield Finding(OK, "https", f"the certificate holds for {days:.0f} days")


def certificate_end(env: Mapping[str, str]) -> float:
    """Until when (seconds since 1970) the certificate that nginx shows is good; raises OSError when it no longer is."""
    trusting = ssl.create_default_context(cafile=env["ENMS_TLS_CERT"])
    trusting.check_hostname = False
    trusting.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    address = urlsplit(env["ENMS_HTTP_URL"])
    with socket.create_connection((address.hostname, address.port), 5) as link, trusting.wrap_socket(link) as secure:
        shown = secure.getpeercert()
    assert shown, "a certificate that was verified is there"
    return ssl.cert_time_to_seconds(str(shown["notAfter"]))


def backups(last: LastBackup, chosen: Mapping[str, str], where: Paths) -> Iterator[Finding]:
    """Is one made each day, how old is the last good one, and would it survive the disk?"""
    folder = chosen["ENMS_BACKUP_DIR"]
    if last["error"]:
        yield Finding(
            PROBLEM,
            "backup",
            f"failed {status.age(last['failed_age_seconds'])} ago: {last['error']}",
            "Try it by hand: ./enms backup FILE.zip" + ("; ./enms logs backup" if folder else ""),
        )
    if last["age_seconds"] is None:
        yield Finding(
            WARNING,
            "backup",
            "there has never been one",
            "Set ENMS_BACKUP_DIR in .env for one a day, or ./enms backup FILE.zip",
        )
    elif folder and last["age_seconds"] > BACKUP_LATE_S:
        yield Finding(
            PROBLEM, "backup", f"the last good one is {status.age(last['age_seconds'])} old", "./enms logs backup"
        )
    else:
        yield Finding(
            OK,
            "backup",
            f"{status.age(last['age_seconds'])} old: {last['file']}" + ("" if folder else " (none is scheduled)"),
        )
    if folder and same_disk(folder, where.run):
        yield Finding(
            WARNING,
            "backup",
            f"{folder} is on the disk of the data: both are lost with it",
            "Let ENMS_BACKUP_DIR be on another disk or machine.",
        )


def same_disk(one: str, other: Path) -> bool:
    """True when both folders exist on one file system."""
    try:
        return Path(one).stat().st_dev == other.stat().st_dev
    except OSError:
        return False


def shortened(names: Sequence[str], most: int = 5) -> str:
    """A list for a line: at most a few names, and how many more there are."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
