"""The browser app in Chromium, through the door, on a real stack with simulated printers: what people see, click and type."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from contextlib import contextmanager
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Frame, Page, expect, sync_playwright

from support import frontend
from support.enms import ROOT
from support.http import call
from support.simulated_fleet import SimulatedFleet
from support.waiting import wait_for

ARGUMENTS = ("--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update "
             "--disable-sync --use-gl=angle --use-angle=swiftshader --enable-unsafe-swiftshader").split()
MARKUP = "<img src=x onerror=document.title='pwned'>"
PRINTER, SECOND = "browser-1", "browser-2"
SCENARIOS = ("idle_fleet", "busy_fleet", "errors", "long_job", "saving_idle", "saving_hours", "empty")
VIEWS = ("overview", "passports", "prints", "garden", "analysis", "devices")
OVERFLOW = """() => {
    const width = document.documentElement.clientWidth;
    const out = [...document.querySelectorAll('body *')].filter((node) => {
        const box = node.getBoundingClientRect();
        return box.width > 0 && box.right > width + 1 && !node.closest('.swiper, .unseen, thead, .table-wrap, dialog:not([open])');
    });
    return [document.documentElement.scrollWidth > width ? 'the page scrolls sideways' : '', ...out.map((node) => node.outerHTML.slice(0, 120))].filter(Boolean);
}"""


@pytest.fixture(scope="module")
def fleet(enms, tmp_path_factory):
    """Two printers with plugs; the first has a name that is markup."""
    made = SimulatedFleet(enms, tmp_path_factory.mktemp("browser"), {
        "seed": 3, "step_s": 0.5,
        "printers": [{"device_id": name, "profile": "mk4", "protocol": "prusalink", "interval_s": 2, "finished_hold_s": 4.0} for name in (PRINTER, SECOND)],
        "plugs": [{"id": f"plug-{name}", "kind": "shelly_gen2", "channels": {"switch:0": name}, "interval_s": 2, "start_wh": 1000.5} for name in (PRINTER, SECOND)],
    })
    try:
        made.start()
        made.devices[PRINTER]["friendly_name"] = MARKUP
        made.enms.add_device(made.devices[PRINTER])
        yield made
    finally:
        made.remove()
        made.stop()


@pytest.fixture(scope="module")
def door(enms, stack, tmp_path_factory):
    """The built app on a port of its own, so that a test may shut it."""
    place = tmp_path_factory.mktemp("door")
    opened = frontend.Door(stack, frontend.build(stack, place / "pages"), place / "nginx")
    opened.open()
    yield opened
    opened.shut()


@pytest.fixture(scope="module")
def browser():
    """One Chromium for the module."""
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=shutil.which("chromium") or "/usr/bin/chromium", args=ARGUMENTS)
        yield started
        started.close()


@contextmanager
def visit(browser: Browser, door, path: str, *, profile: str | None = "technical", theme: str | None = None, width: int = 1440, errors: bool = False, **options):
    """A page of a new visitor. Unless `errors`, any error in the console (a refused style, a failed request) fails the test."""
    context = browser.new_context(viewport={"width": width, "height": 900 if width > 600 else 844}, locale="en-US", **options)
    if profile:
        context.add_init_script(f"localStorage.getItem('enms.profile') ?? localStorage.setItem('enms.profile', '{profile}')")
    if theme:
        context.add_init_script(f"localStorage.setItem('enms.theme', '{theme}')")
    page = context.new_page()
    seen: list[str] = []
    page.on("console", lambda message: seen.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: seen.append(str(error)))
    try:
        page.goto(door.url + path)
        yield page
        assert errors or not seen, seen
    finally:
        context.close()


def content(page: Page):
    """The frame of the shell."""
    return page.frame_locator("#frame")


def frame(page: Page, name: str) -> Frame:
    """The loaded frame that shows `name`."""
    for _ in range(100):
        for part in page.frames:
            if name in part.url:
                return part
        page.wait_for_timeout(100)  # unlike time.sleep, lets the browser's events in
    raise AssertionError(f"no frame shows {name}: {[part.url for part in page.frames]}")


# ------------------------------------------------------------------------------------------------ shell

def test_the_first_visit_asks_for_a_profile_and_keeps_it(browser, door, fleet):
    """Each profile has its own menu; it can be changed; the next visit doesn't ask."""
    with visit(browser, door, "/", profile=None) as page:
        expect(page.locator("#profiles")).to_be_visible()
        page.locator("[data-profile=dpp]").click()
        expect(page).to_have_url(re.compile("#/passports$"))
        expect(page.locator("#nav a")).to_have_text(["Passports", "Prints", "Garden"])
        page.reload()
        expect(page.locator("#profiles")).to_be_hidden()
        page.locator("#profile").click()
        page.locator("[data-profile=technical]").click()
        expect(page.locator("#nav a", has_text="Flows")).to_be_visible()
        page.locator("#profile").click()
        page.locator("[data-profile=staff]").click()
        expect(page.locator("#nav a")).to_have_text(["Overview", "Passports", "Garden", "Prints"])


