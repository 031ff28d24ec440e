"""A Grafana of the stack's own, when its binary is on the machine; an external one is only passed on by nginx."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from common.errors import EnmsError

# Debian's package keeps the binary and what belongs to it apart.
PACKAGED_HOME = Path("/usr/share/grafana")
PACKAGED_PATH = "/usr/sbin:/usr/local/sbin:/usr/share/grafana/bin"


def settings(chosen: Mapping[str, str], port: str) -> dict[str, str]:
    """{ENMS_GRAFANA_BIN, ENMS_GRAFANA_URL} of a start: a binary and the URL that it will have, or two empty values;
    only an empty binary where `chosen` has the URL of an external one.

    Raises EnmsError for a binary that a person named and that can't be started.
    """
    if chosen["ENMS_GRAFANA_URL"]:
        return {"ENMS_GRAFANA_BIN": ""}
    path = os.pathsep.join((chosen.get("PATH", ""), PACKAGED_PATH))
    named = chosen["ENMS_GRAFANA_BIN"]
    found = (
        shutil.which(named)
        if named
        else shutil.which("grafana", path=path) or shutil.which("grafana-server", path=path)
    )
    if named and not found:
        raise EnmsError(
            f"ENMS_GRAFANA_BIN is {named}; no program can be started there.",
            "Give the path of the program grafana, or leave it empty: it is looked for by itself.",
        )
    if found and not home(found):
        if named:
            raise EnmsError(
                f"{named} is there, but not what belongs to it (conf/defaults.ini one folder up, or {PACKAGED_HOME}).",
                "Unpack the whole archive of Grafana, or install its package.",
            )
        found = None
    return {"ENMS_GRAFANA_BIN": found or "", "ENMS_GRAFANA_URL": f"http://127.0.0.1:{port}" if found else ""}


def home(binary: str) -> Path | None:
    """The folder with the pages and defaults that belong to a binary: that of its archive, or the package's; None when
    neither is there.
    """
    places = (Path(binary).resolve().parent.parent, PACKAGED_HOME)
    return next((place for place in places if (place / "conf/defaults.ini").exists()), None)


def command(env: Mapping[str, str], root: Path) -> list[str]:
    """argv of the server; `grafana-server` is the older name of `grafana server`."""
    binary = env["ENMS_GRAFANA_BIN"]
    server = [binary] if Path(binary).name == "grafana-server" else [binary, "server"]
    return [*server, "--homepath", str(home(binary)), "--config", str(root / "grafana/grafana.ini")]
