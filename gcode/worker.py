"""The analysis as a function of JSON values, in a process of its own with limits of time and memory.

A warm worker (Node-RED's python-function node) calls ``analyze_file``. The child is forked from the caller, so numpy and the
kernel are already there: starting it costs a few milliseconds, and a file that needs too much takes only the child down.
"""

import importlib
import json
import multiprocessing
import os
import pathlib
import resource
import signal
import time

from . import GcodeError, Limits, analyze, kernel

MAX_SECONDS = 120.0
MAX_MEMORY_MB = 1024
"""Address space that the child may take beyond what it starts with: a big file needs about 150 MB of it."""


def warm():
    """Builds and loads what the first call would otherwise wait for."""
    kernel.library()
    importlib.import_module(".render", __package__)  # Pillow's drawing


def analyze_file(arguments):
    """Analyses a file: {"path", "thumbnail_path"?, "preview_path"?, "max_seconds"?, "max_memory_mb"?}.

    Answers {"ok": true, "analysis": {…}} or {"ok": false, "error": "sentence"}; it raises nothing that a file could cause.
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
    name = pathlib.PurePath(path).name
    if time.monotonic() >= deadline:
        return {"ok": False, "error": f"{name!r} took longer than the limit of {seconds:g} s."}
    return {
        "ok": False,
        "error": f"{name!r} could not be analysed: the process ended ({_reason(child.exitcode, memory)}).",
    }


def _reason(code, memory):
    if code in (-signal.SIGKILL, -signal.SIGSEGV):
        return f"probably the limit of {memory} MB of memory"
    if code == -signal.SIGXCPU:
        return "the limit of computing time"
    return f"code {code}"


def _child(sender, path, thumbnail, preview, seconds, memory):
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    here = (
        int(pathlib.Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        if os.path.exists("/proc/self/statm")
        else 0
    )
    _limit(resource.RLIMIT_AS, here + (memory << 20))
    _limit(resource.RLIMIT_CPU, int(seconds) + 2)
    _limit(resource.RLIMIT_CORE, 0)
    os.nice(10)  # ingestion goes first
    name = pathlib.PurePath(path).name
    try:
        answer = {
            "ok": True,
            "analysis": analyze(path, thumbnail=thumbnail, preview=preview, limits=Limits(max_seconds=seconds)),
        }
    except GcodeError as error:
        answer = {"ok": False, "error": f"{name!r} {error}."}
    except MemoryError:
        answer = {"ok": False, "error": f"{name!r} needs more than the limit of {memory} MB of memory."}
    except Exception as error:  # the caller gets a sentence whatever the file holds; the kind helps to find the fault
        answer = {"ok": False, "error": f"{name!r} could not be analysed ({type(error).__name__})."}
    sender.send_bytes(json.dumps(answer, allow_nan=False).encode())
    sender.close()
    os._exit(0)  # nothing of the caller's is to be flushed or closed a second time


def _limit(what, value):
    soft, hard = resource.getrlimit(what)
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    resource.setrlimit(what, (value, hard))
