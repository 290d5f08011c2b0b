"""The trade-off between likeness and prompt as an SVG picture."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

from .summary import Interval

WIDTH, HEIGHT = 760, 460
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 24, 24, 56
_COLOURS = ("#0b6e99", "#c4501b", "#4a7c2c", "#8a3f8f", "#8a6d00", "#444444")


class Point(NamedTuple):
    """One arm: prompt (across), likeness (up), its label, and the line it belongs to ('' for none)."""

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
        return [self.low + (self.high - self.low) * step / 4 for step in range(5)]


def draw(points: Sequence[Point], across: str, up: str) -> str:
    """An <svg> element; points of one line are joined in the order given, intervals are thin crosses.

    across, up: the axes' names. Raises ValueError without points.
    """
    if not points:
        raise ValueError("There is no point to draw: expected at least one arm.")
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
    parts += [_mark(point, x, y, colours.get(point.line, "#000000")) for point in points]
    return "\n".join([*parts, "</svg>"])


def _axis(intervals: Sequence[Interval], first: float, last: float) -> _Axis:
    ends = [end for i in intervals for end in (i.value, i.low, i.high) if end is not None]
    margin = max((max(ends) - min(ends)) * 0.08, 1e-3)
    return _Axis(min(ends) - margin, max(ends) + margin, first, last)


def _frame(x: _Axis, y: _Axis, across: str, up: str) -> list[str]:
    parts = [
        f'<rect x="{_LEFT}" y="{_TOP}" width="{WIDTH - _LEFT - _RIGHT}" height="{HEIGHT - _TOP - _BOTTOM}" '
        'fill="#ffffff" stroke="#999999"/>'
    ]
    for tick in x.ticks():
        parts.append(_text(x.at(tick), HEIGHT - _BOTTOM + 18, f"{tick:.3f}", "middle"))
    for tick in y.ticks():
        parts.append(_text(_LEFT - 8, y.at(tick) + 4, f"{tick:.3f}", "end"))
    parts.append(_text((_LEFT + WIDTH - _RIGHT) / 2, HEIGHT - 12, across, "middle"))
    parts.append(_text(_LEFT, _TOP - 8, up, "start"))
    return parts


def _mark(point: Point, x: _Axis, y: _Axis, colour: str) -> str:
    at_x, at_y = x.at(point.prompt.value), y.at(point.likeness.value)
    parts = []
    if point.prompt.low is not None and point.prompt.high is not None:
        ends = f'x1="{x.at(point.prompt.low):.1f}" x2="{x.at(point.prompt.high):.1f}"'
        parts.append(
            f'<line {ends} y1="{at_y:.1f}" y2="{at_y:.1f}" stroke="{colour}" stroke-opacity="0.35"/>'
        )
    if point.likeness.low is not None and point.likeness.high is not None:
        ends = f'y1="{y.at(point.likeness.low):.1f}" y2="{y.at(point.likeness.high):.1f}"'
        parts.append(
            f'<line x1="{at_x:.1f}" x2="{at_x:.1f}" {ends} stroke="{colour}" stroke-opacity="0.35"/>'
        )
    parts.append(f'<circle cx="{at_x:.1f}" cy="{at_y:.1f}" r="4" fill="{colour}"/>')
    # a label that would leave the frame on the right goes to the left of its point
    left = at_x > WIDTH * 0.7
    parts.append(_text(at_x + (-7 if left else 7), at_y - 6, point.label, "end" if left else "start"))
    return "".join(parts)


def _text(x: float, y: float, words: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="12" text-anchor="{anchor}">{escape(words)}</text>'
