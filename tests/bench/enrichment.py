"""Ingestion while the G-code of prints is fetched and analysed: big files must not delay readings."""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from . import ingest
from .database import cursor_of, first
from .gcode_file import make_file
from .report import Row

MEGABYTES = 176
PRINTS = 12  # more than are done in the time, so that always one is fetched or analysed
DEVICES = "bench-gcode-%"


def latency(settings: dict[str, str], seconds: int) -> list[Row]:
    """As ingest.latency, while prints wait whose printer hands out a file of 176 MB."""
    with (
        tempfile.TemporaryDirectory(prefix="enms-bench-") as folder,
        cursor_of(settings["ENMS_DATABASE_URL"]) as cursor,
    ):
        make_file(Path(folder) / "big.gcode", MEGABYTES)
        printer, port = _printer(folder)
        (factory,) = first(cursor, "SELECT factory_id FROM factories LIMIT 1")
        try:
            for number in range(PRINTS):
                device = DEVICES.replace("%", str(number))
                cursor.execute(
                    """INSERT INTO devices (device_id, factory_id, friendly_name, source, api_ip)
                       VALUES (%s, %s, %s, 'none', %s)""",
                    (device, factory, device, f"127.0.0.1:{port}"),
                )
                cursor.execute(
                    """INSERT INTO print_jobs (device_id, filename, start_time, download_ref)
                       VALUES (%s, 'big.gcode', now(), '/big.gcode')""",
                    (device,),
                )
            rows = ingest.latency(settings, seconds)
            done, refusal = first(
                cursor,
                """SELECT count(*) FILTER (WHERE gcode_status = 'done'),
                          min(gcode_status) FILTER (WHERE gcode_status <> 'done')
                   FROM print_jobs WHERE device_id LIKE %s""",
                (DEVICES,),
            )
            if refusal or not done:
                raise SystemExit(f"no file of {MEGABYTES} MB was read in {seconds} s: {refusal or 'none was fetched'}")
        finally:
            cursor.execute("DELETE FROM devices WHERE device_id LIKE %s", (DEVICES,))
            printer.terminate()
            printer.wait()
    return [
        Row(f"the same while {MEGABYTES} MB files are read, {row.name[-3:]}", row.value, row.unit, note=row.note)
        for row in rows
    ] + [Row("files read meanwhile", done, "")]


def _printer(folder: str) -> tuple[subprocess.Popen[str], int]:
    """A process that hands out the files of a folder by HTTP, and its port."""
    server = subprocess.Popen(
        [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", folder],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert server.stdout
    port = re.search(r"port (\d+)", server.stdout.readline())
    assert port, "the file server did not start"
    return server, int(port[1])
