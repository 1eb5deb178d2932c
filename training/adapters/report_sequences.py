"""Inline SVG of one rule over time: its confidence sequence, look by look, against its threshold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from math import isfinite

from training.adapters.report_plots import INK, SOFT, colour, line, mark, rate, svg, text, ticks
from training.domain.nouns import Evidence

WIDTH, HEIGHT = 520, 236
LEFT, RIGHT, TOP, BOTTOM = 52, 86, 22, 26


@dataclass(frozen=True)
class Axis:
    """A straight scale from `low` to `high` onto pixels; what lies beyond is drawn at its end."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Pixel of `value`."""
        inside = min(max(value, self.low), self.high)
        return self.start + (inside - self.low) / (self.high - self.low) * (self.end - self.start)


def sequence(looks: Sequence[tuple[date, Evidence]], stages: Sequence[tuple[date, float]], title: str) -> str:
    """The drawing, or an empty text where no look has an interval yet. `looks` by day; `stages` are (first day, share) of the ramp."""
    known = [(day, e) for day, e in looks if all(isfinite(end) for end in e.interval)]
    if not known:
        return ""
    last, first = known[-1][1], looks[0][0]
    x = Axis(first.toordinal(), max(looks[-1][0].toordinal(), first.toordinal() + 1), LEFT, WIDTH - RIGHT)
    y = Axis(*_range(known), HEIGHT - BOTTOM, TOP)
    paint = colour(last)
    at = [(x(day.toordinal()), e) for day, e in known]
    band = [f"{px:.1f},{y(e.interval[1]):.1f}" for px, e in at] + [f"{px:.1f},{y(e.interval[0]):.1f}" for px, e in reversed(at)]
    parts = [
        *_grid(y, rate(last)),
        *_days(x, first, looks[-1][0]),
        *_stages(x, stages, first, looks[-1][0]),
        f'<polygon points="{" ".join(band)}" fill="{paint}" opacity="0.16"/>',
        _path([(px, y(e.interval[1])) for px, e in at], f'stroke="{paint}" stroke-width="1.2" opacity="0.7"'),
        _path([(px, y(e.interval[0])) for px, e in at], f'stroke="{paint}" stroke-width="2.4"'),
        _path([(px, y(e.value)) for px, e in at], f'stroke="{paint}" stroke-width="1.2" stroke-dasharray="2 3"'),
        _path(_steps([(px, y(e.threshold)) for px, e in at]), f'stroke="{INK}" stroke-width="2.2"'),
        mark(at[-1][0], y(last.value), last, paint),
        text(WIDTH - RIGHT + 14, y(last.threshold) + 4, "threshold", size=12, anchor="start"),
    ]
    return svg(HEIGHT, title, parts, width=WIDTH)


def _range(known: Sequence[tuple[date, Evidence]]) -> tuple[float, float]:
    """All of the last interval, its thresholds and 0, with as much again for the looks before it; the first ones, which are far wider, are cut."""
    last = known[-1][1]
    ends = [*last.interval, 0.0, *(e.threshold for _, e in known)]
    low, high = min(ends), max(ends)
    room = (high - low) * 0.6 or 1e-3
    lowest, highest = min(low, *(e.interval[0] for _, e in known)), max(high, *(e.interval[1] for _, e in known))
    return max(low - room, lowest - room * 0.1), min(high + room, highest + room * 0.1)


def _grid(y: Axis, points: bool) -> list[str]:
    parts = []
    for tick in ticks(y.low, y.high, 5):
        name = f"{tick * 100:+.3g}" if points else f"{tick:+.3g}"
        parts += [
            line(LEFT, WIDTH - RIGHT, y(tick), y(tick), f'stroke="{SOFT if tick == 0.0 else "#e4e9ee"}"'),
            text(LEFT - 7, y(tick) + 4, name if tick else "0", size=12, fill=SOFT, anchor="end"),
        ]
    return parts


def _days(x: Axis, first: date, last: date) -> list[str]:
    span = (last - first).days
    count = min(4, span) or 1
    days = sorted({first.toordinal() + round(i * span / count) for i in range(count + 1)})
    return [text(x(day), HEIGHT - 7, f"{date.fromordinal(day):%-d %b}", size=12, fill=SOFT) for day in days]


def _stages(x: Axis, stages: Sequence[tuple[date, float]], first: date, last: date) -> list[str]:
    """A dashed line where a stage began, with its share; the stage in which the looks begin has no line."""
    parts = []
    for day, share in stages:
        if day > last:
            continue
        px = x(max(day, first).toordinal())
        if day > first:
            parts.append(line(px, px, TOP, HEIGHT - BOTTOM, f'stroke="{SOFT}" stroke-dasharray="3 4"'))
        parts.append(text(px + 3, TOP - 7, f"{share:.0%}", size=12, fill=SOFT, anchor="start"))
    return parts


def _steps(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Level until the next point, then straight up or down."""
    found = [points[0]]
    for px, py in points[1:]:
        found += [(px, found[-1][1]), (px, py)]
    return found


def _path(points: Sequence[tuple[float, float]], style: str) -> str:
    return f'<polyline points="{" ".join(f"{px:.1f},{py:.1f}" for px, py in points)}" fill="none" stroke-linejoin="round" {style}/>'
