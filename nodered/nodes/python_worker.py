"""The warm Python worker of the `python-function` node.

Reads calls from file descriptor 3 and writes answers to 4, so that whatever user code prints can't be mistaken for an
answer. A frame is a header (number of the call, bytes of the JSON, bytes of the arrays), the JSON, and the arrays in
binary, as python-frames.js describes it. Ends when descriptor 3 is closed.
"""

import ast
import hashlib
import importlib
import io
import json
import math
import os
import struct
import sys
import textwrap
import traceback
from collections.abc import Callable
from typing import Any

HEADER = struct.Struct(">III")
ARRAY = "\0array"
KINDS = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64")
SCRIPT = "<python-function>"
scripts: dict[bytes, Callable[[Any], Any]] = {}  # by the hash of their text


def function_of(target: str) -> Callable[[Any], Any]:
    """The callable named `package.module:function`. Raises ValueError for another form of name."""
    module_name, separator, function_name = target.partition(":")
    if not separator or not function_name:
        raise ValueError(f"expected package.module:function, got {target!r}")
    found: Any = importlib.import_module(module_name)
    for part in function_name.split("."):
        found = getattr(found, part)
    return found


def function_of_script(source: str) -> Callable[[Any], Any]:
    """The function whose body is `source`, compiled once per text; errors name the lines as they were typed."""
    key = hashlib.sha256(source.encode()).digest()
    if key not in scripts:
        namespace: dict[str, Any] = {"__name__": "enms_script"}
        tree = ast.parse("def script(payload): pass")
        function = tree.body[0]
        assert isinstance(function, ast.FunctionDef)
        # Put into the tree, not into the text: indenting would change strings of several lines.
        function.body = ast.parse(textwrap.dedent(source), SCRIPT).body or function.body
        exec(compile(tree, SCRIPT, "exec"), namespace)
        scripts[key] = namespace["script"]
    return scripts[key]


def line_of(error: BaseException) -> int | None:
    """The line of the script at which it failed, None when the fault is elsewhere."""
    if isinstance(error, SyntaxError) and error.filename == SCRIPT:
        return error.lineno
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == SCRIPT]
    return lines[-1] if lines else None


def decode(text: bytes, arrays: bytes) -> Any:
    """The value of a frame: an array of numbers becomes a numpy array, other bytes stay bytes."""
    if not arrays:
        return json.loads(text)

    def restored(found: dict[str, Any]) -> Any:
        if ARRAY not in found:
            return found
        kind, first, size = found[ARRAY]
        part = arrays[first : first + size]
        if kind == "bytes":
            return part
        import numpy

        return numpy.frombuffer(bytearray(part), kind)  # a copy that may be written to

    return json.loads(text, object_hook=restored)


def finite(value: Any) -> Any:
    """The same value with NaN and infinity as None: JSON has no word for them."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return value


def encode(answer: dict[str, Any], typed_arrays: bool = False) -> tuple[bytes, bytes]:
    """The JSON and the arrays of an answer; numpy's arrays are lists unless `typed_arrays`."""
    arrays: list[bytes] = []

    def plain(value: Any) -> Any:
        """What JSON has no word for: bytes, numpy and pandas values, sets, dates."""
        kind = getattr(getattr(value, "dtype", None), "name", None)
        if isinstance(value, (bytes, bytearray, memoryview)):
            return apart("bytes", bytes(value))
        if typed_arrays and kind in KINDS and value.shape:
            return apart(kind, value.tobytes()) if len(value.shape) == 1 else list(value)
        for method in ("tolist", "isoformat"):
            if hasattr(value, method):
                return getattr(value, method)()
        if isinstance(value, (set, frozenset)):
            return list(value)
        raise TypeError(f"a {type(value).__name__} can't be sent as JSON")

    def apart(kind: str, data: bytes) -> dict[str, list[str | int]]:
        arrays.append(data)
        return {ARRAY: [kind, sum(map(len, arrays)) - len(data), len(data)]}

    try:
        text = json.dumps(answer, default=plain, allow_nan=False)
    except ValueError:
        arrays.clear()
        text = json.dumps(finite(json.loads(json.dumps(answer, default=plain))))
    return text.encode(), b"".join(arrays)


def answer_call(text: bytes, arrays: bytes) -> tuple[bytes, bytes]:
    """The JSON and the arrays of the answer to a call."""
    try:
        call = decode(text, arrays)
        function = function_of(call["target"]) if call.get("target") else function_of_script(call["script"])
        if call.get("check"):
            return encode({"result": None})
        return encode({"result": function(call.get("payload"))}, bool(call.get("typedArrays")))
    except BaseException as error:  # a user's sys.exit() must not end the shared worker either
        said = error.msg if isinstance(error, SyntaxError) else error
        return encode(
            {
                "error": f"{type(error).__name__}: {said}",
                "line": line_of(error),
                "traceback": traceback.format_exc(limit=-8),
            }
        )


def main() -> None:
    """Answers calls until there are no more."""
    for descriptor in (3, 4):
        os.set_inheritable(descriptor, False)  # what user code starts has no business with them
    os.nice(5)  # Node.js, which takes in the readings, goes first
    calls = os.fdopen(3, "rb", buffering=1 << 16)
    answers = os.fdopen(4, "wb", buffering=1 << 16)
    assert isinstance(sys.stdout, io.TextIOWrapper)
    sys.stdout.reconfigure(line_buffering=True)
    while header := calls.read(HEADER.size):
        number, text_bytes, array_bytes = HEADER.unpack(header)
        text, arrays = answer_call(calls.read(text_bytes), calls.read(array_bytes))
        answers.write(HEADER.pack(number, len(text), len(arrays)) + text)
        answers.write(arrays)
        answers.flush()


if __name__ == "__main__":
    main()
