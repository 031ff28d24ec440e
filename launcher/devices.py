"""`device`: a thin client of the Devices API, the one implementation of adding, testing and removing devices."""

import argparse
import re
from typing import Any
from urllib.parse import quote

from common.errors import EnmsError

from . import probes, settings

# Option → column. Only what is given is sent; the API knows defaults and rules.
OPTIONS = {
    "name": ("friendly_name", str, "name that people see"),
    "model": ("device_model", str, "maker's model, e.g. MK4"),
    "type": ("device_type", str, "printer, compressor, hvac, motor, pump, injection_molding, conveyor, boiler, other"),
    "source": ("source", str, "prusalink, octoprint, moonraker, simplyprint, mqtt or none"),
    "host": ("api_ip", str, "address of the printer: host or host:port"),
    "api-key": ("api_key", str, "key or password of the printer's API"),
    "shelly-id": ("shelly_id", str, "energy meter: the plug's MQTT prefix, or one channel of it: SPPS-02/switch:1"),
    "interval": ("data_interval_seconds", int, "seconds between two polls, 2 to 3600"),
    "location": ("location", str, "where it stands"),
    "notes": ("notes", str, "anything"),
    "mqtt-topic": (
        "mqtt_topic",
        str,
        "topic prefix of a machine that publishes itself, or of the ESP32 hub on it: esp32/NAME",
    ),
    "size-category": ("printer_size_category", str, "e.g. small, medium, large"),
    "bed-width": ("bed_width", float, "mm"),
    "bed-depth": ("bed_depth", float, "mm"),
    "rated-power": ("rated_power_w", float, "W"),
    "idle-power": ("idle_power_w", float, "W that it may draw while idle"),
    "plant": ("plant_type", str, "generic_plant, corn, sunflower or tomato"),
    "simplyprint-id": ("simplyprint_id", str, "SimplyPrint's number of the printer"),
    "company-id": ("sp_company_id", str, "SimplyPrint's number of the company"),
    "sp-api-key": ("sp_api_key", str, "SimplyPrint's API key"),
    "gcode-host": ("gcode_preview_host", str, "host that serves G-code previews"),
    "gcode-key": ("gcode_preview_api_key", str, "its key"),
}
# Column → option, because a sentence of the API names columns.
OPTION_OF = {"device_id": "--id"} | {column: f"--{name}" for name, (column, _, _) in OPTIONS.items()}
REMEDIES = {
    400: "./enms device add --help lists the options.",
    404: "./enms device list shows what there is.",
    409: "./enms device add --replace changes an existing device.",
    422: "./enms device add --help lists the options.",
}


def id_option(parser: argparse.ArgumentParser) -> None:
    """Adds `--id`, which every command about one device takes."""
    parser.add_argument(
        "--id",
        dest="device_id",
        required=True,
        metavar="ID",
        help="letters, digits, dot, dash, underscore; e.g. PrusaMK4-1",
    )


def options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `device add` and `device test` to an argparse parser."""
    id_option(parser)
    for name, (column, kind, text) in OPTIONS.items():
        parser.add_argument(
            f"--{name}", dest=column, type=kind, metavar=kind.__name__.upper().replace("STR", "TEXT"), help=text
        )


def in_options(sentence: str) -> str:
    """A sentence of the API, with options in place of columns."""
    return re.sub(r"\b[a-z]+(?:_[a-z]+)+\b", lambda name: OPTION_OF.get(name[0], name[0]), sentence)


def call(method: str, path: str, body: object = None, timeout: float = 60) -> Any:
    """One request to the running stack with the operator's login; returns the answer, raises EnmsError on a refusal."""
    env = settings.recorded(settings.paths())
    url = env["ENMS_HTTP_URL"] + path
    try:
        status, answer, _ = probes.request(
            method, url, body, env["ENMS_EDITOR_USER"], env["ENMS_EDITOR_PASSWORD"], timeout
        )
    except OSError as error:
        raise EnmsError(
            f"The stack does not answer at {env['ENMS_HTTP_URL']}: {error}.", "Is it running? ./enms status"
        ) from error
    if status >= 400:
        text = answer.get("error") if isinstance(answer, dict) else None
        raise EnmsError(
            in_options(text) if text else f"The Devices API answers {status}.",
            REMEDIES.get(status, "./enms status shows what runs."),
        )
    return answer


def given(arguments: argparse.Namespace) -> dict[str, Any]:
    """The columns that were given on the command line."""
    columns = ["device_id", *(column for column, _, _ in OPTIONS.values())]
    return {name: getattr(arguments, name) for name in columns if getattr(arguments, name, None) is not None}


def add(arguments: argparse.Namespace) -> int:
    """Registers a device, or with --replace changes an existing one."""
    body = given(arguments)
    device_id = body["device_id"]
    if arguments.replace:
        call("PATCH", f"/api/devices/{quote(device_id, safe='')}", {k: v for k, v in body.items() if k != "device_id"})
        print(f"{device_id} changed.")
    else:
        body.setdefault("friendly_name", device_id)
        call("POST", "/api/devices", body)
        print(f"{device_id} added. Does it answer? ./enms device test --id {device_id}")
    return 0


def listing(_arguments: argparse.Namespace) -> int:
    """Prints the registry."""
    answer = call("GET", "/api/devices")
    devices = answer["devices"] if isinstance(answer, dict) else answer
    if not devices:
        print("No devices yet: ./enms device add --help")
        return 0
    columns = ("device_id", "friendly_name", "device_type", "source", "api_ip", "shelly_id")
    rows = [["id", "name", "type", "source", "host", "meter", "every", "state"]]
    for device in devices:
        interval = f"{device.get('data_interval_seconds') or '-'} s"
        state = (device.get("state") or "-") if device["is_active"] else "not active"
        rows.append([*(str(device.get(column) or "-") for column in columns), interval, state])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(f"{text:<{width}}" for text, width in zip(row, widths)).rstrip())
    return 0


def test(arguments: argparse.Namespace) -> int:
    """Asks the printer and the plug of a registered device, or of one described by options."""
    body = given(arguments)
    if len(body) == 1:  # nothing but its id: as it is registered
        body = {"deviceId": arguments.device_id}
    answer = call("POST", "/api/devices/test", body, timeout=90)
    for name, good, otherwise in (("printer", answer["ok"], "PROBLEM"), ("plug", answer["plugOk"], "WARNING")):
        print(f"{name:<8} {'ok' if good else otherwise:<8} {in_options(answer[name])}")
    return 0 if answer["ok"] else 1


def remove(arguments: argparse.Namespace) -> int:
    """Removes a device, or deactivates one that has a past; prints which."""
    print(call("DELETE", f"/api/devices/{quote(arguments.device_id, safe='')}")["message"])
    return 0
