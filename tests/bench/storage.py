"""Import speed and what a stored row costs."""

import datetime
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import psycopg2.extensions

from common.files import ROOT

from .database import cursor_of, first
from .report import Row
from .stack import enms

IMPORT_METERS = 20
PARTITIONS = """
SELECT sum(pg_table_size(relid)), sum(pg_indexes_size(relid)) FROM pg_partition_tree('series.energy') WHERE isleaf
"""
# The parent of a hypertable is empty: its rows are in chunks, the compressed ones in tables of their own.
CHUNKS = "SELECT sum(table_bytes + toast_bytes), sum(index_bytes) FROM hypertable_detailed_size('series.energy')"
COMPRESS = "SELECT count(compress_chunk(c, if_not_compressed => true)) FROM show_chunks('series.energy') c"


def import_rate(settings: Mapping[str, str], rows: int) -> list[Row]:
    """`./enms import` of a readings file of `rows` lines: wall time of the whole command, start-up included."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "readings.csv")
        write_readings(path, rows, "import")
        seconds = import_seconds(path, Path(settings["ENMS_RUN_DIR"]), ROOT, settings["ENMS_ENV_DIR"])
    return [Row(f"import of {rows:,} readings, whole command", rows / seconds, "rows/s")]


def write_readings(path: Path, rows: int, prefix: str) -> None:
    """A file of readings of meters with that prefix, one each 5 s, that begin three days ago."""
    begin = datetime.datetime.now(datetime.UTC).replace(microsecond=0) - datetime.timedelta(days=3)
    with path.open("w") as out:
        out.write("meter_id,timestamp,power_watts,energy_total_wh\n")
        for i in range(rows):
            meter, step = i % IMPORT_METERS, i // IMPORT_METERS
            at = begin + datetime.timedelta(seconds=5 * step)
            out.write(f"{prefix}-{meter}/switch:0,{at.isoformat()},100.0,{1000 + step * 0.139:.3f}\n")


def import_seconds(path: Path, run_dir: Path, checkout: Path, env_dir: str) -> float:
    """How long `./enms import` of a checkout takes for that file, s."""
    start = time.perf_counter()
    enms(run_dir, "import", str(path), checkout=checkout, env_dir=env_dir)
    return time.perf_counter() - start


def row_size(settings: Mapping[str, str]) -> list[Row]:
    """Bytes of table and index for one energy row; on TimescaleDB again when all of them are compressed."""
    with cursor_of(settings["ENMS_DATABASE_URL"]) as cursor:
        (count,) = first(cursor, "SELECT count(*) FROM series.energy")
        (hypertable,) = first(cursor, "SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb')")
        if not hypertable:
            return _sizes(cursor, PARTITIONS, "", count)
        loose = _sizes(cursor, CHUNKS, "", count)
        cursor.execute(COMPRESS)
        return loose + _sizes(cursor, CHUNKS, ", compressed", count)


def _sizes(cursor: psycopg2.extensions.cursor, statement: str, how: str, rows: int) -> list[Row]:
    table, index = first(cursor, statement)
    return [
        Row(f"energy row{how}, table", float(table) / rows, "bytes"),
        Row(f"energy row{how}, index", float(index) / rows, "bytes"),
        Row(f"energy row{how}, both", float(table + index) / rows, "bytes", note=f"{rows:,} rows"),
    ]
