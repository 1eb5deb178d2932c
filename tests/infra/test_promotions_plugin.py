"""The page of promotions in a real Airflow: who may see it, who may act, and that a person with a keyboard can."""

from __future__ import annotations

import httpx
import pytest

from tests.fakes.airflow import PASSWORD, api_server, token
from tests.fakes.browser import CHROMIUM, browser
from tests.fakes.promotions import seed
from training.bootstrap import platform
from training.config.settings import Settings
from training.domain.experiment import Cause, State
from training.steps.by_hand import planned

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

PAGE = "/promotions/reports/promotions.html"
ASKED = {"before": "4", "after": "2", "why": "complaints since Monday"}
FRAME = "document.querySelector('iframe').contentDocument"
FAINT = """(() => {
  const numbers = colour => colour.match(/[\\d.]+/g).map(Number);
  const linear = part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  const light = colour => { const [r, g, b] = numbers(colour).map(v => linear(v / 255)); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const ground = element => {
    for (let e = element; e; e = e.parentElement) {
      const colour = getComputedStyle(e).backgroundColor;
      if ((numbers(colour)[3] ?? 1) > 0) return colour;
    }
    return 'rgb(255, 255, 255)';
  };
  const found = [];
  for (const e of document.querySelectorAll('body *')) {
    if (![...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()) || e.closest('script, style') || e.disabled) continue;
    const ink = e.tagName === 'text' ? getComputedStyle(e).fill : getComputedStyle(e).color;
    const [low, high] = [light(ink), light(ground(e))].sort((x, y) => x - y);
    if ((high + 0.05) / (low + 0.05) < 4.5) found.push(`${e.tagName} ${e.textContent.slice(0, 30)} ${ink} on ${ground(e)}`);
  }
  return found;
})()"""
"""Words of the page that stand out less than 4.5 to 1, as the browser paints them."""


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    """A home with a history, in real stores."""
    made = Settings(home=tmp_path_factory.mktemp("home"))
    wired = platform(made)
    seed(made, wired.ledger, wired.experiments, wired.registry)
    return made


