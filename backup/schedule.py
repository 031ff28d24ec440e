"""One backup a day at an hour of the factory, kept for some weeks. A missed one is made at the next start."""

import logging
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NoReturn
from zoneinfo import ZoneInfo

import psycopg2

from common import logs
from common.errors import EnmsError

from . import archive, record, stack

LOOK_EVERY_S = 30
RETRY_S = 3600
log = logging.getLogger(__name__)
NAME = "enms-%Y%m%dT%H%M%SZ.zip"


def run(env: Mapping[str, str]) -> NoReturn:
    """Makes the backups until the process is stopped. What fails is recorded and tried again after an hour."""
    folder, hour, days, zone = (
        Path(env["ENMS_BACKUP_DIR"]),
        int(env.get("ENMS_BACKUP_HOUR", 3)),
        int(env.get("ENMS_BACKUP_KEEP_DAYS", 30)),
        ZoneInfo(env.get("ENMS_TIMEZONE", "Europe/Berlin")),
    )
    logs.configure("backup", env.get("ENMS_LOG_LEVEL") or "info")
    log.info("one a day at %d:00 (%s) into %s, kept for %d days", hour, zone, folder, days)
    not_before = 0.0
    while True:
        now = datetime.now(UTC)
        if time.monotonic() >= not_before and is_due(now, newest(folder), hour, zone):
            try:
                folder.mkdir(parents=True, exist_ok=True)
                archive.remove_leftovers(folder)
                stack.write(env, folder / now.strftime(NAME), with_secrets=False)
                log.info("%s written", now.strftime(NAME))
            except (EnmsError, OSError, psycopg2.Error) as error:
                record.failed(env, str(error).strip().splitlines()[0])
                log.error("failed: %s", str(error).strip())
                not_before = time.monotonic() + RETRY_S
            else:
                for path in expired(folder, now, days):
                    path.unlink()
                    log.info("%s removed: older than %d days", path.name, days)
        time.sleep(LOOK_EVERY_S)


def made_at(path: Path) -> datetime | None:
    """When a scheduled backup was begun, by its name; None for any other file."""
    try:
        return datetime.strptime(path.name, NAME).replace(tzinfo=UTC)
    except ValueError:
        return None


def scheduled(folder: Path) -> list[tuple[datetime, Path]]:
    """[(when it was begun, path)] of the scheduled backups, oldest first."""
    return sorted((begun, path) for path in folder.glob("enms-*.zip") if (begun := made_at(path)))


def newest(folder: Path) -> datetime | None:
    """When the newest scheduled backup was begun; None before the first."""
    found = scheduled(folder)
    return found[-1][0] if found else None


def is_due(now: datetime, last: datetime | None, hour: int, zone: ZoneInfo) -> bool:
    """True when the hour has passed since the last one (now, last: UTC)."""
    local = now.astimezone(zone)
    due = local.replace(hour=hour, minute=0, second=0, microsecond=0).astimezone(UTC)
    if due > now:
        due = (local - timedelta(days=1)).replace(hour=hour, minute=0, second=0, microsecond=0).astimezone(UTC)
    return last is None or last < due


def expired(folder: Path, now: datetime, days: int) -> list[Path]:
    """Those that are older than `days` days; never the newest."""
    return [path for begun, path in scheduled(folder)[:-1] if now - begun > timedelta(days=days)]