def test_the_theme_reaches_shell_and_page_at_once(browser, door, fleet):
    """Light, dark and the system's theme, without a reload."""
    with visit(browser, door, "/#/overview", color_scheme="dark") as page:
        inside = frame(page, "overview.html")
        inside.wait_for_selector("#fleet-rows tr")
        paper = "() => getComputedStyle(document.body).backgroundColor"
        dark = page.evaluate(paper)
        assert inside.evaluate(paper) == dark
        page.locator("#theme").click()  # system → light
        expect(page.locator("html")).to_have_attribute("data-theme", "light")
        expect(inside.locator("html")).to_have_attribute("data-theme", "light")
        assert inside.evaluate(paper) == page.evaluate(paper) != dark
        page.locator("#theme").click()  # light → dark
        expect(inside.locator("html")).to_have_attribute("data-theme", "dark")
        assert inside.evaluate(paper) == dark


def test_deep_links_back_button_and_keys(browser, door, fleet):
    """An address opens a passport on its back; the back button returns; digits and ? work inside the frame too."""
    with visit(browser, door, f"/#/passports?device={PRINTER}&side=back") as page:
        card = content(page).locator(f"[data-device={PRINTER}] .passport")
        expect(card).to_have_attribute("data-flipped", "true")
        expect(page).to_have_title(re.compile("ENMS"))
        page.locator("#nav a", has_text="Garden").click()
        expect(content(page).locator(f"#beds [data-device={PRINTER}]")).to_be_visible()
        page.go_back()
        expect(card).to_have_attribute("data-flipped", "true")
        card.locator(".back .turn").press("f")
        expect(card).to_have_attribute("data-flipped", "false")
        card.locator(".front .turn").press("3")
        expect(page).to_have_url(re.compile("#/prints"))
        page.keyboard.press("?")
        expect(page.locator("#keys")).to_be_visible()


def test_the_keyboard_alone_reaches_the_content(browser, door, fleet):
    """Tab, Enter on the skip link, Tab: the search; further on a passport is turned over by Enter."""
    with visit(browser, door, "/#/passports") as page:
        expect(content(page).locator(".passport").first).to_be_visible()
        page.locator("body").press("Tab")
        expect(page.locator("#skip")).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.locator("#frame")).to_be_focused()
        page.keyboard.press("Tab")
        expect(content(page).locator("#search")).to_be_focused()
        for _ in range(12):
            page.keyboard.press("Tab")
            if content(page).locator(".front .turn:focus").count():
                break
        page.keyboard.press("Enter")
        expect(content(page).locator(".passport[data-flipped=true]")).to_have_count(1)
        expect(content(page).locator(".back .turn:focus")).to_have_count(1)


def test_the_flow_editor_opens_behind_the_door(browser, door, fleet):
    """The editor's login stands in the frame; another origin may not frame us."""
    with visit(browser, door, "/#/flows", errors=True) as page:
        expect(content(page).locator("#node-dialog-login, .red-ui-login-dialog, input[type=password]").first).to_be_visible(timeout=15_000)
    headers = call("GET", door.url + "/").headers
    assert "frame-ancestors 'self'" in headers["content-security-policy"] and "unsafe-inline" not in headers["content-security-policy"]
    assert headers["x-frame-options"] == "SAMEORIGIN"


@pytest.mark.parametrize("address, shown", [("", "/grafana/d/enms-fleet/fleet?kiosk&theme=dark"),
                                            ("?dashboard=energy&var-device=MK4%201", "/grafana/d/enms-energy/energy?kiosk&var-device=MK4+1&theme=dark"),
                                            ("?dashboard=../x", "/grafana/d/enms-fleet/fleet?kiosk&theme=dark")])
