"""Makes again what a page shows after `<!-- printed -->`, and compares it line by line.

The command is that of the code block before it, run on a stack with the demo fleet; PROVOKED names the blocks that need
more than that. What changes from run to run is left open (printed.py); a line that is only an ellipsis stands for lines
that a page leaves out.
"""

import json
import os
import re
import subprocess
import time
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from unittest import mock

from backup import database as databases
from common.files import ROOT
from database import migrate, series_copy

from . import old_database
from .enms import Enms
from .markdown import Block, Page, pages
from .printed import bare, difference, fits, pattern

PATIENCE_S = 20  # for what a fleet that has just started does not show at once
# A command that is run once: it changes something, or waits by itself.
CHANGING = re.compile(
    r"(?:^|\n)\./enms (?:device (?:add|remove)|import|backup|restore)|-X |--request|-d |--data|mosquitto_pub"
)
# What a page asks for without showing what it prints, and what comes later needs.
PREPARING = re.compile(r"\./enms device add|mosquitto_pub|curl .*ENMS_HTTP_URL.* -[dX] ")


class Reader:
    """Somebody who follows one page from its top, in a folder of their own with `./enms` in it."""

    def __init__(self, page: Page, demo: Enms, folder: Path) -> None:
        self.page, self.demo, self.folder = page, demo, folder
        self.done: set[int] = set()  # lines of the blocks whose commands were run
        (folder / "enms").symlink_to(ROOT / "enms")
        (folder / "elsewhere").mkdir()

    def shell(self, script: str) -> list[str]:
        """The lines that a command prints.

        It gets this stack's address and passwords, a folder for the reader's other disk, and for the addresses of the
        reader's printers one where nobody listens.
        """
        settings = self.demo.settings
        for shown, here in (
            ("http://127.0.0.1:8080", settings["ENMS_HTTP_URL"]),
            ("operator:PASSWORD", ":".join(self.demo.editor)),
            ("/mnt/elsewhere", str(self.folder / "elsewhere")),
        ):
            script = script.replace(shown, here)
        script = re.sub(r"\b192\.168\.\d+\.\d+\b", "127.0.0.9", script)
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=self.folder,
            env={**self.demo.env, **settings},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=300,
        )
        return done.stdout.strip("\n").splitlines()

    def reach(self, block: Block) -> None:
        """Does what the page asks for before the block: its files, and the commands that later ones need."""
        shown = {other.command for other in self.page.blocks if other.printed and not special(other)}
        for other in self.page.blocks[: self.page.blocks.index(block)]:
            if other.line in self.done or other.printed or other.text == block.command:
                continue
            self.done.add(other.line)
            if other.file:
                (self.folder / other.file).write_text(recent(other.text) + "\n")
            elif PREPARING.match(other.text) or (other.text in shown and CHANGING.search(other.text)):
                self.shell(other.text)

    def run(self, block: Block) -> str:
        """Runs the block's command; '' when it prints what the page shows."""
        self.reach(block)
        self.done |= {
            other.line for other in self.page.blocks if other.text == block.command and other.line < block.line
        }
        compared = lambda: difference(block.lines, self.shell(block.command))
        return compared() if CHANGING.search(block.command) else patiently(compared)


def patiently(compared: Callable[[], str]) -> str:
    """The result of `compared()`, called again for a while until it is ''."""
    until = time.monotonic() + PATIENCE_S
    while (found := compared()) and time.monotonic() < until:
        time.sleep(1)
    return found


def recent(text: str) -> str:
    """A file of a page with its days moved to the last ones: older ones are refused one day."""
    days = re.findall(r"\b\d{4}-\d\d-\d\d\b", text)
    later = date.today() - timedelta(days=1) - max(map(date.fromisoformat, days), default=date.max)
    return re.sub(r"\b\d{4}-\d\d-\d\d\b", lambda day: str(date.fromisoformat(day[0]) + later), text)


def up(block: Block, reader: Reader) -> str:
    """The end of the very first output; what is on the page in place of the password is the page's choice."""
    shown = re.search(r"^  Login .* / (.*)$", block.text, re.M)
    assert shown, f"{block.page}, line {block.line}: the block has no login"
    demo = reader.demo
    real = demo.up_output[demo.up_output.index("  ENMS  ") :].replace(demo.editor[1], shown[1])
    return difference(block.lines, real.splitlines())


def backup(reader: Reader) -> Path:
    """The archive that the page makes first."""
    reader.shell("test -e /mnt/elsewhere/enms.zip || ./enms backup /mnt/elsewhere/enms.zip")
    return reader.folder / "elsewhere/enms.zip"


