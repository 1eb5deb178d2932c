"""Inline SVG for the report: small, sharp, the same bytes each time, and readable without colour (marks differ in shape too)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from itertools import pairwise
from math import ceil, floor, isfinite, log10
from typing import Any

from training.domain.labels import VALUE
from training.domain.nouns import Evidence, RuleKind

GOOD, BAD, OPEN, INK, SOFT = "#0072B2", "#D55E00", "#8A6D00", "#1f2933", "#616e7c"
"""Okabe and Ito's colour-blind-safe blue, vermillion and a dark yellow; ink and its soft shade."""
WIDTH = 760


def colour(evidence: Evidence) -> str:
    """Passed, refuted or open."""
    return GOOD if evidence.passed else BAD if evidence.refuted else OPEN


def rate(evidence: Evidence) -> bool:
    """Whether it is a difference of rates, told in percentage points; else one of amounts, such as money, told as it is."""
    known = [abs(number) for number in (*evidence.interval, evidence.value) if isfinite(number)]
    return not evidence.name.startswith(VALUE) and max(known, default=0.0) <= 1.0


def intervals(evidence: Sequence[Evidence]) -> str:
    """Each measured rule as an interval against its threshold: what lies right of the bar is shown. Rates have one axis, each amount an axis of its own."""
    rules = [e for e in evidence if e.kind in {RuleKind.SUPERIOR, RuleKind.NON_INFERIOR} and e.sample]
    amounts = [[e] for e in rules if not rate(e)]
    return "".join(_intervals(some) for some in ([e for e in rules if rate(e)], *amounts) if some)


def _intervals(rules: Sequence[Evidence]) -> str:
    rates = rate(rules[0])
    left, row, right = 190, 46, 20
    low = min(min(e.interval[0], e.threshold, 0.0) for e in rules)
    high = max(max(e.interval[1], e.threshold, 0.0) for e in rules)
    pad = (high - low) * 0.06 or 1.0
    low, high = low - pad, high + pad

    def x(value: float) -> float:
        return left + (value - low) / (high - low) * (WIDTH - left - right)

    height = row * len(rules) + 48
    parts = [_grid(tick, x(tick), height - 34, (f"{tick * 100:+.2g}" if rates else f"{tick:+.3g}") if tick else "0") for tick in ticks(low, high, 9)]
    for i, e in enumerate(rules):
        y, paint = 24 + i * row, colour(e)
        parts += [
            text(0, y + 4, e.name, anchor="start"),
            line(x(e.interval[0]), x(e.interval[1]), y, y, f'stroke="{paint}" stroke-width="6" stroke-linecap="round" opacity="0.55"'),
            mark(x(e.value), y, e, paint),
            line(x(e.threshold), x(e.threshold), y - 15, y + 15, f'stroke="{INK}" stroke-width="2.5"'),
        ]
    unit = "percentage points" if rates else "as it is measured"
    parts.append(text((left + WIDTH) / 2, height - 5, f"challenger minus baseline, {unit} (right is better)", size=12, fill=SOFT))
    return svg(height, f"Intervals of {', '.join(e.name for e in rules)} against their thresholds", parts)


def weights(histogram: Mapping[str, Any]) -> str:
    """Bars of the challenger's importance weights on the logged decisions."""
    edges, counts = histogram["edges"], histogram["counts"]
    names = [f"{a:g}-{b:g}" for a, b in pairwise(edges)] + [f"> {edges[-1]:g}"]
    total, step, floor = max(sum(counts), 1), WIDTH / len(counts), 150
    tall = max(*counts, 1)
    parts = []
    for i, (name, count) in enumerate(zip(names, counts, strict=True)):
        height, middle = 120 * count / tall, i * step + step / 2
        parts += [
            f'<rect x="{i * step + 4:.1f}" y="{floor - height:.1f}" width="{step - 8:.1f}" height="{height:.1f}" fill="{GOOD}" opacity="0.8"/>',
            text(middle, floor - height - 5, f"{count / total:.1%}" if count else "", size=11),
            text(middle, floor + 16, name, size=11, fill=SOFT),
        ]
    parts.append(text(WIDTH / 2, floor + 36, "importance weight (challenger's probability over the logged one)", size=12, fill=SOFT))
    return svg(floor + 44, "Histogram of importance weights", parts)


