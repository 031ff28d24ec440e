"""The OpenAPI document as one HTML page that needs neither script nor network."""

from collections.abc import Iterable
from html import escape
from pathlib import Path

from .schema import Json

STYLESHEET = "/api/docs.css"
STYLE = Path(__file__).with_suffix(".css").read_text(encoding="utf-8")


def html(document: Json) -> str:
    """HTML of the whole document."""
    info = document["info"]
    title = escape(info["title"])
    operations = [
        (path, method, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    contents = "".join(
        f'<li><a href="#{escape(operation["operationId"])}"><span>{method.upper()}</span> <code>{escape(path)}</code>'
        f"</a> {escape(operation['summary'])}</li>"
        for path, method, operation in operations
    )
    sections = "".join(section(*operation) for operation in operations)
    schemas = "".join(
        f'<section><h3 id="schema-{escape(name)}">{escape(name)}</h3>{fields(schema)}</section>'
        for name, schema in document["components"]["schemas"].items()
    )
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{title}</title><link rel="icon" href="/icon.svg"><link rel="stylesheet" href="{STYLESHEET}"></head>'
        '<body><header><p><a href="/" target="_top">ENMS</a></p>'
        f"<h1>{title} <small>{escape(info['version'])}</small></h1>"
        f"<p>{escape(info['description'])}</p>"
        '<p>Machine-readable: <a href="/api/openapi.json">openapi.json</a></p></header>'
        f"<main><nav><h2>Operations</h2><ul>{contents}</ul></nav>{sections}<h2>Objects</h2>{schemas}</main>"
        "</body></html>"
    )


def section(path: str, method: str, operation: Json) -> str:
    """One operation: its parameters, its body and its answers."""
    parts = [
        f'<section><h2 id="{escape(operation["operationId"])}"><span>{method.upper()}</span> '
        f"<code>{escape(path)}</code></h2><p>{escape(operation['description'])}</p>"
    ]
    if "security" in operation:
        parts.append("<p>For the operator: HTTP Basic, or the cookie of the session with its X-CSRF-Token.</p>")
    if operation["parameters"]:
        rows = "".join(
            f"<tr><td><code>{escape(one['name'])}</code><br>{one['in']}{', required' if one['required'] else ''}</td>"
            f"<td>{kind(one['schema'])}</td><td>{escape(one['description'])}</td></tr>"
            for one in operation["parameters"]
        )
        parts.append(table(("Parameter", "Value", "Meaning"), rows))
    if "requestBody" in operation:
        (body,) = operation["requestBody"]["content"].values()
        parts.append(f"<p>Body: {kind(body['schema'])}</p>")
    rows = "".join(
        f"<tr><td>{status}</td><td>{bodies(found) or '–'}</td><td>{escape(found['description'])}</td></tr>"
        for status, found in sorted(operation["responses"].items())
    )
    parts.append(table(("Status", "Body", "Meaning"), rows))
    return "".join(parts) + "</section>"


def bodies(response: Json) -> str:
    """What a response contains; nothing for one without a body."""
    return "".join(kind(body["schema"]) for body in response.get("content", {}).values())


def table(heads: Iterable[str], rows: str) -> str:
    """A table that scrolls by itself where it is too wide."""
    head = "".join(f"<th>{text}</th>" for text in heads)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'


def fields(schema: Json) -> str:
    """The properties of an object as a table."""
    intro = f"<p>{escape(schema['description'])}</p>" if "description" in schema else ""
    rows = "".join(
        f"<tr><td><code>{escape(name)}</code></td><td>{kind(one)}</td>"
        f"<td>{escape(one.get('description', ''))}{nested(one)}</td></tr>"
        for name, one in schema["properties"].items()
    )
    return intro + table(("Field", "Value", "Meaning"), rows)


def nested(schema: Json) -> str:
    """The fields of an object that has no name of its own, below its description."""
    inner = schema.get("items", schema)
    return fields({"properties": inner["properties"]}) if inner.get("properties") else ""


def kind(schema: Json) -> str:
    """What a value is, in a few words, with links to named objects."""
    if "$ref" in schema:
        name = escape(schema["$ref"].rsplit("/", 1)[1])
        return f'<a href="#schema-{name}">{name}</a>'
    if "anyOf" in schema:
        return " or ".join(kind(one) for one in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(f"<code>{'null' if one is None else escape(str(one))}</code>" for one in schema["enum"])
    names = schema.get("type", "any")
    words = " or ".join([names] if isinstance(names, str) else names)
    if "items" in schema:
        words = words.replace("array", "list") + " of " + kind(schema["items"])
    if schema.get("format"):
        words += f" ({escape(schema['format'])})"
    if "minimum" in schema and "maximum" in schema:
        words += f" {schema['minimum']} … {schema['maximum']}"
    return words + (f", default {escape(str(schema['default']))}" if "default" in schema else "")
