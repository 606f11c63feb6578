"Where Chromium is: the system's, or the one that `playwright install chromium` put in its own folder."
import shutil, sys
from pathlib import Path

NAMES = 'chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'

def find_chromium() -> str | None:
    "The path of a Chromium that can be started, or None."
    if found := next(filter(None, map(shutil.which, NAMES)), None): return found
    from playwright.sync_api import sync_playwright
    with sync_playwright() as p: own = p.chromium.executable_path
    return own if Path(own).exists() else None

if __name__ == '__main__': sys.exit(find_chromium() is None)
