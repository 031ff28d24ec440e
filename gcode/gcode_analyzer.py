#!/usr/bin/env python3
"""Analyses one G-code file and prints what it makes as JSON."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

try:
    from gcode import GcodeError, Limits, analyze
except ModuleNotFoundError as missing:
    sys.exit(
        f"gcode_analyzer: this Python has no package {missing.name!r}: use the one that ./enms up installs "
        "(.run/env/python/bin/python), or pip install numpy pillow"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code: 0 for a result, 1 if the file can't be analysed; wrong arguments exit with 2."""
    parser = argparse.ArgumentParser(
        prog="gcode_analyzer.py",
        description="Analyses a G-code file (.gcode, .gco, .g, .bgcode, plain or gzip, .gcode.3mf, .ufp, .gx) and "
        "prints one JSON document: slicer, settings, geometry, shares, layers, time, warnings.",
    )
    parser.add_argument("file", metavar="FILE", help="the file, or - for standard input")
    parser.add_argument("--json", metavar="OUT", help="write the JSON here instead of standard output")
    parser.add_argument("--thumbnail", metavar="OUT.png", help="write the picture: the embedded one, else a drawn one")
    parser.add_argument(
        "--preview", metavar="OUT.bin", help="write the preview geometry for the browser (docs/gcode.md)"
    )
    parser.add_argument("--max-seconds", type=float, metavar="S", help="give up after this many seconds")
    options = parser.parse_args(arguments)
    try:
        result = analyze(
            sys.stdin.buffer if options.file == "-" else options.file,
            thumbnail=options.thumbnail,
            preview=options.preview,
            limits=Limits(max_seconds=options.max_seconds),
        )
        text = json.dumps(result, ensure_ascii=False, allow_nan=False) + "\n"
        if options.json:
            Path(options.json).write_text(text, encoding="utf-8")
        else:
            sys.stdout.buffer.write(text.encode("utf-8", "replace"))
            sys.stdout.buffer.flush()
        return 0
    except BrokenPipeError:
        sys.stderr.close()
        return 1
    except (GcodeError, OSError, ValueError) as error:
        print(f"gcode_analyzer: {options.file!r} {error}", file=sys.stderr)
    except MemoryError:
        print(f"gcode_analyzer: {options.file!r} needs more memory than there is", file=sys.stderr)
    except KeyboardInterrupt:
        print("gcode_analyzer: stopped", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
