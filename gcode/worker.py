"""The analysis as a function of JSON values, in a process of its own with limits of time and memory.

A warm worker (Node-RED's python-function node) calls ``analyze_file``. The child is forked from the caller, so numpy
and the kernel are already loaded: it starts in a few milliseconds, and a file that needs too much ends only the child.
"""

import json
import multiprocessing
import os
import resource
import signal
import time
from multiprocessing.connection import Connection
from pathlib import Path, PurePath
from typing import Any, NoReturn

from . import GcodeError, Limits, analyze, kernel

MAX_SECONDS = 120.0
MAX_MEMORY_MB = 1024
"""Address space that the child may take beyond what it starts with: a big file needs about 150 MB of it."""


def warm() -> None:
    """Builds and loads the kernel, for which the first call would otherwise wait."""
    kernel.library()


def analyze_file(arguments: dict[str, Any]) -> dict[str, Any]:
    """Analyses a file: {"path", "thumbnail_path"?, "preview_path"?, "max_seconds"?, "max_memory_mb"?}.

    Returns {"ok": true, "analysis": {…}} or {"ok": false, "error": "sentence"}; no file makes it raise.
    """
    path = arguments.get("path")
    if not isinstance(path, str) or not path:
        return {"ok": False, "error": "No path was given."}
    seconds = min(float(arguments.get("max_seconds") or MAX_SECONDS), 3600.0)
    memory = int(arguments.get("max_memory_mb") or MAX_MEMORY_MB)
    warm()
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(
        target=_child,
        args=(sender, path, arguments.get("thumbnail_path"), arguments.get("preview_path"), seconds, memory),
        daemon=True,
    )
    child.start()
    sender.close()
    deadline, answer = time.monotonic() + seconds + 1, None
    try:
        if receiver.poll(max(0, deadline - time.monotonic())):
            answer = receiver.recv_bytes()
    except (EOFError, OSError):
        pass
    finally:
        receiver.close()
        child.join(0.5 if answer else 0.2)
        if child.is_alive():
            child.kill()
            child.join()
    if answer:
        return json.loads(answer)
    name = PurePath(path).name
    if time.monotonic() >= deadline:
        return {"ok": False, "error": f"{name!r} took longer than the limit of {seconds:g} s."}
    return {
        "ok": False,
        "error": f"{name!r} could not be analysed: the process ended ({_reason(child.exitcode, memory)}).",
    }


def _reason(code: int | None, memory: int) -> str:
    if code in (-signal.SIGKILL, -signal.SIGSEGV):
        return f"probably the limit of {memory} MB of memory"
    if code == -signal.SIGXCPU:
        return "the limit of computing time"
    return f"code {code}"


def _child(
    sender: Connection, path: str, thumbnail: str | None, preview: str | None, seconds: float, memory: int
) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _limit(resource.RLIMIT_AS, _address_space() + (memory << 20))
    _limit(resource.RLIMIT_CPU, int(seconds) + 2)
    _limit(resource.RLIMIT_CORE, 0)
    os.nice(10)  # ingestion goes first
    name = PurePath(path).name
    try:
        answer = {
            "ok": True,
            "analysis": analyze(path, thumbnail=thumbnail, preview=preview, limits=Limits(max_seconds=seconds)),
        }
    except GcodeError as error:
        answer = {"ok": False, "error": f"{name!r} {error}."}
    except MemoryError:
        answer = {"ok": False, "error": f"{name!r} needs more than the limit of {memory} MB of memory."}
    except Exception as error:  # the caller gets a sentence whatever is in the file; the kind helps to find the fault
        answer = {"ok": False, "error": f"{name!r} could not be analysed ({type(error).__name__})."}
    sender.send_bytes(json.dumps(answer, allow_nan=False).encode())
    sender.close()
    os._exit(0)  # nothing of the caller's may be flushed or closed a second time


def _address_space() -> int:
    """Bytes of address space that this process has, 0 where /proc doesn't say."""
    statm = Path("/proc/self/statm")
    return int(statm.read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE") if statm.exists() else 0


def _limit(what: int, value: int) -> None:
    _, hard = resource.getrlimit(what)
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    resource.setrlimit(what, (value, hard))
