"""Debian's Chromium, driven over its DevTools protocol: pages are opened, clicked, looked at."""

import base64
import contextlib
import itertools
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import websocket

FLAGS = [
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--remote-debugging-port=0", "--force-device-scale-factor=1", "--disable-dev-shm-usage"),
]
KEYS = {
    "Escape": 27,
    "ArrowLeft": 37,
    "ArrowUp": 38,
    "ArrowRight": 39,
    "ArrowDown": 40,
    "Enter": 13,
}
SECONDS = 20.0


def program() -> str | None:
    """The browser's path, if there is one."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


@contextlib.contextmanager
def started(profile: Path) -> Iterator["Browser"]:
    """Run the browser with a new profile."""
    command = [str(program()), *FLAGS, f"--user-data-dir={profile}", "about:blank"]
    environment = {**os.environ, "HOME": str(profile), "XDG_CONFIG_HOME": str(profile)}
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment
    )
    try:
        place = profile / "DevToolsActivePort"
        until = time.monotonic() + 60
        while not (place.exists() and place.read_text().count("\n")):
            assert process.poll() is None, "the browser has ended"
            assert time.monotonic() < until, "the browser does not start"
            time.sleep(0.05)
        port, path = place.read_text().split()
        browser = Browser(f"ws://127.0.0.1:{port}{path}")
        yield browser
        with contextlib.suppress(Exception):
            browser.send("Browser.close")
        process.wait(20)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


class Browser:
    """A connection to the browser, shared by its pages."""

    def __init__(self, address: str) -> None:
        self.socket = websocket.create_connection(address, suppress_origin=True, timeout=60)
        self.numbers = itertools.count(1)
        self.pages: dict[str, Page] = {}

    def send(self, method: str, session: str = "", **params: Any) -> dict[str, Any]:
        """Ask for something and wait for the answer; what pages report meanwhile is kept."""
        number = next(self.numbers)
        message = {"id": number, "method": method, "params": params}
        self.socket.send(json.dumps(message | ({"sessionId": session} if session else {})))
        while True:
            answer = json.loads(self.socket.recv())
            if answer.get("id") == number:
                assert "error" not in answer, (method, answer["error"])
                return answer["result"]
            if page := self.pages.get(answer.get("sessionId", "")):
                page.told(answer["method"], answer["params"])

    def page(self) -> "Page":
        """Open an empty page, with a storage of its own."""
        context = self.send("Target.createBrowserContext")["browserContextId"]
        target = self.send("Target.createTarget", url="about:blank", browserContextId=context)
        session = self.send("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        return Page(self, session["sessionId"], context)


class Page:
    """A page, and what went wrong in it."""

    def __init__(self, browser: Browser, session: str, context: str) -> None:
        self.browser, self.session, self.context = browser, session, context
        self.errors: list[str] = []
        self.requests: list[str] = []
        browser.pages[session] = self
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")
        self.size(1280, 800)

    def told(self, method: str, params: dict[str, Any]) -> None:
        if method == "Runtime.exceptionThrown":
            self.errors.append(json.dumps(params["exceptionDetails"])[:2000])
        elif method == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.errors.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")
        elif method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        return self.browser.send(method, self.session, **params)

    def close(self) -> None:
        self.browser.send("Target.disposeBrowserContext", browserContextId=self.context)

    def size(self, width: int, height: int, *, phone: bool = False, pixels: float = 1) -> None:
        shape = {"width": width, "height": height, "deviceScaleFactor": pixels, "mobile": phone}
        self.send("Emulation.setDeviceMetricsOverride", **shape)
        self.send("Emulation.setTouchEmulationEnabled", enabled=phone)

    def prefer(self, **features: str) -> None:
        """Emulate the system's preferences, such as ``prefers_color_scheme="dark"``."""
        found = [{"name": n.replace("_", "-"), "value": value} for n, value in features.items()]
        self.send("Emulation.setEmulatedMedia", features=found)

    def open(self, address: str) -> None:
        self.send("Page.navigate", url=address)
        self.wait("document.readyState === 'complete'")

    def do(self, script: str) -> Any:
        """Return the value of an expression, a promise's when it is one."""
        found = self.send(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True,
            userGesture=True,
        )  # fmt: skip
        assert "exceptionDetails" not in found, (script, found["exceptionDetails"])
        return found["result"].get("value")

    def wait(self, script: str) -> Any:
        """Wait until an expression is true; return its value."""
        until = time.monotonic() + SECONDS
        while True:
            try:
                if value := self.do(script):
                    return value
            except AssertionError:  # while a page is loaded, nothing can be asked
                if time.monotonic() > until:
                    raise
            assert time.monotonic() < until, f"does not become true: {script}; {self.errors}"
            time.sleep(0.03)

    def key(self, *keys: str) -> None:
        for key in keys:
            text = {} if key in KEYS else {"text": key}
            code = KEYS.get(key, ord(key[0].upper()))
            for kind in ("keyDown", "keyUp"):
                extra = text if kind == "keyDown" else {}
                self.send(
                    "Input.dispatchKeyEvent",
                    type=kind,
                    key=key,
                    windowsVirtualKeyCode=code,
                    **extra,
                )

    def place(self, selector: str) -> tuple[float, float]:
        """Return the middle of an element, which is scrolled to."""
        found = self.do(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)});"
            "e.scrollIntoView({block: 'center', behavior: 'instant'});"
            "const b = e.getBoundingClientRect();"
            "return [b.x + b.width / 2, b.y + b.height / 2]; })()"
        )
        return found[0], found[1]

    def mouse(self, kind: str, x: float, y: float, **params: Any) -> None:
        held = {"button": "left", "clickCount": 1} if kind != "mouseWheel" else {}
        self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, **held, **params)

    def click(self, selector: str) -> None:
        x, y = self.place(selector)
        self.mouse("mousePressed", x, y)
        self.mouse("mouseReleased", x, y)

    def drag(self, x: float, y: float, to_x: float, to_y: float) -> None:
        self.mouse("mousePressed", x, y)
        for part in (0.25, 0.5, 0.75, 1):
            self.mouse("mouseMoved", x + part * (to_x - x), y + part * (to_y - y), buttons=1)
        self.mouse("mouseReleased", to_x, to_y)

    def shot(self, path: Path | None = None, *, whole: bool = False) -> bytes:
        """Return what is seen as a PNG; keep it at ``path``."""
        found = self.send("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        content = base64.b64decode(found["data"])
        if path:
            path.write_bytes(content)
        return content
