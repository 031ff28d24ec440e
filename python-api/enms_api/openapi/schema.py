"""The words in which the OpenAPI document is written: schemas, parameters, answers, operations."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Json = dict[str, Any]  # a part of the document


def nullable(schema: Json) -> Json:
    """The schema, or null."""
    if "$ref" in schema:
        return {"anyOf": [schema, {"type": "null"}]}
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    found = {**schema, "type": [*kinds, "null"]}
    if "enum" in found:
        found["enum"] = [*found["enum"], None]
    return found


def obj(properties: Mapping[str, Json], description: str | None = None, **more: Any) -> Json:
    """An object whose keys are all always there."""
    schema = {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
        **more,
    }
    return {**schema, "description": description} if description else schema


def number(description: str, **more: Any) -> Json:
    """A number; `more` are other keywords, for example its minimum."""
    return {"type": "number", "description": description, **more}


def integer(description: str, **more: Any) -> Json:
    """A whole number."""
    return {"type": "integer", **more, "description": description}


def boolean(description: str) -> Json:
    """true or false."""
    return {"type": "boolean", "description": description}


def text(description: str) -> Json:
    """A string."""
    return {"type": "string", "description": description}


def one_of(names: Iterable[str], description: str) -> Json:
    """One of some strings."""
    return {"type": "string", "enum": list(names), "description": description}


def array(items: Json, description: str | None = None, **more: Any) -> Json:
    """A list of equal things."""
    return {"type": "array", "items": items, **({"description": description} if description else {}), **more}


def ref(name: str) -> Json:
    """One of the document's named schemas."""
    return {"$ref": f"#/components/schemas/{name}"}


INSTANT: Json = {"type": "string", "format": "date-time", "description": "Instant, ISO 8601 in UTC"}
UUID: Json = {"type": "string", "format": "uuid"}
ANY_OBJECT: Json = {"type": "object", "additionalProperties": True}


def query(name: str, schema: Json, description: str) -> Json:
    """An optional parameter after the question mark."""
    return {"name": name, "in": "query", "required": False, "description": description, "schema": schema}


def answer(description: str, schema: Json, headers: Json | None = None) -> Json:
    """A response with a JSON body."""
    found = {"description": description, "content": {"application/json": {"schema": schema}}}
    return {**found, "headers": headers} if headers else found


def operation(
    summary: str,
    description: str,
    ok: Json,
    parameters: Sequence[Json] = (),
    *,
    operation_id: str,
    away: bool = True,
    responses: Mapping[str, Json] | None = None,
) -> Json:
    """One GET with the answers that every operation has and its own; `away`: it needs the database."""
    common = {"200": ok}
    if parameters:
        common["400"] = answer("A parameter is not as described", ref("Error"))
    if away:
        common["503"] = answer("The database is away or too slow; Retry-After says when to ask again", ref("Error"))
    return {
        "get": {
            "summary": summary,
            "description": description,
            "parameters": list(parameters),
            "responses": {**common, **(responses or {})},
            "operationId": operation_id,
        }
    }


def prometheus(summary: str, description: str, operation_id: str) -> Json:
    """A page in Prometheus' text format; docs/operations.md lists its metrics."""
    page = {"description": "The metrics", "content": {"text/plain": {"schema": {"type": "string"}}}}
    return {
        "get": {
            "summary": summary,
            "description": description,
            "parameters": [],
            "responses": {"200": page},
            "operationId": operation_id,
        }
    }
