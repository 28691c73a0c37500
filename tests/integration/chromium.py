"""A headless Chromium, driven through the DevTools protocol: opens pages, reads what they show."""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import websocket

from tests.integration import system

LOAD_SECONDS = 60.0  # on a busy machine TensorBoard's page of some megabytes takes its time
# Every node of a page: of its shadow roots too, and of the frames that are this site's own.
_NODES = """
const nodes = function* (node) {
  yield node;
  if (node.shadowRoot) yield* nodes(node.shadowRoot);
  if (node.nodeName === 'IFRAME' && node.contentDocument) yield* nodes(node.contentDocument);
  if (['STYLE', 'SCRIPT', 'NOSCRIPT', 'TEMPLATE'].includes(node.nodeName)) return;
  for (const child of node.childNodes) yield* nodes(child);
};
const matching = selector => [...nodes(document)].filter(
    node => node.nodeType === Node.ELEMENT_NODE && node.matches(selector));
"""
_TEXT = """
[...nodes(document.body)]
    .map(node => node.nodeType === Node.TEXT_NODE ? node.textContent
        : node.nodeName === 'INPUT' ? node.value : '')
    .map(text => text.trim()).filter(text => text).join('\\n')
"""


class Page:
    """A tab of a browser.

    Attributes:
      errors: texts of JavaScript errors that nobody caught, since the last open().
      failed: addresses that could not be fetched, or with an error of the server.
    """

    def __init__(self, address: str) -> None:
        # Without an origin: Chromium refuses those it was not told of.
        self._socket = websocket.create_connection(address, suppress_origin=True, timeout=1)
        self._numbers = itertools.count(1)
        self._requests: dict[str, str] = {}
        self._scripts: dict[str, str] = {}
        self.errors: list[str] = []
        self.failed: list[str] = []
        for domain in ("Page", "Runtime", "Network"):
            self._call(f"{domain}.enable")

    def open(self, url: str) -> None:
        """Goes to an address; what the page does after its load goes on."""
        # Leaving first: a change of the fragment alone would load nothing.
        self._call("Page.navigate", url="about:blank")
        self.errors.clear()
        self.failed.clear()
        self._call("Page.navigate", url=url)

    def stand_in(self, url: str, script: str) -> None:
        """Answers requests for an address of the internet with a script of our own."""
        self._scripts[url] = script
        self._call("Fetch.enable", patterns=[{"urlPattern": each} for each in self._scripts])

    def text(self) -> str:
        """All text on the page, a line a piece."""
        return str(self.evaluate(_TEXT))

    def all(self, selector: str) -> list[str]:
        """The texts of all elements that a CSS selector matches, each on its own."""
        found: list[str] = self.evaluate(
            f"matching({json.dumps(selector)}).map(node => node.textContent.trim())"
        )
        return found

    def click(self, selector: str, containing: str) -> None:
        """Clicks the first match with such a text in it; fails where there is none."""
        found = (
            f"matching({json.dumps(selector)})"
            f".find(node => node.textContent.includes({json.dumps(containing)}))"
        )
        assert self.evaluate(f"(found => found && (found.click(), true))({found})"), selector

    def shows(self, *texts: str, seconds: float = LOAD_SECONDS) -> str:
        """Waits until all of the texts are on the page, and returns its text.

        Fails with what is missing and what is there, where they are not within so many seconds.
        """
        deadline = time.monotonic() + seconds
        while True:
            with contextlib.suppress(RuntimeError):  # a page that is only just loading
                shown = self.text()
                missing = [text for text in texts if text not in shown]
                if not missing:
                    return shown
                assert time.monotonic() < deadline, f"no {missing} on the page:\n{shown[:3000]}"
            time.sleep(0.2)

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression; raises RuntimeError for an error in it.

        `nodes(node)` and `matching(selector)` reach into shadow roots and frames.
        """
        block = f"{{ {_NODES}\n({expression.strip()}) }}"
        found = self._call("Runtime.evaluate", expression=block, returnByValue=True)
        if "exceptionDetails" in found:
            raise RuntimeError(found["exceptionDetails"].get("text"))
        return found["result"].get("value")

    def screenshot(self) -> bytes:
        """What is to be seen, as PNG."""
        return base64.b64decode(self._call("Page.captureScreenshot", format="png")["data"])

    def close(self) -> None:
        """Leaves the tab alone."""
        self._socket.close()

    def _send(self, method: str, **params: Any) -> int:
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": params}))
        return number

    def _call(self, method: str, **params: Any) -> dict[str, Any]:
        number = self._send(method, **params)
        deadline = time.monotonic() + LOAD_SECONDS
        while time.monotonic() < deadline:
            with contextlib.suppress(websocket.WebSocketTimeoutException):
                message = json.loads(self._socket.recv())
                if message.get("id") == number:
                    if "error" in message:
                        raise RuntimeError(f"{method}: {message['error']['message']}")
                    return dict(message["result"])
                self._note(message.get("method"), message.get("params", {}))
        raise RuntimeError(f"{method}: no answer")

    def _note(self, event: str | None, params: dict[str, Any]) -> None:
        if event == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.errors.append(details.get("exception", {}).get("description") or details["text"])
        elif event == "Fetch.requestPaused":
            self._send(
                "Fetch.fulfillRequest",
                requestId=params["requestId"],
                responseCode=200,
                responseHeaders=[{"name": "Content-Type", "value": "text/javascript"}],
                body=base64.b64encode(self._scripts[params["request"]["url"]].encode()).decode(),
            )
        elif event == "Network.requestWillBeSent":
            self._requests[params["requestId"]] = params["request"]["url"]
        elif event == "Network.loadingFailed" and not params.get("canceled"):
            self.failed.append(self._requests.get(params["requestId"], "?"))
        elif event == "Network.responseReceived" and params["response"]["status"] >= 400:
            self.failed.append(params["response"]["url"])


@contextlib.contextmanager
def page(width: int = 1280, height: int = 900) -> Iterator[Page]:
    """A browser with one tab; skips the test where there is none and it cannot be installed."""
    program = system.command("chromium", "chromium", "chromium-browser")
    with (
        tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True) as profile,
        subprocess.Popen(
            [
                *(program, "--headless=new", "--no-sandbox", "--disable-gpu"),
                *("--remote-debugging-port=0", f"--user-data-dir={profile}"),
                *(f"--window-size={width},{height}", "--hide-scrollbars", "--no-first-run"),
                *("--disable-dev-shm-usage", "--disable-background-networking", "about:blank"),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as browser,
    ):
        try:
            tab = Page(_tab(Path(profile) / "DevToolsActivePort"))
            try:
                yield tab
            finally:
                tab.close()
        finally:
            browser.terminate()


def _tab(port_file: Path) -> str:
    """The address of the tab, as soon as the browser has written its port."""
    system.wait_for("browser", lambda: port_file.is_file() and bool(_targets(port_file)), 60)
    return str(_targets(port_file)[0]["webSocketDebuggerUrl"])


def _targets(port_file: Path) -> list[dict[str, Any]]:
    port = port_file.read_text(encoding="ascii").partition("\n")[0]
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=5) as answer:
            return [each for each in json.load(answer) if each["type"] == "page"]
    except OSError:
        return []
