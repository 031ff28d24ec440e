"""What this API itself serves: the paths. Their objects are in reading_schemas.py."""

from enms_api.parameters import DEVICE_ID, JOB_SORTS, JOB_STATUSES, MAX_LIMIT, MAX_OFFSET, MAX_WORDS, ORDERS
from enms_api.summary import dpp_simulator

from .schema import ANY_OBJECT, UUID, Json, answer, array, obj, operation, prometheus, query, ref

NOT_FOUND_JOB = "There is no such job."

LIMIT = query("limit", {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": 50}, "How many at most")
ETAG = {"ETag": {"description": "Weak tag of what the answer says, ages excepted", "schema": {"type": "string"}}}

PATHS: Json = {
    "/api/dpp_summary": operation(
        "The fleet and its newest prints",
        "Everything that the passport page shows, in one answer. Poll it with If-None-Match: what brings nothing new is"
        " a 304. A value that doesn't apply or isn't known is null, never 0.",
        answer("The fleet", ref("Summary"), ETAG),
        [
            query(
                "scenario",
                {"type": "string", "enum": list(dpp_simulator.SCENARIOS), "default": dpp_simulator.LIVE},
                "live, or a made-up fleet that goes the same way through the same code",
            ),
            {
                "name": "If-None-Match",
                "in": "header",
                "required": False,
                "description": "The ETag of an earlier answer",
                "schema": {"type": "string"},
            },
        ],
        responses={"304": {"description": "Nothing new since the answer with that ETag"}},
        operation_id="dpp_summary",
    ),
    "/api/jobs": operation(
        "Print jobs, newest first",
        "A page of all prints, running ones included, and what all that match took together. The energy of a running"
        " one is in /api/jobs/{jobId}.",
        answer("A page", ref("JobPage")),
        [
            query("deviceId", {"type": "string", "pattern": DEVICE_ID}, "Only of this printer"),
            query("status", {"type": "string", "enum": list(JOB_STATUSES)}, "Only with this status"),
            query("from", {"type": "string", "format": "date-time"}, "Started at or after"),
            query("to", {"type": "string", "format": "date-time"}, "Started before"),
            query("ended", {"type": "string", "enum": ["true", "false"]}, "Only ended ones, or only running ones"),
            query(
                "search",
                {"type": "string", "maxLength": MAX_WORDS},
                "In the name of the file or the printer, in upper or lower case",
            ),
            query(
                "sort",
                {"type": "string", "enum": list(JOB_SORTS), "default": "started"},
                "By what they are ordered; unknown values stand last",
            ),
            query("order", {"type": "string", "enum": list(ORDERS), "default": "desc"}, "Which way"),
            LIMIT,
            query("offset", {"type": "integer", "minimum": 0, "maximum": MAX_OFFSET, "default": 0}, "How many to skip"),
        ],
        operation_id="jobs",
    ),
    "/api/jobs/{jobId}": operation(
        "One print job",
        "The passport of a print. A running one has its energy until now.",
        answer("The job", ref("JobPassport")),
        [{"name": "jobId", "in": "path", "required": True, "description": "Id of the job", "schema": UUID}],
        responses={"404": answer(NOT_FOUND_JOB, ref("Error"))},
        operation_id="job",
    ),
    "/api/factories": operation(
        "The factories",
        "By their zones people read times; their currency is the money of costs.",
        answer("Factories, by slug", obj({"factories": array(ref("Factory"))})),
        operation_id="factories",
    ),
    "/api/alarms": operation(
        "What somebody should look at",
        "Silent printers and meters, errors, counters that jump, meters without a device, refused messages of the last"
        " hour.",
        answer("Alarms", obj({"alarms": array(ref("Alarm"))})),
        operation_id="alarms",
    ),
    "/api/rejects": operation(
        "What was refused, and why",
        "Newest first; equal ones of an hour are one counted entry. The payloads stay in the database.",
        answer("Rejects", obj({"rejects": array(ref("Reject"))})),
        [LIMIT],
        operation_id="rejects",
    ),
    "/api/health": operation(
        "How each part is",
        "200 while the API can do its work, even if a part stands still (status degraded); 503 when the database is"
        " away.",
        answer("Working", ref("Health")),
        away=False,
        responses={"503": answer("The database is away", ref("Health"))},
        operation_id="health",
    ),
    "/api/version": operation(
        "Version",
        "Name and version of this API.",
        answer("Version", ref("Version")),
        away=False,
        operation_id="version",
    ),
    "/api/openapi.json": operation(
        "This description", "OpenAPI 3.1.", answer("OpenAPI", ANY_OBJECT), away=False, operation_id="openapi"
    ),
    "/api/docs": {
        "get": {
            "summary": "This description for people",
            "description": "A page that needs no network but this one.",
            "parameters": [],
            "responses": {"200": {"description": "The page", "content": {"text/html": {"schema": {"type": "string"}}}}},
            "operationId": "docs",
        }
    },
    "/metrics": prometheus(
        "Figures of the API for Prometheus", "Requests, latencies, database pool, process.", "metrics"
    ),
}
