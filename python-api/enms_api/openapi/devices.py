"""What Node-RED serves of devices, meters and the operator's login; docs/integrator.md shows it in use."""

from collections.abc import Sequence

from enms_api.parameters import DEVICE_ID

from .schema import (
    INSTANT,
    UUID,
    Json,
    answer,
    array,
    boolean,
    integer,
    nullable,
    number,
    obj,
    one_of,
    operation,
    prometheus,
    ref,
    text,
)

PLANT_TYPES = ("generic_plant", "corn", "sunflower", "tomato")
ROLES = ("main", "dryer", "accessory", "sub")


def code(description: str, table: str, column: str, examples: str) -> Json:
    """A code that is a row of a table, to which a site may add its own."""
    return {
        "type": "string",
        "pattern": "^[a-z][a-z0-9_]{0,40}$",
        "description": f"{description}: {examples}, or what else the table {table} has as {column}",
    }


ENERGY_TYPE = code("What is measured", "energy_types", "energy_type", "electricity, natural_gas, steam, compressed_air")

FLAG: Json = {"type": "boolean"}
# What a person may set and what an answer shows, by the names of the registry's columns.
REGISTRY: Json = {
    "device_id": {"type": "string", "pattern": DEVICE_ID, "description": "Its short name, for ever"},
    "device_type": code(
        "Kind of machine",
        "device_kinds",
        "device_kind",
        "printer, compressor, hvac, motor, pump, injection_molding, conveyor, boiler, other",
    ),
    "friendly_name": text("Its name for people"),
    "device_model": nullable(text("Maker's model")),
    "location": nullable(text("Where it stands")),
    "notes": nullable(text("Anything")),
    "printer_size_category": nullable(text("Size in a word")),
    "bed_width": nullable(number("Bed, mm")),
    "bed_depth": nullable(number("Bed, mm")),
    "rated_power_w": nullable(number("Most that it draws, W")),
    "idle_power_w": nullable(number("What it draws while waiting, W")),
    "data_interval_seconds": integer(
        "How often it is asked or reports, s; from 2 where it is asked", minimum=1, maximum=3600
    ),
    "mqtt_topic": nullable(text("Prefix of its own topics")),
    "source": code("How it is asked", "sources", "source", "prusalink, octoprint, moonraker, simplyprint, mqtt, none"),
    "api_ip": nullable(text("Host, host:port or URL")),
    "simplyprint_id": nullable(text("Number of the printer in SimplyPrint")),
    "sp_company_id": nullable(text("Number of the company in SimplyPrint")),
    "gcode_preview_host": nullable(text("Where its files are, when not at api_ip")),
    "shelly_id": nullable(text("Its plug, or one channel of it")),
    "plant_type": one_of(PLANT_TYPES, "Its plant"),
    "is_active": boolean("False: neither asked nor shown"),
    "factory_id": {**UUID, "description": "Its factory"},
}
CREDENTIALS = ("api_key", "sp_api_key", "gcode_preview_api_key")
STATE: Json = {
    "state": nullable(
        code("Newest state", "states", "state", "printing, idle, running, standby, fault, offline and so on")
    ),
    "state_text": nullable(text("In the printer's words")),
    "status_at": nullable(INSTANT),
    "power_watts": nullable(number("Newest power of its electricity meters that add up, W")),
    "power_at": nullable(INSTANT),
    "last_error": nullable(text("Why it was not understood the last time")),
    "last_error_at": nullable(INSTANT),
    "meters": array(obj({"meter_id": text("Meter"), "role": one_of(ROLES, "Role")}), "What measures it now"),
}
STORED: Json = {
    **REGISTRY,
    "machine_id": {**UUID, "description": "For ever, whatever the name"},
    "last_seen": nullable(INSTANT),
    "created_at": INSTANT,
    **{f"has_{name}": boolean(f"Whether a {name} is stored; it never comes out") for name in CREDENTIALS},
}

SCHEMAS: Json = {
    "DeviceFields": {
        "type": "object",
        "additionalProperties": False,
        "description": "What can be set; an empty text means: not set",
        "properties": {**REGISTRY, **{name: nullable(text("Goes in, never comes out")) for name in CREDENTIALS}},
    },
    "Device": obj({**STORED, "created": boolean("False: it was there already")}),
    "DeviceNow": obj({**STORED, **STATE}, "A device, its newest state and what measures it"),
    "Meter": obj(
        {
            "meter_id": text("Metering point"),
            "protocol": text("What speaks"),
            "energy_type": ENERGY_TYPE,
            "max_power_w": number("Highest plausible power, W"),
            "first_seen": nullable(INSTANT),
            "last_seen": nullable(INSTANT),
            "device_id": nullable(text("The device that it measures now; null: unassigned")),
            "role": nullable(one_of(ROLES, "main, dryer and accessory add up, sub is a part of them")),
            "valid_from": nullable(INSTANT),
            "power_watts": nullable(number("Newest power, W")),
            "power_at": nullable(INSTANT),
        }
    ),
    "Assignment": {
        "type": "object",
        "required": ["meterId", "deviceId"],
        "additionalProperties": False,
        "properties": {
            "meterId": text("Meter"),
            "deviceId": nullable(text("Device; null ends the assignment")),
            "role": one_of(ROLES, "main by default"),
            "from": nullable(
                {**INSTANT, "description": "From when on; without it: the first one always, later ones now"}
            ),
        },
    },
    "Login": obj({"user": text("Name"), "password": text("Password")}),
    "Session": obj(
        {
            "user": nullable(text("Who is logged in; null: nobody")),
            "csrf_token": text("For the header X-CSRF-Token"),
            "expires": INSTANT,
        },
        required=["user"],
    ),
    "DeviceTest": obj(
        {
            "ok": boolean("The printer answers"),
            "printer": text("What it answered, or what is wrong"),
            "plug": text("What its plug said"),
            "plugOk": boolean("The plug has just said something"),
        }
    ),
}

