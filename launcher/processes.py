"""What /proc knows: identities that survive the reuse of a pid, process trees, memory; and ending exactly the right
processes.
"""

import contextlib
import os
import signal
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

PROC = Path("/proc")


class Terminated(KeyboardInterrupt):
    """SIGTERM: handled as Ctrl-C is, but the terminal has not sent it to our children."""


@dataclass(frozen=True, slots=True)
class Stat:
    """A line of /proc/PID/stat; `start` is in clock ticks since boot."""

    comm: str
    state: str
    ppid: int
    session: int
    start: int

    @property
    def ended(self) -> bool:
        """True for a zombie, which only waits for its parent to collect it."""
        return self.state in "ZX"


class Identity(TypedDict):
    """What to remember of a process so that it can be distinguished from a later one with the same pid."""

    pid: int
    start: int | None  # None for a process that had already ended
    comm: str | None
    boot: str


def boot_id() -> str:
    """Changes with every boot: a pid recorded under another one means nothing."""
    return (PROC / "sys/kernel/random/boot_id").read_text().strip()


def stat(pid: int) -> Stat | None:
    """The Stat of a process; None when there is none."""
    try:
        text = (PROC / str(pid) / "stat").read_text()
    except OSError:
        return None
    comm, _, rest = text.rpartition(")")
    fields = rest.split()
    return Stat(comm.partition("(")[2], fields[0], int(fields[1]), int(fields[3]), int(fields[19]))


def identity(pid: int) -> Identity:
    """The Identity of the process that has this pid now."""
    seen = stat(pid)
    return {
        "pid": pid,
        "start": seen.start if seen else None,
        "comm": seen.comm if seen else None,
        "boot": boot_id(),
    }


def is_alive(known: Identity | None) -> bool:
    """True while the process of an Identity runs (a zombie doesn't)."""
    if not known or known["boot"] != boot_id():
        return False
    seen = stat(known["pid"])
    return bool(seen and seen.start == known["start"] and not seen.ended)


def snapshot() -> dict[int, Stat]:
    """{pid: Stat} of all processes."""
    found = {int(name): stat(int(name)) for name in os.listdir(PROC) if name.isdigit()}
    return {pid: seen for pid, seen in found.items() if seen}


def descendants(pid: int, processes: Mapping[int, Stat] | None = None) -> list[int]:
    """The pids below `pid`, parents first; `processes` is a snapshot to look in."""
    children: dict[int, list[int]] = {}
    for child, seen in (snapshot() if processes is None else processes).items():
        children.setdefault(seen.ppid, []).append(child)
    found, queue = [], [pid]
    while queue:
        below = children.get(queue.pop(0), [])
        found += below
        queue += below
    return found


def left_behind(known: Identity) -> list[int]:
    """Pids of a service that outlived their dead leader: those of its session (`known` is the leader's identity).

    A session number isn't reused while a member lives, so a member that is older than the leader, or a living process
    with the leader's pid, proves that the session is somebody else's.
    """
    if known["boot"] != boot_id():
        return []
    leader, processes = known["pid"], snapshot()
    if leader in processes and processes[leader].start != known["start"]:
        return []
    return [
        pid
        for pid, seen in processes.items()
        if seen.session == leader and pid != leader and seen.start >= (known["start"] or 0) and not seen.ended
    ]


def send(pid: int, number: int) -> None:
    """Sends a signal; a process that is already gone is no error."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def wait_gone(identities: Iterable[Identity], seconds: float) -> list[Identity]:
    """Waits until none of the identities is alive; returns those that still are."""
    end = time.monotonic() + seconds
    while True:
        alive = identities = [known for known in identities if is_alive(known)]
        if not alive or time.monotonic() > end:
            return alive
        time.sleep(0.02)


def stop_tree(known: Identity, number: int = signal.SIGTERM, grace: float = 10.0) -> None:
    """Ends the process of an identity and everything below it: asks with `number`, after `grace` seconds kills."""
    tree = []
    if is_alive(known):
        tree = [known, *map(identity, descendants(known["pid"]))]
        send(known["pid"], number)
        wait_gone([known], grace)
    tree += map(identity, left_behind(known))
    rest = wait_gone(tree, 0.3)
    for process in rest:
        if is_alive(process):
            send(process["pid"], signal.SIGKILL)
    wait_gone(rest, 5)


def memory_kb(pids: Iterable[int]) -> int:
    """Proportional set size (PSS) in kB, summed over the processes; where it may not be read, their private resident
    part.
    """
    total = 0
    for pid in pids:
        try:
            for line in (PROC / str(pid) / "smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
                    break
        except OSError:
            try:
                fields = (PROC / str(pid) / "statm").read_text().split()
                total += max(0, int(fields[1]) - int(fields[2])) * os.sysconf("SC_PAGE_SIZE") // 1024
            except OSError:
                continue
    return total


def listeners(port: int) -> set[int]:
    """Pids of the processes that listen on a TCP port, as far as this user may see them."""
    wanted = f":{port:04X}"
    inodes = set()
    for table in ("tcp", "tcp6"):
        try:
            for line in (PROC / "net" / table).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[1].endswith(wanted) and fields[3] == "0A":
                    inodes.add(f"socket:[{fields[9]}]")
        except OSError:
            continue
    return {pid for pid in snapshot() if inodes and inodes & open_files(pid)}


def open_files(pid: int) -> set[str]:
    """What the descriptors of a process point to; empty when it ended or belongs to somebody else."""
    found = set()
    with contextlib.suppress(OSError):
        for handle in os.listdir(PROC / str(pid) / "fd"):
            with contextlib.suppress(OSError):
                found.add(os.readlink(PROC / str(pid) / "fd" / handle))
    return found


def listener(port: int) -> str:
    """'name (pid N)' of a process that listens on a TCP port; '' when it can't be found out."""
    for pid in sorted(listeners(port)):
        seen = stat(pid)
        if seen:
            return f"{seen.comm} (pid {pid})"
    return ""
