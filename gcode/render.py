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
MAX_WALLS = 40_000
_WALL = FEATURES.index("external_perimeter")
_FLAT = ("top_solid_infill", "solid_infill", "ironing", "skirt", "brim")
_COLOUR = {"support": (196, 189, 176), "support_interface": (176, 168, 152), "skirt": (150, 158, 168), "brim": (150, 158, 168),
           "wipe_tower": (168, 168, 178)}
_OTHERS = [FEATURES.index(name) for name in _COLOUR]
_OBJECT = (243, 126, 52)
_SURFACE = ("external_perimeter", "top_solid_infill", "ironing", "unknown", "overhang_perimeter", "bridge", "support", "support_interface",
            "wipe_tower", "brim", "skirt")
_AZIMUTH, _ELEVATION = math.radians(-58), math.radians(30)
_GROUND = ((0.08, 14), (0.05, 20), (0.02, 26))     # how far the shadow on the bed reaches, and how dark it is
_LIGHT = np.array([-0.45, -0.60, 0.66])


def render(points, starts, layer, feature, z, height, stride=1, width=0.45):
    """A 480 x 480 picture (RGBA, transparent ground) of lines in mm; None when there is nothing to draw.

    As preview.Preview.lines() gives them: only every `stride`-th layer is there, so walls are that much taller.
    """
    sizes = np.diff(starts, append=len(points))
    shown = np.array([name in _SURFACE for name in FEATURES])[feature] & (layer < len(z)) & (sizes > 1)
    last = int(layer[layer < len(z)].max(initial=0))
    shown |= (layer == last) & (sizes > 1)      # the last layer is seen from above, whatever it is made of
    if not shown.any():
        return None
    line = np.repeat(np.arange(len(starts)), sizes)
    a = np.flatnonzero((np.diff(line, append=-1) == 0) & shown[line])
    if len(a) > MAX_WALLS:       # fewer layers rather than broken lines
        step = -(-len(a) // MAX_WALLS)
        top = int(layer[line[a]].max())
        kept = (top - layer[line[a]]) // stride % step == 0
        a, gain = a[kept], step * stride
    else:
        gain = stride
    p, q = points[a], points[a + 1]
    level = layer[line[a]]
    z = np.asarray(z, float)
    kind = feature[line[a]]
    top, tall = z[level], _wall_heights(z, np.maximum(np.asarray(height, float), 0.05) * gain, level, np.isin(kind, _OTHERS))
    low, high = np.minimum(p, q).min(axis=0), np.maximum(p, q).max(axis=0)
    middle = (low + high) / 2
    ca, sa, se, ce = math.cos(_AZIMUTH), math.sin(_AZIMUTH), math.sin(_ELEVATION), math.cos(_ELEVATION)

    def project(xy, height):
        x, y = (xy - middle).T
        right, away = x * ca - y * sa, x * sa + y * ca
        return right, away * se + height * ce, away

    edge = (high - low).max() * _GROUND[0][0]
    corners = _corners(low - edge, high + edge)
    frame = [project(corners, 0.0), project(_corners(low, high), float(top.max()))]
    across = np.concatenate([f[0] for f in frame])
    upward = np.concatenate([f[1] for f in frame])
    side = SIZE * SCALE
    span = max(across.max() - across.min(), upward.max() - upward.min(), 1e-3)
    scale = side * 0.94 / span
    shift = np.array([side / 2 - scale * (across.max() + across.min()) / 2, side / 2 + scale * (upward.max() + upward.min()) / 2])

    px, py_top, depth_p = project(p, top)
    qx, qy_top, depth_q = project(q, top)
    drop = tall * ce
    shade, top_shade = _shading(p, q, top / max(float(top.max()), 1e-9))
    colours = np.array([_COLOUR.get(name, _OBJECT) for name in FEATURES])[kind]
    # Of a wall's own line only a sliver is seen above the next layer: it takes the wall's light, so that the layers show but don't shine.
    flat = np.array([name in _FLAT for name in FEATURES])[kind] | ((level == last) & (kind != _WALL))
    shade = np.where(flat, top_shade * 0.9, shade)
    roof = np.clip(colours * np.where(flat, top_shade, shade * 1.05)[:, None], 0, 255).astype(int)
    wall = np.clip(colours * shade[:, None], 0, 255).astype(int)
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


def _wall_heights(z, usual, level, other):
    """How far each wall reaches down: to the layer before that has walls of the object (or of support and the like), if that is near."""
    tall = usual[level]
    for group in (other, ~other):
        levels = np.unique(level[group])
        step = np.diff(z[levels], prepend=0.0)
        near = (step > 0) & (step <= 3 * usual[levels])
        tall[group] = np.where(near, step, usual[levels])[np.searchsorted(levels, level[group])]
    return tall


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
    wall = np.clip(0.66 + 0.52 * facing + 0.08 * rise, 0.38, 1.06)
    return wall, np.full(len(p), 1.0) + 0.08 * rise


def _corners(low, high):
    return np.array([[low[0], low[1]], [high[0], low[1]], [high[0], high[1]], [low[0], high[1]]])


def _ground(draw, project, low, high, shift, scale):
    """A soft shadow on the bed below the object."""
    for grow, alpha in _GROUND:
        edge = (high - low).max() * grow
        right, up, _ = project(_corners(low - edge, high + edge), 0.0)
        draw.polygon([(shift[0] + r * scale, shift[1] - u * scale) for r, u in zip(right, up)], fill=(30, 40, 55, alpha))
