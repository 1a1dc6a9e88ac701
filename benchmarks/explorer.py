"""How long the explorer takes from a key to the new picture, and from a click to what the model expects there, in the
browser, and what many visitors cost.

    python benchmarks/explorer.py [--model MODEL] [--keys 30] [--visitors 20]

Needs Chromium and the extra `browser`. The model's own forward pass is measured in the same run, between the keys, and
taken off. The last line of output is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from typing_keys import FLAGS, TEXT, click_to_change, key_to_picture, summary, watch

PICTURE = "#picture .picture"
CLICKED = {"marks": PICTURE, "prediction": ".beside .expected tbody"}
LONG = "Many words make a long text, and a long text makes a long picture. " * 300


def start(model: str | None) -> tuple[subprocess.Popen[str], str]:
    program = "import sys; from howfar.commands.explore import explore; explore(sys.argv[1:], browser=False)"
    command = [sys.executable, "-u", "-c", program, *([model] if model else [])]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        for word in line.split():
            if word.startswith("http://"):
                return process, word
    raise SystemExit("the explorer did not start")


def open_page(browser: Any, address: str) -> Any:
    page = browser.new_context(viewport={"width": 1280, "height": 1000}).new_page()
    page.set_default_timeout(180_000)
    page.goto(address)
    page.wait_for_selector("html[data-revision]")
    page.wait_for_selector("#panels[data-panel]")
    return page


def put(page: Any, text: str) -> float:
    """Replace the text; seconds until its picture stands."""
    shown = page.locator(PICTURE).get_attribute("aria-label")
    begun = time.perf_counter()
    page.locator("textarea").first.fill(text)
    while page.locator(PICTURE).get_attribute("aria-label") == shown:
        page.wait_for_timeout(20)
    return time.perf_counter() - begun


def save_png(page: Any) -> float:
    """Seconds from the button to the file with the picture."""
    begun = time.perf_counter()
    with page.expect_download() as download:
        page.locator("#saves").get_by_text("PNG", exact=True).click()
    download.value.path()
    return time.perf_counter() - begun


def forward_pass(model: str | None, rounds: int) -> list[float]:
    """Milliseconds of `howfar.trace` of the text."""
    import howfar

    loaded = howfar.load(model)
    taken = []
    for _ in range(rounds):
        begun = time.perf_counter()
        howfar.trace(loaded, TEXT + "x")
        taken.append(1000 * (time.perf_counter() - begun))
    return taken[2:]


def resident_megabytes(process: subprocess.Popen[str]) -> float:
    return int(Path(f"/proc/{process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def all_type(browser: Any, address: str, visitors: int) -> tuple[float, int]:
    """All visitors type at once: seconds until every picture is up to date, and how many are not."""
    pages = [open_page(browser, address) for _ in range(visitors)]
    begun = time.perf_counter()
    for word in ("one ", "two ", "three"):
        for number, page in enumerate(pages):
            page.locator("textarea").first.press("End")
            page.keyboard.type(f"{word}{'x' * number}")
    lost = 0
    for page in pages:
        length = len(page.locator("textarea").first.input_value())
        try:
            page.wait_for_function(
                "length => document.getElementById('place').textContent.endsWith(`of ${length}`)",
                arg=f"{length:,}",
                timeout=120_000,
            )
        except Exception:
            lost += 1
    return time.perf_counter() - begun, lost


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", help="a bundled model, folder or Hub id")
    parser.add_argument("--keys", type=int, default=30)
    parser.add_argument("--visitors", type=int, default=20)
    arguments = parser.parse_args()
    from playwright.sync_api import sync_playwright

    process, address = start(arguments.model)
    try:
        with sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
            page = open_page(browser, address)
            put(page, TEXT)
            page.wait_for_timeout(3000)
            watch(page, PICTURE, "aria-label")
            taken = key_to_picture(page, "textarea", arguments.keys, pause=1.5, place="Control+End")
            at_start = key_to_picture(page, "textarea", arguments.keys, pause=1.5, place="Control+Home")
            clicked = click_to_change(page, PICTURE, arguments.keys, pause=2, changes=CLICKED)
            saved = save_png(page)
            long_text = put(page, LONG[:20_000])
            page.context.close()
            before = resident_megabytes(process)
            together, lost = all_type(browser, address, arguments.visitors) if arguments.visitors else (0.0, 0)
            after = resident_megabytes(process)
            browser.close()
        forward = forward_pass(arguments.model, 12)
    finally:
        process.terminate()
    found = {
        **summary(taken),
        "trace_ms": statistics.median(forward),
        "beyond_trace_ms": statistics.median(taken) - statistics.median(forward),
        "beyond_trace_ms_typing_at_the_start": statistics.median(at_start) - statistics.median(forward),
        **{f"click_to_{name}_ms": milliseconds for name, milliseconds in clicked.items()},
        "keys": len(taken),
        "text_characters": len(TEXT),
        "png_s": saved,
        "text_of_20000_characters_s": long_text,
        "visitors": arguments.visitors,
        "visitors_up_to_date_s": together,
        "visitors_lost_updates": lost,
        "server_megabytes_before": before,
        "server_megabytes_with_visitors": after,
        "cpu_count": os.cpu_count(),
        "load_average": os.getloadavg()[0],
    }
    print(json.dumps({name: round(value, 1) if isinstance(value, float) else value for name, value in found.items()}))


if __name__ == "__main__":
    main()
