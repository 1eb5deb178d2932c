"""The front page of Data Docs: one line a validated day, newest first."""

from __future__ import annotations

from pathlib import Path

_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Data Docs by day</title>
<style>body{{font:16px/1.6 system-ui,sans-serif;max-width:40rem;margin:3rem auto;padding:0 1rem}}</style>
<h1>Validated days</h1>
<ul>
{items}
</ul>
</html>
"""


def write_index(docs: Path) -> Path:
    """Write `index.html` in `docs` for the days that have a page; written aside and renamed."""
    days = sorted((f.parent.name for f in docs.glob("[0-9]*/index.html")), reverse=True)
    aside = docs / ".index.aside"
    aside.write_text(_PAGE.format(items="\n".join(f'<li><a href="{d}/index.html">{d}</a></li>' for d in days)), encoding="utf-8")
    return aside.replace(docs / "index.html")
