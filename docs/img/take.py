"""Takes the pictures of this folder from a running stack with the demo fleet:

    .run/env/python/bin/python docs/img/take.py [VIEW …]

Every view at 1440 and 390 px, light and dark. The tests' environment brings Playwright; Chromium is the machine's own.
"""

import base64
import shutil
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

HERE = Path(__file__).resolve().parent
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
]
SIZES = {1440: 900, 390: 844}
QUALITY = 60
SETTLE_MS = 1500  # previews and charts are drawn meanwhile

# Name of the picture → its address and what has to be there. {printing} is a printer whose running print has a preview.
VIEWS = {
    "overview": ("overview", "#fleet-rows tr"),
    "passports": ("passports?sort=status", ".passport"),
    "details": ("passports?device={printing}&side=back", ".passport[data-flipped=true] .details section"),
    "prints": ("prints", "#prints-rows tr"),
    "print": ("prints", "#prints-rows img"),
    "garden": ("garden", "#beds svg"),
    "analysis": ("analysis?device={printing}&range=24h", "#phases tbody tr"),
    "devices": ("devices", "#devices tr"),
}


def main(names: list[str]) -> None:
    """Writes NAME-WIDTH-THEME.webp for the named views, or for all."""
    settings = dict(
        line.split("=", 1)
        for line in subprocess.run(
            [HERE.parents[1] / "enms", "env"], text=True, capture_output=True, check=True
        ).stdout.splitlines()
    )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)
        for width, height in SIZES.items():
            for theme in ("light", "dark"):
                context = browser.new_context(
                    viewport={"width": width, "height": height},
                    locale="en-GB",
                    timezone_id="Europe/Berlin",
                    reduced_motion="reduce",
                )
                context.add_init_script(
                    f"localStorage.setItem('enms.profile', 'technical'); localStorage.setItem('enms.theme', '{theme}')"
                )
                page = context.new_page()
                for name in names or VIEWS:
                    take(page, settings["ENMS_HTTP_URL"], name, HERE / f"{name}-{width}-{theme}.webp")
                context.close()
        browser.close()


def take(page: Page, url: str, name: str, file: Path) -> None:
    """Takes one picture."""
    address, there = VIEWS[name]
    printers = page.request.get(f"{url}/api/dpp_summary").json()["printers"]
    printing = max(
        printers, key=lambda printer: (printer["gcodePreviewUrl"] is not None, printer["jobProgressPercent"] or 0)
    )
    page.goto("about:blank")  # each picture is of a fresh page
    page.goto(f"{url}/#/{address.format(printing=printing['deviceId'])}")
    inside = page.frame_locator("#frame")
    inside.locator(there).first.wait_for()
    if name == "print":
        inside.locator("#prints-rows tr:has(img) button").first.click()
        inside.locator("#print-body .caption").wait_for()
    page.wait_for_timeout(SETTLE_MS)
    picture = page.context.new_cdp_session(page).send("Page.captureScreenshot", {"format": "webp", "quality": QUALITY})
    file.write_bytes(base64.b64decode(picture["data"]))


if __name__ == "__main__":
    main(sys.argv[1:])
