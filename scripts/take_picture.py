"""Take the picture of a report's first screen that the README shows.

    python scripts/take_picture.py [REPORT.html]      default: demo/report.html, which `make demo` leaves

Needs playwright and a Chromium of the machine (`chromium` on the path). Writes docs/report.png.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[1]
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")


def main() -> None:
    """Open the page in a window of 1,200 by 900 and keep what is seen first."""
    page = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "demo" / "report.html"
    browser_path = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser_path is None or not page.is_file():
        sys.exit(f"needs chromium on the path, and {page}")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=list(FLAGS))
        tab = browser.new_page(viewport={"width": 1200, "height": 900})
        tab.goto(page.resolve().as_uri())
        tab.screenshot(path=ROOT / "docs" / "report.png")
        browser.close()


if __name__ == "__main__":
    main()