def test_charts_open_a_dashboard_in_the_apps_theme(browser, door, fleet, address, shown):
    """Whether Grafana runs or not, its address is that of the dashboard."""
    with visit(browser, door, f"/#/charts{address}", theme="dark", errors=True) as page:
        assert frame(page, "/grafana/").url == door.url + shown


# ------------------------------------------------------------------------------------------------ passports

def rounded(value, digits=0):
    """As a browser rounds: halves away from zero. (Python's own way takes 24.5 to 24.)"""
    return f"{Decimal(str(value)).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP):,}"


def shown(value, digits, unit):
    return "–" if value is None else rounded(value, digits) + unit


def test_a_passport_shows_the_figures_of_the_api(browser, door, fleet):
    """Power, kWh, temperatures, status, tip and history, to the printed digit."""
    fleet.wait_seen(without=(SECOND,))
    with visit(browser, door, "/overview.html?scenario=empty") as page:
        summary = fleet.enms.summary()  # the same answer for the page and for us
        page.route("**/api/dpp_summary*", lambda route: route.fulfill(json=summary))
        page.goto(door.url + "/dpp_page.html")
        printer = next(p for p in summary["printers"] if p["deviceId"] == PRINTER)
        card = page.locator(f"[data-device={PRINTER}] .passport")
        watts = printer["powerWatts"]
        expect(card.locator("[data-field=powerWatts] dd")).to_have_text(shown(watts, 1 if watts is not None and watts < 10 else 0, "W"))
        expect(card.locator("[data-field=kwhLast24h] dd")).to_have_text(shown(printer["kwhLast24h"], 3, "kWh"))
        expect(card.locator(".tip")).to_have_text(printer["tipText"])
        expect(card.locator(".state .status")).to_have_text(printer["currentStatus"])
        nozzle = printer["currentNozzleTemp"]
        assert rounded(nozzle) in card.locator(".heat dd").first.text_content()


def test_markup_is_text(browser, door, fleet):
    """A printer whose name is markup, on every view."""
    for view in ("overview", "passports", "garden", "devices", "prints"):
        with visit(browser, door, f"/#/{view}") as page:
            if view != "prints":
                expect(content(page).locator(f"[data-device={PRINTER}]").get_by_text(MARKUP).first).to_be_visible()
            assert "pwned" not in page.title()
            assert content(page).locator("img[src=x]").count() == 0


def test_a_print_runs_ends_and_moves_to_the_history_without_reload(browser, door, fleet):
    """Its file name is markup, too. What the list says is what the API says; the CSV has it."""
    filename = "a<b>bold</b>.gcode"
    fleet.wait_seen(without=(SECOND,))
    with visit(browser, door, "/#/passports") as page:
        card = content(page).locator(f"[data-device={PRINTER}] .passport")
        fleet.start_job(PRINTER, filename, 12)
        expect(card.locator(".file")).to_have_text(filename, timeout=20_000)
        page.keyboard.press("3")
        row = content(page).locator("#prints-rows tr", has_text=filename)
        expect(row).to_be_visible(timeout=45_000)
        job = next(job for job in fleet.enms.summary()["globalHistory"] if job["filename"] == filename)
        expect(row.locator("[data-field=kwh]")).to_have_text(shown(job["kwh"], 3, " kWh"))
        with page.expect_download() as download:
            content(page).locator("#csv").click()
        text = Path(download.value.path()).read_text(encoding="utf-8-sig")
        assert text.startswith("jobId,completedAt") and job["jobId"] in text and filename in text


def test_every_scenario_is_rendered(browser, door):
    """All views of every made-up fleet, both sides of the passports, without an error in the console."""
    with visit(browser, door, "/overview.html?scenario=empty") as page:
        for scenario in SCENARIOS:
            page.goto(f"{door.url}/overview.html?scenario={scenario}")
            page.wait_for_selector("#totals:not([hidden])")
            page.goto(f"{door.url}/garden.html?scenario={scenario}")
            page.wait_for_selector("#beds li, #none:not([hidden])")
            page.goto(f"{door.url}/dpp_page.html?scenario={scenario}&arrange=grid")
            page.wait_for_selector(".passport, #none:not([hidden])")
            page.evaluate("document.querySelectorAll('.front .turn').forEach((button) => button.click())")
            assert page.evaluate("[...document.querySelectorAll('.passport')].every((card) => card.dataset.flipped === 'true')"), scenario


