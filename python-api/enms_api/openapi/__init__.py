"""The OpenAPI description of everything behind the door: the one source of /api/openapi.json and of the docs page."""

from . import analysis, devices, reading


def description(version):
    """The whole document of this version."""
    paths, schemas = {}, {}
    for module in (reading, devices, analysis):
        paths |= module.PATHS
        schemas |= module.SCHEMAS
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "ENMS API",
            "version": version,
            "description": "Energy of a printer fleet: who prints what, and what it takes. Reading needs no login on the network that ENMS is bound to; whatever "
            'changes something needs the operator. No answer holds a credential. Errors are {"error": sentence}.',
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": devices.SECURITY},
    }
