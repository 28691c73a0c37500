"""Draws a cartoon face with a given expression; everything else about it is left to chance.

The face is described in its own units: the centre of the head is (0, 0), x points right, y down,
and the head is about two units high. One affine map, the pose, takes these to pixels. Drawn at
twice the size and shrunk by area, which smooths every edge.
"""

from __future__ import annotations

import dataclasses
import functools

import cv2
import numpy as np

from preprocess.synth.expression import Expression

SIZE = 112  # pixels, the side of the original set's face crops
_OVERSAMPLING = 2

Colour = tuple[float, float, float]  # RGB, 0-255

_SKINS: tuple[Colour, ...] = (
    (255, 224, 196),
    (241, 194, 155),
    (224, 172, 125),
    (198, 134, 88),
    (141, 92, 60),
    (105, 66, 45),
)
_HAIRS: tuple[Colour, ...] = (
    (38, 30, 28),
    (84, 52, 30),
    (142, 88, 42),
    (224, 184, 96),
    (178, 70, 36),
    (176, 176, 182),
)
_IRISES: tuple[Colour, ...] = ((70, 110, 160), (90, 62, 38), (78, 124, 78), (60, 60, 68))
_STYLES = ("bald", "short", "long", "curly", "bun")
_LIP: Colour = (176, 66, 66)
_LIP_ON_DARK: Colour = (204, 104, 100)
_MOUTH: Colour = (92, 24, 30)
_TONGUE: Colour = (214, 98, 104)
_WHITE: Colour = (252, 252, 250)


@dataclasses.dataclass(frozen=True)
class Looks:
    """All about a face that is not its expression."""

    skin: Colour
    hair: Colour
    iris: Colour
    shirt: Colour
    backdrop: tuple[Colour, Colour]  # top and bottom
    style: str  # one of _STYLES
    width: float  # of the head, relative to its height
    eyes_apart: float  # of the eyes' centres from the middle, face units
    turn: float  # degrees, in the plane of the picture
    shift: tuple[float, float]  # face units
    scale: float  # pixels of the picture a face unit
    light: tuple[float, float]  # brightness gained from the middle to the right and lower edges
    gain: float  # brightness
    noise: float  # standard deviation, grey levels


def draw_looks(rng: np.random.Generator) -> Looks:
    """A random person, pose and light."""

    def colour(low: float, high: float) -> Colour:
        red, green, blue = rng.uniform(low, high, 3).tolist()
        return red, green, blue

    def varied(colours: tuple[Colour, ...]) -> Colour:
        red, green, blue = (colours[rng.integers(len(colours))] + rng.normal(0, 5, 3)).tolist()
        return red, green, blue

    return Looks(
        skin=varied(_SKINS),
        hair=varied(_HAIRS),
        iris=varied(_IRISES),
        shirt=colour(40, 220),
        backdrop=(colour(110, 235), colour(90, 225)),
        style=_STYLES[rng.integers(len(_STYLES))],
        width=rng.uniform(0.76, 0.92),
        eyes_apart=rng.uniform(0.31, 0.37),
        turn=rng.normal(0, 4),
        shift=(rng.normal(0, 0.04), rng.normal(0, 0.04)),
        scale=SIZE * rng.uniform(0.43, 0.48),
        light=(rng.uniform(-0.12, 0.12), rng.uniform(-0.12, 0.04)),
        gain=rng.uniform(0.88, 1.08),
        noise=rng.uniform(0, 4),
    )