@pytest.mark.long
def test_only_visible_passports_exist(browser, door):
    """A hundred printers: few cards are in the page, and swiping makes no task over 200 ms."""
    busy = call("GET", f"{door.url}/api/dpp_summary?scenario=busy_fleet").json()
    many = [{**busy["printers"][i % len(busy["printers"])], "deviceId": f"many-{i}", "friendlyName": f"Printer {i}"} for i in range(100)]
    with visit(browser, door, "/overview.html?scenario=empty") as page:
        page.route("**/api/dpp_summary*", lambda route: route.fulfill(json={**busy, "printers": many}))
        page.add_init_script("window.tasks = []; new PerformanceObserver((list) => tasks.push(...list.getEntries().map((e) => e.duration))).observe({ type: 'longtask', buffered: true })")
        page.goto(door.url + "/dpp_page.html")
        page.wait_for_selector(".passport")
        assert page.locator(".swiper-slide").count() == 100
        assert page.locator(".passport").count() <= 12
        longest = []
        for direction in ("#next", "#previous", "#next"):
            page.evaluate("tasks.length = 0")
            for _ in range(8):
                page.locator(direction).click()
                page.wait_for_timeout(120)
            longest.append(max(page.evaluate("tasks"), default=0))
        assert min(longest) < 200, longest  # the best of three: a busy machine stretches every task
        assert page.locator(".passport").count() <= 14


