"""The OpenAPI document as one HTML page that needs neither script nor network."""

from html import escape
from pathlib import Path

STYLESHEET = "/api/docs.css"
STYLE = Path(__file__).with_suffix(".css").read_text(encoding="utf-8")


def html(document):
    """HTML of the whole document."""
    info = document["info"]
    contents = "".join(
        f'<li><a href="#{escape(operation["operationId"])}"><span>{method.upper()}</span> <code>{escape(path)}</code></a> {escape(operation["summary"])}</li>'
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    )
    operations = "".join(
        section(path, method, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    )
    schemas = "".join(
        f'<section><h3 id="schema-{escape(name)}">{escape(name)}</h3>{fields(schema)}</section>'
        for name, schema in document["components"]["schemas"].items()
    )
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{escape(info["title"])}</title><link rel="icon" href="/icon.svg"><link rel="stylesheet" href="{STYLESHEET}"></head><body>'
        f'<header><p><a href="/" target="_top">ENMS</a></p><h1>{escape(info["title"])} <small>{escape(info["version"])}</small></h1>'
        f'<p>{escape(info["description"])}</p><p>Machine-readable: <a href="/api/openapi.json">openapi.json</a></p></header>'
        f"<main><nav><h2>Operations</h2><ul>{contents}</ul></nav>{operations}<h2>Objects</h2>{schemas}</main></body></html>"
    )


def section(path, method, operation):
    parts = [
        f'<section><h2 id="{escape(operation["operationId"])}"><span>{method.upper()}</span> <code>{escape(path)}</code></h2><p>{escape(operation["description"])}</p>'
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
        f"<tr><td>{status}</td><td>{''.join(kind(body['schema']) for body in found.get('content', {}).values()) or '–'}</td>"
        f"<td>{escape(found['description'])}</td></tr>"
        for status, found in sorted(operation["responses"].items())
    )
    parts.append(table(("Status", "Body", "Meaning"), rows))
    return "".join(parts) + "</section>"


def table(heads, rows):
    return f'<div class="wide"><table><thead><tr>{"".join(f"<th>{head}</th>" for head in heads)}</tr></thead><tbody>{rows}</tbody></table></div>'


def fields(schema):
    """The properties of an object as a table."""
    intro = f"<p>{escape(schema['description'])}</p>" if "description" in schema else ""
    rows = "".join(
        f"<tr><td><code>{escape(name)}</code></td><td>{kind(one)}</td><td>{escape(one.get('description', ''))}{nested(one)}</td></tr>"
        for name, one in schema["properties"].items()
    )
    return intro + table(("Field", "Value", "Meaning"), rows)


def nested(schema):
    """The fields of an object that has no name of its own, below its description."""
    inner = schema.get("items", schema)
    return fields({"properties": inner["properties"]}) if inner.get("properties") else ""


def kind(schema):
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
