"""Makes the recorded programs of this folder again: ``python -m gcode.tests.sliced.record``.

That needs prusa-slicer and CuraEngine. The programs are for where these are not installed; ``./enms test --long``
installs them and slices much more.
"""

import gzip
import itertools
import json
import re
import struct
import tempfile
from collections.abc import Iterable
from pathlib import Path

from gcode.tests import support

HERE = Path(__file__).parent
SHAPES = {
    # Boxes (x, y, z, size x, y, z) in mm that make up a part.
    "table": [(0, 0, 0, 4, 4, 6), (-5, -3, 6, 14, 10, 1.8)],
    "block": [(0, 0, 0, 9, 12, 4.2)],
}
RECORDS: dict[str, tuple[list[str], str | dict[str, str]]] = {
    "prusa_support_brim": (["table"], "--support-material --brim-width 2 --skirts 0"),
    "prusa_vase_absolute": (["block"], "--spiral-vase --perimeters 1 --top-solid-layers 0 --fill-density 0"),
    "prusa_two_materials": (
        ["table", "block"],
        "--merge --nozzle-diameter 0.4,0.4 --filament-diameter 1.75,1.75 --filament-density 1.24,1.27 "
        "--temperature 200,210 --filament-type PLA;PETG "
        "--perimeter-extruder 1 --infill-extruder 2 --use-relative-e-distances --layer-gcode G92|E0",
    ),
    "prusa_copies_limits": (
        ["block"],
        "--duplicate 2 --complete-objects --machine-limits-usage emit_to_gcode --gcode-flavor marlin2",
    ),
    "cura_raft": (["table"], {"layer_height": "0.3", "adhesion_type": "raft", "support_enable": "true"}),
    "cura_relative_skirt": (["block"], {"layer_height": "0.3", "adhesion_type": "skirt", "relative_extrusion": "true"}),
}
"""Name of the record: shapes, options of PrusaSlicer or settings of Cura."""


def size(shape: str) -> list[float]:
    """Extent of a shape in x, y, z (mm)."""
    return [
        max(box[axis] + box[3 + axis] for box in SHAPES[shape]) - min(box[axis] for box in SHAPES[shape])
        for axis in range(3)
    ]


def write_stl(path: Path, boxes: Iterable[tuple[float, ...]]) -> None:
    """Writes a binary STL of boxes."""
    faces = []
    for box in boxes:
        corners = [
            [box[axis] + box[3 + axis] * bit for axis, bit in enumerate(bits)]
            for bits in itertools.product((0, 1), repeat=3)
        ]
        for quad in (
            (0, 2, 6, 4),
            (1, 5, 7, 3),
            (0, 4, 5, 1),
            (2, 3, 7, 6),
            (0, 1, 3, 2),
            (4, 6, 7, 5),
        ):  # seen from outside, anticlockwise
            a, b, c, d = (corners[n] for n in quad)
            faces += [(a, b, c), (a, c, d)]
    path.write_bytes(
        bytes(80)
        + struct.pack("<I", len(faces))
        + b"".join(struct.pack("<12fH", 0, 0, 0, *itertools.chain(*face), 0) for face in faces)
    )


def main() -> None:
    """Slices everything and writes it into this folder."""
    printed = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for shape, boxes in SHAPES.items():
            write_stl(folder / f"{shape}.stl", boxes)
        for name, (shapes, options) in RECORDS.items():
            made, files = folder / f"{name}.gcode", [folder / f"{shape}.stl" for shape in shapes]
            if isinstance(options, str):
                support.prusa_slicer(files, options, made)
            else:
                printed[name] = support.cura_engine(files[0], options, made, support.cura_definitions())
            text = re.sub(rb" on \d{4}-\d\d-\d\d at [\d:]+ UTC", b"", made.read_bytes()).replace(
                str(folder).encode() + b"/", b""
            )
            (HERE / f"{name}.gcode.gz").write_bytes(gzip.compress(text, 9, mtime=0))
    (HERE / "cura.json").write_text(json.dumps(printed, indent=1) + "\n")


if __name__ == "__main__":
    main()
