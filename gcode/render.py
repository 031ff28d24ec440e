"""Draws a program's printed lines as a solid: a picture for files that bring none.

Each line is a small wall with a top; layers are painted from the bed upwards and, within a layer, from far to near, so that
what is nearer covers what is behind. The light comes from the upper left.
"""
import math

import numpy as np
from PIL import Image, ImageDraw

from .dialects import FEATURES

SIZE = 480
SCALE = 2                    # drawn larger and reduced: smooth edges
MAX_WALLS = 60_000
_COLOUR = {"support": (196, 189, 176), "support_interface": (176, 168, 152), "skirt": (150, 158, 168), "brim": (150, 158, 168),
           "wipe_tower": (168, 168, 178)}
_OBJECT = (243, 126, 52)
_SURFACE = ("external_perimeter", "top_solid_infill", "ironing", "unknown", "overhang_perimeter", "bridge", "support", "support_interface",
            "wipe_tower", "brim", "skirt")
_AZIMUTH, _ELEVATION = math.radians(-58), math.radians(30)
_LIGHT = np.array([-0.45, -0.60, 0.66])


def render(points, starts, layer, feature, z, height, width=0.45):
    """A 480 x 480 picture (RGBA, transparent ground) of lines in mm; None when there is nothing to draw."""
    sizes = np.diff(starts, append=len(points))
    shown = np.array([name in _SURFACE for name in FEATURES])[feature] & (layer < len(z)) & (sizes > 1)
    if len(z):     # the last layer is seen from above, whatever it is made of
        shown |= (layer >= len(z) - 2) & (layer < len(z)) & (sizes > 1)
    if not shown.any():
        return None
    line = np.repeat(np.arange(len(starts)), sizes)
    a = np.flatnonzero((np.diff(line, append=-1) == 0) & shown[line])
    if len(a) > MAX_WALLS:       # fewer layers rather than broken lines
        step = -(-len(a) // MAX_WALLS)
        top = int(layer[line[a]].max())
        kept = (top - layer[line[a]]) % step == 0
        a, gain = a[kept], step
    else:
        gain = 1
    p, q = points[a], points[a + 1]
    level = layer[line[a]]
    z = np.asarray(z, float)
    tall = np.maximum(np.asarray(height, float), 0.05)[level] * gain
    top = z[level]
    kind = feature[line[a]]
    low, high = np.minimum(p, q).min(axis=0), np.maximum(p, q).max(axis=0)
    middle = (low + high) / 2
    ca, sa, se, ce = math.cos(_AZIMUTH), math.sin(_AZIMUTH), math.sin(_ELEVATION), math.cos(_ELEVATION)

    def project(xy, height):
        x, y = (xy - middle).T
        right, away = x * ca - y * sa, x * sa + y * ca
        return right, away * se + height * ce, away

    frame = [project(xy, h) for h in (0.0, float(top.max())) for xy in ([[low[0], low[1]], [high[0], low[1]], [high[0], high[1]], [low[0], high[1]]],) for xy in [np.array(xy)]]
    across = np.concatenate([f[0] for f in frame])
    upward = np.concatenate([f[1] for f in frame])
    side = SIZE * SCALE
    span = max(across.max() - across.min(), upward.max() - upward.min(), 1e-3)
    scale = side * 0.86 / span
    shift = np.array([side / 2 - scale * (across.max() + across.min()) / 2, side / 2 + scale * (upward.max() + upward.min()) / 2])

    px, py_top, depth_p = project(p, top)
    qx, qy_top, depth_q = project(q, top)
    drop = tall * ce
    shade, top_shade = _shading(p, q, top / max(float(top.max()), 1e-9))
    colours = np.array([_COLOUR.get(name, _OBJECT) for name in FEATURES])[kind]
    wall = np.clip(colours * shade[:, None], 0, 255).astype(int)
    roof = np.clip(colours * top_shade[:, None], 0, 255).astype(int)
    order = np.lexsort((-(depth_p + depth_q), level))
    quads = np.stack([px, py_top, qx, qy_top, qx, qy_top - drop, px, py_top - drop], axis=1)
    quads[:, 0::2] = shift[0] + quads[:, 0::2] * scale
    quads[:, 1::2] = shift[1] - quads[:, 1::2] * scale
    image = Image.new("RGBA", (side, side), (0, 0, 0, 0))
    draw = ImageDraw.Draw(image)
    _ground(draw, project, low, high, shift, scale)
    bead = max(1, round(width * scale))
    for index in order.tolist():
        quad = quads[index].tolist()
        draw.polygon(quad, fill=tuple(wall[index]), outline=tuple(wall[index]))
        draw.line(quad[:4], fill=tuple(roof[index]), width=bead)
    return image.resize((SIZE, SIZE), Image.Resampling.LANCZOS)


def _shading(p, q, rise):
    """Brightness of the wall and of the top of each line."""
    way = q - p
    length = np.hypot(*way.T)
    normal = np.stack([-way[:, 1], way[:, 0]], axis=1) / np.maximum(length, 1e-9)[:, None]
    # The side that is seen is the one towards the viewer.
    ca, sa = math.cos(_AZIMUTH), math.sin(_AZIMUTH)
    away = normal[:, 0] * sa + normal[:, 1] * ca
    normal[away > 0] *= -1
    facing = normal @ _LIGHT[:2]
    return 0.62 + 0.42 * facing + 0.10 * rise, 0.98 + 0.08 * rise + 0.06 * facing


def _ground(draw, project, low, high, shift, scale):
    """A soft shadow on the bed below the object."""
    for grow, alpha in ((0.10, 14), (0.06, 20), (0.025, 26)):
        edge = (high - low).max() * grow
        corners = np.array([[low[0] - edge, low[1] - edge], [high[0] + edge, low[1] - edge], [high[0] + edge, high[1] + edge], [low[0] - edge, high[1] + edge]])
        right, up, _ = project(corners, 0.0)
        draw.polygon([(shift[0] + r * scale, shift[1] - u * scale) for r, u in zip(right, up)], fill=(30, 40, 55, alpha))