@pytest.fixture(scope="module")
def url(settings):
    """Airflow's address."""
    with api_server(settings) as found:
        yield found


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A tab of Chromium."""
    if CHROMIUM is None:
        pytest.skip("chromium is not installed (Debian: apt-get install chromium)")
    with browser(tmp_path_factory.mktemp("profile")) as found:
        yield found


def call(url, method, path, **options):
    """One request, without following redirects."""
    return httpx.request(method, url + path, trust_env=False, timeout=90, **options)


def bearer(url, user):
    """What a program shows."""
    return {"Authorization": f"Bearer {token(url, user)}"}


def test_airflow_shows_the_plugin(url):
    """It loads without an error and puts one page into the navigation."""
    found = call(url, "GET", "/api/v2/plugins", headers=bearer(url, "ada")).json()
    (plugin,) = [p for p in found["plugins"] if p["name"] == "promotions"]
    assert [(v["name"], v["href"], v["destination"]) for v in plugin["external_views"]] == [("Promotions", PAGE, "nav")]
    assert call(url, "GET", "/api/v2/plugins/importErrors", headers=bearer(url, "ada")).json()["total_entries"] == 0


def test_nobody_sees_or_does_anything_without_logging_in(url, settings):
    """A reader is led to the login and back; a roll-back is refused."""
    found = call(url, "GET", PAGE)
    assert (found.status_code, found.headers["location"]) == (303, "/auth/login?next=%2Fpromotions%2Freports%2Fpromotions.html")
    for path in ("/promotions/reports/2026-06-28.html", "/promotions/data_docs/2026-08-12/index.html", "/promotions/"):
        assert call(url, "GET", path).status_code == 303
    assert call(url, "POST", "/promotions/roll-back", json=ASKED).status_code == 401
    assert call(url, "POST", "/promotions/roll-back", json=ASKED, headers={"Authorization": "Bearer wrong"}).status_code == 403
    assert platform(settings).registry.version("champion") == "4"


def test_a_viewer_sees_and_cannot_act(url, settings):
    """The button is dead and says why, and so does the answer to whoever asks without it."""
    found = call(url, "GET", PAGE, headers=bearer(url, "vera"))
    assert found.status_code == 200
    assert 'disabled aria-describedby="why-not"' in found.text
    assert "roll-back" not in found.text[found.text.index("<script") :]
    refused = call(url, "POST", "/promotions/roll-back", json=ASKED, headers=bearer(url, "vera"))
    assert refused.status_code == 403
    assert refused.json()["detail"] == "vera may look but not change: a roll-back needs the permission to start runs of the DAG guard."
    assert platform(settings).registry.version("champion") == "4"


@pytest.mark.parametrize("user", ["uma", "olaf", "ada"])
def test_who_may_start_runs_may_act(url, user):
    """The page holds the dialog, and only its own script may run."""
    found = call(url, "GET", PAGE, headers=bearer(url, user))
    assert "Replace version 4 by version 2?" in found.text
    policy = found.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert f"script-src '{'nonce-' + found.text.split('<script nonce=')[1][1:].split(chr(34))[0]}'" in policy
    assert found.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"Origin": "http://elsewhere.example"}, 403),
        ({"Origin": "null"}, 403),
        ({}, 403),
        ({"Origin": "OWN", "Sec-Fetch-Site": "cross-site"}, 403),
        ({"Origin": "OWN", "Content-Type": "text/plain"}, 422),
        ({"Origin": "OWN", "Content-Type": "application/x-www-form-urlencoded"}, 422),
    ],
)
def test_another_site_cannot_act_with_a_browsers_session(url, settings, headers, code):
    """A cookie alone proves nothing: the body is JSON (what is not is 422), and the browser says that it comes from Airflow's own page."""
    sent = {"Content-Type": "application/json"} | {name: value.replace("OWN", url) for name, value in headers.items()}
    found = call(url, "POST", "/promotions/roll-back", json=ASKED, headers=sent, cookies={"_token": token(url, "ada")})
    assert found.status_code == code
    assert platform(settings).registry.version("champion") == "4"


@pytest.mark.parametrize(
    ("asked", "code", "words"),
    [
        (ASKED | {"before": "3"}, 409, "somebody was faster"),
        (ASKED | {"after": "5"}, 409, "somebody was faster"),
        (ASKED | {"why": "  "}, 422, "needs a reason"),
    ],
)
def test_a_refusal_says_why_and_changes_nothing(url, settings, asked, code, words):
    """In a sentence for a person."""
    found = call(url, "POST", "/promotions/roll-back", json=asked, headers=bearer(url, "uma"))
    assert (found.status_code, words in found.json()["detail"]) == (code, True)
    assert platform(settings).registry.version("champion") == "4"


def test_only_reports_and_data_docs_can_be_read(url):
    """What the page links to is there; nothing else of the home is."""
    known = bearer(url, "vera")
    for path in ("/promotions/reports/2026-06-28.html", "/promotions/reports/index.html", "/promotions/data_docs/2026-08-12/index.html"):
        found = call(url, "GET", path, headers=known)
        assert found.status_code == 200
        assert "script-src" not in found.headers["content-security-policy"]
    for path in (
        "/promotions/reports/..%2Fledger.db",
        "/promotions/data_docs/..%2Fledger.db",
        "/promotions/data_docs/%2Fetc%2Fpasswd",
        "/promotions/reports/no.html",
    ):
        assert call(url, "GET", path, headers=known).status_code == 404


def logged_in(page, url, user):
    """Through Airflow's own form, by keyboard."""
    page.size(1280, 900)
    page.open(f"{url}/")
    page.until("document.querySelector('input[name=username]')")
    page.run("document.querySelector('input[name=username]').focus()")
    page.type(user)
    page.press("Tab")
    page.type(PASSWORD)
    page.press("Enter")
    page.until("!location.pathname.startsWith('/auth') && document.querySelector('a[href*=promotions]')")


