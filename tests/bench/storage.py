"""Import speed and what a stored row costs."""

import datetime
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from common.files import ROOT

from .database import cursor_of, first
from .report import Row

IMPORT_METERS = 20


def import_rate(settings: Mapping[str, str], rows: int) -> list[Row]:
    """`./enms import` of a readings file of `rows` lines: wall time of the whole command, start-up included."""
    begin = datetime.datetime.now(datetime.UTC).replace(microsecond=0) - datetime.timedelta(days=3)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "readings.csv")
        with path.open("w") as out:
            out.write("meter_id,timestamp,power_watts,energy_total_wh\n")
            for i in range(rows):
                meter, step = i % IMPORT_METERS, i // IMPORT_METERS
                at = begin + datetime.timedelta(seconds=5 * step)
                out.write(f"import-{meter}/switch:0,{at.isoformat()},100.0,{1000 + step * 0.139:.3f}\n")
        start = time.perf_counter()
        subprocess.run(
            [sys.executable, str(ROOT / "enms"), "import", str(path)],
            check=True,
            stdout=subprocess.DEVNULL,
            env={**os.environ, "ENMS_RUN_DIR": settings["ENMS_RUN_DIR"]},
        )
        seconds = time.perf_counter() - start
    return [Row(f"import of {rows:,} readings, whole command", rows / seconds, "rows/s")]


def row_size(settings: Mapping[str, str]) -> list[Row]:
    """Bytes of table and index for one energy row."""
    with cursor_of(settings["ENMS_DATABASE_URL"]) as cursor:
        table, index, count = first(
            cursor, "SELECT pg_table_size('energy_data'), pg_indexes_size('energy_data'), count(*) FROM energy_data"
        )
    return [
        Row("energy row, table", table / count, "bytes"),
        Row("energy row, index", index / count, "bytes", note=f"{count:,} rows"),
    ]
