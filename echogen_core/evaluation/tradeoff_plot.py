"""The trade-off between subject and prompt fidelity as an SVG picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

from .summary import Interval

WIDTH, HEIGHT = 860, 520
_LEFT, _RIGHT, _TOP, _BOTTOM = 74, 28, 40, 62
_COLOURS = ("#0b6e99", "#c4501b", "#4a7c2c", "#8a3f8f", "#8a6d00", "#444444")
_ALONE = "#1a1a1a"
_LETTER, _LINE = 6.6, 15.0  # pixels of a letter and of a line of text at 12 px
_TICKS = 6


class Point(NamedTuple):
    """One variant: prompt (across), likeness (up), its label, and the line it belongs to ('' for none)."""

    prompt: Interval
    likeness: Interval
    label: str
    line: str = ""


class _Axis(NamedTuple):
    """A range of values on a range of pixels."""

    low: float
    high: float
    first: float
    last: float

    def at(self, value: float) -> float:
        return self.first + (value - self.low) / (self.high - self.low) * (self.last - self.first)

    def ticks(self) -> list[float]:
        """Round numbers, at most _TICKS of them."""
        rough = (self.high - self.low) / _TICKS
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(power * times for times in (1, 2, 5, 10) if power * times >= rough)
        first, last = math.ceil(self.low / step), math.floor(self.high / step)
        return [number * step for number in range(first, last + 1)]


class _Box(NamedTuple):
    """Where a label lies, in pixels."""

    left: float
    top: float
    right: float
    bottom: float

    def overlap(self, other: _Box) -> float:
        """Shared area."""
        wide = min(self.right, other.right) - max(self.left, other.left)
        high = min(self.bottom, other.bottom) - max(self.top, other.top)
        return max(wide, 0.0) * max(high, 0.0)


def draw(points: Sequence[Point], across: str, up: str) -> str:
    """An <svg> element; points of one line are joined in the order given, intervals are thin crosses.

    Points of no line are squares. across, up: the axes' names. Raises ValueError without points.
    """
    if not points:
        raise ValueError("There is no point to draw: expected at least one variant.")
    x = _axis([point.prompt for point in points], _LEFT, WIDTH - _RIGHT)
    y = _axis([point.likeness for point in points], HEIGHT - _BOTTOM, _TOP)
    lines = list(dict.fromkeys(point.line for point in points if point.line))
    colours = {line: _COLOURS[index % len(_COLOURS)] for index, line in enumerate(lines)}
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
        f"<title>{escape(up)} against {escape(across)}</title>",
        *_frame(x, y, across, up),
    ]
    for line in lines:
        members = [point for point in points if point.line == line]
        path = " ".join(f"{x.at(p.prompt.value):.1f},{y.at(p.likeness.value):.1f}" for p in members)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colours[line]}" stroke-width="2"/>')
    marks = [(point, colours.get(point.line, _ALONE)) for point in points]
    parts += [_cross(point, x, y, colour) for point, colour in marks]
    parts += [_mark(point, x, y, colour) for point, colour in marks]
    parts += _labels(marks, x, y)
    parts += _legend(colours)
    return "\n".join([*parts, "</svg>"])


def _axis(intervals: Sequence[Interval], first: float, last: float) -> _Axis:
    ends = [end for i in intervals for end in (i.value, i.low, i.high) if end is not None]
    margin = max((max(ends) - min(ends)) * 0.08, 1e-3)
    return _Axis(min(ends) - margin, max(ends) + margin, first, last)


def _frame(x: _Axis, y: _Axis, across: str, up: str) -> list[str]:
    right, bottom = WIDTH - _RIGHT, HEIGHT - _BOTTOM
    parts = [
        f'<rect x="{_LEFT}" y="{_TOP}" width="{right - _LEFT}" height="{bottom - _TOP}" fill="#ffffff"/>'
    ]
    for tick in x.ticks():
        parts.append(f'<path d="M{x.at(tick):.1f} {_TOP}V{bottom}" stroke="#e6e6e6"/>')
        parts.append(_text(x.at(tick), bottom + 18, f"{tick:.3f}", "middle"))
    for tick in y.ticks():
        parts.append(f'<path d="M{_LEFT} {y.at(tick):.1f}H{right}" stroke="#e6e6e6"/>')
        parts.append(_text(_LEFT - 8, y.at(tick) + 4, f"{tick:.3f}", "end"))
    parts.append(f'<path d="M{_LEFT} {_TOP}V{bottom}H{right}" fill="none" stroke="#888888"/>')
    parts.append(_text(right, HEIGHT - 14, f"{across} →", "end", 13))
    parts.append(_text(_LEFT, _TOP - 14, f"↑ {up}", "start", 13))
    return parts


def _cross(point: Point, x: _Axis, y: _Axis, colour: str) -> str:
    """Both intervals."""
    at_x, at_y = f"{x.at(point.prompt.value):.1f}", f"{y.at(point.likeness.value):.1f}"
    parts = []
    for ends, axis, form in (
        (point.prompt, x, f'x1="{{}}" x2="{{}}" y1="{at_y}" y2="{at_y}"'),
        (point.likeness, y, f'y1="{{}}" y2="{{}}" x1="{at_x}" x2="{at_x}"'),
    ):
        if ends.low is not None and ends.high is not None:
            place = form.format(f"{axis.at(ends.low):.1f}", f"{axis.at(ends.high):.1f}")
            parts.append(f'<line {place} stroke="{colour}" stroke-opacity="0.3"/>')
    return "".join(parts)


def _mark(point: Point, x: _Axis, y: _Axis, colour: str) -> str:
    at_x, at_y = x.at(point.prompt.value), y.at(point.likeness.value)
    if point.line:
        return f'<circle cx="{at_x:.1f}" cy="{at_y:.1f}" r="4.5" fill="{colour}"/>'
    return f'<rect x="{at_x - 4.5:.1f}" y="{at_y - 4.5:.1f}" width="9" height="9" fill="{colour}"/>'


def _labels(marks: Sequence[tuple[Point, str]], x: _Axis, y: _Axis) -> list[str]:
    """Each label beside its point, at the corner where it covers least of the marks and of earlier labels."""
    middles = [(x.at(point.prompt.value), y.at(point.likeness.value)) for point, _ in marks]
    taken = [_Box(at_x - 6, at_y - 6, at_x + 6, at_y + 6) for at_x, at_y in middles]
    parts = []
    for (point, colour), (at_x, at_y) in zip(marks, middles, strict=True):
        wide = _LETTER * len(point.label)
        corners = [
            _Box(left, top, left + wide, top + _LINE)
            for top in (at_y - _LINE - 3, at_y + 3, at_y - 2.2 * _LINE, at_y + 1.4 * _LINE)
            for left in (at_x + 8, at_x - 8 - wide)
        ]
        inside = [box for box in corners if box.left >= _LEFT and box.right <= WIDTH]
        best = min(inside or corners, key=lambda box: sum(box.overlap(other) for other in taken))
        taken.append(best)
        parts.append(_text(best.left, best.bottom - 4, point.label, "start", colour=colour))
    return parts


def _legend(colours: dict[str, str]) -> list[str]:
    """The lines' names, above the frame on the right."""
    parts, right = [], WIDTH - _RIGHT
    for line, colour in reversed(colours.items()):
        parts.append(_text(right, _TOP - 14, line, "end", colour=colour))
        right -= int(_LETTER * len(line)) + 24
        parts.append(f'<path d="M{right} {_TOP - 18}h16" stroke="{colour}" stroke-width="3"/>')
        right -= 16
    return parts


def _text(x: float, y: float, words: str, anchor: str, size: int = 12, colour: str = "#333333") -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="{colour}"'
    return f"<text {place}>{escape(words)}</text>"
