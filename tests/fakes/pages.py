"""What is checked of every page: its elements close in order, and its words can be read."""

from __future__ import annotations

import re
from html.parser import HTMLParser

WHITE = "#fff"


class Balance(HTMLParser):
    """Reads the page strictly: every element that opens is closed in order."""

    VOID = ("meta", "br", "link", "img", "line", "rect", "circle", "path", "polyline", "polygon")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()

    def handle_starttag(self, tag, attrs):
        self.seen.add(tag)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.add(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def contrasts(page: str) -> dict[str, float]:
    """Contrast of each rule of the page's style sheet: its colour on its own ground, else on the white of a section; and of each word in a drawing."""
    style = page[page.index("<style>") : page.index("</style>")]
    named = dict(re.findall(r"--(\w+): (#\w+)", style))
    found = {}
    for selector, body in re.findall(r"([^{}]+)\{([^{}]*)\}", style):
        ink, ground = (_colour(name, body, named) for name in (r"(?<![-\w])color", r"background"))
        if _words_on(selector) and ground:
            ink = WHITE
        if ink and (ground or ink != WHITE):
            found[selector.strip()] = ratio(ink, ground or WHITE)
    for fill in set(re.findall(r'<text [^>]*fill="(#\w+)"', page)):
        found[f"text {fill}"] = ratio(fill, WHITE)
    return found


def _words_on(selector: str) -> bool:
    """White words stand on these: banners and chips."""
    return bool(re.search(r"\.(PROMOTE|REJECT|HOLD|CALM|mine|theirs)\b", selector))


def _colour(name: str, body: str, named: dict[str, str]) -> str | None:
    value = re.search(rf"{name}: (?:var\(--(\w+)\)|(#\w+))", body)
    return None if value is None else value[2] or named[value[1]]


def ratio(one: str, other: str) -> float:
    """WCAG 2.2's contrast of two colours, from 1 to 21."""
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: str) -> float:
    digits = colour.removeprefix("#")
    digits = "".join(2 * d for d in digits) if len(digits) == 3 else digits
    parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
