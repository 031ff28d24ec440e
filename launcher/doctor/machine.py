"""The machine: versions, packages, disk, memory, clock, rights, logs."""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path

from .. import install
from ..settings import ROOT, Paths, configured, node_binary
from .finding import OK, PROBLEM, WARNING, Finding

# Until when the makers fix security faults (python.org, postgresql.org).
ENDS = {
    "Python 3.11": date(2027, 10, 31),
    "Python 3.12": date(2028, 10, 31),
    "Python 3.13": date(2029, 10, 31),
    "Python 3.14": date(2030, 10, 31),
    "PostgreSQL 15": date(2027, 11, 11),
    "PostgreSQL 16": date(2028, 11, 9),
    "PostgreSQL 17": date(2029, 11, 8),
    "PostgreSQL 18": date(2030, 11, 14),
}
MB = 1 << 20


def look(where: Paths) -> Iterator[Finding]:
    """Every Finding about the machine."""
    yield from versions(sys.version_info)
    yield from packages()
    yield from environment(where)
    yield from disks(where)
    yield from memory(Path("/proc/meminfo").read_text())
    yield from clock(newest=max(path.stat().st_mtime for path in ROOT.iterdir()))
    yield from logs(where, float(configured()["ENMS_LOG_MAX_MB"]))


def supported(name: str, today: date | None = None) -> str:
    """'' while the maker fixes faults of a version (`Python 3.11`), otherwise a sentence."""
    end = ENDS.get(name)
    return f"{name} gets no security updates since {end:%d %B %Y}" if end and (today or date.today()) > end else ""


def versions(python: Sequence[int | str]) -> Iterator[Finding]:
    """The interpreter of the launcher, of which the private environment is made; `python`: sys.version_info."""
    name = f"Python {python[0]}.{python[1]}"
    old = supported(name)
    if old:
        yield Finding(
            WARNING, "python", old, "Install a newer Python, remove the folder env in the run directory, and ./enms up"
        )
    else:
        yield Finding(OK, "python", f"{name}.{python[2]}")


def packages() -> Iterator[Finding]:
    """Debian's packages: are they there, and are there updates?"""
    missing = install.missing_packages(install.PACKAGES)
    if missing:
        yield Finding(
            PROBLEM,
            "packages",
            f"missing: {', '.join(missing)}",
            f"as root: apt-get install -y --no-install-recommends {' '.join(missing)}",
        )
        return
    old = outdated(policy([name for name, _ in install.PACKAGES]))
    if old:
        yield Finding(
            WARNING,
            "packages",
            "updates are there for " + ", ".join(f"{name} ({now} → {new})" for name, now, new in old),
            f"as root: apt-get install --only-upgrade {' '.join(name for name, _, _ in old)}; "
            "then ./enms down, ./enms up",
        )
    else:
        yield Finding(OK, "packages", "PostgreSQL, mosquitto and nginx are there and up to date")


def policy(names: Sequence[str]) -> str:
    """What apt-cache knows of packages; empty where there is no apt."""
    if not shutil.which("apt-cache"):
        return ""
    return subprocess.run(
        ["apt-cache", "policy", *names], capture_output=True, text=True, env={**os.environ, "LANG": "C"}
    ).stdout


def outdated(text: str) -> list[tuple[str, str, str]]:
    """[(package, installed, candidate)] of an apt-cache policy where they differ."""
    found = re.findall(r"^(\S+):\n  Installed: (\S+)\n  Candidate: (\S+)", text, re.MULTILINE)
    return [
        (name, installed, candidate)
        for name, installed, candidate in found
        if installed != candidate and "(none)" not in (installed, candidate)
    ]


