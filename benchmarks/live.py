"""How long the live page takes to its first picture and from a key to the next one, in Chromium, and what it transfers.

    python benchmarks/live.py [--model MODEL] [--keys 30] [--visits 5] [--runtime FOLDER]

Needs Chromium and the extras `browser` and `onnx`. The page is served from this machine, and each visit begins with an
empty cache. The last line of output is JSON.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import shutil
import statistics
import tempfile
import threading
import time
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from typing_keys import FLAGS, TEXT, key_to_picture, summary, watch

from howfar.live.site import write_site


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


def first_picture(browser: Any, address: str) -> tuple[float, int, Any]:
    """Seconds from an empty cache to the picture, bytes of all files asked for, and the page."""
    page = browser.new_context(viewport={"width": 1280, "height": 1000}).new_page()
    page.set_default_timeout(180_000)
    sizes: list[int] = []
    page.on("response", lambda answer: sizes.append(int(answer.headers.get("content-length", 0))))
    begun = time.perf_counter()
    page.goto(address)
    page.wait_for_selector("html[data-revision]")
    return time.perf_counter() - begun, sum(sizes), page


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="bilingual-per-layer")
    parser.add_argument("--keys", type=int, default=30)
    parser.add_argument("--visits", type=int, default=5)
    parser.add_argument("--runtime", type=Path, help="folder of the npm package onnxruntime-web")
    arguments = parser.parse_args()
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder:
        write_site(Path(folder) / "site", [arguments.model], runtime=arguments.runtime)
        handler = functools.partial(Quiet, directory=str(Path(folder) / "site"))
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
            visits = [
                first_picture(browser, f"http://127.0.0.1:{server.server_port}/") for _ in range(arguments.visits)
            ]
            page = visits[-1][2]
            page.fill("#text", TEXT)
            page.wait_for_timeout(2000)
            watch(page, "html", "data-revision")
            taken = key_to_picture(page, "#text", arguments.keys, pause=0.7, place="Control+End")
            browser.close()
        server.shutdown()
    found = {
        "first_picture_s": statistics.median(seconds for seconds, _, _ in visits),
        "transferred_megabytes": visits[0][1] / 1e6,
        **summary(taken),
        "text_bytes": len(TEXT.encode()),
        "keys": len(taken),
        "visits": len(visits),
        "cpu_count": os.cpu_count(),
        "load_average": os.getloadavg()[0],
    }
    print(json.dumps({name: round(value, 2) if isinstance(value, float) else value for name, value in found.items()}))


if __name__ == "__main__":
    main()