def cut_archive(block: Block, reader: Reader) -> str:
    """What a restore of half an archive prints."""
    whole = backup(reader).read_bytes()
    (reader.folder / "cut.zip").write_bytes(whole[: len(whole) // 2])
    return difference(block.lines, reader.shell("./enms restore cut.zip --replace"))


def restored(block: Block, reader: Reader) -> str:
    """What a restore of the archive prints."""
    backup(reader)
    return difference(block.lines, reader.shell("./enms restore /mnt/elsewhere/enms.zip --replace"))


def first_command(block: Block, reader: Reader) -> str:
    """Where the block before shows a second command that would change something."""
    return difference(block.lines, reader.shell(block.command.splitlines()[0]))


def doctor(block: Block, reader: Reader) -> str:
    """Each finding of the page is there; of one about the machine only the subject counts, the rest depends on it."""
    machine = ("python", "packages", "environment", "disk", "memory", "clock")
    subject = lambda line: line[9:25].strip()

    def compared() -> str:
        real = reader.shell("./enms doctor")
        missing = [
            line
            for line in block.lines
            if not line.startswith(" ")
            and not any(fits(line, one) for one in real)
            and not (subject(line) in machine and subject(line) in map(subject, real))
        ]
        return "\n".join(["the doctor does not say:", *missing, "but:", *real]) if missing else ""

    backup(reader)
    return patiently(compared)


def log_lines(block: Block, reader: Reader) -> str:
    """Each line of the page is in one of the logs."""
    real = [
        line
        for path in reader.demo.logs()
        if path.suffix == ".log"
        for line in path.read_text(errors="replace").splitlines()
    ]
    missing = [line for line in block.lines if not any(fits(line, one) for one in real)]
    return "\n".join(["in no log:", *missing]) if missing else ""


def soak(block: Block, _reader: Reader) -> str:
    """A minute and a half of it: the same table with fewer lines.

    Only a longer one can distinguish what grows from what warms up, so the verdicts are not compared.
    """
    done = subprocess.run(
        [ROOT / "enms", "bench", "--only", "soak", "--minutes", "1.5"],
        text=True,
        stdout=subprocess.PIPE,
        timeout=600,
        env={
            name: value
            for name, value in os.environ.items()
            if name in ("PATH", "HOME", "ENMS_RUN_DIR", "ENMS_ENV_DIR")
        },
    )
    lines = done.stdout.replace("GROWS", "flat").splitlines()
    begin = next(n for n, line in enumerate(lines) if line.startswith("Soak:"))
    once = lambda these: [
        line for n, line in enumerate(these) if n == 0 or pattern(bare(line)) != pattern(bare(these[n - 1]))
    ]
    return difference(once(block.lines), once(lines[begin:]))


def old_rows(block: Block, reader: Reader) -> str:
    """What `up` shows of a migration from 0.1.0: a small database beside the stack's own, a line after each piece."""
    env = {**json.loads((reader.demo.run_dir / "settings.json").read_text()), "ENMS_DB_NAME": "enms_of_0_1_0"}
    began, lines = time.monotonic(), []

    def say(line: str) -> None:
        if line.startswith(series_copy.PREFIX):
            lines.append(f"{time.monotonic() - began:6.1f} s  {'migrate':<12} {line}")

    with databases.connected(databases.dsn(env, "postgres", "postgres")) as server:
        server.autocommit = True
        server.cursor().execute(f"CREATE DATABASE {env['ENMS_DB_NAME']}")
        try:
            old = old_database.made(databases.dsn(env, "postgres"), "plain")
            old_database.generate(old, 20_000, meters=5)
            old.close()
            with mock.patch.object(series_copy, "EVERY", 0):
                migrate.migrate(old.dsn, env, say)
        finally:
            databases.drop(server.cursor(), env["ENMS_DB_NAME"])
    return difference(block.lines, lines)


# How the first line of a block (without an ellipsis) begins → what makes it; all others are what their command prints.
PROVOKED: dict[str, Callable[[Block, Reader], str]] = {
    "  ENMS  ": up,
    "FAILED: backups/cut.zip": cut_archive,
    "verified ": restored,
    "ok       python": doctor,
    "compress_after": first_command,
    "time=": log_lines,
    "   1.2 s  migrate ": old_rows,
    "Soak:": soak,
}
LONG = (restored, soak)
BLOCKS = [block for page in pages().values() for block in page.blocks if block.printed]


def special(block: Block) -> Callable[[Block, Reader], str] | None:
    """What makes the block, when it is not simply its command."""
    first = next(line for line in block.lines if bare(line) != "…")
    return next((make for begin, make in PROVOKED.items() if first.startswith(begin)), None)


def compare(block: Block, reader: Reader) -> str:
    """'' when the block is what is printed now, otherwise what differs."""
    make = special(block)
    return make(block, reader) if make else reader.run(block)
