"""Curves as SVG: small, sharp, the same bytes each time. A line has a name at its end and a dash of its own, so that it reads without colour."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from tempfile import TemporaryFile

from training.adapters.report_plots import INK, SOFT, ticks
from training.domain.errors import ConfigError

PAINTS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#8A6D00", "#56B4E9", "#1f2933", "#E69F00")
"""Okabe and Ito's colour-blind-safe colours."""
DASHES = ("", "7 3", "2 3", "9 3 2 3", "12 4", "4 4")
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 860, 430, 78, 190, 44, 46
APART = 15.0
"""Least distance between two names, in pixels."""


@dataclass(frozen=True)
class Curve:
    """`y` over `x`, equally long; `spread` is drawn as a band of that half height where given."""

    x: Sequence[float]
    y: Sequence[float]
    spread: Sequence[float] | None = None


def chart(title: str, x_label: str, y_label: str, curves: Mapping[str, Curve]) -> str:
    """A whole SVG document with one curve a name. Raises ValueError without any point."""
    if not any(len(c.x) for c in curves.values()):
        raise ValueError(f"The chart {title!r} has no point to draw.")
    lows, highs = zip(*(_reach(c) for c in curves.values() if len(c.x)), strict=True)
    low, high = min(0.0, *lows), max(*highs, min(0.0, *lows) + 1e-9)
    first, last = min(min(c.x) for c in curves.values() if len(c.x)), max(max(c.x) for c in curves.values() if len(c.x))
    last = last if last > first else first + 1.0

    def at(x: float, y: float) -> tuple[float, float]:
        return LEFT + (x - first) / (last - first) * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - (y - low) / (high - low) * (HEIGHT - TOP - BOTTOM)

    parts = [_text(LEFT, 24, title, size=16, anchor="start")]
    for tick in ticks(low, high):
        y = at(first, tick)[1]
        parts += [_line(LEFT, WIDTH - RIGHT, y, y, "#e4e9ee"), _text(LEFT - 8, y + 4, f"{tick:,g}", fill=SOFT, anchor="end")]
    parts += [_text(at(tick, low)[0], HEIGHT - BOTTOM + 18, f"{tick:,g}", fill=SOFT) for tick in ticks(first, last)]
    parts += [_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, x_label, fill=SOFT), _upright(16, (TOP + HEIGHT - BOTTOM) / 2, y_label)]
    ends: dict[int, float] = {}
    for i, curve in enumerate(curves.values()):
        if len(curve.x):
            parts += _drawn(curve, i, at)
            ends[i] = at(curve.x[-1], curve.y[-1])[1]
    names = list(curves)
    parts += [_text(WIDTH - RIGHT + 10, y + 4, names[i], fill=PAINTS[i % len(PAINTS)], anchor="start", size=13) for i, y in _apart(ends).items()]
    view = f'xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="system-ui, sans-serif" role="img" aria-label="{escape(title)}"'
    return f'<svg {view}><rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>{"".join(parts)}</svg>\n'


def writable(path: Path) -> None:
    """Ask before anything is measured: raises ConfigError where `save` could not write to `path`, or would write SVG into what is called otherwise."""
    if path.is_dir():
        raise ConfigError(f"{path} is a folder, so the curves could not be written there and nothing was measured. Name a file that ends in .svg.")
    if path.suffix.lower() != ".svg":
        raise ConfigError(f"Curves are written as SVG alone, which {path.name!r} does not say, so nothing was measured. Name a file that ends in .svg.")
    roomy(path.parent)


def roomy(folder: Path, *names: str) -> None:
    """As `writable`, of a folder of plots and of files of those names in it; it is made where it is not there yet."""
    for path in (folder / name for name in names):
        if path.is_dir():
            raise ConfigError(f"{path} is a folder, so what is measured could not be written there and nothing was. Remove it, or name another place.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ConfigError(f"Nothing can be written to {folder} ({error}), so what is measured would be lost and nothing was. Name another place.") from error


def save(path: Path, svg: str) -> Path:
    """Write aside, then rename; returns `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.new")
    aside.write_text(svg, encoding="utf-8")
    return aside.replace(path)


def _reach(curve: Curve) -> tuple[float, float]:
    spread = curve.spread or [0.0] * len(curve.y)
    return min(y - s for y, s in zip(curve.y, spread, strict=True)), max(y + s for y, s in zip(curve.y, spread, strict=True))


def _drawn(curve: Curve, index: int, at: Callable[[float, float], tuple[float, float]]) -> list[str]:
    paint, dash = PAINTS[index % len(PAINTS)], DASHES[index % len(DASHES)]
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in (at(x, y) for x, y in zip(curve.x, curve.y, strict=True)))
    parts = [f'<polyline points="{points}" fill="none" stroke="{paint}" stroke-width="2" stroke-dasharray="{dash}"/>']
    if curve.spread is not None:
        above = [at(x, y + s) for x, y, s in zip(curve.x, curve.y, curve.spread, strict=True)]
        below = [at(x, y - s) for x, y, s in zip(curve.x, curve.y, curve.spread, strict=True)]
        band = " ".join(f"{x:.1f},{y:.1f}" for x, y in [*above, *reversed(below)])
        parts.insert(0, f'<polygon points="{band}" fill="{paint}" opacity="0.14"/>')
    return parts


def _apart(ends: Mapping[int, float]) -> dict[int, float]:
    """Heights of the names: near their curves' ends, pushed down until none overlaps, and back up into the picture."""
    placed: dict[int, float] = {}
    lowest = TOP - APART
    for i, y in sorted(ends.items(), key=lambda item: item[1]):
        placed[i] = lowest = max(y, lowest + APART)
    over = max(0.0, lowest - (HEIGHT - BOTTOM))
    return {i: y - over for i, y in placed.items()}


def _line(x1: float, x2: float, y1: float, y2: float, paint: str) -> str:
    return f'<line x1="{x1:.1f}" x2="{x2:.1f}" y1="{y1:.1f}" y2="{y2:.1f}" stroke="{paint}"/>'


def _text(x: float, y: float, words: str, *, size: int = 12, fill: str = INK, anchor: str = "middle") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{fill}" text-anchor="{anchor}">{escape(words)}</text>'


def _upright(x: float, y: float, words: str) -> str:
    return f'<text transform="translate({x:.1f} {y:.1f}) rotate(-90)" font-size="12" fill="{SOFT}" text-anchor="middle">{escape(words)}</text>'
