"""Open a page in headless Chromium, as the one who gets it will."""

import re
import shutil
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest

_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def printed_pages(page: Path) -> int:
    """Print a page to PDF; return the number of sheets."""
    pdf = page.with_suffix(".pdf")
    _run("--no-pdf-header-footer", f"--print-to-pdf={pdf}", page=page)
    return len(re.findall(rb"/Type\s*/Page\b", pdf.read_bytes()))


def screenshot(page: Path) -> np.ndarray:
    """Return what is seen of a page, (row, column, BGR)."""
    png = page.with_suffix(".png")
    _run("--window-size=850,1200", f"--screenshot={png}", page=page)
    return cv2.imread(str(png))


def rendered_html(page: Path) -> str:
    """Return the page as the browser understood it."""
    return _run("--dump-dom", page=page)


def _run(*arguments: str, page: Path) -> str:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("chromium is not installed (Debian's package chromium)")
    profile = page.parent / "profile"
    command = [chromium, *_FLAGS, f"--user-data-dir={profile}", *arguments, page.as_uri()]
    try:
        return subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=120
        ).stdout
    finally:
        shutil.rmtree(profile, ignore_errors=True)
