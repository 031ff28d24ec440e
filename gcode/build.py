"""Builds the kernel ahead of its first use, as an installer or an image does: ``python -m gcode.build``."""

import sys

from . import kernel


def main() -> int | str:
    """Returns 0, or the sentence that says why there is no kernel."""
    made = kernel.build()
    if made is None:
        return (
            "gcode: no C compiler that works (cc, gcc, clang, tcc): G-code will be read by numpy, "
            "at a tenth of the speed. "
            "Remedy: install one, for instance the Debian package tcc or gcc."
        )
    print(f"gcode: the kernel is {made}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
