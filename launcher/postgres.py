"""A private PostgreSQL cluster: initdb, its configuration, and the uid it runs under."""

import os
import pwd
import shutil
import signal
import subprocess
from pathlib import Path
from typing import TypedDict

from common import files
from common.errors import EnmsError
from common.postgres import program

from . import processes

CONFIG = """\
# Written by the launcher at every start. One machine, short queries, little memory; nothing acknowledged is ever lost.
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
max_connections = 60
shared_buffers = 48MB
effective_cache_size = 1GB
work_mem = 8MB
maintenance_work_mem = 64MB
max_wal_size = 1GB
wal_compression = on
checkpoint_timeout = 15min
synchronous_commit = on
jit = off
random_page_cost = 1.1
password_encryption = scram-sha-256
timezone = 'UTC'
log_timezone = 'UTC'
log_min_messages = warning
log_line_prefix = '%m [%p] %q%u@%d '
# A statement that fails can contain a password (ALTER ROLE): the error is logged, its text and parameters are not.
log_min_error_statement = panic
log_parameter_max_length_on_error = 0
"""
ACCESS = "host all all 127.0.0.1/32 scram-sha-256\n"


class Rights(TypedDict, total=False):
    """The user that a process runs as, as arguments of Popen; empty for the caller's own."""

    user: int
    group: int
    extra_groups: list[int]


def account() -> pwd.struct_passwd | None:
    """The user that PostgreSQL runs as: None for the caller's own; for root `postgres`, or `nobody` if there is none.

    Raises EnmsError when root finds neither.
    """
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise EnmsError(
        "PostgreSQL refuses to run as root, and there is no user `postgres` or `nobody` to run it as.",
        "Create one: useradd --system postgres",
    )


def drop(command: list[str], directory: Path, who: pwd.struct_passwd | None) -> tuple[list[str], Rights]:
    """The command line and Popen arguments that run `command`, which works in `directory`, as `who`.

    A run directory below a private home can't be entered by another user; then the one right to pass through
    directories is kept (CAP_DAC_READ_SEARCH), instead of opening the home. Raises EnmsError where that can't be done.
    """
    if who is None:
        return command, {}
    if _reachable(directory, who):
        return command, {"user": who.pw_uid, "group": who.pw_gid, "extra_groups": []}
    setpriv = shutil.which("setpriv")
    if not setpriv:
        raise EnmsError(
            f"The user {who.pw_name} can't reach {directory}, because a directory above it is private.",
            "Use another run directory: ENMS_RUN_DIR=/var/lib/enms ./enms up",
        )
    user = [f"--reuid={who.pw_uid}", f"--regid={who.pw_gid}", "--clear-groups"]
    return [setpriv, *user, "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search", "--", *command], {}


def _reachable(directory: Path, who: pwd.struct_passwd) -> bool:
    for part in (directory, *directory.parents):
        mode = part.stat()
        right = 0o100 if mode.st_uid == who.pw_uid else 0o010 if mode.st_gid == who.pw_gid else 0o001
        if not mode.st_mode & right:
            return False
    return True


def create(base: Path, password: str, log: Path) -> bool:
    """Creates the cluster in base/data; False when it is there already. The user that the server runs as owns `base`.

    A half-made cluster (killed initdb) is recognised by the missing mark and made again: it never had data. Raises
    EnmsError when initdb fails.
    """
    who = account()
    data, mark = base / "data", base / "created"
    if mark.exists():
        return False
    if data.exists():
        shutil.rmtree(data)
    base.mkdir(mode=0o700, exist_ok=True)
    secret = base / "password"
    files.write(secret, password + "\n", 0o600)
    if who:
        os.chown(base, who.pw_uid, who.pw_gid)
        os.chown(secret, who.pw_uid, who.pw_gid)
    options = ["-U", "postgres", "-A", "scram-sha-256", "--pwfile", str(secret), "-E", "UTF8", "--locale=C.UTF-8"]
    command, rights = drop([program("initdb"), "-D", str(data), *options], base, who)
    try:
        with open(log, "ab") as output:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd="/",
                env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "TZ": "UTC"},
                **rights,
            )
    finally:
        secret.unlink(missing_ok=True)
    if done.returncode:
        raise EnmsError(
            "The database cluster could not be created.", "See the log lines above; then ./enms up again.", log
        )
    mark.write_text("")
    return True


def configure(base: Path, extra: str = "", access: str = ACCESS) -> None:
    """Writes configuration and access rules of the cluster; `extra` are further lines that win over the usual ones."""
    who = account()
    for name, text in (("postgresql.conf", CONFIG + extra), ("pg_hba.conf", access)):
        path = base / "data" / name
        files.write(path, text, 0o600)
        if who:
            os.chown(path, who.pw_uid, who.pw_gid)


def command(base: Path, port: int | str) -> tuple[list[str], Rights]:
    """Command line and Popen arguments of the server."""
    return drop([program("postgres"), "-D", str(base / "data"), "-p", str(port)], base, account())


def clear_stale_pid(base: Path) -> int | None:
    """Removes postmaster.pid when the process it names is not this cluster's server (kill -9, reused pid, power cut);
    returns the pid of a server that runs.
    """
    path = base / "data" / "postmaster.pid"
    try:
        pid = int(path.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        path.unlink(missing_ok=True)
        return None
    seen = processes.stat(pid)
    if seen and not seen.ended:
        try:
            line = (processes.PROC / str(pid) / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            line = ""
        if str(base / "data") in line.split("\0"):
            return pid
    path.unlink(missing_ok=True)
    return None


def end_foreign_start(base: Path) -> None:
    """Stops a server of this cluster that runs without a record (its supervisor died before writing one)."""
    pid = clear_stale_pid(base)
    if pid:
        processes.stop_tree(processes.identity(pid), signal.SIGINT, 30)
