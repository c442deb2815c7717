"""Chromium, as a department has it; scripts/peers brings it and its driver."""

import shutil
from pathlib import Path

from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service

# Nothing but the pages of the test is asked for, and WebGL is drawn by the processor.
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--window-size=1200,800",
)


def open_browser(profile: Path) -> Chrome:
    """A browser without a window; whoever opens it quits it."""
    options = ChromeOptions()
    options.binary_location = _command("chromium", "google-chrome")
    for flag in (*_FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    return Chrome(options, Service(_command("chromedriver")))


def _command(*names: str) -> str:
    """Where the first of these commands is that is there."""
    return next(found for found in map(shutil.which, names) if found is not None)
