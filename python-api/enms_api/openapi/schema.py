"""The words in which the OpenAPI documents are written: schemas, parameters, answers, operations."""


def nullable(schema):
    """The schema, or null."""
    if "$ref" in schema:
        return {"anyOf": [schema, {"type": "null"}]}
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    found = {**schema, "type": [*kinds, "null"]}
    if "enum" in found:
        found["enum"] = [*found["enum"], None]
    return found


def obj(properties, description=None, **more):
    """An object whose keys are all always there."""
    schema = {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
        **more,
    }
    return {**schema, "description": description} if description else schema


def number(description, **more):
    return {"type": "number", "description": description, **more}


def text(description, **more):
    return {"type": "string", "description": description, **more}


def one_of(names, description):
    return {"type": "string", "enum": list(names), "description": description}


def array(items, description=None, **more):
    return {"type": "array", "items": items, **({"description": description} if description else {}), **more}


def ref(name):
    return {"$ref": f"#/components/schemas/{name}"}


INSTANT = {"type": "string", "format": "date-time", "description": "Instant, ISO 8601 in UTC"}
UUID = {"type": "string", "format": "uuid"}
ANY_OBJECT = {"type": "object", "additionalProperties": True}


def query(name, schema, description):
    return {"name": name, "in": "query", "required": False, "description": description, "schema": schema}


def answer(description, schema, headers=None):
    found = {"description": description, "content": {"application/json": {"schema": schema}}}
    return {**found, "headers": headers} if headers else found


def operation(summary_text, description, ok, parameters=(), away=True, **others):
    """One GET with the answers that every operation has."""
    responses = {"200": ok}
    if parameters:
        responses["400"] = answer("A parameter is not as described", ref("Error"))
    if away:
        responses["503"] = answer("The database is away or too slow; Retry-After says when to ask again", ref("Error"))
    responses.update(others.pop("responses", {}))
    return {
        "get": {
            "summary": summary_text,
            "description": description,
            "parameters": list(parameters),
            "responses": responses,
            **others,
        }
    }


def prometheus(summary_text, description, operation_id):
    """A page in Prometheus' text format; docs/operations.md lists its metrics."""
    page = {"description": "The metrics", "content": {"text/plain": {"schema": {"type": "string"}}}}
    return {
        "get": {
            "summary": summary_text,
            "description": description,
            "parameters": [],
            "responses": {"200": page},
            "operationId": operation_id,
        }
    }
