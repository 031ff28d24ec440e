"""The OpenAPI description of everything behind the door: the one source of /api/openapi.json and of the docs page."""

from . import analysis, devices, reading, reading_schemas
from .schema import Json


def description(version: str) -> Json:
    """The whole document of this version."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "ENMS API",
            "version": version,
            "description": (
                "Energy of a printer fleet: who prints what, and what it takes. Reading needs no login on the network"
                " that ENMS is bound to; whatever changes something needs the operator. No answer holds a credential."
                ' Errors are {"error": sentence}.'
            ),
        },
        "servers": [{"url": "/"}],
        "paths": {**reading.PATHS, **devices.PATHS, **analysis.PATHS},
        "components": {
            "schemas": {**reading_schemas.SCHEMAS, **devices.SCHEMAS, **analysis.SCHEMAS},
            "securitySchemes": devices.SECURITY,
        },
    }