def calibration(label: Mapping[str, Any]) -> str:
    """Observed rate against mean prediction by bin; on the diagonal the predictions come true."""
    points = [(float(p), float(r), float(n)) for n, p, r in label["bins"]]
    if not points:
        return ""
    low = min(min(p, r) for p, r, _ in points)
    high = max(max(p, r) for p, r, _ in points)
    pad = (high - low) * 0.08 or 0.01
    low, high, side, left = max(0.0, low - pad), high + pad, 190, 52

    def at(value: float) -> float:
        return (value - low) / (high - low) * side

    parts = [line(left, left + side, side + 10, 10, f'stroke="{SOFT}" stroke-dasharray="4 4"')]
    parts.append(f'<rect x="{left}" y="10" width="{side}" height="{side}" fill="none" stroke="#d5dce3"/>')
    for tick in ticks(low, high, 3):
        digits = max(0, -int(log10(high - low) // 1) - 2) + 1
        parts += [
            text(left + at(tick), side + 26, f"{tick:.{digits}%}", size=11, fill=SOFT),
            text(left - 6, side + 14 - at(tick), f"{tick:.{digits}%}", size=11, fill=SOFT, anchor="end"),
        ]
    for p, r, n in points:
        reach = 1.96 * (max(r * (1 - r), 0.0) / max(n, 1.0)) ** 0.5
        top, bottom = (side + 10 - min(max(at(v), 0.0), side) for v in (r + reach, r - reach))
        x = left + at(p)
        parts.append(line(x, x, top, bottom, f'stroke="{GOOD}" stroke-width="2" opacity="0.5"'))
        parts.append(f'<circle cx="{x:.1f}" cy="{side + 10 - at(r):.1f}" r="4" fill="{GOOD}"/>')
    return svg(side + 34, f"Calibration of {label['label']}", parts, width=left + side + 20)


def ticks(low: float, high: float, count: int = 6) -> list[float]:
    """Round numbers between `low` and `high`, about `count` of them."""
    rough = (high - low) / count
    unit = 10.0 ** (log10(rough) // 1)
    step = unit * next(m for m in (1, 2, 5, 10) if m * unit >= rough * 0.999)
    first, last = ceil(low / step - 1e-9), floor(high / step + 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def mark(x: float, y: float, evidence: Evidence, paint: str) -> str:
    """Circle, cross or diamond: passed, refuted or open, without colour too."""
    if evidence.passed:
        return f'<circle cx="{x:.1f}" cy="{y}" r="7" fill="{paint}" stroke="#fff" stroke-width="1.5"/>'
    if evidence.refuted:
        return f'<path d="M{x - 7:.1f} {y - 7} L{x + 7:.1f} {y + 7} M{x - 7:.1f} {y + 7} L{x + 7:.1f} {y - 7}" stroke="{paint}" stroke-width="4"/>'
    return f'<path d="M{x:.1f} {y - 8} L{x + 8:.1f} {y} L{x:.1f} {y + 8} L{x - 8:.1f} {y} Z" fill="#fff" stroke="{paint}" stroke-width="3"/>'


def _grid(value: float, x: float, bottom: float, name: str) -> str:
    dark = SOFT if value == 0.0 else "#e4e9ee"
    return line(x, x, 4, bottom, f'stroke="{dark}"') + text(x, bottom + 15, name, size=11, fill=SOFT)


def line(x1: float, x2: float, y1: float, y2: float, style: str) -> str:
    """One straight line; `style` is more attributes."""
    return f'<line x1="{x1:.1f}" x2="{x2:.1f}" y1="{y1:.1f}" y2="{y2:.1f}" {style}/>'


def text(x: float, y: float, words: str, *, size: int = 14, fill: str = INK, anchor: str = "middle") -> str:
    """Words at a point, escaped."""
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{fill}" text-anchor="{anchor}">{escape(words)}</text>'


def svg(height: float, title: str, parts: Sequence[str], width: float = WIDTH) -> str:
    """The drawing, named for those who do not see it."""
    return f'<svg viewBox="0 0 {width:g} {height:g}" style="max-width:{width:g}px" role="img" aria-label="{escape(title)}">{"".join(parts)}</svg>'
