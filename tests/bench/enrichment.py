"""Ingestion while the G-code of prints is fetched and analysed: big files must not hold up readings."""

from __future__ import annotations

import shutil
import tempfile
import threading
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psycopg2

from gcode.bench import make_file

from . import ingest
from .report import Row

MEGABYTES = 176
PRINTS = 12  # more than are done in the time, so that always one is fetched or analysed
DEVICES = "bench-gcode-%"


def latency(settings: dict[str, str], seconds: int) -> list[Row]:
    """As ingest.latency, while prints wait whose printer hands out a file of 176 MB."""
    with tempfile.TemporaryDirectory(prefix="enms-bench-") as folder, closing(psycopg2.connect(settings["ENMS_DATABASE_URL"])) as connection:
        file = make_file(Path(folder) / "big.gcode", MEGABYTES)
        printer = _printer(file)
        connection.autocommit = True
        cursor = connection.cursor()
        cursor.execute("SELECT factory_id FROM factories LIMIT 1")
        factory = cursor.fetchone()[0]
        try:
            for number in range(PRINTS):
                device = DEVICES.replace("%", str(number))
                cursor.execute("INSERT INTO devices (device_id, factory_id, friendly_name, source, api_ip) VALUES (%s, %s, %s, 'none', %s)",
                               (device, factory, device, f"127.0.0.1:{printer.server_address[1]}"))
                cursor.execute("INSERT INTO print_jobs (device_id, filename, start_time, download_ref) VALUES (%s, 'big.gcode', now(), '/big.gcode')", (device,))
            rows = ingest.latency(settings, seconds)
            cursor.execute("SELECT count(*) FILTER (WHERE gcode_status = 'done'), min(gcode_status) FILTER (WHERE gcode_status <> 'done') FROM print_jobs WHERE device_id LIKE %s", (DEVICES,))
            done, refusal = cursor.fetchone()
            if refusal or not done:
                raise SystemExit(f"no file of {MEGABYTES} MB was read in {seconds} s: {refusal or 'none was fetched'}")
        finally:
            cursor.execute("DELETE FROM devices WHERE device_id LIKE %s", (DEVICES,))
            printer.shutdown()
    return [Row(f"the same while {MEGABYTES} MB files are read, {row.name[-3:]}", row.value, row.unit, note=row.note) for row in rows] + [Row("files read meanwhile", done, "")]


def _printer(file: Path) -> ThreadingHTTPServer:
    """A server on a free port that answers every GET with the file."""
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(file.stat().st_size))
            self.end_headers()
            with open(file, "rb") as source:
                shutil.copyfileobj(source, self.wfile, 1 << 18)

        def log_message(self, *_) -> None:
            """Keeps the bench's output to its figures."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