OPERATOR = [{"basic": []}, {"session": [], "csrf": []}]
SECURITY: Json = {
    "basic": {"type": "http", "scheme": "basic", "description": "The operator's name and password, for scripts"},
    "session": {"type": "apiKey", "in": "cookie", "name": "enms_session", "description": "Set by POST /api/login"},
    "csrf": {"type": "apiKey", "in": "header", "name": "X-CSRF-Token", "description": "The session's csrf_token"},
}
ID: Json = {"name": "id", "in": "path", "required": True, "description": "device_id", "schema": {"type": "string"}}
REFUSALS = {
    "400": "What was sent is not as described; the sentence names the field",
    "401": "Not logged in, or a wrong name or password",
    "403": "The X-CSRF-Token is missing or wrong",
    "404": "There is no such device, meter or print",
    "409": "There is one of that name already",
    "429": "Too many failed logins; wait as long as it says",
    "503": "The database is away",
}


def change(
    summary: str,
    description: str,
    ok: Json,
    operation_id: str,
    refusals: Sequence[str],
    body: str | None = None,
    parameters: Sequence[Json] = (),
    status: str = "200",
) -> Json:
    """One changing operation, for the operator alone; `refusals` are keys of REFUSALS, `body` is a named schema."""
    return {
        "summary": summary,
        "description": description,
        "parameters": list(parameters),
        **({"requestBody": {"required": True, "content": {"application/json": {"schema": ref(body)}}}} if body else {}),
        "responses": {
            status: ok,
            **{code: answer(REFUSALS[code], ref("Error")) for code in ("401", "403", "503", *refusals)},
        },
        "security": OPERATOR,
        "operationId": operation_id,
    }


PATHS: Json = {
    "/api/devices": {
        **operation(
            "All devices",
            "The registry with the newest state of each; no credential is in it.",
            answer("Devices, by id", array(ref("DeviceNow"))),
            operation_id="devices",
        ),
        "post": change(
            "Add a device",
            "device_id, and what its source needs: prusalink and octoprint api_ip and api_key, moonraker api_ip,"
            " simplyprint its three.",
            answer("The device", ref("Device")),
            "add_device",
            ("400", "409"),
            "DeviceFields",
            status="201",
        ),
    },
    "/api/devices/{id}": {
        "patch": change(
            "Change a device",
            "Only what is sent changes.",
            answer("The device", ref("Device")),
            "change_device",
            ("400", "404"),
            "DeviceFields",
            [ID],
        ),
        "delete": change(
            "Remove a device",
            "One with a past is only deactivated: its prints and readings stay.",
            answer(
                "What happened",
                obj(
                    {
                        "device_id": text("Device"),
                        "removed": FLAG,
                        "deactivated": FLAG,
                        "message": text("In a sentence"),
                    }
                ),
            ),
            "remove_device",
            ("404",),
            parameters=[ID],
        ),
    },
    "/api/devices/test": {
        "post": change(
            "Ask a printer and its plug",
            'A stored device by {"deviceId": …}, or the fields of one that is not stored yet.',
            answer("What both say", ref("DeviceTest")),
            "test_device",
            ("400", "404"),
        )
        | {
            "requestBody": {
                "required": True,
                "content": {
                    "application/json": {
                        "schema": {"anyOf": [ref("DeviceFields"), obj({"deviceId": text("A stored device")})]}
                    }
                },
            }
        },
    },
    "/api/meters": operation(
        "All meters",
        "Also those that nobody has assigned yet.",
        answer("Meters, by id", array(ref("Meter"))),
        operation_id="meters",
    ),
    "/api/meters/assign": {
        "post": change(
            "Assign a meter",
            "The past stays with the device that it measured then.",
            answer(
                "The assignment",
                obj(
                    {
                        "meter_id": text("Meter"),
                        "device_id": nullable(text("Device")),
                        "role": one_of(ROLES, "Role"),
                        "from": nullable({**INSTANT, "description": "null: always"}),
                    }
                ),
            ),
            "assign_meter",
            ("400",),
            "Assignment",
        ),
    },
    "/api/jobs/{id}/enrich": {
        "post": change(
            "Fetch a print's G-code again",
            "However old it is; what is read from it comes with the print a little later.",
            answer("It will be tried", obj({"job_id": UUID, "status": text("requested")})),
            "enrich",
            ("400", "404"),
            parameters=[{**ID, "description": "jobId", "schema": UUID}],
        ),
    },
    "/api/login": {
        "post": {
            "summary": "Log in",
            "description": "Sets the session's cookie (HttpOnly, SameSite=Strict). Failed logins are slowed down.",
            "parameters": [],
            "requestBody": {"required": True, "content": {"application/json": {"schema": ref("Login")}}},
            "responses": {
                "200": answer("The session", ref("Session")),
                **{code: answer(REFUSALS[code], ref("Error")) for code in ("400", "401", "429")},
            },
            "operationId": "login",
        }
    },
    "/api/logout": {
        "post": {
            "summary": "Log out",
            "description": "Takes the cookie away.",
            "parameters": [],
            "responses": {"200": answer("Done", obj({"ok": FLAG}))},
            "operationId": "logout",
        }
    },
    "/api/session": operation(
        "Who is logged in",
        "By the session's cookie.",
        answer("The session, or user null", ref("Session")),
        away=False,
        operation_id="session",
    ),
    "/metrics/ingest": prometheus(
        "Figures of the ingest for Prometheus",
        "Messages, rejects, lag, spool, batches, polls, Python calls, event loop.",
        "metrics_ingest",
    ),
}