def test_a_person_rolls_back_by_keyboard(page, url, settings, tmp_path):
    """Log in, open the page from the navigation, open the dialog, think better of it, open it again, give a reason, confirm: the alias has moved."""
    logged_in(page, url, "uma")
    page.run("document.querySelector('a[href*=promotions]').click()")
    page.until(f"{FRAME}.getElementById('ask')")
    page.run(f"{FRAME}.getElementById('ask').focus()")
    page.press("Enter")
    page.until(f"{FRAME}.getElementById('sure').open && {FRAME}.activeElement.id === 'why'")
    page.press("Escape")
    page.until(f"!{FRAME}.getElementById('sure').open && {FRAME}.activeElement.id === 'ask'")
    assert platform(settings).registry.version("champion") == "4"

    page.press(" ")
    page.until(f"{FRAME}.getElementById('sure').open && {FRAME}.activeElement.id === 'why'")
    page.type("Complaints about the new offers since Monday")
    page.press("Tab")
    assert page.run(f"{FRAME}.activeElement.id") == "no"
    page.press("Tab")
    assert page.run(f"{FRAME}.activeElement.id") == "yes"
    page.press("Enter")
    page.until(f"{FRAME}.body.innerText.includes('Changed by hand')")
    assert "Version 4 was replaced by version 2" in page.run(f"{FRAME}.querySelector('.banner').innerText")

    wired = platform(settings)
    assert wired.registry.version("champion") == "2"
    change = wired.experiments.changes()[0]
    assert (change.cause, change.by, change.reason) == (Cause.HAND, "uma in Airflow", "Complaints about the new offers since Monday")
    assert wired.experiments.running() is None
    assert {e.experiment_id: e.state for e in wired.experiments.all()}["exp-2026-04-27"] is State.ROLLED_BACK
    assert "Changed by hand" in (settings.reports / "promotions.html").read_text(encoding="utf-8")


RUN = "scheduled__2026-08-12T00%3A00%3A00%2B00%3A00"


@pytest.mark.parametrize("framed", [True, False])
def test_the_name_of_a_run_leads_to_it(page, url, framed):
    """By keyboard, from the page in Airflow's frame, which may not leave it by itself, and from the page alone: Airflow's UI asks its API for that very run."""
    if page.run("location.href") == "about:blank":
        logged_in(page, url, "ada")
    page.open(f"{url}/plugin/promotions" if framed else url + PAGE)
    document = FRAME if framed else "document"
    link = f"{document}.querySelector('.past a[href$=\"/dags/experiment/runs/{RUN}\"]')"
    page.until(link)
    page.run(f"{link}.closest('details').open = true")
    page.run(f"{link}.focus()")
    page.press("Enter")
    page.until(f"location.pathname === '/dags/experiment/runs/{RUN}'")
    asked = f"{url}/api/v2/dags/experiment/dagRuns/"
    page.until(f"performance.getEntriesByType('resource').some(e => decodeURIComponent(e.name) === {asked!r} + decodeURIComponent({RUN!r}))")


@pytest.mark.parametrize("size", [(1280, 900), (390, 800)])
def test_the_page_can_be_read_wide_and_narrow(page, url, size):
    """Words stand out from their ground as painted, nothing is wider than the window, nothing is fetched from elsewhere."""
    if page.run("location.href") == "about:blank":
        logged_in(page, url, "ada")
    page.size(*size)
    page.open(url + PAGE)
    page.until("document.querySelector('.banner')")
    assert page.run(FAINT) == []
    assert page.run("document.documentElement.scrollWidth <= innerWidth")
    assert set(page.run("performance.getEntriesByType('resource').map(e => e.name)")) <= {f"{url}/favicon.ico"}


def test_a_page_that_cannot_be_written_takes_back_no_roll_back(url, settings):
    """The person is told that it was done, because it was."""
    before, after = planned(platform(settings), None)
    file = settings.reports / "promotions.html"
    file.unlink(missing_ok=True)
    file.mkdir()
    found = call(url, "POST", "/promotions/roll-back", json={"before": before, "after": after, "why": "complaints"}, headers=bearer(url, "uma"))
    file.rmdir()
    assert (found.status_code, found.json()["after"]) == (200, after)
    assert platform(settings).registry.version("champion") == after
