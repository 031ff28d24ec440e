"""The linters and type checkers that the code must pass: their command lines, and running them one after the other."""

import subprocess
import time

from common.errors import EnmsError
from common.files import ROOT

from .settings import Paths, node_binary

TSC = ("{node}", "{tools}/typescript/bin/tsc", "--project")
# Name: (command after the program's own path, what it takes to correct what it finds).
COMMANDS = {
    "ruff": (["{python}", "-m", "ruff", "check"], ["--fix"]),
    "format": (["{python}", "-m", "ruff", "format", "--check"], None),
    "pyright": (["{node}", "{tools}/pyright/index.js", "--pythonpath", "{python}"], None),
    "squawk": (["{bin}/squawk", "database/migrations/*.sql"], None),
    "eslint": (["{node}", "{tools}/eslint/bin/eslint.js", "."], ["--fix"]),
    "tsc-nodered": ([*TSC, "nodered"], None),
    "tsc-nodered-sources": ([*TSC, "nodered/tsconfig.sources.json"], None),
    "tsc-frontend": ([*TSC, "frontend"], None),
    "tsc-frontend-tests": ([*TSC, "frontend/tsconfig.node.json"], None),
}


def command(where: Paths, name: str, fix: bool = False) -> list[str]:
    """The command line of one of them. Raises EnmsError for another name."""
    if name not in COMMANDS:
        raise EnmsError(f"There is no linter {name!r}.", f"There are: {', '.join(COMMANDS)}")
    words, to_fix = COMMANDS[name]
    if fix and name == "format":
        words = [word for word in words if word != "--check"]
    elif fix:
        words = [*words, *(to_fix or [])]
    places = {
        "python": str(where.python),
        "bin": str(where.python.parent),
        "node": str(node_binary(where)),
        "tools": str(where.tools / "node_modules"),
    }
    line = []
    for word in words:
        found = sorted(str(path.relative_to(ROOT)) for path in ROOT.glob(word)) if "*" in word else []
        line += found or [word.format(**places)]
    return line


def run(where: Paths, names: list[str], fix: bool) -> int:
    """Runs the named ones, or all; returns 1 when one of them complains."""
    failed = []
    for name in names or COMMANDS:
        line = command(where, name, fix)
        began = time.monotonic()
        done = subprocess.run(line, cwd=ROOT, stdin=subprocess.DEVNULL, text=True, capture_output=True, check=False)
        print(f"{'ok' if done.returncode == 0 else 'FAILED':<8}{name:<14}{time.monotonic() - began:6.1f} s", flush=True)
        if done.returncode:
            failed.append(name)
            print(done.stdout + done.stderr, flush=True)
    return 1 if failed else 0
