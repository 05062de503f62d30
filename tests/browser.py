"""A headless Chromium that says what it sees, driven over its debugging pipe: no further package."""

from __future__ import annotations

import base64
import fcntl
import io
import json
import os
import shutil
import subprocess
from pathlib import Path

from PIL import Image

PROGRAM = next(
    (p for p in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if p), None
)
WHY = "no chromium in PATH (Debian: apt-get install chromium)"
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-default-apps", "--disable-extensions", "--hide-scrollbars", "--mute-audio",
    "--disable-dev-shm-usage", "--remote-debugging-pipe",
)  # fmt: skip


class Browser:
    """One browser with one page at a time; `requested` are the addresses that page asked for."""

    def __init__(self, home: Path) -> None:
        to_it, from_us = os.pipe()
        from_it, to_us = os.pipe()
        # The browser reads from 3 and writes to 4, so the ends must not lie there before.
        ends = [fcntl.fcntl(fd, fcntl.F_DUPFD, 20) for fd in (to_it, to_us)]
        os.close(to_it)
        os.close(to_us)

        def place() -> None:
            os.dup2(ends[0], 3)
            os.dup2(ends[1], 4)

        self.process = subprocess.Popen(
            [PROGRAM, *FLAGS, f"--user-data-dir={home}", "about:blank"],
            preexec_fn=place,
            close_fds=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for fd in ends:
            os.close(fd)
        self.out, self.inn = os.fdopen(from_us, "wb"), os.fdopen(from_it, "rb")
        self.number, self.session, self.requested, self.events = 0, None, [], []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)[
            "sessionId"
        ]
        for domain in ("Page", "Network", "Runtime"):
            self.call(f"{domain}.enable")

    def call(self, method, **params):
        """The result of a command; events on the way are kept."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if self.session is not None and not method.startswith("Target."):
            message["sessionId"] = self.session
        self.out.write(json.dumps(message).encode() + b"\0")
        self.out.flush()
        while True:
            found = self._read()
            if found.get("id") == self.number:
                assert "error" not in found, found
                return found["result"]

    def _read(self):
        data = bytearray()
        while (byte := self.inn.read(1)) != b"\0":
            assert byte, "the browser has gone"
            data += byte
        found = json.loads(data)
        if found.get("method") == "Network.requestWillBeSent":
            self.requested.append(found["params"]["request"]["url"])
        if "method" in found:
            self.events.append(found["method"])
        return found

    def show(self, file, *, width, height=900, dark=False, media=""):
        """Open a page as wide as a window, a phone where it is narrow, with all details open."""
        phone = width < 600
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=phone,
        )  # fmt: skip
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", media=media, features=[scheme])
        self.requested, self.events = [], []
        self.call("Page.navigate", url=Path(file).resolve().as_uri())
        while "Page.loadEventFired" not in self.events:
            self._read()
        self.value("document.querySelectorAll('details').forEach(d => d.open = true)")

    def value(self, expression):
        """What an expression of the page comes to."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def picture(self, clip=None):
        """What is seen, the whole page or a box `(x, y, width, height)` of it."""
        if clip is None:
            clip = (0, 0, *self.value("[innerWidth, document.documentElement.scrollHeight]"))
        box = dict(zip(("x", "y", "width", "height"), clip, strict=True), scale=1)
        data = self.call("Page.captureScreenshot", clip=box, captureBeyondViewport=True)["data"]
        return Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")

    def pdf(self):
        """The page as it is printed."""
        return base64.b64decode(self.call("Page.printToPDF", printBackground=True)["data"])

    def close(self):
        try:
            self.call("Browser.close")
        except (AssertionError, OSError, ValueError):
            self.process.kill()
        self.process.wait(30)
        self.out.close()
        self.inn.close()