def draw_face(expression: Expression, looks: Looks, rng: np.random.Generator) -> np.ndarray:
    """uint8[112, 112, 3] RGB; `rng` makes the sensor noise."""
    canvas = _Canvas(looks)
    _draw_back(canvas, looks)
    _draw_head(canvas, looks)
    _draw_eyes(canvas, expression, looks)
    _draw_brows(canvas, expression, looks)
    _draw_mouth(canvas, expression, looks)
    _draw_fringe(canvas, looks)
    picture = cv2.resize(canvas.pixels, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    return _expose(picture.astype(np.float32), looks, rng)


class _Canvas:
    """Draws shapes given in face units."""

    def __init__(self, looks: Looks) -> None:
        side = SIZE * _OVERSAMPLING
        fade = _steps(0, 1, side)[:, None, None]
        top, bottom = (np.array(c) for c in looks.backdrop)
        rows = np.rint(top * (1 - fade) + bottom * fade).astype(np.uint8)
        self.pixels = cv2.resize(rows, (side, side), interpolation=cv2.INTER_NEAREST)
        self.unit = looks.scale * _OVERSAMPLING
        angle = np.deg2rad(looks.turn)
        cos, sin = np.cos(angle), np.sin(angle)
        self.turn = np.array([[cos, -sin], [sin, cos]]) * self.unit
        self.centre = side / 2 + np.array(looks.shift) * self.unit

    def polygon(self, points: np.ndarray, colour: Colour) -> None:
        cv2.fillPoly(self.pixels, [self._place(points)], colour, cv2.LINE_AA, shift=4)

    def stroke(self, points: np.ndarray, colour: Colour, width: float) -> None:
        thickness = max(1, round(width * self.unit))
        cv2.polylines(
            self.pixels, [self._place(points)], False, colour, thickness, cv2.LINE_AA, shift=4
        )

    def _place(self, points: np.ndarray) -> np.ndarray:
        """Pixels in fixed point with four bits of fraction, as OpenCV takes them."""
        return np.rint((points @ self.turn.T + self.centre) * 16).astype(np.int32)


def _oval(
    x: float, y: float, rx: float, ry: float, start: float = 0, end: float = 360
) -> np.ndarray:
    """float[33, 2]: an ellipse, or the arc from `start` to `end` degrees (clockwise from right)."""
    return _arc(start, end) * (rx, ry) + (x, y)


# The same few of them in every face, and computed each time they would take as long as the drawing.
@functools.cache
def _arc(start: float, end: float) -> np.ndarray:
    """float[33, 2]: of the circle of radius 1 about the origin."""
    angle = np.deg2rad(_steps(start, end, 33))
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


@functools.cache
def _steps(start: float, end: float, count: int) -> np.ndarray:
    return np.linspace(start, end, count)


def _shade(colour: Colour, factor: float) -> Colour:
    red, green, blue = (min(255.0, channel * factor) for channel in colour)
    return red, green, blue


def _draw_back(canvas: _Canvas, looks: Looks) -> None:
    """What is behind the head: long or curly hair, neck and shoulders."""
    w = looks.width
    if looks.style == "long":
        canvas.polygon(_oval(0, -0.05, w + 0.13, 1.07), looks.hair)
        canvas.polygon(
            np.array([[-w - 0.13, 0], [w + 0.13, 0], [w + 0.1, 1.1], [-w - 0.1, 1.1]]), looks.hair
        )
    elif looks.style == "curly":
        for x, y in _oval(0, -0.3, w + 0.02, 0.74, 165, 375)[::4]:
            canvas.polygon(_oval(x, y, 0.24, 0.24), looks.hair)
    elif looks.style == "bun":
        canvas.polygon(_oval(0, -1.0, 0.3, 0.26), looks.hair)
    canvas.polygon(_oval(0, 1.55, 1.05, 0.62), looks.shirt)
    canvas.polygon(
        np.array([[-0.26, 0.7], [0.26, 0.7], [0.3, 1.08], [-0.3, 1.08]]), _shade(looks.skin, 0.86)
    )


def _draw_head(canvas: _Canvas, looks: Looks) -> None:
    w = looks.width
    for side in (-1, 1):
        canvas.polygon(_oval(side * w, 0.05, 0.12, 0.18), _shade(looks.skin, 0.9))
    canvas.polygon(_oval(0, 0, w, 1.0), looks.skin)
    blush = (looks.skin[0] * 0.97, looks.skin[1] * 0.86, looks.skin[2] * 0.86)
    for side in (-1, 1):
        canvas.polygon(_oval(side * w * 0.62, 0.3, 0.16, 0.11), blush)
    nose = np.array([[-0.02, 0.02], [0.08, 0.2], [-0.03, 0.23]])
    canvas.stroke(nose, _shade(looks.skin, 0.72), 0.035)


def _draw_eyes(canvas: _Canvas, expression: Expression, looks: Looks) -> None:
    rx, ry = 0.21, 0.035 + 0.105 * (expression.eye_open + 1)
    y = -0.12
    for x in (-looks.eyes_apart, looks.eyes_apart):
        canvas.polygon(_oval(x, y, rx, ry), _WHITE)
        for radius, colour in ((0.125, looks.iris), (0.065, (18.0, 16.0, 18.0))):
            disc = _oval(x, y, radius, radius)
            # The lids cover what the eye's opening does not show of the disc.
            lid = ry * np.sqrt(1 - ((disc[:, 0] - x) / rx) ** 2)
            disc[:, 1] = y + np.clip(disc[:, 1] - y, -lid, lid)
            canvas.polygon(disc, colour)
        if ry > 0.08:
            canvas.polygon(_oval(x + 0.04, y - 0.05, 0.03, 0.03), _WHITE)
        canvas.stroke(_oval(x, y, rx, ry, 180, 360), (40, 28, 26), 0.045)


def _draw_brows(canvas: _Canvas, expression: Expression, looks: Looks) -> None:
    along = _steps(-1, 1, 17)  # from the outer to the inner end
    y = -0.49 - 0.13 * expression.brow_height
    rise = y + 0.15 * expression.brow_angle * along - 0.05 * (1 - along**2)
    colour = _shade(looks.hair if looks.style != "bald" else looks.skin, 0.55)
    for side in (-1, 1):
        x = side * (looks.eyes_apart - 0.22 * along)
        canvas.stroke(np.stack([x, rise], axis=1), colour, 0.085)


def _draw_mouth(canvas: _Canvas, expression: Expression, looks: Looks) -> None:
    along = _steps(-1, 1, 25)
    width = 0.36 + 0.06 * expression.mouth_curve - 0.04 * expression.mouth_open
    x = width * along
    middle = 0.53 + 0.2 * expression.mouth_curve * (0.5 - along**2)
    opening = 0.21 * (expression.mouth_open + 1) * np.sqrt(1 - along**2)
    upper, lower = middle - 0.4 * opening, middle + 0.7 * opening

    def band(top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
        return np.concatenate([np.stack([x, top], 1), np.stack([x, bottom], 1)[::-1]])

    canvas.polygon(band(upper, lower), _MOUTH)
    canvas.polygon(band(upper, upper + 0.22 * opening), _WHITE)
    canvas.polygon(band(lower - 0.3 * opening, lower), _TONGUE)
    lip = _LIP if sum(looks.skin) > 330 else _LIP_ON_DARK
    canvas.stroke(np.stack([x, upper], 1), lip, 0.06)
    canvas.stroke(np.stack([x, lower], 1), lip, 0.06)


def _draw_fringe(canvas: _Canvas, looks: Looks) -> None:
    """Hair over the forehead: the cap of the head above the hairline."""
    if looks.style == "bald":
        return
    crown = _oval(0, -0.02, looks.width + 0.04, 1.04, 205, 335)
    across = np.linspace(crown[-1, 0], crown[0, 0], 17)
    hairline = crown[0, 1] - 0.3 * (1 - (across / crown[-1, 0]) ** 2)
    canvas.polygon(np.concatenate([crown, np.stack([across, hairline], 1)]), looks.hair)


def _expose(picture: np.ndarray, looks: Looks, rng: np.random.Generator) -> np.ndarray:
    """Light from one side, brightness and grey noise: float32[S, S, 3] -> uint8[S, S, 3]."""
    ramp = _steps(-1, 1, SIZE).astype(np.float32)
    right, down = looks.light
    light = looks.gain * (1 + right * ramp[None, :] + down * ramp[:, None])
    noise = looks.noise * rng.standard_normal((SIZE, SIZE), np.float32)
    lit = picture * light[..., None] + noise[..., None]
    return np.clip(np.rint(lit, out=lit), 0, 255, out=lit).astype(np.uint8)
