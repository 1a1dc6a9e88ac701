"""Debian's Firefox, driven by WebDriver BiDi: Playwright drives no Firefox but its own builds.

Commands and events are those of https://www.w3.org/TR/webdriver-bidi/.
"""

import itertools
import json
import re
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path

from websockets.sync.client import connect

from browser.visiting import PATIENCE

# Nothing is fetched but what the page asks for.
PREFERENCES = {
    "app.normandy.enabled": False,
    "browser.safebrowsing.downloads.enabled": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "services.settings.server": "http://127.0.0.1:9",
}


class Firefox:
    """A headless Firefox with one page.

    Args:
        program: Path of the browser.
        folder: An empty folder, for its profile and its log.

    Attributes:
        requests: Addresses that the page asked for.
        errors: What the page wrote to its console as an error, uncaught exceptions included.
    """

    def __init__(self, program: str, folder: Path):
        self.requests: list[str] = []
        self.errors: list[str] = []
        self._number = itertools.count(1)
        profile, log = folder / "profile", folder / "log"
        profile.mkdir()
        lines = [f"user_pref({json.dumps(key)}, {json.dumps(value)});" for key, value in PREFERENCES.items()]
        (profile / "user.js").write_text("\n".join(lines))
        command = [program, "--headless", "--no-remote", "--profile", str(profile), "--remote-debugging-port", "0"]
        with log.open("w") as output:
            self._process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        self._until_closed = ExitStack()
        self._until_closed.callback(self._process.wait, 20)
        self._until_closed.callback(self._process.terminate)
        try:
            connection = connect(self._address(log) + "/session", max_size=None, proxy=None)
            self._socket = self._until_closed.enter_context(connection)
            self.send("session.new", capabilities={})
            self.send("session.subscribe", events=["network.beforeRequestSent", "log.entryAdded"])
            self._page = self.send("browsingContext.getTree")["contexts"][0]["context"]
        except BaseException:
            self.close()
            raise

    def _address(self, log: Path) -> str:
        until = time.monotonic() + PATIENCE / 1000
        while time.monotonic() < until and self._process.poll() is None:
            if found := re.search(r"BiDi listening on (ws://\S+)", log.read_text()):
                return found[1]
            time.sleep(0.1)
        raise AssertionError(f"Firefox did not start: {log.read_text()}")

    def send(self, method: str, **parameters):
        """Send a command and return its result; what the page reports meanwhile is kept."""
        number = next(self._number)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while (said := json.loads(self._socket.recv(timeout=PATIENCE / 1000))).get("id") != number:
            self._keep(said)
        assert said["type"] == "success", said
        return said["result"]

    def _keep(self, event):
        told = event["params"]
        if event["method"] == "network.beforeRequestSent" and told["context"] == self._page:
            self.requests.append(told["request"]["url"])
        if event["method"] == "log.entryAdded" and told["level"] == "error":
            self.errors.append(told["text"])

    def resize(self, width: int, height: int):
        self.send("browsingContext.setViewport", context=self._page, viewport={"width": width, "height": height})

    def goto(self, address: str):
        self.send("browsingContext.navigate", context=self._page, url=address, wait="complete")

    def evaluate(self, function: str, *arguments):
        """Call a function of the page, asynchronous or not; arguments and result travel as JSON."""
        given = ", ".join(json.dumps(argument) for argument in arguments)
        answer = self.send(
            "script.evaluate",
            expression=f"(async () => JSON.stringify(await ({function})({given})) ?? 'null')()",
            target={"context": self._page},
            awaitPromise=True,
        )
        assert answer["type"] == "success", answer
        return json.loads(answer["result"]["value"])

    def wait_for_function(self, function: str, *arguments):
        until = time.monotonic() + PATIENCE / 1000
        while not self.evaluate(function, *arguments):
            assert time.monotonic() < until, f"never true: {function}"
            time.sleep(0.05)

    def type(self, text: str):
        """Press keys, one by one, in what has the focus."""
        keys = [{"type": kind, "value": key} for key in text for kind in ("keyDown", "keyUp")]
        actions = [{"type": "key", "id": "keyboard", "actions": keys}]
        self.send("input.performActions", context=self._page, actions=actions)

    def close(self):
        self._until_closed.close()