@pytest.mark.parametrize("webgl", [True, False])
def test_the_preview_of_the_running_print(browser, door, webgl, tmp_path):
    """Drawn where there is WebGL; elsewhere a sentence, and everything else goes on."""
    program = "M83\nG1 Z0.2 F600\n" + "".join(f"G1 Z{0.2 * n:.1f}\nG1 X10 Y10 E.1\nG1 X40 Y10 E2\nG1 X40 Y40 E2\nG1 X10 Y40 E2\nG1 X10 Y10 E2\n" for n in range(1, 30))
    (tmp_path / "cube.gcode").write_text(program)
    subprocess.run([sys.executable, "-m", "gcode.gcode_analyzer", tmp_path / "cube.gcode", "--preview", tmp_path / "cube.bin"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    busy = call("GET", f"{door.url}/api/dpp_summary?scenario=busy_fleet").json()
    busy["printers"][0]["gcodePreviewUrl"] = "/previews/cube.bin"
    with visit(browser, door, "/overview.html?scenario=empty", errors=not webgl) as page:
        if not webgl:
            page.add_init_script("HTMLCanvasElement.prototype.getContext = () => null")
        page.route("**/previews/cube.bin", lambda route: route.fulfill(path=tmp_path / "cube.bin"))
        page.route("**/api/dpp_summary*", lambda route: route.fulfill(json=busy))
        page.goto(f"{door.url}/dpp_page.html?device={busy['printers'][0]['deviceId']}&side=back")
        preview = page.locator(".preview:visible")
        expect(preview.locator(".caption")).to_contain_text("drag to turn" if webgl else "nothing in three dimensions")
        expect(preview.locator("canvas")).to_have_count(1 if webgl else 0)
        expect(page.get_by_text("Where the energy goes").first).to_be_visible()


def test_an_analysis_is_in_its_address(browser, door, fleet, enms):
    """Opened by a link it runs by itself; a wrong request is told in a sentence."""
    if enms.change("POST", "/api/analyze", {"deviceId": PRINTER, "timeRange": "1h"}).status in (404, 503):
        pytest.skip("this stack serves no analysis")
    with visit(browser, door, f"/#/analysis?device={PRINTER}&range=1h") as page:
        inside = content(page)
        expect(inside.locator("#words")).not_to_be_empty(timeout=30_000)
        expect(inside.locator("#error")).to_be_hidden()
        with page.expect_download() as download:
            inside.locator("#csv").click()
        assert Path(download.value.path()).read_text(encoding="utf-8-sig").startswith("timestamp,actual_w,predicted_w,phase")


# ------------------------------------------------------------------------------------------------ devices

def log_in(page: Page, inside, password: str) -> None:
    inside.locator("#login-open").click()
    inside.locator("#user").fill("operator")
    inside.locator("#password").fill(password)
    inside.locator("#login .primary").click()


def test_login_add_a_device_test_it_see_it_polled_and_log_out(browser, door, fleet, stack):
    """A wrong password is told; the live test says what is wrong, then what answers; a saved printer is polled."""
    device = fleet.devices[SECOND]
    with visit(browser, door, "/#/devices", errors=True) as page:
        inside = content(page)
        log_in(page, inside, "wrong")
        expect(inside.locator("#login-error")).to_have_text("Name or password is wrong.")
        inside.locator("#password").fill(stack["ENMS_EDITOR_PASSWORD"])
        inside.locator("#login .primary").click()
        expect(inside.locator("#who")).to_have_text("Logged in as operator")

        inside.locator("#add").click()
        inside.locator("#field-friendly_name").fill("Added by hand")
        inside.locator("#field-device_id").fill(SECOND)
        inside.locator("#field-api_ip").fill(device["api_ip"])
        inside.locator("#field-api_key").fill("not the key")
        inside.locator("#test").click()
        expect(inside.locator("#result .notice").first).to_have_attribute("data-tone", "bad", timeout=15_000)
        inside.locator("#field-api_key").fill(device["api_key"])
        inside.locator("#field-shelly_id").fill(device["shelly_id"])
        inside.locator("#test").click()
        expect(inside.locator("#result .notice").first).to_have_attribute("data-tone", "good", timeout=15_000)
        inside.locator("#device .form-end .primary").click()
        expect(inside.locator("#notice")).to_have_text("Added by hand is saved.")
        wait_for("a poll of the new printer", lambda: fleet.enms.value("SELECT status_at FROM device_latest WHERE device_id = %s", SECOND), 40)

        inside.locator("#logout").click()
        expect(inside.locator("#login-open")).to_be_visible()
        assert fleet.enms.value("SELECT count(*) FROM devices WHERE api_key = %s", device["api_key"]) >= 1
        assert device["api_key"] not in page.content() + frame(page, "devices.html").content()


# ------------------------------------------------------------------------------------------------ always

def test_server_away_is_told_and_heals(browser, door, fleet):
    """The door shut: notice and old figures; open again: the notice goes by itself."""
    with visit(browser, door, "/#/passports", errors=True) as page:
        inside = content(page)
        expect(inside.locator(".passport").first).to_be_visible()
        door.shut()
        try:
            expect(inside.locator("#notice")).to_contain_text("does not answer", timeout=15_000)
            expect(inside.locator(".passport").first).to_be_visible()
            expect(page.locator("#connection")).to_contain_text("No connection", timeout=15_000)
        finally:
            door.open()
        expect(inside.locator("#notice")).to_be_hidden(timeout=25_000)
        expect(page.locator("#connection")).to_have_text("Live", timeout=25_000)


@pytest.mark.parametrize("theme, width", [("light", 1440), ("dark", 390), pytest.param("light", 390, marks=pytest.mark.long), pytest.param("dark", 1440, marks=pytest.mark.long)])
def test_accessible_and_fitting_everywhere(browser, door, fleet, theme, width):
    """axe-core finds no violation and nothing overflows, on every view, on a phone and on a desk."""
    axe = (frontend.FRONTEND / "node_modules/axe-core/axe.min.js").read_text()
    # The content's frame is run by itself; its elements must not be counted to the shell.
    run = "async () => (await axe.run(document, {iframes: false, resultTypes: ['violations']})).violations.map((v) => v.id + ': ' + v.nodes.map((n) => n.html.slice(0, 140)).slice(0, 3).join(' | '))"
    found = []
    with visit(browser, door, "/#/overview?scenario=busy_fleet", theme=theme, width=width, reduced_motion="reduce") as page:
        for view in VIEWS:
            page.goto(f"{door.url}/#/{view}?scenario={'errors' if view == 'garden' else 'busy_fleet'}")
            page.wait_for_timeout(600)
            for part in page.frames:
                part.evaluate(axe)
                found += [f"{view} {problem}" for problem in part.evaluate(run) + part.evaluate(OVERFLOW)]
    assert not found, "\n".join(found)
