"""`./enms bench [--quick] [--only NAME …]`: runs the benchmarks on a stack of their own and prints them as ratios;
`--only soak` watches the memory for long, `--against FOLDER` measures this checkout and another one in turn.
"""

import argparse
import os
from pathlib import Path

from common.files import ROOT
from launcher.settings import Paths, recorded

from . import (
    crowd,
    dashboards,
    enrichment,
    fleet_data,
    gcode_file,
    ingest,
    one_analysis,
    paired,
    soak,
    storage,
    summary,
)
from .report import show
from .stack import enms

SECTIONS = ("gcode", "ingest", "latency", "import", "summary", "analysis", "dashboards", "storage")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="./enms bench", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="a tenth of the data: a look in two minutes, not a figure to quote"
    )
    parser.add_argument(
        "--only",
        nargs="+",
        choices=(*SECTIONS, "soak"),
        default=SECTIONS,
        help="run these sections; soak is run only when it is named",
    )
    parser.add_argument("--minutes", type=float, default=30, help="how long the soak lasts")
    parser.add_argument(
        "--against", type=Path, metavar="FOLDER", help="compare with another checkout in which ./enms test has run once"
    )
    parser.add_argument("--pairs", type=int, default=7, help="how often both checkouts are measured with --against")
    options = parser.parse_args()
    sections = set(options.only)
    if options.against:
        paired.run(options.against.resolve(), sections, options.pairs, Path(os.environ["ENMS_RUN_DIR"]))
        return
    if "gcode" in sections:
        show("G-code", gcode_file.run())
    if sections == {"gcode"}:
        return
    run_dir = Path(os.environ.get("ENMS_RUN_DIR", ROOT / ".run"), "bench").resolve()
    enms(run_dir, "up", "--no-demo", "--fresh")
    try:
        settings = recorded(Paths(run_dir, os.environ["ENMS_ENV_DIR"]))
        run(sections, settings, options.quick)
        if "soak" in sections and not soak.soak(settings, run_dir, options.minutes):
            raise SystemExit("the soak found something: see above")
    finally:
        enms(run_dir, "down")


def run(sections: set[str], settings: dict[str, str], quick: bool) -> None:
    """Prints the sections that need a stack, without the soak."""
    printers, days, messages, seconds = (100, 3, 30_000, 8) if quick else (100, 30, 300_000, 30)
    if "ingest" in sections:
        show("Ingest (QoS 1, fsync and synchronous_commit on, 100 meters)", ingest.throughput(settings, messages))
    if "latency" in sections:
        show(
            "Latency at a steady rate",
            ingest.latency(settings, seconds) + enrichment.latency(settings, max(seconds, 20)),
        )
    if "import" in sections or sections == {"storage"}:  # which needs rows
        show("Import", storage.import_rate(settings, messages))
    if {"summary", "analysis", "dashboards"} & sections:
        print(f"\nWriting {printers} printers x {days} days …", flush=True)
        fleet_data.generate(settings["ENMS_DATABASE_URL"], printers, days)
    if "summary" in sections:
        show(f"Summary ({printers} printers x {days} days)", summary.summary(settings, printers))
    if "analysis" in sections:
        show("Analysis of one printer", one_analysis.run(settings))
        show(
            "Python and many analyses at once (7 days)",
            [*crowd.empty_call(settings), *crowd.crowd(settings, seconds)],
        )
    if "dashboards" in sections:
        show(f"Dashboards ({printers} printers x {days} days, bound 200 ms)", dashboards.dashboards(settings, days))
    if "storage" in sections:
        show("Storage", storage.row_size(settings))


if __name__ == "__main__":
    main()
