"""Every block after `<!-- printed -->` is real output: it is made anew and compared line by line.

The command is that of the code block before it, run on a stack with the demo fleet; PROVOKED names the blocks that need more than that. What changes
from run to run is left open (support/printed.py); a line that is only an ellipsis stands for lines that a page leaves out.
"""

from __future__ import annotations

import os
import re
import subprocess
import time
from pathlib import Path

import pytest

from support.markdown import ROOT, Block, pages
from support.printed import bare, difference, pattern

PATIENCE_S = 20  # for what a fleet that has just started does not say at once
CHANGING = re.compile(r"-X |--request|-d |--data|device (?:add|remove)|import|backup|restore|mosquitto_pub")


def shell(script: str, demo, folder: Path) -> list[str]:
    """The lines that a page's command prints here: with this stack's address, ports and passwords, and a folder for the reader's other disk."""
    settings = demo.settings
    for said, here in (("http://127.0.0.1:8080", settings["ENMS_HTTP_URL"]), ("operator:PASSWORD", ":".join(demo.editor)), ("/mnt/elsewhere", str(folder)),
                       ("-P PASSWORD", f"-P {settings['ENMS_MQTT_DEVICE_PASSWORD']}")):
        script = script.replace(said, here)
    script = re.sub(r"(mosquitto_\w+ .*?-p )\d+", rf"\g<1>{settings['ENMS_MQTT_PORT']}", script)
    done = subprocess.run(["bash", "-c", script], cwd=ROOT, env={**os.environ, **demo.env, **settings}, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300)
    return done.stdout.strip("\n").splitlines()


def run(block: Block, demo, folder: Path) -> str:
    """Runs the block's command, and before it the messages that the page has just sent; '' when it prints what the page shows."""
    *before, command = block.commands
    for script in before:
        if script.startswith("mosquitto_pub"):
            shell(script, demo, folder)
    until = time.monotonic() + (0 if CHANGING.search(command) else PATIENCE_S)
    while (said := difference(block.lines, shell(command, demo, folder))) and time.monotonic() < until:
        time.sleep(1)
    return said


def up(block, demo, _folder):
    """The end of the very first output; what stands on the page for the password is the page's choice."""
    shown = re.search(r"^  Login .* / (.*)$", block.text, re.M)[1]
    return difference(block.lines, demo.up_output[demo.up_output.index("  ENMS  "):].replace(demo.editor[1], shown).splitlines())


def cut_archive(block, demo, folder):
    shell("./enms backup /mnt/elsewhere/whole.zip", demo, folder)
    whole = (folder / "whole.zip").read_bytes()
    (folder / "cut.zip").write_bytes(whole[:len(whole) // 2])
    return difference(block.lines, shell("./enms restore /mnt/elsewhere/cut.zip --replace", demo, folder))


def restored(block, demo, folder):
    return difference(block.lines, shell("./enms backup /mnt/elsewhere/enms.zip >/dev/null && ./enms restore /mnt/elsewhere/enms.zip --replace", demo, folder))


def first_command(block, demo, folder):
    """Where the block before shows a second command that would change something."""
    return difference(block.lines, shell(block.commands[-1].splitlines()[0], demo, folder))


def doctor(block, demo, folder):
    """Each finding is there, in its words; what a finding about the machine says depends on the machine, so there only its subject counts."""
    machine = ("python", "packages", "environment", "disk", "memory", "clock")
    shell("./enms backup /mnt/elsewhere/enms.zip", demo, folder)
    told = shell("./enms doctor", demo, folder)
    subjects = {line[9:25].strip() for line in told}
    missing = [line for line in block.lines if not line.startswith(" ") and not any(pattern(bare(line)).fullmatch(bare(one)) for one in told)
               and not (line[9:25].strip() in machine and line[9:25].strip() in subjects)]
    return "\n".join(["the doctor does not say:", *missing, "but:", *told]) if missing else ""


def log_lines(block, demo, _folder):
    told = [line for path in demo.logs() if path.suffix == ".log" for line in path.read_text(errors="replace").splitlines()]
    missing = [line for line in block.lines if not any(pattern(bare(line)).fullmatch(bare(one)) for one in told)]
    return "\n".join(["in no log:", *missing]) if missing else ""


def soak(block, _demo, _folder):
    """A minute and a half of it: the same table with fewer lines."""
    done = subprocess.run([ROOT / "enms", "bench", "--only", "soak", "--minutes", "1.5"], text=True, stdout=subprocess.PIPE, timeout=600,
                          env={name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "ENMS_RUN_DIR", "ENMS_ENV_DIR")})
    lines = done.stdout.splitlines()
    begin = next(n for n, line in enumerate(lines) if line.startswith("Soak:"))
    once = lambda these: [line for n, line in enumerate(these) if n == 0 or pattern(bare(line)).pattern != pattern(bare(these[n - 1])).pattern]
    return difference(once(block.lines), once(lines[begin:]))


# How the first line of a block begins → what makes it, as above.
PROVOKED = {
    "  ENMS  ": up,
    "FAILED: backups/cut.zip": cut_archive,
    "verified ": restored,
    "ok       python": doctor,
    "compress_after": first_command,
    "time=": log_lines,
    "Soak:": soak,
}
LONG = ("verified ", "Soak:")
BLOCKS = [block for page in pages().values() for block in page.blocks if block.printed]


@pytest.mark.parametrize("block", [pytest.param(block, id=f"{block.page}:{block.line}", marks=[pytest.mark.long] if block.lines[0].startswith(LONG) else []) for block in BLOCKS])
def test_printed(block, demo, tmp_path):
    make = next((make for begin, make in PROVOKED.items() if block.lines[0].startswith(begin)), run)
    said = make(block, demo, tmp_path)
    assert not said, f"{block.page}, line {block.line}: {said}"


def test_every_special_way_is_used():
    unused = [begin for begin in PROVOKED if not any(block.lines[0].startswith(begin) for block in BLOCKS)]
    assert not unused


def test_a_wrong_line_is_found():
    """The comparison itself: other words, a missing and an additional line are found; numbers, times and what an ellipsis stands for are not."""
    shown = ["total   12 prints, 3.4 kWh", "…", '  "status": "done",', "end at 2026-11-26T17:43:06Z"]
    real = ["total   7 prints, 0.9 kWh", "one", "two", '  "status": null', "end at 2027-01-01T00:00:00.5Z"]
    assert difference(shown, real) == ""
    for change in ({0: "total 7 jobs, 0.9 kWh"}, {3: '  "state": null'}, {4: "end"}):
        assert difference(shown, [change.get(n, line) for n, line in enumerate(real)])
    assert difference(shown, real[:-1]) and difference(shown, [*real, "more"])
