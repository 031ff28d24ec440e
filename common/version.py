"""Which version of ENMS this is."""

import subprocess

from launcher import VERSION
from launcher.settings import ROOT


def of_checkout():
    """The release, and in a checkout its commit: `0.1.0 (dfacb45)`; `-dirty` when files were changed."""
    try:
        asked = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True)
    except OSError:
        return VERSION
    return f"{VERSION} ({asked.stdout.strip()})" if asked.returncode == 0 and asked.stdout.strip() else VERSION
