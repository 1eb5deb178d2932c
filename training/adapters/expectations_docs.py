"""The front pages of Data Docs. The library's own index needs scripts from the network; these two are plain, and lead to its result pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from html import escape
from pathlib import Path
from urllib.parse import quote

from training.adapters.ports import Expectation

_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{title}</title>
<style>body{{font:16px/1.6 system-ui,sans-serif;max-width:78rem;margin:3rem auto;padding:0 1rem}}
table{{border-collapse:collapse;width:100%}}td,th{{text-align:left;padding:.3rem .6rem;border-bottom:1px solid #d5dce3;vertical-align:top}}
.bad{{color:#b3400f;font-weight:600}}.good{{color:#0060a0}}code{{overflow-wrap:break-word}}</style>
<h1>{title}</h1>
{body}
</html>
"""


def write_index(docs: Path) -> Path:
    """Write `index.html` in `docs` for the days that have a page; written aside and renamed."""
    days = sorted((f.parent.name for f in docs.glob("[0-9]*/index.html")), reverse=True)
    items = "\n".join(f'<li><a href="{d}/index.html">{d}</a></li>' for d in days)
    return _write(docs / "index.html", "Validated days", f"<ul>\n{items}\n</ul>")


def write_day(folder: Path, day: date, results: Mapping[str, Sequence[Expectation]]) -> Path:
    """Write `index.html` in `folder`: what was not met first, with its samples, then each suite with a link to the library's page of it."""
    failed = [(suite, e) for suite, found in results.items() for e in found if not e.passed]
    pages = {page.stem: page for page in (folder / "validations").rglob("*.html")}
    suites = "\n".join(_suite(folder, title, found, pages) for title, found in results.items())
    told = "\n".join(_failure(suite, e) for suite, e in sorted(failed, key=lambda pair: not pair[1].critical))
    head = f"<h2>Not met</h2>\n<table><tr><th></th><th>Expectation</th><th>Column</th><th>Rows</th><th>Samples</th><th>Suite</th></tr>\n{told}\n</table>"
    body = (head if failed else "<p class='good'>Everything that was expected is so.</p>") + f"\n<h2>What was looked at</h2>\n<table>\n{suites}\n</table>"
    return _write(folder / "index.html", f"Validation of {day.isoformat()}", body)


def _failure(suite: str, e: Expectation) -> str:
    grave = "<span class='bad'>critical</span>" if e.critical else "warning"
    where = escape(f"{e.table}.{e.column}" if e.column else e.table)
    cells = (grave, escape(e.name), where, f"{e.unexpected:,}", f"<code>{escape(', '.join(e.samples))}</code>", escape(suite))
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _suite(folder: Path, title: str, found: Sequence[Expectation], pages: Mapping[str, Path]) -> str:
    page = pages.get(f"{title}-{title}")
    name = f'<a href="{quote(page.relative_to(folder).as_posix())}">{escape(title)}</a>' if page else escape(title)
    missed = sum(not e.passed for e in found)
    state = f"<span class='bad'>{missed} not met</span>" if missed else "<span class='good'>all met</span>"
    return f"<tr><td>{name}</td><td>{len(found)} expectations</td><td>{state}</td></tr>"


def _write(file: Path, title: str, body: str) -> Path:
    aside = file.with_name(f".{file.name}.aside")
    aside.write_text(_PAGE.format(title=title, body=body), encoding="utf-8")
    return aside.replace(file)
