"""`./enms bench [--quick] [--only NAME …]`: runs the benchmarks on a stack of their own and prints them as ratios; `--only soak` watches the memory for long."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

import launcher.settings

from . import crowd, dashboards, enrichment, fleet_data, gcode_file, ingest, one_analysis, soak, storage, summary
from .report import show

ROOT = Path(__file__).resolve().parents[2]
SECTIONS = ("gcode", "ingest", "latency", "import", "summary", "analysis", "dashboards", "storage")


def _enms(run_dir: str, *words: str) -> str:
    environment = {
        **os.environ,
        "ENMS_RUN_DIR": run_dir,
        "ENMS_ENV_DIR": os.environ["ENMS_ENV_DIR"],
        "ENMS_HTTP_PORT": os.environ.get("ENMS_BENCH_HTTP_PORT", "0"),
    }
    done = subprocess.run(
        [sys.executable, str(ROOT / "enms"), *words],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise SystemExit(f"./enms {' '.join(words)} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


def main() -> None:
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
    options = parser.parse_args()
    printers, days, messages, seconds = (100, 3, 30_000, 8) if options.quick else (100, 30, 300_000, 30)

    if "gcode" in options.only:
        show("G-code", gcode_file.run())
    if set(options.only) == {"gcode"}:
        return
    run_dir = str(Path(os.environ.get("ENMS_RUN_DIR", ROOT / ".run"), "bench").resolve())
    _enms(run_dir, "up", "--no-demo", "--fresh")
    try:
        settings = launcher.settings.recorded(launcher.settings.Paths(run_dir, os.environ["ENMS_ENV_DIR"]))
        if "ingest" in options.only:
            show("Ingest (QoS 1, fsync and synchronous_commit on, 100 meters)", ingest.throughput(settings, messages))
        if "latency" in options.only:
            show(
                "Latency at a steady rate",
                ingest.latency(settings, seconds) + enrichment.latency(settings, max(seconds, 20)),
            )
        if "import" in options.only:
            show("Import", storage.import_rate(settings, messages))
        if {"summary", "analysis", "dashboards"} & set(options.only):
            print(f"\nWriting {printers} printers x {days} days …", flush=True)
            fleet_data.generate(settings["ENMS_DATABASE_URL"], printers, days)
        if "summary" in options.only:
            show(f"Summary ({printers} printers x {days} days)", summary.summary(settings, printers))
        if "analysis" in options.only:
            show("Analysis of one printer", one_analysis.run(settings))
            show(
                "Python and many analyses at once (7 days)",
                [*crowd.empty_call(settings), *crowd.crowd(settings, seconds)],
            )
        if "dashboards" in options.only:
            show(f"Dashboards ({printers} printers x {days} days, bound 200 ms)", dashboards.dashboards(settings, days))
        if "storage" in options.only:
            show("Storage", storage.row_size(settings))
        if "soak" in options.only and not soak.soak(settings, run_dir, options.minutes):
            raise SystemExit("the soak found something: see above")
    finally:
        _enms(run_dir, "down")


if __name__ == "__main__":
    main()
