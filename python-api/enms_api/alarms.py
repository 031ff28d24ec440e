"""What somebody should look at now, in sentences."""

import json
from typing import TypedDict

from .database import Database

METER_SILENT_S = 3600  # at constant load some plugs send nothing for a long while

SENTENCES = {
    "printer_silent": "{name} has not answered{because}.",
    "printer_error": "{name} reports an error{because}.",
    "printer_attention": "{name} waits for somebody{because}.",
    "counter_jump": (
        "The counter of {object} jumps ({detail} times in a row): its energy is unknown meanwhile. Check the meter; a"
        " machine beyond 3,680 W a phase needs its rated power set."
    ),
    "meter_silent": "The meter {object} of {name} has been silent for more than an hour.",
    "meter_unassigned": "The meter {object} belongs to no device yet.",
    "rejects": "Messages of {object} were refused within the last hour ({detail}); the devices page tells why.",
}


class Alarm(TypedDict):
    """One thing to look at."""

    kind: str  # a key of SENTENCES
    object: str  # device, meter or source
    deviceName: str | None
    since: str | None
    text: str


def current(database: Database) -> list[Alarm]:
    """The present alarms, by kind."""
    rows = json.loads(database.fetch_json("alarms", METER_SILENT_S))
    return [
        {
            "kind": row["kind"],
            "object": row["object"],
            "deviceName": row["name"],
            "since": row["since"],
            "text": SENTENCES[row["kind"]].format(**row, because=f" ({row['detail']})" if row["detail"] else ""),
        }
        for row in rows
    ]
