"""A headless Chromium over its DevTools protocol: open, look, press keys, take a picture."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, Request, build_opener

from websockets.sync.client import ClientConnection, connect

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
KEYS = {"Enter": ("Enter", 13, "\r"), "Tab": ("Tab", 9, ""), "Escape": ("Escape", 27, ""), " ": ("Space", 32, " ")}
GONE = -32000
"""Chromium's code where the page that was asked is no longer there."""


class Gone(Exception):  # noqa: N818 - it says what happened
    """The page went elsewhere before it had answered."""


class Page:
    """One tab."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket, self._ids = socket, count(1)

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call the protocol and wait for its answer."""
        wanted = next(self._ids)
        self._socket.send(json.dumps({"id": wanted, "method": method, "params": parameters}))
        while True:
            said = json.loads(self._socket.recv(timeout=60))
            if said.get("id") == wanted:
                if said.get("error", {}).get("code") == GONE:
                    raise Gone(said["error"]["message"])
                assert "error" not in said, said["error"]
                return said["result"]

    def open(self, url: str) -> None:
        """Go there and wait until it is loaded."""
        self.send("Page.navigate", url=url)
        self.until("document.readyState === 'complete'")

    def run(self, script: str) -> Any:
        """The value of an expression; None where the page went elsewhere meanwhile."""
        try:
            found = self.send("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        except Gone:
            return None
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def until(self, script: str, seconds: float = 60.0) -> None:
        """Wait until the expression is true."""
        give_up = time.monotonic() + seconds
        while True:
            if self.run(f"(() => {{ try {{ return !!({script}); }} catch (e) {{ return false; }} }})()"):
                return
            assert time.monotonic() < give_up, (
                f"{script} did not come true; the page is at {self.run('location.href')}: {str(self.run('document.body.innerText'))[:500]}"
            )
            time.sleep(0.1)

    def press(self, key: str) -> None:
        """A key of KEYS goes down and up where the focus is."""
        code, number, words = KEYS[key]
        shared = {"key": key, "code": code, "windowsVirtualKeyCode": number}
        self.send("Input.dispatchKeyEvent", type="keyDown", text=words, **shared)
        self.send("Input.dispatchKeyEvent", type="keyUp", **shared)

    def type(self, words: str) -> None:
        """Write where the focus is."""
        self.send("Input.insertText", text=words)

    def size(self, width: int, height: int) -> None:
        """Of the window, in CSS pixels."""
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def picture(self, path: Path, *, whole: bool = False) -> Path:
        """What is seen, or the whole page, as PNG."""
        path.write_bytes(base64.b64decode(self.send("Page.captureScreenshot", format="png", captureBeyondViewport=whole)["data"]))
        return path


@contextmanager
def browser(folder: Path) -> Iterator[Page]:
    """A tab of a fresh Chromium whose profile is `folder`; it ends with the block."""
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run", "--disable-background-networking", "--no-proxy-server"]
    command = [str(CHROMIUM), *flags, "--remote-debugging-port=0", f"--user-data-dir={folder}", "about:blank"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        port = next(found[1] for line in process.stderr if (found := re.search(r"DevTools listening on ws://127\.0\.0\.1:(\d+)/", line)))
        with build_opener(ProxyHandler({})).open(Request(f"http://127.0.0.1:{port}/json/new?about:blank", method="PUT"), timeout=30) as answer:
            tab = json.loads(answer.read())
        with connect(tab["webSocketDebuggerUrl"], max_size=None, proxy=None) as socket:
            yield Page(socket)
    finally:
        process.terminate()
        process.wait(timeout=30)
