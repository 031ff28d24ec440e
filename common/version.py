"""Which version of ENMS this is."""

import subprocess

from .files import ROOT

VERSION = "0.2.0"


def of_checkout() -> str:
    """The release and, in a checkout, its commit: `0.2.0 (dfacb45)`; `-dirty` when files were changed."""
    try:
        asked = subprocess.run(
            ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False
        )
    except OSError:
        return VERSION
    commit = asked.stdout.strip()
    return f"{VERSION} ({commit})" if asked.returncode == 0 and commit else VERSION
