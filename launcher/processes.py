"""What /proc knows: identities that survive pid reuse, process trees, memory, and ending exactly the right processes."""

import os
import signal
import time
from pathlib import Path

PROC = Path("/proc")


class Terminated(KeyboardInterrupt):
    """SIGTERM: handled as Ctrl-C is, but our children have not been told by the terminal."""


def boot_id():
    """Changes with every boot: a pid recorded under another one means nothing."""
    return (PROC / "sys/kernel/random/boot_id").read_text().strip()


def stat(pid):
    """{'comm', 'state', 'ppid', 'session', 'start'} of a process, or None. `start` is in clock ticks since boot."""
    try:
        text = (PROC / str(pid) / "stat").read_text()
    except OSError:
        return None
    comm, _, rest = text.rpartition(")")
    fields = rest.split()
    return {
        "comm": comm.partition("(")[2],
        "state": fields[0],
        "ppid": int(fields[1]),
        "session": int(fields[3]),
        "start": int(fields[19]),
    }


def identity(pid):
    """What to remember of a process so that it can be told from a later one with the same pid."""
    seen = stat(pid)
    return {
        "pid": pid,
        "start": seen["start"] if seen else None,
        "comm": seen["comm"] if seen else None,
        "boot": boot_id(),
    }


def is_alive(known):
    """True while the process of an `identity` runs (a zombie doesn't)."""
    if not known or known.get("boot") != boot_id():
        return False
    seen = stat(known["pid"])
    return bool(seen and seen["start"] == known["start"] and seen["state"] not in "ZX")


def snapshot():
    """{pid: stat} of all processes."""
    found = {int(name): stat(name) for name in os.listdir(PROC) if name.isdigit()}
    return {pid: seen for pid, seen in found.items() if seen}


def descendants(pid, processes=None):
    """The pids below `pid`, parents first."""
    processes = snapshot() if processes is None else processes
    children = {}
    for child, seen in processes.items():
        children.setdefault(seen["ppid"], []).append(child)
    found, queue = [], [pid]
    while queue:
        below = children.get(queue.pop(0), [])
        found += below
        queue += below
    return found


def left_behind(known):
    """Pids of a service that outlived their dead leader: those of its session (`known` is the leader's identity).

    A session number isn't reused while a member lives, so a member that is older than the leader, or a living process
    with the leader's pid, proves that the session is somebody else's.
    """
    if known.get("boot") != boot_id():
        return []
    processes = snapshot()
    if known["pid"] in processes and processes[known["pid"]]["start"] != known["start"]:
        return []
    return [
        pid
        for pid, seen in processes.items()
        if seen["session"] == known["pid"]
        and pid != known["pid"]
        and seen["start"] >= (known["start"] or 0)
        and seen["state"] not in "ZX"
    ]


def send(pid, number):
    """Sends a signal; a process that is already gone is no error."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def wait_gone(identities, seconds):
    """Waits until none of the identities is alive; returns those that still are."""
    end = time.monotonic() + seconds
    while True:
        identities = [known for known in identities if is_alive(known)]
        if not identities or time.monotonic() > end:
            return identities
        time.sleep(0.02)


def stop_tree(known, number=signal.SIGTERM, grace=10.0):
    """Ends the process of an identity and everything below it: asks with `number`, after `grace` seconds kills."""
    tree = []
    if is_alive(known):
        tree = [known] + [identity(pid) for pid in descendants(known["pid"])]
        send(known["pid"], number)
        wait_gone([known], grace)
    tree += [identity(pid) for pid in left_behind(known)]
    rest = wait_gone(tree, 0.3)
    for process in rest:
        if is_alive(process):
            send(process["pid"], signal.SIGKILL)
    wait_gone(rest, 5)


def memory_kb(pids):
    """Proportional set size (PSS) in kB summed over the processes; where PSS may not be read, their private resident part."""
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


def listeners(port):
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


def open_files(pid):
    """What the descriptors of a process point to; empty when it ended or belongs to somebody else."""
    found = set()
    try:
        for handle in os.listdir(PROC / str(pid) / "fd"):
            try:
                found.add(os.readlink(PROC / str(pid) / "fd" / handle))
            except OSError:
                continue
    except OSError:
        pass
    return found


def listener(port):
    """'name (pid N)' of a process that listens on a TCP port, '' when it can't be told."""
    for pid in sorted(listeners(port)):
        seen = stat(pid)
        if seen:
            return f"{seen['comm']} (pid {pid})"
    return ""
