"""The plots of the evaluation page, as SVG text whose colours are the page's.

Owns the geometry: a frame of 720 by 420 units that a phone scales down.
"""

from collections.abc import Sequence
from html import escape

import numpy as np

from routeiq.learn.comparison import Evaluation
from routeiq.learn.measures import Calibration

_WIDTH, _HEIGHT = 720.0, 420.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 56.0, 16.0, 16.0, 48.0
_TICKS = 5


class _Frame:
    """Maps values to places in the frame."""

    def __init__(self, x: tuple[float, float], y: tuple[float, float]) -> None:
        self.x, self.y = x, y

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Return the place of a point."""
        across = (x - self.x[0]) / ((self.x[1] - self.x[0]) or 1.0)
        up = (y - self.y[0]) / ((self.y[1] - self.y[0]) or 1.0)
        return (
            _LEFT + across * (_WIDTH - _LEFT - _RIGHT),
            _HEIGHT - _BOTTOM - up * (_HEIGHT - _TOP - _BOTTOM),
        )

    def line(self, points: Sequence[tuple[float, float]], kind: str) -> str:
        """Return a line through points."""
        places = " ".join("{:.1f},{:.1f}".format(*self.at(x, y)) for x, y in points)
        return f'<polyline class="{kind}" points="{places}"/>'

    def axes(self, x_label: str, y_label: str) -> list[str]:
        """Return grid lines with their values, and what the axes are."""
        parts = []
        for x in _ticks(*self.x):
            across, bottom = self.at(x, self.y[0])
            parts.append(f'<line class="grid" x1="{across:.1f}" x2="{across:.1f}" y1="{_TOP}" y2="{bottom:.1f}"/>')
            parts.append(f'<text x="{across:.1f}" y="{bottom + 18:.1f}" text-anchor="middle">{x:g}</text>')
        for y in _ticks(*self.y):
            left, up = self.at(self.x[0], y)
            parts.append(f'<line class="grid" x1="{left}" x2="{_WIDTH - _RIGHT}" y1="{up:.1f}" y2="{up:.1f}"/>')
            parts.append(f'<text x="{left - 6}" y="{up + 4:.1f}" text-anchor="end">{y:g}</text>')
        middle = (_LEFT + _WIDTH - _RIGHT) / 2
        parts.append(f'<text x="{middle}" y="{_HEIGHT - 8}" text-anchor="middle">{escape(x_label)}</text>')
        centre = (_TOP + _HEIGHT - _BOTTOM) / 2
        parts.append(
            f'<text transform="translate(14 {centre}) rotate(-90)" text-anchor="middle">{escape(y_label)}</text>'
        )
        return parts


def _ticks(low: float, high: float) -> list[float]:
    """Return round values between two bounds, about `_TICKS` of them."""
    rough = (high - low) / _TICKS
    if rough <= 0:
        return [low]
    unit = 10.0 ** np.floor(np.log10(rough))
    step = float(min((unit * k for k in (1, 2, 5, 10)), key=lambda one: abs(one - rough)))
    return [float(round(k * step, 12)) for k in range(int(np.ceil(low / step)), int(np.floor(high / step + 1e-9)) + 1)]


def _svg(parts: Sequence[str], label: str) -> str:
    return (
        f'<svg viewBox="0 0 {_WIDTH:g} {_HEIGHT:g}" role="img" aria-label="{escape(label)}">\n'
        + "\n".join(parts)
        + "\n</svg>"
    )


def cost_quality_plot(found: Evaluation) -> str:
    """Return mean score over mean cost: the fixed models, their hull, the router's points and its hull."""
    thousand = [(1000 * m.cost_usd, m.score) for m in found.models]
    points = [(1000 * p.cost_usd, p.score) for p in found.points]
    dearest = max(x for x, _ in (*thousand, *points)) or 1.0
    heights = [y for _, y in (*thousand, *points)]
    room = 0.06 * ((max(heights) - min(heights)) or 1.0)
    frame = _Frame((0.0, 1.04 * dearest), (min(heights) - room, max(heights) + room))
    parts = frame.axes("US dollars per thousand prompts", "mean score")
    parts.append(frame.line(_level([(1000 * c, s) for c, s in found.zero_hull], dearest), "zero"))
    parts.append(frame.line(_level([(1000 * c, s) for c, s in found.hull], dearest), "router"))
    parts += ['<circle class="points" cx="{:.1f}" cy="{:.1f}" r="3"/>'.format(*frame.at(x, y)) for x, y in points]
    for at, ((x, y), model) in enumerate(zip(thousand, found.models, strict=True), start=1):
        across, up = frame.at(x, y)
        parts.append(
            f'<circle class="model" cx="{across:.1f}" cy="{up:.1f}" r="4.5">'
            f"<title>{escape(model.name)}</title></circle>"
            f'<text class="name" x="{across + 7:.1f}" y="{up + 4:.1f}">{at}</text>'
        )
    return _svg(parts, f"score over cost of {found.router} and of {len(found.models)} fixed models") + (
        f'<p class="soft">Line: {escape(found.router)}; dots: single models, numbered as in the table of '
        "models; broken line: the best mixtures of single models (zero router).</p>"
    )


def _level(vertices: Sequence[tuple[float, float]], to: float) -> list[tuple[float, float]]:
    return [*vertices, (max(to, vertices[-1][0]), vertices[-1][1])]


def calibration_plot(found: Calibration) -> str:
    """Return actual over expected score by bin; the area of a dot says how many prompts it stands for."""
    frame = _Frame((0.0, 1.0), (0.0, 1.0))
    parts = frame.axes("expected score of the choice", "score that came")
    parts.append(frame.line([(0.0, 0.0), (1.0, 1.0)], "zero"))
    most = max(one.prompts for one in found.bins)
    for one in found.bins:
        across, up = frame.at(one.expected, one.came)
        radius = 4 + 10 * (one.prompts / most) ** 0.5
        parts.append(f'<circle class="points" cx="{across:.1f}" cy="{up:.1f}" r="{radius:.1f}"><title>{one.prompts} '
                     "prompts</title></circle>")  # fmt: skip
    return _svg(parts, "score that came over expected score")