def environment(where: Paths) -> Iterator[Finding]:
    """Private Python, Node and npm packages, and the browser app, against the lock files of the checkout."""
    node = node_binary(where)
    if not node.exists():
        yield Finding(WARNING, "environment", "the private environment is not installed yet", "./enms up installs it")
    elif not install.is_installed(where) or not install.is_built(where):
        yield Finding(WARNING, "environment", "it is not that of this checkout", "./enms down, ./enms up")
    else:
        version = subprocess.run([node, "--version"], capture_output=True, text=True).stdout.strip()
        yield Finding(OK, "environment", f"as the lock files say, Node {version.removeprefix('v')}")


def disks(where: Paths) -> Iterator[Finding]:
    """Free space and rights where the stack writes."""
    place = where.run if where.run.exists() else where.run.parent
    while not place.exists():
        place = place.parent
    inodes = os.statvfs(place)
    yield space(where.run, shutil.disk_usage(place).free // MB, inodes.f_favail if inodes.f_files else None)
    if not os.access(place, os.W_OK):
        yield Finding(PROBLEM, "rights", f"{place} can't be written by this user", "ENMS_RUN_DIR=$HOME/enms ./enms up")


def space(folder: Path, free_mb: int, free_files: int | None) -> Finding:
    """The Finding about a folder's disk: its free MB, and how many more files fit (None where that is not counted)."""
    if free_mb < 300:
        return Finding(
            PROBLEM,
            "disk",
            f"{free_mb} MB free for {folder}: PostgreSQL stops when there is none",
            "Free some space, or move the run directory.",
        )
    if free_files is not None and free_files < 10_000:
        return Finding(
            WARNING,
            "disk",
            f"only {free_files} more files fit on the disk of {folder}",
            "Remove small files nobody needs, or move the run directory.",
        )
    if free_mb < 2000:
        return Finding(
            WARNING, "disk", f"{free_mb} MB free for {folder}", "Free some space, or move the run directory."
        )
    return Finding(OK, "disk", f"{free_mb:,} MB free for {folder}")


def memory(meminfo: str) -> Iterator[Finding]:
    """Is there enough? `meminfo`: the text of /proc/meminfo."""
    found = re.search(r"^MemAvailable:\s+(\d+)", meminfo, re.MULTILINE)
    assert found, "Linux has had this line since 3.14"
    available = int(found[1]) // 1024
    if available < 400:
        yield Finding(WARNING, "memory", f"{available} MB available", "The stack needs about 600 MB.")
    else:
        yield Finding(OK, "memory", f"{available:,} MB available")


def clock(newest: float) -> Iterator[Finding]:
    """Is the machine's clock set? `newest`: modification time of the checkout's newest file."""
    if time.time() < newest - 86400:
        yield Finding(
            PROBLEM,
            "clock",
            "this machine's clock is before the time of its own files",
            "Set the clock (timedatectl set-ntp true).",
        )
    elif synchronised() == "no":
        yield Finding(
            WARNING,
            "clock",
            "the clock is not synchronised",
            "timedatectl set-ntp true; wrong times spoil energy per print.",
        )
    else:
        yield Finding(OK, "clock", time.strftime("%Y-%m-%d %H:%M:%S %Z"))


def synchronised() -> str:
    """yes, no, or '' where it is not known (a container)."""
    if not shutil.which("timedatectl"):
        return ""
    return subprocess.run(
        ["timedatectl", "show", "-p", "NTPSynchronized", "--value"], capture_output=True, text=True
    ).stdout.strip()


def logs(where: Paths, limit_mb: float) -> Iterator[Finding]:
    """Size of the logs; one far above its limit means that nobody rotates."""
    sizes = {path: path.stat().st_size / MB for path in where.logs.glob("*.log*")} if where.logs.exists() else {}
    too_big = [path.name for path, size in sizes.items() if size > 2 * limit_mb + 1]
    if too_big:
        yield Finding(
            WARNING,
            "logs",
            f"{', '.join(sorted(too_big))}: far above the {limit_mb:g} MB at which a log is rotated",
            "Rotation is the supervisor's work: ./enms logs supervisor; ./enms down, ./enms up starts it again.",
        )
    else:
        yield Finding(OK, "logs", f"{sum(sizes.values()):.1f} MB in {where.logs}")
