"""Take the explorer's picture, as it opens: `python docs/picture_explorer.py IMAGE.png` (extra `browser`)."""

import os
import shutil
import subprocess
import sys

from playwright.sync_api import sync_playwright

EXPLORER = "from howfar.commands.explore import explore; explore(['bilingual-per-layer'], browser=False)"
SIZE = {"width": 1200, "height": 1280}
PATIENCE = 120_000  # milliseconds


def main(output: str) -> None:
    """Start the explorer, wait until its panel says what the changed gap does, and take the picture."""
    process = subprocess.Popen([sys.executable, "-u", "-c", EXPLORER], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        words = (word for line in process.stdout for word in line.split())
        address = next(word for word in words if word.startswith("http://"))
        with sync_playwright() as driver:
            arguments = ["--no-sandbox"] if os.getuid() == 0 else []
            browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=arguments)
            page = browser.new_page(viewport=SIZE)
            page.set_default_timeout(PATIENCE)
            page.goto(address)
            page.wait_for_selector(".ghost", state="attached")
            page.wait_for_selector(".losses rect")
            page.screenshot(path=output)
            browser.close()
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
