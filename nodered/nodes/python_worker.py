"""The warm Python worker of the `python-function` node.

Reads calls from file descriptor 3 and writes answers to 4, each as a 4-byte big-endian length and JSON, so that whatever user
code prints can't be mistaken for an answer. Ends when descriptor 3 is closed.
"""
import ast
import hashlib
import importlib
import json
import math
import os
import struct
import sys
import textwrap
import traceback

LENGTH = struct.Struct(">I")
SCRIPT = "<python-function>"
scripts = {}


def function_of(target):
    """The callable named `package.module:function`."""
    module_name, separator, function_name = target.partition(":")
    if not separator or not function_name:
        raise ValueError(f"expected package.module:function, got {target!r}")
    found = importlib.import_module(module_name)
    for part in function_name.split("."):
        found = getattr(found, part)
    return found


def function_of_script(source):
    """The function whose body is `source`, compiled once per text; errors name the lines as they were typed."""
    key = hashlib.sha256(source.encode()).digest()
    if key not in scripts:
        namespace = {"__name__": "enms_script"}
        tree = ast.parse("def script(payload): pass")
        # Put into the tree, not into the text: indenting would change strings of several lines.
        tree.body[0].body = ast.parse(textwrap.dedent(source), SCRIPT).body or tree.body[0].body
        exec(compile(tree, SCRIPT, "exec"), namespace)
        scripts[key] = namespace["script"]
    return scripts[key]


def line_of(error):
    """The line of the script at which it failed, None when the fault is elsewhere."""
    if isinstance(error, SyntaxError) and error.filename == SCRIPT:
        return error.lineno
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == SCRIPT]
    return lines[-1] if lines else None


def plain(value):
    """What JSON can't carry: numpy and pandas values, sets, dates."""
    for method in ("tolist", "isoformat"):
        if hasattr(value, method):
            return getattr(value, method)()
    if isinstance(value, (set, frozenset, tuple)):
        return list(value)
    raise TypeError(f"a {type(value).__name__} can't be sent as JSON")


def finite(value):
    """The same value with NaN and infinity as None: JSON has no word for them."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return value


def encode(answer):
    try:
        return json.dumps(answer, default=plain, allow_nan=False).encode()
    except ValueError:
        return json.dumps(finite(json.loads(json.dumps(answer, default=plain)))).encode()


def answer_call(call):
    try:
        function = function_of(call["target"]) if call.get("target") else function_of_script(call["script"])
        if call.get("check"):
            return encode({"id": call["id"], "result": None})
        return encode({"id": call["id"], "result": function(call.get("payload"))})
    except BaseException as error:  # a user's sys.exit() must not end the shared worker either
        said = error.msg if isinstance(error, SyntaxError) else error
        return encode({"id": call["id"], "error": f"{type(error).__name__}: {said}", "line": line_of(error), "traceback": traceback.format_exc(limit=-8)})


def main():
    calls = os.fdopen(3, "rb", buffering=1 << 16)
    answers = os.fdopen(4, "wb", buffering=1 << 16)
    sys.stdout.reconfigure(line_buffering=True)
    while header := calls.read(LENGTH.size):
        frame = answer_call(json.loads(calls.read(*LENGTH.unpack(header))))
        answers.write(LENGTH.pack(len(frame)))
        answers.write(frame)
        answers.flush()


if __name__ == "__main__":
    main()
