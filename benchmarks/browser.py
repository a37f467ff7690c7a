"""A page of a file in headless Chromium, used as a reader would: the keyboard, the mouse, what it says and looks like.

The browser is spoken to by its DevTools protocol (https://chromedevtools.github.io/devtools-protocol), over the pipe of
`--remote-debugging-pipe`: messages of JSON that end with a zero byte, read from descriptor 3 and written to 4.
"""

import base64
import json
import os
import select
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",  # small in containers
    "--no-first-run",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)
SECONDS = 120.0  # for an answer


class Browser:
    """A browser that runs, with the pages that it opens. `events`: what it told without being asked."""

    def __init__(self, process: subprocess.Popen, to: int, back: int) -> None:
        self.process, self.to, self.back = process, to, back
        self.events: list[dict] = []
        self.rest, self.number = b"", 0

    def call(self, method: str, session: str = "", **parameters: Any) -> dict:
        """The result of a command of the protocol; raises RuntimeError for an error, TimeoutError for no answer."""
        self.number += 1
        record: dict = {"id": self.number, "method": method, "params": parameters}
        os.write(self.to, json.dumps(record | ({"sessionId": session} if session else {})).encode() + b"\0")
        while (message := self._next()).get("id") != record["id"]:
            self.events.append(message)
        if "error" in message:
            raise RuntimeError(f"{method}: {message['error']}")
        return message["result"]

    def _next(self) -> dict:
        end = time.monotonic() + SECONDS
        while b"\0" not in self.rest:
            ready, _, _ = select.select([self.back], [], [], max(0.0, end - time.monotonic()))
            part = os.read(self.back, 1 << 20) if ready else b""
            if not part:
                raise TimeoutError("the browser does not answer: it has ended, or took too long")
            self.rest += part
        message, _, self.rest = self.rest.partition(b"\0")
        return json.loads(message)

    def open(self, address: str, width: int = 1280, height: int = 900, **emulated: str) -> "Page":
        """A page, when it has loaded, in a window of this size; emulated: media features ("prefers_color_scheme")."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = Page(self, session)
        for domain in ("Page", "Runtime", "Log", "Network"):
            page.call(f"{domain}.enable")
        page.resize(width, height)
        features = [{"name": name.replace("_", "-"), "value": value} for name, value in emulated.items()]
        page.call("Emulation.setEmulatedMedia", features=features)
        page.go(address)
        return page


class Page:
    """One page of a browser."""

    def __init__(self, browser: Browser, session: str) -> None:
        self.browser, self.session = browser, session

    def call(self, method: str, **parameters: Any) -> dict:
        return self.browser.call(method, self.session, **parameters)

    def go(self, address: str) -> None:
        """Another address, until it has loaded."""
        self.call("Page.navigate", url=address)
        self.run("new Promise((done) => document.readyState === 'complete' ? done() : addEventListener('load', done))")
        self.settle()

    def resize(self, width: int, height: int) -> None:
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def run(self, script: str) -> Any:
        """The value of an expression of JavaScript, or what its promise gives; raises RuntimeError where it throws."""
        found = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in found:
            raise RuntimeError(str(found["exceptionDetails"].get("exception", {}).get("description", found)))
        return found["result"].get("value")

    def settle(self) -> None:
        """Waits until what was changed is drawn: two frames."""
        self.run("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done())))")

    def press(self, key: str) -> None:
        """A key of the keyboard, by its name ("ArrowLeft", "Enter", "Tab")."""
        text = {"Enter": "\r", " ": " "}.get(key, "")
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, text=text if kind == "keyDown" else "")
        self.settle()

    def mouse(self, kind: str, x: float, y: float) -> None:
        """The mouse at a place of the window; kind: "mouseMoved", "mousePressed" or "mouseReleased"."""
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=1, clickCount=1)

    def picture(self, whole: bool = False) -> bytes:
        """What is seen, as PNG; whole: all of the page, not what fits the window."""
        return base64.b64decode(self.call("Page.captureScreenshot", captureBeyondViewport=whole)["data"])

    def requests(self) -> list[str]:
        """Addresses that the page asked for, but for those of pages that it was told to open, and of data in it."""
        asked = [event["params"] for event in self._events("Network.requestWillBeSent")]
        return [
            one["request"]["url"]
            for one in asked
            if one.get("type") != "Document" and not one["request"]["url"].startswith(("data:", "blob:"))
        ]

    def complaints(self) -> list[str]:
        """Errors and warnings on the console, and exceptions that nobody caught."""
        thrown = [str(event["params"]["exceptionDetails"]) for event in self._events("Runtime.exceptionThrown")]
        logged = [event["params"]["entry"]["text"] for event in self._events("Log.entryAdded")]
        told = [str(event["params"]["args"]) for event in self._events("Runtime.consoleAPICalled")]
        return thrown + logged + told

    def _events(self, method: str) -> list[dict]:
        return [
            one for one in self.browser.events if (one.get("method"), one.get("sessionId")) == (method, self.session)
        ]


@contextmanager
def running(profile: Path, program: str = "chromium") -> Iterator[Browser]:
    """A browser with an empty profile in this folder, until the block ends."""
    (in_read, in_write), (out_read, out_write) = os.pipe(), os.pipe()
    command = [program, *FLAGS, f"--user-data-dir={profile}"]
    joined = ["bash", "-c", f'exec "$@" 3<&{in_read} 4>&{out_write}', "bash", *command]
    process = subprocess.Popen(
        joined, pass_fds=(in_read, out_write), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    os.close(in_read)
    os.close(out_write)
    try:
        yield Browser(process, in_write, out_read)
    finally:
        os.close(in_write)
        os.close(out_read)
        process.terminate()
        process.wait(30)
