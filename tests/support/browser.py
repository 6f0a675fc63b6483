"""A browser that opens the app, and what visitors do in it."""

import os
import shutil
from pathlib import Path

import pytest

SCREENSHOTS = Path(__file__).parents[2] / "screenshots"
CHROMIUM = shutil.which("chromium")
CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
PATIENCE = 120_000  # milliseconds; on two busy cores a first answer may wait for the model to be compiled


@pytest.fixture(scope="session")
def browser():
    if not CHROMIUM and not os.environ.get("CI"):
        pytest.skip("chromium is not installed")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def visit(browser, server):
    """Opens the app in a window of the given width; at the end there must be no errors and no foreign requests."""
    errors, foreign, windows = [], [], []

    def open_page(width=1280, scheme="light", locale="en-US", query="", wait=".hero"):
        window = browser.new_context(
            viewport={"width": width, "height": 844 if width < 500 else 800},
            color_scheme=scheme,
            locale=locale,
            has_touch=width < 500,
        )
        windows.append(window)
        page = window.new_page()
        page.set_default_timeout(PATIENCE)
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("dialog", lambda dialog: errors.append(dialog.message))
        page.on("request", lambda request: foreign.append(request.url) if is_foreign(request.url, server) else None)
        page.goto(server + query)
        page.locator(wait).wait_for()
        page.wait_for_function("window.lungfusion")
        page.expected_errors = 0
        return page

    yield open_page
    expected = sum(page.expected_errors for window in windows for page in window.pages)
    for window in windows:
        window.close()
    assert len(errors) <= expected, errors
    assert not foreign


def is_foreign(url, server):
    return not url.startswith((server, "data:", "blob:"))


def upload(page, file):
    page.locator("#upload input[type=file]").set_input_files(file)


def go(page, name):
    """To another room."""
    page.locator(".rooms").get_by_role("tab", name=name).click()
    page.locator(".rooms a[aria-selected=true]", has_text=name).wait_for()


def shoot(page, width, scheme, name):
    """A screenshot; on the way, the page must not be wider than the window."""
    SCREENSHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{width}-{scheme}-{name}.png", full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def barriers(page):
    """Serious ones that axe-core finds."""
    from axe_playwright_python.sync_playwright import Axe

    page.wait_for_timeout(500)  # until nothing fades any more
    found = Axe().run(page, options={"runOnly": ["wcag2a", "wcag2aa"]}).response["violations"]
    serious = [violation for violation in found if violation["impact"] in ("serious", "critical")]
    return {v["id"]: [node["html"][:150] for node in v["nodes"]] for v in serious}
