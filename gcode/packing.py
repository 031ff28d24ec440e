"""MeatPack and heatshrink, the encodings of .bgcode, by the compiled kernel or, without one, in Python."""

import ctypes

from . import kernel

_PLAIN = b"0123456789. \nGX"
_DENSE = b"0123456789.E\nGX"


def meatpack_decode(data: bytes) -> bytes:
    """The text of MeatPack data."""
    if (compiled := kernel.library()) is not None:
        out = ctypes.create_string_buffer(2 * len(data) + 2)
        size = compiled.meatpack_decode(bytes(data), len(data), out, len(out))
        return out.raw[:size]
    return meatpack_decode_python(data)


def meatpack_decode_python(data: bytes) -> bytes:
    """Like meatpack_decode, without the kernel."""
    out = bytearray()
    table, packed, signal, command, full, held = _PLAIN, False, False, False, 0, 0
    for c in data:
        if c == 255:
            command, signal = (True, False) if signal else (command, True)
            continue
        if command:
            command = False
            if c == 251:
                packed = True
            elif c in (250, 249):
                packed = False
            elif c == 247:
                table = _DENSE
            elif c == 246:
                table = _PLAIN
            continue
        received = (255, c) if signal else (c,)
        signal = False
        for b in received:
            if not packed:
                out.append(b)
            elif full:
                out.append(b)
                full -= 1
                if held:
                    out.append(held)
                    held = 0
            else:
                low, high = b & 15, b >> 4
                if low == 15:
                    full = 2 if high == 15 else 1
                    held = held if high == 15 else table[high]
                else:
                    out.append(table[low])
                    if table[low] != 10:
                        if high == 15:
                            full = 1
                        else:
                            out.append(table[high])
    return bytes(out)


def heatshrink_decode(data: bytes, size: int, window: int, lookahead: int) -> bytes:
    """At most `size` bytes, unpacked from heatshrink data with these parameters (bits)."""
    if (compiled := kernel.library()) is not None:
        out = ctypes.create_string_buffer(max(size, 1))
        made = compiled.heatshrink_decode(bytes(data), len(data), out, size, window, lookahead)
        return out.raw[:made]
    return heatshrink_decode_python(data, size, window, lookahead)


def heatshrink_decode_python(data: bytes, size: int, window: int, lookahead: int) -> bytes:
    """Like heatshrink_decode, without the kernel."""
    out = bytearray()
    bits = have = at = 0
    while True:
        while have < 1 + window + lookahead and at < len(data):
            bits = (bits & ((1 << have) - 1)) << 8 | data[at]
            at += 1
            have += 8
        if have < 1 or len(out) >= size:
            return bytes(out)
        literal = bits >> (have - 1) & 1
        need = 9 if literal else 1 + window + lookahead
        if have < need:
            return bytes(out)
        have -= need
        if literal:
            out.append(bits >> have & 255)
            continue
        back = (bits >> (have + lookahead) & ((1 << window) - 1)) + 1
        count = min((bits >> have & ((1 << lookahead) - 1)) + 1, size - len(out))
        for _ in range(count):
            out.append(out[-back] if back <= len(out) else 0)
