"""The stacks that the bench measures: this checkout's, or another one's."""

import os
import subprocess
import sys
from pathlib import Path

from common.files import ROOT


def enms(run_dir: Path, *words: str, checkout: Path = ROOT, env_dir: str | None = None) -> None:
    """Runs `./enms words…` of a checkout for the stack in `run_dir`. Stops the bench with its output when it fails.

    `env_dir`: the directory of the installed packages, that of this run unless given.
    """
    done = subprocess.run(
        [sys.executable, str(checkout / "enms"), *words],
        env={
            **{name: value for name, value in os.environ.items() if not name.startswith("ENMS_")},
            "ENMS_RUN_DIR": str(run_dir),
            "ENMS_ENV_DIR": env_dir or os.environ["ENMS_ENV_DIR"],
            "ENMS_HTTP_PORT": os.environ.get("ENMS_BENCH_HTTP_PORT", "0"),
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise SystemExit(f"{checkout}/enms {' '.join(words)} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
